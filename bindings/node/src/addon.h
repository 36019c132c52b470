/*
 * The Node-API add-on of st-secrets: shared declarations.
 *
 * `values.c` converts values between JavaScript and C, `handles.c` has the handles that JavaScript holds, `call.c`
 * makes calls of the library, at once or on a thread of `pool.c`; `secrets.c`, `cipher.c`, `store.c`, `cache.c` and
 * `redact.c` have the calls; `objects.c` stores JavaScript values in a cache, `log.c` delivers log messages, `addon.c`
 * initializes the add-on.
 *
 * Only the pool and the receiver of the log are global. The state of a thread's JavaScript is in its `environment`,
 * because any number of worker threads may load the add-on.
 */
#ifndef ADDON_H
#define ADDON_H

#define NAPI_VERSION 8

#include <node_api.h>
#include <pthread.h>
#include <st_secrets.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct call call;
typedef struct object object;
typedef struct record record;

/* The JavaScript of one thread. Reference-counted: it lives as long as one of its calls is in progress or a cache
 * holds one of its objects. The fields from `lock` on are shared by all threads, under the lock; the others belong
 * to the thread itself. */
typedef struct environment {
    atomic_int references;
    napi_env env;
    napi_ref error_class;
    napi_ref log;
    /* Calls in progress, newest first, and the number of those that keep the event loop alive. */
    call *calls;
    uint32_t last_id;
    uint32_t awaited;
    /* Set before `alive` is reset. */
    bool ending;

    pthread_mutex_t lock;
    /* Wakes the event loop. */
    napi_threadsafe_function wake;
    bool alive;
    bool woken;
    call *done_first, *done_last;
    object *dropped;
    record *records_first, *records_last;
    unsigned records_waiting, records_lost;
} environment;

environment *environment_of(napi_env env);
void environment_release(environment *state);
/* The caller holds the lock. */
void wake_up(environment *state);
/* Called on the thread of the environment: handle what other threads left for it. */
void take_done_calls(environment *state);
void take_records(environment *state);
void take_dropped_objects(environment *state);

/* --- handles --- */

typedef enum { SECRETS = 1, CIPHER, STORE, CACHE, SECRET, REDACTOR, STREAM } handle_kind;

/* A value of the library and its origin. */
typedef struct {
    st_bytes bytes;
    st_secret_info info;
} secret;

/* Held by JavaScript as an `External`. */
typedef struct handle {
    /* Those that use the native object: the open handle, and calls in progress. The last one frees the object. */
    atomic_int users;
    /* Those that use this struct: the `External`, and all users together. */
    atomic_int references;
    /* That of the `External`, or NULL. */
    environment *state;
    handle_kind kind;
    bool closed;
    /* Not ours to free: one of the built-in caches. */
    bool builtin;
    union {
        st_secrets *secrets;
        st_cipher *cipher;
        st_store *store;
        st_cache *cache;
        secret *secret;
        st_redactor *redactor;
        st_redact_stream *stream;
        void *any;
    } is;
} handle;

handle *new_handle(handle_kind kind, void *pointer, bool builtin);
/* Takes ownership of the handle. */
napi_value make_handle(napi_env env, handle *held);
napi_value make_secret(napi_env env, st_bytes *bytes, const st_secret_info *info);
/* For a call in progress. */
void handle_keep(handle *held);
void handle_release(handle *held);
/* As `handle_release`, but does not wait for servers as long as the event loop runs, on whose thread it is called. */
void handle_leave(handle *held);
/* Returns NULL, with an exception pending, for anything but an open handle of this kind. */
handle *open_handle(napi_env env, napi_value value, handle_kind kind, const char *name);

/* --- values --- */

/* Bytes from JavaScript, NUL-terminated, wiped when freed. `data` is NULL for an omitted optional argument. */
typedef struct {
    char *data;
    size_t len;
    char small[256];
    bool is_small;
} input;

bool read_text(napi_env env, napi_value value, const char *name, input *out);
bool read_bytes(napi_env env, napi_value value, const char *name, input *out);
/* Bytes, or those of a secret. The JavaScript code ensures that an `External` is ours. */
bool read_value(napi_env env, napi_value value, const char *name, input *out);
/* Copies ASCII text to a buffer. Returns its length, or -1 if it does not fit or is anything else. */
enum { SHORT_KEY = 256 };
ptrdiff_t read_short(napi_env env, napi_value value, char *buffer, size_t capacity);
void input_free(input *in);
bool is_nothing(napi_env env, napi_value value);

/* Returns a string; throws if the bytes are not UTF-8. */
napi_value make_text(napi_env env, const void *data, size_t len);
napi_value make_copy(napi_env env, const void *data, size_t len);
napi_value make_number(napi_env env, double value);
napi_value make_bool(napi_env env, bool value);
napi_value make_undefined(napi_env env);
napi_value make_array(napi_env env, size_t count, const napi_value *items);

napi_value make_error(napi_env env, const st_error *error);
napi_value throw_error(napi_env env, const st_error *error);
napi_value throw_type(napi_env env, const char *name, const char *must);

/* --- calls --- */

