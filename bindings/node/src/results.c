/* Converts results of the library for JavaScript. */
#include "addon.h"

napi_value nothing_result(napi_env env, call *call) {
    (void)call;
    return make_undefined(env);
}

napi_value text_result(napi_env env, call *call) {
    return make_text(env, call->bytes.data, call->bytes.len);
}

napi_value copy_result(napi_env env, call *call) {
    return make_copy(env, call->bytes.data, call->bytes.len);
}

napi_value flag_result(napi_env env, call *call) {
    return make_bool(env, call->flag);
}

napi_value number_result(napi_env env, call *call) {
    return make_number(env, call->number);
}

napi_value integer_result(napi_env env, call *call) {
    return make_number(env, (double)call->integer);
}

napi_value secret_result(napi_env env, call *call) {
    return make_secret(env, &call->bytes, &call->info);
}

napi_value handle_result(napi_env env, call *call) {
    handle *made = call->made;
    call->made = NULL;
    return make_handle(env, made);
}
