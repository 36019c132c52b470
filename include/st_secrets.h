/*
 * st_secrets: secrets for training stacks, out of the environment and files, encryption of credentials, and SimpleTuner's
 * databases.
 *
 * This header is generated from src/ffi; `make header` writes it anew.
 *
 * CONVENTIONS, which hold for every function unless it says otherwise
 *
 * Results. A function that can fail returns an `st_status` (`ST_OK` is 0, failures are negative) and takes as its last
 * argument an `st_error *`, which may be NULL. When it fails, all its outputs are zero, save `*len` with
 * `ST_BUFFER_TOO_SMALL`. Besides what is listed, every such function may return `ST_INVALID_ARGUMENT`, `ST_NO_MEMORY`
 * and `ST_PANIC`. `ST_NO_MEMORY` is about values; where the system has not even a few bytes left, the process ends.
 *
 * Text and bytes come in as pointer and length; `ST_NUL` as the length means that a NUL ends them. Names of secrets,
 * providers and settings are UTF-8. Inputs are copied where they are kept; they must not change during the call.
 *
 * Bytes go out as `st_bytes`, to be freed with `st_bytes_free` and nothing else, or into the caller's buffer.
 *
 * Handles are opaque. `_open` or `_new` makes one and `_free` frees it; freeing NULL is fine. No call consumes one.
 * A handle passed as pointer to `const` may be used from any number of threads at once, while nobody frees it.
 *
 * Times are seconds.
 *
 * Callbacks are called with no lock held and may call the library. They must not throw or longjmp out.
 *
 * Processes. The library keeps no thread, prints nothing, and installs no signal handler. After fork() without exec the
 * child may use what the parent had. fork() is not to be called from a signal handler. Linux with glibc.
 */

#ifndef ST_SECRETS_H
#define ST_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The version of this header, as text and as `major * 1000000 + minor * 1000 + patch`. */
#define ST_VERSION "0.1.0"
#define ST_VERSION_NUMBER 1000
/** The version of the binary interface that this header describes. */
#define ST_ABI_VERSION 0

/** As a length: the text ends with a NUL. */
#define ST_NUL SIZE_MAX
/** As a position: behind all others. */
#define ST_LAST SIZE_MAX
/** As a timeout: that of the configuration. */
#define ST_TIMEOUT_DEFAULT (-1.0)
/** As a time to live: that of the configuration. */
#define ST_TTL_DEFAULT (-1.0)

/** What structs that begin with their size are set up with: `st_error error = ST_ERROR_INIT;`. */
#define ST_ERROR_INIT {sizeof(st_error), 0, 0, 0, 0, {0}}
#define ST_SECRET_INFO_INIT {sizeof(st_secret_info), 0, 0, 0, 0.0, 0.0, {0}, {0}}
#define ST_CACHE_COUNTS_INIT {sizeof(st_cache_counts), 0, 0, 0, 0, 0.0, 0, 0, 0, 0, 0, 0, 0}

/** Names of the secrets that SimpleTuner itself uses. */
#define ST_KEY_REPLICATE_API_TOKEN "REPLICATE_API_TOKEN"
#define ST_KEY_HF_TOKEN "HF_TOKEN"
#define ST_KEY_CLOUD_WEBHOOK_SECRET "CLOUD_WEBHOOK_SECRET"

/**
 * No provider: the call itself, its arguments, or the configuration.
 */
#define ST_SOURCE_NONE 0

/**
 * Environment variables.
 */
#define ST_SOURCE_ENV 1

/**
 * The secrets file or directory.
 */
#define ST_SOURCE_FILE 2

/**
 * AWS Secrets Manager.
 */
#define ST_SOURCE_AWS 3

/**
 * HashiCorp Vault or OpenBao.
 */
#define ST_SOURCE_VAULT 4

/**
 * A provider added with `st_secrets_add_provider`.
 */
#define ST_SOURCE_CUSTOM 5

/**
 * The databases of the store.
 */
#define ST_SOURCE_STORE 6

/**
 * The keys that credentials are encrypted with.
 */
#define ST_SOURCE_CREDENTIAL 7

/**
 * In `st_error.flags`: the same call may succeed later without anybody changing anything.
 */
#define ST_ERROR_RETRYABLE 1

/**
 * Nothing is logged.
 */
#define ST_LOG_OFF 0

/**
 * Something that was asked for could not be done.
 */
#define ST_LOG_ERROR 1

/**
 * Something works, but not as it should: a provider was skipped, a file is readable by others.
 */
#define ST_LOG_WARN 2

/**
 * Something changed that later calls see: a file was read again.
 */
#define ST_LOG_INFO 3

/**
 * Where a value was looked for.
 */
#define ST_LOG_DEBUG 4

/**
 * Everything else.
 */
#define ST_LOG_TRACE 5

/**
 * For `st_secrets_get_with`: look at each source now, whatever is remembered of it. If AWS or Vault does not answer, the
 * last value is returned with `ST_SECRET_STALE`, however young it is.
 */
#define ST_GET_REFRESH 1

/**
 * For `st_secrets_get_with`: ask no provider that may take long. The value may come with `ST_SECRET_STALE`. If it is not
 * cached and such a provider was left out, the answer is `ST_UNAVAILABLE`.
 */
#define ST_GET_CACHED_ONLY 2

/**
 * In `st_secret_info.flags`: the value is older than `cache_ttl`, or could not be refreshed as was asked for; the provider
 * does not answer now, or another call is asking it.
 */
#define ST_SECRET_STALE 1

/**
 * In `st_secret_info.flags`: the value comes from memory.
 */
#define ST_SECRET_CACHED 2

/**
 * In `st_secret_info.flags`: a provider that goes before this one failed, so another value may be the one that counts.
 */
#define ST_SECRET_DEGRADED 4

/**
 * For `st_cache_load_begin`: the value is there.
 */
#define ST_LOAD_HIT 1

/**
 * For `st_cache_load_begin`: the caller is the one to load it, and has a lease to end.
 */
#define ST_LOAD_LEADER 2

/**
 * For `st_cache_load_begin`: another caller loads it, and this one did not want to wait.
 */
#define ST_LOAD_BUSY 3

/**
 * From `st_credential_resolve`: the credential is the user's own.
 */
#define ST_CREDENTIAL_USER 1

/**
 * From `st_credential_resolve`: the credential is the secret that all users share.
 */
#define ST_CREDENTIAL_GLOBAL 2

/**
 * For `st_credentials_reencrypt`: encrypt plain text too.
 */
#define ST_REENCRYPT_PLAIN 1

/**
 * A cache whose entries live for a time. It keeps no thread. It may be used from any number of threads at once, and in
 * the child of a `fork()`.
 *
 * It never holds more than its capacity, and evicts the least recently used entry; reading counts as use. The order is
 * exact within a thread. Between threads it is exact to a tick of the kernel's coarse clock (`clock_getres` of
 * `CLOCK_MONOTONIC_COARSE`, mostly 1 to 10 ms): an entry that several threads read within a tick counts as used at its
 * end.
 *
 * An entry whose time is over is not found any more. Times are of `CLOCK_BOOTTIME`, which setting the date does not
 * change and which goes on while the machine sleeps. There are two exceptions: for 100 ms after the machine has slept,
 * entries that expired meanwhile may still be found; and where the kernel updates its coarse clock more than 100 ms
 * late, as on an overloaded virtual machine, an entry may be found for as much longer.
 */
typedef struct st_cache st_cache;

