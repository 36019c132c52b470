/*
 * The Node-API add-on of st-secrets: what its files share.
 *
 * `values.c` turns JavaScript's values into C's and back, `handles.c` has what JavaScript holds of the library, `call.c`
 * makes a call of it, now or on a thread of `pool.c`; `secrets.c`, `cipher.c`, `store.c` and `cache.c` have the calls;
 * `objects.c` keeps JavaScript values in a cache, `log.c` hands messages on, `addon.c` sets it all up.
 *
 * Nothing here is global but the pool and the receiver of the log: what belongs to a thread's JavaScript is in its
 * `environment`, as the add-on is loaded by any number of worker threads.
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

/*
 * The JavaScript of one thread. Counted: it lives as long as a call of it is under way somewhere, or a cache has an
 * object of it. The fields from `lock` on are for every thread, under the lock; the others for the thread itself.
 */
typedef struct environment {
    atomic_int references;
    napi_env env;
    napi_ref error_class;
    napi_ref log;
    /* Calls that are under way, newest first; and how many of them keep the event loop alive. */
    call *calls;
    uint32_t last_id;
    uint32_t awaited;

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
/* On the thread of the environment: what other threads have left for it. */
void take_done_calls(environment *state);
void take_records(environment *state);
void take_dropped_objects(environment *state);

/* --- handles ----------------------------------------------------------------------------------------------------- */

typedef enum { SECRETS = 1, CIPHER, STORE, CACHE, SECRET } handle_kind;

/* A value that the library handed out, and where it came from. */
typedef struct {
    st_bytes bytes;
    st_secret_info info;
} secret;

/* What JavaScript holds as an `External`. Counted: a call that is under way keeps it, whoever closes it meanwhile. */
typedef struct handle {
    atomic_int references;
    handle_kind kind;
    bool closed;
    /* Not ours to free: one of the caches that the process has. */
    bool builtin;
    union {
        st_secrets *secrets;
        st_cipher *cipher;
        st_store *store;
        st_cache *cache;
        secret *secret;
        void *any;
    } is;
} handle;

handle *new_handle(handle_kind kind, void *pointer, bool builtin);
/* Takes the handle over. */
napi_value make_handle(napi_env env, handle *held);
napi_value make_secret(napi_env env, st_bytes *bytes, const st_secret_info *info);
void handle_release(handle *held);
/* NULL, with an exception pending, for anything but an open handle of this kind. */
handle *open_handle(napi_env env, napi_value value, handle_kind kind, const char *name);

/* --- values ------------------------------------------------------------------------------------------------------ */

/* Bytes that JavaScript gave, with a NUL behind them. Wiped when freed. `data` is NULL for an optional one left out. */
typedef struct {
    char *data;
    size_t len;
    char small[256];
    bool is_small;
} input;

bool read_text(napi_env env, napi_value value, const char *name, input *out);
bool read_bytes(napi_env env, napi_value value, const char *name, input *out);
/* Bytes, or those of a secret. JavaScript sees to it that an `External` is one of ours. */
bool read_value(napi_env env, napi_value value, const char *name, input *out);
/* ASCII text into a buffer: its length, or -1 where it does not fit or is anything else. */
enum { SHORT_KEY = 256 };
ptrdiff_t read_short(napi_env env, napi_value value, char *buffer, size_t capacity);
void input_free(input *in);
bool is_nothing(napi_env env, napi_value value);

/* A string; throws where the bytes are no UTF-8. */
napi_value make_text(napi_env env, const void *data, size_t len);
napi_value make_copy(napi_env env, const void *data, size_t len);
napi_value make_number(napi_env env, double value);
napi_value make_bool(napi_env env, bool value);
napi_value make_undefined(napi_env env);
napi_value make_array(napi_env env, size_t count, const napi_value *items);

napi_value make_error(napi_env env, const st_error *error);
napi_value throw_error(napi_env env, const st_error *error);
napi_value throw_type(napi_env env, const char *name, const char *must);

/* --- calls ------------------------------------------------------------------------------------------------------- */

enum { MOST_PARAMETERS = 10, MOST_HANDLES = 3, MOST_INPUTS = 5, MOST_NUMBERS = 3 };

/* What a JavaScript provider answered to a key. */
typedef struct answer {
    struct answer *next;
    uint32_t provider;
    st_status status;
    double ttl;
    input key, value;
} answer;

/* A call of the library: what goes in, what comes out. */
struct call {
    const struct operation *operation;
    environment *state;

    const handle *handles[MOST_HANDLES];
    input inputs[MOST_INPUTS];
    double numbers[MOST_NUMBERS];
    int64_t integers[MOST_NUMBERS];
    answer *answers;

    /* A new handle, and the lease of a load, until JavaScript has them. */
    handle *made;
    uint64_t lease;
    st_bytes bytes;
    st_secret_info info;
    bool flag;
    double number;
    int64_t integer;
    st_bytes *values;
    st_error *errors;
    st_error error;

    /* Of a call that is made on another thread. */
    napi_deferred deferred;
    uint32_t id;
    bool abandoned;
    double queued_at;
    call *next, *previous, *next_queued;
};

/*
 * What a call may wait for: nothing, so that it has no form on another thread; this machine; servers; or the load of
 * another thread's JavaScript. Each of the last three has threads of its own.
 */
typedef enum { QUICK, LOCAL, REMOTE, WAITS } pace;
enum { PACES = WAITS + 1 };

/*
 * A function of the library as JavaScript sees it: `name` with `Sync` makes the call at once, `name` alone on another
 * thread. Each letter of `types` is a parameter, each word of `names` its name:
 *
 * S, C, T, K: secrets, cipher, store, cache (null for the first three: that of the process); s: text; o: text or null;
 * b: bytes or text; v: these, or a secret; d: number; t: number, a timeout that the wait for a thread counts against; i: integer; A: answers
 */
typedef struct operation {
    const char *name;
    const char *types, *names;
    st_status (*run)(call *call);
    napi_value (*result)(napi_env env, call *call);
    pace pace;
} operation;

bool define_operations(napi_env env, napi_value exports, const operation *operations, size_t count);
void call_free(call *finished);
/* The environment ends: its calls that no thread has begun are not made. */
void withdraw_calls(environment *state);
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

/* Hands a call to a thread of the pool; false where none can be started. */
bool pool_submit(call *call);
/* Takes a call back that no thread has begun. */
bool pool_withdraw(call *call);
double seconds_now(void);
/* On a thread of the pool: makes the call, and hands it back. */
void call_make(call *call);
/* On any thread: it has its result. */
void call_done(call *call);

/* --- the parts ---------------------------------------------------------------------------------------------------- */

bool define_handles(napi_env env, napi_value exports);
bool define_calls(napi_env env, napi_value exports);
bool define_secrets(napi_env env, napi_value exports);
bool define_cipher(napi_env env, napi_value exports);
bool define_store(napi_env env, napi_value exports);
bool define_cache(napi_env env, napi_value exports);
bool define_objects(napi_env env, napi_value exports);
bool define_log(napi_env env, napi_value exports);
void objects_free(object *dropped);
void records_free(record *records);
void log_closed(environment *state);

/* A configuration from JSON text that JavaScript gave, or NULL where it gave none. */
st_status config_from(const input *json, st_config **out, st_error *error);

#endif
