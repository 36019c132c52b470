/* Caches of strings and bytes, and their loads. */
#include <string.h>

#include "addon.h"

/* --- hits, on a fast path --- */

enum { SHORT_VALUE = 1024 };

typedef napi_value (*make_value)(napi_env env, const void *data, size_t len);

/* Returns undefined for a missing entry. */
static napi_value found(napi_env env, st_status status, const st_error *error) {
    return status == ST_NOT_FOUND ? NULL : throw_error(env, error);
}

static napi_value get_long(napi_env env, const st_cache *cache, const char *key, size_t key_len, make_value make) {
    st_bytes value = {0};
    st_error error = ST_ERROR_INIT;
    st_status status = st_cache_get(cache, key, key_len, &value, &error);
    napi_value result = status == ST_OK ? make(env, value.data, value.len) : found(env, status, &error);
    st_bytes_free(&value);
    return result;
}

static napi_value get(napi_env env, napi_callback_info info, make_value make) {
    napi_value arguments[2];
    size_t count = 2;
    char key[SHORT_KEY], value[SHORT_VALUE];
    napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
    const handle *held = open_handle(env, arguments[0], CACHE, "cache");
    if (held == NULL) return NULL;
    ptrdiff_t key_len = read_short(env, arguments[1], key, sizeof key);
    if (key_len < 0) {
        input any;
        if (!read_bytes(env, arguments[1], "key", &any)) return NULL;
        napi_value result = get_long(env, held->is.cache, any.data, any.len, make);
        input_free(&any);
        return result;
    }
    size_t len = 0;
    st_error error;
    error.size = sizeof error;
    st_status status = st_cache_get_into(held->is.cache, key, (size_t)key_len, value, sizeof value, &len, &error);
    if (status == ST_BUFFER_TOO_SMALL) return get_long(env, held->is.cache, key, (size_t)key_len, make);
    if (status != ST_OK) return found(env, status, &error);
    napi_value result = make(env, value, len);
    explicit_bzero(value, len);
    return result;
}

static napi_value get_text(napi_env env, napi_callback_info info) {
    return get(env, info, make_text);
}

static napi_value get_copy(napi_env env, napi_callback_info info) {
    return get(env, info, make_copy);
}

/* --- everything else --- */

static st_status open(call *call) {
    st_cache *made = NULL;
    double size = call->numbers[1];
    if (!(size >= 0 && size <= 9007199254740991.0)) {
        strcpy(call->error.message, "maxSize must be 0 or more");
        return ST_INVALID_ARGUMENT;
    }
    st_status status = st_cache_new(call->numbers[0], (size_t)size, call->numbers[2], &made, &call->error);
    if (status == ST_OK) call->made = new_handle(CACHE, made, false);
    return status;
}

OPENS(open_with, st_cache, CACHE, st_cache_open)

/* 0 is the cache for provider configuration, 1 that for user permissions. */
static st_status builtin(call *call) {
    const st_cache *cache = call->integers[0] == 0 ? st_cache_provider_config() : st_cache_user_permission();
    call->made = new_handle(CACHE, (void *)cache, true);
    return ST_OK;
}

static st_status set(call *call) {
    return st_cache_set(HANDLE(call, 0, cache), TEXT(call, 0), TEXT(call, 1), call->numbers[0], &call->error);
}

static st_status delete(call *call) {
    return st_cache_delete(HANDLE(call, 0, cache), TEXT(call, 0), &call->flag, &call->error);
}

static st_status counted(call *call, st_status status, size_t count) {
    call->integer = (int64_t)count;
    return status;
}

static st_status clear(call *call) {
    size_t count = 0;
    st_status status = st_cache_clear(HANDLE(call, 0, cache), &count, &call->error);
    return counted(call, status, count);
}

static st_status invalidate_prefix(call *call) {
    size_t count = 0;
    st_status status = st_cache_invalidate_prefix(HANDLE(call, 0, cache), TEXT(call, 0), &count, &call->error);
    return counted(call, status, count);
}

static st_status invalidate_provider(call *call) {
    size_t count = 0;
    st_status status = st_cache_invalidate_provider(TEXT(call, 0), &count, &call->error);
    return counted(call, status, count);
}

static st_status invalidate_user(call *call) {
    size_t count = 0;
    st_status status = st_cache_invalidate_user(call->integers[0], &count, &call->error);
    return counted(call, status, count);
}

/* The counters in the order of the header. */
static napi_value stats(napi_env env, napi_callback_info info) {
    napi_value argument;
    size_t count = 1;
    napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
    const handle *held = open_handle(env, argument, CACHE, "cache");
    if (held == NULL) return NULL;
    st_cache_counts counts = ST_CACHE_COUNTS_INIT;
    st_error error = ST_ERROR_INIT;
    if (st_cache_stats(held->is.cache, &counts, &error) != ST_OK) return throw_error(env, &error);
    const double numbers[] = {
        (double)counts.entries,       (double)counts.max_size,      counts.default_ttl,
        (double)counts.expired_count, (double)counts.hits,          (double)counts.misses,
        (double)counts.evictions,     (double)counts.expirations,   (double)counts.invalidations,
        (double)counts.loads,         (double)counts.load_failures,
    };
    napi_value items[sizeof numbers / sizeof *numbers];
    for (size_t at = 0; at < sizeof numbers / sizeof *numbers; at++) items[at] = make_number(env, numbers[at]);
    return make_array(env, sizeof numbers / sizeof *numbers, items);
}

