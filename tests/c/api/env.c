/* Secrets in the environment. */
#include "check.h"

static void names(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    setenv("HF_TOKEN", "CANARY-1", 1);
    setenv("A_B_C", "CANARY-2", 1);
    /* `-` and `.` are `_`, and letters are upper case. */
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

/* It is asked on every get; an empty variable counts as unset; and it need not be text. */
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

/* Names that no variable can have. */
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
    impossible_names();
    return 0;
}
