/* Bad arguments of the functions for redaction. See also bad_arguments.c. */
#include "check.h"

static const size_t absurd[] = {SIZE_MAX - 1, SIZE_MAX / 2 + 1};
#define EACH_ABSURD(len) for (size_t i = 0, len = absurd[0]; i < 2; i++, len = absurd[1])

#define BAD(call, word) CHECK_FAILS(call, ST_INVALID_ARGUMENT, word)

static st_error error = ST_ERROR_INIT;
static st_redactor *redactor;

static void opening(void) {
    BAD(st_redactor_open(NULL, NULL, &error), "`out`");
    st_config *config = st_config_new();
    CHECK_FAILS(st_config_set(config, "redact_min", ST_NUL, "0", ST_NUL, &error), ST_CONFIG, "`redact_min`");
    CHECK_FAILS(st_config_set(config, "redact_with", ST_NUL, "a\nb", ST_NUL, &error), ST_CONFIG, "`redact_with`");
    CHECK_OK(st_config_set(config, "redact_min", ST_NUL, "3", ST_NUL, &error));
    redactor = (st_redactor *)&error;
    CHECK_FAILS(st_redactor_open(config, &redactor, &error), ST_CONFIG, "at least 4");
    CHECK(redactor == NULL);
    st_config_free(config);
    CHECK_OK(st_redactor_open(NULL, &redactor, &error));
}

static void adding(void) {
    bool added = true;
    BAD(st_redactor_add(redactor, NULL, 1, "CANARY-1", 8, &added, &error), "`name`");
    CHECK(!added);
    BAD(st_redactor_add(redactor, "\xFF", 1, "CANARY-1", 8, NULL, &error), "`name`");
    BAD(st_redactor_add(redactor, NULL, 0, NULL, 1, NULL, &error), "`value`");
    CHECK_OK(st_redactor_add(redactor, NULL, 0, NULL, 0, &added, &error));
    CHECK(!added);
    EACH_ABSURD(len) {
        BAD(st_redactor_add(redactor, "n", len, "CANARY-1", 8, NULL, &error), "`name`");
        BAD(st_redactor_add(redactor, NULL, 0, "CANARY-1", len, NULL, &error), "`value`");
    }
}

static void redacting(void) {
    st_bytes out;
    memset(&out, 0x5A, sizeof out);
    BAD(st_redact(redactor, NULL, 1, &out, &error), "`text`");
    CHECK_EMPTY(out);
    BAD(st_redact(redactor, "t", 1, NULL, &error), "`out`");
    EACH_ABSURD(len) {
        BAD(st_redact(redactor, "t", len, &out, &error), "`text`");
    }
    BAD(st_redact_copy(redactor, -1, 1, &error), "`from`");
    BAD(st_redact_copy(redactor, 0, -1, &error), "`to`");
}

static void streams(void) {
    st_redact_stream *stream = NULL;
    st_bytes out;
    memset(&out, 0x5A, sizeof out);
    size_t held = 5;
    BAD(st_redact_stream_open(redactor, NULL, &error), "`out`");
    BAD(st_redact_stream_write(NULL, "t", 1, &out, &held, &error), "`stream`");
    CHECK_EMPTY(out);
    CHECK(held == 0);
    BAD(st_redact_stream_flush(NULL, &out, &error), "`stream`");
    CHECK_OK(st_redact_stream_open(redactor, &stream, &error));
    BAD(st_redact_stream_write(stream, NULL, 1, &out, &held, &error), "`text`");
    BAD(st_redact_stream_write(stream, "t", 1, NULL, &held, &error), "`out`");
    BAD(st_redact_stream_flush(stream, NULL, &error), "`out`");
    EACH_ABSURD(len) {
        BAD(st_redact_stream_write(stream, "t", len, &out, &held, &error), "`text`");
    }
    st_redact_stream_free(stream);
}

int main(void) {
    begin();
    opening();
    adding();
    redacting();
    streams();
    st_redactor_free(redactor);
    return 0;
}
