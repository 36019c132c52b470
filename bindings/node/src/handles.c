/* Handles of the library that JavaScript holds. */
#include <stdlib.h>
#include <string.h>

#include "addon.h"

/* The memory that a secret takes in addition to its bytes, reported to V8's garbage collector. */
enum { SECRET_OVERHEAD = 512 };

static void free_native(handle *held) {
    switch (held->kind) {
    case SECRETS: st_secrets_free(held->is.secrets); break;
    case CIPHER: st_cipher_free(held->is.cipher); break;
    case STORE: st_store_free(held->is.store); break;
    case CACHE:
        if (!held->builtin) st_cache_free(held->is.cache);
        break;
    case REDACTOR: st_redactor_free(held->is.redactor); break;
    case STREAM: st_redact_stream_free(held->is.stream); break;
    case SECRET: st_bytes_free(&held->is.secret->bytes); break;
    }
}

static void forget(handle *held) {
    if (atomic_fetch_sub(&held->references, 1) > 1) return;
    /* Its information remains readable after the value is released. */
    if (held->kind == SECRET) free(held->is.secret);
    if (held->state != NULL) environment_release(held->state);
    free(held);
}

void handle_keep(handle *held) {
    atomic_fetch_add(&held->users, 1);
}

void handle_release(handle *held) {
    if (atomic_fetch_sub(&held->users, 1) > 1) return;
    free_native(held);
    forget(held);
}

void handle_leave(handle *held) {
    environment *state = held->state;
    /* Freeing a manager may revoke leases, which would block the event loop. If that has ended, it does not matter. */
    bool elsewhere = held->kind == SECRETS && state != NULL && !state->ending && atomic_load(&held->users) == 1;
    if (elsewhere) release_later(state, held);
    else handle_release(held);
}

static void handle_close(handle *held) {
    if (held->closed) return;
    held->closed = true;
    handle_leave(held);
}

static void finalize(napi_env env, void *data, void *weight) {
    int64_t now;
    handle *held = data;
    if (weight != NULL) napi_adjust_external_memory(env, -(int64_t)(uintptr_t)weight, &now);
    handle_close(held);
    forget(held);
}

handle *new_handle(handle_kind kind, void *pointer, bool builtin) {
    handle *held = calloc(1, sizeof *held);
    if (held == NULL) abort();
    held->users = held->references = 1;
    held->kind = kind;
    held->is.any = pointer;
    held->builtin = builtin;
    return held;
}

napi_value make_handle(napi_env env, handle *held) {
    int64_t now;
    napi_value external = NULL;
    size_t weight = held->kind == SECRET ? held->is.secret->bytes.len + SECRET_OVERHEAD : 0;
    if (napi_create_external(env, held, finalize, (void *)(uintptr_t)weight, &external) != napi_ok) {
        handle_close(held);
        return NULL;
    }
    atomic_fetch_add(&held->references, 1);
    held->state = environment_of(env);
    atomic_fetch_add(&held->state->references, 1);
    if (weight > 0) napi_adjust_external_memory(env, (int64_t)weight, &now);
    return external;
}

napi_value make_secret(napi_env env, st_bytes *bytes, const st_secret_info *info) {
    secret *made = malloc(sizeof *made);
    if (made == NULL) abort();
    made->bytes = *bytes;
    made->info = *info;
    *bytes = (st_bytes){0};
    return make_handle(env, new_handle(SECRET, made, false));
}

handle *open_handle(napi_env env, napi_value value, handle_kind kind, const char *name) {
    void *data = NULL;
    if (napi_get_value_external(env, value, &data) != napi_ok || ((handle *)data)->kind != kind) {
        throw_type(env, name, "a handle of this library");
        return NULL;
    }
    handle *held = data;
    if (held->closed) {
        st_error error = ST_ERROR_INIT;
        error.status = ST_INVALID_ARGUMENT;
        strcpy(error.message, "it is closed");
        throw_error(env, &error);
        return NULL;
    }
    return held;
}

/* --- for JavaScript --- */

static napi_value only_argument(napi_env env, napi_callback_info info) {
    napi_value value = NULL;
    size_t count = 1;
    napi_get_cb_info(env, info, &count, &value, NULL, NULL);
    return value;
}

static secret *only_secret(napi_env env, napi_callback_info info) {
    handle *held = open_handle(env, only_argument(env, info), SECRET, "secret");
    return held ? held->is.secret : NULL;
}

static napi_value close_handle(napi_env env, napi_callback_info info) {
    void *data = NULL;
    if (napi_get_value_external(env, only_argument(env, info), &data) == napi_ok) handle_close(data);
    return NULL;
}

static napi_value secret_text(napi_env env, napi_callback_info info) {
    const secret *held = only_secret(env, info);
    return held ? make_text(env, held->bytes.data, held->bytes.len) : NULL;
}

static napi_value secret_bytes(napi_env env, napi_callback_info info) {
    const secret *held = only_secret(env, info);
    return held ? make_copy(env, held->bytes.data, held->bytes.len) : NULL;
}

static napi_value secret_length(napi_env env, napi_callback_info info) {
    const secret *held = only_secret(env, info);
    return held ? make_number(env, (double)held->bytes.len) : NULL;
}

/* [provider, version, source, flags, age, expiresIn], or undefined for a value without a provider. Remains readable
 * after the value is released. */
static napi_value secret_info(napi_env env, napi_callback_info info) {
    void *data = NULL;
    if (napi_get_value_external(env, only_argument(env, info), &data) != napi_ok) return NULL;
    const st_secret_info *from = &((handle *)data)->is.secret->info;
    if (from->provider[0] == 0) return NULL;
    napi_value items[] = {
        make_text(env, from->provider, strlen(from->provider)),
        make_text(env, from->version, strlen(from->version)),
        make_number(env, from->source),
        make_number(env, from->flags),
        make_number(env, from->age),
        make_number(env, from->expires_in),
    };
    return make_array(env, 6, items);
}

bool define_handles(napi_env env, napi_value exports) {
    const napi_property_descriptor functions[] = {
        {"close", 0, close_handle, 0, 0, 0, napi_default, 0},
        {"secretText", 0, secret_text, 0, 0, 0, napi_default, 0},
        {"secretBytes", 0, secret_bytes, 0, 0, 0, napi_default, 0},
        {"secretLength", 0, secret_length, 0, 0, 0, napi_default, 0},
        {"secretInfo", 0, secret_info, 0, 0, 0, napi_default, 0},
    };
    return napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions) == napi_ok;
}
