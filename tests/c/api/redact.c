/* Redaction: values and their encoded forms, pieces, file descriptors, and values that the library returned. */
#include <pthread.h>

#include "check.h"

static st_error error = ST_ERROR_INIT;

static st_redactor *redactor_with(const char *settings) {
    st_redactor *redactor = NULL;
    st_config *config = st_config_new();
    CHECK_OK(st_config_parse(config, settings, ST_NUL, &error));
    CHECK_OK(st_redactor_open(config, &redactor, &error));
    st_config_free(config);
    return redactor;
}

static void check_redacted(const st_redactor *redactor, const char *text, const char *expected) {
    st_bytes redacted = {0};
    CHECK_OK(st_redact(redactor, text, ST_NUL, &redacted, &error));
    CHECK_TEXT(redacted, expected);
    st_bytes_free(&redacted);
}

static void values(void) {
    st_redactor *redactor = NULL;
    CHECK_OK(st_redactor_open(NULL, &redactor, &error));
    check_redacted(redactor, "CANARY/1234", "CANARY/1234");
    bool added = false;
    CHECK_OK(st_redactor_add(redactor, NULL, 0, "CANARY/1234", ST_NUL, &added, &error));
    CHECK(added);
    CHECK_OK(st_redactor_add(redactor, NULL, 0, "CANARY!", ST_NUL, &added, &error));
    CHECK(!added);
    CHECK_OK(st_redactor_add(redactor, "NAME", 4, "CANARY-5678", 11, NULL, &error));
    check_redacted(redactor, "<CANARY/1234>, CANARY-5678, CANARY!", "<***>, ***, CANARY!");
    check_redacted(redactor, "CANARY\\/1234 CANARY%2F1234 43414e4152592f31323334", "*** *** ***");
    /* "user:CANARY/1234" in base64: the last character also depends on what follows. */
    check_redacted(redactor, "dXNlcjpDQU5BUlkvMTIzNA==", "dXNlcjp***A==");
    check_redacted(redactor, "", "");
    st_bytes redacted = {0};
    CHECK_OK(st_redact(redactor, NULL, 0, &redacted, &error));
    CHECK(redacted.len == 0);
    st_bytes_free(&redacted);
    st_redactor_free(redactor);
    st_redactor_free(NULL);
}

static void settings(void) {
    st_redactor *redactor = redactor_with("{\"redact_min\": 4, \"redact_with\": \"<{name}>\"}");
    CHECK_OK(st_redactor_add(redactor, "PIN", ST_NUL, "1234", ST_NUL, NULL, &error));
    CHECK_OK(st_redactor_add(redactor, NULL, 0, "5678", ST_NUL, NULL, &error));
    check_redacted(redactor, "1234 5678 123", "<PIN> <secret> 123");
    st_redactor_free(redactor);
}

static void pieces(void) {
    static const char text[] = "a CANARY-1234 b CANARY-123";
    st_redactor *redactor = NULL;
    CHECK_OK(st_redactor_open(NULL, &redactor, &error));
    CHECK_OK(st_redactor_add(redactor, NULL, 0, "CANARY-1234", ST_NUL, NULL, &error));
    for (size_t size = 1; size < sizeof text; size++) {
        st_redact_stream *stream = NULL;
        CHECK_OK(st_redact_stream_open(redactor, &stream, &error));
        char all[64] = "";
        size_t held = 1;
        st_bytes out = {0};
        for (size_t at = 0; at < sizeof text - 1; at += size) {
            size_t len = sizeof text - 1 - at < size ? sizeof text - 1 - at : size;
            CHECK_OK(st_redact_stream_write(stream, text + at, len, &out, &held, &error));
            strncat(all, (const char *)out.data, out.len);
            st_bytes_free(&out);
        }
        CHECK(strcmp(all, "a *** b ") == 0 && held == strlen("CANARY-123"));
        CHECK_OK(st_redact_stream_flush(stream, &out, &error));
        CHECK_TEXT(out, "CANARY-123");
        st_bytes_free(&out);
        CHECK_OK(st_redact_stream_flush(stream, &out, &error));
        CHECK(out.len == 0);
        st_bytes_free(&out);
        st_redact_stream_free(stream);
    }
    /* A stream outlives its redactor. */
    st_redact_stream *stream = NULL;
    st_bytes out = {0};
    CHECK_OK(st_redact_stream_open(redactor, &stream, &error));
    st_redactor_free(redactor);
    CHECK_OK(st_redact_stream_write(stream, "CANARY-1234\n", ST_NUL, &out, NULL, &error));
    CHECK_TEXT(out, "***\n");
    st_bytes_free(&out);
    st_redact_stream_free(stream);
    st_redact_stream_free(NULL);
}

