// The conformance cases in C++.
#include <st_secrets.hpp>

#include <functional>
#include <map>

#include "conformance.h"

namespace {

struct Fixture {
    const example *current = nullptr;
    st::Secrets secrets;
    st::Cipher cipher;
    st::Cache cache;
    st::Store store;
};

std::string_view view(text given) { return {given.data, given.len}; }

std::string_view view(const step &step, const char *name) { return view(given(&step, name)); }

double number(const step &step, const char *name, double otherwise = 0) { return given_number(&step, name, otherwise); }

void put(outcome &out, std::string_view value) { put_value(&out, value.data(), value.size()); }

void put_cached(outcome &out, const std::optional<st::Bytes> &value) {
    if (value.has_value()) {
        put(out, value->view());
    } else {
        out.status = ST_NOT_FOUND;
    }
}

st::Seconds ttl_of(const step &step) { return st::Seconds(number(step, "ttl", ST_TTL_DEFAULT)); }

// Answers like the provider or loader of a step.
void answer_for(const step &step, std::string_view key, st::Reply &reply) {
    for (const answer *each = step.answers; each != step.answers + step.answer_count; each++) {
        if (each->key.data == nullptr || view(each->key) == key) {
            each->value.data != nullptr ? reply.value(view(each->value))
                                        : reply.fail(static_cast<st::Status>(each->status));
            return;
        }
    }
}

void get_with(Fixture &on, const step &step, outcome &out) {
    st::GetOptions options;
    int flags = static_cast<int>(number(step, "flags"));
    options.refresh = (flags & ST_GET_REFRESH) != 0;
    options.cached_only = (flags & ST_GET_CACHED_ONLY) != 0;
    st::Secret found = on.secrets.get_with(view(step, "key"), options);
    put(out, found.value.view());
    snprintf(out.provider, sizeof out.provider, "%s", found.provider.c_str());
    add_fact(&out, "source", static_cast<int>(found.source));
    add_fact(&out, "info",
             (found.stale ? ST_SECRET_STALE : 0) + (found.cached ? ST_SECRET_CACHED : 0) +
                 (found.degraded ? ST_SECRET_DEGRADED : 0) + (found.shared ? ST_SECRET_SHARED : 0));
}

void open(Fixture &on, const opening &opening);

void process_get_with(Fixture &on, const step &step, outcome &out) {
    auto get_with_own_manager = [](void *context, const struct step *step, outcome *out) {
        Fixture own;
        open(own, static_cast<const example *>(context)->open[0]);
        get_with(own, *step, *out);
    };
    in_another_process(get_with_own_manager, const_cast<example *>(on.current), &step, &out);
}

void get_many(Fixture &on, const step &step, outcome &) {
    std::vector<std::string_view> keys;
    for (std::size_t i = 0; i < step.key_count; i++) {
        keys.push_back(view(step.keys[i]));
    }
    auto values = on.secrets.get_many(keys);
    for (std::size_t i = 0; i < step.key_count; i++) {
        static outcome one;
        clear_outcome(&one);
        one.status = static_cast<st_status>(values[i].status());
        put(one, values[i].output().view());
        check_outcome("each of several", step.keys[i].data, &step.results[i], &one);
    }
}

void stats(Fixture &on, const step &, outcome &out) {
    st::CacheCounts counts = on.cache.stats();
    add_fact(&out, "entries", static_cast<double>(counts.entries));
    add_fact(&out, "max_size", static_cast<double>(counts.max_size));
    add_fact(&out, "evictions", static_cast<double>(counts.evictions));
    add_fact(&out, "default_ttl", counts.default_ttl);
}

void get_or_load(Fixture &on, const step &step, outcome &out) {
    bool loaded = false;
    auto load = [&](std::string_view key, st::Reply &reply) {
        loaded = true;
        answer_for(step, key, reply);
    };
    st::Result<st::Bytes> value = on.cache.try_get_or_load(view(step, "key"), load);
    add_fact(&out, "loaded", loaded);
    put(out, value.value().view());
}

void reencrypt(Fixture &on, const step &step, outcome &out) {
    st::Cipher::Reencrypted fresh = on.cipher.reencrypt(view(step, "token"));
    add_fact(&out, "changed", fresh.changed);
    put(out, on.cipher.decrypt(fresh.token).view());
}

void round_trip(Fixture &on, const step &step, outcome &out) {
    std::string token = on.cipher.encrypt(view(step, "value"));
    add_fact(&out, "length", static_cast<double>(token.size()));
    put(out, on.cipher.decrypt(token).view());
}

st::CredentialName credential(const step &step) {
    return {static_cast<std::int64_t>(number(step, "user_id")), view(step, "provider"), view(step, "name")};
}

void credential_resolve(Fixture &on, const step &step, outcome &out) {
    auto found = on.store.credential_resolve(credential(step), view(step, "global_key"), on.cipher, on.secrets);
    add_fact(&out, "origin", static_cast<int>(found.origin));
    put(out, found.value.view());
}

void audit_log(Fixture &on, const step &step, outcome &out) {
    std::int64_t id = on.store.audit_log({view(step, "event_type"), view(step, "action"), view(step, "target_type"),
                                          view(step, "target_id"), view(step, "details")});
    add_fact(&out, "id", static_cast<double>(id));
}

void audit_verify(Fixture &on, const step &step, outcome &out) {
    st::AuditVerdict verdict = on.store.audit_verify(static_cast<std::int64_t>(number(step, "first")),
                                                     static_cast<std::int64_t>(number(step, "last")));
    add_fact(&out, "broken_id", static_cast<double>(verdict.broken_id));
}

using Action = std::function<void(Fixture &, const step &, outcome &)>;

const std::map<std::string, Action> &actions() {
    static const std::map<std::string, Action> all = {
        {"secrets.get", [](auto &on, auto &step, auto &out) { put(out, on.secrets.get(view(step, "key")).view()); }},
        {"secrets.get_with", get_with},
        {"secrets.get_many", get_many},
        {"secrets.get_replicate_token",
         [](auto &on, auto &, auto &out) { put(out, on.secrets.replicate_token().view()); }},
        {"secrets.get_hf_token", [](auto &on, auto &, auto &out) { put(out, on.secrets.hf_token().view()); }},
        {"secrets.get_webhook_secret",
         [](auto &on, auto &, auto &out) { put(out, on.secrets.webhook_secret().view()); }},
        {"secrets.set", [](auto &on, auto &step, auto &) { on.secrets.set(view(step, "key"), view(step, "value")); }},
        {"secrets.set_replicate_token",
         [](auto &on, auto &step, auto &) { on.secrets.set_replicate_token(view(step, "value")); }},
        {"secrets.delete",
         [](auto &on, auto &step, auto &out) { add_fact(&out, "existed", on.secrets.remove(view(step, "key"))); }},
        {"secrets.refresh", [](auto &on, auto &, auto &) { on.secrets.refresh(); }},
        {"secrets.prefetch", [](auto &on, auto &, auto &) { on.secrets.prefetch(); }},
        {"secrets.clear_cache", [](auto &on, auto &, auto &) { on.secrets.clear_cache(); }},
        {"secrets.share", [](auto &on, auto &, auto &out) { put_share(&out, on.secrets.share().c_str()); }},
        {"process.get_with", process_get_with},
        {"secrets.file_path", [](auto &on, auto &, auto &out) { put(out, on.secrets.file_path()); }},
        {"secrets.add_provider",
         [](auto &on, auto &step, auto &) {
             std::size_t position = view(step, "position") == "last"
                                        ? st::Secrets::last
                                        : static_cast<std::size_t>(number(step, "position"));
             on.secrets.add_provider(
                 view(step, "name"), [&step](std::string_view key, st::Reply &reply) { answer_for(step, key, reply); },
                 position);
         }},
        {"cache.set",
         [](auto &on, auto &step, auto &) { on.cache.set(view(step, "key"), view(step, "value"), ttl_of(step)); }},
        {"cache.get", [](auto &on, auto &step, auto &out) { put_cached(out, on.cache.get(view(step, "key"))); }},
        {"cache.delete",
         [](auto &on, auto &step, auto &out) { add_fact(&out, "existed", on.cache.remove(view(step, "key"))); }},
        {"cache.clear",
         [](auto &on, auto &, auto &out) { add_fact(&out, "count", static_cast<double>(on.cache.clear())); }},
        {"cache.invalidate_prefix",
         [](auto &on, auto &step, auto &out) {
             add_fact(&out, "count", static_cast<double>(on.cache.invalidate_prefix(view(step, "prefix"))));
         }},
        {"cache.stats", stats},
        {"cache.get_or_load", get_or_load},
        {"provider_cache.set",
         [](auto &, auto &step, auto &) {
             st::Cache::provider_config().set(view(step, "key"), view(step, "value"), ttl_of(step));
         }},
        {"provider_cache.get",
         [](auto &, auto &step, auto &out) { put_cached(out, st::Cache::provider_config().get(view(step, "key"))); }},
        {"user_cache.set",
         [](auto &, auto &step, auto &) {
             st::Cache::user_permission().set(view(step, "key"), view(step, "value"), ttl_of(step));
         }},
        {"user_cache.get",
         [](auto &, auto &step, auto &out) { put_cached(out, st::Cache::user_permission().get(view(step, "key"))); }},
        {"invalidate_provider",
         [](auto &, auto &step, auto &out) {
             add_fact(&out, "count", static_cast<double>(st::invalidate_provider(view(step, "provider"))));
         }},
        {"invalidate_user",
         [](auto &, auto &step, auto &out) {
             add_fact(&out, "count",
                      static_cast<double>(st::invalidate_user(static_cast<std::int64_t>(number(step, "user_id")))));
         }},
        {"cipher.decrypt",
         [](auto &on, auto &step, auto &out) { put(out, on.cipher.decrypt(view(step, "token")).view()); }},
        {"cipher.round_trip", round_trip},
        {"cipher.reencrypt", reencrypt},
        {"cipher.rotate_key", [](auto &on, auto &, auto &) { on.cipher.rotate_key(); }},
        {"store.config_get", [](auto &on, auto &step,
                                auto &out) { put(out, on.store.provider_config_get(view(step, "provider")).view()); }},
        {"store.config_save",
         [](auto &on, auto &step, auto &) {
             on.store.provider_config_save(view(step, "provider"), view(step, "json"));
         }},
        {"store.config_update",
         [](auto &on, auto &step, auto &) {
             on.store.provider_config_update(view(step, "provider"), view(step, "json"));
         }},
        {"store.config_delete",
         [](auto &on, auto &step, auto &out) {
             add_fact(&out, "existed", on.store.provider_config_delete(view(step, "provider")));
         }},
        {"store.webhook_get",
         [](auto &on, auto &step, auto &out) {
             put(out, on.store.provider_webhook_get(view(step, "provider")).view());
         }},
        {"store.cost_limit_get",
         [](auto &on, auto &step, auto &out) {
             put(out, on.store.provider_cost_limit_get(view(step, "provider")).view());
         }},
        {"store.hardware_get", [](auto &on, auto &, auto &out) { put(out, on.store.hardware_info_get()); }},
        {"store.hardware_set", [](auto &on, auto &step, auto &) { on.store.hardware_info_set(view(step, "json")); }},
        {"store.hardware_clear", [](auto &on, auto &, auto &) { on.store.hardware_info_clear(); }},
        {"store.hardware_cost",
         [](auto &on, auto &step, auto &out) {
             add_fact(&out, "number", on.store.hardware_cost_per_hour(view(step, "hardware_id")));
         }},
        {"store.credential_set",
         [](auto &on, auto &step, auto &) {
             on.store.credential_set(credential(step), view(step, "value"), on.cipher);
         }},
        {"store.credential_get",
         [](auto &on, auto &step,
            auto &out) { put(out, on.store.credential_get(credential(step), on.cipher).view()); }},
        {"store.credential_delete",
         [](auto &on, auto &step,
            auto &out) { add_fact(&out, "existed", on.store.credential_delete(credential(step))); }},
        {"store.credential_resolve", credential_resolve},
        {"store.audit_log", audit_log},
        {"store.audit_query",
         [](auto &on, auto &step, auto &out) { put_ids(&out, on.store.audit_query(view(step, "filter")).c_str()); }},
        {"store.audit_verify", audit_verify},
    };
    return all;
}

void open(Fixture &on, const opening &opening) {
    std::string_view kind = opening.kind;
    if (kind == "cache") {
        auto setting = [&](const char *name) { return look_up(opening.settings, name)->number; };
        on.cache = st::Cache::open({st::Seconds(setting("default_ttl")), static_cast<std::size_t>(setting("max_size")),
                                    st::Seconds(setting("cleanup_interval"))});
        return;
    }
    st::Config config;
    for (std::size_t i = 0; i < opening.settings.count; i++) {
        config.set(opening.settings.first[i].name, view(expanded(opening.settings.first[i].value)));
    }
    if (kind == "secrets") {
        on.secrets = st::Secrets::open(config);
    } else if (kind == "cipher") {
        on.cipher = st::Cipher::open(config);
    } else {
        CHECK(kind == "store");
        on.store = st::Store::open(config);
    }
}

// Runs the body and records what it throws.
template <class Body>
void noting(outcome &out, Body &&body) {
    clear_outcome(&out);
    try {
        body();
    } catch (const st::Error &error) {
        out.status = static_cast<st_status>(error.status());
        add_fact(&out, "source", static_cast<int>(error.source()));
    }
}

} // namespace

static void run_case(const example *example) {
    static outcome out;
    Fixture on;
    on.current = example;
    noting(out, [&] {
        for (std::size_t i = 0; i < example->open_count; i++) {
            open(on, example->open[i]);
        }
    });
    check_outcome(example->name, "opening", &example->opened, &out);
    for (const step *step = example->steps; step != example->steps + example->step_count; step++) {
        noting(out, [&] {
            if (!plain_step(step, &out)) {
                actions().at(step->action)(on, *step, out);
            }
        });
        check_outcome(example->name, step->action, &step->expect, &out);
    }
}
