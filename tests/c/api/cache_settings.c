/* Caches with settings: cached absence, and reloads while the old value is still served. */
#include <time.h>

#include "check.h"

static st_cache *open_cache(const char *json) {
    st_error error = ST_ERROR_INIT;
    st_config *config = st_config_new();
    st_cache *cache = NULL;
    CHECK_OK(st_config_parse(config, json, ST_NUL, &error));
    CHECK_OK(st_cache_open(config, &cache, &error));
    st_config_free(config);
    return cache;
}

struct source {
    const char *value;
    st_status returned;
    int calls;
};

static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    struct source *source = context;
    (void)key, (void)key_len, (void)timeout;
    source->calls++;
    if (source->value != NULL) {
        CHECK(st_reply_bytes(reply, source->value, ST_NUL, ST_TTL_DEFAULT) == ST_OK);
    }
    return source->returned;
}

static void defaults(void) {
    st_error error = ST_ERROR_INIT;
    st_cache_counts counts = ST_CACHE_COUNTS_INIT;
    st_cache *cache = NULL;
    CHECK_OK(st_cache_open(NULL, &cache, &error));
    CHECK_OK(st_cache_stats(cache, &counts, &error));
    CHECK(counts.max_size == 1000 && counts.default_ttl == 300.0);
    st_cache_free(cache);

    cache = open_cache("{\"max_size\": 1, \"default_ttl\": 0.5}");
    CHECK_OK(st_cache_set(cache, "a", 1, "v", 1, ST_TTL_DEFAULT, &error));
    CHECK_OK(st_cache_set(cache, "b", 1, "v", 1, ST_TTL_DEFAULT, &error));
    CHECK_OK(st_cache_stats(cache, &counts, &error));
    CHECK(counts.max_size == 1 && counts.default_ttl == 0.5 && counts.entries == 1 && counts.evictions == 1);
    st_cache_free(cache);

    /* As with st_cache_new. */
    cache = open_cache("{\"max_size\": 0}");
    CHECK_OK(st_cache_set(cache, "a", 1, "v", 1, ST_TTL_DEFAULT, &error));
    CHECK_OK(st_cache_stats(cache, &counts, &error));
    CHECK(counts.max_size == 0 && counts.entries == 0);
    st_cache_free(cache);
}

static void absence_is_cached(void) {
    st_error error = ST_ERROR_INIT;
    st_cache *cache = open_cache("{\"absent_ttl\": 3600, \"soft_ttl\": 0}");
    struct source none = {.returned = ST_NOT_FOUND}, down = {.returned = ST_UNAVAILABLE};
    st_bytes value = {0};
    st_object object = {0};
    int32_t outcome;
    uint64_t lease;
    size_t len;
    bool existed;
    for (int i = 0; i < 2; i++) {
        CHECK_FAILS(st_cache_get_or_load(cache, "none", ST_NUL, 600.0, load, &none, &value, &error), ST_NOT_FOUND,
                    "key");
        CHECK_FAILS(st_cache_get_or_load(cache, "none", ST_NUL, 600.0, load, &none, NULL, &error), ST_NOT_FOUND, "key");
        CHECK_FAILS(st_cache_get_or_load(cache, "down", ST_NUL, 600.0, load, &down, &value, &error), ST_UNAVAILABLE,
                    "");
    }
    CHECK(none.calls == 1 && down.calls == 2);
    CHECK(st_cache_get(cache, "none", ST_NUL, &value, NULL) == ST_NOT_FOUND);
    CHECK(st_cache_get_into(cache, "none", ST_NUL, NULL, 0, &len, NULL) == ST_NOT_FOUND);
    CHECK(st_cache_get_object(cache, "none", ST_NUL, &object, NULL) == ST_NOT_FOUND);
    CHECK_FAILS(st_cache_load_begin(cache, "none", ST_NUL, 0.0, 600.0, &outcome, &value, &lease, &error), ST_NOT_FOUND,
                "");
    CHECK(outcome == 0 && lease == 0);
    /* It ends with a value, or when it is deleted. */
    CHECK_OK(st_cache_delete(cache, "none", ST_NUL, &existed, &error));
    CHECK(existed);
    CHECK_OK(st_cache_load_begin(cache, "none", ST_NUL, 0.0, 600.0, &outcome, &value, &lease, &error));
    CHECK(outcome == ST_LOAD_LEADER);
    CHECK_OK(st_cache_load_abandon(cache, lease, ST_NOT_FOUND, NULL, 0, &error));
    CHECK_FAILS(st_cache_load_begin(cache, "none", ST_NUL, 0.0, 600.0, &outcome, &value, &lease, &error), ST_NOT_FOUND,
                "");
    CHECK_OK(st_cache_set(cache, "none", ST_NUL, "some", ST_NUL, ST_TTL_DEFAULT, &error));
    CHECK_OK(st_cache_get(cache, "none", ST_NUL, &value, &error));
    CHECK_TEXT(value, "some");
    st_bytes_free(&value);
    st_cache_free(cache);
}

