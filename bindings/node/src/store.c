/* Stores: SimpleTuner's databases. JSON documents are text here and values in `lib/store.js`. */
#include "addon.h"

OPENS(open, st_store, STORE, st_store_open)

static st_status reset(call *call) {
    return with_config(call, st_store_reset);
}

static st_status as(call *call) {
    st_store *made = NULL;
    st_status status =
        st_store_as(HANDLE(call, 0, store), call->integers[0], TEXT(call, 0), TEXT(call, 1), &made, &call->error);
    if (status == ST_OK) call->made = new_handle(STORE, made, false);
    return status;
}

/* --- configuration of providers, prices of hardware --- */

static st_status config_get(call *call) {
    return st_provider_config_get(HANDLE(call, 0, store), TEXT(call, 0), &call->bytes, &call->error);
}

static st_status config_save(call *call) {
    return st_provider_config_save(HANDLE(call, 0, store), TEXT(call, 0), TEXT(call, 1), &call->error);
}

static st_status config_update(call *call) {
    return st_provider_config_update(HANDLE(call, 0, store), TEXT(call, 0), TEXT(call, 1), &call->error);
}

static st_status config_delete(call *call) {
    return st_provider_config_delete(HANDLE(call, 0, store), TEXT(call, 0), &call->flag, &call->error);
}

static st_status config_list(call *call) {
    return st_provider_config_list(HANDLE(call, 0, store), &call->bytes, &call->error);
}

static st_status webhook(call *call) {
    return st_provider_webhook_get(HANDLE(call, 0, store), TEXT(call, 0), &call->bytes, &call->error);
}

static st_status cost_limit(call *call) {
    return st_provider_cost_limit_get(HANDLE(call, 0, store), TEXT(call, 0), &call->bytes, &call->error);
}

static st_status hardware_get(call *call) {
    return st_hardware_info_get(HANDLE(call, 0, store), &call->bytes, &call->error);
}

static st_status hardware_set(call *call) {
    return st_hardware_info_set(HANDLE(call, 0, store), TEXT(call, 0), &call->error);
}

static st_status hardware_clear(call *call) {
    return st_hardware_info_clear(HANDLE(call, 0, store), &call->error);
}

static st_status hardware_cost(call *call) {
    return st_hardware_cost_per_hour(HANDLE(call, 0, store), TEXT(call, 0), &call->number, &call->error);
}

static st_status hardware_default_cost(call *call) {
    return st_hardware_default_cost_per_hour(HANDLE(call, 0, store), &call->number, &call->error);
}

static st_status hardware_defaults(call *call) {
    return st_hardware_info_defaults(&call->bytes, &call->error);
}

/* --- credentials --- */

static st_status credential_set(call *call) {
    return st_credential_set(HANDLE(call, 0, store), HANDLE(call, 1, cipher), call->integers[0], TEXT(call, 0),
                             TEXT(call, 1), TEXT(call, 2), &call->integer, &call->error);
}

static st_status credential_get(call *call) {
    return st_credential_get(HANDLE(call, 0, store), HANDLE(call, 1, cipher), call->integers[0], TEXT(call, 0),
                             TEXT(call, 1), &call->bytes, &call->error);
}

static st_status credential_delete(call *call) {
    return st_credential_delete(HANDLE(call, 0, store), call->integers[0], TEXT(call, 0), TEXT(call, 1), &call->flag,
                                &call->error);
}

static st_status credential_deactivate(call *call) {
    return st_credential_deactivate(HANDLE(call, 0, store), call->integers[0], TEXT(call, 0), TEXT(call, 1),
                                    &call->flag, &call->error);
}

static st_status credential_mark_used(call *call) {
    return st_credential_mark_used(HANDLE(call, 0, store), call->integers[0], TEXT(call, 0), TEXT(call, 1), &call->flag,
                                   &call->error);
}

static st_status credential_exists(call *call) {
    return st_credential_exists(HANDLE(call, 0, store), call->integers[0], TEXT(call, 0), TEXT(call, 1), &call->flag,
                                &call->error);
}

static st_status credential_source(call *call) {
    int32_t source = 0;
    st_status status = st_credential_source(HANDLE(call, 0, store), HANDLE(call, 1, secrets), call->integers[0],
                                            TEXT(call, 0), TEXT(call, 1), TEXT(call, 2), &source, &call->error);
    call->integer = source;
    return status;
}

static st_status credential_list(call *call) {
    return st_credential_list(HANDLE(call, 0, store), call->integers[0], TEXT(call, 0), &call->bytes, &call->error);
}

static st_status credential_resolve(call *call) {
    int32_t source = 0;
    st_status status = st_credential_resolve(HANDLE(call, 0, store), HANDLE(call, 1, cipher), HANDLE(call, 2, secrets),
                                             call->integers[0], TEXT(call, 0), TEXT(call, 1), TEXT(call, 2), &source,
                                             &call->bytes, &call->error);
    call->integer = source;
    return status;
}

/* [source, secret] */
static napi_value resolve_result(napi_env env, call *call) {
    const napi_value items[] = {integer_result(env, call), secret_result(env, call)};
    return make_array(env, 2, items);
}

static st_status credentials_rotate(call *call) {
    return st_credentials_rotate(HANDLE(call, 0, store), HANDLE(call, 1, cipher), &call->error);
}

static st_status credentials_reencrypt(call *call) {
    return st_credentials_reencrypt(HANDLE(call, 0, store), HANDLE(call, 1, cipher), (uint32_t)call->integers[0], NULL,
                                    NULL, &call->bytes, &call->error);
}

/* --- audit trail --- */

