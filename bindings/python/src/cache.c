/* Cache: Python objects stored by reference. cache_load.c loads missing values. */
#include "native.h"

#include <math.h>
#include <structmember.h>

static PyObject *cache_type;
static PyObject *json_loads;

static cache_object *allocate(PyTypeObject *type, const st_cache *cache, bool built_in) {
    cache_object *self = (cache_object *)PyType_GenericAlloc(type, 0);
    if (self == NULL) {
        if (!built_in) {
            st_cache_free((st_cache *)cache);
        }
        return NULL;
    }
    self->cache = cache;
    self->built_in = self->initialised = built_in;
    self->loads = PyDict_New();
    if (self->loads == NULL) {
        Py_CLEAR(self);
    }
    return self;
}

static const st_cache *made(double default_ttl, size_t max_size, double cleanup_interval) {
    st_cache *cache = NULL;
    ST_ERROR(error);
    if (st_cache_new(default_ttl, max_size, cleanup_interval, &cache, &error) != ST_OK) {
        raise_error(&error);
    }
    return cache;
}

static bool set_number(st_config *config, const char *name, double value, st_error *error) {
    char *text = PyOS_double_to_string(value, 'r', 0, 0, NULL);
    bool done = text != NULL && st_config_set(config, name, ST_NUL, text, ST_NUL, error) == ST_OK;
    PyMem_Free(text);
    if (!done && !PyErr_Occurred()) {
        raise_error(error);
    }
    return done;
}

/* Opens a cache with these settings: names, and as many values. */
static const st_cache *opened(const char *const *names, const double *values) {
    st_cache *cache = NULL;
    st_config *config = st_config_new();
    bool done = true;
    ST_ERROR(error);
    for (size_t i = 0; done && names[i] != NULL; i++) {
        done = set_number(config, names[i], values[i], &error);
    }
    if (done && st_cache_open(config, &cache, &error) != ST_OK) {
        raise_error(&error);
    }
    st_config_free(config);
    return cache;
}

/* A subclass may take its own arguments and pass ours to `__init__`. Until then the cache has the defaults. */
static PyObject *new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    (void)args;
    (void)keywords;
    const st_cache *cache = made(300.0, 1000, 60.0);
    return cache == NULL ? NULL : (PyObject *)allocate(type, cache, false);
}

static int init(cache_object *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"default_ttl", "max_size", "cleanup_interval", "soft_ttl", "ttl_jitter",
                            "absent_ttl",  NULL};
    double default_ttl = 300.0, cleanup_interval = 60.0, soft_ttl, jitter = 0.0, absent_ttl = 0.0;
    Py_ssize_t max_size = 1000;
    PyObject *soft_object = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|dnd$Odd:TTLCache", names, &default_ttl, &max_size,
                                     &cleanup_interval, &soft_object, &jitter, &absent_ttl) ||
        !seconds_of(soft_object, "soft_ttl", INFINITY, &soft_ttl)) {
        return -1;
    }
    if (max_size < 0) {
        raise_status(ST_INVALID_ARGUMENT, "max_size must be 0 or more");
        return -1;
    }
    if (self->initialised) {
        PyErr_SetString(PyExc_RuntimeError, "the settings of a cache cannot be changed: create another one");
        return -1;
    }
    self->refreshes = !isinf(soft_ttl) || absent_ttl != 0.0;
    const double values[] = {default_ttl, (double)max_size, cleanup_interval, soft_ttl, jitter, absent_ttl};
    const st_cache *cache = self->refreshes || jitter != 0.0 ? opened((const char *const *)names, values)
                                                             : made(default_ttl, (size_t)max_size, cleanup_interval);
    if (cache == NULL) {
        return -1;
    }
    self->initialised = true;
    const st_cache *before = self->cache;
    self->cache = cache;
    st_cache_free((st_cache *)before);
    release_dropped();
    return 0;
}

/* _built_in(user: bool): one of the built-in caches of the process, which are never freed. */
static PyObject *built_in(PyObject *type, PyObject *user) {
    const st_cache *cache = PyObject_IsTrue(user) ? st_cache_user_permission() : st_cache_provider_config();
    return (PyObject *)allocate((PyTypeObject *)type, cache, true);
}

