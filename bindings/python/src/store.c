/* Store: SimpleTuner's databases. This file has provider configuration and hardware prices; store_credential.c has
 * credentials, store_audit.c the audit trail. Documents are JSON texts. */
#include "native.h"

static PyObject *store_type;

/* Store(json, of_process): with `of_process` a handle of the store of the process. */
static PyObject *new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    (void)keywords;
    return handle_object_open(type, args, "|Op:Store", (handle_open)st_store_open, (void (*)(void *))st_store_free);
}

static PyObject *close_now(store_object *self, PyObject *unused) {
    (void)unused;
    /* The store of the process is shared and is not freed. */
    if (self->handle.pointer != NULL) {
        handle_close(&self->handle);
    }
    Py_RETURN_NONE;
}

/* _as_actor(user_id, username, ip) */
static PyObject *as_actor(store_object *self, PyObject *args) {
    PyObject *user_object, *username_object, *ip_object;
    const char *username, *ip;
    Py_ssize_t username_len, ip_len;
    int64_t user_id;
    if (!PyArg_ParseTuple(args, "OOO:_as_actor", &user_object, &username_object, &ip_object) ||
        !user_of(user_object, &user_id) || !text_or_none(username_object, "username", &username, &username_len) ||
        !text_or_none(ip_object, "ip", &ip, &ip_len)) {
        return NULL;
    }
    st_store *store = NULL;
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_store_as(self->handle.pointer, user_id, username, (size_t)username_len, ip,
                                          (size_t)ip_len, &store, &error));
    if (failed(status, &error)) {
        st_store_free(store);
        return NULL;
    }
    return handle_object_new(Py_TYPE(self), store, (void (*)(void *))st_store_free);
}

bool user_of(PyObject *object, int64_t *user_id) {
    *user_id = -1;
    if (object == Py_None) {
        return true;
    }
    *user_id = PyLong_AsLongLong(object);
    if (*user_id < 0 && !PyErr_Occurred()) {
        raise_status(ST_INVALID_ARGUMENT, "user_id must be 0 or more");
    }
    return *user_id >= 0;
}

PyObject *json_text(st_bytes *bytes) {
    return str_from(bytes, "the document");
}

/* Methods that return JSON for the name of a provider, and methods that take JSON for it. */
#define READS(name, function) \
    static PyObject *name(store_object *self, PyObject *provider_object) { \
        const char *provider; \
        Py_ssize_t len; \
        if (!text_of(provider_object, "provider", &provider, &len)) { \
            return NULL; \
        } \
        st_bytes json = {0}; \
        st_status status; \
        ST_ERROR(error); \
        STORE_CALL(self, status = function(self->handle.pointer, provider, (size_t)len, &json, &error)); \
        return result_of(status, &error, &json, json_text); \
    }
#define WRITES(name, function) \
    static PyObject *name(store_object *self, PyObject *args) { \
        PyObject *provider_object, *json_object; \
        const char *provider, *json; \
        Py_ssize_t len, json_len; \
        if (!PyArg_ParseTuple(args, "OO:" #name, &provider_object, &json_object) || \
            !text_of(provider_object, "provider", &provider, &len) || \
            !text_of(json_object, "config", &json, &json_len)) { \
            return NULL; \
        } \
        st_status status; \
        ST_ERROR(error); \
        STORE_CALL(self, \
                   status = function(self->handle.pointer, provider, (size_t)len, json, (size_t)json_len, &error)); \
        return failed(status, &error) ? NULL : Py_NewRef(Py_None); \
    }
READS(config_get, st_provider_config_get)
READS(webhook_get, st_provider_webhook_get)
READS(cost_limit_get, st_provider_cost_limit_get)
WRITES(config_save, st_provider_config_save)
WRITES(config_update, st_provider_config_update)

static PyObject *config_delete(store_object *self, PyObject *provider_object) {
    const char *provider;
    Py_ssize_t len;
    if (!text_of(provider_object, "provider", &provider, &len)) {
        return NULL;
    }
    bool existed = false;
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_provider_config_delete(self->handle.pointer, provider, (size_t)len, &existed, &error));
    return failed(status, &error) ? NULL : PyBool_FromLong(existed);
}

static PyObject *config_list(store_object *self, PyObject *unused) {
    (void)unused;
    st_bytes json = {0};
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_provider_config_list(self->handle.pointer, &json, &error));
    return result_of(status, &error, &json, json_text);
}

static PyObject *hardware_get(store_object *self, PyObject *unused) {
    (void)unused;
    st_bytes json = {0};
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_hardware_info_get(self->handle.pointer, &json, &error));
    return result_of(status, &error, &json, json_text);
}

static PyObject *hardware_set(store_object *self, PyObject *json_object) {
    const char *json;
    Py_ssize_t len;
    if (!text_of(json_object, "info", &json, &len)) {
        return NULL;
    }
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_hardware_info_set(self->handle.pointer, json, (size_t)len, &error));
    return failed(status, &error) ? NULL : Py_NewRef(Py_None);
}

static PyObject *hardware_clear(store_object *self, PyObject *unused) {
    (void)unused;
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_hardware_info_clear(self->handle.pointer, &error));
    return failed(status, &error) ? NULL : Py_NewRef(Py_None);
}

