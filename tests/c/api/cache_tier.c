/* Caches that share their values through a Redis server. */
#include "check.h"

static const char share_key[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

static st_cache *open_cache(const char *user) {
    st_error error = ST_ERROR_INIT;
    st_config *config = st_config_new();
    st_cache *cache = NULL;
    char url[PATH_MAX + 64];
    snprintf(url, sizeof url, "unix://%s%s", user, path_of("redis.sock"));
    CHECK_OK(st_config_set(config, "tier", ST_NUL, url, ST_NUL, &error));
    CHECK_OK(st_config_set(config, "share_key", ST_NUL, share_key, ST_NUL, &error));
    CHECK_OK(st_config_set(config, "tier_interval", ST_NUL, "0.01", ST_NUL, &error));
    CHECK_OK(st_cache_open(config, &cache, &error));
    st_config_free(config);
    return cache;
}

/* Whether the cache has this value; with NULL, whether it has none. */
static int has(const st_cache *cache, const char *key, const char *expected) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    st_status status = st_cache_get(cache, key, ST_NUL, &value, &error);
    CHECK(status == ST_OK || status == ST_NOT_FOUND);
    int is_expected = expected == NULL ? status == ST_NOT_FOUND
                                       : status == ST_OK && value.len == strlen(expected) &&
                                             memcmp(value.data, expected, value.len) == 0;
    st_bytes_free(&value);
    return is_expected;
}

static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    (void)key, (void)key_len, (void)timeout;
    ++*(int *)context;
    return st_reply_bytes(reply, "CANARY-loaded", ST_NUL, ST_TTL_DEFAULT);
}

static void values_and_invalidations_are_shared(void) {
    st_error error = ST_ERROR_INIT;
    st_cache *one = open_cache(""), *other = open_cache("");
    size_t count = 0;
    CHECK_OK(st_cache_set(one, "user:1", ST_NUL, "CANARY-first", 12, ST_TTL_DEFAULT, &error));
    CHECK_OK(st_cache_set(one, "user:2", ST_NUL, "CANARY-first", 12, ST_TTL_DEFAULT, &error));
    CHECK_OK(st_cache_set(one, "plan", ST_NUL, "CANARY-plan", 11, ST_TTL_DEFAULT, &error));
    CHECK(has(other, "user:1", "CANARY-first") && has(other, "user:2", "CANARY-first") &&
          has(other, "plan", "CANARY-plan"));

    CHECK_OK(st_cache_set(one, "user:1", ST_NUL, "CANARY-second", 13, ST_TTL_DEFAULT, &error));
    CHECK_SOON(has(other, "user:1", "CANARY-second"));
    CHECK_OK(st_cache_invalidate_prefix(one, "user:", ST_NUL, &count, &error));
    CHECK(count == 2);
    CHECK_SOON(has(other, "user:1", NULL) && has(other, "user:2", NULL));
    CHECK(has(other, "plan", "CANARY-plan"));

    /* One load for both. */
    int loads = 0;
    st_cache *caches[] = {one, other};
    for (int i = 0; i < 2; i++) {
        st_bytes value = {0};
        CHECK_OK(st_cache_get_or_load(caches[i], "loaded", ST_NUL, 60.0, load, &loads, &value, &error));
        CHECK(value.len == 13 && memcmp(value.data, "CANARY-loaded", 13) == 0);
        st_bytes_free(&value);
    }
    CHECK(loads == 1);
    st_cache_free(one);
    st_cache_free(other);
}

static void failing_tier_is_not_a_failure(st_cache *cache) {
    st_error error = ST_ERROR_INIT;
    CHECK_OK(st_cache_set(cache, "a", ST_NUL, "CANARY-own", 10, ST_TTL_DEFAULT, &error));
    CHECK(has(cache, "a", "CANARY-own") && has(cache, "b", NULL));
    st_cache_free(cache);
}

int main(void) {
    begin();
    st_error error = ST_ERROR_INIT;
    char command[3 * PATH_MAX];
    snprintf(command, sizeof command,
             "redis-server --port 0 --save '' --daemonize yes --dir '%s' --unixsocket '%s' >/dev/null", path_of(""),
             path_of("redis.sock"));
    CHECK(system(command) == 0);
    CHECK_SOON(access(path_of("redis.sock"), F_OK) == 0);
    values_and_invalidations_are_shared();
    failing_tier_is_not_a_failure(open_cache("nobody:CANARY@"));

    st_cache *cache = open_cache("");
    CHECK_OK(st_cache_set(cache, "kept", ST_NUL, "CANARY-kept", 11, ST_TTL_DEFAULT, &error));
    snprintf(command, sizeof command, "redis-cli -s '%s' shutdown nosave", path_of("redis.sock"));
    CHECK(system(command) == 0);
    CHECK(has(cache, "kept", "CANARY-kept"));
    failing_tier_is_not_a_failure(cache);
    return 0;
}
