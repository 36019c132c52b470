/* The cache key of a function call: its arguments are packed for st_function_key. */
#include "native.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    char *text;
    size_t len, capacity;
    char start[256]; /* long enough for most calls */
} buffer;

static bool put(buffer *args, const char *text, size_t len) {
    if (args->len + len > args->capacity) {
        size_t capacity = (args->len + len) * 2;
        char *larger = args->text == args->start ? malloc(capacity) : realloc(args->text, capacity);
        if (larger == NULL) {
            PyErr_NoMemory();
            return false;
        }
        if (args->text == args->start) {
            memcpy(larger, args->start, args->len);
        }
        args->text = larger;
        args->capacity = capacity;
    }
    memcpy(args->text + args->len, text, len);
    args->len += len;
    return true;
}

/* Text or a name: its length, and its bytes. */
static bool put_str(buffer *args, char kind, PyObject *object) {
    Py_ssize_t len;
    const char *text;
    char head[32];
    return text_of(object, "an argument", &text, &len) &&
           put(args, head, (size_t)snprintf(head, sizeof head, "%c%zd:", kind, len)) && put(args, text, (size_t)len);
}

/* Takes ownership of the digits. */
static bool put_digits(buffer *args, char kind, PyObject *digits) {
    Py_ssize_t len = 0;
    const char *text = digits == NULL ? NULL : PyUnicode_AsUTF8AndSize(digits, &len);
    bool done = text != NULL && put(args, &kind, 1) && put(args, text, (size_t)len) && put(args, ";", 1);
    Py_XDECREF(digits);
    return done;
}

static bool put_int(buffer *args, PyObject *object) {
    int overflow;
    char text[32];
    long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow != 0) {
        return put_digits(args, 'i', PyNumber_ToBase(object, 10));
    }
    return put(args, text, (size_t)snprintf(text, sizeof text, "i%lld;", value));
}

static bool put_float(buffer *args, double value) {
    char *digits = PyOS_double_to_string(value, 'r', 0, 0, NULL);
    bool done = digits != NULL && put(args, "d", 1) && put(args, digits, strlen(digits)) && put(args, ";", 1);
    PyMem_Free(digits);
    return done;
}

static bool put_arg(buffer *args, PyObject *arg);

static bool put_sequence(buffer *args, PyObject *sequence) {
    Py_ssize_t count = PySequence_Size(sequence);
    bool done = count >= 0 && put(args, "[", 1);
    for (Py_ssize_t i = 0; done && i < count; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        done = item != NULL && put_arg(args, item);
        Py_XDECREF(item);
    }
    return done && put(args, "]", 1);
}

static bool put_named(buffer *args, PyObject *map) {
    PyObject *name, *value;
    Py_ssize_t at = 0, count = PyDict_Size(map);
    bool done = true;
    while (done && PyDict_Next(map, &at, &name, &value)) {
        Py_INCREF(name);
        Py_INCREF(value);
        done = PyUnicode_Check(name);
        if (!done) {
            PyErr_SetString(PyExc_TypeError, "a dict in a cache key must have str as keys");
        }
        done = done && put_str(args, '=', name) && put_arg(args, value);
        Py_DECREF(name);
        Py_DECREF(value);
        /* A subclass may change it. */
        if (done && PyDict_Size(map) != count) {
            PyErr_SetString(PyExc_RuntimeError, "a dict changed while its cache key was made");
            done = false;
        }
    }
    return done;
}

static bool put_arg(buffer *args, PyObject *arg) {
    if (arg == Py_None || PyBool_Check(arg)) {
        return put(args, arg == Py_None ? "n" : arg == Py_True ? "t" : "f", 1);
    }
    if (PyUnicode_Check(arg)) {
        return put_str(args, 's', arg);
    }
    if (PyLong_Check(arg)) {
        return put_int(args, arg);
    }
    if (PyFloat_Check(arg)) {
        return put_float(args, PyFloat_AsDouble(arg));
    }
    if (PyBytes_Check(arg)) {
        return put_digits(args, 'x', PyObject_CallMethod(arg, "hex", NULL));
    }
    bool done = false;
    if (PyList_Check(arg) || PyTuple_Check(arg) || PyDict_Check(arg)) {
        if (Py_EnterRecursiveCall(" in a cache key") == 0) {
            done = !PyDict_Check(arg) ? put_sequence(args, arg)
                                      : put(args, "{", 1) && put_named(args, arg) && put(args, "}", 1);
            Py_LeaveRecursiveCall();
        }
        return done;
    }
    PyObject *name = PyObject_GetAttrString((PyObject *)Py_TYPE(arg), "__name__");
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError, "an argument of type %U has no cache key: pass @cached a function as `key`",
                     name);
        Py_DECREF(name);
    }
    return false;
}

static PyObject *key_of(const char *head, Py_ssize_t head_len, const buffer *args) {
    char short_key[256];
    size_t len = 0;
    ST_ERROR(error);
    st_status status = st_function_key("", 0, head, (size_t)head_len, args->text, args->len, short_key,
                                       sizeof short_key, &len, &error);
    if (status == ST_OK) {
        return PyUnicode_DecodeUTF8(short_key, (Py_ssize_t)len, NULL);
    }
    char *key = status == ST_BUFFER_TOO_SMALL ? malloc(len) : NULL;
    if (key == NULL) {
        return status == ST_BUFFER_TOO_SMALL ? PyErr_NoMemory() : raise_error(&error);
    }
    st_function_key("", 0, head, (size_t)head_len, args->text, args->len, key, len, &len, &error);
    PyObject *text = PyUnicode_DecodeUTF8(key, (Py_ssize_t)len, NULL);
    free(key);
    return text;
}

/* function_key(head, args, kwargs): `head` is the prefix and the name of the function. */
PyObject *function_key(PyObject *module, PyObject *const *args, Py_ssize_t given) {
    (void)module;
    const char *head;
    Py_ssize_t len;
    if (given != 3 || !PyTuple_Check(args[1]) || !PyDict_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "function_key() takes a str, a tuple and a dict");
        return NULL;
    }
    if (!text_of(args[0], "head", &head, &len)) {
        return NULL;
    }
    buffer packed;
    packed.text = packed.start;
    packed.len = 0;
    packed.capacity = sizeof packed.start;
    bool done = true;
    Py_ssize_t count = PyTuple_Size(args[1]);
    for (Py_ssize_t i = 0; done && i < count; i++) {
        done = put_arg(&packed, PyTuple_GetItem(args[1], i));
    }
    PyObject *key = done && put_named(&packed, args[2]) ? key_of(head, len, &packed) : NULL;
    if (packed.text != packed.start) {
        free(packed.text);
    }
    return key;
}
