/* Delivers log messages of any thread to a JavaScript function, in the event loop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addon.h"

enum { MOST_RECORDS = 1000 };

struct record {
    record *next;
    int32_t level;
    size_t target_len, len, fields_len;
    /* The part of the library, followed by the message and the fields. */
    char text[];
};

/* The environment that receives the log of the process. */
static pthread_mutex_t receiver_lock = PTHREAD_MUTEX_INITIALIZER;
static environment *receiver;

static void append(environment *state, record *new) {
    if (state->records_last != NULL) state->records_last->next = new;
    else state->records_first = new;
    state->records_last = new;
    state->records_waiting++;
    wake_up(state);
}

/* Writes the fields as texts that end with a NUL: name, kind ('t', 'n'), value. Returns their length; `out` may be
 * NULL. */
static size_t write_fields(char *out, const st_log_field *fields, size_t count) {
    size_t len = 0;
    for (size_t at = 0; at < count; at++) {
        const st_log_field *field = &fields[at];
        char number[64] = "";
        bool is_text = field->kind == ST_FIELD_TEXT;
        if (field->kind == ST_FIELD_INTEGER) snprintf(number, sizeof number, "%lld", (long long)field->integer);
        else if (field->kind == ST_FIELD_NUMBER) snprintf(number, sizeof number, "%.17g", field->number);
        else if (!is_text || memchr(field->text, 0, field->len) != NULL) continue;
        const char *parts[] = {field->name, is_text ? "t" : "n", is_text ? field->text : number};
        for (int part = 0; part < 3; part++) {
            size_t size = strlen(parts[part]) + 1;
            if (out != NULL) memcpy(out + len, parts[part], size);
            len += size;
        }
    }
    return len;
}

static void receive(void *context, int32_t level, const char *target, const char *message, size_t len,
                    const st_log_field *fields, size_t count) {
    environment *state = context;
    size_t target_len = strlen(target), fields_len = write_fields(NULL, fields, count);
    record *new = malloc(sizeof *new + target_len + len + fields_len);
    if (new == NULL) return;
    *new = (record){NULL, level, target_len, len, fields_len};
    write_fields(new->text + target_len + len, fields, count);
    memcpy(new->text, target, target_len);
    memcpy(new->text + target_len, message, len);
    pthread_mutex_lock(&state->lock);
    bool taken = state->alive && state->records_waiting < MOST_RECORDS;
    if (taken) append(state, new);
    else state->records_lost++;
    pthread_mutex_unlock(&state->lock);
    if (!taken) free(new);
}

void records_free(record *records) {
    while (records != NULL) {
        record *first = records;
        records = first->next;
        free(first);
    }
}

/* Reports an exception of the function as uncaught, because Node would ignore it. */
static void report_exception(napi_env env) {
    bool pending = false;
    napi_value thrown;
    napi_is_exception_pending(env, &pending);
    if (pending && napi_get_and_clear_last_exception(env, &thrown) == napi_ok) napi_fatal_exception(env, thrown);
}

static void call_log(environment *state, const record *message, unsigned lost) {
    napi_env env = state->env;
    napi_handle_scope scope;
    napi_value function, arguments[5];
    if (state->log == NULL || napi_open_handle_scope(env, &scope) != napi_ok) return;
    arguments[0] = make_number(env, message->level);
    arguments[1] = make_text(env, message->text, message->target_len);
    arguments[2] = make_text(env, message->text + message->target_len, message->len);
    arguments[3] = make_number(env, lost);
    arguments[4] = make_text(env, message->text + message->target_len + message->len, message->fields_len);
    if (arguments[1] != NULL && arguments[2] != NULL && arguments[4] != NULL &&
        napi_get_reference_value(env, state->log, &function) == napi_ok) {
        napi_call_function(env, make_undefined(env), function, 5, arguments, NULL);
    }
    report_exception(env);
    napi_close_handle_scope(env, scope);
}

/* Only takes the messages present now, so that a function whose own calls log something does not block the event
 * loop. */
void take_records(environment *state) {
    pthread_mutex_lock(&state->lock);
    unsigned count = state->records_waiting;
    pthread_mutex_unlock(&state->lock);
    for (; count > 0; count--) {
        pthread_mutex_lock(&state->lock);
        record *first = state->records_first;
        unsigned lost = state->records_lost;
        state->records_lost = 0;
        if (first != NULL) {
            state->records_first = first->next;
            if (first->next == NULL) state->records_last = NULL;
            state->records_waiting--;
        }
        pthread_mutex_unlock(&state->lock);
        if (first == NULL) return;
        call_log(state, first, lost);
        free(first);
    }
    pthread_mutex_lock(&state->lock);
    if (state->records_first != NULL) wake_up(state);
    pthread_mutex_unlock(&state->lock);
}

static void release(void *state) {
    environment_release(state);
}

static st_status receive_from_now_on(environment *state, int32_t level, st_error *error) {
    pthread_mutex_lock(&receiver_lock);
    if (state != NULL) atomic_fetch_add(&state->references, 1);
    st_status status = st_log_set_fields(level, state ? receive : NULL, state ? release : NULL, state, error);
    if (status == ST_OK) receiver = state;
    pthread_mutex_unlock(&receiver_lock);
    return status;
}

/* The environment ends: stops the log, unless another environment receives it. */
void log_closed(environment *state) {
    pthread_mutex_lock(&receiver_lock);
    if (receiver == state) {
        st_log_set(ST_LOG_OFF, NULL, NULL, NULL, NULL);
        receiver = NULL;
    }
    pthread_mutex_unlock(&receiver_lock);
}

/* (level, function or null) */
static napi_value set_log(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    napi_ref log = NULL;
    size_t count = 2;
    int32_t level = ST_LOG_OFF;
    napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
    environment *state = environment_of(env);
    bool none = is_nothing(env, arguments[1]);
    if (napi_get_value_int32(env, arguments[0], &level) != napi_ok) return throw_type(env, "level", "a number");
    if (!none && napi_create_reference(env, arguments[1], 1, &log) != napi_ok) return NULL;
    st_error error = ST_ERROR_INIT;
    if (receive_from_now_on(none ? NULL : state, level, &error) != ST_OK) {
        if (log != NULL) napi_delete_reference(env, log);
        return throw_error(env, &error);
    }
    if (state->log != NULL) napi_delete_reference(env, state->log);
    state->log = log;
    return NULL;
}

bool define_log(napi_env env, napi_value exports) {
    const napi_property_descriptor functions[] = {{"setLog", 0, set_log, 0, 0, 0, napi_default, 0}};
    return napi_define_properties(env, exports, 1, functions) == napi_ok;
}
