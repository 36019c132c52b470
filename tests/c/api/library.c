/* The library itself: versions, names of statuses, and how errors are written. */
#include "check.h"

static void versions(void) {
    CHECK(strcmp(st_version(), ST_VERSION) == 0);
    CHECK(st_version_number() == ST_VERSION_NUMBER);
    CHECK(st_abi_version() == ST_ABI_VERSION);
    unsigned major = 0, minor = 0, patch = 0;
    CHECK(sscanf(st_version(), "%u.%u.%u", &major, &minor, &patch) == 3);
    CHECK(major * 1000000 + minor * 1000 + patch == st_version_number());
}

/* The numbers are part of the ABI and never change. */
static void status_names(void) {
    static const struct {
        st_status status;
        int number;
        const char *name;
    } known[] = {
#define STATUS(name, number) {name, number, #name}
        STATUS(ST_OK, 0),           STATUS(ST_NOT_FOUND, -1),  STATUS(ST_INVALID_ARGUMENT, -2),
        STATUS(ST_CONFIG, -3),      STATUS(ST_IO, -4),         STATUS(ST_ACCESS_DENIED, -5),
        STATUS(ST_UNAVAILABLE, -6), STATUS(ST_TIMEOUT, -7),    STATUS(ST_PROTOCOL, -8),
        STATUS(ST_BAD_TOKEN, -9),   STATUS(ST_BAD_KEY, -10),   STATUS(ST_BUFFER_TOO_SMALL, -11),
        STATUS(ST_CALLBACK, -12),   STATUS(ST_CORRUPT, -13),   STATUS(ST_BUSY, -14),
        STATUS(ST_WRONG_TYPE, -15), STATUS(ST_READ_ONLY, -16), STATUS(ST_NO_MEMORY, -17),
        STATUS(ST_ABANDONED, -18),  STATUS(ST_PANIC, -99),
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        CHECK(known[i].status == known[i].number);
        CHECK(strcmp(st_status_name(known[i].status), known[i].name) == 0);
    }
    CHECK(strcmp(st_status_name(1), "ST_UNKNOWN") == 0);
    CHECK(strcmp(st_status_name(-19), "ST_UNKNOWN") == 0);
    CHECK(strcmp(st_status_name(INT32_MIN), "ST_UNKNOWN") == 0);
}

/* The layouts are part of the ABI too. */
static void layouts(void) {
    CHECK(sizeof(st_error) == 532 && offsetof(st_error, message) == 20);
    CHECK(sizeof(st_secret_info) == 128 && offsetof(st_secret_info, provider) == 32);
    CHECK(sizeof(st_bytes) == 24);
}

/* Nothing is written beyond the size that an error declares. */
static void sizes_of_errors(void) {
    for (uint32_t size = 0; size <= sizeof(st_error); size++) {
        union {
            st_error error;
            unsigned char bytes[sizeof(st_error)];
        } small;
        memset(&small, 0x5A, sizeof small);
        small.error.size = size;
        CHECK(st_config_set(NULL, "timeout", ST_NUL, "1", ST_NUL, &small.error) == ST_INVALID_ARGUMENT);
        CHECK(small.error.size == size);
        for (size_t i = size < 4 ? 4 : size; i < sizeof small; i++) {
            CHECK(small.bytes[i] == 0x5A);
        }
        if (size >= 8) {
            CHECK(small.error.status == ST_INVALID_ARGUMENT);
        }
        if (size > 20) {
            CHECK(memchr(small.error.message, 0, size - 20) != NULL);
        }
        st_config *config = st_config_new();
        memset(small.bytes + 4, 0x5A, sizeof small - 4);
        CHECK(st_config_set(config, "timeout", ST_NUL, "1", ST_NUL, &small.error) == ST_OK);
        for (size_t i = size < 4 ? 4 : size; i < sizeof small; i++) {
            CHECK(small.bytes[i] == 0x5A);
        }
        st_config_free(config);
    }
}

/* Success only writes the status and the first byte of the message; failure writes every field. */
static void success_and_failure(void) {
    st_error error = ST_ERROR_INIT;
    error.status = error.source = error.detail = 77;
    error.flags = 77;
    strcpy(error.message, "before");
    st_secrets *secrets = NULL;
    CHECK(st_secrets_open(NULL, &secrets, &error) == ST_OK);
    CHECK(error.status == ST_OK && error.message[0] == 0);
    CHECK(error.source == 77 && error.detail == 77 && error.flags == 77 && strcmp(error.message + 1, "efore") == 0);
    st_bytes value = {0};
    CHECK_FAILS(st_secrets_get(secrets, "NO_SUCH_SECRET", ST_NUL, &value, &error), ST_NOT_FOUND, "NO_SUCH_SECRET");
    CHECK(error.source == ST_SOURCE_NONE && error.detail == 0 && error.flags == 0);
    /* The error may be NULL. */
    CHECK(st_secrets_get(secrets, "NO_SUCH_SECRET", ST_NUL, &value, NULL) == ST_NOT_FOUND);
    st_secrets_free(secrets);
}

/* A message that is too long is truncated after a whole character. */
static void long_messages(void) {
    char key[2001];
    for (size_t i = 0; i < 2000; i += 2) {
        memcpy(key + i, "\xC3\xA9", 2);
    }
    key[2000] = 0;
    for (size_t shift = 0; shift < 2; shift++) {
        st_error error = ST_ERROR_INIT;
        st_bytes value = {0};
        error.size -= (uint32_t)shift;
        CHECK(st_secrets_get(NULL, key, ST_NUL, &value, &error) == ST_NOT_FOUND);
        size_t len = strlen(error.message);
        CHECK(len >= 508 - shift && len <= 511 - shift);
        unsigned char last = (unsigned char)error.message[len - 1], before = (unsigned char)error.message[len - 2];
        CHECK(last < 0x80 || (last == 0xA9 && before == 0xC3));
    }
}

int main(void) {
    begin();
    versions();
    status_names();
    layouts();
    sizes_of_errors();
    success_and_failure();
    long_messages();
    return 0;
}