static void stale_value_is_served_during_a_reload(void) {
    st_error error = ST_ERROR_INIT;
    st_cache *cache = open_cache("{\"soft_ttl\": 0.01, \"default_ttl\": 3600}");
    struct source down = {.returned = ST_UNAVAILABLE}, good = {.value = "new"}, gone = {.returned = ST_NOT_FOUND};
    st_bytes value = {0};
    int32_t outcome;
    uint64_t lease, other;
    CHECK_OK(st_cache_set(cache, "k", 1, "old", 3, ST_TTL_DEFAULT, &error));
    nanosleep(&(struct timespec){0, 200000000}, NULL); /* many times the soft TTL, because the clock may be coarse */
    CHECK_OK(st_cache_load_begin(cache, "k", 1, 0.0, 600.0, &outcome, &value, &lease, &error));
    CHECK(outcome == ST_LOAD_LEADER);
    CHECK_TEXT(value, "old");
    st_bytes_free(&value);
    CHECK_OK(st_cache_load_begin(cache, "k", 1, 0.0, 600.0, &outcome, &value, &other, &error));
    CHECK(outcome == ST_LOAD_HIT);
    CHECK_TEXT(value, "old");
    st_bytes_free(&value);
    CHECK_OK(st_cache_load_abandon(cache, lease, ST_UNAVAILABLE, NULL, 0, &error));
    /* A failure keeps the old value, and the next reload is a second later. */
    while (down.calls == 0) {
        CHECK_OK(st_cache_get_or_load(cache, "k", 1, 600.0, load, &down, &value, &error));
        CHECK_TEXT(value, "old");
        st_bytes_free(&value);
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    while (good.calls == 0) {
        CHECK_OK(st_cache_get_or_load(cache, "k", 1, 600.0, load, &good, &value, &error));
        CHECK_TEXT(value, good.calls == 0 ? "old" : "new");
        st_bytes_free(&value);
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    CHECK(down.calls == 1 && good.calls == 1);
    /* A load that finds nothing removes the value. */
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    CHECK_FAILS(st_cache_get_or_load(cache, "k", 1, 1.0, load, &gone, &value, &error), ST_NOT_FOUND, "");
    CHECK(gone.calls == 1 && st_cache_get(cache, "k", 1, &value, NULL) == ST_NOT_FOUND);
    st_cache_free(cache);
}

static void ttl_jitter_spreads_expiry(void) {
    st_error error = ST_ERROR_INIT;
    st_cache_counts counts = ST_CACHE_COUNTS_INIT;
    st_cache *cache = open_cache("{\"ttl_jitter\": 1, \"default_ttl\": 1000000}");
    for (uint32_t i = 0; i < 1000; i++) {
        /* With a jittered TTL, some of the entries have already expired. */
        CHECK_OK(st_cache_set(cache, &i, sizeof i, "v", 1, 0.02, &error));
    }
    nanosleep(&(struct timespec){0, 10000000}, NULL);
    CHECK_OK(st_cache_stats(cache, &counts, &error));
    CHECK(counts.entries == 1000 && counts.expired_count > 0);
    for (uint32_t i = 0; i < 1000; i++) {
        CHECK_OK(st_cache_set(cache, &i, sizeof i, "v", 1, ST_TTL_DEFAULT, &error));
    }
    CHECK_OK(st_cache_stats(cache, &counts, &error));
    CHECK(counts.expired_count < 10);
    st_cache_free(cache);
}

int main(void) {
    begin();
    defaults();
    absence_is_cached();
    stale_value_is_served_during_a_reload();
    ttl_jitter_spreads_expiry();
    return 0;
}
