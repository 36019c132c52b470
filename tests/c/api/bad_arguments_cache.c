/* Bad arguments of the cache functions: each is rejected with its status and a message that names it. */
#include <math.h>

#include "check.h"

static const size_t absurd[] = {SIZE_MAX - 1, SIZE_MAX / 2 + 1};
#define EACH_ABSURD(len) for (size_t i = 0, len = absurd[0]; i < 2; i++, len = absurd[1])
#define BAD(call, word) CHECK_FAILS(call, ST_INVALID_ARGUMENT, word)

static st_error error = ST_ERROR_INIT;
static st_cache *cache;

static void making(void) {
    st_cache *made = (st_cache *)&error;
    const double wrong[] = {NAN, -1.0, -0.5, -INFINITY};
    for (int i = 0; i < 4; i++) {
        BAD(st_cache_new(wrong[i], 10, 60.0, &made, &error), "`default_ttl`");
        CHECK(made == NULL);
        BAD(st_cache_new(300.0, 10, wrong[i], &made, &error), "`cleanup_interval`");
    }
    BAD(st_cache_new(300.0, 10, 0.0, &made, &error), "`cleanup_interval`");
    BAD(st_cache_new(300.0, 10, 60.0, NULL, &error), "`out`");
    BAD(st_cache_new(300.0, SIZE_MAX, 60.0, &made, &error), "`max_size`");
}

static void storing(void) {
    const double wrong[] = {NAN, -2.0, -0.5, -INFINITY};
    BAD(st_cache_set(NULL, "k", 1, "v", 1, 1.0, &error), "`cache`");
    BAD(st_cache_set(cache, NULL, 1, "v", 1, 1.0, &error), "`key`");
    BAD(st_cache_set(cache, NULL, ST_NUL, "v", 1, 1.0, &error), "`key`");
    BAD(st_cache_set(cache, "k", 1, NULL, 1, 1.0, &error), "`value`");
    for (int i = 0; i < 4; i++) {
        BAD(st_cache_set(cache, "k", 1, "v", 1, wrong[i], &error), "`ttl`");
        BAD(st_cache_set_object(cache, "k", 1, NULL, NULL, wrong[i], &error), "`ttl`");
        BAD(st_cache_load_finish(cache, 1, "v", 1, wrong[i], &error), "`ttl`");
        BAD(st_cache_load_finish_object(cache, 1, NULL, NULL, wrong[i], &error), "`ttl`");
    }
    BAD(st_cache_set_object(cache, NULL, 1, NULL, NULL, 1.0, &error), "`key`");
    EACH_ABSURD(len) {
        BAD(st_cache_set(cache, "k", len, "v", 1, 1.0, &error), "`key`");
        BAD(st_cache_set(cache, "k", 1, "v", len, 1.0, &error), "`value`");
        BAD(st_cache_set_object(cache, "k", len, NULL, NULL, 1.0, &error), "`key`");
        BAD(st_cache_load_finish(cache, 1, "v", len, 1.0, &error), "`value`");
    }
    BAD(st_cache_load_finish(NULL, 1, "v", 1, 1.0, &error), "`cache`");
    BAD(st_cache_load_finish(cache, 1, NULL, 1, 1.0, &error), "`value`");
    BAD(st_cache_load_finish_object(NULL, 1, NULL, NULL, 1.0, &error), "`cache`");
    BAD(st_cache_load_abandon(NULL, 1, ST_IO, NULL, 0, &error), "`cache`");
    BAD(st_cache_load_abandon(cache, 1, ST_OK, NULL, 0, &error), "`why`");
    BAD(st_cache_load_abandon(cache, 1, 5, NULL, 0, &error), "`why`");
    BAD(st_cache_load_abandon(cache, 1, ST_IO, NULL, 3, &error), "`message`");
    BAD(st_cache_load_abandon(cache, 1, ST_IO, "\xFF", 1, &error), "`message`");
}

