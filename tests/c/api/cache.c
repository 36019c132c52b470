/* Caches: set, get, expiry, invalidation. */
#include <math.h>

#include "check.h"

static st_error error = ST_ERROR_INIT;

static st_cache *open_cache(double ttl, size_t capacity) {
    st_cache *cache = NULL;
    CHECK_OK(st_cache_new(ttl, capacity, 60.0, &cache, &error));
    return cache;
}

static void put(const st_cache *cache, const char *key, const char *value, double ttl) {
    CHECK_OK(st_cache_set(cache, key, ST_NUL, value, ST_NUL, ttl, &error));
}

static int has(const st_cache *cache, const char *key) {
    size_t len;
    return st_cache_get_into(cache, key, ST_NUL, NULL, 0, &len, NULL) == ST_OK;
}

static void values(void) {
    st_cache *cache = open_cache(300.0, 10);
    st_bytes value = {0};
    put(cache, "key", "value", ST_TTL_DEFAULT);
    CHECK_OK(st_cache_get(cache, "key", ST_NUL, &value, &error));
    CHECK_TEXT(value, "value");
    /* Returned values stay valid when the entry and the cache are gone. */
    put(cache, "key", "another", ST_TTL_DEFAULT);
    st_bytes clone = {0};
    CHECK_OK(st_bytes_clone(&value, &clone, &error));
    st_bytes_free(&value);
    st_bytes_free(&value);
    CHECK_EMPTY(value);

    /* Keys and values are arbitrary bytes. */
    CHECK_OK(st_cache_set(cache, "a\0b", 3, "x\0y", 3, ST_TTL_DEFAULT, &error));
    CHECK_OK(st_cache_set(cache, NULL, 0, NULL, 0, ST_TTL_DEFAULT, &error));
    char buffer[8] = "-------";
    size_t len = 99;
    CHECK_OK(st_cache_get_into(cache, "a\0b", 3, buffer, sizeof buffer, &len, &error));
    CHECK(len == 3 && memcmp(buffer, "x\0y-", 4) == 0);
    CHECK_OK(st_cache_get_into(cache, "", 0, buffer, sizeof buffer, &len, &error));
    CHECK(len == 0);
    st_cache_free(cache);
    CHECK_TEXT(clone, "value");
    st_bytes_free(&clone);
}

static void misses_and_sizes(void) {
    st_cache *cache = open_cache(300.0, 10);
    st_bytes value;
    memset(&value, 0x5A, sizeof value);
    strcpy(error.message, "old");
    CHECK(st_cache_get(cache, "none", ST_NUL, &value, &error) == ST_NOT_FOUND);
    CHECK_EMPTY(value);
    /* A miss does not write a message. */
    CHECK(error.status == ST_NOT_FOUND && error.message[0] == 0);

    put(cache, "key", "12345", ST_TTL_DEFAULT);
    char buffer[4] = "abc";
    size_t len = 0;
    CHECK_OK(st_cache_get_into(cache, "key", ST_NUL, NULL, 0, &len, &error));
    CHECK(len == 5);
    CHECK_FAILS(st_cache_get_into(cache, "key", ST_NUL, buffer, sizeof buffer, &len, &error), ST_BUFFER_TOO_SMALL, "5");
    CHECK(len == 5 && strcmp(buffer, "abc") == 0);
    st_cache_free(cache);
}

static void times(void) {
    st_cache *cache = open_cache(3600.0, 10);
    put(cache, "default", "x", ST_TTL_DEFAULT);
    put(cache, "short", "x", 0.03);
    put(cache, "over", "x", 0.0);
    CHECK(!has(cache, "over"));
    CHECK_SOON(!has(cache, "short"));
    CHECK(has(cache, "default"));
    st_cache_free(cache);

    cache = open_cache(0.03, 10);
    put(cache, "longer", "x", 3600.0);
    put(cache, "forever", "x", INFINITY);
    put(cache, "default", "x", ST_TTL_DEFAULT);
    CHECK_SOON(!has(cache, "default"));
    CHECK(has(cache, "longer") && has(cache, "forever"));
    st_cache_free(cache);

    cache = open_cache(INFINITY, 0);
    put(cache, "key", "x", ST_TTL_DEFAULT);
    CHECK(!has(cache, "key"));
    st_cache_free(cache);
}

static void least_recently_used(void) {
    st_cache *cache = open_cache(300.0, 3);
    put(cache, "a", "1", ST_TTL_DEFAULT);
    put(cache, "b", "1", ST_TTL_DEFAULT);
    put(cache, "c", "1", ST_TTL_DEFAULT);
    CHECK(has(cache, "a"));
    put(cache, "b", "2", ST_TTL_DEFAULT);
    put(cache, "d", "1", ST_TTL_DEFAULT);
    CHECK(has(cache, "a") && has(cache, "b") && !has(cache, "c") && has(cache, "d"));
    st_cache_counts counts = ST_CACHE_COUNTS_INIT;
    CHECK_OK(st_cache_stats(cache, &counts, &error));
    CHECK(counts.size == sizeof counts && counts.entries == 3 && counts.max_size == 3);
    CHECK(counts.evictions == 1 && counts.hits == 4 && counts.misses == 1 && counts.default_ttl == 300.0);
    st_cache_free(cache);
}

