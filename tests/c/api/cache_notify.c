/* Loads whose waiting callers are notified: the function is called once for each way in which a load can end. */
#include <math.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static st_cache *cache;

/* What the function was called with. */
typedef struct {
    int calls;
    st_status status;
    char value[16];
    void *object;
    char message[64];
} heard;

static void ended(void *context, const st_bytes *value, void *object, const st_error *error) {
    heard *heard = context;
    heard->calls++;
    heard->status = error->status;
    heard->object = object;
    snprintf(heard->message, sizeof heard->message, "%s", error->message);
    if (value != NULL) memcpy(heard->value, value->data, value->len + 1);
}

/* Begins a load with the outcome that is expected; the number of the lease or of the waiting caller. */
static uint64_t begin_load(const char *key, double lease_ttl, int32_t expected, heard *heard) {
    st_error error = ST_ERROR_INIT;
    int32_t outcome;
    uint64_t lease, waiter;
    st_bytes value;
    CHECK_OK(st_cache_load_begin_notify(cache, key, ST_NUL, lease_ttl, ended, heard, &outcome, &value, &lease, &waiter,
                                        &error));
    CHECK(outcome == expected && (lease != 0) == (expected != ST_LOAD_HIT));
    CHECK((waiter != 0) == (expected == ST_LOAD_BUSY));
    st_bytes_free(&value);
    return expected == ST_LOAD_BUSY ? waiter : lease;
}

static void every_end(void) {
    st_error error = ST_ERROR_INIT;
    heard own = {0}, bytes = {0}, object = {0}, failure = {0}, taken = {0}, absent = {0};
    uint64_t lease = begin_load("bytes", INFINITY, ST_LOAD_LEADER, &own);
    begin_load("bytes", INFINITY, ST_LOAD_BUSY, &bytes);
    CHECK(bytes.calls == 0);
    CHECK_OK(st_cache_load_finish(cache, lease, "value", ST_NUL, ST_TTL_DEFAULT, &error));
    CHECK(bytes.calls == 1 && bytes.status == ST_OK && strcmp(bytes.value, "value") == 0 && bytes.object == NULL);
    begin_load("bytes", INFINITY, ST_LOAD_HIT, &own);

    lease = begin_load("object", INFINITY, ST_LOAD_LEADER, &own);
    begin_load("object", INFINITY, ST_LOAD_BUSY, &object);
    CHECK_OK(st_cache_load_finish_object(cache, lease, &own, NULL, ST_TTL_DEFAULT, &error));
    CHECK(object.calls == 1 && object.status == ST_OK && object.object == &own && object.value[0] == 0);

    lease = begin_load("failure", INFINITY, ST_LOAD_LEADER, &own);
    begin_load("failure", INFINITY, ST_LOAD_BUSY, &failure);
    CHECK_OK(st_cache_load_abandon(cache, lease, ST_UNAVAILABLE, "down", ST_NUL, &error));
    CHECK(failure.calls == 1 && failure.status == ST_UNAVAILABLE && strcmp(failure.message, "down") == 0);

    begin_load("taken", 0.0, ST_LOAD_LEADER, &own);
    lease = begin_load("taken", INFINITY, ST_LOAD_LEADER, &own);
    begin_load("taken", INFINITY, ST_LOAD_BUSY, &taken);
    CHECK_OK(st_cache_load_abandon(cache, lease, ST_ABANDONED, NULL, 0, &error));
    CHECK(taken.calls == 1 && taken.status == ST_ABANDONED);

    st_config *config = st_config_new();
    st_cache *first = cache;
    CHECK_OK(st_config_set(config, "absent_ttl", ST_NUL, "60", ST_NUL, &error));
    CHECK_OK(st_cache_open(config, &cache, &error));
    st_config_free(config);
    lease = begin_load("absent", INFINITY, ST_LOAD_LEADER, &own);
    begin_load("absent", INFINITY, ST_LOAD_BUSY, &absent);
    CHECK_OK(st_cache_load_abandon(cache, lease, ST_NOT_FOUND, "no such user", ST_NUL, &error));
    CHECK(absent.calls == 1 && absent.status == ST_NOT_FOUND && strcmp(absent.message, "no such user") == 0);
    st_cache_counts counts = ST_CACHE_COUNTS_INIT;
    CHECK_OK(st_cache_stats(cache, &counts, &error));
    CHECK(counts.entries == 1 && counts.loads == 1 && counts.load_failures == 1);
    st_cache_free(cache);
    cache = first;
    CHECK(own.calls == 0);
}

