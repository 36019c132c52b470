/* The conformance cases in C. */
#include "conformance.h"

static st_error error = ST_ERROR_INIT;
static st_secrets *secrets;
static st_cipher *cipher;
static st_cache *cache;

/* Hands the bytes of a call to the outcome. */
static void take(outcome *out, st_status status, st_bytes *bytes) {
    out->status = status;
    if (status == ST_OK) {
        put_value(out, bytes->data, bytes->len);
    }
    st_bytes_free(bytes);
}

static void secrets_get(const step *step, outcome *out) {
    st_bytes value = {0};
    take(out, st_secrets_get(secrets, step->key.data, step->key.len, &value, &error), &value);
}

static void secrets_get_with(const step *step, outcome *out) {
    st_bytes value = {0};
    st_secret_info info = ST_SECRET_INFO_INIT;
    take(out,
         st_secrets_get_with(secrets, step->key.data, step->key.len, ST_TIMEOUT_DEFAULT, step->flags, &value, &info, &error),
         &value);
    if (out->status == ST_OK) {
        snprintf(out->layer, sizeof out->layer, "%s", info.layer);
        out->facts[SOURCE] = info.source;
        out->facts[INFO] = info.flags;
    }
}

static void secrets_get_many(const step *step, outcome *out) {
    char keys[256];
    size_t len = 0;
    st_bytes values[8] = {{0}};
    st_status statuses[8];
    CHECK(step->count <= 8);
    for (size_t i = 0; i < step->count; i++) {
        CHECK(len + step->keys[i].len < sizeof keys);
        memcpy(keys + len, step->keys[i].data, step->keys[i].len + 1);
        len += step->keys[i].len + 1;
    }
    out->status = st_secrets_get_many(secrets, keys, len, step->count, values, statuses, &error);
    for (size_t i = 0; out->status == ST_OK && i < step->count; i++) {
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
    out->status = st_secrets_set(secrets, step->key.data, step->key.len, step->value.data, step->value.len, &error);
}

static void set_replicate_token(const step *step, outcome *out) {
    out->status = st_secrets_set_replicate_token(secrets, step->value.data, step->value.len, &error);
}

static void secrets_delete(const step *step, outcome *out) {
    bool existed = false;
    out->status = st_secrets_delete(secrets, step->key.data, step->key.len, &existed, &error);
    out->facts[EXISTED] = existed;
}

static void secrets_refresh(const step *step, outcome *out) {
    (void)step;
    out->status = st_secrets_refresh(secrets, ST_TIMEOUT_DEFAULT, &error);
}

static void secrets_file_path(const step *step, outcome *out) {
    st_bytes path = {0};
    (void)step;
    take(out, st_secrets_file_path(secrets, &path, &error), &path);
}

static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    const step *step = context;
    (void)timeout;
    for (size_t i = 0; i < step->count; i++) {
        const answer *answer = &step->answers[i];
        if (answer->key.data == NULL || (answer->key.len == key_len && memcmp(answer->key.data, key, key_len) == 0)) {
            return answer->value.data == NULL ? answer->status
                                              : st_reply_bytes(reply, answer->value.data, answer->value.len, ST_TTL_DEFAULT);
        }
    }
    return ST_NOT_FOUND;
}

static void add_provider(const step *step, outcome *out) {
    out->status = st_secrets_add_provider(secrets, step->key.data, step->key.len, step->position, load, NULL, (void *)step,
                                          &error);
}

static void set_in(const st_cache *to, const step *step, outcome *out) {
    out->status =
        st_cache_set(to, step->key.data, step->key.len, step->value.data, step->value.len, step->number, &error);
}

static void get_from(const st_cache *from, const step *step, outcome *out) {
    st_bytes value = {0};
    take(out, st_cache_get(from, step->key.data, step->key.len, &value, &error), &value);
}

static void cache_set(const step *step, outcome *out) { set_in(cache, step, out); }
static void cache_get(const step *step, outcome *out) { get_from(cache, step, out); }
static void provider_cache_set(const step *step, outcome *out) { set_in(st_cache_provider_config(), step, out); }
static void provider_cache_get(const step *step, outcome *out) { get_from(st_cache_provider_config(), step, out); }
static void user_cache_set(const step *step, outcome *out) { set_in(st_cache_user_permission(), step, out); }
static void user_cache_get(const step *step, outcome *out) { get_from(st_cache_user_permission(), step, out); }

static void cache_delete(const step *step, outcome *out) {
    bool existed = false;
    out->status = st_cache_delete(cache, step->key.data, step->key.len, &existed, &error);
    out->facts[EXISTED] = existed;
}

static void counted(outcome *out, st_status status, size_t count) {
    out->status = status;
    out->facts[COUNT] = (double)count;
}

