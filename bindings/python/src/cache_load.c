/* Cache: loading missing values once. The library issues a lease for each key and calls `ended` when the load of
 * another caller ends. `loads` has the loads of this process by key, to detect a caller that waits for itself. */
#include "native.h"

#include <math.h>

/* The exception of the load that this thread is ending, for the callers of this process that wait for it. */
static _Thread_local PyObject *failure;

typedef struct {
    PyObject *wake;
    const st_bytes *bytes; /* NULL for a cache of objects, whose bytes are JSON of the library itself */
    void *object;
    const st_error *error;
} end;

static PyObject *value_of(const end *end) {
    PyObject *value = NULL;
    if (end->bytes != NULL) {
        value = PyBytes_FromStringAndSize((const char *)end->bytes->data, (Py_ssize_t)end->bytes->len);
        if (value == NULL) {
            keep_exception();
        }
    } else if (end->object != NULL) {
        value = Py_NewRef(((held *)end->object)->object);
    }
    return value == NULL ? Py_NewRef(missing) : value;
}

static PyObject *exception_of(const st_error *error) {
    PyObject *type, *value, *traceback;
    raise_error(error);
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

/* Calls wake(value, exception). If there is neither, the value is `missing`, and the caller looks it up again. */
static void wake_up(void *context) {
    end *end = context;
    PyObject *type, *pending, *traceback;
    PyErr_Fetch(&type, &pending, &traceback);
    PyObject *value = value_of(end);
    PyObject *error = Py_NewRef(value == missing && failure != NULL ? failure : Py_None);
    if (error == Py_None && end->error->status != ST_OK && end->error->status != ST_ABANDONED) {
        Py_DECREF(error);
        error = exception_of(end->error);
    }
    /* The handler of a signal may raise before the caller is woken. Waking it twice does no harm. */
    PyObject *done = NULL;
    for (int tries = 0; done == NULL && tries < 3; tries++) {
        done = PyObject_CallFunctionObjArgs(end->wake, value, error, NULL);
        if (done == NULL) {
            keep_exception();
        }
    }
    Py_XDECREF(done);
    Py_DECREF(value);
    Py_DECREF(error);
    Py_DECREF(end->wake);
    PyErr_Restore(type, pending, traceback);
}

static void ended(void *context, const st_bytes *value, void *object, const st_error *error) {
    (void)value;
    end end = {context, NULL, object, error};
    with_gil(wake_up, &end);
}

void load_of_bytes_ended(void *context, const st_bytes *value, void *object, const st_error *error) {
    (void)object;
    end end = {context, value, NULL, error};
    with_gil(wake_up, &end);
}

st_status load_fails(PyObject *exception, char *message, size_t size) {
    message[0] = 0;
    if (PyObject_IsInstance(exception, PyExc_Exception) != 1) {
        PyErr_Clear();
        return ST_ABANDONED;
    }
    failure = exception;
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    return status_of_exception(message, size);
}

void load_failed(void) {
    failure = NULL;
}

void cancel_wake(const st_cache *cache, uint64_t waiter, PyObject *wake) {
    bool cancelled = false;
    st_cache_load_notify_cancel(cache, waiter, &cancelled, NULL);
    if (cancelled) {
        Py_DECREF(wake);
    }
}

bool keep_number(PyObject *object, const char *name, uint64_t value) {
    PyObject *number = PyLong_FromUnsignedLongLong(value);
    bool kept = number != NULL && PyObject_SetAttrString(object, name, number) == 0;
    Py_XDECREF(number);
    return kept;
}

/* Keeps the lease in `load`, and registers it. Without both, nobody would end the load. */
static bool lead(cache_object *self, PyObject *key, PyObject *load, uint64_t lease) {
    if (keep_number(load, "lease", lease) && self->loads != NULL && PyDict_SetItem(self->loads, key, load) == 0) {
        return true;
    }
    st_cache_load_abandon(self->cache, lease, ST_ABANDONED, NULL, 0, NULL);
    if (!PyErr_Occurred()) {
        raise_status(ST_ABANDONED, "the cache is being freed");
    }
    return false;
}

/* Keeps the number of the registration in `wake`, and returns the load of another caller of this process, or None. */
static PyObject *follow(cache_object *self, PyObject *key, PyObject *wake, uint64_t waiter) {
    if (!keep_number(wake, "number", waiter)) {
        cancel_wake(self->cache, waiter, wake);
        return NULL;
    }
    PyObject *other = self->loads == NULL ? NULL : PyDict_GetItemWithError(self->loads, key);
    if (other == NULL) {
        PyErr_Clear();
        other = Py_None;
    }
    return Py_NewRef(other);
}

/* _begin(key, load, wake), with a key of `_key`. If the caller is to load the value, sets `load.lease`; if it is being
 * loaded, sets `wake.number`, and returns the load of another caller of this process, or None; if it exists, sets
 * neither. They are set here because a signal handler may raise before the caller can store a result. Never waits. */
PyObject *cache_begin(cache_object *self, PyObject *args) {
    PyObject *key_object, *load, *wake;
    cache_key key;
    if (!PyArg_ParseTuple(args, "OOO:_begin", &key_object, &load, &wake) || !cache_is_open(self) ||
        !key_of(self, key_object, true, &key)) {
        return NULL;
    }
    int32_t outcome = 0;
    uint64_t lease = 0, waiter = 0;
    st_bytes value = {0};
    ST_ERROR(error);
    Py_INCREF(wake);
    st_status status = st_cache_load_begin_notify(self->cache, key.text, (size_t)key.len, INFINITY, ended, wake,
                                                  &outcome, &value, &lease, &waiter, &error);
    Py_XDECREF(key.object);
    st_bytes_free(&value);
    release_dropped();
    if (outcome != ST_LOAD_BUSY) {
        Py_DECREF(wake);
    }
    if (status != ST_OK) {
        return raise_error(&error);
    }
    if (outcome == ST_LOAD_BUSY) {
        return follow(self, key_object, wake, waiter);
    }
    if (outcome == ST_LOAD_LEADER && !lead(self, key_object, load, lease)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* _cancel(waiter, wake): `wake` will not be called, if it was not. */
PyObject *cache_cancel(cache_object *self, PyObject *args) {
    PyObject *wake;
    unsigned long long waiter;
    if (!PyArg_ParseTuple(args, "KO:_cancel", &waiter, &wake)) {
        return NULL;
    }
    cancel_wake(self->cache, waiter, wake);
    Py_RETURN_NONE;
}

/* Removes a load that has ended, unless another one has replaced it. */
static bool leave(cache_object *self, PyObject *key, PyObject *load) {
    PyObject *present = self->loads == NULL ? NULL : PyDict_GetItemWithError(self->loads, key);
    return present == load ? PyDict_DelItem(self->loads, key) == 0 : !PyErr_Occurred();
}

/* _finish(key, load, lease, value, ttl). It is not an error if another caller took the load over, or a fork ended
 * it. */
PyObject *cache_finish(cache_object *self, PyObject *args) {
    PyObject *key, *load, *value, *ttl_object;
    unsigned long long lease;
    double ttl;
    if (!PyArg_ParseTuple(args, "OOKOO:_finish", &key, &load, &lease, &value, &ttl_object) ||
        !seconds_of(ttl_object, "ttl", ST_TTL_DEFAULT, &ttl)) {
        return NULL;
    }
    cache_key used;
    if (!key_of(self, key, true, &used)) {
        return NULL;
    }
    held *held = held_new(&self->objects, value);
    if (held == NULL) {
        Py_XDECREF(used.object);
        return NULL;
    }
    held->key = used.object;
    ST_ERROR(error);
    st_status status = st_cache_load_finish_object(self->cache, lease, held, held_drop, ttl, &error);
    bool left = status != ST_OK && status != ST_ABANDONED ? false : leave(self, key, load);
    release_dropped();
    if (interrupted()) {
        return NULL;
    }
    if (status != ST_OK && status != ST_ABANDONED) {
        return raise_error(&error);
    }
    return left ? Py_NewRef(Py_None) : NULL;
}

/* _abandon(key, load, lease, exception). The callers of this process that wait get the exception, and others its
 * status. If it is not an `Exception`, such as KeyboardInterrupt, one of them loads the value instead. */
PyObject *cache_abandon(cache_object *self, PyObject *args) {
    PyObject *key, *load, *exception;
    unsigned long long lease;
    char message[200];
    if (!PyArg_ParseTuple(args, "OOKO:_abandon", &key, &load, &lease, &exception)) {
        return NULL;
    }
    st_status status = load_fails(exception, message, sizeof message);
    st_cache_load_abandon(self->cache, lease, status, message, ST_NUL, NULL);
    load_failed();
    bool left = leave(self, key, load);
    release_dropped();
    return left && !interrupted() ? Py_NewRef(Py_None) : NULL;
}
