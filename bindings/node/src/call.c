/* Calls of the library: synchronous, with `Sync` in their names, or on a thread of the pool, with a promise. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addon.h"

_Thread_local call *current_call;

/* --- arguments --- */

/* Returns the name of a parameter, for errors. */
static const char *name_of(const operation *operation, size_t parameter, char *name, size_t capacity) {
    const char *from = operation->names;
    for (; parameter > 0; parameter--) from = strchr(from, ' ') + 1;
    snprintf(name, capacity, "%.*s", (int)strcspn(from, " "), from);
    return name;
}

static bool read_integer(napi_env env, napi_value value, const char *name, int64_t *out) {
    double number;
    bool lossless = false;
    if (napi_get_value_double(env, value, &number) == napi_ok) {
        lossless = fabs(number) <= 9007199254740991.0 && number == floor(number);
        *out = lossless ? (int64_t)number : 0;
    } else {
        napi_get_value_bigint_int64(env, value, out, &lossless);
    }
    if (!lossless) throw_type(env, name, "an integer");
    return lossless;
}

static napi_value element(napi_env env, napi_value array, uint32_t at) {
    napi_value value = NULL;
    napi_get_element(env, array, at, &value);
    return value;
}

/* [provider, key, status, value, ttl]; for a failure the value is the message. */
static bool read_answer(napi_env env, napi_value array, answer *out) {
    int64_t provider, status;
    napi_value value = element(env, array, 3);
    if (!read_integer(env, element(env, array, 0), "provider", &provider) ||
        !read_text(env, element(env, array, 1), "key", &out->key) ||
        !read_integer(env, element(env, array, 2), "status", &status) ||
        napi_get_value_double(env, element(env, array, 4), &out->ttl) != napi_ok) {
        return false;
    }
    out->provider = (uint32_t)provider;
    out->status = (st_status)status;
    return is_nothing(env, value) || read_value(env, value, "the provider's answer", &out->value);
}

static bool read_answers(napi_env env, napi_value array, call *call) {
    uint32_t count = 0;
    if (is_nothing(env, array)) return true;
    if (napi_get_array_length(env, array, &count) != napi_ok) return false;
    for (uint32_t at = 0; at < count; at++) {
        answer *new = calloc(1, sizeof *new);
        if (new == NULL) abort();
        new->next = call->answers;
        call->answers = new;
        if (!read_answer(env, element(env, array, at), new)) return false;
    }
    return true;
}

static bool read_handle(napi_env env, napi_value value, handle_kind kind, const char *name, const handle **out) {
    if (kind != CACHE && kind != STREAM && is_nothing(env, value)) return true;
    handle *held = open_handle(env, value, kind, name);
    if (held == NULL) return false;
    handle_keep(held);
    *out = held;
    return true;
}

static bool read_arguments(napi_env env, const napi_value *values, call *call) {
    const operation *operation = call->operation;
    size_t handles = 0, inputs = 0, numbers = 0, integers = 0;
    for (size_t at = 0; operation->types[at]; at++) {
        char name[32];
        name_of(operation, at, name, sizeof name);
        napi_value value = values[at];
        bool good = true;
        switch (operation->types[at]) {
        case 'S': good = read_handle(env, value, SECRETS, name, &call->handles[handles++]); break;
        case 'C': good = read_handle(env, value, CIPHER, name, &call->handles[handles++]); break;
        case 'T': good = read_handle(env, value, STORE, name, &call->handles[handles++]); break;
        case 'R': good = read_handle(env, value, REDACTOR, name, &call->handles[handles++]); break;
        case 'W': good = read_handle(env, value, STREAM, name, &call->handles[handles++]); break;
        case 'K': good = read_handle(env, value, CACHE, name, &call->handles[handles++]); break;
        case 'o':
            if (is_nothing(env, value)) {
                inputs++;
                break;
            }
            /* fall through */
        case 's': good = read_text(env, value, name, &call->inputs[inputs++]); break;
        case 'b': good = read_bytes(env, value, name, &call->inputs[inputs++]); break;
        case 'v': good = read_value(env, value, name, &call->inputs[inputs++]); break;
        case 'i': good = read_integer(env, value, name, &call->integers[integers++]); break;
        case 'A': good = read_answers(env, value, call); break;
        default:
            good = napi_get_value_double(env, value, &call->numbers[numbers++]) == napi_ok;
            if (!good) throw_type(env, name, "a number");
        }
        if (!good) return false;
    }
    return true;
}

