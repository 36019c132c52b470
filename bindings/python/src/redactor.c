/* Redactor and RedactStream: replace secret values in text. */
#include "native.h"

/* It is used with the GIL only, so by one thread at a time. */
typedef struct {
    PyObject_HEAD
    st_redact_stream *stream;
} stream_object;

static PyObject *redactor_type, *stream_type;

/* --- Redactor --- */

/* Redactor(json), or with json=None the defaults; Redactor(None, True) is a handle of the redactor of the process. */
static PyObject *redactor_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    (void)keywords;
    return handle_object_open(type, args, "|Op:Redactor", (handle_open)st_redactor_open,
                              (void (*)(void *))st_redactor_free);
}

#define REDACTOR_CALL(self, call) HANDLE_CALL(self, "Redactor", call)

static PyObject *redactor_add(handle_object *self, PyObject *args) {
    PyObject *value, *name;
    const char *data, *text;
    Py_ssize_t data_len, text_len;
    if (!PyArg_ParseTuple(args, "OO:_add", &value, &name) || !bytes_of(value, "value", &data, &data_len) ||
        !text_or_none(name, "name", &text, &text_len)) {
        return NULL;
    }
    bool added = false;
    st_status status;
    ST_ERROR(error);
    REDACTOR_CALL(self, status = st_redactor_add(self->handle.pointer, text, (size_t)text_len, data, (size_t)data_len,
                                                 &added, &error));
    return failed(status, &error) ? NULL : PyBool_FromLong(added);
}

static PyObject *redactor_redact(handle_object *self, PyObject *text) {
    const char *data;
    Py_ssize_t len;
    if (!bytes_of(text, "text", &data, &len)) {
        return NULL;
    }
    st_bytes redacted = {0};
    st_status status;
    ST_ERROR(error);
    REDACTOR_CALL(self, status = st_redact(self->handle.pointer, data, (size_t)len, &redacted, &error));
    return result_of(status, &error, &redacted, bytes_from);
}

static PyObject *redactor_stream(handle_object *self, PyObject *unused) {
    (void)unused;
    st_redact_stream *stream = NULL;
    st_status status;
    ST_ERROR(error);
    REDACTOR_CALL(self, status = st_redact_stream_open(self->handle.pointer, &stream, &error));
    if (failed(status, &error)) {
        return NULL;
    }
    stream_object *new = (stream_object *)PyType_GenericAlloc((PyTypeObject *)stream_type, 0);
    if (new == NULL) {
        st_redact_stream_free(stream);
        return NULL;
    }
    new->stream = stream;
    return (PyObject *)new;
}

static PyMethodDef redactor_methods[] = {
    {"_add", (PyCFunction)redactor_add, METH_VARARGS, NULL},
    {"_redact", (PyCFunction)redactor_redact, METH_O, NULL},
    {"_stream", (PyCFunction)redactor_stream, METH_NOARGS, NULL},
    {"close", handle_object_close, METH_NOARGS,
     "close($self)\n--\n\nFrees the redactor and wipes its values; further calls raise ValueError."},
    {"__reduce__", refuse_pickling, METH_NOARGS, NULL},
    {"__reduce_ex__", refuse_pickling, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot redactor_slots[] = {
    {Py_tp_doc, "Replaces secret values in text. The argument is its settings, as JSON."},
    {Py_tp_new, redactor_new},
    {Py_tp_dealloc, handle_object_dealloc},
    {Py_tp_methods, redactor_methods},
    {0, NULL},
};

static PyType_Spec redactor_spec = {"st_secrets._native.Redactor", sizeof(handle_object), 0,
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, redactor_slots};

PyObject *redactor_start(PyObject *module, PyObject *json) {
    (void)module;
    return with_config(json, st_redactor_start);
}

/* --- RedactStream --- */

static void stream_dealloc(stream_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    st_redact_stream_free(self->stream);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* Returns (redacted bytes, number of bytes that are held back). */
static PyObject *stream_write(stream_object *self, PyObject *text) {
    const char *data;
    Py_ssize_t len;
    if (!bytes_of(text, "text", &data, &len)) {
        return NULL;
    }
    st_bytes redacted = {0};
    size_t held = 0;
    ST_ERROR(error);
    st_status status = st_redact_stream_write(self->stream, data, (size_t)len, &redacted, &held, &error);
    PyObject *bytes = result_of(status, &error, &redacted, bytes_from);
    return bytes == NULL ? NULL : Py_BuildValue("(Nn)", bytes, (Py_ssize_t)held);
}

static PyObject *stream_flush(stream_object *self, PyObject *unused) {
    (void)unused;
    st_bytes redacted = {0};
    ST_ERROR(error);
    st_status status = st_redact_stream_flush(self->stream, &redacted, &error);
    return result_of(status, &error, &redacted, bytes_from);
}

static PyMethodDef stream_methods[] = {
    {"write", (PyCFunction)stream_write, METH_O, NULL},
    {"flush", (PyCFunction)stream_flush, METH_NOARGS, NULL},
    {"__reduce__", refuse_pickling, METH_NOARGS, NULL},
    {"__reduce_ex__", refuse_pickling, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot stream_slots[] = {
    {Py_tp_doc, "The redaction of one text that arrives in pieces."},
    {Py_tp_dealloc, stream_dealloc},
    {Py_tp_methods, stream_methods},
    {0, NULL},
};

static PyType_Spec stream_spec = {"st_secrets._native.RedactStream", sizeof(stream_object), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, stream_slots};

int redactor_init(PyObject *module) {
    return add_type(module, &redactor_spec, &redactor_type) != 0 ? -1 : add_type(module, &stream_spec, &stream_type);
}
