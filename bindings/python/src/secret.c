/* Secret: a value of the library, wiped when it is closed or freed, and never printed. */
#include "native.h"

#include <math.h>
#include <structmember.h>

typedef struct {
    PyObject_HEAD
    st_bytes bytes;
    st_secret_info info;
} secret_object;

static PyObject *secret_type;

PyObject *secret_new(st_bytes *bytes, const st_secret_info *info) {
    secret_object *self = (secret_object *)PyType_GenericAlloc((PyTypeObject *)secret_type, 0);
    if (self == NULL) {
        st_bytes_free(bytes);
        return NULL;
    }
    self->bytes = *bytes;
    *bytes = (st_bytes){0};
    self->info = *info;
    return (PyObject *)self;
}

static void dealloc(secret_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    st_bytes_free(&self->bytes);
    PyObject_Free(self);
    Py_DECREF(type);
}

static bool is_open(secret_object *self) {
    if (self->bytes.data == NULL) {
        PyErr_SetString(PyExc_ValueError, "this Secret is closed");
        return false;
    }
    return true;
}

static PyObject *reveal(secret_object *self, PyObject *unused) {
    (void)unused;
    st_bytes bytes = {0};
    ST_ERROR(error);
    if (!is_open(self)) {
        return NULL;
    }
    if (st_bytes_clone(&self->bytes, &bytes, &error) != ST_OK) {
        return raise_error(&error);
    }
    return str_from(&bytes, "the value");
}

static PyObject *reveal_bytes(secret_object *self, PyObject *unused) {
    (void)unused;
    return is_open(self) ? PyBytes_FromStringAndSize((const char *)self->bytes.data, (Py_ssize_t)self->bytes.len)
                         : NULL;
}

static PyObject *close_now(secret_object *self, PyObject *unused) {
    (void)unused;
    st_bytes_free(&self->bytes);
    Py_RETURN_NONE;
}

static PyObject *enter(PyObject *self, PyObject *unused) {
    (void)unused;
    return Py_NewRef(self);
}

static PyObject *leave(secret_object *self, PyObject *args) {
    (void)args;
    return close_now(self, NULL);
}

static PyObject *show(secret_object *self) {
    return PyUnicode_FromFormat("Secret(***, provider='%s')", self->info.provider);
}

/* Formats str(self), for f"{secret:>10}". */
static PyObject *format(PyObject *self, PyObject *spec) {
    PyObject *text = PyObject_Str(self);
    PyObject *formatted = text == NULL ? NULL : PyObject_Format(text, spec);
    Py_XDECREF(text);
    return formatted;
}

/* Compares in constant time for values of equal length. A closed secret only equals itself. */
static bool same_value(const secret_object *one, const secret_object *other) {
    if (one->bytes.data == NULL || other->bytes.data == NULL || one->bytes.len != other->bytes.len) {
        return one == other;
    }
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < one->bytes.len; i++) {
        difference |= one->bytes.data[i] ^ other->bytes.data[i];
    }
    return difference == 0;
}

static PyObject *compare(PyObject *self, PyObject *other, int operation) {
    if (!Py_IS_TYPE(other, (PyTypeObject *)secret_type) || (operation != Py_EQ && operation != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    return PyBool_FromLong(same_value((secret_object *)self, (secret_object *)other) == (operation == Py_EQ));
}

static PyObject *provider(secret_object *self, void *unused) {
    (void)unused;
    return PyUnicode_FromString(self->info.provider);
}

static PyObject *version(secret_object *self, void *unused) {
    (void)unused;
    return PyUnicode_FromString(self->info.version);
}

static PyObject *flag(secret_object *self, void *which) {
    return PyBool_FromLong((self->info.flags & (uint32_t)(uintptr_t)which) != 0);
}

static PyMethodDef methods[] = {
    {"reveal", (PyCFunction)reveal, METH_NOARGS, "reveal($self)\n--\n\nReturns a copy of the value as str."},
    {"reveal_bytes", (PyCFunction)reveal_bytes, METH_NOARGS,
     "reveal_bytes($self)\n--\n\nReturns a copy of the value as bytes."},
    {"close", (PyCFunction)close_now, METH_NOARGS,
     "close($self)\n--\n\nReleases the value, which is wiped with its last reference."},
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)leave, METH_VARARGS, NULL},
    {"__format__", format, METH_O, NULL},
    {"__reduce__", refuse_pickling, METH_NOARGS, NULL},
    {"__reduce_ex__", refuse_pickling, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"source", T_INT, offsetof(secret_object, info.source), READONLY, "The kind of the provider, one of SOURCE_…."},
    {"age", T_DOUBLE, offsetof(secret_object, info.age), READONLY, "Seconds since the value was fetched."},
    {"expires_in", T_DOUBLE, offsetof(secret_object, info.expires_in), READONLY, "Seconds until it is fetched again."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"provider", (getter)provider, NULL,
     "The provider's name: 'env', 'file', 'aws', 'vault', or that of a custom provider.", NULL},
    {"version", (getter)version, NULL, "The provider's identifier of this version; empty if it has none.", NULL},
    {"stale", (getter)flag, NULL, "The provider is failing; this is its last known value.",
     (void *)(uintptr_t)ST_SECRET_STALE},
    {"cached", (getter)flag, NULL, "The value comes from a cache.", (void *)(uintptr_t)ST_SECRET_CACHED},
    {"degraded", (getter)flag, NULL, "An earlier provider failed; it might have returned another value.",
     (void *)(uintptr_t)ST_SECRET_DEGRADED},
    {"shared", (getter)flag, NULL, "Another process of this host loaded the value; see the setting `share`.",
     (void *)(uintptr_t)ST_SECRET_SHARED},
    {"leased", (getter)flag, NULL, "The value has a lease, and is revoked at its end; see `expires_in`.",
     (void *)(uintptr_t)ST_SECRET_LEASED},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "A secret and its origin. It is wiped when closed, and never printed: read it with reveal().\n\n"
     "Secrets are equal if their values are, which are compared in constant time. A hash would reveal the value, so a\n"
     "Secret has none."},
    {Py_tp_dealloc, dealloc},
    {Py_tp_repr, show},
    {Py_tp_str, show},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {Py_tp_richcompare, compare},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {0, NULL},
};

static PyType_Spec spec = {"st_secrets._native.Secret", sizeof(secret_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE, slots};

int secret_init(PyObject *module) {
    return add_type(module, &spec, &secret_type);
}