/**
 * Keys with which credentials are encrypted, in the format of SimpleTuner. It may be used from any number of threads at
 * once, and in the child of a `fork()`. Where a function takes one, NULL stands for the cipher of the whole process,
 * which is made on first use and replaced by `st_cipher_reset`.
 *
 * The newest key encrypts: `SIMPLETUNER_CREDENTIAL_KEY`, else that in `~/.simpletuner/credential.key`, else a new one
 * that is saved there with mode 0600. Earlier ones, from `SIMPLETUNER_CREDENTIAL_KEY_PREVIOUS` (one a line) and
 * `~/.simpletuner/credential.key.previous`, decrypt too. Key files are looked at again at most once a second.
 *
 * Any function that uses one may return `ST_BAD_KEY`: a key file is empty, unreadable or gone. It is never replaced.
 * `ST_ACCESS_DENIED`: others can read a key file, and `strict_permissions` is set; else the log is warned.
 */
typedef struct st_cipher st_cipher;

/**
 * Settings by name, each with a default. It may be used by one thread at a time; what was opened with it has a copy.
 *
 * Keys of the secrets manager:
 *
 * - `providers`: JSON array, the providers in the order in which they are asked; default `["env","file","aws","vault"]`
 * - `env_prefix`: text; `MYAPP` makes the key `hf-token` the variable `MYAPP_HF_TOKEN`; default none
 * - `file_path`: text, a JSON or YAML file or a directory of one-secret files, `~` being the home directory; default the
 *   first that exists of `~/.simpletuner/secrets.json`, `.yaml`, `.yml`
 * - `strict_permissions`: true or false, refuse a file that other users can read or change; default false
 * - `timeout`: seconds above 0 for one call; default 10
 * - `cache_ttl`: seconds for which a document of AWS or Vault, or an answer of a provider of the program, is remembered;
 *   default 300. Environment and file are asked on every get.
 * - `miss_ttl`: seconds for which it is remembered that AWS or Vault has no document, or that a provider of the program has
 *   no value; default 5
 * - `max_stale`: seconds after `cache_ttl` for which the last document of AWS or Vault serves over an outage; default 3600
 * - `max_backoff`: seconds that AWS or Vault rests at most when it fails, up to four times as many after a timeout;
 *   default 15
 * - `max_attempts`: whole number, how often one request is sent at most; default 3
 * - `aws_secret_name`, `aws_region`, `aws_profile`, `aws_endpoint_url`, `aws_version_id`, `aws_version_stage`: AWS Secrets
 *   Manager; text, `aws_secret_name` also a JSON array of texts
 * - `vault_url`, `vault_mount`, `vault_path`, `vault_kv_version` (`"1"`, `"2"` or `"auto"`), `vault_namespace`,
 *   `vault_ca_cert`, `vault_token`, `vault_token_file`, `vault_auth`, `vault_auth_mount`, `vault_role_id`,
 *   `vault_secret_id`, `vault_secret_id_file`, `vault_secret_id_wrapped` (true or false), `vault_role`, `vault_jwt_file`:
 *   HashiCorp Vault or OpenBao; text, as the README's tables explain
 *
 * Keys of a cache of the program's own (`st_cache_open`):
 *
 * - `default_ttl`: seconds for which an entry lives unless it is stored with another time; default 300
 * - `max_size`: a whole number, the entries that are held at most, 0 for none; default 1000
 * - `cleanup_interval`: seconds above 0, how often expired entries are cleared away; default 60
 * - `soft_ttl`: seconds after which the first caller of `st_cache_get_or_load` or `st_cache_load_begin` is to load an entry anew,
 *   while the others still get the old value; default never
 * - `ttl_jitter`: 0 to 1, by which part of its times an entry may expire earlier, so that what was stored together does not
 *   expire together; default 0
 * - `absent_ttl`: seconds for which it is remembered that a load found no value; default 0, not at all
 *
 * Keys of a cipher, beside `strict_permissions` and `timeout`:
 *
 * - `key`: text, the secret that the key is derived from, in place of any file or variable
 * - `key_file`: text, a file with that secret, in place of `SIMPLETUNER_CREDENTIAL_KEY` and
 *   `~/.simpletuner/credential.key`. Earlier secrets are in the file of the same name with `.previous` behind it.
 * - `previous_keys`: JSON array of earlier secrets, with which to decrypt too
 * - `generate`: true or false, make the key file where there is none; default true
 *
 * Keys of a store, beside `timeout` (seconds above 0 for one call; default 30):
 *
 * - `state_dir`: text, a directory in place of SimpleTuner's own, which is `SIMPLETUNER_STATE_DIR`,
 *   `SIMPLETUNER_CONFIG_DIR`, or that of `/workspace/simpletuner`, `/notebooks/simpletuner` and `~/.simpletuner` which is
 *   in use; in it are `cloud/jobs.db` and `audit.db`. Credentials are in `SIMPLETUNER_AUTH_DB_PATH`, if that is set.
 * - `database`: text, a file in place of `cloud/jobs.db`, for credentials too; `audit.db` is then beside it
 * - `audit_database`: text, a file in place of `audit.db`; the file `audit.key` beside it, or
 *   `SIMPLETUNER_AUDIT_KEY`, has the key that entries are signed with
 */
typedef struct st_config st_config;

/**
 * Where a callback puts its answer, valid until it returns.
 */
typedef struct st_reply st_reply;

/**
 * A chain of providers in which secrets are found. It may be used from any number of threads at once, and in the child of
 * a `fork()`. Where a function takes one, NULL stands for the manager of the whole process, which is made from the
 * environment on first use and replaced by `st_secrets_reset`.
 */
typedef struct st_secrets st_secrets;

/**
 * The databases of a state directory, SimpleTuner's own: provider configuration, hardware prices, stored credentials and
 * an audit trail of every change. Both programs may use them at the same time, also within one process. It may be used
 * from any number of threads at once, and in the child of a `fork()`. Where a function takes one, NULL stands for the
 * store of the whole process, which is made from the environment on first use and replaced by `st_store_reset`.
 *
 * Reading creates nothing; the first write creates what is missing. Each change is recorded in the audit trail before it
 * is made; a change that cannot be recorded is not made.
 *
 * Any function that uses one may return, beside `ST_IO` and `ST_ACCESS_DENIED`: `ST_BUSY`: another process kept the
 * database locked for too long; `ST_TIMEOUT`: another thread did, or a statement took longer than the call may take, as
 * on a damaged database; `ST_READ_ONLY`: the database cannot be written to; `ST_CORRUPT`: it is damaged, or its tables
 * are another program's; `ST_BAD_KEY`: the audit key is unreadable, or gone.
 */
typedef struct st_store st_store;

/**
 * The result of a call: `ST_OK`, or one of the negative numbers below. A number is never given another meaning, and
 * a later version may return numbers that this header does not list.
 */
typedef int32_t st_status;

/**
 * Receives one log message: its level, the part of the library it comes from (NUL-terminated) and its text, `len`
 * bytes of UTF-8 with a NUL behind them. Both texts end with the call. The text never holds a value, key or token.
 *
 * It is called on the thread that made the call being logged, from several threads at once if several make calls, with
 * no lock of the library held. It may call the library; what the library would log meanwhile is dropped. It must
 * not throw.
 */
typedef void (*st_log_fn)(void *context, int32_t level, const char *target, const char *message, size_t len);

/**
 * Releases what a callback was given as `context`. A call that takes an `st_drop_fn` takes the context over, whatever
 * it returns: the function is called exactly once, on any thread, with no lock of the library held. NULL: nothing is
 * to be released.
 */
typedef void (*st_drop_fn)(void *context);

/**
 * What went wrong. The caller allocates it, sets it up with `ST_ERROR_INIT` and passes it as the last argument; NULL
 * is fine for callers that need only the status. One `st_error` may serve any number of calls, one at a time.
 *
 * A failing call writes all fields that lie within `size`; a successful one writes `status` and `message[0]` only.
 */
