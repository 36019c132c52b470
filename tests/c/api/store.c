/* The store: provider configuration, hardware prices, credentials, audit trail. */
#include <errno.h>
#include <math.h>
#include <sys/wait.h>

#include "check.h"

static st_error error = ST_ERROR_INIT;
static st_store *store;
static st_cipher *cipher;

static st_store *open_store(const char *key, const char *value) {
    st_config *config = st_config_new();
    st_store *made = NULL;
    CHECK_OK(st_config_set(config, key, ST_NUL, value, ST_NUL, &error));
    CHECK_OK(st_store_open(config, &made, &error));
    st_config_free(config);
    CHECK(made != NULL);
    return made;
}

static st_cipher *open_cipher(const char *json) {
    st_config *config = st_config_new();
    st_cipher *made = NULL;
    CHECK_OK(st_config_parse(config, json, ST_NUL, &error));
    CHECK_OK(st_cipher_open(config, &made, &error));
    st_config_free(config);
    return made;
}

static int is_config(const st_store *of, const char *provider, const char *expected) {
    st_bytes json = {0};
    CHECK_OK(st_provider_config_get(of, provider, ST_NUL, &json, &error));
    CHECK_TEXT(json, expected);
    st_bytes_free(&json);
    return 1;
}

static int exists(const char *name) {
    return access(path_of(name), F_OK) == 0;
}

static void providers(void) {
    st_bytes json = {0};
    bool existed = true;
    CHECK(is_config(store, "replicate", "{}"));
    CHECK_OK(st_provider_config_list(store, &json, &error));
    CHECK_TEXT(json, "[]");
    st_bytes_free(&json);
    CHECK(!exists("state"));

    CHECK_OK(st_provider_config_save(store, "replicate", ST_NUL, "{\"a\":1.50, \"n\": NaN}", ST_NUL, &error));
    CHECK(is_config(store, "replicate", "{\"a\":1.50, \"n\": NaN}"));
    /* The built-in cache belongs to the store of the process. */
    CHECK(st_cache_get(st_cache_provider_config(), "provider:replicate:config", ST_NUL, &json, NULL) == ST_NOT_FOUND);
    CHECK_OK(st_provider_config_update(store, "replicate!", 9, "{\"b\": \"x\"}!", 10, &error));
    CHECK(is_config(store, "replicate", "{\"a\": 1.50, \"n\": NaN, \"b\": \"x\"}"));

    CHECK_OK(st_provider_config_list(store, &json, &error));
    CHECK_HAS(json, "\"provider\":\"replicate\"");
    CHECK_HAS(json, "+00:00\"");
    st_bytes_free(&json);
    CHECK_OK(st_provider_config_delete(store, "replicate", ST_NUL, &existed, &error));
    CHECK(existed);
    CHECK_OK(st_provider_config_delete(store, "replicate", ST_NUL, &existed, &error));
    CHECK(!existed);
    CHECK_OK(st_provider_config_delete(store, "replicate", ST_NUL, NULL, &error));
    CHECK(is_config(store, "replicate", "{}"));
}

static void views(void) {
    st_bytes json = {0};
    CHECK_OK(st_provider_config_save(store, "p", ST_NUL, "{\"webhook_url\": \"https://x\"}", ST_NUL, &error));
    CHECK_OK(st_provider_webhook_get(store, "p", ST_NUL, &json, &error));
    CHECK_TEXT(json, "{\"webhook_url\": \"https://x\", \"webhook_secret\": null, \"webhook_require_signature\": true, "
                     "\"webhook_allowed_ips\": []}");
    st_bytes_free(&json);
    CHECK_OK(st_provider_cost_limit_get(store, "p", ST_NUL, &json, &error));
    CHECK_TEXT(json, "{\"cost_limit_enabled\": false, \"cost_limit_amount\": 0.0, \"cost_limit_period\": \"daily\", "
                     "\"cost_limit_action\": \"warn\"}");
    st_bytes_free(&json);
}