static void invalidation(void) {
    st_cache *cache = open_cache(300.0, 100);
    bool existed = false;
    size_t count = 99;
    put(cache, "user:1:a", "x", ST_TTL_DEFAULT);
    put(cache, "user:1:b", "x", ST_TTL_DEFAULT);
    put(cache, "user:1:over", "x", 0.0);
    put(cache, "user:12:a", "x", ST_TTL_DEFAULT);
    CHECK_OK(st_cache_invalidate_prefix(cache, "user:1:", ST_NUL, &count, &error));
    CHECK(count == 2 && !has(cache, "user:1:a") && has(cache, "user:12:a"));
    CHECK_OK(st_cache_delete(cache, "user:12:a", ST_NUL, &existed, &error));
    CHECK(existed);
    CHECK_OK(st_cache_delete(cache, "user:12:a", ST_NUL, &existed, &error));
    CHECK(!existed);
    CHECK_OK(st_cache_delete(cache, "user:12:a", ST_NUL, NULL, &error));
    put(cache, "x", "x", ST_TTL_DEFAULT);
    CHECK_OK(st_cache_clear(cache, &count, &error));
    CHECK(count == 1);
    CHECK_OK(st_cache_clear(cache, NULL, &error));
    st_cache_free(cache);
}

static void count_drop(void *context) {
    ++*(int *)context;
}

static void objects(void) {
    st_cache *cache = open_cache(300.0, 1);
    int drops = 0, others = 0;
    st_object object = {0};
    st_bytes bytes = {0};
    CHECK_OK(st_cache_set_object(cache, "o", ST_NUL, &drops, count_drop, ST_TTL_DEFAULT, &error));
    CHECK_OK(st_cache_get_object(cache, "o", ST_NUL, &object, &error));
    CHECK(object.object == &drops);
    CHECK_FAILS(st_cache_get(cache, "o", ST_NUL, &bytes, &error), ST_WRONG_TYPE, "object");
    size_t len;
    CHECK_FAILS(st_cache_get_into(cache, "o", ST_NUL, NULL, 0, &len, &error), ST_WRONG_TYPE, "object");
    /* The object is dropped with its last reference. */
    put(cache, "p", "x", ST_TTL_DEFAULT);
    CHECK(drops == 0);
    st_object_free(&object);
    st_object_free(&object);
    CHECK(drops == 1 && object.object == NULL);
    CHECK_FAILS(st_cache_get_object(cache, "p", ST_NUL, &object, &error), ST_WRONG_TYPE, "bytes");
    CHECK(st_cache_get_object(cache, "none", ST_NUL, &object, &error) == ST_NOT_FOUND);
    /* Ownership is transferred even if the call fails, and the object is dropped with the cache. */
    CHECK_FAILS(st_cache_set_object(NULL, "o", ST_NUL, &others, count_drop, ST_TTL_DEFAULT, &error),
                ST_INVALID_ARGUMENT, "`cache`");
    CHECK(others == 1);
    CHECK_OK(st_cache_set_object(cache, "o", ST_NUL, &others, count_drop, ST_TTL_DEFAULT, &error));
    CHECK_OK(st_cache_set_object(cache, "n", ST_NUL, NULL, NULL, ST_TTL_DEFAULT, &error));
    CHECK(others == 2);
    st_cache_free(cache);
    st_object_free(NULL);
    st_cache_free(NULL);
    st_cache_free((st_cache *)st_cache_provider_config());
}

struct user {
    st_cache *cache;
    int drops;
};

/* Uses the cache that drops it, and stores an entry. */
static void use_cache(void *context) {
    struct user *user = context;
    size_t len;
    user->drops++;
    CHECK_OK(st_cache_set(user->cache, "left", ST_NUL, "by a drop", ST_NUL, ST_TTL_DEFAULT, &error));
    CHECK_OK(st_cache_get_into(user->cache, "left", ST_NUL, NULL, 0, &len, &error));
    CHECK_OK(st_cache_delete(user->cache, "none", ST_NUL, NULL, &error));
    if (user->drops == 1) {
        CHECK_OK(st_cache_set_object(user->cache, "more", ST_NUL, user, use_cache, ST_TTL_DEFAULT, &error));
    }
}

static void drop_may_use_the_cache_that_is_freed(void) {
    struct user user = {open_cache(300.0, 10), 0};
    CHECK_OK(st_cache_set_object(user.cache, "a", 1, &user, use_cache, ST_TTL_DEFAULT, &error));
    CHECK_OK(st_cache_set_object(user.cache, "b", 1, &user, use_cache, 0.0, &error));
    st_cache_free(user.cache);
    CHECK(user.drops == 3);
}

static void built_in(void) {
    size_t count = 0;
    const st_cache *providers = st_cache_provider_config(), *users = st_cache_user_permission();
    CHECK(providers == st_cache_provider_config() && users != providers);
    put(providers, "provider:replicate:config", "{}", ST_TTL_DEFAULT);
    put(users, "user:123:permissions", "x", ST_TTL_DEFAULT);
    CHECK_OK(st_cache_invalidate_provider("replicate", ST_NUL, &count, &error));
    CHECK(count == 1);
    CHECK_OK(st_cache_invalidate_user(123, &count, &error));
    CHECK(count == 1);
    CHECK_OK(st_cache_invalidate_user(-1, NULL, &error));
    st_cache_counts counts = ST_CACHE_COUNTS_INIT;
    CHECK_OK(st_cache_stats(providers, &counts, &error));
    CHECK(counts.max_size == 100 && counts.default_ttl == 300.0);
    CHECK_OK(st_cache_stats(users, &counts, &error));
    CHECK(counts.max_size == 500 && counts.default_ttl == 60.0);
    /* A struct of an older version is only written up to its size. */
    memset(&counts, 0x5A, sizeof counts);
    counts.size = 16;
    CHECK_OK(st_cache_stats(users, &counts, &error));
    CHECK(counts.entries == 0 && counts.max_size == 0x5A5A5A5A5A5A5A5A);
}

int main(void) {
    values();
    misses_and_sizes();
    times();
    least_recently_used();
    invalidation();
    objects();
    drop_may_use_the_cache_that_is_freed();
    built_in();
    return 0;
}