typedef struct st_error {
    /**
     * The size of this struct in the caller's version of the header: `sizeof(st_error)`.
     */
    uint32_t size;
    /**
     * The status that the call returned.
     */
    st_status status;
    /**
     * The provider that failed, one of `ST_SOURCE_…`.
     */
    int32_t source;
    /**
     * The HTTP status or `errno`; 0 if there is none.
     */
    int32_t detail;
    /**
     * A combination of `ST_ERROR_…` bits.
     */
    uint32_t flags;
    /**
     * What happened, where, and what to do about it, in English, as NUL-terminated UTF-8, cut off at a whole character
     * where it is too long. It never holds a value, key or token.
     */
    char message[512];
} st_error;

/**
 * Bytes that the library hands out: a counted reference to memory that cannot be changed, is kept out of core files,
 * and is wiped when its last reference goes. One NUL follows the last byte. They stay valid until `st_bytes_free`,
 * whatever becomes of the handle they came from, and may be read from any thread.
 *
 * The struct itself belongs to the caller and is not to be copied: a copy is not a reference. Take further references
 * with `st_bytes_clone`.
 */
typedef struct st_bytes {
    /**
     * The first byte; NULL if this holds nothing.
     */
    const uint8_t *data;
    /**
     * How many bytes there are, without the NUL.
     */
    size_t len;
    /**
     * For the library.
     */
    void *owner;
} st_bytes;

/**
 * Where a value came from. The caller allocates it and sets it up with `ST_SECRET_INFO_INIT`.
 */
typedef struct st_secret_info {
    /**
     * The size of this struct in the caller's version of the header: `sizeof(st_secret_info)`.
     */
    uint32_t size;
    /**
     * A combination of `ST_SECRET_…` bits.
     */
    uint32_t flags;
    /**
     * The kind of the provider, one of `ST_SOURCE_…`.
     */
    int32_t source;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * Seconds since the provider was asked; 0 for providers that are asked on every get.
     */
    double age;
    /**
     * Seconds until the provider is asked again; 0 for providers that are asked on every get, and for stale values.
     */
    double expires_in;
    /**
     * The name of the provider, NUL-terminated: "env", "file", "aws", "vault", or that of a provider of the program.
     */
    char provider[32];
    /**
     * The provider's own name of this version of the secret, NUL-terminated; empty if it has none.
     */
    char version[64];
} st_secret_info;

/**
 * Finds the value of `key`, `key_len` bytes with a NUL behind them (for a cache any bytes, else UTF-8), within `timeout` seconds (`INFINITY`: no limit).
 *
 * It answers in one of three ways: with a value (`st_reply_bytes`, then return `ST_OK`), with "I have none" (return
 * `ST_NOT_FOUND`), or with a failure (`st_reply_error` if there is something to say, then return its status). It may be
 * called from several threads at once, with no lock of the library held, and may call the library, the handle that
 * it serves included. It must return; it must not throw.
 */
typedef st_status (*st_load_fn)(void *context,
                                const char *key,
                                size_t key_len,
                                double timeout,
                                struct st_reply *reply);

/**
 * An object that the library hands out: a counted reference. Give it back with `st_object_free`. The struct itself
 * belongs to the caller and is not to be copied.
 */
typedef struct st_object {
    /**
     * What was stored; NULL if this holds nothing (or NULL was stored).
     */
    void *object;
    /**
     * For the library.
     */
    void *owner;
} st_object;

/**
 * The state of a cache, and what happened to it since it was made. The caller allocates it and sets it up with
 * `ST_CACHE_COUNTS_INIT`.
 */
typedef struct st_cache_counts {
    /**
     * The size of this struct in the caller's version of the header: `sizeof(st_cache_counts)`.
     */
    uint32_t size;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * Entries that are held, with those that have expired and were not cleared away yet.
     */
    uint64_t entries;
    /**
     * Entries that are held at most.
     */
    uint64_t max_size;
    /**
     * Entries that are held but have expired.
     */
    uint64_t expired_count;
    /**
     * Seconds that an entry lives unless it is stored with another time.
     */
    double default_ttl;
    /**
     * Reads that found a value, or that it is remembered that there is none.
     */
    uint64_t hits;
    /**
     * Reads that found none.
     */
    uint64_t misses;
    /**
     * Entries that had to make room before their time was over.
     */
    uint64_t evictions;
    /**
     * Entries that went because their time was over.
     */
    uint64_t expirations;
    /**
     * Entries that were deleted before their time was over.
     */
    uint64_t invalidations;
    /**
     * Loads that were begun.
     */
    uint64_t loads;
    /**
     * Loads that ended without a value.
     */
    uint64_t load_failures;
} st_cache_counts;

/**
 * Is told how many of how many credentials are done; `false` stops it all, and nothing is changed. It is called on the
 * calling thread while the database is locked for other writers, with no lock of the library held. It may use the
 * library, but nothing in the same database file, through whatever store: neither credentials nor, where both are in one
 * file, provider configuration and hardware prices that are not cached. Such a call gets `ST_BUSY`.
 */
typedef bool (*st_progress_fn)(void *context, uint64_t done, uint64_t total);

/**
 * Success.
 */
#define ST_OK 0

/**
 * Every configured provider was asked, and each answered that it has no such value. A provider that could not be asked never
 * leads to this status. What to do: provide the value in a provider that the message names.
 */
#define ST_NOT_FOUND -1

/**
 * An argument is NULL, too long, not UTF-8 or out of range. What to do: mend the calling program.
 */
#define ST_INVALID_ARGUMENT -2

/**
 * A setting is unknown, missing or of the wrong type. What to do: mend the setting that the message names.
 */
#define ST_CONFIG -3

/**
 * The operating system refused a file operation; `detail` is `errno`.
 */
#define ST_IO -4

/**
 * Permissions or a policy forbid it; `detail` is `errno` where the system refused.
 */
#define ST_ACCESS_DENIED -5

/**
 * Something that is needed does not answer now. What to do: try again later.
 */
#define ST_UNAVAILABLE -6

/**
 * The deadline passed. What to do: try again, or allow more time.
 */
#define ST_TIMEOUT -7

/**
 * A document or an answer is not in the form that it must have. What to do: mend it at the line that is named.
 */
#define ST_PROTOCOL -8

/**
 * An encrypted token is damaged, or was made with another key. What to do: bring back the key that it was made with.
 */
#define ST_BAD_TOKEN -9

/**
 * An encryption key is missing, empty or unreadable. What to do: mend the file or variable that the message names.
 */
#define ST_BAD_KEY -10

/**
 * The caller's buffer is too small; the size that is needed was written to `*len`.
 */
#define ST_BUFFER_TOO_SMALL -11

/**
 * A callback broke its contract, for example by answering `ST_OK` without a value.
 */
#define ST_CALLBACK -12

/**
 * A database or a hash chain is damaged.
 */
#define ST_CORRUPT -13

/**
 * Somebody else holds what is needed. What to do: try again.
 */
#define ST_BUSY -14

/**
 * The value is there, but it is of another type.
 */
#define ST_WRONG_TYPE -15

/**
 * The place cannot be written to.
 */
#define ST_READ_ONLY -16

/**
 * Memory could not be had.
 */
#define ST_NO_MEMORY -17

/**
 * The load that was waited for was given up by its owner.
 */
#define ST_ABANDONED -18

/**
 * A bug: the library panicked. The call had no result; the library stays usable.
 */
#define ST_PANIC -99

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library that runs, as text: "0.1.0". Static, never NULL.
 */
const char *st_version(void);

/**
 * The version of the library that runs, as a number: `major * 1000000 + minor * 1000 + patch`. Compare it with
 * `ST_VERSION_NUMBER`, the version of the header.
 */