static void prices(void) {
    st_bytes json = {0};
    double cost = 5;
    CHECK_OK(st_hardware_info_get(store, &json, &error));
    CHECK_HAS(json, "\"A100 (80GB)\", \"cost_per_second\": 0.001400");
    st_bytes_free(&json);
    CHECK_OK(st_hardware_info_defaults(&json, &error));
    CHECK_HAS(json, "\"gpu-h100\"");
    st_bytes_free(&json);
    CHECK_OK(st_hardware_default_cost_per_hour(store, &cost, &error));
    CHECK(fabs(cost - 3.51) < 1e-9);
    CHECK_OK(st_hardware_cost_per_hour(store, "gpu-l40s", ST_NUL, &cost, &error));
    CHECK(fabs(cost - 3.51) < 1e-9);
    CHECK_FAILS(st_hardware_cost_per_hour(store, "gpu-x", ST_NUL, &cost, &error), ST_NOT_FOUND, "gpu-l40s");
    CHECK(cost == 0);
    CHECK_OK(st_hardware_info_set(store, "{\"gpu-x\": {\"name\": \"X\", \"cost_per_second\": 1}}", ST_NUL, &error));
    CHECK_OK(st_hardware_cost_per_hour(store, "gpu-x", ST_NUL, &cost, &error));
    CHECK(cost == 3600);
    CHECK_OK(st_hardware_info_clear(store, &error));
    CHECK(st_hardware_cost_per_hour(store, "gpu-x", ST_NUL, &cost, NULL) == ST_NOT_FOUND);
}

static void is_credential(const st_cipher *key, int64_t user, const char *expected) {
    st_bytes value = {0};
    CHECK_OK(st_credential_get(store, key, user, "replicate", ST_NUL, "token", ST_NUL, &value, &error));
    CHECK_TEXT(value, expected);
    st_bytes_free(&value);
}

struct seen {
    uint64_t done, total, stop_at;
};

static bool progress(void *context, uint64_t done, uint64_t total) {
    struct seen *seen = context;
    seen->done = done;
    seen->total = total;
    return done != seen->stop_at;
}

static void credentials(void) {
    st_bytes value = {0}, json = {0};
    bool existed = false;
    int32_t source = 9;
    CHECK_OK(
        st_credential_set(store, cipher, 1, "replicate", ST_NUL, "token", ST_NUL, "CANARY one", ST_NUL, NULL, &error));
    CHECK_OK(
        st_credential_set(store, cipher, 2, "replicate", ST_NUL, "token", ST_NUL, "CANARY two", ST_NUL, NULL, &error));
    is_credential(cipher, 1, "CANARY one");
    CHECK_FAILS(st_credential_get(store, cipher, 3, "replicate", ST_NUL, "token", ST_NUL, &value, &error), ST_NOT_FOUND,
                "user 3");
    CHECK_EMPTY(value);

    setenv("REPLICATE_API_TOKEN", "CANARY global", 1);
    CHECK_OK(st_credential_resolve(store, cipher, NULL, 1, "replicate", ST_NUL, "token", ST_NUL, "REPLICATE_API_TOKEN",
                                   ST_NUL, &source, &value, &error));
    CHECK_TEXT(value, "CANARY one");
    CHECK(source == ST_CREDENTIAL_USER);
    st_bytes_free(&value);
    CHECK_OK(st_credential_resolve(store, cipher, NULL, 9, "replicate", ST_NUL, "token", ST_NUL, "REPLICATE_API_TOKEN",
                                   ST_NUL, &source, &value, &error));
    CHECK_TEXT(value, "CANARY global");
    CHECK(source == ST_CREDENTIAL_GLOBAL);
    st_bytes_free(&value);

    CHECK_OK(st_credential_list(store, -1, NULL, 0, &json, &error));
    CHECK_HAS(json, "\"user_id\":2");
    CHECK_HAS(json, "\"encrypted\":true");
    CHECK(strstr((const char *)json.data, "CANARY") == NULL);
    st_bytes_free(&json);
    CHECK_OK(st_credential_list(store, 1, "other", ST_NUL, &json, &error));
    CHECK_TEXT(json, "[]");
    st_bytes_free(&json);

    /* With a new key: a stopped call, a complete one, and another one. */
    st_cipher *newer = open_cipher("{\"key\": \"newer\", \"previous_keys\": [\"CANARY secret\"]}");
    struct seen seen = {9, 9, 1};
    CHECK_FAILS(st_credentials_reencrypt(store, newer, 0, progress, &seen, &json, &error), ST_ABANDONED, "stopped");
    CHECK_EMPTY(json);
    is_credential(cipher, 2, "CANARY two");
    seen.stop_at = 99;
    CHECK_OK(st_credentials_reencrypt(store, newer, ST_REENCRYPT_PLAIN, progress, &seen, &json, &error));
    CHECK(seen.done == 2 && seen.total == 2);
    CHECK_HAS(json, "\"reencrypted\":2");
    st_bytes_free(&json);
    CHECK_OK(st_credentials_reencrypt(store, newer, 0, NULL, NULL, NULL, &error));
    is_credential(newer, 2, "CANARY two");
    CHECK_FAILS(st_credential_get(store, cipher, 2, "replicate", ST_NUL, "token", ST_NUL, &value, &error), ST_BAD_TOKEN,
                "another key");
    st_cipher_free(newer);

    char settings[PATH_MAX + 64];
    snprintf(settings, sizeof settings, "{\"key_file\": \"%s\", \"previous_keys\": [\"newer\"]}", path_of("key"));
    st_cipher *rotated = open_cipher(settings);
    CHECK_OK(st_credentials_rotate(store, rotated, &error));
    is_credential(rotated, 1, "CANARY one");
    CHECK_FAILS(st_credentials_rotate(store, cipher, &error), ST_READ_ONLY, "previous_keys");
    CHECK_OK(st_credential_delete(store, 1, "replicate", ST_NUL, "token", ST_NUL, &existed, &error));
    CHECK(existed);
    CHECK_OK(st_credential_delete(store, 1, "replicate", ST_NUL, "token", ST_NUL, NULL, &error));
    st_cipher_free(rotated);
}

