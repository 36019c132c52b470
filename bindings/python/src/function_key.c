/* The cache key of a function call, in the format of src/cache/function_key.rs. */
#include "native.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *text;
    size_t len, capacity;
    char start[256]; /* long enough for most keys */
} buffer;

static bool put(buffer *key, const char *text, size_t len) {
    if (key->len + len > key->capacity) {
        size_t capacity = (key->len + len) * 2;
        char *larger = key->text == key->start ? malloc(capacity) : realloc(key->text, capacity);
        if (larger == NULL) {
            PyErr_NoMemory();
            return false;
        }
        if (key->text == key->start) {
            memcpy(larger, key->start, key->len);
        }
        key->text = larger;
        key->capacity = capacity;
    }
    memcpy(key->text + key->len, text, len);
    key->len += len;
    return true;
}

static bool put_text(buffer *key, const char *text) {
    return put(key, text, strlen(text));
}

static bool is_word(const char *text, size_t len, const char *word) {
    return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

static bool needs_quotes(const char *text, size_t len) {
    if (len == 0 || strchr("0123456789+-.[{", text[0]) != NULL) {
        return true;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] == ':' || text[i] == '=' || text[i] == '\\' || text[i] == '"') {
            return true;
        }
    }
    return is_word(text, len, "true") || is_word(text, len, "false") || is_word(text, len, "null") ||
           is_word(text, len, "nan") || is_word(text, len, "inf");
}

static bool put_str(buffer *key, PyObject *object, bool within) {
    Py_ssize_t len;
    const char *text;
    if (!text_of(object, "an argument", &text, &len)) {
        return false;
    }
    if (!within && !needs_quotes(text, (size_t)len)) {
        return put(key, text, (size_t)len);
    }
    if (!put(key, "\"", 1)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < len; i++) {
        if (((text[i] == '\\' || text[i] == '"') && !put(key, "\\", 1)) || !put(key, &text[i], 1)) {
            return false;
        }
    }
    return put(key, "\"", 1);
}

static bool put_int(buffer *key, PyObject *object) {
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow == 0) {
        char text[24];
        snprintf(text, sizeof text, "%lld", value);
        return put_text(key, text);
    }
    PyObject *text = PyNumber_ToBase(object, 10);
    bool done = text != NULL && put_text(key, PyUnicode_AsUTF8AndSize(text, NULL));
    Py_XDECREF(text);
    return done;
}

