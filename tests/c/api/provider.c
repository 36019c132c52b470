/* Custom providers. */
#include <math.h>

#include "check.h"

struct provider {
    const char *value;   /* the answer, if not NULL */
    st_status failure;   /* otherwise the failure, if not 0 */
    const char *message; /* and its message, if not NULL */
    st_status returned;
    const st_secrets *manager; /* gets another key from it, if not NULL */
    int calls, drops;
    double timeout;
    st_status replied;
};

static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    struct provider *provider = context;
    provider->calls++;
    provider->timeout = timeout;
    CHECK(strlen(key) == key_len);
    if (provider->manager != NULL && strcmp(key, "OTHER") != 0) {
        st_error error = ST_ERROR_INIT;
        st_bytes value = {0};
        CHECK_OK(st_secrets_get(provider->manager, "OTHER", ST_NUL, &value, &error));
        provider->replied = st_reply_bytes(reply, value.data, value.len, 60.0);
        st_bytes_free(&value);
    } else if (provider->value != NULL) {
        provider->replied = st_reply_bytes(reply, provider->value, ST_NUL, ST_TTL_DEFAULT);
    } else if (provider->failure != 0) {
        provider->replied = st_reply_error(reply, provider->failure, provider->message, provider->message ? ST_NUL : 0);
    }
    return provider->returned;
}

static void drop(void *context) {
    ((struct provider *)context)->drops++;
}

/* A manager with this provider after an empty environment and no file. */
static st_secrets *open_provider(struct provider *provider) {
    st_error error = ST_ERROR_INIT;
    st_secrets *secrets = open_with("file_path", path_of("none.json"));
    CHECK_OK(st_secrets_add_provider(secrets, "mine", ST_NUL, ST_LAST, load, drop, provider, &error));
    return secrets;
}

static void answers(void) {
    static const struct {
        struct provider provider;
        st_status expected;
        const char *word;
    } table[] = {
        {{.value = "CANARY-mine", .returned = ST_OK}, ST_OK, NULL},
        {{.value = "", .returned = ST_OK}, ST_OK, NULL},
        {{.returned = ST_NOT_FOUND}, ST_NOT_FOUND, "mine (has no value)"},
        {{.returned = ST_OK}, ST_CALLBACK, "without a value"},
        {{.returned = 1}, ST_CALLBACK, "1, which is not a status"},
        {{.returned = -12345}, ST_CALLBACK, "-12345, which is not a status"},
        {{.returned = ST_UNAVAILABLE}, ST_UNAVAILABLE, "ST_UNAVAILABLE"},
        {{.returned = ST_ACCESS_DENIED}, ST_ACCESS_DENIED, "mine"},
        {{.failure = ST_TIMEOUT, .message = "the vault is asleep", .returned = ST_TIMEOUT}, ST_TIMEOUT, "is asleep"},
        {{.failure = ST_BUSY, .returned = ST_BUSY}, ST_BUSY, "ST_BUSY"},
        /* A reported failure counts, whatever is returned. */
        {{.failure = ST_IO, .message = "no disk", .returned = ST_OK}, ST_IO, "no disk"},
        {{.failure = ST_IO, .message = "no disk", .returned = ST_NOT_FOUND}, ST_IO, "no disk"},
        /* So does one that is returned after a value. */
        {{.value = "CANARY-mine", .returned = ST_UNAVAILABLE}, ST_UNAVAILABLE, "ST_UNAVAILABLE"},
    };
    st_error error = ST_ERROR_INIT;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct provider provider = table[i].provider;
        st_bytes value = {0};
        st_secret_info info = ST_SECRET_INFO_INIT;
        st_secrets *secrets = open_provider(&provider);
        if (table[i].expected == ST_OK) {
            CHECK_OK(st_secrets_get_with(secrets, "KEY", ST_NUL, 3.0, 0, &value, &info, &error));
            CHECK_TEXT(value, provider.value);
            CHECK(info.source == ST_SOURCE_CUSTOM && strcmp(info.provider, "mine") == 0);
        } else {
            CHECK_FAILS(st_secrets_get_with(secrets, "KEY", ST_NUL, 3.0, 0, &value, &info, &error), table[i].expected,
                        table[i].word);
            CHECK_EMPTY(value);
            CHECK(table[i].expected == ST_NOT_FOUND || error.source == ST_SOURCE_CUSTOM);
            int retry =
                provider.returned == ST_UNAVAILABLE || provider.returned == ST_TIMEOUT || provider.returned == ST_BUSY;
            CHECK((error.flags & ST_ERROR_RETRYABLE) == (retry ? ST_ERROR_RETRYABLE : 0u));
        }
        CHECK(provider.calls == 1 && provider.drops == 0 && provider.replied == ST_OK);
        CHECK(provider.timeout > 0 && provider.timeout <= 3.0);
        st_bytes_free(&value);
        st_secrets_free(secrets);
        CHECK(provider.drops == 1);
    }
}

