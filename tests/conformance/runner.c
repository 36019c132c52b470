/* The conformance cases in C. */
#include "conformance.h"

/* A text that the step is given, as pointer and length. */
#define GIVEN(name) given(step, name).data, given(step, name).len

static st_error error = ST_ERROR_INIT;
static st_secrets *secrets;
static st_cipher *cipher;
static st_cache *cache;
static st_store *store;

/* Moves the bytes of a call to the outcome. */
static void take(outcome *out, st_status status, st_bytes *bytes) {
    out->status = status;
    if (status == ST_OK) {
        put_value(out, bytes->data, bytes->len);
    }
    st_bytes_free(bytes);
}

static void secrets_get(const step *step, outcome *out) {
    st_bytes value = {0};
    take(out, st_secrets_get(secrets, GIVEN("key"), &value, &error), &value);
}

static void secrets_get_with(const step *step, outcome *out) {
    st_bytes value = {0};
    st_secret_info info = ST_SECRET_INFO_INIT;
    take(out,
         st_secrets_get_with(secrets, GIVEN("key"), ST_TIMEOUT_DEFAULT, (uint32_t)given_number(step, "flags", 0),
                             &value, &info, &error),
         &value);
    if (out->status == ST_OK) {
        snprintf(out->provider, sizeof out->provider, "%s", info.provider);
        add_fact(out, "source", info.source);
        add_fact(out, "info", info.flags);
    }
}

static void secrets_get_many(const step *step, outcome *out) {
    char keys[256];
    size_t len = 0;
    st_bytes values[8] = {{0}};
    st_status statuses[8];
    CHECK(step->key_count <= 8);
    for (size_t i = 0; i < step->key_count; i++) {
        CHECK(len + step->keys[i].len < sizeof keys);
        memcpy(keys + len, step->keys[i].data, step->keys[i].len + 1);
        len += step->keys[i].len + 1;
    }
    out->status = st_secrets_get_many(secrets, keys, len, step->key_count, values, statuses, &error);
    for (size_t i = 0; out->status == ST_OK && i < step->key_count; i++) {
        static outcome one;
        clear_outcome(&one);
        take(&one, statuses[i], &values[i]);
        check_outcome("each of several", step->keys[i].data, &step->results[i], &one);
    }
}

static void get_replicate_token(const step *step, outcome *out) {
    st_bytes value = {0};
    (void)step;
    take(out, st_secrets_get_replicate_token(secrets, &value, &error), &value);
}

static void get_hf_token(const step *step, outcome *out) {
    st_bytes value = {0};
    (void)step;
    take(out, st_secrets_get_hf_token(secrets, &value, &error), &value);
}

static void get_webhook_secret(const step *step, outcome *out) {
    st_bytes value = {0};
    (void)step;
    take(out, st_secrets_get_webhook_secret(secrets, &value, &error), &value);
}

static void secrets_set(const step *step, outcome *out) {
    out->status = st_secrets_set(secrets, GIVEN("key"), GIVEN("value"), &error);
}

static void set_replicate_token(const step *step, outcome *out) {
    out->status = st_secrets_set_replicate_token(secrets, GIVEN("value"), &error);
}

static void secrets_delete(const step *step, outcome *out) {
    bool existed = false;
    out->status = st_secrets_delete(secrets, GIVEN("key"), &existed, &error);
    add_fact(out, "existed", existed);
}

static void secrets_refresh(const step *step, outcome *out) {
    (void)step;
    out->status = st_secrets_refresh(secrets, ST_TIMEOUT_DEFAULT, &error);
}

static void secrets_prefetch(const step *step, outcome *out) {
    (void)step;
    out->status = st_secrets_prefetch(secrets, ST_TIMEOUT_DEFAULT, &error);
}

static void secrets_clear_cache(const step *step, outcome *out) {
    (void)step;
    out->status = st_secrets_clear_cache(secrets, &error);
}

static void secrets_share(const step *step, outcome *out) {
    st_bytes json = {0};
    (void)step;
    out->status = st_secrets_share(secrets, &json, &error);
    if (out->status == ST_OK) {
        put_share(out, (const char *)json.data);
    }
    st_bytes_free(&json);
}

static st_status opened(const opening *opening);

static void get_with_own_manager(void *context, const step *step, outcome *out) {
    const example *example = context;
    CHECK(opened(&example->open[0]) == ST_OK);
    secrets_get_with(step, out);
    st_secrets_free(secrets);
}

static const example *current;

static void process_get_with(const step *step, outcome *out) {
    in_another_process(get_with_own_manager, (void *)current, step, out);
}

static void secrets_file_path(const step *step, outcome *out) {
    st_bytes path = {0};
    (void)step;
    take(out, st_secrets_file_path(secrets, &path, &error), &path);
}

