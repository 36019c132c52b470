/* Raises errors of the library as exceptions. */
#include "native.h"

#include <string.h>

static PyObject *make;  /* st_secrets.errors.make */
static PyObject *error; /* st_secrets.errors.Error */
/* The exception that interrupted a callback on this thread. */
static __thread PyObject *interrupt;

int errors_init(void) {
    PyObject *module = PyImport_ImportModule("st_secrets.errors");
    if (module == NULL) {
        return -1;
    }
    make = PyObject_GetAttrString(module, "make");
    error = PyObject_GetAttrString(module, "Error");
    Py_DECREF(module);
    return make != NULL && error != NULL ? 0 : -1;
}

static PyObject *raise_with(st_status status, int32_t source, int32_t detail, uint32_t flags, const char *message) {
    if (status == ST_NO_MEMORY) {
        return PyErr_NoMemory();
    }
    PyObject *text = PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "replace");
    PyObject *exception =
        text == NULL ? NULL : PyObject_CallFunction(make, "iiiIO", (int)status, (int)source, (int)detail, flags, text);
    if (exception != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    }
    Py_XDECREF(exception);
    Py_XDECREF(text);
    return NULL;
}

PyObject *raise_error(const st_error *error) {
    return raise_with(error->status, error->source, error->detail, error->flags, error->message);
}

PyObject *raise_status(st_status status, const char *message) {
    return raise_with(status, ST_SOURCE_NONE, 0, 0, message);
}

bool interrupted(void) {
    if (interrupt == NULL) {
        return false;
    }
    PyErr_SetObject((PyObject *)Py_TYPE(interrupt), interrupt);
    Py_CLEAR(interrupt);
    return true;
}

bool failed(st_status status, const st_error *error) {
    if (interrupted()) {
        return true;
    }
    if (status != ST_OK) {
        raise_error(error);
    }
    return status != ST_OK;
}

PyObject *result_of(st_status status, const st_error *error, st_bytes *bytes, PyObject *(*convert)(st_bytes *)) {
    if (failed(status, error)) {
        st_bytes_free(bytes);
        return NULL;
    }
    return convert(bytes);
}

PyObject *log_skipped(PyObject *fallback) {
    if (!PyErr_ExceptionMatches(error)) {
        return NULL;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *module = PyImport_ImportModule("st_secrets._log");
    PyObject *logged = module == NULL ? NULL : PyObject_CallMethod(module, "log_skipped", "O", value);
    Py_XDECREF(module);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    if (logged == NULL) {
        return NULL;
    }
    Py_DECREF(logged);
    return Py_NewRef(fallback == NULL ? Py_None : fallback);
}

void keep_exception(void) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(interrupt);
    interrupt = value;
    Py_XDECREF(type);
    Py_XDECREF(traceback);
}

bool signals_seen(void) {
    if (PyErr_CheckSignals() == 0) {
        return true;
    }
    keep_exception();
    return false;
}

/* Copies the name of the exception's type, not its message, which may contain a secret. */
static void name_of(PyObject *type, char *message, size_t size) {
    PyObject *name = PyObject_GetAttrString(type, "__name__");
    const char *text = name == NULL ? NULL : PyUnicode_AsUTF8AndSize(name, NULL);
    snprintf(message, size, "it raised %s", text == NULL ? "an exception" : text);
    Py_XDECREF(name);
    PyErr_Clear();
}

st_status status_of_exception(char *message, size_t size) {
    static const struct {
        PyObject **type;
        st_status status;
    } table[] = {
        {&PyExc_TimeoutError, ST_TIMEOUT},
        {&PyExc_PermissionError, ST_ACCESS_DENIED},
        {&PyExc_OSError, ST_UNAVAILABLE},
    };
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    st_status status = ST_CALLBACK;
    if (PyErr_GivenExceptionMatches(type, error)) {
        PyObject *number = PyObject_GetAttrString(value, "status");
        long given = number == NULL ? 0 : PyLong_AsLong(number);
        status = given < 0 && given > INT32_MIN ? (st_status)given : ST_CALLBACK;
        Py_XDECREF(number);
        PyErr_Clear();
    } else if (!PyErr_GivenExceptionMatches(type, PyExc_Exception)) {
        Py_XDECREF(interrupt);
        interrupt = Py_NewRef(value);
    } else {
        for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
            if (PyErr_GivenExceptionMatches(type, *table[i].type)) {
                status = table[i].status;
                break;
            }
        }
    }
    name_of(type, message, size);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return status;
}
