/* Providers written in Python. */
#include "native.h"

#include <string.h>

typedef struct {
    PyObject *get_secret;
    double timeout;
    const char *key;
    size_t key_len;
    st_reply *reply;
    st_status answer;
} question;

static st_status reply_failure(st_reply *reply, st_status status, const char *message) {
    st_reply_error(reply, status, message, ST_NUL);
    return status;
}

static st_status reply_value(st_reply *reply, PyObject *value) {
    const char *data;
    Py_ssize_t len;
    if (value == Py_None) {
        return ST_NOT_FOUND;
    }
    if (!bytes_of(value, "value", &data, &len)) {
        PyErr_Clear();
        return reply_failure(reply, ST_CALLBACK, "it returned neither text, bytes nor None");
    }
    return st_reply_bytes(reply, data, (size_t)len, ST_TTL_DEFAULT);
}

static void ask(void *context) {
    question *question = context;
    if (!signals_seen()) {
        question->answer = reply_failure(question->reply, ST_CALLBACK, "a signal interrupted it");
        return;
    }
    PyObject *key = PyUnicode_DecodeUTF8(question->key, (Py_ssize_t)question->key_len, NULL);
    PyObject *value = key == NULL ? NULL : PyObject_CallFunction(question->get_secret, "Od", key, question->timeout);
    if (value == NULL) {
        char message[200];
        st_status status = status_of_exception(message, sizeof message);
        question->answer = reply_failure(question->reply, status, message);
    } else {
        question->answer = reply_value(question->reply, value);
        Py_DECREF(value);
    }
    Py_XDECREF(key);
}

static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    question question = {((held *)context)->object, timeout, key, key_len, reply, ST_PANIC};
    return with_gil(ask, &question) ? question.answer : reply_failure(reply, ST_UNAVAILABLE, "Python has ended");
}

PyObject *secrets_add_provider(secrets_object *self, PyObject *args) {
    PyObject *name_object, *get_secret, *position_object;
    const char *name;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "OOO:_add_provider", &name_object, &get_secret, &position_object) ||
        !text_of(name_object, "name", &name, &len)) {
        return NULL;
    }
    size_t position = ST_LAST;
    if (position_object != Py_None && (position = PyLong_AsSize_t(position_object)) == (size_t)-1 && PyErr_Occurred()) {
        return NULL;
    }
    held *held = held_new(&self->providers, get_secret);
    if (held == NULL) {
        return NULL;
    }
    st_status status = ST_PANIC;
    ST_ERROR(error);
    if (!handle_enter(&self->handle, "SecretsManager")) {
        held_drop(held);
        release_dropped();
        return NULL;
    }
    WITHOUT_GIL(status = st_secrets_add_provider(self->handle.pointer, name, (size_t)len, position, load, held_drop,
                                                 held, &error));
    handle_leave(&self->handle);
    release_dropped();
    if (failed(status, &error)) {
        return NULL;
    }
    Py_RETURN_NONE;
}