/* --- loads --- */

static void begun(call *call, int32_t outcome, uint64_t lease) {
    call->integers[0] = outcome;
    call->integers[1] = (int64_t)lease;
    if (outcome == ST_LOAD_LEADER) call->lease = lease;
}

static st_status load_begin(call *call) {
    int32_t outcome = 0;
    uint64_t lease = 0;
    st_status status = st_cache_load_begin(HANDLE(call, 0, cache), TEXT(call, 0), 0.0, call->numbers[0], &outcome,
                                           &call->bytes, &lease, &call->error);
    begun(call, outcome, lease);
    return status;
}

/* An st_load_ended_fn: returns the result of the load to the environment of the call. An object cannot leave its own
 * thread; its value is empty. */
static void load_ended(void *context, const st_bytes *value, void *object, const st_error *error) {
    call *call = context;
    (void)object;
    call->integers[0] = ST_LOAD_HIT;
    call->error = *error;
    if (value != NULL) call->error.status = st_bytes_clone(value, &call->bytes, &call->error);
    call_done(call);
}

/* Another thread may notify the call before this returns. */
static st_status load_wait(call *call) {
    int32_t outcome = 0;
    uint64_t lease = 0, waiter = 0;
    st_bytes bytes = {0};
    st_error error = ST_ERROR_INIT;
    st_status status = st_cache_load_begin_notify(HANDLE(call, 0, cache), TEXT(call, 0), call->numbers[0], load_ended,
                                                  call, &outcome, &bytes, &lease, &waiter, &error);
    call->waiter = waiter;
    if (outcome == ST_LOAD_BUSY) return PENDING;
    begun(call, outcome, lease);
    call->bytes = bytes;
    call->error = error;
    return status;
}

bool cache_withdraw(call *call) {
    bool cancelled = false;
    st_cache_load_notify_cancel(HANDLE(call, 0, cache), call->waiter, &cancelled, NULL);
    return cancelled;
}

/* [outcome, lease, value as bytes or undefined] */
static napi_value load_result(napi_env env, call *call) {
    napi_value items[3] = {make_number(env, (double)call->integers[0]), NULL, make_undefined(env)};
    napi_create_bigint_int64(env, call->integers[1], &items[1]);
    if (call->bytes.data != NULL) items[2] = copy_result(env, call);
    napi_value result = make_array(env, 3, items);
    if (result != NULL) call->lease = 0;
    return result;
}

static st_status load_finish(call *call) {
    return st_cache_load_finish(HANDLE(call, 0, cache), (uint64_t)call->integers[0], TEXT(call, 0), call->numbers[0],
                                &call->error);
}

static st_status load_abandon(call *call) {
    return st_cache_load_abandon(HANDLE(call, 0, cache), (uint64_t)call->integers[0], (st_status)call->integers[1],
                                 TEXT(call, 0), &call->error);
}

bool define_cache(napi_env env, napi_value exports) {
    static const operation operations[] = {
        {"cacheNew", "ddd", "defaultTtl maxSize cleanupInterval", open, handle_result, QUICK},
        {"cacheOpen", "s", "settings", open_with, handle_result, QUICK},
        {"cacheBuiltin", "i", "which", builtin, handle_result, QUICK},
        {"cacheSet", "Kbvd", "cache key value ttl", set, nothing_result, QUICK},
        {"cacheDelete", "Kb", "cache key", delete, flag_result, QUICK},
        {"cacheClear", "K", "cache", clear, integer_result, QUICK},
        {"cacheInvalidatePrefix", "Kb", "cache prefix", invalidate_prefix, integer_result, QUICK},
        {"cacheInvalidateProvider", "s", "provider", invalidate_provider, integer_result, QUICK},
        {"cacheInvalidateUser", "i", "userId", invalidate_user, integer_result, QUICK},
        {"cacheLoadBegin", "Kbd", "cache key leaseTtl", load_begin, load_result, QUICK},
        {"cacheLoadWait", "Kbd", "cache key leaseTtl", load_wait, load_result, NOTIFIED},
        {"cacheLoadFinish", "Kibd", "cache lease value ttl", load_finish, nothing_result, QUICK},
        {"cacheLoadAbandon", "Kiio", "cache lease status message", load_abandon, nothing_result, QUICK},
    };
    const napi_property_descriptor functions[] = {
        {"cacheGet", 0, get_text, 0, 0, 0, napi_default, 0},
        {"cacheGetBytes", 0, get_copy, 0, 0, 0, napi_default, 0},
        {"cacheStats", 0, stats, 0, 0, 0, napi_default, 0},
    };
    return define_operations(env, exports, operations, sizeof operations / sizeof *operations) &&
           napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions) == napi_ok;
}
