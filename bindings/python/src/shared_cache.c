/* SharedCache: bytes that processes share through a server. */
#include "native.h"

#include <math.h>

static PyObject *shared_cache_type;

/* SharedCache(json) */
static PyObject *shared_cache_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    (void)keywords;
    return handle_object_open(type, args, "O:SharedCache", (handle_open)st_cache_open, (void (*)(void *))st_cache_free);
}

#define CACHE_CALL(self, call) HANDLE_CALL(self, "SharedCache", call)

/* Returns the value, None if there is none. */
static PyObject *shared_cache_get(handle_object *self, PyObject *key) {
    const char *data;
    Py_ssize_t len;
    if (!bytes_of(key, "key", &data, &len)) {
        return NULL;
    }
    st_bytes value = {0};
    st_status status;
    ST_ERROR(error);
    CACHE_CALL(self, status = st_cache_get(self->handle.pointer, data, (size_t)len, &value, &error));
    if (status == ST_NOT_FOUND) {
        Py_RETURN_NONE;
    }
    return result_of(status, &error, &value, bytes_from);
}

static PyObject *shared_cache_set(handle_object *self, PyObject *args) {
    PyObject *key, *value, *ttl_object;
    const char *key_data, *data;
    Py_ssize_t key_len, len;
    double ttl;
    if (!PyArg_ParseTuple(args, "OOO:_set", &key, &value, &ttl_object) || !bytes_of(key, "key", &key_data, &key_len) ||
        !bytes_of(value, "value", &data, &len) || !seconds_of(ttl_object, "ttl", ST_TTL_DEFAULT, &ttl)) {
        return NULL;
    }
    st_status status;
    ST_ERROR(error);
    CACHE_CALL(self,
               status = st_cache_set(self->handle.pointer, key_data, (size_t)key_len, data, (size_t)len, ttl, &error));
    if (failed(status, &error)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *shared_cache_delete(handle_object *self, PyObject *key) {
    const char *data;
    Py_ssize_t len;
    if (!bytes_of(key, "key", &data, &len)) {
        return NULL;
    }
    bool existed = false;
    st_status status;
    ST_ERROR(error);
    CACHE_CALL(self, status = st_cache_delete(self->handle.pointer, data, (size_t)len, &existed, &error));
    return failed(status, &error) ? NULL : PyBool_FromLong(existed);
}

static PyObject *shared_cache_invalidate_prefix(handle_object *self, PyObject *prefix) {
    const char *data;
    Py_ssize_t len;
    if (!bytes_of(prefix, "prefix", &data, &len)) {
        return NULL;
    }
    size_t count = 0;
    st_status status;
    ST_ERROR(error);
    CACHE_CALL(self, status = st_cache_invalidate_prefix(self->handle.pointer, data, (size_t)len, &count, &error));
    return failed(status, &error) ? NULL : PyLong_FromSize_t(count);
}

/* _begin(key, load, wake): returns the value, or `missing`. If the caller is to load it, sets `load.lease`, and the
 * value is an old one that may be served if that fails; if it is being loaded, sets `wake.number`. They are set here
 * because a signal handler may raise before the caller can store a result. Does not wait for the load. */
static PyObject *shared_cache_begin(handle_object *self, PyObject *args) {
    PyObject *key, *load, *wake;
    const char *data;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "OOO:_begin", &key, &load, &wake) || !bytes_of(key, "key", &data, &len) ||
        !handle_enter(&self->handle, "SharedCache")) {
        return NULL;
    }
    const st_cache *cache = self->handle.pointer;
    st_bytes value = {0};
    uint64_t lease = 0, waiter = 0;
    int32_t outcome = 0;
    st_status status;
    ST_ERROR(error);
    Py_INCREF(wake);
    WITHOUT_GIL(status = st_cache_load_begin_notify(cache, data, (size_t)len, INFINITY, load_of_bytes_ended, wake,
                                                    &outcome, &value, &lease, &waiter, &error));
    bool kept = true;
    if (outcome != ST_LOAD_BUSY) {
        Py_DECREF(wake);
    } else if (!(kept = keep_number(wake, "number", waiter))) {
        cancel_wake(cache, waiter, wake);
    }
    if (outcome == ST_LOAD_LEADER && !(kept = keep_number(load, "lease", lease))) {
        st_cache_load_abandon(cache, lease, ST_ABANDONED, NULL, 0, NULL);
    }
    handle_leave(&self->handle);
    release_dropped();
    if (!kept || failed(status, &error)) {
        st_bytes_free(&value);
        return NULL;
    }
    return outcome == ST_LOAD_HIT || value.data != NULL ? bytes_from(&value) : Py_NewRef(missing);
}

