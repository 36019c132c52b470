/* Secrets in the environment. */
#include "check.h"

static void names(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    setenv("HF_TOKEN", "CANARY-1", 1);
    setenv("A_B_C", "CANARY-2", 1);
    /* `-` and `.` become `_`, and letters upper case. */
    static const char *const same[] = {"HF_TOKEN", "hf_token", "hf-token", "Hf.Token"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        CHECK_OK(st_secrets_get(NULL, same[i], ST_NUL, &value, &error));
        CHECK_TEXT(value, "CANARY-1");
        st_bytes_free(&value);
    }
    CHECK_OK(st_secrets_get(NULL, "a.b-c", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY-2");
    st_bytes_free(&value);
    /* The length counts, not a NUL. */
    CHECK_OK(st_secrets_get(NULL, "hf-token-and-more", 8, &value, &error));
    CHECK_TEXT(value, "CANARY-1");
    st_bytes_free(&value);
}

static void prefix(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    setenv("MYAPP_HF_TOKEN", "CANARY-of-my-app", 1);
    st_secrets *secrets = open_with("env_prefix", "MYAPP");
    CHECK_OK(st_secrets_get(secrets, "hf-token", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY-of-my-app");
    st_bytes_free(&value);
    CHECK_FAILS(st_secrets_get(secrets, "a-b-c", ST_NUL, &value, &error), ST_NOT_FOUND, "MYAPP_A_B_C");
    st_secrets_free(secrets);
}

/* Returns the length that a get into a buffer reports, or -1 if there is no value. */
static int length_of(const st_secrets *secrets, const char *key) {
    char buffer[32];
    size_t len = 0;
    st_status status = st_secrets_get_into(secrets, key, ST_NUL, buffer, sizeof buffer, &len, NULL);
    CHECK(status == ST_OK || status == ST_NOT_FOUND);
    return status == ST_OK ? (int)len : -1;
}

/* The same for a value copied from its place; also for long names and names that are not ASCII. */
static void changes_seen_by_get_into(void) {
    char long_key[200];
    memset(long_key, 'A', sizeof long_key - 1);
    long_key[sizeof long_key - 1] = 0;
    st_secrets *own = open_with("providers", "[\"env\"]");
    const char *const keys[] = {"COPIED", "COPI\xC3\x89", long_key};
    for (size_t i = 0; i < 3; i++) {
        for (int round = 0; round < 2; round++) {
            const st_secrets *secrets = round == 0 ? own : NULL;
            CHECK(length_of(secrets, keys[i]) == -1);
            setenv(keys[i], "CANARY-1", 1);
            CHECK(length_of(secrets, keys[i]) == 8);
            setenv(keys[i], "CANARY-\xFF-22", 1);
            CHECK(length_of(secrets, keys[i]) == 11);
            /* A variable that the program changes in place. */
            static char own_text[256];
            snprintf(own_text, sizeof own_text, "%s=CANARY", keys[i]);
            putenv(own_text);
            CHECK(length_of(secrets, keys[i]) == 6);
            own_text[strlen(own_text) - 1] = 0;
            CHECK(length_of(secrets, keys[i]) == 5);
            setenv(keys[i], "", 1);
            CHECK(length_of(secrets, keys[i]) == -1);
            unsetenv(keys[i]);
            CHECK(length_of(secrets, keys[i]) == -1);
        }
    }
    char buffer[4] = "abc";
    size_t len = 0;
    st_error error = ST_ERROR_INIT;
    setenv("COPIED", "CANARY", 1);
    CHECK_FAILS(st_secrets_get_into(own, "COPIED", ST_NUL, buffer, sizeof buffer, &len, &error), ST_BUFFER_TOO_SMALL,
                "6");
    CHECK(len == 6 && strcmp(buffer, "abc") == 0);
    CHECK_OK(st_secrets_get_into(own, "COPIED", ST_NUL, NULL, 0, &len, &error));
    CHECK(len == 6);
    /* Into the variable itself. */
    CHECK_OK(st_secrets_get_into(own, "COPIED", ST_NUL, getenv("COPIED"), 6, &len, &error));
    CHECK(strcmp(getenv("COPIED"), "CANARY") == 0);
    unsetenv("COPIED");
    st_secrets_free(own);
}

/* The environment is read on every get; an empty variable counts as unset; a value need not be text. */
static void changes(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    setenv("CHANGING", "CANARY-before", 1);
    CHECK_OK(st_secrets_get(NULL, "CHANGING", ST_NUL, &value, &error));
    st_bytes_free(&value);
    setenv("CHANGING", "CANARY-\xFF-after", 1);
    CHECK_OK(st_secrets_get(NULL, "CHANGING", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY-\xFF-after");
    st_bytes_free(&value);
    setenv("CHANGING", "", 1);
    CHECK_FAILS(st_secrets_get(NULL, "CHANGING", ST_NUL, &value, &error), ST_NOT_FOUND, "CHANGING");
    CHECK_EMPTY(value);
    unsetenv("CHANGING");
    CHECK_FAILS(st_secrets_get(NULL, "CHANGING", ST_NUL, &value, &error), ST_NOT_FOUND, "is not set");
}

/* Names that a variable cannot have. */
static void impossible_names(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    CHECK_FAILS(st_secrets_get(NULL, "A=B", ST_NUL, &value, &error), ST_NOT_FOUND, "A=B");
    CHECK_FAILS(st_secrets_get(NULL, "=", ST_NUL, &value, &error), ST_NOT_FOUND, "=");
    CHECK_FAILS(st_secrets_get(NULL, "\xC3\xA9-\xE2\x82\xAC", ST_NUL, &value, &error), ST_NOT_FOUND, "\xE2\x82\xAC");
}

int main(void) {
    begin();
    names();
    prefix();
    changes();
    changes_seen_by_get_into();
    impossible_names();
    return 0;
}