static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    const step *step = context;
    (void)timeout;
    for (size_t i = 0; i < step->answer_count; i++) {
        const answer *answer = &step->answers[i];
        if (answer->key.data == NULL || (answer->key.len == key_len && memcmp(answer->key.data, key, key_len) == 0)) {
            return answer->value.data == NULL
                       ? answer->status
                       : st_reply_bytes(reply, answer->value.data, answer->value.len, ST_TTL_DEFAULT);
        }
    }
    return ST_NOT_FOUND;
}

static void add_provider(const step *step, outcome *out) {
    size_t position =
        strcmp(given(step, "position").data, "last") == 0 ? ST_LAST : (size_t)given_number(step, "position", 0);
    out->status = st_secrets_add_provider(secrets, GIVEN("name"), position, load, NULL, (void *)step, &error);
}

static void set_in(const st_cache *to, const step *step, outcome *out) {
    out->status = st_cache_set(to, GIVEN("key"), GIVEN("value"), given_number(step, "ttl", ST_TTL_DEFAULT), &error);
}

static void get_from(const st_cache *from, const step *step, outcome *out) {
    st_bytes value = {0};
    take(out, st_cache_get(from, GIVEN("key"), &value, &error), &value);
}

static void cache_set(const step *step, outcome *out) {
    set_in(cache, step, out);
}
static void cache_get(const step *step, outcome *out) {
    get_from(cache, step, out);
}
static void provider_cache_set(const step *step, outcome *out) {
    set_in(st_cache_provider_config(), step, out);
}
static void provider_cache_get(const step *step, outcome *out) {
    get_from(st_cache_provider_config(), step, out);
}
static void user_cache_set(const step *step, outcome *out) {
    set_in(st_cache_user_permission(), step, out);
}
static void user_cache_get(const step *step, outcome *out) {
    get_from(st_cache_user_permission(), step, out);
}

static void cache_delete(const step *step, outcome *out) {
    bool existed = false;
    out->status = st_cache_delete(cache, GIVEN("key"), &existed, &error);
    add_fact(out, "existed", existed);
}

static void counted(outcome *out, st_status status, size_t count) {
    out->status = status;
    add_fact(out, "count", (double)count);
}

static void cache_clear(const step *step, outcome *out) {
    size_t count = 0;
    (void)step;
    st_status status = st_cache_clear(cache, &count, &error);
    counted(out, status, count);
}

static void cache_invalidate_prefix(const step *step, outcome *out) {
    size_t count = 0;
    st_status status = st_cache_invalidate_prefix(cache, GIVEN("prefix"), &count, &error);
    counted(out, status, count);
}

static void invalidate_provider(const step *step, outcome *out) {
    size_t count = 0;
    st_status status = st_cache_invalidate_provider(GIVEN("provider"), &count, &error);
    counted(out, status, count);
}

static void invalidate_user(const step *step, outcome *out) {
    size_t count = 0;
    st_status status = st_cache_invalidate_user((int64_t)given_number(step, "user_id", 0), &count, &error);
    counted(out, status, count);
}

static void cache_stats(const step *step, outcome *out) {
    st_cache_counts counts = ST_CACHE_COUNTS_INIT;
    (void)step;
    out->status = st_cache_stats(cache, &counts, &error);
    add_fact(out, "entries", (double)counts.entries);
    add_fact(out, "max_size", (double)counts.max_size);
    add_fact(out, "evictions", (double)counts.evictions);
    add_fact(out, "default_ttl", counts.default_ttl);
}

struct loading {
    const step *step;
    int loaded;
};

static st_status load_with_facts(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    struct loading *loading = context;
    loading->loaded = 1;
    return load((void *)loading->step, key, key_len, timeout, reply);
}

static void cache_get_or_load(const step *step, outcome *out) {
    struct loading loading = {step, 0};
    st_bytes value = {0};
    take(out, st_cache_get_or_load(cache, GIVEN("key"), INFINITY, load_with_facts, &loading, &value, &error), &value);
    add_fact(out, "loaded", loading.loaded);
}

static void cipher_decrypt(const step *step, outcome *out) {
    st_bytes plaintext = {0};
    take(out, st_decrypt(cipher, GIVEN("token"), &plaintext, &error), &plaintext);
}

static void cipher_round_trip(const step *step, outcome *out) {
    st_bytes token = {0}, plaintext = {0};
    out->status = st_encrypt(cipher, GIVEN("value"), &token, &error);
    if (out->status == ST_OK) {
        add_fact(out, "length", (double)token.len);
        take(out, st_decrypt(cipher, (const char *)token.data, token.len, &plaintext, &error), &plaintext);
    }
    st_bytes_free(&token);
}

static void cipher_reencrypt(const step *step, outcome *out) {
    st_bytes token = {0}, plaintext = {0};
    bool changed = false;
    out->status = st_reencrypt(cipher, GIVEN("token"), &token, &changed, &error);
    if (out->status == ST_OK) {
        add_fact(out, "changed", changed);
        take(out, st_decrypt(cipher, (const char *)token.data, token.len, &plaintext, &error), &plaintext);
    }
    st_bytes_free(&token);
}

