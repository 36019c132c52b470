/* The functions that get a secret. */
#include <math.h>

#include "check.h"

static void into_a_buffer(const st_secrets *secrets) {
    st_error error = ST_ERROR_INIT;
    char buffer[32];
    size_t len = 77;
    CHECK_OK(st_secrets_get_into(secrets, "HF_TOKEN", ST_NUL, NULL, 0, &len, &error));
    CHECK(len == 11);
    memset(buffer, 'x', sizeof buffer);
    CHECK_OK(st_secrets_get_into(secrets, "HF_TOKEN", ST_NUL, buffer, sizeof buffer, &len, &error));
    CHECK(len == 11 && memcmp(buffer, "CANARY-filexx", 13) == 0);

    /* Exactly enough room, and one byte too few: then nothing is written, and the length needed is returned. */
    CHECK_OK(st_secrets_get_into(secrets, "HF_TOKEN", ST_NUL, buffer, 11, &len, &error));
    memset(buffer, 'x', sizeof buffer);
    CHECK_FAILS(st_secrets_get_into(secrets, "HF_TOKEN", ST_NUL, buffer, 10, &len, &error), ST_BUFFER_TOO_SMALL, "11");
    CHECK(len == 11 && memcmp(buffer, "xxxxxxxxxxx", 11) == 0);
    CHECK_FAILS(st_secrets_get_into(secrets, "HF_TOKEN", ST_NUL, buffer, 0, &len, &error), ST_BUFFER_TOO_SMALL, "11");

    len = 77;
    CHECK_FAILS(st_secrets_get_into(secrets, "MISSING", ST_NUL, buffer, 10, &len, &error), ST_NOT_FOUND, "MISSING");
    CHECK(len == 0);
}

static void with_an_account(const st_secrets *secrets) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    st_secret_info info = ST_SECRET_INFO_INIT;
    static const uint32_t flags[] = {0, ST_GET_REFRESH, ST_GET_CACHED_ONLY};
    for (size_t i = 0; i < 3; i++) {
        memset((char *)&info + 4, 0x5A, sizeof info - 4);
        CHECK_OK(st_secrets_get_with(secrets, "HF_TOKEN", ST_NUL, 5.0, flags[i], &value, &info, &error));
        CHECK_TEXT(value, "CANARY-file");
        CHECK(info.size == sizeof info && info.flags == 0 && info.source == ST_SOURCE_FILE && info.reserved == 0);
        CHECK(strcmp(info.provider, "file") == 0 && info.version[0] == 0);
        CHECK(fpclassify(info.age) == FP_ZERO && fpclassify(info.expires_in) == FP_ZERO);
        st_bytes_free(&value);
    }
    setenv("HF_TOKEN", "CANARY-env", 1);
    CHECK_OK(st_secrets_get_with(secrets, "HF_TOKEN", ST_NUL, INFINITY, 0, &value, &info, &error));
    CHECK(info.source == ST_SOURCE_ENV && strcmp(info.provider, "env") == 0);
    st_bytes_free(&value);
    unsetenv("HF_TOKEN");
    CHECK_OK(st_secrets_get_with(secrets, "HF_TOKEN", ST_NUL, ST_TIMEOUT_DEFAULT, 0, &value, NULL, &error));
    st_bytes_free(&value);

    /* On failure the info is zero. */
    memset((char *)&info + 4, 0x5A, sizeof info - 4);
    CHECK_FAILS(st_secrets_get_with(secrets, "NONE", ST_NUL, 5.0, 0, &value, &info, &error), ST_NOT_FOUND, "NONE");
    static const st_secret_info zero = ST_SECRET_INFO_INIT;
    CHECK(memcmp(&info, &zero, sizeof info) == 0);
}

