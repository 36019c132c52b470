/* The steps of the store; included by runner.c. */
#ifndef RUNNER_STORE_H
#define RUNNER_STORE_H

static void store_config_get(const step *step, outcome *out) {
    st_bytes json = {0};
    take(out, st_provider_config_get(store, GIVEN("provider"), &json, &error), &json);
}

static void store_config_save(const step *step, outcome *out) {
    out->status = st_provider_config_save(store, GIVEN("provider"), GIVEN("json"), &error);
}

static void store_config_update(const step *step, outcome *out) {
    out->status = st_provider_config_update(store, GIVEN("provider"), GIVEN("json"), &error);
}

static void store_config_delete(const step *step, outcome *out) {
    bool existed = false;
    out->status = st_provider_config_delete(store, GIVEN("provider"), &existed, &error);
    add_fact(out, "existed", existed);
}

static void store_webhook_get(const step *step, outcome *out) {
    st_bytes json = {0};
    take(out, st_provider_webhook_get(store, GIVEN("provider"), &json, &error), &json);
}

static void store_cost_limit_get(const step *step, outcome *out) {
    st_bytes json = {0};
    take(out, st_provider_cost_limit_get(store, GIVEN("provider"), &json, &error), &json);
}

static void store_hardware_get(const step *step, outcome *out) {
    st_bytes json = {0};
    (void)step;
    take(out, st_hardware_info_get(store, &json, &error), &json);
}

static void store_hardware_set(const step *step, outcome *out) {
    out->status = st_hardware_info_set(store, GIVEN("json"), &error);
}

static void store_hardware_clear(const step *step, outcome *out) {
    (void)step;
    out->status = st_hardware_info_clear(store, &error);
}

static void store_hardware_cost(const step *step, outcome *out) {
    double cost = 0;
    out->status = st_hardware_cost_per_hour(store, GIVEN("hardware_id"), &cost, &error);
    add_fact(out, "number", cost);
}

static int64_t user(const step *step) { return (int64_t)given_number(step, "user_id", 0); }

static void store_credential_set(const step *step, outcome *out) {
    out->status =
        st_credential_set(store, cipher, user(step), GIVEN("provider"), GIVEN("name"), GIVEN("value"), NULL, &error);
}

static void store_credential_get(const step *step, outcome *out) {
    st_bytes value = {0};
    take(out, st_credential_get(store, cipher, user(step), GIVEN("provider"), GIVEN("name"), &value, &error), &value);
}

static void store_credential_delete(const step *step, outcome *out) {
    bool existed = false;
    out->status = st_credential_delete(store, user(step), GIVEN("provider"), GIVEN("name"), &existed, &error);
    add_fact(out, "existed", existed);
}

static void store_credential_resolve(const step *step, outcome *out) {
    int32_t origin = 0;
    st_bytes value = {0};
    take(out,
         st_credential_resolve(store, cipher, secrets, user(step), GIVEN("provider"), GIVEN("name"),
                               GIVEN("global_key"), &origin, &value, &error),
         &value);
    add_fact(out, "origin", origin);
}

static void store_audit_log(const step *step, outcome *out) {
    int64_t id = 0;
    out->status = st_audit_log(store, GIVEN("event_type"), GIVEN("action"), GIVEN("target_type"), GIVEN("target_id"),
                               GIVEN("details"), &id, &error);
    add_fact(out, "id", (double)id);
}

static void store_audit_query(const step *step, outcome *out) {
    st_bytes json = {0};
    out->status = st_audit_query(store, GIVEN("filter"), &json, &error);
    if (out->status == ST_OK) {
        put_ids(out, (const char *)json.data);
    }
    st_bytes_free(&json);
}

static void store_audit_verify(const step *step, outcome *out) {
    int64_t broken_id = -1;
    out->status = st_audit_verify(store, (int64_t)given_number(step, "first", 0),
                                  (int64_t)given_number(step, "last", 0), &broken_id, NULL, &error);
    add_fact(out, "broken_id", (double)broken_id);
}

#endif
