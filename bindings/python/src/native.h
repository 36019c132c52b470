/* What the parts of the extension module share. The module mirrors st_secrets.h; what Python programs import is built on it
 * in the package's Python files. */
#ifndef ST_SECRETS_NATIVE_H
#define ST_SECRETS_NATIVE_H

#define Py_LIMITED_API 0x030a0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <st_secrets.h>

/* An error that a call can fill in. Only its size has to be set: a failing call writes the rest, and nobody reads it else. */
#define ST_ERROR(name) \
    st_error name; \
    name.size = sizeof name

/* module.c: what is looked up once. The module is loaded once in a process, by its main interpreter. */
extern PyObject *missing; /* what tells "no argument" from None */

/* errors.c */
int errors_init(void);
/* Raises what a failed call tells, or what interrupted a callback of this thread. Always NULL. */
PyObject *raise_error(const st_error *error);
/* Raises an error of the binding's own. Always NULL. */
PyObject *raise_status(st_status status, const char *message);
/* What a callback answers for the exception that is set, which is cleared: a status, and the name of its type. What is no
 * `Exception` (KeyboardInterrupt) is kept, and raised when the call that led to the callback returns. */
st_status status_of_exception(char *message, size_t size);
/* Keeps any exception in this way. */
void keep_exception(void);
/* Runs the handlers of the signals that came while the library waited, before a callback runs any Python, to which an exception
 * of theirs would seem to belong: that is kept. False if there was one. */
bool signals_seen(void);
/* Whether an interrupt was kept for this thread; it is set as the exception. */
bool interrupted(void);
/* Whether a call failed, or a callback in it was interrupted; the exception is set. */
bool failed(st_status status, const st_error *error);

/* What a call handed out, as `convert` makes it, or NULL with an exception as by `failed`. */
PyObject *result_of(st_status status, const st_error *error, st_bytes *bytes, PyObject *(*convert)(st_bytes *));

/* arguments.c */
/* Sorts the arguments of a METH_FASTCALL | METH_KEYWORDS method into `out`, one place for each of `names` (NULL at the end);
 * those that are not given are NULL. The first `required` have to be given. False with an exception set. */
bool arguments(const char *function, const char *const *names, Py_ssize_t required, PyObject *const *args,
               Py_ssize_t given, PyObject *keywords, PyObject **out);
/* The bytes of a str. They last as long as it. */
bool text_of(PyObject *object, const char *what, const char **text, Py_ssize_t *len);
/* As `text_of`, for NULL and None too, which is NULL with 0. */
bool text_or_none(PyObject *object, const char *what, const char **text, Py_ssize_t *len);
/* The bytes of a str or bytes. */
bool bytes_of(PyObject *object, const char *what, const char **data, Py_ssize_t *len);
/* A number of seconds; `fallback` for NULL and None. Negative ones are refused. */
bool seconds_of(PyObject *object, const char *what, double fallback, double *seconds);
/* The settings in a JSON text, or all defaults for NULL and None. */
st_config *config_of(PyObject *json);
/* A new str or bytes of what the library handed out, which is freed. */
PyObject *str_from(st_bytes *bytes, const char *what);
PyObject *bytes_from(st_bytes *bytes);
/* __reduce__ of everything that cannot go to another process. */
PyObject *refuse_pickling(PyObject *self, PyObject *unused);

/* gil.c */
int gil_init(void);
/* Runs a statement that may take long while other threads of Python run. */
#define WITHOUT_GIL(statement) \
    do { \
        Py_BEGIN_ALLOW_THREADS statement; \
        Py_END_ALLOW_THREADS \
    } while (0)
/* For callbacks: runs `work` with the GIL. False, without having run it, if Python has ended. */
bool with_gil(void (*work)(void *), void *context);

/* A reference to a Python object that the library holds, in the list of whom it holds it for, so that the garbage collector
 * sees it. What the library drops is put aside, and released when nothing of the library is on the stack. */
typedef struct held {
    PyObject *object;
    struct held *next, **link;
    struct held *next_dropped;
} held;
held *held_new(held **list, PyObject *object);
/* The st_drop_fn of a `held`. Needs no GIL. */
void held_drop(void *held);
/* Releases what was dropped. To be called with the GIL, after every call of the library that can drop. */
void release_dropped_now(void);
extern _Atomic(held *) dropped;
static inline void release_dropped(void) {
    if (atomic_load_explicit(&dropped, memory_order_relaxed) != NULL) {
        release_dropped_now();
    }
}
int held_visit(held *list, visitproc visit, void *arg);
/* Takes a list from its owner, which ends before the library drops what is in it. It is nobody's then. */
void held_leave(held **list);