uint32_t st_version_number(void);

/**
 * The version of the binary interface, the number in the library's soname. It goes up when a program has to be
 * compiled again; new functions alone do not raise it. Compare it with `ST_ABI_VERSION`.
 */
uint32_t st_abi_version(void);

/**
 * The name of a status: "ST_NOT_FOUND"; "ST_UNKNOWN" for a number that this version does not know. Static, never NULL.
 */
const char *st_status_name(st_status status);

/**
 * Sends log messages up to `max_level` (`ST_LOG_…`) to `log` from now on, for the whole process. NULL as `log` stops
 * logging.
 *
 * `drop`, if not NULL, is called once with `context` when the library is done with it: after another call of this
 * function has replaced it and no message is on its way, or before this one returns with an error.
 */
st_status st_log_set(int32_t max_level,
                     st_log_fn log,
                     st_drop_fn drop,
                     void *context,
                     struct st_error *error);

/**
 * Takes another reference to the same bytes and writes it to `out`, which then needs an `st_bytes_free` of its own.
 * `bytes` must hold some, and `out` must be another place.
 */
st_status st_bytes_clone(const struct st_bytes *bytes,
                         struct st_bytes *out,
                         struct st_error *error);

/**
 * Gives a reference back and zeroes the struct. The only way to free an `st_bytes`. NULL, or one that holds nothing
 * (because its call failed, or because it was freed before), is fine.
 */
void st_bytes_free(struct st_bytes *bytes);

/**
 * A configuration in which everything has its default. Never NULL. Free it with `st_config_free`.
 */
struct st_config *st_config_new(void);

/**
 * Frees a configuration. NULL is fine.
 */
void st_config_free(struct st_config *config);

/**
 * Sets one key from text: `true`, `2.5`, `/path/to/file`, `["env","file"]`. Key and value are UTF-8 and are copied.
 *
 * `ST_CONFIG`: the key is unknown (the message names the nearest known one) or the value is of the wrong type; nothing
 * was set.
 */
st_status st_config_set(struct st_config *config,
                        const char *key,
                        size_t key_len,
                        const char *value,
                        size_t value_len,
                        struct st_error *error);

/**
 * Adds the settings of a JSON object: `{"file_path": "~/s.json", "strict_permissions": true}`. `null` gives a key its
 * default again. Either all of them are taken or, with an error as for `st_config_set`, none.
 */
st_status st_config_parse(struct st_config *config,
                          const char *json,
                          size_t len,
                          struct st_error *error);

/**
 * Answers with `len` bytes, which are copied. They may be kept for `ttl` seconds; `ST_TTL_DEFAULT` leaves that to the
 * configuration.
 */
st_status st_reply_bytes(struct st_reply *reply,
                         const void *data,
                         size_t len,
                         double ttl);

/**
 * Answers with an object of the program's own, to be kept for `ttl` seconds as for `st_reply_bytes`. It is taken over in
 * any case: `drop` (may be NULL) is called with it once, when nobody holds it any more or when this call fails.
 *
 * `ST_WRONG_TYPE`: the value of a secret was asked for, which is bytes.
 */
st_status st_reply_object(struct st_reply *reply,
                          void *object,
                          st_drop_fn drop,
                          double ttl);

/**
 * Answers with a failure (`ST_NOT_FOUND`: "I have none"): a status other than `ST_OK`, and a message (UTF-8, copied; NULL with 0 is none), which must
 * not hold a secret.
 */
st_status st_reply_error(struct st_reply *reply,
                         st_status status,
                         const char *message,
                         size_t len);

/**
 * Opens a manager. `config` may be NULL and is copied. It reads nothing yet: what is wrong with a file is the error of
 * the call that needs it. Free the manager with `st_secrets_free`.
 *
 * `ST_CONFIG`: a setting cannot be used.
 */
st_status st_secrets_open(const struct st_config *config,
                          struct st_secrets **out,
                          struct st_error *error);

/**
 * Frees a manager. No other thread may be using it. NULL is fine and leaves the manager of the process alone.
 */
void st_secrets_free(struct st_secrets *secrets);

/**
 * Replaces the manager of the whole process by one with these settings or, with NULL, by a new one on its next use.
 * Calls under way end with the one they began with.
 */
st_status st_secrets_reset(const struct st_config *config,
                           struct st_error *error);

/**
 * Finds the value of `key`, which is UTF-8, in the first provider that has it. The environment and the file are asked on
 * every call, so an override works at once; a file is looked at for changes at most once a second. AWS Secrets Manager
 * and Vault are read whole, once for all callers, and what they answered is remembered for `cache_ttl`. A value in memory
 * is not waited for while another call reads them again; see `ST_SECRET_STALE`.
 *
 * A provider that fails is passed over, and the log is told. If no other provider has the value, the answer is the failure
 * of the first one, with its provider in `source`; it is never `ST_NOT_FOUND`.
 *
 * On success `out` holds the value until `st_bytes_free`.
 */
st_status st_secrets_get(const struct st_secrets *secrets,
                         const char *key,
                         size_t key_len,
                         struct st_bytes *out,
                         struct st_error *error);

/**
 * As `st_secrets_get`, but copies the value into the caller's buffer, without a NUL, and writes its length to `len`.
 * `(NULL, 0)` asks for the length alone. The copy is the caller's to wipe.
 *
 * `ST_BUFFER_TOO_SMALL`: the value is longer than `capacity`; `len` has the length that is needed, the buffer is as it
 * was.
 */
st_status st_secrets_get_into(const struct st_secrets *secrets,
                              const char *key,
                              size_t key_len,
                              void *buffer,
                              size_t capacity,
                              size_t *len,
                              struct st_error *error);

/**
 * As `st_secrets_get`, within `timeout` seconds (`ST_TIMEOUT_DEFAULT`: that of the configuration; `INFINITY`: no
 * limit), in the way that `flags` say (`ST_GET_…`, 0 for the usual), and with an account of where the value came from
 * (`info` may be NULL).
 */
st_status st_secrets_get_with(const struct st_secrets *secrets,
                              const char *key,
                              size_t key_len,
                              double timeout,
                              uint32_t flags,
                              struct st_bytes *out,
                              struct st_secret_info *info,
                              struct st_error *error);

/**
 * Finds several values under one deadline. `keys` are `count` names, each ending with a NUL, one behind the other,
 * `keys_len` bytes in all. The i-th result goes to `values[i]`, which is then the caller's to free, and `statuses[i]`.
 *
 * The call itself succeeds also where a key fails: look at `statuses`. Ask for that key alone to learn why.
 */
st_status st_secrets_get_many(const struct st_secrets *secrets,
                              const char *keys,
                              size_t keys_len,
                              size_t count,
                              struct st_bytes *values,
                              st_status *statuses,
                              struct st_error *error);

/**
 * Finds `REPLICATE_API_TOKEN`, as `st_secrets_get` does.
 */
st_status st_secrets_get_replicate_token(const struct st_secrets *secrets,
                                         struct st_bytes *out,
                                         struct st_error *error);

/**
 * Finds `HF_TOKEN`, as `st_secrets_get` does.
 */
st_status st_secrets_get_hf_token(const struct st_secrets *secrets,
                                  struct st_bytes *out,
                                  struct st_error *error);

/**
 * Finds `CLOUD_WEBHOOK_SECRET`, as `st_secrets_get` does.
 */
st_status st_secrets_get_webhook_secret(const struct st_secrets *secrets,
                                        struct st_bytes *out,
                                        struct st_error *error);

