/* Cache: keys that are not text. Such an object has the key of `_keys.Keys` while an entry or a caller uses it. */
#include "native.h"

static PyObject *module; /* st_secrets._keys */
static PyObject *key_type;

static bool import(void) {
    if (key_type == NULL) {
        module = PyImport_ImportModule("st_secrets._keys");
        key_type = module == NULL ? NULL : PyObject_GetAttrString(module, "Key");
    }
    return key_type != NULL;
}

/* A new reference: the key of an object; NULL without an exception if it has none and is not to get one. */
static PyObject *find(cache_object *self, PyObject *object, bool make) {
    if (!import()) {
        return NULL;
    }
    if ((PyObject *)Py_TYPE(object) == key_type) {
        return Py_NewRef(object);
    }
    if (self->keys == NULL) {
        PyObject *keys = PyObject_CallMethod(module, "Keys", NULL);
        if (keys == NULL) {
            return NULL;
        }
        /* Another thread may have been here meanwhile. */
        if (self->keys == NULL) {
            self->keys = keys;
        } else {
            Py_DECREF(keys);
        }
    }
    PyObject *key = PyObject_CallMethod(self->keys, make ? "make" : "find", "(O)", object);
    if (key == Py_None) {
        Py_DECREF(key);
        return NULL;
    }
    return key;
}

bool other_key(cache_object *self, PyObject *object, bool make, cache_key *out) {
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            return false;
        }
        PyErr_Clear(); /* a str with a lone surrogate, which is not text */
    }
    /* An object without a key has no entry, and nothing has this one. */
    *out = (cache_key){find(self, object, make), "\xff", 1};
    if (out->object == NULL) {
        return !PyErr_Occurred();
    }
    PyObject *data = PyObject_GetAttrString(out->object, "data"); /* which the key keeps */
    if (data == NULL) {
        Py_CLEAR(out->object);
        return false;
    }
    out->text = PyBytes_AsString(data);
    out->len = PyBytes_Size(data);
    Py_DECREF(data);
    return true;
}

/* _key(object): the key to pass to `_begin`, `_finish` and `_abandon`. The reference keeps that of an object alive. */
PyObject *cache_key_of(cache_object *self, PyObject *object) {
    cache_key key;
    if (!key_of(self, object, true, &key)) {
        return NULL;
    }
    return key.object == NULL ? Py_NewRef(object) : key.object;
}