/* A handle of the library that may be closed while other threads are in a call with it: the last of them frees it. Changed
 * with the GIL only. */
typedef struct {
    void *pointer;
    size_t users;
    bool closed;
    void (*free)(void *);
} handle;
bool handle_enter(handle *handle, const char *what);
void handle_leave(handle *handle);
void handle_close(handle *handle);

/* The types, one file each. They add themselves to the module; -1 with an exception set. */
int add_type(PyObject *module, PyType_Spec *spec, PyObject **type);
int secret_init(PyObject *module);
int secrets_init(PyObject *module);
int cache_init(PyObject *module);
int cipher_init(PyObject *module);
int store_init(PyObject *module);

/* secret.c: takes the bytes over. */
PyObject *secret_new(st_bytes *bytes, const st_secret_info *info);

/* secrets.c */
typedef struct {
    PyObject_HEAD
    handle handle;
    held *providers;
} secrets_object;
#define SECRETS_CALL(self, call) \
    do { \
        if (!handle_enter(&(self)->handle, "SecretsManager")) { \
            return NULL; \
        } \
        WITHOUT_GIL(call); \
        handle_leave(&(self)->handle); \
        release_dropped(); \
    } while (0)
/* secrets_more.c */
PyObject *secrets_get_many(secrets_object *self, PyObject *keys);
PyObject *secrets_set(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords);
PyObject *secrets_set_replicate_token(secrets_object *self, PyObject *const *args, Py_ssize_t given,
                                      PyObject *keywords);
PyObject *secrets_delete(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords);
PyObject *secrets_refresh(secrets_object *self, PyObject *const *args, Py_ssize_t given, PyObject *keywords);
PyObject *secrets_clear_cache(secrets_object *self, PyObject *unused);
PyObject *secrets_describe(secrets_object *self, PyObject *unused);
PyObject *secrets_check(secrets_object *self, PyObject *unused);
PyObject *secrets_file_path(secrets_object *self, PyObject *unused);
/* provider.c */
PyObject *secrets_add_provider(secrets_object *self, PyObject *args);

/* cache.c */
typedef struct {
    PyObject_HEAD
    const st_cache *cache;
    bool built_in, initialised, closed;
    held *objects;
    PyObject *flights; /* dict: key -> whoever in this process loads it */
} cache_object;
bool cache_is_open(const cache_object *self);
/* cache_load.c */
PyObject *cache_begin(cache_object *self, PyObject *args);
PyObject *cache_wait(cache_object *self, PyObject *args);
PyObject *cache_finish(cache_object *self, PyObject *args);
PyObject *cache_abandon(cache_object *self, PyObject *args);

/* The handle of a Cipher or a manager; NULL for None, which is that of the process. */
bool cipher_of(PyObject *object, handle **out);  /* cipher.c */
bool secrets_of(PyObject *object, handle **out); /* secrets.c */

/* store.c */
typedef struct {
    PyObject_HEAD
    handle handle; /* no pointer: the store of the process */
} store_object;
#define STORE_CALL(self, call) \
    do { \
        if (!handle_enter(&(self)->handle, "Store")) { \
            return NULL; \
        } \
        WITHOUT_GIL(call); \
        handle_leave(&(self)->handle); \
        release_dropped(); \
    } while (0)
/* The number of a user; -1 for None. */
bool user_of(PyObject *object, int64_t *user_id);
PyObject *json_text(st_bytes *bytes);
/* store_credential.c */
PyObject *credential_set(store_object *self, PyObject *args);
PyObject *credential_get(store_object *self, PyObject *args);
PyObject *credential_delete(store_object *self, PyObject *args);
PyObject *credential_list(store_object *self, PyObject *args);
PyObject *credential_resolve(store_object *self, PyObject *args);
PyObject *credentials_rotate(store_object *self, PyObject *cipher);
PyObject *credentials_reencrypt(store_object *self, PyObject *args);
/* store_audit.c */
PyObject *audit_log(store_object *self, PyObject *args);
PyObject *audit_query(store_object *self, PyObject *filter);
PyObject *audit_verify(store_object *self, PyObject *args);

/* function_key.c, log.c, cipher.c, store.c: functions of the module */
PyObject *store_reset(PyObject *module, PyObject *config);
PyObject *function_key(PyObject *module, PyObject *const *args, Py_ssize_t given);
PyObject *log_set(PyObject *module, PyObject *args);
PyObject *cipher_reset(PyObject *module, PyObject *config);

#endif