/* A program compiled with an older header has a smaller struct. */
static void a_smaller_account(const st_secrets *secrets) {
    st_error error = ST_ERROR_INIT;
    for (uint32_t size = 8; size <= sizeof(st_secret_info); size += 4) {
        st_bytes value = {0};
        st_secret_info info;
        memset(&info, 0x5A, sizeof info);
        info.size = size;
        CHECK_OK(st_secrets_get_with(secrets, "HF_TOKEN", ST_NUL, 5.0, 0, &value, &info, &error));
        CHECK(info.size == size && info.flags == 0);
        for (size_t i = size; i < sizeof info; i++) {
            CHECK(((unsigned char *)&info)[i] == 0x5A);
        }
        st_bytes_free(&value);
    }
}

static void several(const st_secrets *secrets) {
    static const char keys[] = "HF_TOKEN\0MISSING\0REPLICATE_API_TOKEN\0NUMBER";
    st_error error = ST_ERROR_INIT;
    st_bytes values[4];
    st_status statuses[4];
    memset(values, 0x5A, sizeof values);
    memset(statuses, 0x5A, sizeof statuses);
    CHECK_OK(st_secrets_get_many(secrets, keys, sizeof keys, 4, values, statuses, &error));
    CHECK(statuses[0] == ST_OK && statuses[1] == ST_NOT_FOUND && statuses[2] == ST_OK && statuses[3] == ST_OK);
    CHECK_TEXT(values[0], "CANARY-file");
    CHECK_EMPTY(values[1]);
    CHECK_TEXT(values[2], "CANARY-r8");
    CHECK_TEXT(values[3], "17");
    for (int i = 0; i < 4; i++) {
        st_bytes_free(&values[i]);
    }
    /* No secret has an empty name; an empty list of names is allowed. */
    CHECK_OK(st_secrets_get_many(secrets, "\0HF_TOKEN", 10, 2, values, statuses, &error));
    CHECK(statuses[0] == ST_INVALID_ARGUMENT && statuses[1] == ST_OK);
    st_bytes_free(&values[1]);
    CHECK_OK(st_secrets_get_many(secrets, NULL, 0, 0, NULL, NULL, &error));
}

static void well_known(const st_secrets *secrets) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    CHECK_OK(st_secrets_get_hf_token(secrets, &value, &error));
    CHECK_TEXT(value, "CANARY-file");
    st_bytes_free(&value);
    CHECK_OK(st_secrets_get_replicate_token(secrets, &value, &error));
    CHECK_TEXT(value, "CANARY-r8");
    st_bytes_free(&value);
    CHECK_FAILS(st_secrets_get_webhook_secret(secrets, &value, &error), ST_NOT_FOUND, ST_KEY_CLOUD_WEBHOOK_SECRET);
    CHECK_EMPTY(value);
    setenv(ST_KEY_CLOUD_WEBHOOK_SECRET, "CANARY-hook", 1);
    CHECK_OK(st_secrets_get_webhook_secret(secrets, &value, &error));
    CHECK_TEXT(value, "CANARY-hook");
    st_bytes_free(&value);
}

/* "Not found" lists what was tried, provider by provider. */
static void not_found(const st_secrets *secrets) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    CHECK_FAILS(st_secrets_get(secrets, "no-such", ST_NUL, &value, &error), ST_NOT_FOUND, "env (variable NO_SUCH is");
    CHECK_FAILS(st_secrets_get(secrets, "no-such", ST_NUL, &value, &error), ST_NOT_FOUND, "file (");
    st_secrets *nothing = open_with("providers", "[]");
    CHECK_FAILS(st_secrets_get(nothing, "HF_TOKEN", ST_NUL, &value, &error), ST_NOT_FOUND, "no providers");
    st_secrets_free(nothing);
}

int main(void) {
    begin();
    st_secrets *secrets = open_with(
        "file_path", write_file("get.json", "{\"HF_TOKEN\": \"CANARY-file\", \"REPLICATE_API_TOKEN\": \"CANARY-r8\","
                                            " \"NUMBER\": 17}"));
    into_a_buffer(secrets);
    with_an_account(secrets);
    a_smaller_account(secrets);
    several(secrets);
    well_known(secrets);
    not_found(secrets);
    st_secrets_free(secrets);
    return 0;
}
