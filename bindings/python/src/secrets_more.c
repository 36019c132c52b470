/* Secrets: several values at once, writing, and reports about a manager. */
#include "native.h"

#include <stdlib.h>
#include <string.h>

/* Joins the keys, each followed by a NUL. */
static char *joined(PyObject *keys, Py_ssize_t count, size_t *len) {
    *len = 0;
    for (int copying = 0;; copying++) {
        char *all = copying ? malloc(*len > 0 ? *len : 1) : NULL;
        size_t at = 0;
        for (Py_ssize_t i = 0; i < count; i++) {
            const char *key;
            Py_ssize_t size;
            if (!text_of(PyList_GetItem(keys, i), "key", &key, &size)) {
                free(all);
                return NULL;
            }
            if (memchr(key, 0, (size_t)size) != NULL) {
                free(all);
                raise_status(ST_INVALID_ARGUMENT, "a key has a NUL in it");
                return NULL;
            }
            if (all != NULL) {
                memcpy(all + at, key, (size_t)size + 1);
            }
            at += (size_t)size + 1;
        }
        if (copying) {
            return all == NULL ? (char *)PyErr_NoMemory() : all;
        }
        *len = at;
    }
}

/* Returns a dict of the values, without keys that have none. If a lookup failed, the first such key is looked up
 * alone, to raise an error with a message. */
static PyObject *collected(secrets_object *self, PyObject *keys, Py_ssize_t count, st_bytes *values,
                           const st_status *statuses) {
    PyObject *all = PyDict_New();
    for (Py_ssize_t i = 0; all != NULL && i < count; i++) {
        PyObject *key = PyList_GetItem(keys, i), *value = NULL;
        if (statuses[i] == ST_OK) {
            value = str_from(&values[i], "a value");
        } else if (statuses[i] != ST_NOT_FOUND) {
            value = secrets_value(self, key);
        } else {
            continue;
        }
        if (value == NULL || (value != Py_None && PyDict_SetItem(all, key, value) != 0)) {
            Py_CLEAR(all);
        }
        Py_XDECREF(value);
    }
    return all;
}

PyObject *secrets_get_many(secrets_object *self, PyObject *keys) {
    if (PyUnicode_Check(keys)) {
        PyErr_SetString(PyExc_TypeError, "keys must be a list or another iterable of str, not one str");
        return NULL;
    }
    PyObject *list = PySequence_List(keys);
    if (list == NULL) {
        return NULL;
    }
    Py_ssize_t count = PyList_Size(list);
    size_t len, places = count > 0 ? (size_t)count : 1;
    char *all = joined(list, count, &len);
    st_bytes *values = calloc(places, sizeof *values);
    st_status *statuses = calloc(places, sizeof *statuses);
    PyObject *result = NULL;
    if (all != NULL && (values == NULL || statuses == NULL)) {
        PyErr_NoMemory();
    } else if (all != NULL && handle_enter(&self->handle, "SecretsManager")) {
        st_status status;
        ST_ERROR(error);
        WITHOUT_GIL(status =
                        st_secrets_get_many(self->handle.pointer, all, len, (size_t)count, values, statuses, &error));
        handle_leave(&self->handle);
        result = failed(status, &error) ? NULL : collected(self, list, count, values, statuses);
    }
    for (Py_ssize_t i = 0; values != NULL && i < count; i++) {
        st_bytes_free(&values[i]);
    }
    free(statuses);
    free(values);
    free(all);
    Py_DECREF(list);
    return result;
}