/**
 * Writes a secret, which is UTF-8, into the secrets file; where there is none, into a new
 * `~/.simpletuner/secrets.json` or the configured `file_path`. The file keeps its format, its other entries and their
 * layout, is replaced as a whole, and has mode 0600 from its first byte. Writers in several processes wait for each
 * other. The chain still decides what the next get returns: a variable of the same name goes before the file.
 *
 * `ST_PROTOCOL`: the file cannot be parsed, or its layout cannot be changed safely; `ST_READ_ONLY`: it is a directory of
 * secrets; `ST_BUSY`: another process did not finish in time; `ST_CONFIG`: there is no file provider, or no home. In each
 * case the file is as it was.
 */
st_status st_secrets_set(const struct st_secrets *secrets,
                         const char *key,
                         size_t key_len,
                         const void *value,
                         size_t value_len,
                         struct st_error *error);

/**
 * Writes `REPLICATE_API_TOKEN` into the secrets file, as `st_secrets_set` does.
 */
st_status st_secrets_set_replicate_token(const struct st_secrets *secrets,
                                         const void *value,
                                         size_t value_len,
                                         struct st_error *error);

/**
 * Removes a secret from the secrets file, with errors as for `st_secrets_set`. `existed` (may be NULL) tells whether it
 * was there; that it was not is no failure.
 */
st_status st_secrets_delete(const struct st_secrets *secrets,
                            const char *key,
                            size_t key_len,
                            bool *existed,
                            struct st_error *error);

/**
 * Adds a provider of the program's own. `name` (1 to 31 bytes of UTF-8) is what errors, logs and `st_secret_info` call it;
 * `position` is its place in the order, 0 being first and `ST_LAST` last. It stays until the manager is freed.
 *
 * Its answers are remembered. While one call asks it again, other calls get its last answer, with `ST_SECRET_STALE` if
 * `cache_ttl` is over; not past a time that it gave with the answer, and not after it replied `ST_ACCESS_DENIED`.
 *
 * `context` is taken over in any case: `drop` (may be NULL) is called with it once, when the manager is freed or when
 * this call fails.
 *
 * `ST_INVALID_ARGUMENT`: the name is taken or unusable, or the position is beyond the providers that there are.
 */
st_status st_secrets_add_provider(const struct st_secrets *secrets,
                                  const char *name,
                                  size_t name_len,
                                  size_t position,
                                  st_load_fn get,
                                  st_drop_fn drop,
                                  void *context,
                                  struct st_error *error);

/**
 * Looks at every source now, within `timeout` seconds (`ST_TIMEOUT_DEFAULT`: that of the configuration). The error is
 * that of the first provider that failed, in whole or in part; the others were looked at all the same.
 */
st_status st_secrets_refresh(const struct st_secrets *secrets,
                             double timeout,
                             struct st_error *error);

/**
 * Forgets, and so wipes, every value that the manager remembers and no caller holds.
 */
st_status st_secrets_clear_cache(const struct st_secrets *secrets, struct st_error *error);

/**
 * The settings and providers in their order, as JSON without any value:
 * `{"timeout": 10.0, "providers": [{"name": "env", "prefix": null}, {"name": "file", "path": …, "entries": 3}]}`.
 */
st_status st_secrets_describe(const struct st_secrets *secrets,
                              struct st_bytes *json,
                              struct st_error *error);

/**
 * How every provider is, and the memory that holds secrets, as JSON without any value:
 * `{"ok": true, "providers": [{"name": "env", "state": "ok", "detail": …}], "memory": {"state": "ok", …}}`. A state is
 * `ok`, `absent` (there is nothing to ask), `warning` or `failed`; `advice`, where present, says what to do; `ok` is
 * false if a provider failed.
 */
st_status st_secrets_check(const struct st_secrets *secrets,
                           struct st_bytes *json,
                           struct st_error *error);

/**
 * The file or directory that the file provider reads; where there is none yet, the file that `st_secrets_set` creates. The
 * bytes are those of the path, which need not be UTF-8.
 *
 * `ST_CONFIG`: there is no file provider, or no home directory.
 */
st_status st_secrets_file_path(const struct st_secrets *secrets,
                               struct st_bytes *path,
                               struct st_error *error);

/**
 * Makes a cache of at most `max_size` entries (0 holds nothing and still loads once) that live for `default_ttl` seconds
 * (`INFINITY`: forever; 0: over at once), clearing expired ones away every `cleanup_interval` seconds (above 0;
 * `INFINITY`: never), a few in each call that comes then. Free it with `st_cache_free`.
 */
st_status st_cache_new(double default_ttl,
                       size_t max_size,
                       double cleanup_interval,
                       struct st_cache **out,
                       struct st_error *error);

/**
 * Makes a cache as `st_cache_new` does, with settings: the keys `default_ttl`, `max_size`, `cleanup_interval`,
 * `soft_ttl`, `ttl_jitter`, `absent_ttl` and `keyed_hash` of `config`, which is copied and may be NULL for every default.
 * `keyed_hash` (default `false`) is for caches whose keys are chosen by strangers: SipHash-1-3 instead of a faster hash
 * that does not hide its seed from somebody who measures many calls. Free the cache with `st_cache_free`.
 */
st_status st_cache_open(const struct st_config *config,
                        struct st_cache **out,
                        struct st_error *error);

/**
 * Frees a cache with all that it holds; what callers hold of it stays. No other thread may be using it. The `drop`
 * functions of its objects are called before it goes and may use it; what they store in it is dropped too. NULL and the
 * built-in caches are fine, and stay.
 */
void st_cache_free(struct st_cache *cache);

/**
 * Stores a copy of `value_len` bytes under `key`, which is any bytes, for `ttl` seconds (`ST_TTL_DEFAULT`: the cache's;
 * `INFINITY`: forever; 0: over at once). A load of this key that is under way is not stored any more, and callers that
 * ask from now on do not wait for it.
 */
st_status st_cache_set(const struct st_cache *cache,
                       const void *key,
                       size_t key_len,
                       const void *value,
                       size_t value_len,
                       double ttl,
                       struct st_error *error);

/**
 * Stores an object of the program's own, with times as for `st_cache_set`. It is taken over in any case: `drop` (may be
 * NULL) is called with it once, with no lock held, when nobody holds it any more or when this call fails.
 */
st_status st_cache_set_object(const struct st_cache *cache,
                              const void *key,
                              size_t key_len,
                              void *object,
                              st_drop_fn drop,
                              double ttl,
                              struct st_error *error);

/**
 * Finds the bytes under `key`. On success `out` holds them until `st_bytes_free`.
 *
 * `ST_NOT_FOUND`: there is no entry, or its time is over; no message is written. `ST_WRONG_TYPE`: it is an object.
 */
st_status st_cache_get(const struct st_cache *cache,
                       const void *key,
                       size_t key_len,
                       struct st_bytes *out,
                       struct st_error *error);

/**
 * As `st_cache_get`, but copies the bytes into the caller's buffer, without a NUL, and writes their number to `len`.
 * `(NULL, 0)` asks for the number alone.
 *
 * `ST_BUFFER_TOO_SMALL`: `len` has the number that is needed; the buffer is as it was.
 */
st_status st_cache_get_into(const struct st_cache *cache,
                            const void *key,
                            size_t key_len,
                            void *buffer,
                            size_t capacity,
                            size_t *len,
                            struct st_error *error);

/**
 * Finds the object under `key`. On success `out` holds it until `st_object_free`.
 *
 * `ST_NOT_FOUND`: there is no entry, or its time is over; no message is written. `ST_WRONG_TYPE`: it is bytes.
 */
st_status st_cache_get_object(const struct st_cache *cache,
                              const void *key,
                              size_t key_len,
                              struct st_object *out,
                              struct st_error *error);

