/* Redaction of text. All calls are made at once: they take as long as copying the text a few times. */
#include "addon.h"

OPENS(open, st_redactor, REDACTOR, st_redactor_open)

static st_status start(call *call) {
    return with_config(call, st_redactor_start);
}

static st_status add(call *call) {
    return st_redactor_add(HANDLE(call, 0, redactor), TEXT(call, 1), TEXT(call, 0), &call->flag, &call->error);
}

static st_status redact(call *call) {
    return st_redact(HANDLE(call, 0, redactor), TEXT(call, 0), &call->bytes, &call->error);
}

static st_status stream_open(call *call) {
    st_redact_stream *made = NULL;
    st_status status = st_redact_stream_open(HANDLE(call, 0, redactor), &made, &call->error);
    if (status == ST_OK) call->made = new_handle(STREAM, made, false);
    return status;
}

static st_status stream_write(call *call) {
    size_t held = 0;
    st_status status =
        st_redact_stream_write(HANDLE(call, 0, stream), TEXT(call, 0), &call->bytes, &held, &call->error);
    call->integer = (int64_t)held;
    return status;
}

/* [redacted bytes, number of bytes that are held back] */
static napi_value stream_write_result(napi_env env, call *call) {
    const napi_value items[] = {copy_result(env, call), make_number(env, (double)call->integer)};
    call->integer = 0;
    return make_array(env, 2, items);
}

static st_status stream_flush(call *call) {
    return st_redact_stream_flush(HANDLE(call, 0, stream), &call->bytes, &call->error);
}

bool define_redact(napi_env env, napi_value exports) {
    static const operation operations[] = {
        {"redactorOpen", "o", "config", open, handle_result, QUICK},
        {"redactorStart", "o", "config", start, nothing_result, QUICK},
        {"redactorAdd", "Rvo", "redactor value name", add, flag_result, QUICK},
        {"redact", "Rb", "redactor text", redact, copy_result, QUICK},
        {"redactStreamOpen", "R", "redactor", stream_open, handle_result, QUICK},
        {"redactStreamWrite", "Wb", "stream text", stream_write, stream_write_result, QUICK},
        {"redactStreamFlush", "W", "stream", stream_flush, copy_result, QUICK},
    };
    return define_operations(env, exports, operations, sizeof operations / sizeof *operations);
}
