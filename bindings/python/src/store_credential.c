/* Store: credentials of users. None as a cipher or manager is that of the process. */
#include "native.h"

/* The user, provider and name that most calls take, and the handles they use. */
typedef struct {
    int64_t user_id;
    const char *provider, *name;
    Py_ssize_t provider_len, name_len;
    handle *cipher, *secrets;
} credential;

/* A `user_id` of None means no user. */
static bool lookup_of(PyObject *user_id, PyObject *provider, PyObject *name, credential *out) {
    return user_of(user_id, &out->user_id) && text_of(provider, "provider", &out->provider, &out->provider_len) &&
           text_of(name, "name", &out->name, &out->name_len);
}

static bool credential_of(PyObject *user_id, PyObject *provider, PyObject *name, credential *out) {
    if (user_id == Py_None) {
        PyErr_SetString(PyExc_TypeError, "user_id must be an int, not None");
        return false;
    }
    return lookup_of(user_id, provider, name, out);
}

static void *pointer_of(const handle *handle) {
    return handle == NULL ? NULL : handle->pointer;
}

static bool enter(store_object *self, handle *cipher, handle *secrets) {
    if (!handle_enter(&self->handle, "Store")) {
        return false;
    }
    if (cipher != NULL && !handle_enter(cipher, "Cipher")) {
        handle_leave(&self->handle);
        return false;
    }
    if (secrets != NULL && !handle_enter(secrets, "SecretsManager")) {
        if (cipher != NULL) {
            handle_leave(cipher);
        }
        handle_leave(&self->handle);
        return false;
    }
    return true;
}

static void leave(store_object *self, handle *cipher, handle *secrets) {
    if (secrets != NULL) {
        handle_leave(secrets);
    }
    if (cipher != NULL) {
        handle_leave(cipher);
    }
    handle_leave(&self->handle);
    release_dropped();
}

/* _credential_set(cipher, user_id, provider, name, value): returns the id of the row. */
PyObject *credential_set(store_object *self, PyObject *args) {
    PyObject *cipher, *user, *provider, *name, *value_object;
    credential it = {0};
    const char *value;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "OOOOO:_credential_set", &cipher, &user, &provider, &name, &value_object) ||
        !cipher_of(cipher, &it.cipher) || !credential_of(user, provider, name, &it) ||
        !bytes_of(value_object, "value", &value, &len) || !enter(self, it.cipher, NULL)) {
        return NULL;
    }
    int64_t id = 0;
    st_status status;
    ST_ERROR(error);
    WITHOUT_GIL(status = st_credential_set(self->handle.pointer, pointer_of(it.cipher), it.user_id, it.provider,
                                           (size_t)it.provider_len, it.name, (size_t)it.name_len, value, (size_t)len,
                                           &id, &error));
    leave(self, it.cipher, NULL);
    return failed(status, &error) ? NULL : PyLong_FromLongLong(id);
}

static PyObject *credential_from(st_bytes *bytes) {
    return str_from(bytes, "the credential");
}

/* _credential_get(cipher, user_id, provider, name) */
PyObject *credential_get(store_object *self, PyObject *args) {
    PyObject *cipher, *user, *provider, *name;
    credential it = {0};
    if (!PyArg_ParseTuple(args, "OOOO:_credential_get", &cipher, &user, &provider, &name) ||
        !cipher_of(cipher, &it.cipher) || !credential_of(user, provider, name, &it) || !enter(self, it.cipher, NULL)) {
        return NULL;
    }
    st_bytes value = {0};
    st_status status;
    ST_ERROR(error);
    WITHOUT_GIL(status = st_credential_get(self->handle.pointer, pointer_of(it.cipher), it.user_id, it.provider,
                                           (size_t)it.provider_len, it.name, (size_t)it.name_len, &value, &error));
    leave(self, it.cipher, NULL);
    return result_of(status, &error, &value, credential_from);
}

/* Methods that take (user_id, provider, name) and return whether there is such a credential. */
#define FINDS(method, function) \
    PyObject *method(store_object *self, PyObject *args) { \
        PyObject *user, *provider, *name; \
        credential it = {0}; \
        if (!PyArg_ParseTuple(args, "OOO:_" #method, &user, &provider, &name) || \
            !credential_of(user, provider, name, &it)) { \
            return NULL; \
        } \
        bool existed = false; \
        st_status status; \
        ST_ERROR(error); \
        STORE_CALL(self, status = function(self->handle.pointer, it.user_id, it.provider, (size_t)it.provider_len, \
                                           it.name, (size_t)it.name_len, &existed, &error)); \
        return failed(status, &error) ? NULL : PyBool_FromLong(existed); \
    }
FINDS(credential_delete, st_credential_delete)
FINDS(credential_deactivate, st_credential_deactivate)
FINDS(credential_mark_used, st_credential_mark_used)
FINDS(credential_exists, st_credential_exists)

/* _credential_list(user_id, provider) */
PyObject *credential_list(store_object *self, PyObject *args) {
    PyObject *user, *provider_object;
    int64_t user_id;
    const char *provider;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "OO:_credential_list", &user, &provider_object) || !user_of(user, &user_id) ||
        !text_or_none(provider_object, "provider", &provider, &len)) {
        return NULL;
    }
    st_bytes json = {0};
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_credential_list(self->handle.pointer, user_id, provider, (size_t)len, &json, &error));
    return result_of(status, &error, &json, json_text);
}

