/* Settings: from text and from JSON, and the messages for invalid ones. */
#include "check.h"

/* Opens a manager and returns its description, which contains the settings. */
static st_bytes described(const st_config *config) {
    st_error error = ST_ERROR_INIT;
    st_secrets *secrets = NULL;
    st_bytes json = {0};
    CHECK_OK(st_secrets_open(config, &secrets, &error));
    CHECK_OK(st_secrets_describe(secrets, &json, &error));
    st_secrets_free(secrets);
    return json;
}

static void from_text_and_from_json(void) {
    st_error error = ST_ERROR_INIT;
    st_config *config = st_config_new();
    CHECK_OK(st_config_set(config, "timeout", 7, "2.5", 3, &error));
    CHECK_OK(st_config_set(config, "env_prefix", ST_NUL, "MYAPP", ST_NUL, &error));
    st_bytes json = described(config);
    CHECK_HAS(json, "\"timeout\": 2.5");
    CHECK_HAS(json, "\"prefix\": \"MYAPP\"");
    CHECK_HAS(json, "\"strict_permissions\": false");
    st_bytes_free(&json);

    const char *more = "{\"timeout\": 3, \"strict_permissions\": true, \"providers\": [\"file\", \"env\"]}";
    CHECK_OK(st_config_parse(config, more, ST_NUL, &error));
    json = described(config);
    CHECK_HAS(json, "\"timeout\": 3.0");
    CHECK_HAS(json, "\"prefix\": \"MYAPP\"");
    CHECK_HAS(json, "\"strict_permissions\": true");
    CHECK(strstr((const char *)json.data, "\"file\"") < strstr((const char *)json.data, "\"env\""));
    st_bytes_free(&json);

    /* null restores the default of a key. */
    CHECK_OK(st_config_parse(config, "{\"timeout\": null, \"env_prefix\": null}", ST_NUL, &error));
    json = described(config);
    CHECK_HAS(json, "\"timeout\": 10.0");
    CHECK_HAS(json, "\"prefix\": null");
    st_bytes_free(&json);
    st_config_free(config);
}

static void manager_copies_the_configuration(void) {
    st_error error = ST_ERROR_INIT;
    st_config *config = st_config_new();
    st_secrets *secrets = NULL;
    st_bytes json = {0};
    CHECK_OK(st_config_set(config, "timeout", ST_NUL, "4", ST_NUL, &error));
    CHECK_OK(st_secrets_open(config, &secrets, &error));
    CHECK_OK(st_config_set(config, "timeout", ST_NUL, "5", ST_NUL, &error));
    st_config_free(config);
    CHECK_OK(st_secrets_describe(secrets, &json, &error));
    CHECK_HAS(json, "\"timeout\": 4.0");
    st_bytes_free(&json);
    st_secrets_free(secrets);
}

static void invalid_settings(void) {
    st_error error = ST_ERROR_INIT;
    st_config *config = st_config_new();
    static const struct {
        const char *key, *value, *word;
    } wrong[] = {
        {"file_pat", "x", "did you mean `file_path`"},
        {"Timeout", "1", "did you mean `timeout`"},
        {"zzzzzzzzzzzzzzz", "x", "the known ones are"},
        {"", "x", "unknown configuration key"},
        {"timeout", "CANARY", "`timeout`"},
        {"timeout", "-1", "`timeout`"},
        {"timeout", "0", "`timeout`"},
        {"timeout", "nan", "`timeout`"},
        {"timeout", "", "`timeout`"},
        {"strict_permissions", "CANARY", "`strict_permissions`"},
        {"strict_permissions", "1", "`strict_permissions`"},
        {"providers", "CANARY", "`providers`"},
        {"providers", "[\"CANARY\", 3]", "`providers`"},
        {"file_path", "CANARY\n", "`file_path`"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_FAILS(st_config_set(config, wrong[i].key, ST_NUL, wrong[i].value, ST_NUL, &error), ST_CONFIG,
                    wrong[i].word);
    }
    static const struct {
        const char *json, *word;
    } broken[] = {
        {"{\"timout\": 1}", "did you mean `timeout`"},
        {"{\"timeout\": \"CANARY\"}", "`timeout`"},
        {"{\"timeout\": -1}", "`timeout`"},
        {"{\"file_path\": 5}", "`file_path`"},
        {"{\"file_path\": [\"CANARY\"]}", "`file_path`"},
        {"{\"providers\": \"CANARY\"}", "`providers`"},
        {"{\"strict_permissions\": \"CANARY\"}", "`strict_permissions`"},
        {"{\"timeout\": 1, \"timeout\": 2}", "twice"},
        {"\"CANARY\"", "object"},
        {"", "object"},
        {"{\"timeout\": 1,\n  CANARY}", "line 2"},
        {"{\"timeout\": 1} CANARY", "line 1"},
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        CHECK_FAILS(st_config_parse(config, broken[i].json, ST_NUL, &error), ST_CONFIG, broken[i].word);
    }
    /* None of them was applied, and nothing of a document with one mistake. */
    CHECK_FAILS(st_config_parse(config, "{\"timeout\": 7, \"unknown\": 1}", ST_NUL, &error), ST_CONFIG, "unknown");
    st_bytes json = described(config);
    CHECK_HAS(json, "\"timeout\": 10.0");
    st_bytes_free(&json);
    st_config_free(config);
}

/* Errors that only the manager can detect are reported when it is opened, and name the setting. */
static void settings_rejected_by_the_manager(void) {
    st_error error = ST_ERROR_INIT;
    static const struct {
        const char *json, *word;
    } wrong[] = {
        {"{\"providers\": [\"evn\"]}", "did you mean \"env\""},
        {"{\"providers\": [\"env\", \"env\"]}", "twice"},
        {"{\"env_prefix\": \"A=B\"}", "`env_prefix`"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        st_config *config = st_config_new();
        st_secrets *secrets = (st_secrets *)&error;
        CHECK_OK(st_config_parse(config, wrong[i].json, ST_NUL, &error));
        CHECK_FAILS(st_secrets_open(config, &secrets, &error), ST_CONFIG, wrong[i].word);
        CHECK(secrets == NULL);
        CHECK_FAILS(st_secrets_reset(config, &error), ST_CONFIG, wrong[i].word);
        st_config_free(config);
    }
}

int main(void) {
    begin();
    from_text_and_from_json();
    manager_copies_the_configuration();
    invalid_settings();
    settings_rejected_by_the_manager();
    st_config_free(NULL);
    return 0;
}