static void credential_states(void) {
    st_bytes value = {0};
    bool existed = false, exists = true;
    int32_t source = 9;
    int64_t id = 0, again = 0;
    CHECK_OK(st_credential_exists(store, 5, "p", ST_NUL, "n", ST_NUL, &exists, &error));
    CHECK(!exists);
    CHECK_OK(st_credential_set(store, cipher, 5, "p", ST_NUL, "n", ST_NUL, "CANARY five", ST_NUL, &id, &error));
    CHECK(id > 0);
    CHECK_OK(st_credential_exists(store, 5, "p", ST_NUL, "n", ST_NUL, &exists, &error));
    CHECK(exists);
    CHECK_OK(st_credential_mark_used(store, 5, "p", ST_NUL, "n", ST_NUL, &existed, &error));
    CHECK(existed);
    CHECK_OK(st_credential_source(store, NULL, 5, "p", ST_NUL, "n", ST_NUL, NULL, 0, &source, &error));
    CHECK(source == ST_CREDENTIAL_USER);

    CHECK_OK(st_credential_deactivate(store, 5, "p", ST_NUL, "n", ST_NUL, &existed, &error));
    CHECK(existed);
    CHECK_OK(st_credential_mark_used(store, 5, "p", ST_NUL, "n", ST_NUL, &existed, &error));
    CHECK(!existed);
    CHECK_OK(st_credential_deactivate(store, 6, "p", ST_NUL, "n", ST_NUL, NULL, &error));
    CHECK_OK(st_credential_mark_used(store, 6, "p", ST_NUL, "n", ST_NUL, NULL, &error));
    setenv("SHARED_TOKEN", "CANARY global", 1);
    CHECK_OK(st_credential_source(store, NULL, 5, "p", ST_NUL, "n", ST_NUL, "SHARED_TOKEN", ST_NUL, &source, &error));
    CHECK(source == ST_CREDENTIAL_GLOBAL);
    CHECK_OK(st_credential_source(store, NULL, -1, "p", ST_NUL, "n", ST_NUL, NULL, 0, &source, &error));
    CHECK(source == ST_CREDENTIAL_NONE);

    /* Without a user, and without a shared secret. */
    CHECK_OK(st_credential_resolve(store, cipher, NULL, -1, "p", ST_NUL, "n", ST_NUL, "SHARED_TOKEN", ST_NUL, &source,
                                   &value, &error));
    CHECK_TEXT(value, "CANARY global");
    st_bytes_free(&value);
    CHECK_FAILS(
        st_credential_resolve(store, cipher, NULL, 5, "p", ST_NUL, "n", ST_NUL, NULL, 0, &source, &value, &error),
        ST_NOT_FOUND, "user 5");
    CHECK(source == ST_CREDENTIAL_NONE);
    CHECK_EMPTY(value);
    CHECK_OK(st_credential_set(store, cipher, 5, "p", ST_NUL, "n", ST_NUL, "CANARY again", ST_NUL, &again, &error));
    CHECK(again == id);
    CHECK_OK(st_credential_delete(store, 5, "p", ST_NUL, "n", ST_NUL, NULL, &error));
}

