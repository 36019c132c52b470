/* Managers of secrets. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addon.h"

st_status config_from(const input *json, st_config **out, st_error *error) {
    *out = NULL;
    if (json->data == NULL) return ST_OK;
    st_config *config = st_config_new();
    st_status status = st_config_parse(config, json->data, json->len, error);
    if (status == ST_OK) *out = config;
    else st_config_free(config);
    return status;
}

st_status with_config(call *call, st_status (*make)(const st_config *config, st_error *error)) {
    st_config *config;
    st_status status = config_from(&call->inputs[0], &config, &call->error);
    if (status == ST_OK) status = make(config, &call->error);
    st_config_free(config);
    return status;
}

OPENS(open, st_secrets, SECRETS, st_secrets_open)

static st_status reset(call *call) {
    return with_config(call, st_secrets_reset);
}

static st_status get(call *call) {
    return st_secrets_get_with(HANDLE(call, 0, secrets), TEXT(call, 0), call->numbers[0], (uint32_t)call->integers[0],
                               &call->bytes, &call->info, &call->error);
}

/* The keys end with a NUL each. Only a call for one key returns an error message, so a failed key is looked up
 * again, which the library answers from its caches, except after a timeout. */
static st_status get_many(call *call) {
    size_t count = (size_t)call->integers[0];
    call->values = calloc(count + 1, sizeof *call->values);
    call->errors = calloc(count + 1, sizeof *call->errors);
    st_status *statuses = calloc(count + 1, sizeof *statuses), status = ST_NO_MEMORY;
    if (call->values != NULL && call->errors != NULL && statuses != NULL) {
        call->integer = call->integers[0];
        status =
            st_secrets_get_many(HANDLE(call, 0, secrets), TEXT(call, 0), count, call->values, statuses, &call->error);
    }
    const char *key = call->inputs[0].data;
    for (size_t at = 0; status == ST_OK && at < count; at++, key += strlen(key) + 1) {
        st_error *error = &call->errors[at];
        error->size = sizeof *error;
        if (statuses[at] == ST_TIMEOUT) {
            error->status = ST_TIMEOUT;
            error->flags = ST_ERROR_RETRYABLE;
            snprintf(error->message, sizeof error->message, "timed out before this secret was found");
        } else if (statuses[at] != ST_OK) {
            st_secrets_get(HANDLE(call, 0, secrets), key, ST_NUL, &call->values[at], error);
        }
    }
    free(statuses);
    return status;
}

/* [secret or error, …] */
static napi_value many_result(napi_env env, call *call) {
    napi_value array = NULL;
    if (napi_create_array(env, &array) != napi_ok) return NULL;
    for (uint32_t at = 0; at < (uint32_t)call->integer; at++) {
        bool found = call->errors[at].status == ST_OK;
        napi_value value =
            found ? make_secret(env, &call->values[at], &call->info) : make_error(env, &call->errors[at]);
        if (value == NULL) return NULL;
        napi_set_element(env, array, at, value);
    }
    return array;
}

static st_status set(call *call) {
    return st_secrets_set(HANDLE(call, 0, secrets), TEXT(call, 0), TEXT(call, 1), &call->error);
}

static st_status delete(call *call) {
    return st_secrets_delete(HANDLE(call, 0, secrets), TEXT(call, 0), &call->flag, &call->error);
}

static st_status refresh(call *call) {
    return st_secrets_refresh(HANDLE(call, 0, secrets), call->numbers[0], &call->error);
}

static st_status prefetch(call *call) {
    return st_secrets_prefetch(HANDLE(call, 0, secrets), call->numbers[0], &call->error);
}

static st_status clear_cache(call *call) {
    return st_secrets_clear_cache(HANDLE(call, 0, secrets), &call->error);
}

static st_status describe(call *call) {
    return st_secrets_describe(HANDLE(call, 0, secrets), &call->bytes, &call->error);
}

static st_status stats(call *call) {
    return st_secrets_stats(HANDLE(call, 0, secrets), &call->bytes, &call->error);
}

static st_status check(call *call) {
    return st_secrets_check(HANDLE(call, 0, secrets), &call->bytes, &call->error);
}

static st_status share(call *call) {
    return st_secrets_share(HANDLE(call, 0, secrets), &call->bytes, &call->error);
}

