/* JavaScript values in a cache. A cache of this environment stores them by reference; only its own thread releases
 * them, whichever thread evicts them. */
#include <stdlib.h>
#include <string.h>

#include "addon.h"

struct object {
    environment *state;
    napi_ref reference;
    object *next;
};

/* Called by the cache on any thread when it drops an object. */
static void object_drop(void *context) {
    object *dropped = context;
    environment *state = dropped->state;
    pthread_mutex_lock(&state->lock);
    bool alive = state->alive;
    if (alive) {
        dropped->next = state->dropped;
        state->dropped = dropped;
        wake_up(state);
    }
    pthread_mutex_unlock(&state->lock);
    dropped = alive ? NULL : dropped;
    objects_free(dropped);
}

/* Their references end with the environment. */
void objects_free(object *dropped) {
    while (dropped != NULL) {
        object *first = dropped;
        dropped = first->next;
        environment_release(first->state);
        free(first);
    }
}

void take_dropped_objects(environment *state) {
    pthread_mutex_lock(&state->lock);
    object *dropped = state->dropped;
    state->dropped = NULL;
    pthread_mutex_unlock(&state->lock);
    for (object *each = dropped; each != NULL; each = each->next) napi_delete_reference(state->env, each->reference);
    objects_free(dropped);
}

static object *object_new(napi_env env, napi_value holder) {
    environment *state = environment_of(env);
    object *made = calloc(1, sizeof *made);
    if (made == NULL) abort();
    if (napi_create_reference(env, holder, 1, &made->reference) != napi_ok) {
        free(made);
        throw_type(env, "value", "held by an object");
        return NULL;
    }
    made->state = state;
    atomic_fetch_add(&state->references, 1);
    return made;
}

/* Rejects a cache shared by other threads, which could not use this thread's values. */
static handle *own_cache(napi_env env, napi_value value) {
    handle *held = open_handle(env, value, CACHE, "cache");
    if (held == NULL || !held->builtin) return held;
    throw_type(env, "cache", "your own: the built-in caches, which all threads share, only store strings and bytes");
    return NULL;
}

/* (cache, key, holder, ttl) */
static napi_value set_object(napi_env env, napi_callback_info info) {
    napi_value arguments[4];
    size_t count = 4;
    double ttl;
    input key;
    napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
    handle *held = own_cache(env, arguments[0]);
    if (held == NULL) return NULL;
    if (napi_get_value_double(env, arguments[3], &ttl) != napi_ok) return throw_type(env, "ttl", "a number");
    if (!read_bytes(env, arguments[1], "key", &key)) return NULL;
    object *made = object_new(env, arguments[2]);
    st_error error = ST_ERROR_INIT;
    st_status status = ST_OK;
    if (made != NULL) status = st_cache_set_object(held->is.cache, key.data, key.len, made, object_drop, ttl, &error);
    input_free(&key);
    take_dropped_objects(environment_of(env));
    return status == ST_OK ? NULL : throw_error(env, &error);
}

/* (cache, key): returns the holder or undefined */
static napi_value get_object(napi_env env, napi_callback_info info) {
    napi_value arguments[2], holder = NULL;
    size_t count = 2;
    input key;
    napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
    handle *held = own_cache(env, arguments[0]);
    if (held == NULL || !read_bytes(env, arguments[1], "key", &key)) return NULL;
    st_object found = {0};
    st_error error;
    error.size = sizeof error;
    st_status status = st_cache_get_object(held->is.cache, key.data, key.len, &found, &error);
    input_free(&key);
    if (status == ST_OK) napi_get_reference_value(env, ((object *)found.object)->reference, &holder);
    else if (status != ST_NOT_FOUND) throw_error(env, &error);
    st_object_free(&found);
    return holder;
}

/* (cache, lease, holder, ttl) */
static napi_value finish_object(napi_env env, napi_callback_info info) {
    napi_value arguments[4];
    size_t count = 4;
    double ttl;
    int64_t lease = 0;
    bool lossless;
    napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
    handle *held = own_cache(env, arguments[0]);
    if (held == NULL) return NULL;
    if (napi_get_value_bigint_int64(env, arguments[1], &lease, &lossless) != napi_ok) {
        return throw_type(env, "lease", "a bigint");
    }
    if (napi_get_value_double(env, arguments[3], &ttl) != napi_ok) return throw_type(env, "ttl", "a number");
    object *made = object_new(env, arguments[2]);
    if (made == NULL) return NULL;
    st_error error = ST_ERROR_INIT;
    st_status status = st_cache_load_finish_object(held->is.cache, (uint64_t)lease, made, object_drop, ttl, &error);
    take_dropped_objects(environment_of(env));
    return status == ST_OK ? NULL : throw_error(env, &error);
}

bool define_objects(napi_env env, napi_value exports) {
    const napi_property_descriptor functions[] = {
        {"cacheSetObject", 0, set_object, 0, 0, 0, napi_default, 0},
        {"cacheGetObject", 0, get_object, 0, 0, 0, napi_default, 0},
        {"cacheLoadFinishObject", 0, finish_object, 0, 0, 0, napi_default, 0},
    };
    return napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions) == napi_ok;
}
