/*
 * Bad arguments of the functions for bytes, logs, settings and callbacks: each is rejected with its status and a
 * message that names it, and all outputs are zero afterwards. See also bad_arguments_secrets.c.
 */
#include <math.h>

#include "check.h"

static const size_t absurd[] = {SIZE_MAX - 1, SIZE_MAX / 2 + 1};
#define EACH_ABSURD(len) for (size_t i = 0, len = absurd[0]; i < 2; i++, len = absurd[1])

#define BAD(call, word) CHECK_FAILS(call, ST_INVALID_ARGUMENT, word)

static st_error error = ST_ERROR_INIT;

static void bytes(void) {
    st_bytes none = {0}, out, some = {0};
    setenv("SOME", "CANARY", 1);
    CHECK_OK(st_secrets_get(NULL, "SOME", ST_NUL, &some, &error));
    memset(&out, 0x5A, sizeof out);
    BAD(st_bytes_clone(NULL, &out, &error), "`bytes`");
    CHECK_EMPTY(out);
    BAD(st_bytes_clone(&some, NULL, &error), "`out`");
    BAD(st_bytes_clone(&some, &some, &error), "`out`");
    BAD(st_bytes_clone(&none, &none, &error), "`out`");
    BAD(st_bytes_clone(&none, &out, &error), "`bytes`");
    BAD(st_bytes_clone(NULL, NULL, &error), "NULL");
    CHECK_TEXT(some, "CANARY");
    st_bytes_free(&some);
    st_bytes_free(NULL);
}

static void log_levels(void) {
    static const int32_t wrong[] = {-1, 6, INT32_MIN, INT32_MAX};
    for (int i = 0; i < 4; i++) {
        BAD(st_log_set(wrong[i], NULL, NULL, NULL, &error), "`max_level`");
    }
}

static void settings(void) {
    st_config *config = st_config_new();
    BAD(st_config_set(NULL, "timeout", ST_NUL, "1", ST_NUL, &error), "`config`");
    BAD(st_config_set(config, NULL, 0, "1", ST_NUL, &error), "`key`");
    BAD(st_config_set(config, NULL, 7, "1", ST_NUL, &error), "`key`");
    BAD(st_config_set(config, NULL, ST_NUL, "1", ST_NUL, &error), "`key`");
    BAD(st_config_set(config, "timeout\xFF", ST_NUL, "1", ST_NUL, &error), "`key`");
    BAD(st_config_set(config, "timeout", ST_NUL, NULL, 0, &error), "`value`");
    BAD(st_config_set(config, "timeout", ST_NUL, NULL, 1, &error), "`value`");
    BAD(st_config_set(config, "timeout", ST_NUL, NULL, ST_NUL, &error), "`value`");
    BAD(st_config_set(config, "timeout", ST_NUL, "\xC3", ST_NUL, &error), "`value`");
    BAD(st_config_parse(NULL, "{}", ST_NUL, &error), "`config`");
    BAD(st_config_parse(config, NULL, 0, &error), "`json`");
    BAD(st_config_parse(config, NULL, 2, &error), "`json`");
    BAD(st_config_parse(config, "{\"\xED\xA0\x80\": 1}", ST_NUL, &error), "`json`");
    EACH_ABSURD(len) {
        BAD(st_config_set(config, "timeout", len, "1", ST_NUL, &error), "`key`");
        BAD(st_config_set(config, "timeout", ST_NUL, "1", len, &error), "`value`");
        BAD(st_config_parse(config, "{}", len, &error), "json");
    }
    /* Unknown keys and values of the wrong type have the status of settings. */
    CHECK_FAILS(st_config_set(config, "timeout", 0, "1", ST_NUL, &error), ST_CONFIG, "unknown configuration key");
    CHECK_FAILS(st_config_set(config, "timeouts", ST_NUL, "1", ST_NUL, &error), ST_CONFIG, "`timeout`");
    CHECK_FAILS(st_config_set(config, "timeout", ST_NUL, "1", 0, &error), ST_CONFIG, "`timeout`");
    CHECK_FAILS(st_config_parse(config, "{}", 0, &error), ST_CONFIG, "object");
    CHECK_FAILS(st_config_parse(config, "{}", 1, &error), ST_CONFIG, "line 1");
    st_config_free(config);
}

/* The mistakes of a callback, one per call; the reply itself has no message. */
static st_status (*mistake)(st_reply *reply);
static st_status refused;

static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    (void)context, (void)key, (void)key_len, (void)timeout;
    refused = mistake(reply);
    return ST_OK;
}

#define MISTAKE(name, call) \
    static st_status name(st_reply *reply) { \
        (void)reply; \
        return call; \
    }
MISTAKE(bytes_without_reply, st_reply_bytes(NULL, "CANARY", ST_NUL, 1.0))
MISTAKE(null_bytes, st_reply_bytes(reply, NULL, 1, 1.0))
MISTAKE(null_text, st_reply_bytes(reply, NULL, ST_NUL, 1.0))
MISTAKE(absurd_bytes, st_reply_bytes(reply, "CANARY", SIZE_MAX - 1, 1.0))
MISTAKE(more_absurd_bytes, st_reply_bytes(reply, "CANARY", SIZE_MAX / 2 + 1, 1.0))
MISTAKE(nan_as_time_to_live, st_reply_bytes(reply, "CANARY", ST_NUL, NAN))
MISTAKE(negative_time_to_live, st_reply_bytes(reply, "CANARY", ST_NUL, -2.0))
MISTAKE(error_without_reply, st_reply_error(NULL, ST_IO, "x", ST_NUL))
MISTAKE(success_as_error, st_reply_error(reply, ST_OK, "x", ST_NUL))
MISTAKE(unknown_error, st_reply_error(reply, -77, "x", ST_NUL))
MISTAKE(null_message, st_reply_error(reply, ST_IO, NULL, 1))
MISTAKE(null_message_text, st_reply_error(reply, ST_IO, NULL, ST_NUL))
MISTAKE(message_that_is_not_text, st_reply_error(reply, ST_IO, "\xFF", ST_NUL))
MISTAKE(absurd_message, st_reply_error(reply, ST_IO, "x", SIZE_MAX - 1))

static void replies(void) {
    static st_status (*const mistakes[])(st_reply *) = {
        bytes_without_reply,
        null_bytes,
        null_text,
        absurd_bytes,
        more_absurd_bytes,
        nan_as_time_to_live,
        negative_time_to_live,
        error_without_reply,
        success_as_error,
        unknown_error,
        null_message,
        null_message_text,
        message_that_is_not_text,
        absurd_message,
    };
    st_secrets *secrets = open_with("providers", "[]");
    CHECK_OK(st_secrets_add_provider(secrets, "clumsy", ST_NUL, ST_LAST, load, NULL, NULL, &error));
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        st_bytes out = {0};
        mistake = mistakes[i];
        refused = ST_OK;
        /* The callback broke its contract: it returned ST_OK without an answer. */
        CHECK_FAILS(st_secrets_get(secrets, "KEY", ST_NUL, &out, &error), ST_CALLBACK, "clumsy");
        CHECK(refused == ST_INVALID_ARGUMENT);
        CHECK_EMPTY(out);
    }
    st_secrets_free(secrets);
}

int main(void) {
    begin();
    bytes();
    log_levels();
    settings();
    replies();
    return 0;
}
