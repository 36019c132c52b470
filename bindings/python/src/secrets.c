/* Secrets: a manager and its lookups. secrets_more.c has the other methods. */
#include "native.h"

#include <string.h>

static PyObject *secrets_type;

static PyObject *new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    (void)keywords;
    return handle_object_open(type, args, "|O:Secrets", (handle_open)st_secrets_open,
                              (void (*)(void *))st_secrets_free);
}

static int traverse(secrets_object *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    return held_visit(self->providers, visit, arg);
}

static int clear(secrets_object *self) {
    handle_close(&self->handle);
    return 0;
}

static void dealloc(secrets_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    handle_close(&self->handle);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* What a lookup without a value does. */
typedef enum {
    RAISE,       /* raises, also if no provider has the key */
    RAISE_FAULT, /* raises if a provider failed, returns the default if no provider has the key */
    SKIP,        /* logs the failure, returns the default */
} without_value;

/* Looks up what needs no waiting, with the GIL held. Returns false if the result may be due to a provider that was left
 * out. Formats no message. */
static bool at_once(const st_secrets *secrets, const char *key, Py_ssize_t len, st_bytes *value, st_status *status) {
    st_secret_info info;
    info.size = sizeof info;
    *status =
        st_secrets_get_with(secrets, key, (size_t)len, ST_TIMEOUT_DEFAULT, ST_GET_CACHED_ONLY, value, &info, NULL);
    return *status == ST_OK ? (info.flags & ST_SECRET_DEGRADED) == 0 : *status == ST_NOT_FOUND;
}

/* Values that need no waiting are looked up with the GIL held; only the rest releases it. */
static PyObject *get_as(secrets_object *self, PyObject *key, PyObject *fallback, without_value otherwise,
                        PyObject *(*convert)(st_bytes *)) {
    const char *text;
    Py_ssize_t len;
    if (!text_of(key, "key", &text, &len) || !handle_enter(&self->handle, "SecretsManager")) {
        return NULL;
    }
    const st_secrets *secrets = self->handle.pointer;
    st_bytes value = {0};
    st_status status;
    ST_ERROR(error);
    if (!at_once(secrets, text, len, &value, &status) || (status == ST_NOT_FOUND && otherwise == RAISE)) {
        st_bytes_free(&value);
        WITHOUT_GIL(status = st_secrets_get(secrets, text, (size_t)len, &value, &error));
    }
    handle_leave(&self->handle);
    if (status == ST_NOT_FOUND && otherwise != RAISE && !interrupted()) {
        return Py_NewRef(fallback == NULL ? Py_None : fallback);
    }
    PyObject *result = PyErr_Occurred() ? NULL : result_of(status, &error, &value, convert);
    return result == NULL && otherwise == SKIP ? log_skipped(fallback) : result;
}

static PyObject *value_as_str(st_bytes *value) {
    return str_from(value, "the value");
}

PyObject *secrets_value(secrets_object *self, PyObject *key) {
    return get_as(self, key, NULL, RAISE_FAULT, value_as_str);
}

/* _peek(key): the value, None if no provider has it, or MISSING if that takes waiting. */
static PyObject *peek(secrets_object *self, PyObject *key) {
    const char *text;
    Py_ssize_t len;
    if (!text_of(key, "key", &text, &len) || !handle_enter(&self->handle, "SecretsManager")) {
        return NULL;
    }
    st_bytes value = {0};
    st_status status;
    bool decided = at_once(self->handle.pointer, text, len, &value, &status);
    handle_leave(&self->handle);
    if (interrupted()) {
        st_bytes_free(&value);
        return NULL;
    }
    if (decided && status == ST_OK) {
        return value_as_str(&value);
    }
    st_bytes_free(&value);
    return Py_NewRef(decided ? Py_None : missing);
}

static const char *const get_names[] = {"key", "default", NULL};

static PyObject *get(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords) {
    PyObject *out[2];
    return arguments("get", get_names, 1, args, given, keywords, out) ? get_as(self, out[0], out[1], SKIP, value_as_str)
                                                                      : NULL;
}

static PyObject *get_bytes(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords) {
    PyObject *out[2];
    return arguments("get_bytes", get_names, 1, args, given, keywords, out)
               ? get_as(self, out[0], out[1], SKIP, bytes_from)
               : NULL;
}

static PyObject *require(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords) {
    static const char *const names[] = {"key", NULL};
    PyObject *out[1];
    return arguments("require", names, 1, args, given, keywords, out) ? get_as(self, out[0], NULL, RAISE, value_as_str)
                                                                      : NULL;
}

static bool flag_of(PyObject *object, uint32_t flag, uint32_t *flags) {
    int set = object == NULL ? 0 : PyObject_IsTrue(object);
    *flags |= set > 0 ? flag : 0;
    return set >= 0;
}

static PyObject *find(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords) {
    static const char *const names[] = {"key", "timeout", "refresh", "cached_only", NULL};
    PyObject *out[4];
    const char *key;
    Py_ssize_t len;
    double timeout;
    uint32_t flags = 0;
    if (!arguments("find", names, 1, args, given, keywords, out) || !text_of(out[0], "key", &key, &len) ||
        !seconds_of(out[1], "timeout", ST_TIMEOUT_DEFAULT, &timeout) || !flag_of(out[2], ST_GET_REFRESH, &flags) ||
        !flag_of(out[3], ST_GET_CACHED_ONLY, &flags)) {
        return NULL;
    }
    st_bytes value = {0};
    st_secret_info info = ST_SECRET_INFO_INIT;
    st_status status;
    ST_ERROR(error);
    SECRETS_CALL(self, status = st_secrets_get_with(self->handle.pointer, key, (size_t)len, timeout, flags, &value,
                                                    &info, &error));
    if (failed(status, &error)) {
        st_bytes_free(&value);
        return NULL;
    }
    return secret_new(&value, &info);
}

#define CONVENIENCE(name, function) \
    static PyObject *name(secrets_object *self, PyObject *unused) { \
        (void)unused; \
        st_bytes value = {0}; \
        st_status status; \
        ST_ERROR(error); \
        SECRETS_CALL(self, status = function(self->handle.pointer, &value, &error)); \
        if (status == ST_NOT_FOUND && !interrupted()) { \
            Py_RETURN_NONE; \
        } \
        PyObject *result = PyErr_Occurred() ? NULL : result_of(status, &error, &value, value_as_str); \
        return result == NULL ? log_skipped(NULL) : result; \
    }
CONVENIENCE(get_replicate_token, st_secrets_get_replicate_token)
CONVENIENCE(get_hf_token, st_secrets_get_hf_token)
CONVENIENCE(get_webhook_secret, st_secrets_get_webhook_secret)

bool secrets_of(PyObject *object, handle **out) {
    *out = NULL;
    if (object == Py_None) {
        return true;
    }
    if (!PyObject_TypeCheck(object, (PyTypeObject *)secrets_type)) {
        PyErr_SetString(PyExc_TypeError, "secrets must be a SecretsManager or None");
        return false;
    }
    *out = &((secrets_object *)object)->handle;
    return true;
}

static PyMethodDef methods[] = {
    {"get", (PyCFunction)(void (*)(void))get, METH_FASTCALL | METH_KEYWORDS,
     "get($self, key, default=None)\n--\n\nReturns the value as str, or `default` if no provider has it.\n\n"
     "A provider that fails is logged, once per cause and minute, and skipped; require() and find() raise instead."},
    {"get_bytes", (PyCFunction)(void (*)(void))get_bytes, METH_FASTCALL | METH_KEYWORDS,
     "get_bytes($self, key, default=None)\n--\n\nAs get(), but returns bytes, which need not be UTF-8."},
    {"require", (PyCFunction)(void (*)(void))require, METH_FASTCALL | METH_KEYWORDS,
     "require($self, key)\n--\n\nReturns the value as str.\n\n"
     "NotFoundError: no provider has the key. Error: a provider failed and no other has the key. WrongTypeError: the value\n"
     "is not UTF-8."},
    {"find", (PyCFunction)(void (*)(void))find, METH_FASTCALL | METH_KEYWORDS,
     "find($self, key, timeout=None, refresh=False, cached_only=False)\n--\n\n"
     "Returns the value as a Secret with its origin.\n\n"
     "timeout: seconds or a timedelta; None for the setting `timeout`, math.inf for no limit.\n"
     "refresh: bypass all caches and ask every provider.\n"
     "cached_only: do not wait for remote providers; UnavailableError if one of them may have the value.\n\n"
     "NotFoundError: no provider has the key. DeadlineError: the call timed out. Error: a provider failed and no other has\n"
     "the key."},
    {"get_replicate_token", (PyCFunction)get_replicate_token, METH_NOARGS,
     "get_replicate_token($self)\n--\n\nReturns the value of REPLICATE_API_TOKEN, or None."},
    {"get_hf_token", (PyCFunction)get_hf_token, METH_NOARGS,
     "get_hf_token($self)\n--\n\nReturns the value of HF_TOKEN, or None."},
    {"get_webhook_secret", (PyCFunction)get_webhook_secret, METH_NOARGS,
     "get_webhook_secret($self)\n--\n\nReturns the value of CLOUD_WEBHOOK_SECRET, or None."},
    {"get_many", (PyCFunction)secrets_get_many, METH_O,
     "get_many($self, keys, /)\n--\n\nReturns a dict of the keys that have a value, as str.\n\n"
     "Error: a lookup failed; the first failure is raised."},
    {"set_secret", (PyCFunction)(void (*)(void))secrets_set, METH_FASTCALL | METH_KEYWORDS,
     "set_secret($self, key, value)\n--\n\nWrites a secret to the secrets file, which is created if it does not exist.\n\n"
     "ProtocolError: the file cannot be parsed. AccessDeniedError, ReadOnlyError: it cannot be written. BusyError: another\n"
     "process holds the lock of the file. ConfigError: there is no file provider."},
    {"set_replicate_token", (PyCFunction)(void (*)(void))secrets_set_replicate_token, METH_FASTCALL | METH_KEYWORDS,
     "set_replicate_token($self, token)\n--\n\nWrites REPLICATE_API_TOKEN to the secrets file."},
    {"delete_secret", (PyCFunction)(void (*)(void))secrets_delete, METH_FASTCALL | METH_KEYWORDS,
     "delete_secret($self, key)\n--\n\nRemoves a secret from the secrets file. Returns whether it existed. Raises the\n"
     "errors of set_secret()."},
    {"refresh", (PyCFunction)(void (*)(void))secrets_refresh, METH_FASTCALL | METH_KEYWORDS,
     "refresh($self, timeout=None)\n--\n\nReads every provider again, within `timeout` seconds (None: the setting).\n\n"
     "Error: a provider failed; the first failure is raised."},
    {"prefetch", (PyCFunction)(void (*)(void))secrets_prefetch, METH_FASTCALL | METH_KEYWORDS,
     "prefetch($self, timeout=None)\n--\n\n"
     "Loads the documents of AWS and Vault now, unless they are cached, within `timeout` seconds (None: the setting).\n"
     "With the setting `share`, the other processes of this host then use them too.\n\n"
     "Error: a provider failed; the first failure is raised, and the other documents are loaded."},
    {"clear_cache", (PyCFunction)secrets_clear_cache, METH_NOARGS,
     "clear_cache($self)\n--\n\nRemoves all cached values, which wipes them."},
    {"generation", (PyCFunction)secrets_generation, METH_NOARGS,
     "generation($self)\n--\n\n"
     "Returns a number that increases when anything that the manager serves changes: a document, a file, or what another\n"
     "process of this host published or invalidated."},
    {"_listen", (PyCFunction)secrets_listen, METH_VARARGS, NULL},
    {"_invalidate", (PyCFunction)secrets_invalidate, METH_VARARGS, NULL},
    {"_peek", (PyCFunction)peek, METH_O, NULL},
    {"_value", (PyCFunction)secrets_value, METH_O, NULL},
    {"_describe", (PyCFunction)secrets_describe, METH_NOARGS, NULL},
    {"_stats", (PyCFunction)secrets_stats, METH_NOARGS, NULL},
    {"_check", (PyCFunction)secrets_check, METH_NOARGS, NULL},
    {"_share", (PyCFunction)secrets_share, METH_NOARGS, NULL},
    {"_file_path", (PyCFunction)secrets_file_path, METH_NOARGS, NULL},
    {"_add_provider", (PyCFunction)secrets_add_provider, METH_VARARGS, NULL},
    {"close", handle_object_close, METH_NOARGS,
     "close($self)\n--\n\nFrees the manager; further calls raise ValueError."},
    {"__reduce__", refuse_pickling, METH_NOARGS, NULL},
    {"__reduce_ex__", refuse_pickling, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A secrets manager. The argument is its settings, as JSON."},
    {Py_tp_new, new},
    {Py_tp_dealloc, dealloc},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {"st_secrets._native.Secrets", sizeof(secrets_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

int secrets_init(PyObject *module) {
    return add_type(module, &spec, &secrets_type);
}
