/* Managers: the default one and its reset, and their reports. */
#include "check.h"

static void order_and_subset(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    st_secrets *secrets = NULL;
    st_config *config = st_config_new();
    setenv("HF_TOKEN", "CANARY-env", 1);
    CHECK_OK(st_config_set(config, "file_path", ST_NUL, write_file("order.json", "{\"HF_TOKEN\": \"CANARY-file\"}"),
                           ST_NUL, &error));
    static const char *const orders[] = {"[\"env\",\"file\"]", "[\"file\",\"env\"]", "[\"env\"]", "[\"file\"]"};
    for (int i = 0; i < 4; i++) {
        CHECK_OK(st_config_set(config, "providers", ST_NUL, orders[i], ST_NUL, &error));
        CHECK_OK(st_secrets_open(config, &secrets, &error));
        CHECK_OK(st_secrets_get_hf_token(secrets, &value, &error));
        CHECK_TEXT(value, i % 2 == 0 ? "CANARY-env" : "CANARY-file");
        st_bytes_free(&value);
        st_secrets_free(secrets);
    }
    unsetenv("HF_TOKEN");
    st_config_free(config);
}

/* NULL is the manager of the process. */
static void default_manager(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0}, path = {0};
    CHECK_OK(st_secrets_set(NULL, "HF_TOKEN", ST_NUL, "CANARY-default", ST_NUL, &error));
    CHECK_OK(st_secrets_get(NULL, "HF_TOKEN", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY-default");
    st_bytes_free(&value);
    CHECK_OK(st_secrets_file_path(NULL, &path, &error));
    CHECK_TEXT(path, path_of(".simpletuner/secrets.json"));
    st_bytes_free(&path);

    st_config *config = st_config_new();
    CHECK_OK(st_config_set(config, "file_path", ST_NUL, write_file("reset.json", "{\"HF_TOKEN\": \"CANARY-reset\"}"),
                           ST_NUL, &error));
    CHECK_OK(st_secrets_reset(config, &error));
    st_config_free(config);
    CHECK_OK(st_secrets_get(NULL, "HF_TOKEN", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY-reset");
    st_bytes_free(&value);

    st_secrets_free(NULL); /* has no effect */
    CHECK_OK(st_secrets_get(NULL, "HF_TOKEN", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY-reset");
    st_bytes_free(&value);

    CHECK_OK(st_secrets_reset(NULL, &error));
    CHECK_OK(st_secrets_get(NULL, "HF_TOKEN", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY-default");
    st_bytes_free(&value);
}

/* Values with references survive; others are read again. */
static void clear_cache(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes before = {0}, after = {0};
    st_secrets *secrets = open_with("file_path", write_file("clear.json", "{\"A\": \"CANARY-1\"}"));
    CHECK_OK(st_secrets_get(secrets, "A", ST_NUL, &before, &error));
    write_file("clear.json", "{\"A\": \"CANARY-two\"}");
    CHECK_OK(st_secrets_clear_cache(secrets, &error));
    CHECK_OK(st_secrets_get(secrets, "A", ST_NUL, &after, &error));
    CHECK_TEXT(before, "CANARY-1");
    CHECK_TEXT(after, "CANARY-two");
    st_bytes_free(&before);
    st_bytes_free(&after);
    st_secrets_free(secrets);
}

static void reports(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes json = {0};
    st_secrets *secrets = open_with("file_path", write_file("report.json", "{\"A\": \"CANARY\", \"B\": \"CANARY\"}"));
    CHECK_OK(st_secrets_describe(secrets, &json, &error));
    CHECK_HAS(json, "\"name\": \"env\"");
    CHECK_HAS(json, "\"name\": \"file\"");
    CHECK_HAS(json, "\"entries\": 2");
    CHECK_HAS(json, path_of("report.json"));
    CHECK(strstr((const char *)json.data, "CANARY") == NULL && json.data[json.len] == 0);
    st_bytes_free(&json);
    CHECK_OK(st_secrets_check(secrets, &json, &error));
    CHECK_HAS(json, "\"ok\": true");
    CHECK_HAS(json, "\"memory\"");
    CHECK_HAS(json, "\"unlocked_bytes\"");
    CHECK(strstr((const char *)json.data, "CANARY") == NULL);
    st_bytes_free(&json);

    /* A broken file is a failed provider in a check, which itself succeeds. */
    write_file("report.json", "{\"A\": CANARY}");
    CHECK_OK(st_secrets_check(secrets, &json, &error));
    CHECK_HAS(json, "\"ok\": false");
    CHECK_HAS(json, "\"state\": \"failed\"");
    CHECK_HAS(json, "line 1, column 7");
    CHECK(strstr((const char *)json.data, "CANARY") == NULL);
    st_bytes_free(&json);
    st_secrets_free(secrets);

    secrets = open_with("file_path", path_of("not-there.json"));
    CHECK_OK(st_secrets_check(secrets, &json, &error));
    CHECK_HAS(json, "\"ok\": true");
    CHECK_HAS(json, "\"state\": \"absent\"");
    st_bytes_free(&json);
    st_secrets_free(secrets);
}

static void stats(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes json = {0}, value = {0};
    st_secrets *secrets = open_with("file_path", write_file("stats.json", "{\"A\": \"CANARY\"}"));
    for (int i = 0; i < 3; i++) {
        CHECK_OK(st_secrets_get(secrets, "A", ST_NUL, &value, &error));
        st_bytes_free(&value);
    }
    CHECK_FAILS(st_secrets_get(secrets, "NOT_THERE", ST_NUL, &value, &error), ST_NOT_FOUND, "NOT_THERE");
    CHECK_OK(st_secrets_stats(secrets, &json, &error));
    CHECK_HAS(json, "\"gets\": 4,");
    CHECK_HAS(json, "\"not_found\": 1,");
    CHECK_HAS(json, "\"failed\": 0,");
    CHECK_HAS(json, "\"hits\": 3,");
    CHECK_HAS(json, "\"loads\": 1,");
    CHECK(strstr((const char *)json.data, "CANARY") == NULL && json.data[json.len] == 0);
    st_bytes_free(&json);
    st_secrets_free(secrets);
}

static void share(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes json = {0};
    st_secrets *secrets = open_with("providers", "[\"env\"]");
    CHECK_OK(st_secrets_share(secrets, &json, &error));
    CHECK_HAS(json, "\"share\": \"off\"");
    CHECK_HAS(json, "\"documents\": []");
    CHECK(json.data[json.len] == 0);
    st_bytes_free(&json);
    CHECK_OK(st_secrets_prefetch(secrets, ST_TIMEOUT_DEFAULT, &error));
    CHECK_OK(st_secrets_check(secrets, &json, &error));
    CHECK_HAS(json, "\"detail\": \"it is off\"");
    st_bytes_free(&json);
    st_secrets_free(secrets);

    /* A directory that cannot be used is named, and fails nothing. */
    setenv("ST_SECRETS_SHARE", "host", 1);
    setenv("ST_SECRETS_SHARE_DIR", write_file("not-a-directory", ""), 1);
    secrets = open_with("providers", "[\"env\"]");
    CHECK_OK(st_secrets_share(secrets, &json, &error));
    CHECK_HAS(json, "\"share\": \"host\"");
    CHECK_HAS(json, path_of("not-a-directory"));
    CHECK_HAS(json, "is not a directory");
    st_bytes_free(&json);
    CHECK_OK(st_secrets_check(secrets, &json, &error));
    CHECK_HAS(json, "\"ok\": true");
    CHECK_HAS(json, "\"state\": \"warning\"");
    st_bytes_free(&json);
    st_secrets_free(secrets);
    unsetenv("ST_SECRETS_SHARE");
    unsetenv("ST_SECRETS_SHARE_DIR");

    /* A provider that is not reached fails the call, and the others are loaded even then. */
    st_config *config = st_config_new();
    CHECK_OK(st_config_parse(config,
                             "{\"providers\": [\"vault\"], \"vault_url\": \"http://127.0.0.1:9\","
                             " \"vault_token\": \"CANARY\", \"max_attempts\": 1}",
                             ST_NUL, &error));
    CHECK_OK(st_secrets_open(config, &secrets, &error));
    st_config_free(config);
    CHECK_FAILS(st_secrets_prefetch(secrets, 30.0, &error), ST_UNAVAILABLE, "the provider vault failed");
    st_secrets_free(secrets);
}

static void no_file_provider(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes path;
    memset(&path, 0x5A, sizeof path);
    st_secrets *secrets = open_with("providers", "[\"env\"]");
    CHECK_FAILS(st_secrets_file_path(secrets, &path, &error), ST_CONFIG, "file provider");
    CHECK_EMPTY(path);
    CHECK_OK(st_secrets_refresh(secrets, 1.0, &error));
    st_secrets_free(secrets);
}

/* A path need not be text. */
static void any_path(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0}, path = {0};
    CHECK(mkdir(path_of("home\xFF"), 0700) == 0);
    CHECK(mkdir(path_of("home\xFF/.simpletuner"), 0700) == 0);
    setenv("HOME", path_of("home\xFF"), 1);
    write_file("home\xFF/.simpletuner/secrets.json", "{\"A\": \"CANARY\"}");
    st_secrets *secrets = open_with(NULL, NULL);
    CHECK_OK(st_secrets_get(secrets, "A", ST_NUL, &value, &error));
    CHECK_OK(st_secrets_file_path(secrets, &path, &error));
    CHECK_TEXT(path, path_of("home\xFF/.simpletuner/secrets.json"));
    st_bytes_free(&path);
    st_bytes_free(&value);
    st_secrets_free(secrets);
}

int main(void) {
    begin();
    order_and_subset();
    default_manager();
    clear_cache();
    reports();
    share();
    stats();
    no_file_provider();
    any_path();
    return 0;
}
