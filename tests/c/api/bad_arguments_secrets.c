/*
 * Bad arguments of the functions for secrets: each is rejected with its status and a message that names it, and all
 * outputs are zero afterwards.
 */
#include <math.h>

#include "check.h"

static const size_t absurd[] = {SIZE_MAX - 1, SIZE_MAX / 2 + 1};
#define EACH_ABSURD(len) for (size_t i = 0, len = absurd[0]; i < 2; i++, len = absurd[1])

#define BAD(call, word) CHECK_FAILS(call, ST_INVALID_ARGUMENT, word)

/* As above, with an output that must be zero afterwards. */
#define BAD_OUT(out, call, word) \
    do { \
        memset(&(out), 0x5A, sizeof(out)); \
        BAD(call, word); \
        CHECK(is_zero(&(out), sizeof(out))); \
    } while (0)

static int is_zero(const void *data, size_t len) {
    const unsigned char *bytes = data;
    while (len > 0 && bytes[len - 1] == 0) {
        len--;
    }
    return len == 0;
}

static st_error error = ST_ERROR_INIT;
static st_secrets *secrets;
static char long_key[2050];

static void names_of_secrets(void) {
    st_bytes out;
    size_t len;
    bool existed;
    static const struct {
        const char *key;
        size_t len;
        const char *word;
    } wrong[] = {
        {NULL, 0, "`key`"},
        {NULL, 3, "`key`"},
        {NULL, ST_NUL, "`key`"},
        {"", 0, "name of a secret"},
        {"", ST_NUL, "name of a secret"},
        {"A\0B", 3, "name of a secret"},
        {"A\xFF", 2, "`key`"},
        {"\xED\xA0\x80", 3, "`key`"},
        {"A", SIZE_MAX - 1, "`key`"},
        {"A", SIZE_MAX / 2 + 1, "`key`"},
        {long_key, ST_NUL, "name of a secret"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *key = wrong[i].key, *word = wrong[i].word;
        size_t key_len = wrong[i].len;
        BAD_OUT(out, st_secrets_get(secrets, key, key_len, &out, &error), word);
        BAD_OUT(out, st_secrets_get_with(secrets, key, key_len, 1.0, 0, &out, NULL, &error), word);
        BAD_OUT(len, st_secrets_get_into(secrets, key, key_len, NULL, 0, &len, &error), word);
        BAD(st_secrets_set(secrets, key, key_len, "x", ST_NUL, &error), word);
        BAD_OUT(existed, st_secrets_delete(secrets, key, key_len, &existed, &error), word);
    }
}

static void values_to_write(void) {
    BAD(st_secrets_set(secrets, "A", ST_NUL, NULL, 1, &error), "`value`");
    BAD(st_secrets_set(secrets, "A", ST_NUL, NULL, ST_NUL, &error), "`value`");
    BAD(st_secrets_set(secrets, "A", ST_NUL, "CANARY\xFF", ST_NUL, &error), "value");
    BAD(st_secrets_set_replicate_token(secrets, NULL, 1, &error), "`value`");
    BAD(st_secrets_set_replicate_token(secrets, "CANARY\xC3", ST_NUL, &error), "value");
    EACH_ABSURD(len) {
        BAD(st_secrets_set(secrets, "A", ST_NUL, "CANARY", len, &error), "`value`");
        BAD(st_secrets_set_replicate_token(secrets, "CANARY", len, &error), "`value`");
    }
    CHECK(file_is("bad.json", "{\"A\": \"CANARY\"}"));
}

static void outputs(void) {
    char buffer[8];
    size_t len;
    BAD(st_secrets_open(NULL, NULL, &error), "`out`");
    BAD(st_secrets_get(secrets, "A", ST_NUL, NULL, &error), "`out`");
    BAD(st_secrets_get_with(secrets, "A", ST_NUL, 1.0, 0, NULL, NULL, &error), "`out`");
    BAD(st_secrets_get_into(secrets, "A", ST_NUL, buffer, sizeof buffer, NULL, &error), "`len`");
    BAD_OUT(len, st_secrets_get_into(secrets, "A", ST_NUL, NULL, 8, &len, &error), "`buffer`");
    BAD(st_secrets_get_hf_token(secrets, NULL, &error), "`out`");
    BAD(st_secrets_get_replicate_token(secrets, NULL, &error), "`out`");
    BAD(st_secrets_get_webhook_secret(secrets, NULL, &error), "`out`");
    BAD(st_secrets_describe(secrets, NULL, &error), "`json`");
    BAD(st_secrets_check(secrets, NULL, &error), "`json`");
    BAD(st_secrets_share(secrets, NULL, &error), "`json`");
    BAD(st_secrets_stats(secrets, NULL, &error), "`json`");
    BAD(st_secrets_file_path(secrets, NULL, &error), "`path`");
}

static void times_and_flags(void) {
    static const double wrong[] = {-2.0, -0.5, -INFINITY, NAN};
    st_bytes out;
    st_secret_info info = ST_SECRET_INFO_INIT;
    for (int i = 0; i < 4; i++) {
        BAD_OUT(out, st_secrets_get_with(secrets, "A", ST_NUL, wrong[i], 0, &out, NULL, &error), "`timeout`");
        BAD(st_secrets_refresh(secrets, wrong[i], &error), "`timeout`");
        BAD(st_secrets_prefetch(secrets, wrong[i], &error), "`timeout`");
    }
    static const uint32_t flags[] = {4, 8, 0x80000000, UINT32_MAX, ST_GET_REFRESH | ST_GET_CACHED_ONLY};
    for (int i = 0; i < 5; i++) {
        BAD_OUT(out, st_secrets_get_with(secrets, "A", ST_NUL, 1.0, flags[i], &out, &info, &error), "`flags`");
    }
    for (uint32_t size = 0; size < 8; size++) {
        info.size = size;
        BAD_OUT(out, st_secrets_get_with(secrets, "A", ST_NUL, 1.0, 0, &out, &info, &error), "`info->size`");
        CHECK(info.size == size);
    }
}

static void several(void) {
    st_bytes values[2];
    st_status statuses[2];
    static const struct {
        const char *keys;
        size_t len, count;
        const char *word;
    } wrong[] = {
        {NULL, 4, 2, "`keys`"},
        {NULL, 0, 2, "`keys`"},
        {"A\0B", 4, 1, "`count`"},
        {"A\0B", 3, 2, "`keys`"},
        {"A", 2, 2, "`count`"},
        {"A\0B", ST_NUL, 2, "`keys`"},
        {"A\0\xFF", 4, 2, "`keys`"},
        {"", 0, 1, "`keys`"},
        {"A\0B", SIZE_MAX - 1, 2, "`keys`"},
        {"A\0B", SIZE_MAX / 2 + 1, 2, "`keys`"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memset(values, 0x5A, sizeof values);
        memset(statuses, 0x5A, sizeof statuses);
        BAD(st_secrets_get_many(secrets, wrong[i].keys, wrong[i].len, wrong[i].count, values, statuses, &error),
            wrong[i].word);
        CHECK(is_zero(values, wrong[i].count * sizeof *values) && is_zero(statuses, wrong[i].count * sizeof *statuses));
    }
    EACH_ABSURD(count) {
        BAD(st_secrets_get_many(secrets, "A\0B", 4, count, values, statuses, &error), "`count`");
    }
    BAD_OUT(statuses, st_secrets_get_many(secrets, "A\0B", 4, 2, NULL, statuses, &error), "`values`");
    BAD_OUT(values, st_secrets_get_many(secrets, "A\0B", 4, 2, values, NULL, &error), "`statuses`");
}

static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    (void)context, (void)key, (void)key_len, (void)timeout, (void)reply;
    return ST_NOT_FOUND;
}

static int drops;

static void drop(void *context) {
    CHECK(context == &drops);
    drops++;
}

static void providers(void) {
    static const struct {
        const char *name;
        size_t len, position;
        st_load_fn get;
        const char *word;
    } wrong[] = {
        {NULL, 0, ST_LAST, load, "`name`"},
        {NULL, 4, ST_LAST, load, "`name`"},
        {NULL, ST_NUL, ST_LAST, load, "`name`"},
        {"\xFF", 1, ST_LAST, load, "`name`"},
        {"", 0, ST_LAST, load, "name"},
        {"mine", SIZE_MAX - 1, ST_LAST, load, "`name`"},
        {"mine", SIZE_MAX / 2 + 1, ST_LAST, load, "`name`"},
        {"mine", ST_NUL, SIZE_MAX - 1, load, "position"},
        {"mine", ST_NUL, 6, load, "position"},
        {"mine", ST_NUL, ST_LAST, NULL, "`get`"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        drops = 0;
        BAD(st_secrets_add_provider(secrets, wrong[i].name, wrong[i].len, wrong[i].position, wrong[i].get, drop, &drops,
                                    &error),
            wrong[i].word);
        CHECK(drops == 1);
        BAD(st_secrets_add_provider(secrets, wrong[i].name, wrong[i].len, wrong[i].position, wrong[i].get, NULL, &drops,
                                    &error),
            wrong[i].word);
    }
}

int main(void) {
    begin();
    memset(long_key, 'k', sizeof long_key - 1);
    secrets = open_with("file_path", write_file("bad.json", "{\"A\": \"CANARY\"}"));
    names_of_secrets();
    values_to_write();
    outputs();
    times_and_flags();
    several();
    providers();
    /* The manager still works after all that. */
    st_bytes out = {0};
    CHECK_OK(st_secrets_get(secrets, "A", ST_NUL, &out, &error));
    CHECK_TEXT(out, "CANARY");
    st_bytes_free(&out);
    st_secrets_free(secrets);
    return 0;
}