static void audit(void) {
    st_store *ada = NULL;
    st_bytes json = {0};
    int64_t id = 0, broken = 9;
    CHECK_OK(st_store_as(store, 7, "ada", ST_NUL, "::1", ST_NUL, &ada, &error));
    CHECK_OK(st_audit_log(ada, "user.login", ST_NUL, "login", ST_NUL, "user", ST_NUL, "7", ST_NUL, "{\"n\":1}", ST_NUL,
                          &id, &error));
    CHECK(id > 10);
    CHECK_OK(st_provider_config_save(ada, "by-ada", ST_NUL, "{\"webhook_secret\": \"CANARY\"}", ST_NUL, &error));
    st_store_free(ada);
    CHECK_OK(st_store_as(store, -1, NULL, 0, NULL, 0, &ada, &error));
    CHECK_OK(st_audit_log(ada, "user.login", ST_NUL, "login", ST_NUL, NULL, 0, NULL, 0, NULL, 0, NULL, &error));
    st_store_free(ada);
    CHECK_OK(st_audit_query(store, "{\"actor_id\": 7}", ST_NUL, &json, &error));
    CHECK_HAS(json, "\"actor_ip\":\"::1\"");
    CHECK_HAS(json, "\"details\":{\"n\": 1}");
    CHECK_HAS(json, "\"changed\": [\"webhook_secret\"]");
    st_bytes_free(&json);
    CHECK_OK(st_audit_query(store, NULL, 0, &json, &error));
    CHECK(strstr((const char *)json.data, "CANARY") == NULL);
    st_bytes_free(&json);
    CHECK_OK(st_audit_verify(store, 0, 0, &broken, &json, &error));
    CHECK(broken == 0);
    CHECK_HAS(json, "\"valid\":true");
    CHECK_HAS(json, "\"broken_links\":[]");
    st_bytes_free(&json);
    CHECK_OK(st_audit_verify(store, id, id, NULL, NULL, &error));
}

static void export_audit(void) {
    st_bytes json = {0};
    int64_t last = -1, next = -1;
    CHECK_OK(st_audit_event_types(&json, &error));
    CHECK_HAS(json, "\"value\":\"auth.login.failed\"");
    st_bytes_free(&json);
    CHECK_OK(st_audit_stats(store, &json, &error));
    CHECK_HAS(json, "\"by_type\":{");
    CHECK_HAS(json, "\"user.login\":2");
    st_bytes_free(&json);
    const char *filter = "{\"event_types\": [\"user.login\"], \"since\": \"2020-01-01\"}";
    CHECK_OK(st_audit_export(store, filter, ST_NUL, ST_AUDIT_JSON_LINES, &json, &last, &error));
    CHECK_HAS(json, "\"actor_username\":\"ada\"");
    CHECK(json.data[json.len - 1] == '\n' && last > 0);
    st_bytes_free(&json);
    CHECK_OK(st_audit_export(store, NULL, 0, ST_AUDIT_CSV, &json, NULL, &error));
    CHECK_HAS(json, "id,timestamp,event_type,");
    CHECK(strstr((const char *)json.data, "CANARY") == NULL);
    st_bytes_free(&json);
    CHECK_OK(st_audit_export(store, "{\"after_id\": 1000000}", ST_NUL, ST_AUDIT_CSV, &json, &next, &error));
    CHECK(json.len == 0 && next == 0);
    st_bytes_free(&json);
    /* A port without a listener. */
    const char *webhook = "{\"url\": \"http://127.0.0.1:9/CANARY\", \"retries\": 0}";
    CHECK_FAILS(st_audit_send(store, NULL, 0, webhook, ST_NUL, &next, &error), ST_UNAVAILABLE, "http://127.0.0.1:9");
    CHECK(next == 0 && strstr(error.message, "CANARY") == NULL);
    CHECK_OK(st_audit_send(store, "{\"action\": \"none\"}", ST_NUL, webhook, ST_NUL, NULL, &error));
    CHECK_OK(st_audit_retain(store, 36500, &json, &error));
    CHECK_HAS(json, "\"removed\":0");
    st_bytes_free(&json);
    CHECK_OK(st_audit_retain(store, 36500, NULL, &error));
}