static void cancelled(void) {
    st_error error = ST_ERROR_INIT;
    heard own = {0}, gone = {0}, other = {0};
    bool done;
    uint64_t lease = begin_load("cancelled", INFINITY, ST_LOAD_LEADER, &own);
    uint64_t waiter = begin_load("cancelled", INFINITY, ST_LOAD_BUSY, &gone);
    uint64_t second = begin_load("cancelled", INFINITY, ST_LOAD_BUSY, &other);
    CHECK_OK(st_cache_load_notify_cancel(cache, waiter, &done, &error));
    CHECK(done);
    CHECK_OK(st_cache_load_notify_cancel(cache, waiter, &done, &error));
    CHECK(!done);
    CHECK_OK(st_cache_load_finish(cache, lease, "v", 1, ST_TTL_DEFAULT, &error));
    CHECK(gone.calls == 0 && other.calls == 1);
    CHECK_OK(st_cache_load_notify_cancel(cache, second, &done, &error));
    CHECK(!done);
}

/* A callback that begins again, as a caller does when a load was abandoned. */
static void begin_again(void *context, const st_bytes *value, void *object, const st_error *why) {
    uint64_t *lease = context;
    uint64_t waiter;
    int32_t outcome;
    st_bytes none;
    st_error error = ST_ERROR_INIT;
    CHECK(value == NULL && object == NULL && why->status == ST_ABANDONED);
    CHECK_OK(st_cache_load_begin_notify(cache, "again", ST_NUL, INFINITY, begin_again, context, &outcome, &none, lease,
                                        &waiter, &error));
    CHECK(outcome == ST_LOAD_LEADER);
}

static void callback_that_uses_the_cache(void) {
    st_error error = ST_ERROR_INIT;
    heard own = {0};
    int32_t outcome;
    uint64_t next = 0, other, waiter;
    st_bytes value;
    uint64_t lease = begin_load("again", INFINITY, ST_LOAD_LEADER, &own);
    CHECK_OK(st_cache_load_begin_notify(cache, "again", ST_NUL, INFINITY, begin_again, &next, &outcome, &value, &other,
                                        &waiter, &error));
    CHECK(outcome == ST_LOAD_BUSY && other == lease && next == 0);
    CHECK_OK(st_cache_load_abandon(cache, lease, ST_ABANDONED, NULL, 0, &error));
    CHECK(next != 0);
    CHECK_OK(st_cache_load_finish(cache, next, "v", 1, ST_TTL_DEFAULT, &error));
}

static void freed_cache(void) {
    st_error error = ST_ERROR_INIT;
    heard own = {0}, heard = {0};
    st_cache *first = cache;
    CHECK_OK(st_cache_new(300.0, 10, 60.0, &cache, &error));
    begin_load("k", INFINITY, ST_LOAD_LEADER, &own);
    begin_load("k", INFINITY, ST_LOAD_BUSY, &heard);
    st_cache_free(cache);
    CHECK(heard.calls == 1 && heard.status == ST_ABANDONED);
    cache = first;
}

/* Begins again once: the first caller then leads, the second waits for it and is called again. */
static void begin_when_freed(void *context, const st_bytes *value, void *object, const st_error *why) {
    (void)value, (void)object;
    int *calls = context;
    CHECK(why->status == ST_ABANDONED);
    if (++*calls == 1) {
        st_error error = ST_ERROR_INIT;
        int32_t outcome;
        uint64_t lease, waiter;
        st_bytes found;
        CHECK_OK(st_cache_load_begin_notify(cache, "k", ST_NUL, INFINITY, begin_when_freed, calls, &outcome, &found,
                                            &lease, &waiter, &error));
    }
}