static void call_begin(call *call, const operation *operation) {
    memset(call, 0, offsetof(struct call, inputs));
    for (size_t at = 0; at < MOST_INPUTS; at++) {
        call->inputs[at].data = NULL;
        call->inputs[at].len = 0;
    }
    memset(&call->numbers, 0, sizeof *call - offsetof(struct call, numbers));
    call->operation = operation;
    call->error.size = sizeof call->error;
    call->info.size = sizeof call->info;
}

/* The caller that would load is gone: the next caller loads. */
static void give_lease_back(call *call) {
    static const char message[] = "the thread with the lease stopped waiting";
    if (call->lease == 0) return;
    st_cache_load_abandon(HANDLE(call, 0, cache), call->lease, ST_ABANDONED, message, sizeof message - 1, NULL);
}

static void call_end(call *call) {
    give_lease_back(call);
    for (size_t at = 0; at < MOST_INPUTS; at++) input_free(&call->inputs[at]);
    while (call->answers != NULL) {
        answer *first = call->answers;
        call->answers = first->next;
        input_free(&first->key);
        input_free(&first->value);
        free(first);
    }
    for (int64_t at = 0; call->values != NULL && at < call->integer; at++) st_bytes_free(&call->values[at]);
    free(call->values);
    free(call->errors);
    st_bytes_free(&call->bytes);
    if (call->made != NULL) handle_release(call->made);
    for (size_t at = 0; at < MOST_HANDLES; at++) {
        if (call->handles[at] != NULL) handle_leave((handle *)call->handles[at]);
    }
}

void call_free(call *finished) {
    call_end(finished);
    environment_release(finished->state);
    free(finished);
}

static void run(call *call) {
    current_call = call;
    call->error.status = call->operation->run(call);
    current_call = NULL;
}

/* --- now --- */

static napi_value call_now(napi_env env, napi_callback_info info) {
    napi_value values[MOST_PARAMETERS], result = NULL;
    size_t count = MOST_PARAMETERS;
    void *operation = NULL;
    napi_get_cb_info(env, info, &count, values, NULL, &operation);
    call call;
    call_begin(&call, operation);
    if (read_arguments(env, values, &call)) {
        run(&call);
        result = call.error.status == ST_OK ? call.operation->result(env, &call) : throw_error(env, &call.error);
    }
    call_end(&call);
    return result;
}

/* --- on another thread --- */

static void no_longer_awaited(environment *state) {
    state->awaited--;
    if (state->awaited == 0) napi_unref_threadsafe_function(state->env, state->wake);
}

static void unlist(call *call) {
    if (call->next != NULL) call->next->previous = call->previous;
    if (call->previous != NULL) call->previous->next = call->next;
    else call->state->calls = call->next;
}

static call *new_call(environment *state, const operation *operation) {
    call *new = malloc(sizeof *new);
    if (new == NULL) abort();
    call_begin(new, operation);
    new->state = state;
    atomic_fetch_add(&state->references, 1);
    return new;
}

static void list(call *call) {
    environment *state = call->state;
    call->next = state->calls;
    if (call->next != NULL) call->next->previous = call;
    state->calls = call;
    if (state->awaited++ == 0) napi_ref_threadsafe_function(state->env, state->wake);
}

static void submit(call *call) {
    if (pool_submit(call)) return;
    call->error.status = ST_NO_MEMORY;
    strcpy(call->error.message, "cannot start a thread for the call");
    call_done(call);
}

static napi_value call_later(napi_env env, napi_callback_info info) {
    napi_value values[MOST_PARAMETERS], promise = NULL;
    size_t count = MOST_PARAMETERS;
    void *operation = NULL;
    napi_get_cb_info(env, info, &count, values, NULL, &operation);
    environment *state = environment_of(env);
    call *call = new_call(state, operation);
    if (!read_arguments(env, values, call) || napi_create_promise(env, &call->deferred, &promise) != napi_ok) {
        call_free(call);
        return NULL;
    }
    call->id = ++state->last_id;
    call->queued_at = seconds_now();
    list(call);
    if (call->operation->pace == NOTIFIED) {
        st_status status = call->operation->run(call);
        if (status != PENDING) {
            call->error.status = status;
            call_done(call);
        }
    } else {
        submit(call);
    }
    return promise;
}

static st_status release_made(call *call) {
    handle_release(call->made);
    call->made = NULL;
    return ST_OK;
}

void release_later(environment *state, handle *held) {
    static const operation releasing = {"", "", "", release_made, NULL, REMOTE};
    call *call = new_call(state, &releasing);
    call->made = held;
    list(call);
    submit(call);
}

/* Withdraws a call that no thread has begun, or that no other thread is notifying. */
static bool withdraw(call *call) {
    return call->operation->pace == NOTIFIED ? cache_withdraw(call) : pool_withdraw(call);
}

