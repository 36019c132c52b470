/* Initializes the add-on for the JavaScript of one thread, and shuts it down. */
#include <stdlib.h>

#include "addon.h"

environment *environment_of(napi_env env) {
    void *state = NULL;
    napi_get_instance_data(env, &state);
    return state;
}

void environment_release(environment *state) {
    if (atomic_fetch_sub(&state->references, 1) > 1) return;
    pthread_mutex_destroy(&state->lock);
    free(state);
}

void wake_up(environment *state) {
    if (state->woken || !state->alive) return;
    state->woken = true;
    napi_call_threadsafe_function(state->wake, NULL, napi_tsfn_nonblocking);
}

static void woken(napi_env env, napi_value function, void *context, void *data) {
    (void)function;
    (void)data;
    if (env == NULL) return;
    environment *state = context;
    pthread_mutex_lock(&state->lock);
    state->woken = false;
    pthread_mutex_unlock(&state->lock);
    take_done_calls(state);
    take_dropped_objects(state);
    take_records(state);
}

static void finalize(napi_env env, void *state, void *hint) {
    (void)env;
    (void)hint;
    environment_release(state);
}

/* Called when the thread's JavaScript ends; before Node closes `wake`, because cleanup runs in reverse order. */
static void close_environment(void *context) {
    environment *state = context;
    state->ending = true;
    log_closed(state);
    withdraw_calls(state);
    pthread_mutex_lock(&state->lock);
    state->alive = false;
    call *done = state->done_first;
    object *dropped = state->dropped;
    record *records = state->records_first;
    state->done_first = state->done_last = NULL;
    state->dropped = NULL;
    state->records_first = state->records_last = NULL;
    pthread_mutex_unlock(&state->lock);
    while (done != NULL) {
        call *first = done;
        done = first->next_queued;
        call_free(first);
    }
    objects_free(dropped);
    records_free(records);
}

static bool open_environment(napi_env env) {
    napi_value name;
    environment *state = calloc(1, sizeof *state);
    if (state == NULL) abort();
    state->references = 1;
    state->env = env;
    state->alive = true;
    pthread_mutex_init(&state->lock, NULL);
    if (napi_set_instance_data(env, state, finalize, NULL) != napi_ok) {
        environment_release(state);
        return false;
    }
    return napi_create_string_utf8(env, "st-secrets", NAPI_AUTO_LENGTH, &name) == napi_ok &&
           napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, state, woken, &state->wake) ==
               napi_ok &&
           napi_unref_threadsafe_function(env, state->wake) == napi_ok &&
           napi_add_env_cleanup_hook(env, close_environment, state) == napi_ok;
}

/* Receives the class of errors, which is written in JavaScript. */
static napi_value set_error_class(napi_env env, napi_callback_info info) {
    napi_value class;
    size_t count = 1;
    napi_get_cb_info(env, info, &count, &class, NULL, NULL);
    napi_create_reference(env, class, 1, &environment_of(env)->error_class);
    return NULL;
}

static napi_value status_name(napi_env env, napi_callback_info info) {
    napi_value value, name;
    size_t count = 1;
    int32_t status = 0;
    napi_get_cb_info(env, info, &count, &value, NULL, NULL);
    napi_get_value_int32(env, value, &status);
    napi_create_string_utf8(env, st_status_name(status), NAPI_AUTO_LENGTH, &name);
    return name;
}

/* Defines the environment of the program, which differs from the `process.env` of modules that Jest runs. */
static bool define_process_env(napi_env env, napi_value exports) {
    napi_value global, process, variables;
    return napi_get_global(env, &global) == napi_ok &&
           napi_get_named_property(env, global, "process", &process) == napi_ok &&
           napi_get_named_property(env, process, "env", &variables) == napi_ok &&
           napi_set_named_property(env, exports, "processEnv", variables) == napi_ok;
}

NAPI_MODULE_INIT() {
    napi_value version;
    const napi_property_descriptor functions[] = {
        {"setErrorClass", 0, set_error_class, 0, 0, 0, napi_default, 0},
        {"statusName", 0, status_name, 0, 0, 0, napi_default, 0},
    };
    bool good =
        st_abi_version() == ST_ABI_VERSION && open_environment(env) &&
        napi_define_properties(env, exports, 2, functions) == napi_ok &&
        napi_create_string_utf8(env, st_version(), NAPI_AUTO_LENGTH, &version) == napi_ok &&
        napi_set_named_property(env, exports, "version", version) == napi_ok &&
        napi_set_named_property(env, exports, "versionNumber", make_number(env, st_version_number())) == napi_ok &&
        define_process_env(env, exports) && define_handles(env, exports) && define_calls(env, exports) &&
        define_secrets(env, exports) && define_cipher(env, exports) && define_store(env, exports) &&
        define_cache(env, exports) && define_redact(env, exports) && define_objects(env, exports) &&
        define_log(env, exports);
    if (good) return exports;
    napi_throw_error(env, NULL, "cannot initialize st-secrets");
    return NULL;
}
