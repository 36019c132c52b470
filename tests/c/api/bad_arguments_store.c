/* Bad arguments of the store functions: each is rejected with its status and a message that names it. */
#include "check.h"

#define BAD(call, word) CHECK_FAILS(call, ST_INVALID_ARGUMENT, word)

static st_error error = ST_ERROR_INIT;
static st_store *store;
static st_cipher *cipher;

static const size_t absurd = SIZE_MAX - 1;
static const char not_utf8[] = "\xFF"
                               "CANARY";

static void opening(void) {
    st_store *made = (st_store *)&error;
    st_config *config = st_config_new();
    BAD(st_store_open(config, NULL, &error), "`out`");
    CHECK_FAILS(st_config_set(config, "state_dirs", ST_NUL, "x", ST_NUL, &error), ST_CONFIG, "`state_dir`");
    CHECK_OK(st_config_set(config, "database", ST_NUL, "/x/y.db", ST_NUL, &error));
    CHECK_OK(st_config_set(config, "audit_database", ST_NUL, "/x/y.db", ST_NUL, &error));
    CHECK_FAILS(st_store_open(config, &made, &error), ST_CONFIG, "audit trail");
    CHECK(made == NULL && error.source == ST_SOURCE_STORE);
    CHECK_FAILS(st_store_reset(config, &error), ST_CONFIG, "audit trail");
    st_config_free(config);
    made = (st_store *)&error;
    BAD(st_store_as(store, 1, "a\nb", ST_NUL, NULL, 0, &made, &error), "`username`");
    CHECK(made == NULL);
    BAD(st_store_as(store, 1, "", 0, NULL, 0, &made, &error), "`username`");
    BAD(st_store_as(store, 1, NULL, 1, NULL, 0, &made, &error), "`username`");
    BAD(st_store_as(store, 1, NULL, 0, not_utf8, ST_NUL, &made, &error), "`ip`");
    BAD(st_store_as(store, 1, NULL, 0, NULL, 0, NULL, &error), "`out`");
}

static void providers(void) {
    st_bytes json;
    memset(&json, 0x5A, sizeof json);
    BAD(st_provider_config_get(store, NULL, 0, &json, &error), "`provider`");
    CHECK_EMPTY(json);
    BAD(st_provider_config_get(store, "", 0, &json, &error), "`provider`");
    BAD(st_provider_config_get(store, "p", absurd, &json, &error), "`provider`");
    BAD(st_provider_config_get(store, not_utf8, ST_NUL, &json, &error), "`provider`");
    BAD(st_provider_config_get(store, "p", 1, NULL, &error), "`json`");
    BAD(st_provider_config_list(store, NULL, &error), "`json`");
    BAD(st_provider_webhook_get(store, "p", 1, NULL, &error), "`json`");
    BAD(st_provider_webhook_get(store, NULL, 1, &json, &error), "`provider`");
    BAD(st_provider_cost_limit_get(store, "p", 1, NULL, &error), "`json`");
    BAD(st_provider_cost_limit_get(store, NULL, 1, &json, &error), "`provider`");
    BAD(st_provider_config_save(store, NULL, 1, "{}", 2, &error), "`provider`");
    BAD(st_provider_config_save(store, "p", 1, NULL, 0, &error), "`json`");
    BAD(st_provider_config_save(store, "p", 1, "{}", absurd, &error), "`json`");
    BAD(st_provider_config_update(store, NULL, 1, "{}", 2, &error), "`provider`");
    BAD(st_provider_config_update(store, "p", 1, NULL, 2, &error), "`json`");
    BAD(st_provider_config_delete(store, NULL, 1, NULL, &error), "`provider`");
    static const char *const no_objects[] = {"", "[]", "\"CANARY\"", "{\"a\": CANARY}", "{\"a\": 1", "{} {}"};
    for (size_t i = 0; i < sizeof no_objects / sizeof *no_objects; i++) {
        BAD(st_provider_config_save(store, "p", 1, no_objects[i], ST_NUL, &error), "`config`");
        BAD(st_provider_config_update(store, "p", 1, no_objects[i], ST_NUL, &error), "`changes`");
        BAD(st_hardware_info_set(store, no_objects[i], ST_NUL, &error), "`info`");
    }
    size_t large = (1 << 20) + 1;
    char *many = malloc(large);
    CHECK(many != NULL);
    memset(many, ' ', large);
    memcpy(many, "{}", 2);
    BAD(st_provider_config_save(store, "p", 1, many, large, &error), "1048576");
    memset(many, '[', large);
    memcpy(many, "{\"a\":", 5);
    BAD(st_provider_config_save(store, "p", 1, many, 5000, &error), "nested");
    free(many);
}