static void cipher_rotate_key(const step *step, outcome *out) {
    (void)step;
    out->status = st_rotate_key(cipher, &error);
}

#include "runner_store.h"

static const struct {
    const char *name;
    void (*run)(const step *step, outcome *out);
} actions[] = {
    {"secrets.get", secrets_get},
    {"secrets.get_with", secrets_get_with},
    {"secrets.get_many", secrets_get_many},
    {"secrets.get_replicate_token", get_replicate_token},
    {"secrets.get_hf_token", get_hf_token},
    {"secrets.get_webhook_secret", get_webhook_secret},
    {"secrets.set", secrets_set},
    {"secrets.set_replicate_token", set_replicate_token},
    {"secrets.delete", secrets_delete},
    {"secrets.refresh", secrets_refresh},
    {"secrets.prefetch", secrets_prefetch},
    {"secrets.clear_cache", secrets_clear_cache},
    {"secrets.share", secrets_share},
    {"process.get_with", process_get_with},
    {"secrets.file_path", secrets_file_path},
    {"secrets.add_provider", add_provider},
    {"cache.set", cache_set},
    {"cache.get", cache_get},
    {"cache.delete", cache_delete},
    {"cache.clear", cache_clear},
    {"cache.invalidate_prefix", cache_invalidate_prefix},
    {"cache.stats", cache_stats},
    {"cache.get_or_load", cache_get_or_load},
    {"provider_cache.set", provider_cache_set},
    {"provider_cache.get", provider_cache_get},
    {"user_cache.set", user_cache_set},
    {"user_cache.get", user_cache_get},
    {"invalidate_provider", invalidate_provider},
    {"invalidate_user", invalidate_user},
    {"cipher.decrypt", cipher_decrypt},
    {"cipher.round_trip", cipher_round_trip},
    {"cipher.reencrypt", cipher_reencrypt},
    {"cipher.rotate_key", cipher_rotate_key},
    {"store.config_get", store_config_get},
    {"store.config_save", store_config_save},
    {"store.config_update", store_config_update},
    {"store.config_delete", store_config_delete},
    {"store.webhook_get", store_webhook_get},
    {"store.cost_limit_get", store_cost_limit_get},
    {"store.hardware_get", store_hardware_get},
    {"store.hardware_set", store_hardware_set},
    {"store.hardware_clear", store_hardware_clear},
    {"store.hardware_cost", store_hardware_cost},
    {"store.credential_set", store_credential_set},
    {"store.credential_get", store_credential_get},
    {"store.credential_delete", store_credential_delete},
    {"store.credential_resolve", store_credential_resolve},
    {"store.audit_log", store_audit_log},
    {"store.audit_query", store_audit_query},
    {"store.audit_verify", store_audit_verify},
};

static st_status opened(const opening *opening) {
    st_status status = ST_OK;
    fields settings = opening->settings;
    if (strcmp(opening->kind, "cache") == 0) {
        return st_cache_new(look_up(settings, "default_ttl")->number, (size_t)look_up(settings, "max_size")->number,
                            look_up(settings, "cleanup_interval")->number, &cache, &error);
    }
    st_config *config = st_config_new();
    for (size_t i = 0; i < settings.count && status == ST_OK; i++) {
        text value = expanded(settings.first[i].value);
        status = st_config_set(config, settings.first[i].name, ST_NUL, value.data, value.len, &error);
    }
    if (status == ST_OK) {
        status = strcmp(opening->kind, "secrets") == 0  ? st_secrets_open(config, &secrets, &error)
                 : strcmp(opening->kind, "cipher") == 0 ? st_cipher_open(config, &cipher, &error)
                 : strcmp(opening->kind, "store") == 0  ? st_store_open(config, &store, &error)
                                                        : ST_PANIC;
    }
    st_config_free(config);
    return status;
}

static void do_step(const step *step, outcome *out) {
    if (plain_step(step, out)) {
        return;
    }
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(actions[i].name, step->action) == 0) {
            actions[i].run(step, out);
            return;
        }
    }
    check_failed(__FILE__, __LINE__, "no such action: %s", step->action);
}

static void check_against(const char *where, const char *action, const expectation *expect, outcome *out) {
    if (out->status != ST_OK) {
        add_fact(out, "source", error.source);
    }
    check_outcome(where, action, expect, out);
}

static void run_case(const example *example) {
    static outcome out;
    current = example;
    clear_outcome(&out);
    for (size_t i = 0; i < example->open_count && out.status == ST_OK; i++) {
        out.status = opened(&example->open[i]);
    }
    check_against(example->name, "opening", &example->opened, &out);
    for (size_t i = 0; i < example->step_count; i++) {
        clear_outcome(&out);
        do_step(&example->steps[i], &out);
        check_against(example->name, example->steps[i].action, &example->steps[i].expect, &out);
    }
    st_store_free(store);
    st_secrets_free(secrets);
    st_cipher_free(cipher);
    st_cache_free(cache);
}
