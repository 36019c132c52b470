/* Cipher: encryption of credentials. */
#include "native.h"

static PyObject *cipher_type;

/* Cipher(json), or with json=None the defaults; Cipher.default() is a handle of the cipher of the process. */
static PyObject *new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    (void)keywords;
    return handle_object_open(type, args, "|Op:Cipher", (handle_open)st_cipher_open, (void (*)(void *))st_cipher_free);
}

#define CIPHER_CALL(self, call) HANDLE_CALL(self, "Cipher", call)

static PyObject *token_from(st_bytes *bytes) {
    return str_from(bytes, "the token");
}

// Not `encrypt`, which unistd.h of musl declares.
static PyObject *encrypt_value(handle_object *self, PyObject *plaintext) {
    const char *data;
    Py_ssize_t len;
    if (!bytes_of(plaintext, "plaintext", &data, &len)) {
        return NULL;
    }
    st_bytes token = {0};
    st_status status;
    ST_ERROR(error);
    CIPHER_CALL(self, status = st_encrypt(self->handle.pointer, data, (size_t)len, &token, &error));
    return result_of(status, &error, &token, token_from);
}

static PyObject *decrypt_as(handle_object *self, PyObject *token, PyObject *(*convert)(st_bytes *)) {
    const char *data;
    Py_ssize_t len;
    if (!bytes_of(token, "token", &data, &len)) {
        return NULL;
    }
    st_bytes plaintext = {0};
    st_status status;
    ST_ERROR(error);
    CIPHER_CALL(self, status = st_decrypt(self->handle.pointer, data, (size_t)len, &plaintext, &error));
    return result_of(status, &error, &plaintext, convert);
}

static PyObject *decrypt(handle_object *self, PyObject *token) {
    return decrypt_as(self, token, bytes_from);
}

static PyObject *text_from(st_bytes *bytes) {
    return str_from(bytes, "the plain text");
}

static PyObject *decrypt_text(handle_object *self, PyObject *token) {
    return decrypt_as(self, token, text_from);
}

static PyObject *reencrypt(handle_object *self, PyObject *token) {
    const char *data;
    Py_ssize_t len;
    if (!bytes_of(token, "token", &data, &len)) {
        return NULL;
    }
    st_bytes newest = {0};
    bool changed = false;
    st_status status;
    ST_ERROR(error);
    CIPHER_CALL(self, status = st_reencrypt(self->handle.pointer, data, (size_t)len, &newest, &changed, &error));
    PyObject *text = result_of(status, &error, &newest, token_from);
    return text == NULL ? NULL : Py_BuildValue("(NN)", text, PyBool_FromLong(changed));
}

static PyObject *rotate_key(handle_object *self, PyObject *unused) {
    (void)unused;
    st_status status;
    ST_ERROR(error);
    CIPHER_CALL(self, status = st_rotate_key(self->handle.pointer, &error));
    if (failed(status, &error)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

bool cipher_of(PyObject *object, handle **out) {
    *out = NULL;
    if (object == Py_None) {
        return true;
    }
    if (!PyObject_TypeCheck(object, (PyTypeObject *)cipher_type)) {
        PyErr_SetString(PyExc_TypeError, "cipher must be a Cipher or None");
        return false;
    }
    *out = &((handle_object *)object)->handle;
    return true;
}

PyObject *cipher_reset(PyObject *module, PyObject *json) {
    (void)module;
    return with_config(json, st_cipher_reset);
}

static PyMethodDef methods[] = {
    {"encrypt", (PyCFunction)encrypt_value, METH_O,
     "encrypt($self, plaintext, /)\n--\n\nEncrypts text or bytes under the newest key. Returns the token, in SimpleTuner's format."},
    {"decrypt", (PyCFunction)decrypt, METH_O,
     "decrypt($self, token, /)\n--\n\nDecrypts a token made under any of the keys. Returns bytes."},
    {"decrypt_text", (PyCFunction)decrypt_text, METH_O, "decrypt_text($self, token, /)\n--\n\nAs decrypt(), as str."},
    {"reencrypt", (PyCFunction)reencrypt, METH_O,
     "reencrypt($self, token, /)\n--\n\nRe-encrypts a token under the newest key. Returns (token, whether it changed)."},
    {"rotate_key", (PyCFunction)rotate_key, METH_NOARGS,
     "rotate_key($self)\n--\n\nWrites a new key to the key file. Tokens of the old key can still be decrypted."},
    {"close", handle_object_close, METH_NOARGS,
     "close($self)\n--\n\nFrees the cipher and wipes its keys; further calls raise ValueError."},
    {"__reduce__", refuse_pickling, METH_NOARGS, NULL},
    {"__reduce_ex__", refuse_pickling, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Keys with which credentials are encrypted. The argument is its settings, as JSON."},
    {Py_tp_new, new},
    {Py_tp_dealloc, handle_object_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {"st_secrets._native.Cipher", sizeof(handle_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

int cipher_init(PyObject *module) {
    return add_type(module, &spec, &cipher_type);
}