static void looking_up(void) {
    st_bytes bytes;
    st_object object;
    size_t len = 9;
    char buffer[4];
    memset(&bytes, 0x5A, sizeof bytes);
    BAD(st_cache_get(NULL, "k", 1, &bytes, &error), "`cache`");
    CHECK_EMPTY(bytes);
    BAD(st_cache_get(cache, NULL, 1, &bytes, &error), "`key`");
    BAD(st_cache_get(cache, "k", 1, NULL, &error), "`out`");
    BAD(st_cache_get_into(NULL, "k", 1, buffer, 4, &len, &error), "`cache`");
    CHECK(len == 0);
    CHECK_OK(st_cache_set(cache, "there", ST_NUL, "v", 1, ST_TTL_DEFAULT, &error));
    BAD(st_cache_get_into(cache, "there", ST_NUL, NULL, 4, &len, &error), "`buffer`");
    BAD(st_cache_get_into(cache, "k", 1, buffer, 4, NULL, &error), "`len`");
    BAD(st_cache_get_object(NULL, "k", 1, &object, &error), "`cache`");
    BAD(st_cache_get_object(cache, "k", 1, NULL, &error), "`out`");
    EACH_ABSURD(absurd_len) {
        BAD(st_cache_get(cache, "k", absurd_len, &bytes, &error), "`key`");
        BAD(st_cache_get_into(cache, "k", absurd_len, buffer, 4, &len, &error), "`key`");
        BAD(st_cache_get_into(cache, "there", ST_NUL, buffer, absurd_len, &len, &error), "`capacity`");
        BAD(st_cache_get_object(cache, "k", absurd_len, &object, &error), "`key`");
    }
}

static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    (void)context, (void)key, (void)key_len, (void)timeout;
    return st_reply_bytes(reply, "v", 1, 1.0);
}

static void opening(void) {
    st_cache *none = cache;
    BAD(st_cache_open(NULL, NULL, &error), "`out`");
    st_config *config = st_config_new();
    const char *const wrong[][2] = {
        {"max_size", "-1"},        {"max_size", "2.5"},   {"default_ttl", "-1"},
        {"cleanup_interval", "0"}, {"soft_ttl", "nan"},   {"ttl_jitter", "1.5"},
        {"ttl_jitter", "-0.1"},    {"ttl_jitter", "nan"}, {"absent_ttl", "soon"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_FAILS(st_config_set(config, wrong[i][0], ST_NUL, wrong[i][1], ST_NUL, &error), ST_CONFIG, wrong[i][0]);
    }
    CHECK_OK(st_config_set(config, "max_size", ST_NUL, "4294967295", ST_NUL, &error));
    BAD(st_cache_open(config, &none, &error), "`max_size`");
    CHECK(none == NULL);
    st_config_free(config);
}

static void loading(void) {
    st_bytes bytes;
    int32_t outcome = 9;
    uint64_t lease = 9;
    const double wrong[] = {NAN, -1.0, -INFINITY};
    BAD(st_cache_get_or_load(NULL, "k", 1, 1.0, load, NULL, &bytes, &error), "`cache`");
    BAD(st_cache_get_or_load(cache, NULL, 1, 1.0, load, NULL, &bytes, &error), "`key`");
    BAD(st_cache_get_or_load(cache, "k", 1, 1.0, NULL, NULL, &bytes, &error), "`load`");
    BAD(st_cache_load_begin(NULL, "k", 1, 1.0, 1.0, &outcome, &bytes, &lease, &error), "`cache`");
    CHECK(outcome == 0 && lease == 0);
    BAD(st_cache_load_begin(cache, NULL, 1, 1.0, 1.0, &outcome, &bytes, &lease, &error), "`key`");
    BAD(st_cache_load_begin(cache, "k", 1, 1.0, 1.0, NULL, &bytes, &lease, &error), "`outcome`");
    BAD(st_cache_load_begin(cache, "k", 1, 1.0, 1.0, &outcome, NULL, &lease, &error), "`value`");
    BAD(st_cache_load_begin(cache, "k", 1, 1.0, 1.0, &outcome, &bytes, NULL, &error), "`lease`");
    for (int i = 0; i < 3; i++) {
        BAD(st_cache_get_or_load(cache, "k", 1, wrong[i], load, NULL, &bytes, &error), "`timeout`");
        BAD(st_cache_load_begin(cache, "k", 1, wrong[i], 1.0, &outcome, &bytes, &lease, &error), "`timeout`");
        BAD(st_cache_load_begin(cache, "k", 1, 1.0, wrong[i], &outcome, &bytes, &lease, &error), "`lease_ttl`");
    }
}

static void ended(void *context, const st_bytes *value, void *object, const st_error *failure) {
    (void)context, (void)value, (void)object, (void)failure;
    CHECK(!"it is called");
}

static void notifying(void) {
    st_bytes bytes;
    int32_t outcome = 9;
    uint64_t lease = 9, waiter = 9;
    bool cancelled = true;
#define NOTIFY(cache, key, lease_ttl, ended, outcome, value, lease, waiter) \
    st_cache_load_begin_notify(cache, key, 1, lease_ttl, ended, NULL, outcome, value, lease, waiter, &error)
    BAD(NOTIFY(NULL, "k", 1.0, ended, &outcome, &bytes, &lease, &waiter), "`cache`");
    CHECK(outcome == 0 && lease == 0 && waiter == 0);
    BAD(NOTIFY(cache, NULL, 1.0, ended, &outcome, &bytes, &lease, &waiter), "`key`");
    BAD(NOTIFY(cache, "k", -1.0, ended, &outcome, &bytes, &lease, &waiter), "`lease_ttl`");
    BAD(NOTIFY(cache, "k", 1.0, NULL, &outcome, &bytes, &lease, &waiter), "`ended`");
    BAD(NOTIFY(cache, "k", 1.0, ended, NULL, &bytes, &lease, &waiter), "`outcome`");
    BAD(NOTIFY(cache, "k", 1.0, ended, &outcome, NULL, &lease, &waiter), "`value`");
    BAD(NOTIFY(cache, "k", 1.0, ended, &outcome, &bytes, NULL, &waiter), "`lease`");
    BAD(NOTIFY(cache, "k", 1.0, ended, &outcome, &bytes, &lease, NULL), "`waiter`");
    BAD(st_cache_load_notify_cancel(NULL, 1, &cancelled, &error), "`cache`");
    CHECK(!cancelled);
    BAD(st_cache_load_notify_cancel(cache, 1, NULL, &error), "`cancelled`");
}

static void keys(void) {
    char key[8];
    size_t len = 9;
    const char *const wrong[] = {"a", "i1", "s9:a", "[", "{n}", "x0;", "]"};
    BAD(st_function_key(NULL, 0, "f", 1, "", 0, key, sizeof key, &len, &error), "`prefix`");
    CHECK(len == 0);
    BAD(st_function_key("\xFF", 1, "f", 1, "", 0, key, sizeof key, &len, &error), "`prefix`");
    BAD(st_function_key("", 0, NULL, 1, "", 0, key, sizeof key, &len, &error), "`function`");
    BAD(st_function_key("", 0, "f", 1, NULL, 1, key, sizeof key, &len, &error), "`args`");
    BAD(st_function_key("", 0, "f", 1, "", 0, NULL, 8, &len, &error), "`buffer`");
    BAD(st_function_key("", 0, "f", 1, "", 0, key, sizeof key, NULL, &error), "`len`");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        BAD(st_function_key("", 0, "f", 1, wrong[i], ST_NUL, key, sizeof key, &len, &error), "`args`");
    }
}