struct copy {
    const st_redactor *redactor;
    int from, to;
};

static void *copy(void *argument) {
    struct copy *copy = argument;
    st_error failure = ST_ERROR_INIT;
    CHECK(st_redact_copy(copy->redactor, copy->from, copy->to, &failure) == ST_OK);
    close(copy->to);
    return NULL;
}

static void check_read(int from, const char *expected) {
    char text[64] = "";
    for (size_t at = 0; at < strlen(expected); at++) {
        CHECK(read(from, text + at, 1) == 1);
    }
    CHECK(strcmp(text, expected) == 0);
}

static void descriptors(void) {
    int in[2], out[2];
    CHECK(pipe(in) == 0 && pipe(out) == 0);
    st_redactor *redactor = NULL;
    CHECK_OK(st_redactor_open(NULL, &redactor, &error));
    CHECK_OK(st_redactor_add(redactor, NULL, 0, "CANARY-1234", ST_NUL, NULL, &error));
    struct copy both = {redactor, in[0], out[1]};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, copy, &both) == 0);
    CHECK(write(in[1], "a CANARY-1234\n", 14) == 14);
    check_read(out[0], "a ***\n");
    /* What is held back is written although nothing follows. */
    CHECK(write(in[1], "CAN", 3) == 3);
    check_read(out[0], "CAN");
    close(in[1]);
    CHECK(pthread_join(thread, NULL) == 0);
    char byte;
    CHECK(read(out[0], &byte, 1) == 0);
    close(out[0]);
    close(in[0]);
    CHECK_FAILS(st_redact_copy(redactor, in[0], 1, &error), ST_IO, "`from`");
    st_redactor_free(redactor);
}

static void of_process(void) {
    setenv("EARLY", "CANARY-early", 1);
    setenv("LATER", "CANARY-later", 1);
    st_bytes value = {0};
    CHECK_OK(st_secrets_get(NULL, "EARLY", ST_NUL, &value, &error));
    st_bytes_free(&value);

    st_config *config = st_config_new();
    CHECK_OK(st_config_set(config, "redact_with", ST_NUL, "<{name}>", ST_NUL, &error));
    CHECK_OK(st_redactor_start(config, &error));
    CHECK_OK(st_redactor_start(config, &error));
    CHECK_FAILS(st_redactor_start(NULL, &error), ST_CONFIG, "already open");
    CHECK_OK(st_config_set(config, "redact_min", ST_NUL, "2", ST_NUL, &error));
    CHECK_FAILS(st_redactor_start(config, &error), ST_CONFIG, "`redact_min`");
    st_config_free(config);

    check_redacted(NULL, "CANARY-early CANARY-later", "CANARY-early CANARY-later");
    char buffer[64];
    size_t len;
    CHECK_OK(st_secrets_get_into(NULL, "LATER", ST_NUL, buffer, sizeof buffer, &len, &error));
    check_redacted(NULL, "CANARY-early CANARY-later", "CANARY-early <LATER>");
    CHECK_OK(st_secrets_get_with(NULL, "EARLY", ST_NUL, ST_TIMEOUT_DEFAULT, 0, &value, NULL, &error));
    st_bytes_free(&value);
    check_redacted(NULL, "CANARY-early CANARY-later", "<EARLY> <LATER>");
}

int main(void) {
    begin();
    values();
    settings();
    pieces();
    descriptors();
    of_process();
    return 0;
}