/* _credential_resolve(cipher, secrets, user_id, provider, name, global_key): returns (origin, value). The user and the
 * key may be None. */
PyObject *credential_resolve(store_object *self, PyObject *args) {
    PyObject *cipher, *secrets, *user, *provider, *name, *global_object;
    credential it = {0};
    const char *global;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "OOOOOO:_credential_resolve", &cipher, &secrets, &user, &provider, &name,
                          &global_object) ||
        !cipher_of(cipher, &it.cipher) || !secrets_of(secrets, &it.secrets) || !lookup_of(user, provider, name, &it) ||
        !text_or_none(global_object, "global_key", &global, &len) || !enter(self, it.cipher, it.secrets)) {
        return NULL;
    }
    st_bytes value = {0};
    int32_t source = 0;
    st_status status;
    ST_ERROR(error);
    WITHOUT_GIL(status = st_credential_resolve(self->handle.pointer, pointer_of(it.cipher), pointer_of(it.secrets),
                                               it.user_id, it.provider, (size_t)it.provider_len, it.name,
                                               (size_t)it.name_len, global, (size_t)len, &source, &value, &error));
    leave(self, it.cipher, it.secrets);
    PyObject *text = result_of(status, &error, &value, credential_from);
    return text == NULL ? NULL : Py_BuildValue("(iN)", (int)source, text);
}

/* _credential_source(secrets, user_id, provider, name, global_key): returns the origin. */
PyObject *credential_source(store_object *self, PyObject *args) {
    PyObject *secrets, *user, *provider, *name, *global_object;
    credential it = {0};
    const char *global;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "OOOOO:_credential_source", &secrets, &user, &provider, &name, &global_object) ||
        !secrets_of(secrets, &it.secrets) || !lookup_of(user, provider, name, &it) ||
        !text_or_none(global_object, "global_key", &global, &len) || !enter(self, NULL, it.secrets)) {
        return NULL;
    }
    int32_t source = 0;
    st_status status;
    ST_ERROR(error);
    WITHOUT_GIL(status = st_credential_source(self->handle.pointer, pointer_of(it.secrets), it.user_id, it.provider,
                                              (size_t)it.provider_len, it.name, (size_t)it.name_len, global,
                                              (size_t)len, &source, &error));
    leave(self, NULL, it.secrets);
    return failed(status, &error) ? NULL : PyLong_FromLong(source);
}

PyObject *credentials_rotate(store_object *self, PyObject *cipher_object) {
    handle *cipher;
    if (!cipher_of(cipher_object, &cipher) || !enter(self, cipher, NULL)) {
        return NULL;
    }
    st_status status;
    ST_ERROR(error);
    WITHOUT_GIL(status = st_credentials_rotate(self->handle.pointer, pointer_of(cipher), &error));
    leave(self, cipher, NULL);
    return failed(status, &error) ? NULL : Py_NewRef(Py_None);
}

typedef struct {
    PyObject *function;
    uint64_t done, total;
    bool proceed;
} progress;

static void report_progress(void *context) {
    progress *progress = context;
    PyObject *answer = PyObject_CallFunction(progress->function, "KK", (unsigned long long)progress->done,
                                             (unsigned long long)progress->total);
    if (answer == NULL) {
        keep_exception();
    }
    /* None continues. */
    progress->proceed = answer != NULL && answer != Py_False;
    Py_XDECREF(answer);
}

static bool on_progress(void *context, uint64_t done, uint64_t total) {
    progress progress = {context, done, total, false};
    return with_gil(report_progress, &progress) && progress.proceed;
}

/* _credentials_reencrypt(cipher, plain, progress): returns the report. */
PyObject *credentials_reencrypt(store_object *self, PyObject *args) {
    PyObject *cipher_object, *function;
    int plain;
    handle *cipher;
    if (!PyArg_ParseTuple(args, "OpO:_credentials_reencrypt", &cipher_object, &plain, &function) ||
        !cipher_of(cipher_object, &cipher) || !enter(self, cipher, NULL)) {
        return NULL;
    }
    st_bytes report = {0};
    st_status status;
    ST_ERROR(error);
    WITHOUT_GIL(status =
                    st_credentials_reencrypt(self->handle.pointer, pointer_of(cipher), plain ? ST_REENCRYPT_PLAIN : 0,
                                             function == Py_None ? NULL : on_progress, function, &report, &error));
    leave(self, cipher, NULL);
    return result_of(status, &error, &report, json_text);
}
