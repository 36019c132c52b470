// The conformance cases in C++.
#include <st_secrets.hpp>

#include <functional>
#include <map>

#include "conformance.h"

namespace {

struct Fixture {
    st::Secrets secrets;
    st::Cipher cipher;
    st::Cache cache;
};

std::string_view view(text given) { return {given.data == nullptr ? "" : given.data, given.len}; }

void put(outcome &out, std::string_view value) { put_value(&out, value.data(), value.size()); }

void put_cached(outcome &out, const std::optional<st::Bytes> &value) {
    if (value.has_value()) {
        put(out, value->view());
    } else {
        out.status = ST_NOT_FOUND;
    }
}

st::Seconds ttl_of(const step &step) { return st::Seconds(step.number); }

// What a layer or loader of a step answers.
void answer_for(const step &step, std::string_view key, st::Reply &reply) {
    for (const answer *each = step.answers; each != step.answers + step.count; each++) {
        if (each->key.data == nullptr || view(each->key) == key) {
            each->value.data != nullptr ? reply.value(view(each->value)) : reply.fail(static_cast<st::Status>(each->status));
            return;
        }
    }
}

void get_with(Fixture &on, const step &step, outcome &out) {
    st::GetOptions options;
    options.refresh = (step.flags & ST_GET_REFRESH) != 0;
    options.cached_only = (step.flags & ST_GET_CACHED_ONLY) != 0;
    st::Found found = on.secrets.get_with(view(step.key), options);
    put(out, found.value.view());
    snprintf(out.layer, sizeof out.layer, "%s", found.layer.c_str());
    out.facts[SOURCE] = static_cast<int>(found.source);
    out.facts[INFO] = (found.stale ? ST_SECRET_STALE : 0) + (found.cached ? ST_SECRET_CACHED : 0) +
                      (found.degraded ? ST_SECRET_DEGRADED : 0);
}

void get_many(Fixture &on, const step &step, outcome &) {
    std::vector<std::string_view> keys;
    for (std::size_t i = 0; i < step.count; i++) {
        keys.push_back(view(step.keys[i]));
    }
    auto values = on.secrets.get_many(keys);
    for (std::size_t i = 0; i < step.count; i++) {
        static outcome one;
        clear_outcome(&one);
        one.status = static_cast<st_status>(values[i].status());
        put(one, values[i]->view());
        check_outcome("each of several", step.keys[i].data, &step.results[i], &one);
    }
}

void stats(Fixture &on, const step &, outcome &out) {
    st::CacheCounts counts = on.cache.stats();
    out.facts[ENTRIES] = static_cast<double>(counts.entries);
    out.facts[MAX_SIZE] = static_cast<double>(counts.max_size);
    out.facts[EVICTIONS] = static_cast<double>(counts.evictions);
    out.facts[DEFAULT_TTL] = counts.default_ttl;
}

void get_or_load(Fixture &on, const step &step, outcome &out) {
    out.facts[LOADED] = 0;
    put(out, on.cache
                 .get_or_load(view(step.key),
                              [&](std::string_view key, st::Reply &reply) {
                                  out.facts[LOADED] = 1;
                                  answer_for(step, key, reply);
                              })
                 .view());
}

void reencrypt(Fixture &on, const step &step, outcome &out) {
    st::Cipher::Reencrypted fresh = on.cipher.reencrypt(view(step.key));
    out.facts[CHANGED] = fresh.changed;
    put(out, on.cipher.decrypt(fresh.token).view());
}

void round_trip(Fixture &on, const step &step, outcome &out) {
    std::string token = on.cipher.encrypt(view(step.value));
    out.facts[LENGTH] = static_cast<double>(token.size());
    put(out, on.cipher.decrypt(token).view());
}

using Action = std::function<void(Fixture &, const step &, outcome &)>;

const std::map<std::string, Action> &actions() {
    static const std::map<std::string, Action> all = {
        {"secrets.get", [](auto &on, auto &step, auto &out) { put(out, on.secrets.get(view(step.key)).view()); }},
        {"secrets.get_with", get_with},
        {"secrets.get_many", get_many},
        {"secrets.get_replicate_token", [](auto &on, auto &, auto &out) { put(out, on.secrets.replicate_token().view()); }},
        {"secrets.get_hf_token", [](auto &on, auto &, auto &out) { put(out, on.secrets.hf_token().view()); }},
        {"secrets.get_webhook_secret", [](auto &on, auto &, auto &out) { put(out, on.secrets.webhook_secret().view()); }},
        {"secrets.set", [](auto &on, auto &step, auto &) { on.secrets.set(view(step.key), view(step.value)); }},
        {"secrets.set_replicate_token", [](auto &on, auto &step, auto &) { on.secrets.set_replicate_token(view(step.value)); }},
        {"secrets.delete", [](auto &on, auto &step, auto &out) { out.facts[EXISTED] = on.secrets.remove(view(step.key)); }},
        {"secrets.refresh", [](auto &on, auto &, auto &) { on.secrets.refresh(); }},
        {"secrets.file_path", [](auto &on, auto &, auto &out) { put(out, on.secrets.file_path()); }},
        {"secrets.add_provider",
         [](auto &on, auto &step, auto &) {
             on.secrets.add_provider(
                 view(step.key),
                 [&step](std::string_view key, st::Reply &reply) { answer_for(step, key, reply); }, step.position);
         }},
        {"cache.set", [](auto &on, auto &step, auto &) { on.cache.set(view(step.key), view(step.value), ttl_of(step)); }},
        {"cache.get", [](auto &on, auto &step, auto &out) { put_cached(out, on.cache.get(view(step.key))); }},
        {"cache.delete", [](auto &on, auto &step, auto &out) { out.facts[EXISTED] = on.cache.remove(view(step.key)); }},
        {"cache.clear", [](auto &on, auto &, auto &out) { out.facts[COUNT] = static_cast<double>(on.cache.clear()); }},
        {"cache.invalidate_prefix",
         [](auto &on, auto &step, auto &out) {
             out.facts[COUNT] = static_cast<double>(on.cache.invalidate_prefix(view(step.key)));
         }},
        {"cache.stats", stats},
        {"cache.get_or_load", get_or_load},
        {"provider_cache.set",
         [](auto &, auto &step, auto &) {
             st::Cache::provider_config().set(view(step.key), view(step.value), ttl_of(step));
         }},
        {"provider_cache.get",
         [](auto &, auto &step, auto &out) { put_cached(out, st::Cache::provider_config().get(view(step.key))); }},
        {"user_cache.set",
         [](auto &, auto &step, auto &) {
             st::Cache::user_permission().set(view(step.key), view(step.value), ttl_of(step));
         }},
        {"user_cache.get",
         [](auto &, auto &step, auto &out) { put_cached(out, st::Cache::user_permission().get(view(step.key))); }},
        {"invalidate_provider",
         [](auto &, auto &step, auto &out) {
             out.facts[COUNT] = static_cast<double>(st::invalidate_provider(view(step.key)));
         }},
        {"invalidate_user",
         [](auto &, auto &step, auto &out) {
             out.facts[COUNT] = static_cast<double>(st::invalidate_user(static_cast<std::int64_t>(step.number)));
         }},
        {"cipher.decrypt", [](auto &on, auto &step, auto &out) { put(out, on.cipher.decrypt(view(step.key)).view()); }},
        {"cipher.round_trip", round_trip},
        {"cipher.reencrypt", reencrypt},
        {"cipher.rotate_key", [](auto &on, auto &, auto &) { on.cipher.rotate_key(); }},
    };
    return all;
}

void open(Fixture &on, const example &example) {
    st::Config config;
    for (const entry *each = example.settings; each != example.settings + example.setting_count; each++) {
        config.set(each->name, view(expanded(each->value)));
    }
    std::string_view kind = example.open == nullptr ? "" : example.open;
    if (kind == "secrets") {
        on.secrets = st::Secrets::open(config);
    } else if (kind == "cipher") {
        on.cipher = st::Cipher::open(config);
    } else if (kind == "cache") {
        on.cache = st::Cache::open({st::Seconds(example.default_ttl), static_cast<std::size_t>(example.max_size),
                                    st::Seconds(example.cleanup_interval)});
    } else {
        CHECK(kind.empty());
    }
}

// Does something, and notes what it throws.
template <class Body>
void noting(outcome &out, Body &&body) {
    clear_outcome(&out);
    try {
        body();
    } catch (const st::Error &error) {
        out.status = static_cast<st_status>(error.status());
        out.facts[SOURCE] = static_cast<int>(error.source());
    }
}

} // namespace

static void run_case(const example *example) {
    static outcome out;
    Fixture on;
    noting(out, [&] { open(on, *example); });
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
