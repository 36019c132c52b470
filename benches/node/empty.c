/* Add-on calls that do nothing: a lower bound for every binding. */
#define NAPI_VERSION 8
#include <node_api.h>

/* Takes and returns nothing. */
static napi_value bare(napi_env env, napi_callback_info info) {
    (void)env;
    (void)info;
    return NULL;
}

/* Takes a handle and a key and returns a string of 64 characters: a cache hit without the cache. */
static napi_value passing(napi_env env, napi_callback_info info) {
    static const char value[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    napi_value arguments[2], result = NULL;
    size_t count = 2, len;
    char key[256];
    void *handle;
    napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
    napi_get_value_external(env, arguments[0], &handle);
    napi_get_value_string_utf8(env, arguments[1], key, sizeof key, &len);
    napi_create_string_utf8(env, value, 64, &result);
    return result;
}

NAPI_MODULE_INIT() {
    napi_value function, handle;
    napi_create_function(env, "bare", NAPI_AUTO_LENGTH, bare, NULL, &function);
    napi_set_named_property(env, exports, "bare", function);
    napi_create_function(env, "passing", NAPI_AUTO_LENGTH, passing, NULL, &function);
    napi_set_named_property(env, exports, "passing", function);
    napi_create_external(env, NULL, NULL, NULL, &handle);
    napi_set_named_property(env, exports, "handle", handle);
    return exports;
}