/**
 * Gives an object back and zeroes the struct. NULL, or one that holds nothing, is fine. If nobody else holds the object,
 * its `drop` is called before this returns.
 */
void st_object_free(struct st_object *object);

/**
 * Removes an entry. `existed` (may be NULL) says whether there was one whose time was not over; that there was none is
 * not a failure. A load of this key that is under way is not stored any more, and callers that ask from now on do not
 * wait for it: what they get was loaded after this call began.
 */
st_status st_cache_delete(const struct st_cache *cache,
                          const void *key,
                          size_t key_len,
                          bool *existed,
                          struct st_error *error);

/**
 * Removes all entries at once and gives their memory back. `count` (may be NULL) says how many of them were not over
 * yet. Loads are treated as by `st_cache_delete`.
 */
st_status st_cache_clear(const struct st_cache *cache,
                         size_t *count,
                         struct st_error *error);

/**
 * Removes the entries whose keys begin with these bytes; none (NULL, 0) is `st_cache_clear`. `count` and loads are as
 * for that. Other callers see the entries go part by part, and what they store meanwhile may stay.
 */
st_status st_cache_invalidate_prefix(const struct st_cache *cache,
                                     const void *prefix,
                                     size_t prefix_len,
                                     size_t *count,
                                     struct st_error *error);

/**
 * Reports the state of a cache. All numbers are of one moment, save `expired_count`: entries that have expired are
 * counted one by one after that, some milliseconds for a million, and other callers go on meanwhile.
 */
st_status st_cache_stats(const struct st_cache *cache,
                         struct st_cache_counts *out,
                         struct st_error *error);

/**
 * The process's cache for provider configuration, under keys like `provider:replicate:config`: 300 s, 100 entries. Never
 * NULL, not to be freed.
 */
const struct st_cache *st_cache_provider_config(void);

/**
 * The process's cache for permissions of users, under keys like `user:123:permissions`: 60 s, 500 entries. Never NULL,
 * not to be freed.
 */
const struct st_cache *st_cache_user_permission(void);

/**
 * Forgets all that the built-in cache holds about a provider: the keys that begin with `provider:{provider}:`. `count`
 * as for `st_cache_clear`.
 */
st_status st_cache_invalidate_provider(const char *provider,
                                       size_t len,
                                       size_t *count,
                                       struct st_error *error);

/**
 * Forgets all that the built-in cache holds about a user: the keys that begin with `user:{user_id}:`. `count` as for
 * `st_cache_clear`.
 */
st_status st_cache_invalidate_user(int64_t user_id,
                                   size_t *count,
                                   struct st_error *error);

/**
 * Finds the value under `key`, or else has `load` find it and stores that. Other callers that ask for the key meanwhile
 * wait for this load, each for `timeout` seconds at most (`INFINITY`: forever). `load` is called with `context` on this
 * thread before this function returns, with no lock held; it answers as `st_load_fn` says. A failure is handed to all
 * that wait, and is not stored, save that an `absent_ttl` of the cache has it remembered that there is no value. If the
 * key is written or invalidated meanwhile, the callers that asked before get the value, but it is not stored, and those
 * that ask later have it loaded again.
 *
 * Where an entry past its `soft_ttl` is loaded again, `ST_NOT_FOUND` and `ST_ACCESS_DENIED` are believed: the entry is
 * removed, and that is the answer. After any other failure the old value is served, here and for a second to all
 * callers; then the next one loads again.
 *
 * `out` may be NULL for a caller that only wants the value to be in the cache, as for objects.
 *
 * `ST_TIMEOUT`: another caller's load did not end in time, or `timeout` is over. `ST_BUSY`: `load` asks for the very key
 * that it loads, or for one whose load waits, over any number of threads and caches, for this one; or another caller
 * loads, and `timeout` is 0. `ST_NOT_FOUND`: `load` has no value. `ST_WRONG_TYPE`: the value is an object.
 */
st_status st_cache_get_or_load(const struct st_cache *cache,
                               const void *key,
                               size_t key_len,
                               double timeout,
                               st_load_fn load,
                               void *context,
                               struct st_bytes *out,
                               struct st_error *error);

/**
 * Finds the value under `key`, or else gives out the lease to load it: `st_cache_get_or_load` in two halves, for
 * callers that cannot load within a call. `outcome` says which:
 *
 * - `ST_LOAD_HIT`: `value` holds it; if it is an object, `value` is empty, and `st_cache_get_object` has it
 * - `ST_LOAD_LEADER`: `lease` is a number with which this caller has to call `st_cache_load_finish`,
 *   `st_cache_load_finish_object` or `st_cache_load_abandon`, from any thread; `value` holds the old value if there is one that may
 *   still be served
 * - `ST_LOAD_BUSY`: another caller has the lease, and `timeout` is 0
 *
 * While another caller has the lease, this one waits up to `timeout` seconds; with 0 it does not wait. A lease that is
 * not ended within `lease_ttl` seconds (`INFINITY`: no limit) goes to the next caller that asks. If the key is written or
 * invalidated, the next caller that asks gets a lease of its own, and the earlier one can still be ended. In a forked
 * child all leases of the parent are void.
 *
 * `ST_TIMEOUT`: the other caller did not end in time. If it ended with a failure, that is the error here. `ST_BUSY`: the
 * call comes from a `load` of `st_cache_get_or_load` that loads this key, or that the load of this key waits for.
 * `ST_NOT_FOUND`: it is remembered that there is no value.
 */
st_status st_cache_load_begin(const struct st_cache *cache,
                              const void *key,
                              size_t key_len,
                              double timeout,
                              double lease_ttl,
                              int32_t *outcome,
                              struct st_bytes *value,
                              uint64_t *lease,
                              struct st_error *error);

/**
 * Ends a lease with a copy of `len` bytes: they are stored for `ttl` seconds (`ST_TTL_DEFAULT`: the cache's) and handed
 * to all that wait; or, if the key was written or invalidated meanwhile, handed to these alone.
 *
 * `ST_ABANDONED`: the lease has ended, or its time was over. `ST_INVALID_ARGUMENT`: nothing was ended.
 */
st_status st_cache_load_finish(const struct st_cache *cache,
                               uint64_t lease,
                               const void *value,
                               size_t len,
                               double ttl,
                               struct st_error *error);

/**
 * As `st_cache_load_finish`, with an object, which is taken over as by `st_cache_set_object`.
 */
st_status st_cache_load_finish_object(const struct st_cache *cache,
                                      uint64_t lease,
                                      void *object,
                                      st_drop_fn drop,
                                      double ttl,
                                      struct st_error *error);

/**
 * Ends a lease without a value: all that wait get the status `why` (not `ST_OK`) and the message (UTF-8, copied; NULL
 * with 0 is none), which must not hold a secret. Nothing is stored, save that an `absent_ttl` of the cache has an
 * `ST_NOT_FOUND` remembered. An old value that may still be served is treated as by `st_cache_get_or_load`.
 *
 * `ST_ABANDONED`: the lease has ended, or its time was over. `ST_INVALID_ARGUMENT`: `why` is not a failure, or the
 * message not text; the lease is ended all the same, with `ST_CALLBACK`, so that nobody waits in vain.
 */
st_status st_cache_load_abandon(const struct st_cache *cache,
                                uint64_t lease,
                                st_status why,
                                const char *message,
                                size_t len,
                                struct st_error *error);

/**
 * Opens a cipher. `config` may be NULL and is copied; its keys `key`, `key_file`, `previous_keys` and `generate` say
 * where keys come from. Keys are read, and made where there are none, now. Free the cipher with `st_cipher_free`.
 *
 * `ST_CONFIG`: settings that exclude each other; `ST_IO`, `ST_READ_ONLY`, `ST_ACCESS_DENIED`: a new key cannot be saved.
 */