static void backup(void) {
    st_bytes json = {0};
    CHECK_OK(st_store_describe(store, &json, &error));
    CHECK_HAS(json, "\"reason\":\"state_dir\"");
    CHECK_HAS(json, path_of("state/cloud/jobs.db"));
    st_bytes_free(&json);
    CHECK_OK(st_store_backup(store, path_of("backup/jobs.db"), ST_NUL, 0, &error));
    CHECK_FAILS(st_store_backup(store, path_of("backup/jobs.db"), ST_NUL, 0, &error), ST_IO, "exists");
    CHECK(error.detail == EEXIST);
    CHECK_OK(st_store_backup(store, path_of("backup/jobs.db"), ST_NUL, ST_BACKUP_REPLACE, &error));
    CHECK_OK(st_store_backup(store, path_of("backup/audit.db"), ST_NUL, ST_BACKUP_AUDIT, &error));
    CHECK_OK(st_store_backup(store, path_of("backup/credentials.db"), ST_NUL, ST_BACKUP_CREDENTIALS, &error));
    st_store *copy = open_store("database", path_of("backup/jobs.db"));
    CHECK(is_config(copy, "by-ada", "{\"webhook_secret\": \"CANARY\"}"));
    st_store_free(copy);
    st_store *empty = open_store("state_dir", path_of("nothing"));
    CHECK_FAILS(st_store_backup(empty, path_of("backup/x.db"), ST_NUL, 0, &error), ST_NOT_FOUND, "does not exist");
    st_store_free(empty);
}

static void process_wide(void) {
    st_config *config = st_config_new();
    st_bytes json = {0};
    setenv("SIMPLETUNER_STATE_DIR", path_of("of the process"), 1);
    CHECK_OK(st_provider_config_save(NULL, "p", ST_NUL, "{\"of\": \"the process\"}", ST_NUL, &error));
    CHECK(exists("of the process/cloud/jobs.db") && exists("of the process/audit.db"));
    CHECK(is_config(NULL, "p", "{\"of\": \"the process\"}"));
    CHECK_OK(st_cache_get(st_cache_provider_config(), "provider:p:config", ST_NUL, &json, &error));
    CHECK_TEXT(json, "{\"of\": \"the process\"}");
    st_bytes_free(&json);
    CHECK_OK(st_provider_config_update(NULL, "p", ST_NUL, "{}", ST_NUL, &error));
    CHECK(st_cache_get(st_cache_provider_config(), "provider:p:config", ST_NUL, &json, NULL) == ST_NOT_FOUND);
    CHECK_OK(st_config_set(config, "database", ST_NUL, path_of("other.db"), ST_NUL, &error));
    CHECK_OK(st_config_set(config, "audit_database", ST_NUL, path_of("log/trail.db"), ST_NUL, &error));
    CHECK_OK(st_store_reset(config, &error));
    CHECK(is_config(NULL, "p", "{}"));
    CHECK_OK(st_provider_config_save(NULL, "p", ST_NUL, "{}", ST_NUL, &error));
    CHECK(exists("other.db") && exists("log/trail.db") && exists("log/audit.key"));
    CHECK_OK(st_store_reset(NULL, &error));
    CHECK(is_config(NULL, "p", "{\"of\": \"the process\"}"));
    st_config_free(config);

    pid_t child = fork();
    if (child == 0) {
        int ok = is_config(NULL, "p", "{\"of\": \"the process\"}") &&
                 is_config(store, "p", "{\"webhook_url\": \"https://x\"}") &&
                 st_provider_config_update(NULL, "p", ST_NUL, "{\"child\": 1}", ST_NUL, NULL) == ST_OK;
        _exit(!ok);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_OK(st_provider_config_update(NULL, "p", ST_NUL, "{\"parent\": 1}", ST_NUL, &error));
    CHECK(is_config(NULL, "p", "{\"of\": \"the process\", \"child\": 1, \"parent\": 1}"));
}

int main(void) {
    begin();
    store = open_store("state_dir", path_of("state"));
    cipher = open_cipher("{\"key\": \"CANARY secret\"}");
    providers();
    views();
    prices();
    credentials();
    credential_states();
    audit();
    export_audit();
    backup();
    process_wide();
    st_cipher_free(cipher);
    st_store_free(store);
    st_store_free(NULL);
    return 0;
}