/* The timeout includes the wait for a thread. */
static bool has_time(call *call) {
    for (size_t at = 0, number = 0; call->operation->types[at]; at++) {
        char type = call->operation->types[at];
        double *timeout = &call->numbers[number];
        if (type == 't' && *timeout > 0) {
            *timeout -= seconds_now() - call->queued_at;
            if (*timeout <= 0) return false;
        }
        number += type == 't' || type == 'd';
    }
    return true;
}

void call_make(call *call) {
    if (has_time(call)) {
        run(call);
    } else {
        call->error.status = ST_TIMEOUT;
        call->error.flags = ST_ERROR_RETRYABLE;
        strcpy(call->error.message, "timed out waiting for a thread: too many calls are in progress");
    }
    call_done(call);
}

void call_done(call *call) {
    environment *state = call->state;
    pthread_mutex_lock(&state->lock);
    bool alive = state->alive;
    if (alive) {
        call->next_queued = NULL;
        if (state->done_last != NULL) state->done_last->next_queued = call;
        else state->done_first = call;
        state->done_last = call;
        wake_up(state);
    }
    pthread_mutex_unlock(&state->lock);
    if (!alive) call_free(call);
}

static void settle(napi_env env, call *call) {
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    bool failed = call->error.status != ST_OK;
    napi_value result = failed ? make_error(env, &call->error) : call->operation->result(env, call);
    if (result == NULL) {
        /* The result cannot be converted: an exception is pending. */
        failed = true;
        napi_get_and_clear_last_exception(env, &result);
    }
    if (failed) napi_reject_deferred(env, call->deferred, result);
    else napi_resolve_deferred(env, call->deferred, result);
    napi_close_handle_scope(env, scope);
}

void take_done_calls(environment *state) {
    pthread_mutex_lock(&state->lock);
    call *first = state->done_first;
    state->done_first = state->done_last = NULL;
    pthread_mutex_unlock(&state->lock);
    while (first != NULL) {
        call *call = first;
        first = call->next_queued;
        unlist(call);
        if (!call->abandoned) {
            if (call->deferred != NULL) settle(state->env, call);
            no_longer_awaited(state);
        }
        call_free(call);
    }
}

/* --- for JavaScript --- */

static napi_value last_call(napi_env env, napi_callback_info info) {
    (void)info;
    return make_number(env, environment_of(env)->last_id);
}

/* The promise is settled: the call does not keep the process alive and, if no thread has begun it, is cancelled. */
static napi_value abandon(napi_env env, napi_callback_info info) {
    napi_value value;
    size_t count = 1;
    uint32_t id = 0;
    napi_get_cb_info(env, info, &count, &value, NULL, NULL);
    napi_get_value_uint32(env, value, &id);
    environment *state = environment_of(env);
    for (call *call = state->calls; call != NULL; call = call->next) {
        if (call->id != id || call->abandoned) continue;
        call->abandoned = true;
        /* Settling a promise frees it. */
        napi_resolve_deferred(env, call->deferred, make_undefined(env));
        no_longer_awaited(state);
        if (withdraw(call)) {
            unlist(call);
            call_free(call);
        }
        break;
    }
    return NULL;
}

/* Every call that a thread has made returns to its environment until then; none is freed elsewhere. */
void withdraw_calls(environment *state) {
    for (call *each = state->calls, *next; each != NULL; each = next) {
        next = each->next;
        if (!withdraw(each)) continue;
        unlist(each);
        call_free(each);
    }
}

bool define_operations(napi_env env, napi_value exports, const operation *operations, size_t count) {
    for (size_t at = 0; at < count; at++) {
        char name[64];
        napi_value function;
        const operation *each = &operations[at];
        snprintf(name, sizeof name, "%s%s", each->name, each->pace == QUICK ? "" : "Sync");
        if (each->pace != NOTIFIED &&
            (napi_create_function(env, name, NAPI_AUTO_LENGTH, call_now, (void *)each, &function) != napi_ok ||
             napi_set_named_property(env, exports, name, function) != napi_ok)) {
            return false;
        }
        if (each->pace == QUICK) continue;
        if (napi_create_function(env, each->name, NAPI_AUTO_LENGTH, call_later, (void *)each, &function) != napi_ok ||
            napi_set_named_property(env, exports, each->name, function) != napi_ok) {
            return false;
        }
    }
    return true;
}

bool define_calls(napi_env env, napi_value exports) {
    const napi_property_descriptor functions[] = {
        {"lastCall", 0, last_call, 0, 0, 0, napi_default, 0},
        {"abandon", 0, abandon, 0, 0, 0, napi_default, 0},
    };
    return napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions) == napi_ok;
}