static void hardware(void) {
    double cost = 5;
    BAD(st_hardware_info_get(store, NULL, &error), "`json`");
    BAD(st_hardware_info_set(store, NULL, 0, &error), "`json`");
    BAD(st_hardware_info_set(store, "{\"a\": {\"cost_per_second\": \"CANARY\"}}", ST_NUL, &error), "cost_per_second");
    BAD(st_hardware_cost_per_hour(store, NULL, 0, &cost, &error), "`hardware_id`");
    CHECK(cost == 0);
    BAD(st_hardware_cost_per_hour(store, "x", 1, NULL, &error), "`cost`");
}

static void credentials(void) {
    st_bytes value, json;
    int32_t source = 5;
    memset(&value, 0x5A, sizeof value);
    memset(&json, 0x5A, sizeof json);
    BAD(st_credential_set(store, cipher, 1, NULL, 0, "n", 1, "v", 1, &error), "`provider`");
    BAD(st_credential_set(store, cipher, 1, "p", 1, NULL, 0, "v", 1, &error), "`name`");
    BAD(st_credential_set(store, cipher, 1, "p", 1, "n", 1, NULL, 1, &error), "`value`");
    BAD(st_credential_set(store, cipher, 1, "p", 1, "n", 1, NULL, 0, &error), "`value`");
    BAD(st_credential_set(store, cipher, 1, "p", 1, "a\tb", 3, "v", 1, &error), "`name`");
    BAD(st_credential_set(store, cipher, -1, "p", 1, "n", 1, "v", 1, &error), "`user_id`");
    BAD(st_credential_get(store, cipher, -1, "p", 1, "n", 1, &value, &error), "`user_id`");
    BAD(st_credential_delete(store, -1, "p", 1, "n", 1, NULL, &error), "`user_id`");
    BAD(st_credential_set(store, cipher, 1, "p", 1, "n", 1, "v", absurd, &error), "`value`");
    BAD(st_credential_get(store, cipher, 1, NULL, 0, "n", 1, &value, &error), "`provider`");
    CHECK_EMPTY(value);
    BAD(st_credential_get(store, cipher, 1, "p", 1, "n", 1, NULL, &error), "`value`");
    BAD(st_credential_delete(store, 1, "p", 1, NULL, 1, NULL, &error), "`name`");
    BAD(st_credential_list(store, 1, NULL, 1, &json, &error), "`provider`");
    CHECK_EMPTY(json);
    BAD(st_credential_list(store, 1, NULL, 0, NULL, &error), "`json`");
    memset(&value, 0x5A, sizeof value);
    BAD(st_credential_resolve(store, cipher, NULL, 1, "p", 1, "n", 1, NULL, 0, &source, &value, &error),
        "`global_key`");
    CHECK(source == 0);
    CHECK_EMPTY(value);
    BAD(st_credential_resolve(store, cipher, NULL, 1, "p", 1, "n", 1, "k", 1, NULL, NULL, &error), "`value`");
    BAD(st_credentials_reencrypt(store, cipher, 6, NULL, NULL, &json, &error), "`flags`");
}