/* _cancel(waiter, wake): `wake` will not be called, if it was not. */
static PyObject *shared_cache_cancel(handle_object *self, PyObject *args) {
    PyObject *wake;
    unsigned long long waiter;
    if (!PyArg_ParseTuple(args, "KO:_cancel", &waiter, &wake)) {
        return NULL;
    }
    /* If the cache is closed, the end of its loads wakes all. */
    if (!self->handle.closed) {
        cancel_wake(self->handle.pointer, waiter, wake);
    }
    Py_RETURN_NONE;
}

static PyObject *shared_cache_finish(handle_object *self, PyObject *args) {
    PyObject *value, *ttl_object;
    unsigned long long lease;
    const char *data;
    Py_ssize_t len;
    double ttl;
    if (!PyArg_ParseTuple(args, "KOO:_finish", &lease, &value, &ttl_object) || !bytes_of(value, "value", &data, &len) ||
        !seconds_of(ttl_object, "ttl", ST_TTL_DEFAULT, &ttl)) {
        return NULL;
    }
    st_status status;
    ST_ERROR(error);
    CACHE_CALL(self, status = st_cache_load_finish(self->handle.pointer, lease, data, (size_t)len, ttl, &error));
    if (status != ST_ABANDONED && failed(status, &error)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* _abandon(lease, exception), as that of a Cache. Returns whether an old value may be served instead. */
static PyObject *shared_cache_abandon(handle_object *self, PyObject *args) {
    PyObject *exception;
    unsigned long long lease;
    char message[200];
    if (!PyArg_ParseTuple(args, "KO:_abandon", &lease, &exception) || !handle_enter(&self->handle, "SharedCache")) {
        return NULL;
    }
    st_status status = load_fails(exception, message, sizeof message);
    WITHOUT_GIL(st_cache_load_abandon(self->handle.pointer, lease, status, message, ST_NUL, NULL));
    load_failed();
    handle_leave(&self->handle);
    release_dropped();
    if (interrupted()) {
        return NULL;
    }
    return PyBool_FromLong(status != ST_ABANDONED && status != ST_NOT_FOUND && status != ST_ACCESS_DENIED);
}

static PyMethodDef methods[] = {
    {"_get", (PyCFunction)shared_cache_get, METH_O, NULL},
    {"_set", (PyCFunction)shared_cache_set, METH_VARARGS, NULL},
    {"_delete", (PyCFunction)shared_cache_delete, METH_O, NULL},
    {"_invalidate_prefix", (PyCFunction)shared_cache_invalidate_prefix, METH_O, NULL},
    {"_begin", (PyCFunction)shared_cache_begin, METH_VARARGS, NULL},
    {"_cancel", (PyCFunction)shared_cache_cancel, METH_VARARGS, NULL},
    {"_finish", (PyCFunction)shared_cache_finish, METH_VARARGS, NULL},
    {"_abandon", (PyCFunction)shared_cache_abandon, METH_VARARGS, NULL},
    {"close", handle_object_close, METH_NOARGS,
     "close($self)\n--\n\nFrees the cache of this process and ends its connection; further calls raise ValueError."},
    {"__reduce__", refuse_pickling, METH_NOARGS, NULL},
    {"__reduce_ex__", refuse_pickling, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Bytes that processes share."},
    {Py_tp_new, shared_cache_new},
    {Py_tp_dealloc, handle_object_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};
static PyType_Spec spec = {
    "st_secrets._native.SharedCache", sizeof(handle_object), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots,
};

int shared_cache_init(PyObject *module) {
    return add_type(module, &spec, &shared_cache_type);
}