st_status st_cipher_open(const struct st_config *config,
                         struct st_cipher **out,
                         struct st_error *error);

/**
 * Frees a cipher and wipes its keys. No other thread may be using it. NULL is fine and leaves the cipher of the process
 * alone.
 */
void st_cipher_free(struct st_cipher *cipher);

/**
 * Replaces the cipher of the whole process by one with these settings or, with NULL, by a new one on its next use.
 * Calls under way end with the one they began with.
 */
st_status st_cipher_reset(const struct st_config *config,
                          struct st_error *error);

/**
 * Encrypts any bytes, up to 16 MiB, under the newest key. `token` is text, as SimpleTuner stores it, until
 * `st_bytes_free`.
 */
st_status st_encrypt(const struct st_cipher *cipher,
                     const void *plaintext,
                     size_t plaintext_len,
                     struct st_bytes *token,
                     struct st_error *error);

/**
 * As `st_encrypt`, but copies the token into the caller's buffer, without a NUL, and writes its length to `len`.
 * `(NULL, 0)` asks for the length alone, which follows from that of the plain text.
 *
 * `ST_BUFFER_TOO_SMALL`: the token is longer than `capacity`; `len` has the length that is needed, the buffer is as it
 * was.
 */
st_status st_encrypt_into(const struct st_cipher *cipher,
                          const void *plaintext,
                          size_t plaintext_len,
                          void *buffer,
                          size_t capacity,
                          size_t *len,
                          struct st_error *error);

/**
 * Decrypts a token under any of the keys, in the form in which SimpleTuner stores it or as a bare Fernet token; white
 * space in it does not count, nor does its age. `plaintext` holds the bytes until `st_bytes_free`, which wipes them.
 *
 * `ST_BAD_TOKEN`: the token is damaged, or was made with a key that is not at hand; which of the two is not told.
 */
st_status st_decrypt(const struct st_cipher *cipher,
                     const char *token,
                     size_t token_len,
                     struct st_bytes *plaintext,
                     struct st_error *error);

/**
 * As `st_decrypt`, but copies the plain text into the caller's buffer, without a NUL, and writes its length to `len`.
 * `(NULL, 0)` asks for the length alone. The copy is the caller's to wipe. For many rows this is the cheapest way: a
 * buffer of the token's own length is always large enough.
 *
 * `ST_BUFFER_TOO_SMALL`: the plain text is longer than `capacity`; `len` has the length that is needed, the buffer is as
 * it was.
 */
st_status st_decrypt_into(const struct st_cipher *cipher,
                          const char *token,
                          size_t token_len,
                          void *buffer,
                          size_t capacity,
                          size_t *len,
                          struct st_error *error);

/**
 * Puts a new key into the key file, after the old one went into the file of earlier keys (`.previous`), so that what it
 * encrypted stays readable. Both files are replaced as a whole: killed at any moment, no key is lost. Other processes
 * take the new key up within a second. SimpleTuner reads `credential.key` alone: re-encrypt what it has to read.
 *
 * `ST_READ_ONLY`: the key comes from a variable or from `key`, or the place cannot be written to; `ST_BUSY`: another
 * process did not finish in time.
 */
st_status st_rotate_key(const struct st_cipher *cipher,
                        struct st_error *error);

/**
 * Makes of a token one under the newest key, in the form in which SimpleTuner stores it. `changed` (may be NULL) tells
 * whether it differs from the one that was given, which may have been that already. Errors are as for `st_decrypt`.
 */
st_status st_reencrypt(const struct st_cipher *cipher,
                       const char *token,
                       size_t token_len,
                       struct st_bytes *out,
                       bool *changed,
                       struct st_error *error);

/**
 * Opens a store. `config` may be NULL and is copied; its keys `state_dir`, `database` and `audit_database` say where the
 * databases are. Nothing is opened or created yet. Free it with `st_store_free`.
 *
 * `ST_CONFIG`: a setting cannot be used, or there is no home directory and none of the settings.
 */
st_status st_store_open(const struct st_config *config,
                        struct st_store **out,
                        struct st_error *error);

/**
 * Makes another handle of the same store: what is done with it is recorded as this actor's. A negative `user_id`, and
 * NULL with 0 as `username` or `ip`, are "not known". Free it with `st_store_free`.
 */
st_status st_store_as(const struct st_store *store,
                      int64_t user_id,
                      const char *username,
                      size_t username_len,
                      const char *ip,
                      size_t ip_len,
                      struct st_store **out,
                      struct st_error *error);

/**
 * Frees a handle. No other thread may be using it. NULL is fine and leaves the store of the process alone. With the last
 * handle of a store, its databases' write-ahead logs are written back, so that the database files alone are complete.
 */
void st_store_free(struct st_store *store);

/**
 * Replaces the store of the whole process by one with these settings or, with NULL, by a new one on its next use. Calls
 * under way end with the one they began with.
 */
st_status st_store_reset(const struct st_config *config,
                         struct st_error *error);

/**
 * Reads the configuration of a provider: a JSON object as it was written (Python's `NaN` and `Infinity` included), `{}`
 * for one that has none. It is cached in `st_cache_provider_config` under `provider:{provider}:config`; what another
 * process writes is seen within a second all the same. (Of several stores of a process the first one used has that
 * cache, the others have their own.)
 *
 * `ST_CORRUPT`: what is stored is no JSON object.
 */
st_status st_provider_config_get(const struct st_store *store,
                                 const char *provider,
                                 size_t provider_len,
                                 struct st_bytes *json,
                                 struct st_error *error);

/**
 * Replaces the configuration of a provider by a JSON object of up to 1 MiB, nested up to 100 deep, which is kept as it
 * is written. What is cached about the provider is forgotten.
 */
st_status st_provider_config_save(const struct st_store *store,
                                  const char *provider,
                                  size_t provider_len,
                                  const char *json,
                                  size_t json_len,
                                  struct st_error *error);

/**
 * Sets the members of this JSON object in the configuration of a provider and leaves its other members as they are, in
 * one transaction: of several processes that update at once, none loses anything.
 */
st_status st_provider_config_update(const struct st_store *store,
                                    const char *provider,
                                    size_t provider_len,
                                    const char *json,
                                    size_t json_len,
                                    struct st_error *error);

/**
 * Removes the configuration of a provider. `existed` (may be NULL) tells whether it had one; that it had none is no
 * failure.
 */
st_status st_provider_config_delete(const struct st_store *store,
                                    const char *provider,
                                    size_t provider_len,
                                    bool *existed,
                                    struct st_error *error);

/**
 * Lists the providers that have a configuration: a JSON array of objects with `provider` and `updated_at`.
 */
st_status st_provider_config_list(const struct st_store *store,
                                  struct st_bytes *json,
                                  struct st_error *error);

/**
 * Reads the webhook settings of a provider, with defaults: a JSON object of `webhook_url` (null), `webhook_secret`
 * (null), `webhook_require_signature` (true) and `webhook_allowed_ips` ([]).
 */
st_status st_provider_webhook_get(const struct st_store *store,
                                  const char *provider,
                                  size_t provider_len,
                                  struct st_bytes *json,
                                  struct st_error *error);

/**
 * Reads the cost limit of a provider, with defaults: a JSON object of `cost_limit_enabled` (false), `cost_limit_amount`
 * (0.0), `cost_limit_period` ("daily") and `cost_limit_action` ("warn").
 */
st_status st_provider_cost_limit_get(const struct st_store *store,
                                     const char *provider,
                                     size_t provider_len,
                                     struct st_bytes *json,
                                     struct st_error *error);