static st_status file_path(call *call) {
    return st_secrets_file_path(HANDLE(call, 0, secrets), &call->bytes, &call->error);
}

static st_status generation(call *call) {
    uint64_t generation = 0;
    st_status status = st_secrets_generation(HANDLE(call, 0, secrets), &generation, &call->error);
    call->integer = (int64_t)generation;
    return status;
}

static st_status listen(call *call) {
    uint64_t generation = 0;
    st_status status = st_secrets_listen(HANDLE(call, 0, secrets), (uint64_t)call->integers[0], call->numbers[0],
                                         &generation, &call->error);
    call->integer = (int64_t)generation;
    return status;
}

static st_status invalidate(call *call) {
    return st_secrets_invalidate(HANDLE(call, 0, secrets), TEXT(call, 0), (uint32_t)call->integers[0], call->numbers[0],
                                 &call->bytes, &call->error);
}

/* --- providers in JavaScript --- */

/* A JavaScript provider is called before the call of the library, by JavaScript itself, and its answers are passed
 * with the call. If the library called it from a thread that waits for the event loop while the event loop waits in
 * a `Sync` call for what that thread loads, both would deadlock. */
static st_status get_answer(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    (void)timeout;
    for (const answer *each = current_call ? current_call->answers : NULL; each != NULL; each = each->next) {
        if (each->provider != *(uint32_t *)context || each->key.len != key_len) continue;
        if (memcmp(each->key.data, key, key_len) != 0) continue;
        if (each->status == ST_OK) return st_reply_bytes(reply, each->value.data, each->value.len, each->ttl);
        if (each->value.data != NULL) st_reply_error(reply, each->status, each->value.data, each->value.len);
        return each->status;
    }
    static const char message[] = "not called, because this call cannot wait for JavaScript";
    st_reply_error(reply, ST_UNAVAILABLE, message, sizeof message - 1);
    return ST_UNAVAILABLE;
}

static st_status add_provider(call *call) {
    uint32_t *provider = malloc(sizeof *provider);
    if (provider == NULL) abort();
    *provider = (uint32_t)call->integers[1];
    size_t position = call->integers[0] < 0 ? ST_LAST : (size_t)call->integers[0];
    return st_secrets_add_provider(HANDLE(call, 0, secrets), TEXT(call, 0), position, get_answer, free, provider,
                                   &call->error);
}

bool define_secrets(napi_env env, napi_value exports) {
    static const operation operations[] = {
        {"secretsOpen", "o", "config", open, handle_result, QUICK},
        {"secretsReset", "o", "config", reset, nothing_result, QUICK},
        {"secretsGet", "SstiA", "secrets key timeout flags answers", get, secret_result, REMOTE},
        {"secretsGetMany", "SsiA", "secrets keys count answers", get_many, many_result, REMOTE},
        {"secretsSet", "Ssv", "secrets key value", set, nothing_result, LOCAL},
        {"secretsDelete", "Ss", "secrets key", delete, flag_result, LOCAL},
        {"secretsRefresh", "St", "secrets timeout", refresh, nothing_result, REMOTE},
        {"secretsPrefetch", "St", "secrets timeout", prefetch, nothing_result, REMOTE},
        {"secretsClearCache", "S", "secrets", clear_cache, nothing_result, QUICK},
        {"secretsDescribe", "S", "secrets", describe, text_result, LOCAL},
        {"secretsStats", "S", "secrets", stats, text_result, LOCAL},
        {"secretsCheck", "S", "secrets", check, text_result, REMOTE},
        {"secretsShare", "S", "secrets", share, text_result, LOCAL},
        {"secretsGeneration", "S", "secrets", generation, integer_result, QUICK},
        {"secretsListen", "Sid", "secrets since timeout", listen, integer_result, REMOTE},
        {"secretsInvalidate", "Sodi", "secrets key timeout scope", invalidate, text_result, REMOTE},
        {"secretsFilePath", "S", "secrets", file_path, text_result, LOCAL},
        {"secretsAddProvider", "Ssii", "secrets name position provider", add_provider, nothing_result, QUICK},
    };
    return define_operations(env, exports, operations, sizeof operations / sizeof *operations);
}