static void audit(void) {
    st_bytes json;
    int64_t id = 5;
    memset(&json, 0x5A, sizeof json);
    BAD(st_audit_log(store, NULL, 0, "a", 1, NULL, 0, NULL, 0, NULL, 0, &id, &error), "`event_type`");
    CHECK(id == 0);
    BAD(st_audit_log(store, "e", 1, "", 0, NULL, 0, NULL, 0, NULL, 0, &id, &error), "`action`");
    BAD(st_audit_log(store, "e", 1, "a", 1, "t", 1, NULL, 0, NULL, 0, &id, &error), "`target_id`");
    BAD(st_audit_log(store, "e", 1, "a", 1, NULL, 0, NULL, 0, "[\"CANARY\"]", ST_NUL, &id, &error), "`details`");
    BAD(st_audit_query(store, "{\"limits\": 5}", ST_NUL, &json, &error), "`limit`");
    CHECK_EMPTY(json);
    BAD(st_audit_query(store, "{\"since\": \"CANARY\"}", ST_NUL, &json, &error), "`since`");
    BAD(st_audit_query(store, NULL, 0, NULL, &error), "`json`");
    CHECK_OK(st_audit_verify(store, 9, 3, &id, &json, &error));
    CHECK_HAS(json, "\"entries_checked\":0");
    st_bytes_free(&json);
    BAD(st_audit_event_types(NULL, &error), "`json`");
    BAD(st_audit_stats(store, NULL, &error), "`json`");
    id = 5;
    memset(&json, 0x5A, sizeof json);
    BAD(st_audit_export(store, NULL, 0, 3, &json, &id, &error), "`format`");
    CHECK(id == 0);
    CHECK_EMPTY(json);
    BAD(st_audit_export(store, NULL, 0, ST_AUDIT_CSV, NULL, &id, &error), "`exported`");
    BAD(st_audit_export(store, "{\"after\": 1}", ST_NUL, ST_AUDIT_CSV, &json, &id, &error), "`after_id`");
    id = 5;
    BAD(st_audit_send(store, NULL, 0, NULL, 0, &id, &error), "`webhook_json`");
    CHECK(id == 0);
    BAD(st_audit_send(store, NULL, 0, "{\"ulr\": \"CANARY\"}", ST_NUL, &id, &error), "`url`");
    BAD(st_audit_send(store, NULL, 0, "{\"url\": \"CANARY\"}", ST_NUL, &id, &error), "`url`");
    BAD(st_audit_send(store, "[]", ST_NUL, "{\"url\": \"https://x/\"}", ST_NUL, &id, &error), "`filter_json`");
    memset(&json, 0x5A, sizeof json);
    BAD(st_audit_retain(store, -1, &json, &error), "`days`");
    CHECK_EMPTY(json);
}

static void backup(void) {
    BAD(st_store_describe(store, NULL, &error), "`json`");
    BAD(st_store_backup(store, NULL, 0, 0, &error), "`path`");
    BAD(st_store_backup(store, "", 0, 0, &error), "`path`");
    BAD(st_store_backup(store, "x", 1, 8, &error), "`flags`");
    BAD(st_store_backup(store, "x", 1, ST_BACKUP_AUDIT | ST_BACKUP_CREDENTIALS, &error), "mutually exclusive");
}

int main(void) {
    begin();
    st_config *config = st_config_new();
    CHECK_OK(st_config_set(config, "state_dir", ST_NUL, path_of("state"), ST_NUL, &error));
    CHECK_OK(st_config_set(config, "key", ST_NUL, "CANARY", ST_NUL, &error));
    CHECK_OK(st_store_open(config, &store, &error));
    CHECK_OK(st_cipher_open(config, &cipher, &error));
    st_config_free(config);
    opening();
    providers();
    hardware();
    credentials();
    audit();
    backup();
    CHECK(access(path_of("state"), F_OK) != 0);
    st_cipher_free(cipher);
    st_store_free(store);
    return 0;
}