static st_status audit_log(call *call) {
    return st_audit_log(HANDLE(call, 0, store), TEXT(call, 0), TEXT(call, 1), TEXT(call, 2), TEXT(call, 3),
                        TEXT(call, 4), &call->integer, &call->error);
}

static st_status audit_query(call *call) {
    return st_audit_query(HANDLE(call, 0, store), TEXT(call, 0), &call->bytes, &call->error);
}

static st_status audit_verify(call *call) {
    return st_audit_verify(HANDLE(call, 0, store), call->integers[0], call->integers[1], NULL, &call->bytes,
                           &call->error);
}

static st_status audit_event_types(call *call) {
    return st_audit_event_types(&call->bytes, &call->error);
}

static st_status audit_stats(call *call) {
    return st_audit_stats(HANDLE(call, 0, store), &call->bytes, &call->error);
}

static st_status audit_export(call *call) {
    return st_audit_export(HANDLE(call, 0, store), TEXT(call, 0), (int32_t)call->integers[0], &call->bytes,
                           &call->integer, &call->error);
}

/* [text, id of the last entry] */
static napi_value export_result(napi_env env, call *call) {
    const napi_value items[] = {text_result(env, call), integer_result(env, call)};
    return make_array(env, 2, items);
}

static st_status audit_send(call *call) {
    return st_audit_send(HANDLE(call, 0, store), TEXT(call, 0), TEXT(call, 1), &call->integer, &call->error);
}

static st_status audit_retain(call *call) {
    return st_audit_retain(HANDLE(call, 0, store), (int32_t)call->integers[0], &call->bytes, &call->error);
}

/* --- the databases themselves --- */

static st_status describe(call *call) {
    return st_store_describe(HANDLE(call, 0, store), &call->bytes, &call->error);
}

static st_status backup(call *call) {
    return st_store_backup(HANDLE(call, 0, store), TEXT(call, 0), (uint32_t)call->integers[0], &call->error);
}

bool define_store(napi_env env, napi_value exports) {
    static const operation operations[] = {
        {"storeOpen", "o", "config", open, handle_result, QUICK},
        {"storeReset", "o", "config", reset, nothing_result, QUICK},
        {"storeAs", "Tioo", "store userId username ip", as, handle_result, QUICK},
        {"providerConfigGet", "Ts", "store provider", config_get, text_result, LOCAL},
        {"providerConfigSave", "Tss", "store provider config", config_save, nothing_result, LOCAL},
        {"providerConfigUpdate", "Tss", "store provider members", config_update, nothing_result, LOCAL},
        {"providerConfigDelete", "Ts", "store provider", config_delete, flag_result, LOCAL},
        {"providerConfigList", "T", "store", config_list, text_result, LOCAL},
        {"providerWebhook", "Ts", "store provider", webhook, text_result, LOCAL},
        {"providerCostLimit", "Ts", "store provider", cost_limit, text_result, LOCAL},
        {"hardwareInfo", "T", "store", hardware_get, text_result, LOCAL},
        {"setHardwareInfo", "Ts", "store info", hardware_set, nothing_result, LOCAL},
        {"clearHardwareInfo", "T", "store", hardware_clear, nothing_result, LOCAL},
        {"hardwareCostPerHour", "Ts", "store hardwareId", hardware_cost, number_result, LOCAL},
        {"hardwareDefaultCostPerHour", "T", "store", hardware_default_cost, number_result, LOCAL},
        {"hardwareDefaults", "", "", hardware_defaults, text_result, QUICK},
        {"credentialSet", "TCissv", "store cipher userId provider name value", credential_set, integer_result, LOCAL},
        {"credentialGet", "TCiss", "store cipher userId provider name", credential_get, secret_result, LOCAL},
        {"credentialDelete", "Tiss", "store userId provider name", credential_delete, flag_result, LOCAL},
        {"credentialDeactivate", "Tiss", "store userId provider name", credential_deactivate, flag_result, LOCAL},
        {"credentialMarkUsed", "Tiss", "store userId provider name", credential_mark_used, flag_result, LOCAL},
        {"credentialExists", "Tiss", "store userId provider name", credential_exists, flag_result, LOCAL},
        {"credentialList", "Tio", "store userId provider", credential_list, text_result, LOCAL},
        {"credentialSource", "TSissoA", "store secrets userId provider name globalKey answers", credential_source,
         integer_result, REMOTE},
        {"credentialResolve", "TCSissoA", "store cipher secrets userId provider name globalKey answers",
         credential_resolve, resolve_result, REMOTE},
        {"credentialsRotate", "TC", "store cipher", credentials_rotate, nothing_result, LOCAL},
        {"credentialsReencrypt", "TCi", "store cipher flags", credentials_reencrypt, text_result, LOCAL},
        {"auditLog", "Tssooo", "store eventType action targetType targetId details", audit_log, integer_result, LOCAL},
        {"auditQuery", "To", "store filter", audit_query, text_result, LOCAL},
        {"auditVerify", "Tii", "store first last", audit_verify, text_result, LOCAL},
        {"auditEventTypes", "", "", audit_event_types, text_result, QUICK},
        {"auditStats", "T", "store", audit_stats, text_result, LOCAL},
        {"auditExport", "Toi", "store filter format", audit_export, export_result, LOCAL},
        {"auditSend", "Tos", "store filter webhook", audit_send, integer_result, REMOTE},
        {"auditRetain", "Ti", "store days", audit_retain, text_result, LOCAL},
        {"storeDescribe", "T", "store", describe, text_result, QUICK},
        {"storeBackup", "Tsi", "store path flags", backup, nothing_result, LOCAL},
    };
    return define_operations(env, exports, operations, sizeof operations / sizeof *operations);
}