/**
 * Reads the prices of hardware: a JSON object `{id: {"name": …, "cost_per_second": …}}`, from `hardware_info` in the
 * configuration of the provider `replicate`, or the defaults (`gpu-l40s`, `gpu-a100-large`) where that is not an object
 * with members. It is cached for 300 s, apart from the configuration. No database is created.
 */
st_status st_hardware_info_get(const struct st_store *store,
                               struct st_bytes *json,
                               struct st_error *error);

/**
 * Puts this JSON object in place of the cached prices, for 300 s. Nothing is stored: to change the prices for all
 * processes, set `hardware_info` in the configuration of `replicate`.
 */
st_status st_hardware_info_set(const struct st_store *store,
                               const char *json,
                               size_t json_len,
                               struct st_error *error);

/**
 * Forgets the cached prices, so that the next call reads the configuration again.
 */
st_status st_hardware_info_clear(const struct st_store *store, struct st_error *error);

/**
 * Tells what a device costs in an hour.
 *
 * `ST_NOT_FOUND`: there is no price for it; `ST_WRONG_TYPE`: its price is no number.
 */
st_status st_hardware_cost_per_hour(const struct st_store *store,
                                    const char *hardware_id,
                                    size_t hardware_id_len,
                                    double *cost,
                                    struct st_error *error);

/**
 * Stores a credential of a user, encrypted under the newest key, in place of the one of this name, if there is one.
 * NULL as the cipher is that of the process. `value` is 1 byte to 1 MiB.
 *
 * `ST_INVALID_ARGUMENT`: there is a table of users, and this one is not in it. Errors of the cipher are as for
 * `st_encrypt`.
 */
st_status st_credential_set(const struct st_store *store,
                            const struct st_cipher *cipher,
                            int64_t user_id,
                            const char *provider,
                            size_t provider_len,
                            const char *name,
                            size_t name_len,
                            const void *value,
                            size_t value_len,
                            struct st_error *error);

/**
 * Reads the value of a user's active credential, encrypted or, as SimpleTuner leaves it, plain. The use is recorded, and
 * its time is noted in `last_used_at`. `value` holds the bytes until `st_bytes_free`, which wipes them.
 *
 * `ST_NOT_FOUND`: the user has none of this name; `ST_BAD_TOKEN`: as for `st_decrypt`.
 */
st_status st_credential_get(const struct st_store *store,
                            const struct st_cipher *cipher,
                            int64_t user_id,
                            const char *provider,
                            size_t provider_len,
                            const char *name,
                            size_t name_len,
                            struct st_bytes *value,
                            struct st_error *error);

/**
 * Removes a credential of a user. `existed` (may be NULL) tells whether there was one; that there was none is no failure.
 */
st_status st_credential_delete(const struct st_store *store,
                               int64_t user_id,
                               const char *provider,
                               size_t provider_len,
                               const char *name,
                               size_t name_len,
                               bool *existed,
                               struct st_error *error);

/**
 * Lists credentials without their values: those of a user (a negative `user_id`: of all) and a provider (NULL with 0: of
 * all), as a JSON array of objects with `id`, `user_id`, `provider`, `name`, `created_at`, `updated_at`, `last_used_at`,
 * `is_active` and `encrypted`.
 */
st_status st_credential_list(const struct st_store *store,
                             int64_t user_id,
                             const char *provider,
                             size_t provider_len,
                             struct st_bytes *json,
                             struct st_error *error);

/**
 * Finds a credential for a user: the user's own active one, as `st_credential_get` does, else the secret `global_key` of
 * the chain `secrets` (NULL: that of the process). `source` (may be NULL) tells which, `ST_CREDENTIAL_…`.
 *
 * If the user's own is there but cannot be decrypted, that is the error; the global one does not take its place.
 */
st_status st_credential_resolve(const struct st_store *store,
                                const struct st_cipher *cipher,
                                const struct st_secrets *secrets,
                                int64_t user_id,
                                const char *provider,
                                size_t provider_len,
                                const char *name,
                                size_t name_len,
                                const char *global_key,
                                size_t global_key_len,
                                int32_t *source,
                                struct st_bytes *value,
                                struct st_error *error);

/**
 * Puts a new key in place of the newest one, as `st_rotate_key` does, and brings every stored credential under it. If
 * that fails or is cut short, all of them stay readable, and `st_credentials_reencrypt` does the rest.
 */
st_status st_credentials_rotate(const struct st_store *store,
                                const struct st_cipher *cipher,
                                struct st_error *error);

/**
 * Brings every stored credential under the newest key, in one transaction: all or, with an error, none. It may be
 * repeated. With `ST_REENCRYPT_PLAIN` plain text is encrypted too; SimpleTuner itself, which reads the column as it is,
 * then finds a token in its place.
 *
 * `progress` (may be NULL) is called with `context` as it goes. `report` (may be NULL) is a JSON object of `total`,
 * `reencrypted`, `unchanged`, `migrated`, `plain` (left as they are) and `unreadable` (an array: the numbers of those
 * whose key is not at hand, which are left as they are too).
 *
 * `ST_ABANDONED`: `progress` returned `false`.
 */
st_status st_credentials_reencrypt(const struct st_store *store,
                                   const struct st_cipher *cipher,
                                   uint32_t flags,
                                   st_progress_fn progress,
                                   void *context,
                                   struct st_bytes *report,
                                   struct st_error *error);

/**
 * Appends an entry of the program's own to the audit trail, by the actor of `st_store_as`; what the library does itself
 * is recorded without this. `target_type` and `target_id` may both be NULL with 0. `details` is a JSON object, NULL with
 * 0 for none; it must not hold a secret. `id` (may be NULL) is the number of the entry.
 */
st_status st_audit_log(const struct st_store *store,
                       const char *event_type,
                       size_t event_type_len,
                       const char *action,
                       size_t action_len,
                       const char *target_type,
                       size_t target_type_len,
                       const char *target_id,
                       size_t target_id_len,
                       const char *details,
                       size_t details_len,
                       int64_t *id,
                       struct st_error *error);

/**
 * Looks entries of the audit trail up, newest first: a JSON array of objects with the names of the columns.
 * `filter_json` is a JSON object, NULL with 0 for none, with any of `event_type`, `action`, `actor_id`, `actor_username`,
 * `target_type`, `target_id`, `since` and `until` (times such as `2026-08-22T17:32:24Z`; `until` itself is left out),
 * `limit` (100 if not given, 10000 at most) and `offset`. An unknown one is an error that names the nearest known one.
 */
st_status st_audit_query(const struct st_store *store,
                         const char *filter_json,
                         size_t filter_json_len,
                         struct st_bytes *json,
                         struct st_error *error);

/**
 * Checks the chain of the entries `first` to `last` (0: from the first, to the last that there is). `broken_id` (may be
 * NULL) is the number of the first entry that something is wrong with, 0 if all is well: a broken chain is no failure of
 * this call. `report` (may be NULL) is a JSON object of
 *
 * - `checked`: how many entries were checked, and `intact`: whether all is well
 * - `broken_id`, and `kind`: what is wrong with it: `altered` (changed after it was signed, or signed with another key),
 *   `missing` (entries before it were removed), `fork` (it is intact, but two programs appended to the same entry, as
 *   SimpleTuner can)
 * - `tampered_id`: the first one that is altered, or behind entries that were removed; null if there are forks at most
 * - `forks`: an array of up to 1000 entries at which the chain forks
 *
 * The signature covers time, event type, the actor's number, action, details and the signature before; not the actor's
 * name and address, nor the target.
 */
st_status st_audit_verify(const struct st_store *store,
                          int64_t first,
                          int64_t last,
                          int64_t *broken_id,
                          struct st_bytes *report,
                          struct st_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ST_SECRETS_H */