/* Writes the shortest digits that read back as the same number, as `d.ddde±n`. */
static bool put_float(buffer *key, double value) {
    if (isnan(value) || isinf(value)) {
        return put_text(key, isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
    }
    char *text = PyOS_double_to_string(value, 'r', 0, 0, NULL);
    if (text == NULL) {
        return false;
    }
    char digits[32], out[48];
    int count = 0, point = -1, exponent = 0;
    const char *at = text + (text[0] == '-');
    for (; *at != 0 && *at != 'e'; at++) {
        if (*at == '.') {
            point = count;
        } else if (count < (int)sizeof digits) {
            digits[count++] = *at;
        }
    }
    exponent = (*at == 'e' ? atoi(at + 1) : 0) + (point < 0 ? count : point) - 1;
    int first = 0;
    while (first < count - 1 && digits[first] == '0') {
        first++;
        exponent--;
    }
    while (count > first + 1 && digits[count - 1] == '0') {
        count--;
    }
    if (digits[first] == '0') {
        exponent = 0;
    }
    snprintf(out, sizeof out, "%s%c%s%.*se%d", signbit(value) ? "-" : "", digits[first], count > first + 1 ? "." : "",
             count - first - 1, digits + first + 1, exponent);
    PyMem_Free(text);
    return put_text(key, out);
}

static bool put_bytes(buffer *key, PyObject *object) {
    static const char hexadecimal[] = "0123456789abcdef";
    const unsigned char *bytes = (const unsigned char *)PyBytes_AsString(object);
    Py_ssize_t len = PyBytes_Size(object);
    bool done = put(key, "x\"", 2);
    for (Py_ssize_t i = 0; done && i < len; i++) {
        char pair[2] = {hexadecimal[bytes[i] >> 4], hexadecimal[bytes[i] & 15]};
        done = put(key, pair, 2);
    }
    return done && put(key, "\"", 1);
}

static bool put_arg(buffer *key, PyObject *arg, bool within);

static bool put_sequence(buffer *key, PyObject *sequence) {
    Py_ssize_t count = PySequence_Size(sequence);
    bool done = count >= 0 && put(key, "[", 1);
    for (Py_ssize_t i = 0; done && i < count; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        done = item != NULL && (i == 0 || put(key, ",", 1)) && put_arg(key, item, true);
        Py_XDECREF(item);
    }
    return done && put(key, "]", 1);
}

/* Sorts names by their bytes, which is the order of Python's str. */
static PyObject *sorted_names(PyObject *map) {
    PyObject *names = PyDict_Keys(map);
    for (Py_ssize_t i = 0; names != NULL && i < PyList_Size(names); i++) {
        if (!PyUnicode_Check(PyList_GetItem(names, i))) {
            PyErr_SetString(PyExc_TypeError, "a dict in a cache key must have str as keys");
            Py_CLEAR(names);
        }
    }
    if (names != NULL && PyList_Sort(names) != 0) {
        Py_CLEAR(names);
    }
    return names;
}

static bool put_map(buffer *key, PyObject *map, bool named) {
    PyObject *names = sorted_names(map);
    bool done = names != NULL && (named || put(key, "{", 1));
    for (Py_ssize_t i = 0; done && i < PyList_Size(names); i++) {
        PyObject *name = PyList_GetItem(names, i);
        PyObject *value =
            Py_XNewRef(PyDict_GetItemWithError(map, name)); /* a subclass may change the dict concurrently */
        if (value == NULL && !PyErr_Occurred()) {
            PyErr_SetString(PyExc_RuntimeError, "a dict changed while its cache key was made");
        }
        done = value != NULL && (named ? put(key, ":", 1) : i == 0 || put(key, ",", 1)) && put_str(key, name, !named) &&
               put(key, "=", 1) && put_arg(key, value, !named);
        Py_XDECREF(value);
    }
    Py_XDECREF(names);
    return done && (named || put(key, "}", 1));
}

static bool put_arg(buffer *key, PyObject *arg, bool within) {
    if (arg == Py_None || PyBool_Check(arg)) {
        return put_text(key, arg == Py_None ? "null" : arg == Py_True ? "true" : "false");
    }
    if (PyUnicode_Check(arg)) {
        return put_str(key, arg, within);
    }
    if (PyLong_Check(arg)) {
        return put_int(key, arg);
    }
    if (PyFloat_Check(arg)) {
        return put_float(key, PyFloat_AsDouble(arg));
    }
    if (PyBytes_Check(arg)) {
        return put_bytes(key, arg);
    }
    bool done = false;
    if (PyList_Check(arg) || PyTuple_Check(arg) || PyDict_Check(arg)) {
        if (Py_EnterRecursiveCall(" in a cache key") == 0) {
            done = PyDict_Check(arg) ? put_map(key, arg, false) : put_sequence(key, arg);
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
    buffer key;
    key.text = key.start;
    key.len = 0;
    key.capacity = sizeof key.start;
    bool done = put(&key, head, (size_t)len);
    Py_ssize_t count = PyTuple_Size(args[1]);
    for (Py_ssize_t i = 0; done && i < count; i++) {
        done = put(&key, ":", 1) && put_arg(&key, PyTuple_GetItem(args[1], i), false);
    }
    if (done && PyDict_Size(args[2]) > 0) {
        done = put_map(&key, args[2], true);
    }
    PyObject *text = done ? PyUnicode_DecodeUTF8(key.text, (Py_ssize_t)key.len, NULL) : NULL;
    if (key.text != key.start) {
        free(key.text);
    }
    return text;
}