static void no_time_limit(void) {
    st_error error = ST_ERROR_INIT;
    struct provider provider = {.value = "CANARY", .returned = ST_OK};
    st_bytes value = {0};
    st_secret_info info = ST_SECRET_INFO_INIT;
    st_secrets *secrets = open_provider(&provider);
    CHECK_OK(st_secrets_get_with(secrets, "KEY", ST_NUL, INFINITY, 0, &value, NULL, &error));
    CHECK(isinf(provider.timeout));
    st_bytes_free(&value);
    /* Answers are cached; other keys need a call of the provider. */
    CHECK_OK(st_secrets_get_with(secrets, "KEY", ST_NUL, 0.0, ST_GET_CACHED_ONLY, &value, &info, &error));
    CHECK(info.flags == ST_SECRET_CACHED && info.expires_in > 0.0 && provider.calls == 1);
    st_bytes_free(&value);
    CHECK_FAILS(st_secrets_get_with(secrets, "ANOTHER", ST_NUL, 0.0, 0, &value, NULL, &error), ST_TIMEOUT, "mine");
    /* Such a provider may take long, so a cached-only call does not use it. */
    CHECK_FAILS(st_secrets_get_with(secrets, "ANOTHER", ST_NUL, 3.0, ST_GET_CACHED_ONLY, &value, NULL, &error),
                ST_UNAVAILABLE, "mine");
    CHECK(provider.calls == 1);
    st_secrets_free(secrets);
}

/* The chain continues after a failing provider, which is reported and never becomes "not found". */
static void failing_provider_before_others(void) {
    st_error error = ST_ERROR_INIT;
    struct provider broken = {.failure = ST_UNAVAILABLE, .message = "out of order", .returned = ST_UNAVAILABLE};
    struct provider working = {.value = "CANARY-second", .returned = ST_OK};
    st_bytes value = {0};
    st_secret_info info = ST_SECRET_INFO_INIT;
    st_secrets *secrets = open_provider(&broken);
    CHECK_FAILS(st_secrets_get(secrets, "KEY", ST_NUL, &value, &error), ST_UNAVAILABLE,
                "the provider mine failed: out of");
    CHECK_OK(st_secrets_add_provider(secrets, "second", ST_NUL, ST_LAST, load, drop, &working, &error));
    CHECK_OK(st_secrets_get_with(secrets, "KEY", ST_NUL, 3.0, 0, &value, &info, &error));
    CHECK_TEXT(value, "CANARY-second");
    CHECK(info.flags == ST_SECRET_DEGRADED && strcmp(info.provider, "second") == 0);
    st_bytes_free(&value);
    st_secrets_free(secrets);
    CHECK(broken.drops == 1 && working.drops == 1);
}

/* An expired value is returned, and marked, in calls that do not ask the provider. */
static void expired_value(void) {
    st_error error = ST_ERROR_INIT;
    struct provider provider = {.value = "CANARY", .returned = ST_OK};
    st_bytes value = {0};
    st_secret_info info = ST_SECRET_INFO_INIT;
    st_secrets *secrets = open_with("cache_ttl", "0.000001");
    CHECK_OK(st_secrets_add_provider(secrets, "mine", ST_NUL, ST_LAST, load, drop, &provider, &error));
    CHECK_OK(st_secrets_get_with(secrets, "KEY", ST_NUL, 3.0, 0, &value, &info, &error));
    CHECK(info.flags == 0);
    st_bytes_free(&value);
    CHECK_OK(st_secrets_get_with(secrets, "KEY", ST_NUL, 3.0, ST_GET_CACHED_ONLY, &value, &info, &error));
    CHECK_TEXT(value, "CANARY");
    CHECK(info.flags == (ST_SECRET_STALE | ST_SECRET_CACHED) && fpclassify(info.expires_in) == FP_ZERO);
    CHECK(provider.calls == 1);
    st_bytes_free(&value);
    /* But not after the provider denied access. */
    provider = (struct provider){.returned = ST_ACCESS_DENIED, .drops = provider.drops};
    CHECK_FAILS(st_secrets_get(secrets, "KEY", ST_NUL, &value, &error), ST_ACCESS_DENIED, "mine");
    CHECK_FAILS(st_secrets_get_with(secrets, "KEY", ST_NUL, 3.0, ST_GET_CACHED_ONLY, &value, &info, &error),
                ST_UNAVAILABLE, "mine");
    st_secrets_free(secrets);
}

