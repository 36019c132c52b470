/* The module: its functions, types and initialization. */
#include "native.h"

PyObject *missing;

static PyObject *version(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return Py_BuildValue("(sII)", st_version(), st_version_number(), st_abi_version());
}

static PyObject *status_name(PyObject *module, PyObject *number) {
    (void)module;
    long status = PyLong_AsLong(number);
    if (status == -1 && PyErr_Occurred()) {
        return NULL;
    }
    return PyUnicode_FromString(st_status_name((st_status)status));
}

/* An empty call, for measurements. */
static PyObject *nothing(PyObject *module, PyObject *const *args, Py_ssize_t given) {
    (void)module;
    (void)args;
    (void)given;
    Py_RETURN_NONE;
}

static PyObject *invalidate_provider(PyObject *module, PyObject *provider) {
    (void)module;
    const char *name;
    Py_ssize_t len;
    if (!text_of(provider, "provider", &name, &len)) {
        return NULL;
    }
    size_t count = 0;
    ST_ERROR(error);
    st_status status = st_cache_invalidate_provider(name, (size_t)len, &count, &error);
    release_dropped();
    return failed(status, &error) ? NULL : PyLong_FromSize_t(count);
}

static PyObject *invalidate_user(PyObject *module, PyObject *user_id) {
    (void)module;
    long long user = PyLong_AsLongLong(user_id);
    if (user == -1 && PyErr_Occurred()) {
        return NULL;
    }
    size_t count = 0;
    ST_ERROR(error);
    st_status status = st_cache_invalidate_user(user, &count, &error);
    release_dropped();
    return failed(status, &error) ? NULL : PyLong_FromSize_t(count);
}

static PyMethodDef functions[] = {
    {"version", version, METH_NOARGS, "(text, number, binary interface) of the library."},
    {"status_name", status_name, METH_O, "The name of a status."},
    {"nothing", (PyCFunction)(void (*)(void))nothing, METH_FASTCALL, NULL},
    {"function_key", (PyCFunction)(void (*)(void))function_key, METH_FASTCALL, "The cache key of a call."},
    {"log_set", log_set, METH_VARARGS, "Has a function called with what the library logs."},
    {"cipher_reset", cipher_reset, METH_O, "Replaces the cipher of the process."},
    {"hardware_defaults", hardware_defaults, METH_NOARGS, "The built-in prices, as JSON."},
    {"audit_event_types", audit_event_types, METH_NOARGS, "The event types of the audit trail, as JSON."},
    {"redactor_start", redactor_start, METH_O, "Opens the redactor of the process."},
    {"store_reset", store_reset, METH_O, "Replaces the store of the process."},
    {"invalidate_provider", invalidate_provider, METH_O, "Forgets what the built-in cache holds about a provider."},
    {"invalidate_user", invalidate_user, METH_O, "Forgets what the built-in cache holds about a user."},
    {NULL, NULL, 0, NULL},
};

int add_type(PyObject *module, PyType_Spec *spec, PyObject **type) {
    *type = PyType_FromModuleAndSpec(module, spec, NULL);
    return *type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)*type);
}

/* The only module object of this process; importing it again returns the same one. */
static PyObject *only;

static PyObject *create(PyObject *spec, PyModuleDef *definition) {
    (void)definition;
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
        PyErr_SetString(PyExc_ImportError, "st_secrets works in the main interpreter only, not in subinterpreters");
        return NULL;
    }
    if (only == NULL) {
        PyObject *name = PyObject_GetAttrString(spec, "name");
        only = name == NULL ? NULL : PyModule_NewObject(name);
        Py_XDECREF(name);
    }
    return Py_XNewRef(only);
}

static int execute(PyObject *module) {
    static bool done;
    if (done) {
        return errors_init();
    }
    missing = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
    if (missing == NULL || PyModule_AddObjectRef(module, "MISSING", missing) != 0) {
        return -1;
    }
    if (gil_init() != 0 || errors_init() != 0 || secret_init(module) != 0 || secrets_init(module) != 0 ||
        cache_init(module) != 0 || cipher_init(module) != 0 || store_init(module) != 0 || redactor_init(module) != 0 ||
        shared_cache_init(module) != 0) {
        return -1;
    }
    done = true;
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_create, create}, {Py_mod_exec, execute}, {0, NULL}};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "The functions of st_secrets.h.", 0, functions, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void) {
    return PyModuleDef_Init(&definition);
}
