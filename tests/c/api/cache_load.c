/* Loads of missing values, one for all callers. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#include "check.h"

static st_cache *cache;

struct source {
    const char *value;
    st_status returned;
    long pause_ms;
    int asks_itself;
    atomic_int calls;
};

static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    struct source *source = context;
    source->calls++;
    CHECK(strlen(key) == key_len && timeout > 0.0);
    struct timespec time = {0, source->pause_ms * 1000000};
    nanosleep(&time, NULL);
    if (source->asks_itself) {
        st_error error = ST_ERROR_INIT;
        st_bytes value = {0};
        CHECK_FAILS(st_cache_get_or_load(cache, key, key_len, 600.0, load, context, &value, &error), ST_BUSY,
                    "waits for this call");
    }
    if (source->value != NULL) {
        CHECK(st_reply_bytes(reply, source->value, ST_NUL, ST_TTL_DEFAULT) == ST_OK);
    }
    return source->returned;
}

static void one_caller(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    struct source good = {.value = "loaded"}, none = {.returned = ST_NOT_FOUND}, down = {.returned = ST_UNAVAILABLE};
    struct source wild = {.value = "x", .asks_itself = 1};
    for (int i = 0; i < 2; i++) {
        CHECK_OK(st_cache_get_or_load(cache, "good", ST_NUL, 600.0, load, &good, &value, &error));
        CHECK_TEXT(value, "loaded");
        st_bytes_free(&value);
    }
    CHECK(good.calls == 1);
    /* A failure is not stored. */
    for (int i = 0; i < 2; i++) {
        CHECK_FAILS(st_cache_get_or_load(cache, "none", ST_NUL, 600.0, load, &none, &value, &error), ST_NOT_FOUND,
                    "key");
        CHECK_FAILS(st_cache_get_or_load(cache, "down", ST_NUL, 600.0, load, &down, &value, &error), ST_UNAVAILABLE,
                    "");
        CHECK_EMPTY(value);
    }
    CHECK(none.calls == 2 && down.calls == 2);
    CHECK_OK(st_cache_get_or_load(cache, "wild", ST_NUL, 600.0, load, &wild, NULL, &error));
}

static void *get_slow(void *context) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    CHECK_OK(st_cache_get_or_load(cache, "shared", ST_NUL, 600.0, load, context, &value, &error));
    CHECK_TEXT(value, "loaded");
    st_bytes_free(&value);
    return NULL;
}