PyObject *secrets_set(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords) {
    static const char *const names[] = {"key", "value", NULL};
    PyObject *out[2];
    const char *key, *value;
    Py_ssize_t key_len, value_len;
    if (!arguments("set_secret", names, 2, args, given, keywords, out) || !text_of(out[0], "key", &key, &key_len) ||
        !text_of(out[1], "value", &value, &value_len)) {
        return NULL;
    }
    st_status status;
    ST_ERROR(error);
    SECRETS_CALL(self,
                 status = st_secrets_set(self->handle.pointer, key, (size_t)key_len, value, (size_t)value_len, &error));
    if (failed(status, &error)) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

PyObject *secrets_set_replicate_token(secrets_object *self, PyObject *const *args, Py_ssize_t given,
                                      PyObject *keywords) {
    static const char *const names[] = {"token", NULL};
    PyObject *out[1];
    const char *value;
    Py_ssize_t len;
    if (!arguments("set_replicate_token", names, 1, args, given, keywords, out) ||
        !text_of(out[0], "token", &value, &len)) {
        return NULL;
    }
    st_status status;
    ST_ERROR(error);
    SECRETS_CALL(self, status = st_secrets_set_replicate_token(self->handle.pointer, value, (size_t)len, &error));
    if (failed(status, &error)) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

PyObject *secrets_delete(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords) {
    static const char *const names[] = {"key", NULL};
    PyObject *out[1];
    const char *key;
    Py_ssize_t len;
    if (!arguments("delete_secret", names, 1, args, given, keywords, out) || !text_of(out[0], "key", &key, &len)) {
        return NULL;
    }
    bool existed = false;
    st_status status;
    ST_ERROR(error);
    SECRETS_CALL(self, status = st_secrets_delete(self->handle.pointer, key, (size_t)len, &existed, &error));
    return failed(status, &error) ? NULL : PyBool_FromLong(existed);
}

/* Calls a function that reads remote providers within a time limit. */
static PyObject *within(secrets_object *self, const char *method, PyObject *const *args, Py_ssize_t given,
                        PyObject *keywords, st_status (*function)(const st_secrets *, double, st_error *)) {
    static const char *const names[] = {"timeout", NULL};
    PyObject *out[1];
    double timeout;
    if (!arguments(method, names, 0, args, given, keywords, out) ||
        !seconds_of(out[0], "timeout", ST_TIMEOUT_DEFAULT, &timeout)) {
        return NULL;
    }
    st_status status;
    ST_ERROR(error);
    SECRETS_CALL(self, status = function(self->handle.pointer, timeout, &error));
    if (failed(status, &error)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *secrets_refresh(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords) {
    return within(self, "refresh", args, given, keywords, st_secrets_refresh);
}

PyObject *secrets_prefetch(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords) {
    return within(self, "prefetch", args, given, keywords, st_secrets_prefetch);
}

PyObject *secrets_clear_cache(secrets_object *self, PyObject *unused) {
    (void)unused;
    st_status status;
    ST_ERROR(error);
    SECRETS_CALL(self, status = st_secrets_clear_cache(self->handle.pointer, &error));
    if (failed(status, &error)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *json_from(st_bytes *bytes) {
    return str_from(bytes, "the answer");
}

PyObject *secrets_generation(secrets_object *self, PyObject *unused) {
    (void)unused;
    uint64_t generation = 0;
    st_status status;
    ST_ERROR(error);
    SECRETS_CALL(self, status = st_secrets_generation(self->handle.pointer, &generation, &error));
    return failed(status, &error) ? NULL : PyLong_FromUnsignedLongLong(generation);
}

PyObject *secrets_listen(secrets_object *self, PyObject *args) {
    PyObject *number;
    double timeout;
    if (!PyArg_ParseTuple(args, "O!d", &PyLong_Type, &number, &timeout)) {
        return NULL;
    }
    unsigned long long since = PyLong_AsUnsignedLongLong(number);
    if (PyErr_Occurred()) {
        return NULL;
    }
    uint64_t generation = 0;
    st_status status;
    ST_ERROR(error);
    SECRETS_CALL(self, status = st_secrets_listen(self->handle.pointer, since, timeout, &generation, &error));
    return failed(status, &error) ? NULL : PyLong_FromUnsignedLongLong(generation);
}

PyObject *secrets_invalidate(secrets_object *self, PyObject *args) {
    const char *key;
    Py_ssize_t len;
    PyObject *seconds;
    int cluster;
    double timeout;
    if (!PyArg_ParseTuple(args, "z#Op", &key, &len, &seconds, &cluster) ||
        !seconds_of(seconds, "timeout", 10.0, &timeout)) {
        return NULL;
    }
    st_bytes bytes = {0};
    st_status status;
    ST_ERROR(error);
    SECRETS_CALL(self,
                 status = st_secrets_invalidate(self->handle.pointer, key, (size_t)len,
                                                cluster ? ST_SCOPE_CLUSTER : ST_SCOPE_HOST, timeout, &bytes, &error));
    return result_of(status, &error, &bytes, json_from);
}

#define RETURNS_BYTES(name, function, convert) \
    PyObject *name(secrets_object *self, PyObject *unused) { \
        (void)unused; \
        st_bytes bytes = {0}; \
        st_status status; \
        ST_ERROR(error); \
        SECRETS_CALL(self, status = function(self->handle.pointer, &bytes, &error)); \
        return result_of(status, &error, &bytes, convert); \
    }

/* A path need not be UTF-8; it is decoded as Python decodes paths. */
static PyObject *path_from(st_bytes *bytes) {
    PyObject *path = PyUnicode_DecodeFSDefaultAndSize((const char *)bytes->data, (Py_ssize_t)bytes->len);
    st_bytes_free(bytes);
    return path;
}

RETURNS_BYTES(secrets_describe, st_secrets_describe, json_from)
RETURNS_BYTES(secrets_stats, st_secrets_stats, json_from)
RETURNS_BYTES(secrets_check, st_secrets_check, json_from)
RETURNS_BYTES(secrets_share, st_secrets_share, json_from)
RETURNS_BYTES(secrets_file_path, st_secrets_file_path, path_from)