static PyObject *hardware_cost(store_object *self, PyObject *id_object) {
    const char *id;
    Py_ssize_t len;
    if (!text_of(id_object, "hardware_id", &id, &len)) {
        return NULL;
    }
    double cost = 0.0;
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_hardware_cost_per_hour(self->handle.pointer, id, (size_t)len, &cost, &error));
    return failed(status, &error) ? NULL : PyFloat_FromDouble(cost);
}

static PyObject *hardware_default_cost(store_object *self, PyObject *unused) {
    (void)unused;
    double cost = 0.0;
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_hardware_default_cost_per_hour(self->handle.pointer, &cost, &error));
    return failed(status, &error) ? NULL : PyFloat_FromDouble(cost);
}

PyObject *hardware_defaults(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    st_bytes json = {0};
    ST_ERROR(error);
    st_status status = st_hardware_info_defaults(&json, &error);
    return result_of(status, &error, &json, json_text);
}

static PyObject *describe(store_object *self, PyObject *unused) {
    (void)unused;
    st_bytes json = {0};
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_store_describe(self->handle.pointer, &json, &error));
    return result_of(status, &error, &json, json_text);
}

/* _backup(path, flags); the path as bytes. */
static PyObject *backup(store_object *self, PyObject *args) {
    PyObject *path_object;
    unsigned int flags;
    const char *path;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "OI:_backup", &path_object, &flags) || !bytes_of(path_object, "path", &path, &len)) {
        return NULL;
    }
    st_status status;
    ST_ERROR(error);
    STORE_CALL(self, status = st_store_backup(self->handle.pointer, path, (size_t)len, flags, &error));
    return failed(status, &error) ? NULL : Py_NewRef(Py_None);
}

PyObject *store_reset(PyObject *module, PyObject *json) {
    (void)module;
    return with_config(json, st_store_reset);
}

static PyMethodDef methods[] = {
    {"close", (PyCFunction)close_now, METH_NOARGS,
     "close($self)\n--\n\nFrees the handle; further calls raise ValueError. Has no effect on the store of the process."},
    {"_as_actor", (PyCFunction)as_actor, METH_VARARGS, NULL},
    {"_config_get", (PyCFunction)config_get, METH_O, NULL},
    {"_config_save", (PyCFunction)config_save, METH_VARARGS, NULL},
    {"_config_update", (PyCFunction)config_update, METH_VARARGS, NULL},
    {"_config_delete", (PyCFunction)config_delete, METH_O, NULL},
    {"_config_list", (PyCFunction)config_list, METH_NOARGS, NULL},
    {"_webhook_get", (PyCFunction)webhook_get, METH_O, NULL},
    {"_cost_limit_get", (PyCFunction)cost_limit_get, METH_O, NULL},
    {"_hardware_get", (PyCFunction)hardware_get, METH_NOARGS, NULL},
    {"_hardware_set", (PyCFunction)hardware_set, METH_O, NULL},
    {"_hardware_clear", (PyCFunction)hardware_clear, METH_NOARGS, NULL},
    {"_hardware_cost", (PyCFunction)hardware_cost, METH_O, NULL},
    {"_hardware_default_cost", (PyCFunction)hardware_default_cost, METH_NOARGS, NULL},
    {"_describe", (PyCFunction)describe, METH_NOARGS, NULL},
    {"_backup", (PyCFunction)backup, METH_VARARGS, NULL},
    {"_credential_set", (PyCFunction)credential_set, METH_VARARGS, NULL},
    {"_credential_get", (PyCFunction)credential_get, METH_VARARGS, NULL},
    {"_credential_delete", (PyCFunction)credential_delete, METH_VARARGS, NULL},
    {"_credential_deactivate", (PyCFunction)credential_deactivate, METH_VARARGS, NULL},
    {"_credential_mark_used", (PyCFunction)credential_mark_used, METH_VARARGS, NULL},
    {"_credential_exists", (PyCFunction)credential_exists, METH_VARARGS, NULL},
    {"_credential_list", (PyCFunction)credential_list, METH_VARARGS, NULL},
    {"_credential_source", (PyCFunction)credential_source, METH_VARARGS, NULL},
    {"_credential_resolve", (PyCFunction)credential_resolve, METH_VARARGS, NULL},
    {"_credentials_rotate", (PyCFunction)credentials_rotate, METH_O, NULL},
    {"_credentials_reencrypt", (PyCFunction)credentials_reencrypt, METH_VARARGS, NULL},
    {"_audit_log", (PyCFunction)audit_log, METH_VARARGS, NULL},
    {"_audit_query", (PyCFunction)audit_query, METH_O, NULL},
    {"_audit_verify", (PyCFunction)audit_verify, METH_VARARGS, NULL},
    {"_audit_stats", (PyCFunction)audit_stats, METH_NOARGS, NULL},
    {"_audit_export", (PyCFunction)audit_export, METH_VARARGS, NULL},
    {"_audit_send", (PyCFunction)audit_send, METH_VARARGS, NULL},
    {"_audit_retain", (PyCFunction)audit_retain, METH_O, NULL},
    {"__reduce__", refuse_pickling, METH_NOARGS, NULL},
    {"__reduce_ex__", refuse_pickling, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The databases of a state directory. The argument is its settings, as JSON."},
    {Py_tp_new, new},
    {Py_tp_dealloc, handle_object_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {"st_secrets._native.Store", sizeof(store_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

int store_init(PyObject *module) {
    return add_type(module, &spec, &store_type);
}
