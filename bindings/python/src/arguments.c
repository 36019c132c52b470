/* Conversion of arguments and results between Python and the library. */
#include "native.h"

#include <math.h>
#include <string.h>

static Py_ssize_t place_of(PyObject *keyword, const char *const *names) {
    for (Py_ssize_t i = 0; names[i] != NULL; i++) {
        if (PyUnicode_CompareWithASCIIString(keyword, names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

bool arguments(const char *function, const char *const *names, Py_ssize_t required, PyObject *const *args,
               Py_ssize_t given, PyObject *keywords, PyObject **out) {
    Py_ssize_t places = 0;
    for (; names[places] != NULL; places++) {
        out[places] = places < given ? args[places] : NULL;
    }
    if (given > places) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd arguments (%zd given)", function, places, given);
        return false;
    }
    Py_ssize_t named = keywords == NULL ? 0 : PyTuple_Size(keywords);
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *keyword = PyTuple_GetItem(keywords, i);
        Py_ssize_t place = place_of(keyword, names);
        if (place < 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function, keyword);
            return false;
        }
        if (out[place] != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'", function, names[place]);
            return false;
        }
        out[place] = args[given + i];
    }
    for (Py_ssize_t i = 0; i < required; i++) {
        if (out[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s'", function, names[i]);
            return false;
        }
    }
    return true;
}

static bool not_a(const char *what, const char *wanted, PyObject *object) {
    PyObject *name = PyObject_GetAttrString((PyObject *)Py_TYPE(object), "__name__");
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError, "%s must be %s, not %U", what, wanted, name);
        Py_DECREF(name);
    }
    return false;
}

bool text_of(PyObject *object, const char *what, const char **text, Py_ssize_t *len) {
    if (!PyUnicode_Check(object)) {
        return not_a(what, "a str", object);
    }
    *text = PyUnicode_AsUTF8AndSize(object, len);
    if (*text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        /* The exception itself would contain the text. */
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "%s is not valid text: it contains a lone surrogate", what);
    }
    return *text != NULL;
}

bool text_or_none(PyObject *object, const char *what, const char **text, Py_ssize_t *len) {
    *text = NULL;
    *len = 0;
    return object == NULL || object == Py_None || text_of(object, what, text, len);
}

bool bytes_of(PyObject *object, const char *what, const char **data, Py_ssize_t *len) {
    if (PyBytes_Check(object)) {
        *data = PyBytes_AsString(object);
        *len = PyBytes_Size(object);
        return true;
    }
    return PyUnicode_Check(object) ? text_of(object, what, data, len) : not_a(what, "a str or bytes", object);
}

/* The seconds of a timedelta, or of another object that has them. */
static double total_seconds(PyObject *object) {
    PyObject *total = PyObject_CallMethod(object, "total_seconds", NULL);
    double seconds = total == NULL ? -1.0 : PyFloat_AsDouble(total);
    Py_XDECREF(total);
    return seconds;
}

bool seconds_of(PyObject *object, const char *what, double fallback, double *seconds) {
    *seconds = fallback;
    if (object == NULL || object == Py_None) {
        return true;
    }
    *seconds = PyFloat_AsDouble(object);
    if (*seconds == -1.0 && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        *seconds = total_seconds(object);
    }
    if (*seconds == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return false;
        }
        PyErr_Clear();
        return not_a(what, "a number of seconds or a timedelta", object);
    }
    if (*seconds < 0 || isnan(*seconds)) {
        char message[100];
        snprintf(message, sizeof message, "%s must be a number of seconds or a timedelta, 0 or more", what);
        raise_status(ST_INVALID_ARGUMENT, message);
        return false;
    }
    return true;
}

st_config *config_of(PyObject *json) {
    const char *text;
    Py_ssize_t len;
    if (!text_or_none(json, "config", &text, &len)) {
        return NULL;
    }
    st_config *config = st_config_new();
    ST_ERROR(error);
    if (text != NULL && st_config_parse(config, text, (size_t)len, &error) != ST_OK) {
        st_config_free(config);
        raise_error(&error);
        return NULL;
    }
    return config;
}

PyObject *with_config(PyObject *json, st_status (*call)(const st_config *config, st_error *error)) {
    st_config *config = json == Py_None ? NULL : config_of(json);
    if (config == NULL && json != Py_None) {
        return NULL;
    }
    st_status status;
    ST_ERROR(error);
    WITHOUT_GIL(status = call(config, &error));
    st_config_free(config);
    release_dropped();
    return failed(status, &error) ? NULL : Py_NewRef(Py_None);
}

PyObject *str_from(st_bytes *bytes, const char *what) {
    PyObject *text = PyUnicode_DecodeUTF8((const char *)bytes->data, (Py_ssize_t)bytes->len, NULL);
    st_bytes_free(bytes);
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        /* The exception itself would contain the bytes. */
        PyErr_Clear();
        char message[100];
        snprintf(message, sizeof message, "%s is not UTF-8: ask for it as bytes", what);
        raise_status(ST_WRONG_TYPE, message);
    }
    return text;
}

PyObject *bytes_from(st_bytes *bytes) {
    PyObject *copy = PyBytes_FromStringAndSize((const char *)bytes->data, (Py_ssize_t)bytes->len);
    st_bytes_free(bytes);
    return copy;
}

PyObject *refuse_pickling(PyObject *self, PyObject *unused) {
    (void)unused;
    PyObject *name = PyObject_GetAttrString((PyObject *)Py_TYPE(self), "__name__");
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError, "cannot pickle a %U: create one in the other process", name);
        Py_DECREF(name);
    }
    return NULL;
}