static void positions(void) {
    st_error error = ST_ERROR_INIT;
    struct provider first = {.value = "CANARY-first", .returned = ST_OK}, refused = {0};
    setenv("HF_TOKEN", "CANARY-env", 1);
    st_bytes value = {0}, json = {0};
    st_secrets *secrets = open_with("providers", "[\"env\"]");
    CHECK_OK(st_secrets_add_provider(secrets, "first-and-more", 5, 0, load, drop, &first, &error));
    CHECK_OK(st_secrets_get(secrets, "HF_TOKEN", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY-first");
    st_bytes_free(&value);
    CHECK_OK(st_secrets_describe(secrets, &json, &error));
    CHECK_HAS(json, "\"name\": \"first\"");
    CHECK(strstr((const char *)json.data, "\"first\"") < strstr((const char *)json.data, "\"env\""));
    st_bytes_free(&json);
    unsetenv("HF_TOKEN");

    /* The context of a rejected provider is released at once, and once. */
    static const struct {
        const char *name;
        size_t position;
        const char *word;
    } wrong[] = {
        {"first", ST_LAST, "already"},
        {"env", ST_LAST, "already"},
        {"", ST_LAST, "name"},
        {"a name of more than thirty-one by", ST_LAST, "name"},
        {"line\nbreak", ST_LAST, "name"},
        {"fine", 3, "position"},
        {"fine", SIZE_MAX / 2, "position"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        refused.drops = 0;
        CHECK_FAILS(
            st_secrets_add_provider(secrets, wrong[i].name, ST_NUL, wrong[i].position, load, drop, &refused, &error),
            ST_INVALID_ARGUMENT, wrong[i].word);
        CHECK(refused.drops == 1 && refused.calls == 0);
    }
    CHECK_OK(
        st_secrets_add_provider(secrets, "a name of thirty-one bytes, yes", ST_NUL, 2, load, NULL, &first, &error));
    st_secrets_free(secrets);
    CHECK(first.drops == 1);
}

static void provider_that_calls_the_library(void) {
    st_error error = ST_ERROR_INIT;
    struct provider provider = {.returned = ST_OK, .value = "CANARY-other"};
    st_bytes value = {0};
    st_secrets *secrets = open_provider(&provider);
    provider.manager = secrets;
    CHECK_OK(st_secrets_get(secrets, "KEY", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY-other");
    CHECK(provider.calls == 2);
    st_bytes_free(&value);
    st_secrets_free(secrets);
}

/* A provider of the default manager is released with it. */
static void provider_of_the_default_manager(void) {
    st_error error = ST_ERROR_INIT;
    struct provider provider = {.returned = ST_OK, .value = "CANARY-default"};
    st_bytes value = {0};
    CHECK_OK(st_secrets_add_provider(NULL, "mine", ST_NUL, 0, load, drop, &provider, &error));
    CHECK_OK(st_secrets_get(NULL, "KEY", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY-default");
    CHECK_OK(st_secrets_reset(NULL, &error));
    CHECK(provider.drops == 1);
    CHECK_TEXT(value, "CANARY-default");
    st_bytes_free(&value);
    CHECK_FAILS(st_secrets_get(NULL, "KEY", ST_NUL, &value, &error), ST_NOT_FOUND, "KEY");
}

int main(void) {
    begin();
    answers();
    no_time_limit();
    failing_provider_before_others();
    expired_value();
    positions();
    provider_that_calls_the_library();
    provider_of_the_default_manager();
    return 0;
}
