/* Forwards the library's log to a Python function. */
#include "native.h"

typedef struct {
    PyObject *log;
    int32_t level;
    const char *target, *message;
    size_t len;
} entry;

static void forward(void *context) {
    entry *entry = context;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    signals_seen();
    PyObject *result = PyObject_CallFunction(entry->log, "iss#", (int)entry->level, entry->target, entry->message,
                                             (Py_ssize_t)entry->len);
    if (result == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_WriteUnraisable(entry->log);
    } else if (result == NULL) {
        keep_exception();
    }
    Py_XDECREF(result);
    PyErr_Restore(type, value, traceback);
}

static void log_message(void *context, int32_t level, const char *target, const char *message, size_t len) {
    entry entry = {((held *)context)->object, level, target, message, len};
    with_gil(forward, &entry);
}

/* log_set(level, log): calls log(level, target, message) for each message of the library; None stops that. */
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
    WITHOUT_GIL(
        status = st_log_set(level, held == NULL ? NULL : log_message, held == NULL ? NULL : held_drop, held, &error));
    release_dropped();
    if (failed(status, &error)) {
        return NULL;
    }
    Py_RETURN_NONE;
}
