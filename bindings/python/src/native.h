/* Shared by the files of the extension module. The module mirrors st_secrets.h; the package's Python files build the
 * public interface on it. */
#ifndef ST_SECRETS_NATIVE_H
#define ST_SECRETS_NATIVE_H

#define Py_LIMITED_API 0x030a0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <st_secrets.h>

/* An error for a call to fill in. Only its size is set: a failing call writes the rest, which is not read otherwise. */
#define ST_ERROR(name) \
    st_error name; \
    name.size = sizeof name

/* module.c: objects looked up once. A process loads the module once, in its main interpreter. */
extern PyObject *missing; /* distinguishes "no argument" from None */

/* errors.c */
int errors_init(void);
/* Raises the error of a failed call, or the exception that interrupted a callback of this thread. Always returns
 * NULL. */
PyObject *raise_error(const st_error *error);
/* Raises an error of the binding itself. Always returns NULL. */
PyObject *raise_status(st_status status, const char *message);
/* Converts the exception that is set into the status and message of a callback, the message being the name of its
 * type, and clears it. An exception that is not an `Exception`, such as KeyboardInterrupt, is kept and raised when
 * the call that led to the callback returns. */
st_status status_of_exception(char *message, size_t size);
/* Keeps the exception that is set, to be raised like that. */
void keep_exception(void);
/* Runs pending signal handlers before a callback runs any Python code. An exception of a handler, which would
 * otherwise appear to come from the callback, is kept. Returns false if there was one. */
bool signals_seen(void);
/* Returns whether an exception was kept for this thread, and sets it. */
bool interrupted(void);
/* If the exception that is set is a failure of the library, logs it once per cause and returns `fallback` (NULL: None).
 * Otherwise leaves it and returns NULL. */
PyObject *log_skipped(PyObject *fallback);
/* Returns whether a call failed or a callback in it was interrupted, and sets the exception. */
bool failed(st_status status, const st_error *error);

/* Returns the bytes of a call, converted by `convert`, or NULL with an exception as set by `failed`. */
PyObject *result_of(st_status status, const st_error *error, st_bytes *bytes, PyObject *(*convert)(st_bytes *));

/* arguments.c */
/* Sorts the arguments of a METH_FASTCALL | METH_KEYWORDS method into `out`, one slot for each of `names`
 * (NULL-terminated). Missing ones are NULL; the first `required` must be present. Returns false with an exception
 * set. */
bool arguments(const char *function, const char *const *names, Py_ssize_t required, PyObject *const *args,
               Py_ssize_t given, PyObject *keywords, PyObject **out);
/* The bytes of a str, valid as long as it is. */
bool text_of(PyObject *object, const char *what, const char **text, Py_ssize_t *len);
/* As `text_of`; NULL and None give NULL with length 0. */
bool text_or_none(PyObject *object, const char *what, const char **text, Py_ssize_t *len);
/* The bytes of a str or bytes. */
bool bytes_of(PyObject *object, const char *what, const char **data, Py_ssize_t *len);
/* A number of seconds or a timedelta; `fallback` for NULL and None. Rejects negative ones. */
bool seconds_of(PyObject *object, const char *what, double fallback, double *seconds);
/* The settings of a JSON text; the defaults for NULL and None. */
st_config *config_of(PyObject *json);
/* Makes a call with the settings of a JSON text; NULL for None. Returns None. */
PyObject *with_config(PyObject *json, st_status (*call)(const st_config *config, st_error *error));
/* Returns a new str or bytes with the bytes of the library, and frees these. */
PyObject *str_from(st_bytes *bytes, const char *what);
PyObject *bytes_from(st_bytes *bytes);
/* __reduce__ of types that cannot be sent to another process. */
PyObject *refuse_pickling(PyObject *self, PyObject *unused);

/* gil.c */
int gil_init(void);
/* Releases the GIL while a statement runs that may take long. */
#define WITHOUT_GIL(statement) \
    do { \
        Py_BEGIN_ALLOW_THREADS statement; \
        Py_END_ALLOW_THREADS \
    } while (0)
/* For callbacks: runs `work` with the GIL. Returns false, without running it, if Python has ended. */
bool with_gil(void (*work)(void *), void *context);

/* A reference that the library holds to a Python object, in a list of its owner, so that the garbage collector sees
 * it. References that the library drops are set aside and released when no frame of the library is on the stack. */