static void freed_cache_with_callers_that_begin_again(void) {
    st_error error = ST_ERROR_INIT;
    heard own = {0};
    int calls[2] = {0};
    st_cache *first = cache;
    CHECK_OK(st_cache_new(300.0, 10, 60.0, &cache, &error));
    begin_load("k", INFINITY, ST_LOAD_LEADER, &own);
    for (int i = 0; i < 2; i++) {
        int32_t outcome;
        uint64_t lease, waiter;
        st_bytes found;
        CHECK_OK(st_cache_load_begin_notify(cache, "k", ST_NUL, INFINITY, begin_when_freed, &calls[i], &outcome, &found,
                                            &lease, &waiter, &error));
        CHECK(outcome == ST_LOAD_BUSY);
    }
    st_cache_free(cache);
    CHECK(calls[0] + calls[1] == 3);
    cache = first;
}

static void *finish(void *lease) {
    st_error error = ST_ERROR_INIT;
    CHECK_OK(st_cache_load_finish(cache, *(uint64_t *)lease, "v", 1, 0.0, &error));
    return NULL;
}

/* Of a cancellation and an end that race, exactly one wins. */
static void races(void) {
    st_error error = ST_ERROR_INIT;
    for (int round = 0; round < 500; round++) {
        heard own = {0}, heard = {0};
        bool done;
        pthread_t thread;
        uint64_t lease = begin_load("race", INFINITY, ST_LOAD_LEADER, &own);
        uint64_t waiter = begin_load("race", INFINITY, ST_LOAD_BUSY, &heard);
        CHECK(pthread_create(&thread, NULL, finish, &lease) == 0);
        CHECK_OK(st_cache_load_notify_cancel(cache, waiter, &done, &error));
        pthread_join(thread, NULL);
        CHECK(heard.calls + done == 1);
    }
}

static void forked_child(void) {
    st_error error = ST_ERROR_INIT;
    heard own = {0}, heard = {0};
    uint64_t lease = begin_load("fork", INFINITY, ST_LOAD_LEADER, &own);
    uint64_t waiter = begin_load("fork", INFINITY, ST_LOAD_BUSY, &heard);
    pid_t child = fork();
    if (child == 0) {
        bool done;
        uint64_t again = begin_load("fork", INFINITY, ST_LOAD_LEADER, &own);
        CHECK_OK(st_cache_load_finish(cache, again, "v", 1, ST_TTL_DEFAULT, &error));
        CHECK_OK(st_cache_load_notify_cancel(cache, waiter, &done, &error));
        CHECK(!done && heard.calls == 0);
        _exit(0);
    }
    int state = 0;
    CHECK(child > 0 && waitpid(child, &state, 0) == child && state == 0);
    CHECK_OK(st_cache_load_finish(cache, lease, "v", 1, ST_TTL_DEFAULT, &error));
    CHECK(heard.calls == 1);
}

static void keys(void) {
    st_error error = ST_ERROR_INIT;
    char key[64];
    size_t len;
    CHECK_OK(st_function_key("mymodule", ST_NUL, "get_user", ST_NUL, "i123;=4:names5:a b:c", ST_NUL, key, sizeof key,
                             &len, &error));
    CHECK(len == 34 && memcmp(key, "mymodule:get_user:123:name=\"a b:c\"", len) == 0);
    CHECK_OK(st_function_key("", 0, "f", 1, "", 0, NULL, 0, &len, &error));
    CHECK(len == 1);
    CHECK_FAILS(st_function_key("m", 1, "f", 1, "t", 1, key, 7, &len, &error), ST_BUFFER_TOO_SMALL, "8");
    CHECK(len == 8);
}

int main(void) {
    st_error error = ST_ERROR_INIT;
    begin();
    CHECK_OK(st_cache_new(300.0, 100, 60.0, &cache, &error));
    every_end();
    cancelled();
    callback_that_uses_the_cache();
    freed_cache();
    freed_cache_with_callers_that_begin_again();
    races();
    forked_child();
    keys();
    st_cache_free(cache);
    return 0;
}