enum { MOST_PARAMETERS = 10, MOST_HANDLES = 3, MOST_INPUTS = 5, MOST_NUMBERS = 3 };

/* The answer of a JavaScript provider for a key. */
typedef struct answer {
    struct answer *next;
    uint32_t provider;
    st_status status;
    double ttl;
    input key, value;
} answer;

/* A call of the library: its arguments and results. */
struct call {
    const struct operation *operation;
    environment *state;

    const handle *handles[MOST_HANDLES];
    input inputs[MOST_INPUTS];
    double numbers[MOST_NUMBERS];
    int64_t integers[MOST_NUMBERS];
    answer *answers;

    /* A new handle and the lease of a load, until JavaScript receives them. */
    handle *made;
    uint64_t lease;
    /* The number under which the call waits for the load of another thread, or 0. */
    uint64_t waiter;
    st_bytes bytes;
    st_secret_info info;
    bool flag;
    double number;
    int64_t integer;
    st_bytes *values;
    st_error *errors;
    st_error error;

    /* For a call on another thread. Nothing waits for its result if `deferred` is NULL. */
    napi_deferred deferred;
    uint32_t id;
    bool abandoned;
    double queued_at;
    call *next, *previous, *next_queued;
};

/* What a call may wait for: nothing, so that it has no asynchronous form; the local machine or servers, each with its
 * own threads; or a load by another thread's JavaScript, whose end the library reports, so that it has no synchronous
 * form. */
typedef enum { QUICK, LOCAL, REMOTE, NOTIFIED } pace;
enum { PACES = REMOTE + 1 };
/* `run` of a NOTIFIED call: it is notified later. Until then only the thread that notifies it changes its results. */
enum { PENDING = 1 };

/* A function of the library as JavaScript sees it: `name` with `Sync` makes the call at once, `name` alone on another
 * thread. Each letter of `types` is a parameter; `names` lists their names:
 *
 * S, C, T, R, K, W: secrets, cipher, store, redactor, cache, stream (null for the first four: that of the process);
 * s: text; o: text or null; b: bytes or text; v: these, or a secret; d: number; t: number, a timeout that includes the
 * wait for a thread; i: integer; A: answers */
typedef struct operation {
    const char *name;
    const char *types, *names;
    st_status (*run)(call *call);
    napi_value (*result)(napi_env env, call *call);
    pace pace;
} operation;

bool define_operations(napi_env env, napi_value exports, const operation *operations, size_t count);
void call_free(call *finished);
/* The environment ends: cancels its calls that no thread has begun. */
void withdraw_calls(environment *state);
/* Cancels the notification of a call. */
bool cache_withdraw(call *call);
/* The call that this thread is making. */
extern _Thread_local call *current_call;

#define HANDLE(call, at, member) ((call)->handles[at] ? (call)->handles[at]->is.member : NULL)
#define TEXT(call, at) (call)->inputs[at].data, (call)->inputs[at].len

napi_value nothing_result(napi_env env, call *call);
napi_value text_result(napi_env env, call *call);
napi_value copy_result(napi_env env, call *call);
napi_value flag_result(napi_env env, call *call);
napi_value number_result(napi_env env, call *call);
napi_value integer_result(napi_env env, call *call);
napi_value secret_result(napi_env env, call *call);
napi_value handle_result(napi_env env, call *call);

/* Releases a handle on another thread, and keeps the event loop alive until then. */
void release_later(environment *state, handle *held);

/* Passes a call to a thread of the pool. Returns false if no thread can be started. */
bool pool_submit(call *call);
/* Removes a call that no thread has begun. */
bool pool_withdraw(call *call);
double seconds_now(void);
/* On a thread of the pool: makes the call and returns it to the environment. */
void call_make(call *call);
/* On any thread: the call has its result. */
void call_done(call *call);

/* --- the parts --- */

bool define_handles(napi_env env, napi_value exports);
bool define_calls(napi_env env, napi_value exports);
bool define_secrets(napi_env env, napi_value exports);
bool define_cipher(napi_env env, napi_value exports);
bool define_store(napi_env env, napi_value exports);
bool define_cache(napi_env env, napi_value exports);
bool define_redact(napi_env env, napi_value exports);
bool define_objects(napi_env env, napi_value exports);
bool define_log(napi_env env, napi_value exports);
void objects_free(object *dropped);
void records_free(record *records);
void log_closed(environment *state);

/* Parses the JSON settings of JavaScript. `*out` is NULL if there are none. */
st_status config_from(const input *json, st_config **out, st_error *error);
/* Makes a call with the settings of the first argument. */
st_status with_config(call *call, st_status (*make)(const st_config *config, st_error *error));
/* Defines a call that opens an object with the settings of the first argument. */
#define OPENS(name, type, kind, open_native) \
    static st_status name(call *call) { \
        st_config *config; \
        type *made = NULL; \
        st_status status = config_from(&call->inputs[0], &config, &call->error); \
        if (status == ST_OK) status = open_native(config, &made, &call->error); \
        st_config_free(config); \
        if (status == ST_OK) call->made = new_handle(kind, made, false); \
        return status; \
    }

#endif