typedef struct held {
    PyObject *object;
    PyObject *key; /* the `Key` of an entry of a cache, or NULL */
    struct held *next, **link;
    struct held *next_dropped;
} held;
held *held_new(held **list, PyObject *object);
/* The st_drop_fn of a `held`. Does not need the GIL. */
void held_drop(void *held);
/* Releases dropped references. Call it with the GIL after every call of the library that can drop one. */
void release_dropped_now(void);
extern _Atomic(held *) dropped;
static inline void release_dropped(void) {
    if (atomic_load_explicit(&dropped, memory_order_relaxed) != NULL) {
        release_dropped_now();
    }
}
int held_visit(held *list, visitproc visit, void *arg);
/* Detaches a list from its owner, which is freed before the library drops the list's entries. */
void held_leave(held **list);

/* A handle of the library that may be closed while other threads use it: the last of them frees it, without the GIL.
 * Only changed with the GIL. */
typedef struct {
    void *pointer;
    size_t users;
    bool closed;
    void (*free)(void *);
} handle;
bool handle_enter(handle *handle, const char *what);
void handle_leave(handle *handle);
void handle_close(handle *handle);

/* An object that begins with a handle, and often has nothing else. */
typedef struct {
    PyObject_HEAD
    handle handle; /* NULL: that of the process */
} handle_object;
/* Takes ownership of the pointer. */
PyObject *handle_object_new(PyTypeObject *type, void *pointer, void (*free)(void *));
typedef st_status (*handle_open)(const st_config *config, void **out, st_error *error);
/* Opens a handle. The arguments are the settings, a JSON text or None for the defaults, and whether it is that of the
 * process instead. */
PyObject *handle_object_open(PyTypeObject *type, PyObject *args, const char *format, handle_open open,
                             void (*free)(void *));
void handle_object_dealloc(PyObject *self);
PyObject *handle_object_close(PyObject *self, PyObject *unused);
/* Makes a call with the handle of `self`, without the GIL. Returns NULL from the function if it is closed. */
#define HANDLE_CALL(self, what, call) \
    do { \
        if (!handle_enter(&(self)->handle, what)) { \
            return NULL; \
        } \
        WITHOUT_GIL(call); \
        handle_leave(&(self)->handle); \
        release_dropped(); \
    } while (0)

/* The types, one file each. They add themselves to the module; -1 with an exception set. */
int add_type(PyObject *module, PyType_Spec *spec, PyObject **type);
int secret_init(PyObject *module);
int secrets_init(PyObject *module);
int cache_init(PyObject *module);
int cipher_init(PyObject *module);
int store_init(PyObject *module);
int redactor_init(PyObject *module);
int shared_cache_init(PyObject *module);

/* secret.c: takes ownership of the bytes. */
PyObject *secret_new(st_bytes *bytes, const st_secret_info *info);

/* secrets.c */
typedef struct {
    PyObject_HEAD
    handle handle;
    held *providers;
} secrets_object;
#define SECRETS_CALL(self, call) HANDLE_CALL(self, "SecretsManager", call)
/* The value of a key, None if no provider has it. Raises if a provider failed. */
PyObject *secrets_value(secrets_object *self, PyObject *key);
/* secrets_more.c */
PyObject *secrets_get_many(secrets_object *self, PyObject *keys);
PyObject *secrets_set(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords);
PyObject *secrets_set_replicate_token(secrets_object *self, PyObject *const *args, Py_ssize_t given,
                                      PyObject *keywords);
PyObject *secrets_delete(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords);
PyObject *secrets_refresh(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords);
PyObject *secrets_prefetch(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords);
PyObject *secrets_clear_cache(secrets_object *self, PyObject *unused);
PyObject *secrets_generation(secrets_object *self, PyObject *unused);
PyObject *secrets_listen(secrets_object *self, PyObject *args);
PyObject *secrets_invalidate(secrets_object *self, PyObject *args);
PyObject *secrets_describe(secrets_object *self, PyObject *unused);
PyObject *secrets_stats(secrets_object *self, PyObject *unused);
PyObject *secrets_check(secrets_object *self, PyObject *unused);
PyObject *secrets_share(secrets_object *self, PyObject *unused);
PyObject *secrets_file_path(secrets_object *self, PyObject *unused);
/* provider.c */
PyObject *secrets_add_provider(secrets_object *self, PyObject *args);

