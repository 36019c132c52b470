/* Bytes returned by the library. */
#include "check.h"

static void references(void) {
    st_error error = ST_ERROR_INIT;
    setenv("BYTES_TOKEN", "CANARY-of-bytes", 1);
    st_secrets *secrets = open_with(NULL, NULL);
    st_bytes value = {0}, again = {0}, third = {0};
    CHECK_OK(st_secrets_get(secrets, "BYTES_TOKEN", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY-of-bytes");
    CHECK_OK(st_bytes_clone(&value, &again, &error));
    CHECK(again.data == value.data && again.len == value.len);

    /* They outlive the manager, the variable, and each other. */
    st_secrets_free(secrets);
    unsetenv("BYTES_TOKEN");
    st_bytes_free(&value);
    CHECK_EMPTY(value);
    CHECK_TEXT(again, "CANARY-of-bytes");
    CHECK_OK(st_bytes_clone(&again, &third, &error));
    st_bytes_free(&again);
    CHECK_TEXT(third, "CANARY-of-bytes");
    st_bytes_free(&third);

    /* Freeing an empty value, or again, has no effect. */
    st_bytes_free(&third);
    st_bytes_free(&value);
    st_bytes_free(NULL);
    st_bytes never = {0};
    st_bytes_free(&never);
}

static void clones_of_nothing(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes none = {0}, out;
    memset(&out, 0x5A, sizeof out);
    CHECK_FAILS(st_bytes_clone(&none, &out, &error), ST_INVALID_ARGUMENT, "`bytes`");
    CHECK_EMPTY(out);
}

/* A failed call does not free the previous contents of its output, and sets it to zero. */
static void outputs_of_a_failed_call(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes out;
    memset(&out, 0x5A, sizeof out);
    CHECK_FAILS(st_secrets_get(NULL, "NO_SUCH_SECRET", ST_NUL, &out, &error), ST_NOT_FOUND, "NO_SUCH_SECRET");
    CHECK_EMPTY(out);
}

/* Secret memory is not on the heap, where leak checkers look, so this measures it. */
static long mapped(const st_secrets *secrets) {
    st_error error = ST_ERROR_INIT;
    st_bytes json = {0};
    CHECK_OK(st_secrets_check(secrets, &json, &error));
    const char *found = strstr((const char *)json.data, "\"mapped_bytes\": ");
    CHECK(found != NULL);
    long bytes = strtol(found + strlen("\"mapped_bytes\": "), NULL, 10);
    st_bytes_free(&json);
    return bytes;
}

static void secret_memory_does_not_leak(void) {
    st_error error = ST_ERROR_INIT;
    static char large[100001];
    memset(large, 'x', sizeof large - 1);
    setenv("SMALL", "CANARY", 1);
    setenv("LARGE", large, 1);
    st_secrets *secrets = open_with("file_path", write_file("leak.json", "{\"HF_TOKEN\": \"CANARY\\n\"}"));
    long before = 0;
    for (int i = 0; i < 2000; i++) {
        st_bytes value = {0}, clone = {0};
        const char *keys[] = {"SMALL", "LARGE", "HF_TOKEN", "NOT_THERE"};
        CHECK(st_secrets_get(secrets, keys[i % 4], ST_NUL, &value, &error) == (i % 4 == 3 ? ST_NOT_FOUND : ST_OK));
        CHECK(i % 4 == 3 || st_bytes_clone(&value, &clone, &error) == ST_OK);
        st_bytes_free(&value);
        st_bytes_free(&clone);
        if (i % 100 == 0) {
            CHECK_OK(st_secrets_refresh(secrets, ST_TIMEOUT_DEFAULT, &error));
            CHECK_OK(st_secrets_clear_cache(secrets, &error));
        }
        if (i == 200) {
            before = mapped(secrets);
        }
    }
    CHECK(before > 0 && mapped(secrets) == before);

    /* Bytes that are not freed are detected. */
    static st_bytes kept[4000];
    for (size_t i = 0; i < 4000; i++) {
        CHECK_OK(st_secrets_get(secrets, "SMALL", ST_NUL, &kept[i], &error));
    }
    CHECK(mapped(secrets) > before);
    for (size_t i = 0; i < 4000; i++) {
        st_bytes_free(&kept[i]);
    }
    st_secrets_free(secrets);
}

int main(void) {
    begin();
    references();
    clones_of_nothing();
    outputs_of_a_failed_call();
    secret_memory_does_not_leak();
    return 0;
}