static int traverse(cache_object *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->loads);
    Py_VISIT(self->keys);
    return held_visit(self->objects, visit, arg);
}

static int clear_references(cache_object *self) {
    if (!self->built_in) {
        st_cache_clear(self->cache, NULL, NULL);
        release_dropped();
    }
    Py_CLEAR(self->loads);
    Py_CLEAR(self->keys);
    return 0;
}

static void dealloc(cache_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (!self->built_in) {
        st_cache_free((st_cache *)self->cache);
        release_dropped();
    }
    held_leave(&self->objects);
    Py_CLEAR(self->loads);
    Py_CLEAR(self->keys);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

bool cache_is_open(const cache_object *self) {
    if (self->closed) {
        PyErr_SetString(PyExc_ValueError, "this TTLCache is closed");
    }
    return !self->closed;
}

/* Parses JSON that the library itself stored in a built-in cache. */
static PyObject *parsed(cache_object *self, const char *key, Py_ssize_t len) {
    st_bytes bytes = {0};
    ST_ERROR(error);
    st_status status = st_cache_get(self->cache, key, (size_t)len, &bytes, &error);
    release_dropped();
    if (status != ST_OK) {
        return status == ST_NOT_FOUND ? Py_NewRef(missing) : raise_error(&error);
    }
    PyObject *text = str_from(&bytes, "the entry");
    PyObject *value = text == NULL ? NULL : PyObject_CallFunctionObjArgs(json_loads, text, NULL);
    Py_XDECREF(text);
    return value;
}

/* Returns a new reference: the value, or `missing`. */
static PyObject *stored(cache_object *self, const cache_key *key) {
    st_object object = {0};
    st_status status = st_cache_get_object(self->cache, key->text, (size_t)key->len, &object, NULL);
    if (status == ST_OK) {
        PyObject *value = Py_NewRef(((held *)object.object)->object);
        st_object_free(&object);
        release_dropped();
        return value;
    }
    release_dropped();
    if (status == ST_NOT_FOUND) {
        return Py_NewRef(missing);
    }
    if (status == ST_WRONG_TYPE) {
        return parsed(self, key->text, key->len);
    }
    ST_ERROR(error);
    error.status = st_cache_get_object(self->cache, key->text, (size_t)key->len, &object, &error);
    return raise_error(&error);
}

/* Returns a new reference: the value under a key, or `missing`. A hit does not release the GIL. */
static PyObject *look_up(cache_object *self, PyObject *object) {
    cache_key key;
    if (!cache_is_open(self) || !key_of(self, object, false, &key)) {
        return NULL;
    }
    PyObject *value = stored(self, &key);
    Py_XDECREF(key.object);
    return value;
}

static PyObject *get(cache_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords) {
    static const char *const names[] = {"key", "default", NULL};
    PyObject *out[2] = {given > 0 ? args[0] : NULL, NULL};
    if ((given != 1 || keywords != NULL) && !arguments("get", names, 1, args, given, keywords, out)) {
        return NULL;
    }
    PyObject *value = look_up(self, out[0]);
    if (value == missing) {
        Py_DECREF(value);
        return Py_NewRef(out[1] == NULL ? Py_None : out[1]);
    }
    return value;
}

static PyObject *set(cache_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords) {
    static const char *const names[] = {"key", "value", "ttl", NULL};
    PyObject *out[3];
    cache_key key;
    double ttl;
    if (!arguments("set", names, 2, args, given, keywords, out) || !seconds_of(out[2], "ttl", ST_TTL_DEFAULT, &ttl) ||
        !cache_is_open(self) || !key_of(self, out[0], true, &key)) {
        return NULL;
    }
    held *held = held_new(&self->objects, out[1]);
    if (held == NULL) {
        Py_XDECREF(key.object);
        return NULL;
    }
    held->key = Py_XNewRef(key.object);
    ST_ERROR(error);
    st_status status = st_cache_set_object(self->cache, key.text, (size_t)key.len, held, held_drop, ttl, &error);
    release_dropped();
    Py_XDECREF(key.object);
    if (status != ST_OK) {
        return raise_error(&error);
    }
    Py_RETURN_NONE;
}

static PyObject *get_or_set(cache_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords) {
    static const char *const names[] = {"key", "factory", "ttl", NULL};
    PyObject *out[3];
    double ttl;
    if (!arguments("get_or_set", names, 2, args, given, keywords, out) ||
        !seconds_of(out[2], "ttl", ST_TTL_DEFAULT, &ttl)) {
        return NULL;
    }
    /* Only the beginning of a load reports that an entry is to be reloaded, or that its absence is cached. */
    PyObject *value = self->refreshes ? Py_NewRef(missing) : look_up(self, out[0]);
    if (value == missing) {
        Py_DECREF(value);
        return PyObject_CallMethod((PyObject *)self, "_load", "OOO", out[0], out[1], out[2] == NULL ? Py_None : out[2]);
    }
    return value;
}

static PyObject *delete(cache_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords) {
    static const char *const names[] = {"key", NULL};
    PyObject *out[1];
    cache_key key;
    if (!arguments("delete", names, 1, args, given, keywords, out) || !cache_is_open(self) ||
        !key_of(self, out[0], false, &key)) {
        return NULL;
    }
    bool existed = false;
    ST_ERROR(error);
    st_status status = st_cache_delete(self->cache, key.text, (size_t)key.len, &existed, &error);
    release_dropped();
    Py_XDECREF(key.object);
    return status == ST_OK ? PyBool_FromLong(existed) : raise_error(&error);
}

static PyObject *clear(cache_object *self, PyObject *unused) {
    (void)unused;
    if (!cache_is_open(self)) {
        return NULL;
    }
    size_t count = 0;
    ST_ERROR(error);
    st_status status = st_cache_clear(self->cache, &count, &error);
    release_dropped();
    return status == ST_OK ? PyLong_FromSize_t(count) : raise_error(&error);
}

static PyObject *invalidate_prefix(cache_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords) {
    static const char *const names[] = {"prefix", NULL};
    PyObject *out[1];
    const char *prefix;
    Py_ssize_t len;
    if (!arguments("invalidate_prefix", names, 1, args, given, keywords, out) ||
        !text_of(out[0], "prefix", &prefix, &len) || !cache_is_open(self)) {
        return NULL;
    }
    size_t count = 0;
    ST_ERROR(error);
    st_status status = st_cache_invalidate_prefix(self->cache, prefix, (size_t)len, &count, &error);
    release_dropped();
    return status == ST_OK ? PyLong_FromSize_t(count) : raise_error(&error);
}

static bool count(cache_object *self, st_cache_counts *counts) {
    if (!cache_is_open(self)) {
        return false;
    }
    ST_ERROR(error);
    st_status status = st_cache_stats(self->cache, counts, &error);
    release_dropped();
    return !failed(status, &error);
}

static PyObject *stats(cache_object *self, PyObject *unused) {
    (void)unused;
    st_cache_counts counts = ST_CACHE_COUNTS_INIT;
    if (!count(self, &counts)) {
        return NULL;
    }
    return Py_BuildValue("{sKsKsKsdsKsKsKsKsKsKsK}", "size", counts.entries, "max_size", counts.max_size,
                         "expired_count", counts.expired_count, "default_ttl", counts.default_ttl, "hits", counts.hits,
                         "misses", counts.misses, "evictions", counts.evictions, "expirations", counts.expirations,
                         "invalidations", counts.invalidations, "loads", counts.loads, "load_failures",
                         counts.load_failures);
}

/* Does not count expired entries. */
static Py_ssize_t length(cache_object *self) {
    st_cache_counts counts = ST_CACHE_COUNTS_INIT;
    return count(self, &counts) ? (Py_ssize_t)(counts.entries - counts.expired_count) : -1;
}

/* An empty cache is true, so that `cache or other` does not depend on its entries. */
static int is_true(cache_object *self) {
    (void)self;
    return 1;
}

/* The library counts this as a read of the entry. */
static int contains(cache_object *self, PyObject *key) {
    PyObject *value = look_up(self, key);
    int found = value == NULL ? -1 : value != missing;
    Py_XDECREF(value);
    return found;
}

static PyObject *show(cache_object *self) {
    st_cache_counts counts = ST_CACHE_COUNTS_INIT;
    if (self->closed) {
        return PyUnicode_FromString("<TTLCache, closed>");
    }
    PyObject *ttl = count(self, &counts) ? PyFloat_FromDouble(counts.default_ttl) : NULL;
    PyObject *text = ttl == NULL ? NULL
                                 : PyUnicode_FromFormat("<TTLCache, %zd of at most %zd entries, default_ttl=%R>",
                                                        (Py_ssize_t)(counts.entries - counts.expired_count),
                                                        (Py_ssize_t)counts.max_size, ttl);
    Py_XDECREF(ttl);
    return text;
}

/* Another thread may be waiting in the library, so the cache is only freed with this object. */
static PyObject *close_now(cache_object *self, PyObject *unused) {
    (void)unused;
    if (!self->built_in && !self->closed) {
        self->closed = true;
        st_cache_clear(self->cache, NULL, NULL);
        release_dropped();
    }
    Py_RETURN_NONE;
}

static PyMemberDef members[] = {
    {"_refreshes", T_BOOL, offsetof(cache_object, refreshes), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef methods[] = {
    {"get", (PyCFunction)(void (*)(void))get, METH_FASTCALL | METH_KEYWORDS,
     "get($self, key, default=None)\n--\n\nReturns the value under `key`, or `default` if there is none or it has expired."},
    {"set", (PyCFunction)(void (*)(void))set, METH_FASTCALL | METH_KEYWORDS,
     "set($self, key, value, ttl=None)\n--\n\nStores `value` for `ttl` seconds (None: the cache's default;\n"
     "math.inf: forever)."},
    {"get_or_set", (PyCFunction)(void (*)(void))get_or_set, METH_FASTCALL | METH_KEYWORDS,
     "get_or_set($self, key, factory, ttl=None)\n--\n\nReturns the value under `key`, or stores and returns the "
     "result of `factory()`.\n\n"
     "It is called once for all threads that wait for the key."},
    {"delete", (PyCFunction)(void (*)(void))delete, METH_FASTCALL | METH_KEYWORDS,
     "delete($self, key)\n--\n\nRemoves an entry. Returns whether it existed."},
    {"clear", (PyCFunction)clear, METH_NOARGS, "clear($self)\n--\n\nRemoves all entries. Returns their number."},
    {"invalidate_prefix", (PyCFunction)(void (*)(void))invalidate_prefix, METH_FASTCALL | METH_KEYWORDS,
     "invalidate_prefix($self, prefix)\n--\n\nRemoves the entries whose keys begin with `prefix`. Returns\n"
     "their number."},
    {"stats", (PyCFunction)stats, METH_NOARGS,
     "stats($self)\n--\n\nReturns the size of the cache and its counters since it was created."},
    {"close", (PyCFunction)close_now, METH_NOARGS,
     "close($self)\n--\n\nRemoves all entries; further calls raise ValueError. Has no effect on the built-in caches."},
    {"_key", (PyCFunction)cache_key_of, METH_O, NULL},
    {"_begin", (PyCFunction)cache_begin, METH_VARARGS, NULL},
    {"_cancel", (PyCFunction)cache_cancel, METH_VARARGS, NULL},
    {"_finish", (PyCFunction)cache_finish, METH_VARARGS, NULL},
    {"_abandon", (PyCFunction)cache_abandon, METH_VARARGS, NULL},
    {"_built_in", built_in, METH_O | METH_CLASS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {"__reduce__", refuse_pickling, METH_NOARGS, NULL},
    {"__reduce_ex__", refuse_pickling, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Cache(default_ttl=300.0, max_size=1000, cleanup_interval=60.0, *, soft_ttl=None, ttl_jitter=0.0, "
                "absent_ttl=0.0)\n--\n\nA cache whose entries expire."},
    {Py_tp_new, new},
    {Py_tp_init, init},
    {Py_tp_dealloc, dealloc},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear_references},
    {Py_tp_members, members},
    {Py_tp_methods, methods},
    {Py_tp_repr, show},
    {Py_nb_bool, is_true},
    {Py_sq_length, length},
    {Py_sq_contains, contains},
    {0, NULL},
};

static PyType_Spec spec = {"st_secrets._native.Cache", sizeof(cache_object), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

int cache_init(PyObject *module) {
    PyObject *json = PyImport_ImportModule("json");
    json_loads = json == NULL ? NULL : PyObject_GetAttrString(json, "loads");
    Py_XDECREF(json);
    return json_loads == NULL ? -1 : add_type(module, &spec, &cache_type);
}