/* cache.c */
typedef struct {
    PyObject_HEAD
    const st_cache *cache;
    bool built_in, initialised, closed, refreshes;
    held *objects;
    PyObject *loads; /* dict: key -> the load in progress in this process */
    PyObject *keys;  /* `_keys.Keys`, or NULL as long as all keys are text */
} cache_object;
bool cache_is_open(const cache_object *self);
/* cache_key.c */
typedef struct {
    PyObject *object; /* a reference to the `Key`; NULL for text, and for an object without a key */
    const char *text;
    Py_ssize_t len;
} cache_key;
bool other_key(cache_object *self, PyObject *object, bool make, cache_key *out);
PyObject *cache_key_of(cache_object *self, PyObject *object);
/* The key of a str, or of another hashable object, which gets one only if `make`. Release `object` after use. */
static inline bool key_of(cache_object *self, PyObject *object, bool make, cache_key *out) {
    if (PyUnicode_Check(object)) {
        out->object = NULL;
        out->text = PyUnicode_AsUTF8AndSize(object, &out->len);
        if (out->text != NULL) {
            return true;
        }
    }
    return other_key(self, object, make, out);
}
/* cache_load.c */
PyObject *cache_begin(cache_object *self, PyObject *args);
PyObject *cache_cancel(cache_object *self, PyObject *args);
PyObject *cache_finish(cache_object *self, PyObject *args);
PyObject *cache_abandon(cache_object *self, PyObject *args);
/* Sets an attribute. Returns false with an exception set. */
bool keep_number(PyObject *object, const char *name, uint64_t value);
/* The st_load_ended_fn of bytes: calls wake(value, exception), once, and releases the reference to `wake`. */
void load_of_bytes_ended(void *wake, const st_bytes *value, void *object, const st_error *error);
/* The status and message of a load that this thread ends with an exception: ST_ABANDONED if it is not an `Exception`.
 * Until `load_failed`, those that wait for a load in this process get the exception itself. */
st_status load_fails(PyObject *exception, char *message, size_t size);
void load_failed(void);
/* `wake` will not be called, if it was not. */
void cancel_wake(const st_cache *cache, uint64_t waiter, PyObject *wake);

/* The handle of a Cipher or a manager; NULL for None, which selects that of the process. */
bool cipher_of(PyObject *object, handle **out);  /* cipher.c */
bool secrets_of(PyObject *object, handle **out); /* secrets.c */

/* store.c */
typedef handle_object store_object;
#define STORE_CALL(self, call) HANDLE_CALL(self, "Store", call)
/* The id of a user; -1 for None. */
bool user_of(PyObject *object, int64_t *user_id);
PyObject *json_text(st_bytes *bytes);
/* store_credential.c */
PyObject *credential_set(store_object *self, PyObject *args);
PyObject *credential_get(store_object *self, PyObject *args);
PyObject *credential_delete(store_object *self, PyObject *args);
PyObject *credential_deactivate(store_object *self, PyObject *args);
PyObject *credential_mark_used(store_object *self, PyObject *args);
PyObject *credential_exists(store_object *self, PyObject *args);
PyObject *credential_list(store_object *self, PyObject *args);
PyObject *credential_source(store_object *self, PyObject *args);
PyObject *credential_resolve(store_object *self, PyObject *args);
PyObject *credentials_rotate(store_object *self, PyObject *cipher);
PyObject *credentials_reencrypt(store_object *self, PyObject *args);
/* store_audit.c */
PyObject *audit_log(store_object *self, PyObject *args);
PyObject *audit_query(store_object *self, PyObject *filter);
PyObject *audit_verify(store_object *self, PyObject *args);
PyObject *audit_stats(store_object *self, PyObject *unused);
PyObject *audit_export(store_object *self, PyObject *args);
PyObject *audit_send(store_object *self, PyObject *args);
PyObject *audit_retain(store_object *self, PyObject *days);

/* function_key.c, log.c, cipher.c, redactor.c, store.c, store_audit.c: functions of the module */
PyObject *redactor_start(PyObject *module, PyObject *config);
PyObject *store_reset(PyObject *module, PyObject *config);
PyObject *hardware_defaults(PyObject *module, PyObject *unused);
PyObject *audit_event_types(PyObject *module, PyObject *unused);
PyObject *function_key(PyObject *module, PyObject *const *args, Py_ssize_t given);
PyObject *log_set(PyObject *module, PyObject *args);
PyObject *cipher_reset(PyObject *module, PyObject *config);

#endif
