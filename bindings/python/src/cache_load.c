/* Cache: the lease to load a missing value. The holder in this process is registered in `flights` under the key, so
 * that waiting callers get its result, which they need if the object is evicted before they look it up. */
#include "native.h"

#include <math.h>

static st_status begin(cache_object *self, const char *key, Py_ssize_t len, double timeout, int32_t *outcome,
                       uint64_t *lease, st_error *error) {
    st_bytes value = {0};
    st_status status =
        st_cache_load_begin(self->cache, key, (size_t)len, timeout, INFINITY, outcome, &value, lease, error);
    st_bytes_free(&value);
    return status;
}

/* _begin(key, flight): returns the number of the lease and registers `flight`; or the flight of the holder; or None
 * if the value exists; or False if a caller outside of Python holds the lease. Never waits, and keeps the GIL. */
PyObject *cache_begin(cache_object *self, PyObject *args) {
    PyObject *key_object, *flight;
    const char *key;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "OO:_begin", &key_object, &flight) || !text_of(key_object, "key", &key, &len)) {
        return NULL;
    }
    if (!cache_is_open(self)) {
        return NULL;
    }
    int32_t outcome = 0;
    uint64_t lease = 0;
    ST_ERROR(error);
    st_status status = begin(self, key, len, 0.0, &outcome, &lease, &error);
    release_dropped();
    if (status != ST_OK) {
        return raise_error(&error);
    }
    if (outcome == ST_LOAD_LEADER) {
        if (self->flights == NULL || PyDict_SetItem(self->flights, key_object, flight) != 0) {
            st_cache_load_abandon(self->cache, lease, ST_ABANDONED, NULL, 0, NULL);
            return PyErr_Occurred() ? NULL : raise_status(ST_ABANDONED, "the cache is being freed");
        }
        return PyLong_FromUnsignedLongLong(lease);
    }
    if (outcome == ST_LOAD_HIT) {
        Py_RETURN_NONE;
    }
    PyObject *other = self->flights == NULL ? NULL : PyDict_GetItemWithError(self->flights, key_object);
    if (other == NULL && PyErr_Occurred()) {
        return NULL;
    }
    return Py_NewRef(other == NULL ? Py_False : other);
}

/* _wait(key, seconds): waits for a load outside of Python. If this caller gets the lease, it is returned at once. */
PyObject *cache_wait(cache_object *self, PyObject *args) {
    PyObject *key_object;
    const char *key;
    Py_ssize_t len;
    double seconds;
    if (!PyArg_ParseTuple(args, "Od:_wait", &key_object, &seconds) || !text_of(key_object, "key", &key, &len)) {
        return NULL;
    }
    int32_t outcome = 0;
    uint64_t lease = 0;
    st_status status;
    ST_ERROR(error);
    WITHOUT_GIL(status = begin(self, key, len, seconds, &outcome, &lease, &error));
    if (status == ST_OK && outcome == ST_LOAD_LEADER) {
        st_cache_load_abandon(self->cache, lease, ST_ABANDONED, NULL, 0, NULL);
    }
    release_dropped();
    if (status != ST_OK && status != ST_TIMEOUT && status != ST_ABANDONED) {
        return raise_error(&error);
    }
    Py_RETURN_NONE;
}

/* Removes the flight of a lease that ends, unless another one has replaced it. */
static bool leave(cache_object *self, PyObject *key, PyObject *flight) {
    PyObject *present = self->flights == NULL ? NULL : PyDict_GetItemWithError(self->flights, key);
    return present == flight ? PyDict_DelItem(self->flights, key) == 0 : !PyErr_Occurred();
}

/* _finish(key, flight, lease, value, ttl). It is not an error if another caller took the load over, or a fork ended
 * it. */
PyObject *cache_finish(cache_object *self, PyObject *args) {
    PyObject *key, *flight, *value, *ttl_object;
    unsigned long long lease;
    double ttl;
    if (!PyArg_ParseTuple(args, "OOKOO:_finish", &key, &flight, &lease, &value, &ttl_object) ||
        !seconds_of(ttl_object, "ttl", ST_TTL_DEFAULT, &ttl)) {
        return NULL;
    }
    held *held = held_new(&self->objects, value);
    if (held == NULL) {
        return NULL;
    }
    ST_ERROR(error);
    st_status status = st_cache_load_finish_object(self->cache, lease, held, held_drop, ttl, &error);
    bool left = status != ST_OK && status != ST_ABANDONED ? false : leave(self, key, flight);
    release_dropped();
    if (status != ST_OK && status != ST_ABANDONED) {
        return raise_error(&error);
    }
    return left ? Py_NewRef(Py_None) : NULL;
}

/* _abandon(key, flight, lease) */
PyObject *cache_abandon(cache_object *self, PyObject *args) {
    PyObject *key, *flight;
    unsigned long long lease;
    if (!PyArg_ParseTuple(args, "OOK:_abandon", &key, &flight, &lease)) {
        return NULL;
    }
    st_cache_load_abandon(self->cache, lease, ST_ABANDONED, NULL, 0, NULL);
    bool left = leave(self, key, flight);
    release_dropped();
    return left ? Py_NewRef(Py_None) : NULL;
}