static void removing(void) {
    size_t count = 9;
    bool existed = true;
    st_cache_counts counts = ST_CACHE_COUNTS_INIT;
    BAD(st_cache_delete(NULL, "k", 1, &existed, &error), "`cache`");
    CHECK(!existed);
    BAD(st_cache_delete(cache, NULL, 1, &existed, &error), "`key`");
    BAD(st_cache_clear(NULL, &count, &error), "`cache`");
    CHECK(count == 0);
    BAD(st_cache_invalidate_prefix(NULL, "p", 1, &count, &error), "`cache`");
    BAD(st_cache_invalidate_prefix(cache, NULL, 1, &count, &error), "`prefix`");
    BAD(st_cache_invalidate_provider(NULL, 0, &count, &error), "`provider`");
    BAD(st_cache_invalidate_provider("\xFF", 1, &count, &error), "`provider`");
    BAD(st_cache_stats(NULL, &counts, &error), "`cache`");
    BAD(st_cache_stats(cache, NULL, &error), "`out`");
    counts.size = 4;
    BAD(st_cache_stats(cache, &counts, &error), "ST_CACHE_COUNTS_INIT");
    EACH_ABSURD(len) {
        BAD(st_cache_delete(cache, "k", len, &existed, &error), "`key`");
        BAD(st_cache_invalidate_prefix(cache, "p", len, &count, &error), "`prefix`");
        BAD(st_cache_invalidate_provider("p", len, &count, &error), "`provider`");
    }
}

int main(void) {
    CHECK_OK(st_cache_new(300.0, 10, 60.0, &cache, &error));
    making();
    storing();
    looking_up();
    opening();
    loading();
    notifying();
    keys();
    removing();
    st_cache_free(cache);
    return 0;
}
