/* Forwards the library's log to a Python function. */
#include "native.h"

typedef struct {
    PyObject *log;
    int32_t level;
    const char *target, *message;
    size_t len;
    const st_log_field *fields;
    size_t count;
} entry;

/* The fields as a dict; NULL with an exception. */
static PyObject *dict_of(const st_log_field *fields, size_t count) {
    PyObject *dict = PyDict_New();
    for (size_t at = 0; dict != NULL && at < count; at++) {
        const st_log_field *field = &fields[at];
        PyObject *value = NULL;
        switch (field->kind) {
        case ST_FIELD_TEXT:
            value = PyUnicode_DecodeUTF8(field->text, (Py_ssize_t)field->len, "replace");
            break;
        case ST_FIELD_INTEGER:
            value = PyLong_FromLongLong(field->integer);
            break;
        case ST_FIELD_NUMBER:
            value = PyFloat_FromDouble(field->number);
            break;
        default:
            continue;
        }
        if (value == NULL || PyDict_SetItemString(dict, field->name, value) != 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(value);
    }
    return dict;
}

static void forward(void *context) {
    entry *entry = context;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    signals_seen();
    PyObject *fields = dict_of(entry->fields, entry->count);
    PyObject *result = fields == NULL ? NULL
                                      : PyObject_CallFunction(entry->log, "iss#O", (int)entry->level, entry->target,
                                                              entry->message, (Py_ssize_t)entry->len, fields);
    Py_XDECREF(fields);
    if (result == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_WriteUnraisable(entry->log);
    } else if (result == NULL) {
        keep_exception();
    }
    Py_XDECREF(result);
    PyErr_Restore(type, value, traceback);
}

static void log_message(void *context, int32_t level, const char *target, const char *message, size_t len,
                        const st_log_field *fields, size_t count) {
    entry entry = {((held *)context)->object, level, target, message, len, fields, count};
    with_gil(forward, &entry);
}

/* log_set(level, log): calls log(level, target, message, fields) for each message of the library; None stops that. */
PyObject *log_set(PyObject *module, PyObject *args) {
    static held *list;
    (void)module;
    int level;
    PyObject *log;
    if (!PyArg_ParseTuple(args, "iO:log_set", &level, &log)) {
        return NULL;
    }
    held *held = NULL;
    if (log != Py_None && (held = held_new(&list, log)) == NULL) {
        return NULL;
    }
    st_status status;
    ST_ERROR(error);
    WITHOUT_GIL(status = st_log_set_fields(level, held == NULL ? NULL : log_message, held == NULL ? NULL : held_drop,
                                           held, &error));
    release_dropped();
    if (failed(status, &error)) {
        return NULL;
    }
    Py_RETURN_NONE;
}