static void many_callers(void) {
    struct source slow = {.value = "loaded", .pause_ms = 50};
    pthread_t threads[32];
    for (int i = 0; i < 32; i++) {
        CHECK(pthread_create(&threads[i], NULL, get_slow, &slow) == 0);
    }
    for (int i = 0; i < 32; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(slow.calls == 1);
}

static int drops;

static void count_drop(void *context) {
    (void)context;
    drops++;
}

static void leases(void) {
    st_error error = ST_ERROR_INIT;
    int32_t outcome;
    uint64_t lease, again;
    st_bytes value;
    size_t len;
    CHECK_OK(st_cache_load_begin(cache, "l", ST_NUL, 0.0, INFINITY, &outcome, &value, &lease, &error));
    CHECK(outcome == ST_LOAD_LEADER && lease != 0);
    CHECK_EMPTY(value);
    CHECK_OK(st_cache_load_begin(cache, "l", ST_NUL, 0.0, INFINITY, &outcome, &value, &again, &error));
    CHECK(outcome == ST_LOAD_BUSY && again == lease);
    CHECK_FAILS(st_cache_load_begin(cache, "l", ST_NUL, 0.02, INFINITY, &outcome, &value, &again, &error), ST_TIMEOUT,
                "");
    CHECK(outcome == 0);
    CHECK_OK(st_cache_load_finish(cache, lease, "v", ST_NUL, ST_TTL_DEFAULT, &error));
    CHECK_FAILS(st_cache_load_finish(cache, lease, "v", ST_NUL, ST_TTL_DEFAULT, &error), ST_ABANDONED, "lease");
    CHECK_OK(st_cache_load_begin(cache, "l", ST_NUL, 0.0, INFINITY, &outcome, &value, &lease, &error));
    CHECK(outcome == ST_LOAD_HIT && lease == 0);
    CHECK_TEXT(value, "v");
    st_bytes_free(&value);

    /* A value invalidated during its load is not stored. */
    CHECK_OK(st_cache_load_begin(cache, "m", ST_NUL, 0.0, INFINITY, &outcome, &value, &lease, &error));
    CHECK_OK(st_cache_invalidate_prefix(cache, "m", 1, NULL, &error));
    CHECK_OK(st_cache_load_finish(cache, lease, "old", ST_NUL, ST_TTL_DEFAULT, &error));
    CHECK(st_cache_get_into(cache, "m", ST_NUL, NULL, 0, &len, NULL) == ST_NOT_FOUND);

    /* A lease that has expired passes to the next caller. */
    CHECK_OK(st_cache_load_begin(cache, "n", ST_NUL, 0.0, 0.01, &outcome, &value, &lease, &error));
    CHECK_OK(st_cache_load_begin(cache, "n", ST_NUL, 600.0, INFINITY, &outcome, &value, &again, &error));
    CHECK(outcome == ST_LOAD_LEADER && again != lease);
    CHECK_OK(st_cache_load_abandon(cache, again, ST_UNAVAILABLE, "down", ST_NUL, &error));
    CHECK_FAILS(st_cache_load_abandon(cache, again, ST_UNAVAILABLE, NULL, 0, &error), ST_ABANDONED, "lease");

    /* Likewise for an owner that abandons the lease without a reason. */
    CHECK_OK(st_cache_load_begin(cache, "p", ST_NUL, 0.0, INFINITY, &outcome, &value, &lease, &error));
    CHECK_FAILS(st_cache_load_abandon(cache, lease, ST_IO, "\xFF", 1, &error), ST_INVALID_ARGUMENT, "`message`");
    CHECK_OK(st_cache_load_begin(cache, "p", ST_NUL, 0.0, INFINITY, &outcome, &value, &lease, &error));
    CHECK(outcome == ST_LOAD_LEADER);
    CHECK_FAILS(st_cache_load_abandon(cache, lease, ST_OK, NULL, 0, &error), ST_INVALID_ARGUMENT, "`why`");
    CHECK_FAILS(st_cache_load_abandon(cache, lease, ST_IO, NULL, 0, &error), ST_ABANDONED, "lease");

    /* Objects. */
    CHECK_OK(st_cache_load_begin(cache, "o", ST_NUL, 0.0, INFINITY, &outcome, &value, &lease, &error));
    CHECK_OK(st_cache_load_finish_object(cache, lease, &drops, count_drop, ST_TTL_DEFAULT, &error));
    CHECK_OK(st_cache_load_begin(cache, "o", ST_NUL, 0.0, INFINITY, &outcome, &value, &lease, &error));
    CHECK(outcome == ST_LOAD_HIT);
    CHECK_EMPTY(value);
    CHECK_FAILS(st_cache_load_finish_object(cache, 12345678, &drops, count_drop, ST_TTL_DEFAULT, &error), ST_ABANDONED,
                "lease");
    CHECK(drops == 1);
}

static st_status load_object(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    (void)key, (void)key_len, (void)timeout;
    CHECK(st_reply_object(reply, context, count_drop, 60.0) == ST_OK);
    return ST_OK;
}

static st_status load_both(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    (void)key, (void)key_len, (void)timeout;
    CHECK(st_reply_object(reply, context, count_drop, ST_TTL_DEFAULT) == ST_WRONG_TYPE);
    return ST_NOT_FOUND;
}

static void objects(void) {
    st_error error = ST_ERROR_INIT;
    st_object object;
    st_bytes value;
    drops = 0;
    CHECK_OK(st_cache_get_or_load(cache, "object", ST_NUL, 600.0, load_object, &drops, NULL, &error));
    CHECK_OK(st_cache_get_object(cache, "object", ST_NUL, &object, &error));
    CHECK(object.object == &drops && drops == 0);
    st_object_free(&object);
    CHECK_FAILS(st_cache_get_or_load(cache, "object", ST_NUL, 600.0, load_object, &drops, &value, &error),
                ST_WRONG_TYPE, "");
    /* A secret is bytes. */
    st_secrets *secrets = open_with("providers", "[]");
    CHECK_OK(st_secrets_add_provider(secrets, "p", ST_NUL, ST_LAST, load_both, NULL, &drops, &error));
    CHECK_FAILS(st_secrets_get(secrets, "S", ST_NUL, &value, &error), ST_NOT_FOUND, "p (");
    CHECK(drops == 1);
    st_secrets_free(secrets);
}

/* In a forked child the parent's leases are void, because nothing there would end them. */
static void forked_child(void) {
    st_error error = ST_ERROR_INIT;
    int32_t outcome;
    uint64_t lease;
    st_bytes value;
    CHECK_OK(st_cache_load_begin(cache, "fork", ST_NUL, 0.0, INFINITY, &outcome, &value, &lease, &error));
    pid_t child = fork();
    if (child == 0) {
        CHECK_FAILS(st_cache_load_finish(cache, lease, "v", ST_NUL, ST_TTL_DEFAULT, &error), ST_ABANDONED, "lease");
        CHECK_OK(st_cache_load_begin(cache, "fork", ST_NUL, 600.0, INFINITY, &outcome, &value, &lease, &error));
        CHECK(outcome == ST_LOAD_LEADER);
        CHECK_OK(st_cache_load_finish(cache, lease, "v", ST_NUL, ST_TTL_DEFAULT, &error));
        _exit(0);
    }
    int state = 0;
    CHECK(child > 0 && waitpid(child, &state, 0) == child && state == 0);
    CHECK_OK(st_cache_load_abandon(cache, lease, ST_ABANDONED, NULL, 0, &error));
}

int main(void) {
    st_error error = ST_ERROR_INIT;
    begin();
    CHECK_OK(st_cache_new(300.0, 100, 60.0, &cache, &error));
    one_caller();
    many_callers();
    leases();
    objects();
    forked_child();
    st_cache_free(cache);
    return 0;
}