static void cache_clear(const step *step, outcome *out) {
    size_t count = 0;
    (void)step;
    st_status status = st_cache_clear(cache, &count, &error);
    counted(out, status, count);
}

static void cache_invalidate_prefix(const step *step, outcome *out) {
    size_t count = 0;
    st_status status = st_cache_invalidate_prefix(cache, step->key.data, step->key.len, &count, &error);
    counted(out, status, count);
}

static void invalidate_provider(const step *step, outcome *out) {
    size_t count = 0;
    st_status status = st_cache_invalidate_provider(step->key.data, step->key.len, &count, &error);
    counted(out, status, count);
}

static void invalidate_user(const step *step, outcome *out) {
    size_t count = 0;
    st_status status = st_cache_invalidate_user((int64_t)step->number, &count, &error);
    counted(out, status, count);
}

static void cache_stats(const step *step, outcome *out) {
    st_cache_counts counts = ST_CACHE_COUNTS_INIT;
    (void)step;
    out->status = st_cache_stats(cache, &counts, &error);
    out->facts[ENTRIES] = (double)counts.entries;
    out->facts[MAX_SIZE] = (double)counts.max_size;
    out->facts[EVICTIONS] = (double)counts.evictions;
    out->facts[DEFAULT_TTL] = counts.default_ttl;
}

struct loading {
    const step *step;
    int loaded;
};

static st_status load_and_tell(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    struct loading *loading = context;
    loading->loaded = 1;
    return load((void *)loading->step, key, key_len, timeout, reply);
}

static void cache_get_or_load(const step *step, outcome *out) {
    struct loading loading = {step, 0};
    st_bytes value = {0};
    take(out, st_cache_get_or_load(cache, step->key.data, step->key.len, INFINITY, load_and_tell, &loading, &value, &error),
         &value);
    out->facts[LOADED] = loading.loaded;
}

static void cipher_decrypt(const step *step, outcome *out) {
    st_bytes plaintext = {0};
    take(out, st_decrypt(cipher, step->key.data, step->key.len, &plaintext, &error), &plaintext);
}

static void cipher_round_trip(const step *step, outcome *out) {
    st_bytes token = {0}, plaintext = {0};
    out->status = st_encrypt(cipher, step->value.data, step->value.len, &token, &error);
    if (out->status == ST_OK) {
        out->facts[LENGTH] = (double)token.len;
        take(out, st_decrypt(cipher, (const char *)token.data, token.len, &plaintext, &error), &plaintext);
    }
    st_bytes_free(&token);
}

static void cipher_reencrypt(const step *step, outcome *out) {
    st_bytes token = {0}, plaintext = {0};
    bool changed = false;
    out->status = st_reencrypt(cipher, step->key.data, step->key.len, &token, &changed, &error);
    if (out->status == ST_OK) {
        out->facts[CHANGED] = changed;
        take(out, st_decrypt(cipher, (const char *)token.data, token.len, &plaintext, &error), &plaintext);
    }
    st_bytes_free(&token);
}

static void cipher_rotate_key(const step *step, outcome *out) {
    (void)step;
    out->status = st_rotate_key(cipher, &error);
}

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
};

static st_status opened(const example *example) {
    st_status status = ST_OK;
    st_config *config = st_config_new();
    for (size_t i = 0; i < example->setting_count && status == ST_OK; i++) {
        text value = expanded(example->settings[i].value);
        status = st_config_set(config, example->settings[i].name, ST_NUL, value.data, value.len, &error);
    }
    if (status == ST_OK && example->open != NULL) {
        status = strcmp(example->open, "secrets") == 0  ? st_secrets_open(config, &secrets, &error)
                 : strcmp(example->open, "cipher") == 0 ? st_cipher_open(config, &cipher, &error)
                 : strcmp(example->open, "cache") == 0
                     ? st_cache_new(example->default_ttl, (size_t)example->max_size, example->cleanup_interval, &cache, &error)
                     : ST_INVALID_ARGUMENT;
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

static void run_case(const example *example) {
    static outcome out;
    clear_outcome(&out);
    out.status = opened(example);
    out.facts[SOURCE] = out.status == ST_OK ? NAN : error.source;
    check_outcome(example->name, "opening", &example->opened, &out);
    for (size_t i = 0; i < example->step_count; i++) {
        clear_outcome(&out);
        do_step(&example->steps[i], &out);
        if (out.status != ST_OK) {
            out.facts[SOURCE] = error.source;
        }
        check_outcome(example->name, example->steps[i].action, &example->steps[i].expect, &out);
    }
    st_secrets_free(secrets);
    st_cipher_free(cipher);
    st_cache_free(cache);
}
