/*
 * st_secrets: secrets from the environment, files, AWS Secrets Manager and Vault, caches, encryption of credentials,
 * and SimpleTuner's databases.
 *
 * This header is generated from src/ffi by `make header`.
 *
 * CONVENTIONS. They apply to every function unless its documentation says otherwise.
 *
 * Results. A function that can fail returns an `st_status`: `ST_OK` is 0, failures are negative. Its last argument is
 * an `st_error *`, which may be NULL. If the function fails, all its outputs are zero, except `*len` with
 * `ST_BUFFER_TOO_SMALL`. In addition to the statuses that its documentation lists, every such function may return
 * `ST_INVALID_ARGUMENT`, `ST_NO_MEMORY` and `ST_PANIC`. `ST_NO_MEMORY` means that a value could not be allocated; if
 * even a few bytes cannot be allocated, the process is aborted.
 *
 * Inputs. Text and bytes are passed as a pointer and a length in bytes. `ST_NUL` as the length means that the input
 * ends with a NUL. Names of secrets, providers and settings are UTF-8. The library copies every input that it keeps. An
 * input must not change during the call.
 *
 * Outputs. Bytes are returned in an `st_bytes`, which the caller frees with `st_bytes_free` and by no other means, or
 * are copied into a buffer of the caller.
 *
 * Handles are opaque. A function whose name ends in `_open` or `_new` creates a handle, and one whose name ends in
 * `_free` frees it; passing NULL to it does nothing. No other function consumes a handle. If a function takes a handle
 * as a pointer to `const`, any number of threads may call it with the same handle at once, as long as no thread frees
 * the handle.
 *
 * Times are in seconds.
 *
 * Callbacks are called with no lock of the library held and may call the library. They must return: no exception and no
 * longjmp may leave them.
 *
 * Processes. The library starts no thread, prints nothing, and installs no signal handler. After fork(), the child may
 * use all handles and values of its parent. fork() must not be called from a signal handler. Linux with glibc or musl.
 */

#ifndef ST_SECRETS_H
#define ST_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The version of this header, as text and as the number `major * 1000000 + minor * 1000 + patch`. */
#define ST_VERSION "0.1.0"
#define ST_VERSION_NUMBER 1000
/** The version of the binary interface that this header describes. */
#define ST_ABI_VERSION 0

/** As a length: the input ends with a NUL. */
#define ST_NUL SIZE_MAX
/** As a position: after all others. */
#define ST_LAST SIZE_MAX
/** As a timeout: the `timeout` of the configuration. */
#define ST_TIMEOUT_DEFAULT (-1.0)
/** As a time to live: that of the configuration. */
#define ST_TTL_DEFAULT (-1.0)

/** Initializers of the structs that begin with their size: `st_error error = ST_ERROR_INIT;`. */
#define ST_ERROR_INIT {sizeof(st_error), 0, 0, 0, 0, {0}}
#define ST_SECRET_INFO_INIT {sizeof(st_secret_info), 0, 0, 0, 0.0, 0.0, {0}, {0}}
#define ST_CACHE_COUNTS_INIT {sizeof(st_cache_counts), 0, 0, 0, 0, 0.0, 0, 0, 0, 0, 0, 0, 0}

/** The names of the secrets that SimpleTuner itself uses. */
#define ST_KEY_REPLICATE_API_TOKEN "REPLICATE_API_TOKEN"
#define ST_KEY_HF_TOKEN "HF_TOKEN"
#define ST_KEY_CLOUD_WEBHOOK_SECRET "CLOUD_WEBHOOK_SECRET"

/**
 * In `st_error.source`: the call itself, its arguments, or the configuration.
 */
#define ST_SOURCE_NONE 0

/**
 * In `source`: environment variables.
 */
#define ST_SOURCE_ENV 1

/**
 * In `source`: the secrets file or directory.
 */
#define ST_SOURCE_FILE 2

/**
 * In `source`: AWS Secrets Manager.
 */
#define ST_SOURCE_AWS 3

/**
 * In `source`: HashiCorp Vault or OpenBao.
 */
#define ST_SOURCE_VAULT 4

/**
 * In `source`: a provider added with `st_secrets_add_provider`.
 */
#define ST_SOURCE_CUSTOM 5

/**
 * In `source`: the databases of a store.
 */
#define ST_SOURCE_STORE 6

/**
 * In `source`: the keys that encrypt credentials.
 */
#define ST_SOURCE_ENCRYPTION 7

/**
 * In `source`: the variables and the token file of Hugging Face's own tools.
 */
#define ST_SOURCE_HUGGINGFACE 8

/**
 * In `source`: a program that the setting `providers` names.
 */
#define ST_SOURCE_EXEC 9

/**
 * In `source`: Google Secret Manager.
 */
#define ST_SOURCE_GOOGLE 10

/**
 * In `source`: Azure Key Vault.
 */
#define ST_SOURCE_AZURE 11

/**
 * In `source`: Kubernetes Secrets, through the API server.
 */
#define ST_SOURCE_KUBERNETES 12

/**
 * In `source`: 1Password items, through a Connect server.
 */
#define ST_SOURCE_ONEPASSWORD 13

/**
 * In `source`: Infisical secrets.
 */
#define ST_SOURCE_INFISICAL 14

/**
 * In `source`: AWS Systems Manager parameters.
 */
#define ST_SOURCE_AWS_PARAMETERS 15

/**
 * In `source`: the credentials that systemd passes to a service.
 */
#define ST_SOURCE_CREDENTIALS 16

/**
 * In `st_error.flags`: the same call may succeed later without any change by the user.
 */
#define ST_ERROR_RETRYABLE 1

/**
 * Log level: nothing is logged.
 */
#define ST_LOG_OFF 0

/**
 * Log level: an operation failed.
 */
#define ST_LOG_ERROR 1

/**
 * Log level: something is wrong but was worked around: a provider was skipped, a file is readable by other users.
 */
#define ST_LOG_WARN 2

/**
 * Log level: something changed that later calls see: a file was read again.
 */
#define ST_LOG_INFO 3

/**
 * Log level: which provider a value came from.
 */
#define ST_LOG_DEBUG 4

/**
 * Log level: everything else.
 */
#define ST_LOG_TRACE 5

/**
 * Kind of a field: a text.
 */
#define ST_FIELD_TEXT 1

/**
 * Kind of a field: an integer, such as an HTTP status.
 */
#define ST_FIELD_INTEGER 2

/**
 * Kind of a field: a number, such as a time in seconds.
 */
#define ST_FIELD_NUMBER 3

/**
 * For `st_secrets_get_with`: query each source now, whatever is cached. If AWS or Vault is unavailable, the result is
 * the last value, flagged with `ST_SECRET_STALE` even if it is younger than `cache_ttl`.
 */
#define ST_GET_REFRESH 1

/**
 * For `st_secrets_get_with`: do not query AWS, Vault, programs, or custom providers, but use what they have cached,
 * possibly with `ST_SECRET_STALE`. If the value is not cached and one of them may have it, the result is
 * `ST_UNAVAILABLE`.
 */
#define ST_GET_CACHED_ONLY 2

/**
 * In `st_secret_info.flags`: the value is older than `cache_ttl`, or the refresh that was requested failed. The
 * provider is unavailable, or another call is querying it.
 */
#define ST_SECRET_STALE 1

/**
 * In `st_secret_info.flags`: the value was cached by an earlier call.
 */
#define ST_SECRET_CACHED 2

/**
 * In `st_secret_info.flags`: a provider of higher precedence failed, so it may have another value.
 */
#define ST_SECRET_DEGRADED 4

/**
 * In `st_secret_info.flags`: another process on this host loaded the value. See the setting `share`.
 */
#define ST_SECRET_SHARED 8

/**
 * In `st_secret_info.flags`: the value has a lease, such as a dynamic secret of Vault. It is valid for `expires_in`
 * seconds and is never returned after that; the next get requests a new one.
 */
#define ST_SECRET_LEASED 16

/**
 * For `st_secrets_invalidate`: all processes on this host that share with this one. See the setting `share`.
 */
#define ST_SCOPE_HOST 1

/**
 * For `st_secrets_invalidate`: all hosts of a cluster, which share through a tier. See the setting `share_url`.
 */
#define ST_SCOPE_CLUSTER 2

/**
 * Outcome of `st_cache_load_begin`: the value is cached.
 */
#define ST_LOAD_HIT 1

/**
 * Outcome of `st_cache_load_begin`: the caller must load the value and end its lease.
 */
#define ST_LOAD_LEADER 2

/**
 * Outcome of `st_cache_load_begin`: another caller is loading the value, and `timeout` is 0.
 */
#define ST_LOAD_BUSY 3

/**
 * `st_credential_source` found no credential.
 */
#define ST_CREDENTIAL_NONE 0

/**
 * `st_credential_resolve` found the user's own credential.
 */
#define ST_CREDENTIAL_USER 1

/**
 * `st_credential_resolve` found the secret that all users share.
 */
#define ST_CREDENTIAL_GLOBAL 2

/**
 * For `st_credentials_reencrypt`: also encrypts credentials that are stored as plain text.
 */
#define ST_REENCRYPT_PLAIN 1

/**
 * For `st_audit_export`: one JSON object per line, with the names of the columns.
 */
#define ST_AUDIT_JSON_LINES 1

/**
 * For `st_audit_export`: comma-separated values as in RFC 4180.
 */
#define ST_AUDIT_CSV 2

/**
 * For `st_store_backup`: overwrites an existing database.
 */
#define ST_BACKUP_REPLACE 1

/**
 * For `st_store_backup`: copies the audit trail.
 */
#define ST_BACKUP_AUDIT 2

/**
 * For `st_store_backup`: copies the database of the credentials, where it is a file of its own.
 */
#define ST_BACKUP_CREDENTIALS 4

/**
 * A cache of keys and values with a time to live (TTL). A cache can be used from any number of threads at once, and
 * in the child of a `fork()`. The library runs no thread for it.
 *
 * A cache never holds more than `max_size` entries. A full cache evicts the least recently used entry; reads count
 * as use. The order of use is exact within a thread. Between threads it is exact to one tick of the kernel's coarse
 * clock (`clock_getres` of `CLOCK_MONOTONIC_COARSE`, usually 1 to 10 ms): an entry that several threads read within
 * one tick counts as used at the end of that tick.
 *
 * An expired entry is not returned. Times are measured with `CLOCK_BOOTTIME`: setting the date does not change it,
 * and it advances while the machine is suspended. There are two exceptions. For 100 ms after the machine resumes,
 * entries that expired while it was suspended may still be returned. If the kernel updates its coarse clock more
 * than 100 ms late, as on an overloaded virtual machine, an entry may be returned for that much longer.
 */
typedef struct st_cache st_cache;

/**
 * The keys that encrypt credentials, in SimpleTuner's format: a Fernet token (<https://github.com/fernet/spec>),
 * encoded once more as URL-safe base64. Its key is derived from a secret with PBKDF2-HMAC-SHA256 and 100 000
 * iterations. A cipher may be used from any number of threads at once, and in the child of a `fork()`. Where a
 * function takes a cipher, NULL means the cipher of the process, which is opened on first use with the settings of the
 * environment, and is replaced by `st_cipher_reset`.
 *
 * The newest key encrypts. It comes from `SIMPLETUNER_CREDENTIAL_KEY`, otherwise from `~/.simpletuner/credential.key`;
 * if there is neither, a new key is generated and saved there with mode 0600. Previous keys decrypt too. They come
 * from `SIMPLETUNER_CREDENTIAL_KEY_PREVIOUS` (one per line) and `~/.simpletuner/credential.key.previous`. Key files
 * are checked for changes at most once a second.
 *
 * Every function that uses a cipher may return:
 *
 * - `ST_BAD_KEY`: a key file is empty, unreadable or missing. It is never replaced.
 * - `ST_ACCESS_DENIED`: other users can read a key file, and `strict_permissions` is set. Without it, a warning is
 *   logged.
 */
typedef struct st_cipher st_cipher;

/**
 * A configuration: settings by name, each with a default. One thread at a time may use it. Each function that opens
 * something with a configuration copies it.
 *
 * Keys of the secrets manager:
 *
 * - `providers`: JSON array, the providers in the order in which they are queried; default
 *   `["env","file","aws","vault","huggingface"]`, with `credentials` after `env` in a service of systemd that has
 *   some. An element may also be an object that names a program whose output contains secrets, such as `{"exec":
 *   ["sops", "-d", "secrets.json"], "name": "sops"}`, described in `docs/exec.md`, or an AWS secret that is a single
 *   value, such as `{"aws_secret": "prod/tls", "as": "TLS_KEY"}`, or all AWS secrets with a prefix or tags, such as
 *   `{"aws_secrets": {"prefix": "prod/"}}`, described in `docs/aws.md`.
 * - `env_prefix`: text; with `MYAPP` the key `hf-token` is the variable `MYAPP_HF_TOKEN`; default none
 * - `file_path`: text, a JSON, YAML, dotenv or TOML file, or a directory with one file per secret; `~` is the home
 *   directory; default the first of `~/.simpletuner/secrets.json`, `.yaml` and `.yml` that exists
 * - `strict_permissions`: true or false, reject a file that other users can read or change; default false
 * - `timeout`: seconds above 0 for one call; default 10
 * - `cache_ttl`: seconds for which an AWS or Vault document, the output of a program, or an answer of a custom
 *   provider, is cached; default 300. The environment and the file are read on every get.
 * - `miss_ttl`: seconds for which it is cached that AWS or Vault has no document, or that a custom provider has no
 *   value; default 5
 * - `max_stale`: seconds after `cache_ttl` for which the last AWS or Vault document is used during an outage; default
 *   3600
 * - `max_backoff`: seconds, the longest pause after a failed load from AWS or Vault; after a timeout, up to four times
 *   as long; default 15
 * - `max_attempts`: whole number, the maximum number of attempts for one request; default 3. If it is not set, a
 *   request that the server throttles is retried until the deadline as long as nothing is cached
 * - `aws_secret_name`, `aws_region`, `aws_profile`, `aws_role_arn`, `aws_external_id`, `aws_role_session_name`,
 *   `aws_endpoint_url`, `aws_version_id`, `aws_version_stage`: AWS Secrets Manager; text, described in `docs/aws.md`;
 *   `aws_secret_name` and `aws_region` also a JSON array of texts
 * - `aws_parameters_path` (text or a JSON array of texts), `aws_parameters_endpoint_url`: settings of the provider
 *   `aws_parameters`, which must be listed in `providers`: AWS Systems Manager parameters below a path; described in
 *   `docs/aws.md`
 * - `aws_queue_url`: a queue of Amazon SQS with changes of secrets, which `st_secrets_listen` reads; text, described
 *   in `docs/changes.md`
 * - `aws_agent_url`, `aws_agent_token_file`: the AWS agent or Lambda extension that secrets are read from, instead of
 *   AWS itself; text, described in `docs/aws.md`
 * - `google_secret_name`, `google_project`, `google_location`, `google_credentials_file`, `google_endpoint_url`:
 *   settings of the provider `google`, which must be listed in `providers`: Google Secret Manager; text, described in
 *   `docs/google.md`; `google_secret_name` also a JSON array of texts
 * - `azure_vault_url`, `azure_secret_name`, `azure_auth`: settings of the provider `azure`, which must be listed in
 *   `providers`: Azure Key Vault; text, described in `docs/azure.md`; `azure_secret_name` also a JSON array of texts
 * - `set_provider`: `"file"`, `"aws"` or `"vault"`, the provider that `st_secrets_set` and `st_secrets_delete` write
 *   to; default `"file"`; described in `docs/aws.md` and `docs/vault.md`
 * - `vault_url`, `vault_mount`, `vault_path`, `vault_kv_version` (`"1"`, `"2"` or `"auto"`), `vault_namespace`,
 *   `vault_ca_cert`, `vault_token`, `vault_token_file`, `vault_auth`, `vault_auth_mount`, `vault_role_id`,
 *   `vault_secret_id`, `vault_secret_id_file`, `vault_secret_id_wrapped` (true or false), `vault_role`,
 *   `vault_jwt_file`, `vault_username`, `vault_password`, `vault_password_file`, `vault_client_cert`,
 *   `vault_client_key`, `vault_aws_region`, `vault_aws_server_id`: HashiCorp Vault or OpenBao; text, described in
 *   `docs/vault.md`; `vault_path` also a JSON array of texts
 * - `vault_metadata_interval`: seconds, how often `st_secrets_listen` looks at the versions of the secrets; described
 *   in `docs/changes.md`
 * - `kubernetes_secret` (text or a JSON array of texts), `kubernetes_selector`, `kubernetes_namespace`,
 *   `kubernetes_url`, `kubernetes_ca_cert`, `kubernetes_token_file`, `kubernetes_client_cert`,
 *   `kubernetes_client_key`: settings of the provider `kubernetes`, which must be listed in `providers`: Secrets of a
 *   Kubernetes API server; text, described in `docs/kubernetes.md`
 * - `onepassword_item` (text or a JSON array of texts), `onepassword_vault`, `onepassword_url`, `onepassword_token`,
 *   `onepassword_token_file`: settings of the provider `onepassword`, which must be listed in `providers`: 1Password
 *   items, through a Connect server; text, described in `docs/onepassword.md`
 * - `infisical_environment`, `infisical_project`, `infisical_path` (text or a JSON array of texts), `infisical_url`,
 *   `infisical_auth`, `infisical_client_id`, `infisical_client_secret`, `infisical_client_secret_file`,
 *   `infisical_identity_id`, `infisical_jwt_file`, `infisical_token`, `infisical_token_file`: settings of the provider
 *   `infisical`, which must be listed in `providers`: Infisical secrets; text, described in `docs/infisical.md`
 * - `share` (`"off"` or `"host"`), `share_dir`, `share_key`: whether the processes of this user on this host share the
 *   documents that one of them has loaded from AWS or Vault; text, described in `docs/share.md`; default `"off"`
 * - `share_url`, `share_ca_cert`, `share_client_cert`, `share_client_key`: the server through which hosts share, and
 *   the certificates for it; `share_transit`, `share_kms_key`: what wraps the key of that server; text, described in
 *   `docs/tier.md`; default none
 *
 * Keys of a cache (`st_cache_open`):
 *
 * - `default_ttl`: seconds, the lifetime of an entry that is stored without one; default 300
 * - `max_size`: a whole number, the maximum number of entries, 0 for none; default 1000
 * - `cleanup_interval`: seconds above 0 between removals of expired entries; default 60
 * - `soft_ttl`: seconds after which the first caller of `st_cache_get_or_load` or `st_cache_load_begin` reloads an
 *   entry while the others still get the old value; default never
 * - `ttl_jitter`: 0 to 1, the fraction of its lifetime by which an entry may expire early, so that entries stored
 *   together do not expire together; default 0
 * - `absent_ttl`: seconds for which it is cached that a load found no value; default 0, not at all
 * - `tier`: text, the URL of a Redis, Valkey or etcd server through which processes share the bytes of the cache, with
 *   `share_key`, `share_ca_cert`, `share_client_cert` and `share_client_key`; described in `docs/tier.md`; default
 *   none
 * - `tier_name`: text that separates caches with one `share_key`; default empty
 * - `tier_interval`: seconds above 0, how often changes of other processes are asked for; default 1
 * - `keyed_hash`: true or false, hash the keys with SipHash-1-3, for keys that untrusted users choose; default false
 *
 * Keys of a cipher, in addition to `strict_permissions` and `timeout`:
 *
 * - `key`: text, the secret that the key is derived from, instead of any file or variable
 * - `key_file`: text, a file with that secret, instead of `SIMPLETUNER_CREDENTIAL_KEY` and
 *   `~/.simpletuner/credential.key`. The file with the same name and `.previous` appended has the earlier secrets.
 * - `previous_keys`: JSON array of earlier secrets, which are used for decryption only
 * - `generate`: true or false, create the key file if it does not exist; default true
 *
 * Keys of a store, in addition to `timeout` (seconds above 0 for one call; default 30):
 *
 * - `state_dir`: text, a directory instead of SimpleTuner's own, which is `SIMPLETUNER_STATE_DIR`,
 *   `SIMPLETUNER_CONFIG_DIR`, or the one of `/workspace/simpletuner`, `/notebooks/simpletuner` and `~/.simpletuner`
 *   that is in use. It contains `cloud/jobs.db` and `audit.db`. Credentials are in `SIMPLETUNER_AUTH_DB_PATH` if that
 *   is set.
 * - `database`: text, a file instead of `cloud/jobs.db`, also for credentials; `audit.db` is then in the same
 *   directory
 * - `audit_database`: text, a file instead of `audit.db`. The file `audit.key` in the same directory, or
 *   `SIMPLETUNER_AUDIT_KEY`, has the key that signs entries.
 *
 * Keys of a redactor:
 *
 * - `redact_min`: a whole number of 4 or more, the length in bytes of the shortest value that is replaced; default 8
 * - `redact_with`: text that replaces a value; default `***`. In it, `{name}` is replaced with the name of the secret.
 */
typedef struct st_config st_config;

/**
 * Redacts one text, which arrives in pieces. One thread at a time may use it.
 */
typedef struct st_redact_stream st_redact_stream;

/**
 * Replaces values in text. Any number of threads may use it at once, as may the child of a `fork()`. Wherever a
 * function takes a redactor, NULL means the redactor of the process, which has the values of secrets, credentials and
 * decrypted tokens that the library returns: see `st_redactor_start`.
 *
 * A value is found verbatim; escaped as in JSON, in Python's `repr`, or for a shell; percent-encoded; in hexadecimal;
 * in base64 and base64url, whatever is encoded in front of it and behind it, also in lines of 76 characters; and in
 * UTF-16LE. If a value has several lines, each line is found too.
 *
 * Not found are: values shorter than `redact_min`; values that are transformed otherwise, such as compressed or
 * encrypted ones; values with other text in between, such as control codes of a terminal or line breaks.
 */
typedef struct st_redactor st_redactor;

/**
 * Receives the result of a callback. It is valid until the callback returns, and only on its thread.
 */
typedef struct st_reply st_reply;

/**
 * A secrets manager: an ordered list of providers. Any number of threads may use it at once, as may the child of a
 * `fork()`. Wherever a function takes a manager, NULL means the manager of the process. It is opened on first use,
 * with default settings and those of the environment, and replaced by `st_secrets_reset`.
 */
typedef struct st_secrets st_secrets;

/**
 * A handle of a store: SimpleTuner's databases of a state directory, with provider configuration, hardware prices,
 * stored credentials, and an audit trail of every change. This library and SimpleTuner may use them at the same time,
 * even within one process.
 *
 * A store may be used from any number of threads at once, and in the child of a `fork()`. Where a function takes a
 * store, NULL means the store of the process, which is opened on first use with the settings of the environment,
 * and is replaced by `st_store_reset`.
 *
 * Reading creates nothing; the first write creates the files and tables that are missing. Each change is recorded in
 * the audit trail before it is made. A change that cannot be recorded is not made.
 *
 * Besides `ST_IO` and `ST_ACCESS_DENIED`, every function that uses a store may return:
 *
 * - `ST_BUSY`: another process kept the database locked until the timeout; try again.
 * - `ST_TIMEOUT`: another thread used the database until the timeout, or a statement took longer, as on a damaged
 *   database.
 * - `ST_READ_ONLY`: the database cannot be written to.
 * - `ST_CORRUPT`: the database is damaged, or its tables belong to another program.
 * - `ST_BAD_KEY`: the key of the audit trail is missing or unreadable.
 */
typedef struct st_store st_store;

/**
 * The result of a call: `ST_OK`, or one of the negative numbers below. A number never changes its meaning. A later
 * version may return numbers that this header does not list.
 */
typedef int32_t st_status;

/**
 * Receives a log message: its `level` (`ST_LOG_…`), the part of the library that logs it (`target`, NUL-terminated),
 * and its text (`message`, `len` bytes of UTF-8, followed by a NUL). Both texts are valid until the function returns.
 * They never contain a secret value, an encryption key, or a token.
 *
 * The function is called on the thread whose call is being logged, and so on several threads at once, with no lock of
 * the library held. It may call the library; messages that the library would log meanwhile are dropped. It must not
 * throw.
 */
typedef void (*st_log_fn)(void *context, int32_t level, const char *target, const char *message, size_t len);

/**
 * Releases the `context` of a callback. A function with a parameter of this type takes ownership of the context, even
 * if it fails. It calls the `st_drop_fn` exactly once, on any thread, with no lock of the library held. NULL means
 * that nothing has to be released.
 */
typedef void (*st_drop_fn)(void *context);

/**
 * The details of a failure. The caller allocates the struct, initializes it with `ST_ERROR_INIT`, and passes it as the
 * last argument; a caller that needs only the status passes NULL. The same struct may be passed to any number of
 * calls, one at a time. It owns no memory and need not be freed.
 *
 * A call that fails writes all fields within `size`. A call that succeeds writes only `status` and `message[0]`.
 */
typedef struct st_error {
    /**
     * The size of the struct in the caller's version of this header: `sizeof(st_error)`.
     */
    uint32_t size;
    /**
     * The status that the call returned.
     */
    st_status status;
    /**
     * The kind of the provider, or the part of the library, that failed: one of `ST_SOURCE_…`.
     */
    int32_t source;
    /**
     * The HTTP status or `errno`; 0 if there is neither.
     */
    int32_t detail;
    /**
     * A combination of `ST_ERROR_…` bits.
     */
    uint32_t flags;
    /**
     * What failed, where, and the remedy, in English. NUL-terminated UTF-8, truncated at a character boundary if it is
     * too long. It never contains a secret value, an encryption key, or a token.
     */
    char message[512];
} st_error;

/**
 * A part of a log message that a program may search for. Its value is in the member of its kind. This struct will not
 * grow.
 */
typedef struct st_log_field {
    /**
     * The name, which ends with a NUL: `provider`, `key`, `place` (the document), `path`, `url`, `method`, `status`
     * (of HTTP), `error` (such as `ST_TIMEOUT`), `detail` (of an error), `attempt`, `delay`, `duration`, `age`
     * (seconds), `keys` (a number), `version`. Later versions may add names.
     */
    const char *name;
    /**
     * `ST_FIELD_…`. Skip a field whose kind the program does not know.
     */
    int32_t kind;
    /**
     * The text of `ST_FIELD_TEXT`: `len` bytes of UTF-8, followed by a NUL. Otherwise NULL.
     */
    const char *text;
    /**
     * The length of `text`.
     */
    size_t len;
    /**
     * The value of `ST_FIELD_INTEGER`, otherwise 0.
     */
    int64_t integer;
    /**
     * The value of `ST_FIELD_NUMBER`, otherwise 0.
     */
    double number;
} st_log_field;

/**
 * As `st_log_fn`, with the parts of the message that a program may search for: `count` fields, each name at most once.
 * They are valid until the function returns. No field has a value of a secret, an encryption key, or a token.
 */
typedef void (*st_log_fields_fn)(void *context,
                                 int32_t level,
                                 const char *target,
                                 const char *message,
                                 size_t len,
                                 const struct st_log_field *fields,
                                 size_t count);

/**
 * Bytes that the library returns: a counted reference to immutable memory, which is excluded from core dumps and wiped
 * when its last reference is freed. A NUL follows the last byte. The bytes are valid until `st_bytes_free`, even after
 * the handle that they came from was freed. Any thread may read, clone, and free them.
 *
 * The caller allocates the struct, and frees the reference with `st_bytes_free`. The struct must not be copied: a copy
 * is not another reference. `st_bytes_clone` makes one.
 */
typedef struct st_bytes {
    /**
     * The first byte; NULL if the struct holds no bytes.
     */
    const uint8_t *data;
    /**
     * The number of bytes, without the NUL.
     */
    size_t len;
    /**
     * Reserved for the library.
     */
    void *owner;
} st_bytes;

/**
 * Where a value came from, and its age. The caller allocates the struct and initializes it with `ST_SECRET_INFO_INIT`.
 */
typedef struct st_secret_info {
    /**
     * The size of the struct in the caller's version of this header: `sizeof(st_secret_info)`.
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
     * Seconds since the request to the provider; 0 for a provider that is read on every get.
     */
    double age;
    /**
     * Seconds until the value expires; 0 for a stale value, and for a provider that is read on every get.
     */
    double expires_in;
    /**
     * The name of the provider, NUL-terminated: "env", "file", "aws", "vault", "huggingface", or that of a program or
     * of a custom provider.
     */
    char provider[32];
    /**
     * The provider's identifier of this version of the secret, NUL-terminated and truncated if it is too long; empty
     * if the provider has no versions.
     */
    char version[64];
} st_secret_info;

/**
 * Returns the value of `key` within `timeout` seconds (`INFINITY`: no limit). The key has `key_len` bytes, followed by
 * a NUL; it is UTF-8, except for a cache, whose keys are any bytes. Key and reply are valid until the callback
 * returns.
 *
 * The callback has three results: a value (it calls `st_reply_bytes` or `st_reply_object` and returns `ST_OK`), no
 * value (it returns `ST_NOT_FOUND`), or a failure (it returns another status, after a call of `st_reply_error` if it
 * has a message). A number that is not a status, or `ST_OK` without a value, is reported as `ST_CALLBACK`.
 *
 * It is called on the thread of the caller that needs the value, and so on several threads at once, with no lock of
 * the library held. It may call the library, even with the handle that called it. It must return, and must not throw.
 */
typedef st_status (*st_load_fn)(void *context,
                                const char *key,
                                size_t key_len,
                                double timeout,
                                struct st_reply *reply);

/**
 * Called when something changed, with the generation (see `st_secrets_generation`). `key` has `key_len` bytes,
 * followed by a NUL; for a watch of all keys it is NULL. It is valid until the callback returns.
 *
 * It is called on a thread of the program, within a get or `st_secrets_listen`, one call at a time, with no lock of
 * the library held. It may call the library. It must return, and must not throw.
 */
typedef void (*st_change_fn)(void *context, const char *key, size_t key_len, uint64_t generation);

/**
 * A counted reference to an object in a cache. Free it with `st_object_free`. The caller owns the struct and must
 * not copy it.
 */
typedef struct st_object {
    /**
     * The stored pointer. NULL if this struct holds no object, or if NULL was stored.
     */
    void *object;
    /**
     * Used by the library.
     */
    void *owner;
} st_object;

/**
 * The state of a cache and its counters since it was created. The caller allocates the struct and initializes it
 * with `ST_CACHE_COUNTS_INIT`.
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
     * The number of entries, including expired entries that have not been removed yet.
     */
    uint64_t entries;
    /**
     * The largest number of entries.
     */
    uint64_t max_size;
    /**
     * The number of expired entries that have not been removed yet.
     */
    uint64_t expired_count;
    /**
     * The time to live, in seconds, of an entry that is stored without one.
     */
    double default_ttl;
    /**
     * Lookups that returned a value or a cached absence.
     */
    uint64_t hits;
    /**
     * Lookups that found no entry.
     */
    uint64_t misses;
    /**
     * Entries that were removed before they expired, to make room.
     */
    uint64_t evictions;
    /**
     * Entries that were removed because they had expired.
     */
    uint64_t expirations;
    /**
     * Entries that were deleted before they expired.
     */
    uint64_t invalidations;
    /**
     * Loads that were started.
     */
    uint64_t loads;
    /**
     * Loads that ended without a value.
     */
    uint64_t load_failures;
} st_cache_counts;

/**
 * Reports the end of a load that another caller began. `error` is never NULL; its `status` is `ST_OK` if the load has
 * a value, which is then in `value`, or in `object` if it is an object (`value` is NULL). All are valid until the
 * function returns; `st_bytes_clone` keeps the bytes. The value may not have been stored.
 *
 * It is called on the thread that ends the load, before the call that ends it returns, with no lock of the library
 * held. It may call the library, but must not wait for a load. It should only wake its caller, because the thread that
 * ends the load calls one such function after another.
 */
typedef void (*st_load_ended_fn)(void *context,
                                 const struct st_bytes *value,
                                 void *object,
                                 const struct st_error *error);

/**
 * Receives the number of processed credentials and their total. If it returns `false`, the re-encryption stops and
 * nothing is changed.
 *
 * It is called on the calling thread, while the database is locked for other writers and with no lock of the library
 * held. It may call the library, except for functions that need the same database file, through any store: those of
 * credentials and, if both are in one file, uncached provider configuration and hardware prices. Such a call returns
 * `ST_BUSY`. It must not throw.
 */
typedef bool (*st_progress_fn)(void *context, uint64_t done, uint64_t total);

/**
 * Success.
 */
#define ST_OK 0

/**
 * The value was not found. For a secret: all providers were queried, and none has it; the failure of a provider is
 * never reported as this status. What to do: add the value to a provider that the message names.
 */
#define ST_NOT_FOUND -1

/**
 * An argument is NULL, too long, not UTF-8, or out of range. What to do: fix the calling program.
 */
#define ST_INVALID_ARGUMENT -2

/**
 * A setting is unknown, missing, or of the wrong type. What to do: correct the setting that the message names.
 */
#define ST_CONFIG -3

/**
 * A file operation failed; `detail` is `errno`.
 */
#define ST_IO -4

/**
 * Permissions or a policy forbid the operation; `detail` is `errno` or the HTTP status, if there is one.
 */
#define ST_ACCESS_DENIED -5

/**
 * A service or a resource is unavailable. What to do: try again later.
 */
#define ST_UNAVAILABLE -6

/**
 * The deadline passed. What to do: try again, or raise the timeout.
 */
#define ST_TIMEOUT -7

/**
 * A document or a response is malformed. What to do: correct it at the place that the message names.
 */
#define ST_PROTOCOL -8

/**
 * An encrypted token is damaged, or was encrypted under another key. What to do: restore that key.
 */
#define ST_BAD_TOKEN -9

/**
 * An encryption key is missing, empty, or unreadable. What to do: correct the file or variable that the message
 * names.
 */
#define ST_BAD_KEY -10

/**
 * The caller's buffer is too small; `*len` is the size that is needed.
 */
#define ST_BUFFER_TOO_SMALL -11

/**
 * A callback broke its contract, for example by returning `ST_OK` without a value.
 */
#define ST_CALLBACK -12

/**
 * A database or a hash chain is damaged.
 */
#define ST_CORRUPT -13

/**
 * Another thread or process is using the resource. What to do: try again.
 */
#define ST_BUSY -14

/**
 * The value exists but has another type.
 */
#define ST_WRONG_TYPE -15

/**
 * The destination cannot be written to.
 */
#define ST_READ_ONLY -16

/**
 * Out of memory.
 */
#define ST_NO_MEMORY -17

/**
 * The load that this call waited for was abandoned.
 */
#define ST_ABANDONED -18

/**
 * The library panicked, which is a bug. The call has no result; the library remains usable.
 */
#define ST_PANIC -99

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Returns the version of the library at run time, such as "0.1.0". The text is static and never NULL.
 */
const char *st_version(void);

/**
 * Returns the version of the library at run time as a number: `major * 1000000 + minor * 1000 + patch`.
 * `ST_VERSION_NUMBER` is that of this header.
 */
uint32_t st_version_number(void);

/**
 * Returns the version of the binary interface, which is the number in the soname of the library. `ST_ABI_VERSION` is
 * that of this header; if the two differ, the program must be recompiled. New functions alone do not change it.
 */
uint32_t st_abi_version(void);

/**
 * Returns the name of a status, such as "ST_NOT_FOUND"; "ST_UNKNOWN" for a number that this version does not define.
 * The text is static and never NULL.
 */
const char *st_status_name(st_status status);

/**
 * Sets the log function of the process: from now on `log` receives the messages up to `max_level` (`ST_LOG_…`). It
 * replaces the function that was set before. NULL as `log`, or `ST_LOG_OFF`, stops logging.
 *
 * The library takes ownership of `context`, even if the call fails. It calls `drop` (may be NULL) with it exactly
 * once: when the function has been replaced and no call of it is under way.
 *
 * `ST_INVALID_ARGUMENT`: `max_level` is not a log level.
 */
st_status st_log_set(int32_t max_level,
                     st_log_fn log,
                     st_drop_fn drop,
                     void *context,
                     struct st_error *error);

/**
 * As `st_log_set`, for a function that receives the fields of each message too. The process has one log function: this
 * one replaces that of `st_log_set`, and vice versa.
 */
st_status st_log_set_fields(int32_t max_level,
                            st_log_fields_fn log,
                            st_drop_fn drop,
                            void *context,
                            struct st_error *error);

/**
 * Writes another reference to the same bytes to `out`. The caller frees both references, each with `st_bytes_free`.
 *
 * `ST_INVALID_ARGUMENT`: `bytes` holds no bytes, or `out` is `bytes` itself.
 */
st_status st_bytes_clone(const struct st_bytes *bytes,
                         struct st_bytes *out,
                         struct st_error *error);

/**
 * Frees a reference and zeroes the struct. Freeing NULL, or a struct that holds no bytes because its call failed or
 * because it was freed before, does nothing.
 */
void st_bytes_free(struct st_bytes *bytes);

/**
 * Creates a configuration in which every setting has its default. The caller frees it with `st_config_free`. Returns
 * NULL if it runs out of memory.
 */
struct st_config *st_config_new(void);

/**
 * Frees a configuration. Freeing NULL does nothing.
 */
void st_config_free(struct st_config *config);

/**
 * Sets a key from text: `true`, `2.5`, `/path/to/file`, `["env","file"]`. Key and value are UTF-8 and are copied. A
 * key that is set again has the new value.
 *
 * `ST_CONFIG`: the key is unknown (the message names the most similar known key), or the value has the wrong type. The
 * configuration is unchanged.
 */
st_status st_config_set(struct st_config *config,
                        const char *key,
                        size_t key_len,
                        const char *value,
                        size_t value_len,
                        struct st_error *error);

/**
 * Sets all keys of a JSON object: `{"file_path": "~/s.json", "strict_permissions": true}`. `null` restores the default
 * of a key.
 *
 * `ST_CONFIG`: as for `st_config_set`; or the text is not a JSON object, or has a key twice. The configuration is
 * unchanged.
 */
st_status st_config_parse(struct st_config *config,
                          const char *json,
                          size_t len,
                          struct st_error *error);

/**
 * Sets the result of a callback to a value of `len` bytes, which are copied. `ttl` is the time in seconds for which it
 * may be cached; `ST_TTL_DEFAULT` uses that of the configuration. Another call of an `st_reply_…` function replaces
 * the result.
 */
st_status st_reply_bytes(struct st_reply *reply,
                         const void *data,
                         size_t len,
                         double ttl);

/**
 * Sets the result of a callback to an object of the program, with `ttl` as for `st_reply_bytes`. The library takes
 * ownership of the object, even if the call fails: it calls `drop` (may be NULL) with it exactly once, when the last
 * reference to it is freed or when this call fails.
 *
 * `ST_WRONG_TYPE`: the callback returns the value of a secret, which is bytes.
 */
st_status st_reply_object(struct st_reply *reply,
                          void *object,
                          st_drop_fn drop,
                          double ttl);

/**
 * Sets the result of a callback to a failure: a status other than `ST_OK` (`ST_NOT_FOUND`: it has no value), and a
 * message of `len` bytes. The message is UTF-8 and is copied; `(NULL, 0)` means that there is none. It must not
 * contain a secret.
 */
st_status st_reply_error(struct st_reply *reply,
                         st_status status,
                         const char *message,
                         size_t len);

/**
 * Opens a manager with a copy of `config`; NULL uses the defaults. The caller frees the manager with
 * `st_secrets_free`. This call reads no file and sends no request. An error in a file is reported by the calls that
 * need the file.
 *
 * `ST_CONFIG`: a setting is invalid.
 */
st_status st_secrets_open(const struct st_config *config,
                          struct st_secrets **out,
                          struct st_error *error);

/**
 * Frees a manager. No other thread may be using it. Values that it returned stay valid. Freeing NULL does nothing: the
 * manager of the process is not freed.
 *
 * Sends nothing, unless a dynamic secret of Vault has `revoke`: then its lease is revoked, within the `timeout` of the
 * configuration and at most 5 s.
 */
void st_secrets_free(struct st_secrets *secrets);

/**
 * Replaces the manager of the process with a new one with these settings. With NULL, a manager with default settings
 * is opened on next use. Calls under way complete with the old manager.
 *
 * `ST_CONFIG`: a setting is invalid; the manager is not replaced.
 */
st_status st_secrets_reset(const struct st_config *config,
                           struct st_error *error);

/**
 * Returns the value of `key` from the first provider that has it. The key is UTF-8, 1 to 2048 bytes, without a NUL.
 *
 * The environment and the file are read on every call, so an override takes effect at once; a file is checked for
 * changes at most once a second. AWS Secrets Manager and Vault are read as a whole, once for all callers, and cached
 * for `cache_ttl`. While another call reads them again, a cached value is returned without waiting; see
 * `ST_SECRET_STALE`. The call takes at most the `timeout` of the configuration.
 *
 * A provider that fails is skipped, and the failure is logged. If no other provider has the value, the result is the
 * failure of the first such provider, with its kind in `source`, and never `ST_NOT_FOUND`.
 *
 * The caller frees `out` with `st_bytes_free`.
 *
 * `ST_NOT_FOUND`: no provider has the value. Any other status is that of a provider: `ST_TIMEOUT`, `ST_UNAVAILABLE`,
 * `ST_ACCESS_DENIED`, `ST_PROTOCOL`, `ST_IO`, `ST_CONFIG`, `ST_CALLBACK`, or one that a custom provider returned.
 */
st_status st_secrets_get(const struct st_secrets *secrets,
                         const char *key,
                         size_t key_len,
                         struct st_bytes *out,
                         struct st_error *error);

/**
 * As `st_secrets_get`, but copies the value into the caller's buffer of `capacity` bytes, without a NUL, and writes
 * its length to `len`. With `(NULL, 0)` as the buffer it only writes the length. The caller is responsible for wiping
 * the copy.
 *
 * `ST_BUFFER_TOO_SMALL`: the value is longer than `capacity`; `len` is the length that is needed, and the buffer is
 * unchanged.
 */
st_status st_secrets_get_into(const struct st_secrets *secrets,
                              const char *key,
                              size_t key_len,
                              void *buffer,
                              size_t capacity,
                              size_t *len,
                              struct st_error *error);

/**
 * As `st_secrets_get`, with a timeout, flags, and information about the value.
 *
 * `timeout` is in seconds; `ST_TIMEOUT_DEFAULT` uses that of the configuration, `INFINITY` sets no limit. `flags` is
 * 0, or one of `ST_GET_REFRESH` and `ST_GET_CACHED_ONLY`. `info` may be NULL; otherwise it receives where the value
 * came from.
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
 * Returns several values, as `st_secrets_get` does, within the `timeout` of the configuration in total. `keys` has
 * `count` consecutive names, each ending with a NUL, in `keys_len` bytes. `values` and `statuses` have `count`
 * elements. The result for the i-th name is written to `values[i]`, which the caller frees with `st_bytes_free`, and
 * to `statuses[i]`.
 *
 * The call succeeds even if it fails for a key: check `statuses`. To get the error message of a key, call
 * `st_secrets_get` with it.
 */
st_status st_secrets_get_many(const struct st_secrets *secrets,
                              const char *keys,
                              size_t keys_len,
                              size_t count,
                              struct st_bytes *values,
                              st_status *statuses,
                              struct st_error *error);

/**
 * Returns the secret `REPLICATE_API_TOKEN`, as `st_secrets_get` does.
 */
st_status st_secrets_get_replicate_token(const struct st_secrets *secrets,
                                         struct st_bytes *out,
                                         struct st_error *error);

/**
 * Returns the secret `HF_TOKEN`, as `st_secrets_get` does.
 */
st_status st_secrets_get_hf_token(const struct st_secrets *secrets,
                                  struct st_bytes *out,
                                  struct st_error *error);

/**
 * Returns the secret `CLOUD_WEBHOOK_SECRET`, as `st_secrets_get` does.
 */
st_status st_secrets_get_webhook_secret(const struct st_secrets *secrets,
                                        struct st_bytes *out,
                                        struct st_error *error);

/**
 * Writes a secret to the secrets file. Key and value are UTF-8; a value has at most 1 MiB. If the file does not exist,
 * it is created at `file_path` or, by default, as `~/.simpletuner/secrets.json`.
 *
 * The file keeps its format, its other entries, and their layout. It is replaced atomically and has mode 0600 from the
 * start. Writers in several processes wait for each other. The next get still queries the providers in order: an
 * environment variable of the same name takes precedence over the file.
 *
 * With the setting `set_provider`, the secret is written to that provider instead; errors are those of the provider.
 * `ST_BUSY`: other clients kept changing the document during the call; try again.
 *
 * If the call fails, the file is unchanged. `ST_PROTOCOL`: the file cannot be parsed, or its layout cannot be changed
 * safely. `ST_READ_ONLY`: the path is a directory of secrets. `ST_BUSY`: another process did not finish within the
 * `timeout` of the configuration. `ST_CONFIG`: there is no file provider, or no home directory. `ST_IO` or
 * `ST_ACCESS_DENIED`: the file cannot be written.
 */
st_status st_secrets_set(const struct st_secrets *secrets,
                         const char *key,
                         size_t key_len,
                         const void *value,
                         size_t value_len,
                         struct st_error *error);

/**
 * Writes the secret `REPLICATE_API_TOKEN` to the secrets file, as `st_secrets_set` does.
 */
st_status st_secrets_set_replicate_token(const struct st_secrets *secrets,
                                         const void *value,
                                         size_t value_len,
                                         struct st_error *error);

/**
 * Removes a secret from the secrets file, or from the provider of `set_provider`. `existed` (may be NULL) receives
 * whether it was there; if it was not, the call succeeds too. Errors are those of `st_secrets_set`.
 */
st_status st_secrets_delete(const struct st_secrets *secrets,
                            const char *key,
                            size_t key_len,
                            bool *existed,
                            struct st_error *error);

/**
 * Adds a custom provider, which is the callback `get`. `name` (1 to 31 bytes of UTF-8, no control characters)
 * identifies it in errors, logs and `st_secret_info`. `position` is its index in the chain of providers: 0 is first.
 * `ST_LAST` is last, except that `huggingface` stays behind it if it is the last provider, because its aliases have
 * the lowest precedence. A provider cannot be removed.
 *
 * Its values are cached for `cache_ttl` or the TTL that it set, and the absence of a value for `miss_ttl`. While one
 * call queries it again, other calls get its last value, with `ST_SECRET_STALE` after `cache_ttl`. A value is never
 * used after the TTL that the provider set, nor after the provider returned `ST_ACCESS_DENIED` for its key.
 *
 * If `get` returns `ST_TIMEOUT` after it used up its time or ran for more than a second, or has not returned when the
 * timeout of another call for the key has passed, it is not called during a pause. After the pause, one call at a time
 * calls it, with a timeout of at most one second, until it responds. A refresh calls it at once.
 *
 * The library takes ownership of `context`, even if the call fails. It calls `drop` (may be NULL) with it exactly
 * once: when the manager is freed, or when this call fails.
 *
 * `ST_INVALID_ARGUMENT`: the name is invalid or in use, or `position` is greater than the number of providers.
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
 * Refreshes all providers: reads the file, AWS and Vault now, runs the programs, and drops the cached values of custom
 * providers. The call takes at most `timeout` seconds (`ST_TIMEOUT_DEFAULT`: that of the configuration; `INFINITY`: no
 * limit).
 *
 * The error is that of the first provider that failed, in whole or in part. The other providers are refreshed even
 * then.
 */
st_status st_secrets_refresh(const struct st_secrets *secrets,
                             double timeout,
                             struct st_error *error);

/**
 * Loads the documents of AWS, Vault and programs now, unless they are cached. With the setting `share`, the other
 * processes on this host then use those of AWS and Vault too. The call takes at most `timeout` seconds
 * (`ST_TIMEOUT_DEFAULT`: that of the configuration; `INFINITY`: no limit).
 *
 * The error is that of the first provider that failed, in whole or in part. The other documents are loaded even then.
 */
st_status st_secrets_prefetch(const struct st_secrets *secrets,
                              double timeout,
                              struct st_error *error);

/**
 * Drops all values that the manager has cached, and wipes those that no caller holds. The next get queries the
 * sources. With the setting `share`, the other processes on this host drop them too.
 */
st_status st_secrets_clear_cache(const struct st_secrets *secrets,
                                 struct st_error *error);

/**
 * Returns the settings, and the providers in their order, as JSON. It contains no value of a secret, and no source is
 * queried. The caller frees `json` with `st_bytes_free`. An example:
 * `{"timeout": 10.0, "providers": [{"name": "env", "prefix": null}, {"name": "file", "path": …, "entries": 3}]}`.
 */
st_status st_secrets_describe(const struct st_secrets *secrets,
                              struct st_bytes *json,
                              struct st_error *error);

/**
 * Checks all providers, the memory that holds secrets, and the directory that is shared with other processes, and
 * returns the result as JSON. It contains no value of a secret. The caller frees `json` with `st_bytes_free`. An
 * example: `{"ok": true, "providers": [{"name": "env", "state": "ok", "detail": …}], "memory": {"state": "ok", …},
 * "share": {"state": "absent", …}}`.
 *
 * A state is `ok`, `absent` (not configured, or no file), `warning` or `failed`. `advice`, where present, says what to
 * do. `ok` is false if a provider failed; the call itself succeeds. It takes at most the `timeout` of the
 * configuration.
 */
st_status st_secrets_check(const struct st_secrets *secrets,
                           struct st_bytes *json,
                           struct st_error *error);

/**
 * Returns counters since the manager was opened, as JSON. It contains no value of a secret, and no source is queried.
 * The caller frees `json` with `st_bytes_free`. An example: `{"gets": 105, "not_found": 1, "failed": 0, "providers":
 * [{"name": "aws", "found": 104, "hits": 103, "stale": 0, "loads": 1, "load_failures": 0, "shared_loads": 0,
 * "retries": 0, "load_seconds": 0.12, "last_load_seconds": 0.12, "longest_load_seconds": 0.12}]}`.
 *
 * - `gets`: the number of gets; each key of `st_secrets_get_many` counts as one. A cached-only get of a value that is
 *   not cached does not count. `not_found` and `failed` are the gets that returned no value.
 * - `providers`, in their order. `found`: gets that returned a value of this provider; of these, `hits` were served
 *   from memory without a query of the source, and `stale` returned an expired value. `loads`: how often the source
 *   was read or the callback called; `load_failures`: loads that failed, in whole or in part. `shared_loads`:
 *   documents that another process on this host had loaded. `retries`: requests that were repeated. `load_seconds`,
 *   `last_load_seconds` and `longest_load_seconds`: the duration of all loads together, of the last, and of the
 *   longest.
 *
 * Later versions may add members.
 *
 * All numbers but `last_load_seconds` only increase. The child of a `fork()` continues with the numbers of its parent.
 */
st_status st_secrets_stats(const struct st_secrets *secrets,
                           struct st_bytes *json,
                           struct st_error *error);

/**
 * Returns what is shared with other processes on this host, as JSON; see the setting `share`. It contains no value of
 * a secret, and no source is queried. The caller frees `json` with `st_bytes_free`. An example: `{"share": "host",
 * "directory": "/dev/shm/st-secrets-1000", "owner": 1000, "refused": null, "documents": [{"id": …, "provider": "aws",
 * "place": …, "age": 12.5, "expires_in": 287.5, "loading": false, "loader_pid": null, "failing": null, "retry_in":
 * null}]}`.
 *
 * `share` is `host` or `off`. `refused` is the reason why nothing is shared, or `null`. The times of a document are in
 * seconds; they are `null` if the document was not loaded, or if this process cannot decrypt it. `failing` is the
 * message of the last load, if it failed, and `retry_in` the time until the next one.
 */
st_status st_secrets_share(const struct st_secrets *secrets,
                           struct st_bytes *json,
                           struct st_error *error);

/**
 * Returns the path of the file or directory that the file provider reads; if there is none, the path of the file that
 * `st_secrets_set` would create. A path is not necessarily UTF-8. The caller frees `path` with `st_bytes_free`.
 *
 * `ST_CONFIG`: there is no file provider, or no home directory.
 */
st_status st_secrets_file_path(const struct st_secrets *secrets,
                               struct st_bytes *path,
                               struct st_error *error);

/**
 * Writes to `generation` a number that increases when anything that this manager serves changes: a document is loaded
 * with different contents or dropped, a file changes, another process invalidates something. It never decreases, and
 * may increase more than once for one change. If it is unchanged, no get of this process has noticed a change.
 *
 * With the setting `share`, changes that other processes on the host publish count at once, without a get. All calls
 * but the first one only read memory.
 */
st_status st_secrets_generation(const struct st_secrets *secrets,
                                uint64_t *generation,
                                struct st_error *error);

/**
 * Registers `changed`, which is called when the value of `key` changes; with NULL as the key, when anything changes.
 * The library has no thread of its own: the callback runs on a thread of the program, within a get that finds a change
 * or within `st_secrets_listen`. `id` (may be NULL) receives the number for `st_secrets_unwatch`.
 *
 * Changes are relative to the value that is cached now or, if none is, to the one that the next check finds. A key
 * that gains or loses its value counts as changed. Only `st_secrets_listen` compares variables and the values of
 * custom providers.
 *
 * The library takes ownership of `context`, even if the call fails. It calls `drop` (may be NULL) with it exactly
 * once: after `st_secrets_unwatch`, when the manager is freed, or when this call fails.
 */
st_status st_secrets_watch(const struct st_secrets *secrets,
                           const char *key,
                           size_t key_len,
                           st_change_fn changed,
                           st_drop_fn drop,
                           void *context,
                           uint64_t *id,
                           struct st_error *error);

/**
 * Ends a watch. When the call returns, no new call of its callback begins; one that another thread has begun may still
 * be under way, and `drop` is called after it.
 *
 * `ST_NOT_FOUND`: there is no watch of this number.
 */
st_status st_secrets_unwatch(const struct st_secrets *secrets,
                             uint64_t id,
                             struct st_error *error);

/**
 * Waits until the generation differs from `since`, or until `timeout` seconds have passed (0: does not wait;
 * `INFINITY`: no limit), and writes it to `generation`. If the result equals `since`, nothing changed. A program that
 * passes the result of each call to the next one misses no change.
 *
 * The call blocks its thread and does the work of the watches there: once a second it checks files and watched keys,
 * and it reloads documents that are due. If several processes share a document, one of them reloads it and wakes the
 * others. Callbacks of watches are called before the call returns. A signal does not end the wait: use a short
 * `timeout` if it has to.
 */
st_status st_secrets_listen(const struct st_secrets *secrets,
                            uint64_t since,
                            double timeout,
                            uint64_t *generation,
                            struct st_error *error);

/**
 * Drops the cached values of all processes in `scope`. Returns when all of them have confirmed it, or after `timeout`
 * seconds (`INFINITY`: no limit). `key` is the key that changed, or NULL for all keys. At present everything is
 * dropped in both cases, because documents are loaded as a whole.
 *
 * `report` receives the result as JSON, which the caller frees with `st_bytes_free`: `{"scope": "host", "confirmed":
 * [1201, 1202], "silent": [1203], "complete": true}`, with process IDs. In a process that confirmed, no get that
 * begins after this call returns an older value. With `ST_SCOPE_HOST`, an idle process counts as confirmed, because
 * its next call begins by checking the shared memory. A silent process is stopped, possibly in the middle of a get
 * that returns an older value when the process continues. The call succeeds even if processes are silent: check
 * `silent`. `complete` is false if the host has had more processes than the list can hold (4088).
 *
 * With `ST_SCOPE_CLUSTER`, `confirmed` and `silent` are arrays of host names. A host confirms when one of its
 * processes calls a get or `st_secrets_listen`. The call waits for each host that has made such a call within the last
 * 15 seconds, until it confirms or makes no call for 15 seconds. To confirm promptly, a host that makes few gets calls
 * `st_secrets_listen` in a loop. A host without a call for 15 seconds is listed as silent without waiting for it;
 * after 60 seconds it is not listed. In both cases its next get checks the tier first.
 *
 * `ST_CONFIG`: with `ST_SCOPE_HOST`, the setting `share` is off; with `ST_SCOPE_CLUSTER`, there is no `share_url`.
 * `ST_UNAVAILABLE`, `ST_TIMEOUT`, `ST_ACCESS_DENIED` or `ST_PROTOCOL`: the tier failed. `ST_ACCESS_DENIED` or `ST_IO`:
 * the directory of the share cannot be used.
 */
st_status st_secrets_invalidate(const struct st_secrets *secrets,
                                const char *key,
                                size_t key_len,
                                uint32_t scope,
                                double timeout,
                                struct st_bytes *report,
                                struct st_error *error);

/**
 * Creates a cache of at most `max_size` entries. A cache of size 0 stores nothing, but concurrent loads of one key
 * still share one load. Entries live for `default_ttl` seconds (`INFINITY`: they never expire; 0: they expire at
 * once). Expired entries are removed every `cleanup_interval` seconds (greater than 0; `INFINITY`: never), a few at a
 * time, by the calls that follow: by each that stores or finds an entry, and by some of those that find none. Free the
 * cache with `st_cache_free`.
 *
 * `ST_NO_MEMORY`: there is not enough memory for `max_size` entries.
 */
st_status st_cache_new(double default_ttl,
                       size_t max_size,
                       double cleanup_interval,
                       struct st_cache **out,
                       struct st_error *error);

/**
 * Creates a cache as `st_cache_new` does, from the keys `default_ttl`, `max_size`, `cleanup_interval`, `soft_ttl`,
 * `ttl_jitter`, `absent_ttl`, `tier`, `tier_name`, `tier_interval` and `keyed_hash` of `config`. `config` is copied;
 * NULL selects every default. Set `keyed_hash` (default `false`) if untrusted users choose the keys: the cache then
 * uses SipHash-1-3. The default hash is faster, but an attacker who can time many calls may find keys that collide.
 * Free the cache with `st_cache_free`.
 *
 * With `tier`, a server has an encrypted copy of the bytes in the cache, which other processes use. Before a load, and
 * when a lookup finds nothing in the process, the server is queried. A call that stores or removes a value does so on
 * the server too. Other processes stop returning the older value after at most `tier_interval` (default 1 s) plus the
 * time of one exchange with the server, at most 0.5 s. No call fails because the server fails: the cache then works
 * without the server, and tries it again after 1 to 15 s. Objects stay in the process. Each of these calls may take as
 * long as an exchange. See `docs/tier.md`.
 *
 * `ST_CONFIG`: a setting of the tier is invalid.
 *
 * `ST_NO_MEMORY`: there is not enough memory for `max_size` entries.
 */
st_status st_cache_open(const struct st_config *config,
                        struct st_cache **out,
                        struct st_error *error);

/**
 * Frees a cache and its entries. No other thread may be using it. Values that callers hold stay valid. The `drop`
 * functions of its objects are called before the cache is freed and may use it; what they store in it is dropped
 * too. NULL and the built-in caches are ignored.
 */
void st_cache_free(struct st_cache *cache);

/**
 * Stores a copy of `value_len` bytes under `key`, which can be any bytes, for `ttl` seconds (`ST_TTL_DEFAULT`: the
 * default of the cache; `INFINITY`: never expires; 0: expires at once). The result of a load of this key that is in
 * progress is not stored, and later callers do not wait for that load.
 */
st_status st_cache_set(const struct st_cache *cache,
                       const void *key,
                       size_t key_len,
                       const void *value,
                       size_t value_len,
                       double ttl,
                       struct st_error *error);

/**
 * Stores an object of the program. `ttl` is as for `st_cache_set`. The cache always takes ownership: it calls `drop`
 * (may be NULL) with `object` exactly once, with no lock held, when the last reference is freed or when this call
 * fails.
 */
st_status st_cache_set_object(const struct st_cache *cache,
                              const void *key,
                              size_t key_len,
                              void *object,
                              st_drop_fn drop,
                              double ttl,
                              struct st_error *error);

/**
 * Returns the bytes under `key` in `out`. Free them with `st_bytes_free`.
 *
 * `ST_NOT_FOUND`: there is no entry, or it has expired; no message is written. `ST_WRONG_TYPE`: the value is an
 * object.
 */
st_status st_cache_get(const struct st_cache *cache,
                       const void *key,
                       size_t key_len,
                       struct st_bytes *out,
                       struct st_error *error);

/**
 * Copies the bytes under `key` into `buffer`, without a terminating NUL, and writes their number to `len`. `(NULL,
 * 0)` as the buffer returns the number only.
 *
 * `ST_NOT_FOUND` and `ST_WRONG_TYPE`: as for `st_cache_get`. `ST_BUFFER_TOO_SMALL`: `len` is the size that is
 * needed; the buffer is unchanged.
 */
st_status st_cache_get_into(const struct st_cache *cache,
                            const void *key,
                            size_t key_len,
                            void *buffer,
                            size_t capacity,
                            size_t *len,
                            struct st_error *error);

/**
 * Returns a reference to the object under `key` in `out`. Free it with `st_object_free`.
 *
 * `ST_NOT_FOUND`: there is no entry, or it has expired; no message is written. `ST_WRONG_TYPE`: the value is bytes.
 */
st_status st_cache_get_object(const struct st_cache *cache,
                              const void *key,
                              size_t key_len,
                              struct st_object *out,
                              struct st_error *error);

/**
 * Frees a reference to an object and zeroes the struct. If it is the last reference, `drop` is called before this
 * function returns. NULL, and a struct that holds no object, are ignored.
 */
void st_object_free(struct st_object *object);

/**
 * Removes an entry. `existed` (may be NULL) reports whether there was an entry that had not expired; a missing entry
 * is not an error. The result of a load of this key that is in progress is not stored. Callers that ask from now on
 * do not wait for that load; they get a value that was loaded after this call began.
 */
st_status st_cache_delete(const struct st_cache *cache,
                          const void *key,
                          size_t key_len,
                          bool *existed,
                          struct st_error *error);

/**
 * Removes all entries and returns their memory to the system. `count` (may be NULL) is the number of removed entries
 * that had not expired. Loads are treated as by `st_cache_delete`.
 */
st_status st_cache_clear(const struct st_cache *cache,
                         size_t *count,
                         struct st_error *error);

/**
 * Removes the entries whose keys begin with these bytes. An empty prefix (NULL, 0) is `st_cache_clear`. `count` and
 * loads are as for `st_cache_clear`. The search runs in steps: other callers can see some of the entries removed
 * before others, and entries that they store meanwhile may stay.
 */
st_status st_cache_invalidate_prefix(const struct st_cache *cache,
                                     const void *prefix,
                                     size_t prefix_len,
                                     size_t *count,
                                     struct st_error *error);

/**
 * Reports the state of a cache. All numbers are from one moment except `expired_count`: expired entries are counted
 * after that, one by one (some milliseconds for a million entries), while other callers continue.
 */
st_status st_cache_stats(const struct st_cache *cache,
                         struct st_cache_counts *out,
                         struct st_error *error);

/**
 * Returns the process-wide cache for provider configuration, with keys such as `provider:replicate:config`: 100
 * entries, 300 seconds. The result must not be freed. NULL if it cannot be allocated.
 */
const struct st_cache *st_cache_provider_config(void);

/**
 * Returns the process-wide cache for user permissions, with keys such as `user:123:permissions`: 500 entries, 60
 * seconds. The result must not be freed. NULL if it cannot be allocated.
 */
const struct st_cache *st_cache_user_permission(void);

/**
 * Removes everything that the built-in cache holds about a provider: the keys that begin with
 * `provider:{provider}:`. `count` is as for `st_cache_clear`.
 */
st_status st_cache_invalidate_provider(const char *provider,
                                       size_t len,
                                       size_t *count,
                                       struct st_error *error);

/**
 * Removes everything that the built-in cache holds about a user: the keys that begin with `user:{user_id}:`. `count`
 * is as for `st_cache_clear`.
 */
st_status st_cache_invalidate_user(int64_t user_id,
                                   size_t *count,
                                   struct st_error *error);

/**
 * Returns the value under `key`. If there is none, calls `load` and stores the value that it returns. Other callers
 * that ask for the key meanwhile wait for this load, each for at most `timeout` seconds (`INFINITY`: no limit).
 * `load` is called with `context` on the calling thread, before this function returns, with no lock held; it replies
 * as described for `st_load_fn`. If `load` fails, all callers that wait get the error. The failure is not stored,
 * unless the cache has an `absent_ttl` and the status is `ST_NOT_FOUND`. If the key is written or invalidated during
 * the load, the callers that wait already get the loaded value, but it is not stored, and later callers load again.
 *
 * If an entry past its `soft_ttl` is reloaded and `load` fails with `ST_NOT_FOUND` or `ST_ACCESS_DENIED`, the entry
 * is removed and the error is returned. After any other failure all callers get the old value for one more second;
 * then the next caller loads again.
 *
 * `out` may be NULL if the caller only wants the value to be in the cache, as for objects.
 *
 * `ST_TIMEOUT`: the load of another caller did not end in time, or `timeout` elapsed. `ST_BUSY`: `load` asks for the
 * key that it is loading, or for a key whose load waits for this one, across any number of threads and caches; or
 * another caller is loading and `timeout` is 0. `ST_NOT_FOUND`: `load` has no value. `ST_WRONG_TYPE`: the value is
 * an object.
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
 * Returns the value under `key`, or else a lease to load it. This is `st_cache_get_or_load` in two steps, for
 * callers that cannot load within a callback. `outcome` is one of:
 *
 * - `ST_LOAD_HIT`: `value` is the cached value. If it is an object, `value` is empty; get the object with
 *   `st_cache_get_object`.
 * - `ST_LOAD_LEADER`: the caller must load the value and then end the lease with this number by
 *   `st_cache_load_finish`, `st_cache_load_finish_object` or `st_cache_load_abandon`, from any thread. `value` is
 *   the old value if there is one that may still be served.
 * - `ST_LOAD_BUSY`: another caller has the lease with this number, and `timeout` is 0. Only that caller may end it.
 *
 * If another caller has the lease, this call waits for up to `timeout` seconds; with 0 it does not wait. A lease
 * that is not ended within `lease_ttl` seconds (`INFINITY`: no limit) passes to the next caller that asks. If the
 * key is written or invalidated, the next caller gets a lease of its own, and the earlier lease can still be ended.
 * In a forked child, the leases of the parent are void.
 *
 * `ST_TIMEOUT`: the other caller did not end its lease in time. If it ended its lease with an error, this call
 * returns that error. `ST_BUSY`: the call comes from a `load` of `st_cache_get_or_load` for this key, or from one
 * that the load of this key waits for. `ST_NOT_FOUND`: the absence of the value is cached.
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
 * As `st_cache_load_begin`, for callers that cannot block a thread, such as an event loop: it never waits. If another
 * caller has the lease, the outcome is `ST_LOAD_BUSY`, and `ended` is called with `context` exactly once, when that
 * load ends: by its value or failure, because its lease expired and another caller asked for the key, or because the
 * cache is freed (the last two are `ST_ABANDONED`). It may be called before this function returns, so the outputs of
 * this function must not be in memory that `ended` frees. `waiter` is a number for `st_cache_load_notify_cancel`.
 *
 * If the status of the load is `ST_ABANDONED`, the value is no longer being loaded, and the caller may begin again.
 * With any other outcome, and if this call fails, `ended` is not called.
 *
 * The library has no thread that watches the time. A caller that wants to wait for a limited time uses a timer of its
 * own, which cancels. So does a caller that waits for a lease that may expire; then it begins again.
 *
 * A load and its waiting callers belong to one process: in a forked child `ended` is not called for what the parent
 * began, and the child begins again.
 *
 * `ST_BUSY`: the call comes from a `load` of `st_cache_get_or_load` for this key. Other callers that wait for each
 * other are not detected. `ST_NOT_FOUND`: the absence of the value is cached.
 */
st_status st_cache_load_begin_notify(const struct st_cache *cache,
                                     const void *key,
                                     size_t key_len,
                                     double lease_ttl,
                                     st_load_ended_fn ended,
                                     void *context,
                                     int32_t *outcome,
                                     struct st_bytes *value,
                                     uint64_t *lease,
                                     uint64_t *waiter,
                                     struct st_error *error);

/**
 * Cancels the `ended` of `st_cache_load_begin_notify`. `cancelled` reports whether it will not be called. If it is
 * false, `ended` was called, or another thread is calling it now. So `context` may be freed by `ended`, and by a
 * caller whose `cancelled` is true.
 */
st_status st_cache_load_notify_cancel(const struct st_cache *cache,
                                      uint64_t waiter,
                                      bool *cancelled,
                                      struct st_error *error);

/**
 * Ends a lease with a copy of `len` bytes. They are stored for `ttl` seconds (`ST_TTL_DEFAULT`: the default of the
 * cache) and returned to all callers that wait. If the key was written or invalidated meanwhile, they are returned
 * to these callers but not stored.
 *
 * `ST_ABANDONED`: the lease has ended or expired. `ST_INVALID_ARGUMENT`: an argument is invalid; the lease continues.
 */
st_status st_cache_load_finish(const struct st_cache *cache,
                               uint64_t lease,
                               const void *value,
                               size_t len,
                               double ttl,
                               struct st_error *error);

/**
 * Ends a lease with an object. The cache takes ownership of it as `st_cache_set_object` does. Otherwise as
 * `st_cache_load_finish`.
 */
st_status st_cache_load_finish_object(const struct st_cache *cache,
                                      uint64_t lease,
                                      void *object,
                                      st_drop_fn drop,
                                      double ttl,
                                      struct st_error *error);

/**
 * Ends a lease without a value. All callers that wait get the status `why` (not `ST_OK`) and the message (UTF-8,
 * copied; NULL and 0 for none), which must not contain a secret. Nothing is stored, unless the cache has an
 * `absent_ttl` and `why` is `ST_NOT_FOUND`. An old value that may still be served is treated as by
 * `st_cache_get_or_load`.
 *
 * `ST_ABANDONED`: the lease has ended or expired. `ST_INVALID_ARGUMENT`: `why` is not an error, or the message is
 * not UTF-8; the lease is ended nevertheless, with `ST_CALLBACK`, so that no caller waits for it.
 */
st_status st_cache_load_abandon(const struct st_cache *cache,
                                uint64_t lease,
                                st_status why,
                                const char *message,
                                size_t len,
                                struct st_error *error);

/**
 * Writes the key under which the result of a function call is cached to `buffer`, without a terminating NUL, and its
 * length to `len`: `prefix:function:argument:argument`, such as `mymodule:get_user:123`. The bindings use it for their
 * cached functions, so all languages have the same key for the same call. Different arguments have different keys.
 * `(NULL, 0)` as the buffer returns the length only.
 *
 * `args` are the arguments, one after another, without separators. Numbers and lengths are decimal:
 *
 * - `n`: null; `t` and `f`: true and false
 * - `i12;`: an integer
 * - `d1.5;`: a floating-point number, also `inf`, `-inf` and `nan`
 * - `s3:abc`: text of that many bytes
 * - `x00ff;`: bytes, as lower-case hexadecimal digits
 * - `[`, values, `]`: a list
 * - `{`, named values, `}`: a mapping
 * - `=4:name` and a value: a named value, as an argument or within a mapping
 *
 * Text is UTF-8. Named values may be in any order; as arguments they follow the others in the key. An empty prefix is
 * omitted together with its `:`.
 *
 * `ST_BUFFER_TOO_SMALL`: `len` is the size that is needed; the buffer is unchanged.
 */
st_status st_function_key(const char *prefix,
                          size_t prefix_len,
                          const char *function,
                          size_t function_len,
                          const char *args,
                          size_t args_len,
                          void *buffer,
                          size_t capacity,
                          size_t *len,
                          struct st_error *error);

/**
 * Opens a cipher. `config` may be NULL and is copied. Its settings `key`, `key_file`, `previous_keys` and `generate`
 * say where the keys come from; `timeout` limits the wait for other processes that write a key file, in seconds
 * (default 10). The keys are read now, and one is generated if there is none. Free the cipher with `st_cipher_free`.
 *
 * `ST_CONFIG`: settings are mutually exclusive. `ST_IO`, `ST_READ_ONLY`, `ST_ACCESS_DENIED`: a new key cannot be
 * saved.
 */
st_status st_cipher_open(const struct st_config *config,
                         struct st_cipher **out,
                         struct st_error *error);

/**
 * Frees a cipher and wipes its keys. No other thread may be using it. NULL is allowed and does nothing.
 */
void st_cipher_free(struct st_cipher *cipher);

/**
 * Replaces the cipher of the process with one that has these settings. With NULL, a new one is opened from the
 * environment on the next use. Calls in progress finish with the cipher that they started with. `config` is copied.
 */
st_status st_cipher_reset(const struct st_config *config,
                          struct st_error *error);

/**
 * Encrypts up to 16 MiB of bytes under the newest key. `token` receives text in the form in which SimpleTuner stores
 * it. Free it with `st_bytes_free`.
 */
st_status st_encrypt(const struct st_cipher *cipher,
                     const void *plaintext,
                     size_t plaintext_len,
                     struct st_bytes *token,
                     struct st_error *error);

/**
 * Like `st_encrypt`, but copies the token, without a NUL, into the caller's buffer of `capacity` bytes and its length
 * into `len`. With `buffer` NULL and `capacity` 0, only `len` is set; it depends on nothing but `plaintext_len`.
 *
 * `ST_BUFFER_TOO_SMALL`: the token is longer than `capacity`. `len` receives the required length; the buffer is
 * unchanged.
 */
st_status st_encrypt_into(const struct st_cipher *cipher,
                          const void *plaintext,
                          size_t plaintext_len,
                          void *buffer,
                          size_t capacity,
                          size_t *len,
                          struct st_error *error);

/**
 * Decrypts a token made with any of the keys, in the form in which SimpleTuner stores it or as a bare Fernet token.
 * White space in it is ignored, and so is its age. Free `plaintext` with `st_bytes_free`, which wipes it.
 *
 * `ST_BAD_TOKEN`: the token is damaged, or was made with a key that is not available; the two cases are not
 * distinguished.
 */
st_status st_decrypt(const struct st_cipher *cipher,
                     const char *token,
                     size_t token_len,
                     struct st_bytes *plaintext,
                     struct st_error *error);

/**
 * Like `st_decrypt`, but copies the plaintext, without a NUL, into the caller's buffer of `capacity` bytes and its
 * length into `len`. With `buffer` NULL and `capacity` 0, only `len` is set. The caller wipes the buffer. This is the
 * fastest way to decrypt many rows; a buffer as long as the token is always large enough.
 *
 * `ST_BUFFER_TOO_SMALL`: the plaintext is longer than `capacity`. `len` receives the required length; the buffer is
 * unchanged.
 */
st_status st_decrypt_into(const struct st_cipher *cipher,
                          const char *token,
                          size_t token_len,
                          void *buffer,
                          size_t capacity,
                          size_t *len,
                          struct st_error *error);

/**
 * Generates a new key in the key file, after saving the old one in the file of previous keys (`.previous`), so that
 * existing tokens remain readable. Both files are replaced atomically: no key is lost, even if the process is killed
 * at any moment. Other processes pick up the new key within a second. SimpleTuner reads only `credential.key`:
 * re-encrypt what it has to read.
 *
 * `ST_READ_ONLY`: the key comes from a variable or from the setting `key`, or the file cannot be written to.
 * `ST_BUSY`: another process kept the key file locked until the timeout.
 */
st_status st_rotate_key(const struct st_cipher *cipher,
                        struct st_error *error);

/**
 * Re-encrypts a token under the newest key. `out` receives the new token in the form in which SimpleTuner stores it,
 * to be freed with `st_bytes_free`. If the token is already in this form and under this key, it is returned unchanged.
 * `changed` (may be NULL) receives whether the tokens differ. Errors are as for `st_decrypt`.
 */
st_status st_reencrypt(const struct st_cipher *cipher,
                       const char *token,
                       size_t token_len,
                       struct st_bytes *out,
                       bool *changed,
                       struct st_error *error);

/**
 * Opens a store. `config` may be NULL and is copied. Its settings `state_dir`, `database` and `audit_database` say
 * where the databases are; `timeout` limits each call, in seconds (default 30). No file is opened or created yet. Free
 * the store with `st_store_free`.
 *
 * `ST_CONFIG`: a setting is invalid, or no setting names a directory and there is no home directory.
 */
st_status st_store_open(const struct st_config *config,
                        struct st_store **out,
                        struct st_error *error);

/**
 * Creates another handle of the same store, whose changes are recorded with this actor. A negative `user_id` means
 * an unknown user; `username` and `ip` may be NULL with length 0 if they are unknown. Both are copied, have at
 * most 255 and 64 bytes, and contain no control characters. Free the handle with `st_store_free`, before or after the
 * original.
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
 * Frees a handle. No other thread may be using it. NULL is allowed and does nothing. When the last handle of a store
 * is freed, the write-ahead logs are checkpointed, so that the database files alone are complete. The same happens
 * when the process calls `exit` or returns from `main`.
 */
void st_store_free(struct st_store *store);

/**
 * Replaces the store of the process with one that has these settings. With NULL, a new one is opened from the
 * environment on the next use. Calls in progress finish with the store that they started with. `config` is copied.
 * Entries under `provider:` are removed from `st_cache_provider_config`.
 *
 * `ST_CONFIG`: as for `st_store_open`; the old store stays.
 */
st_status st_store_reset(const struct st_config *config,
                         struct st_error *error);

/**
 * Returns which databases a store uses, and why. Opens and creates nothing. Free `json`, a JSON object, with
 * `st_bytes_free`. Its members are
 *
 * - `state_dir`: the state directory, or null if the setting `database` names a file elsewhere
 * - `reason`: what decided: the setting `database` or `state_dir`; the variable `SIMPLETUNER_STATE_DIR` or
 *   `SIMPLETUNER_CONFIG_DIR`; `in_use` (SimpleTuner's server uses the directory); or `default`
 * - `explanation`: a sentence, if there were several directories to choose from, or null
 * - `database`, `credentials_database`, `audit_database`, `audit_key`: paths
 * - `warnings`: an array of sentences. They are also logged when the store is opened
 */
st_status st_store_describe(const struct st_store *store, struct st_bytes *json, struct st_error *error);

/**
 * Reads the configuration of a provider: a JSON object exactly as it was written, including Python's `NaN` and
 * `Infinity`; `{}` if there is none. Free `json` with `st_bytes_free`.
 *
 * The configuration is cached for up to 300 s; a write by another process is seen within a second. The store of the
 * process (NULL) caches it in `st_cache_provider_config` under `provider:{provider}:config`. Every other store has a
 * cache of its own.
 *
 * `ST_CORRUPT`: the stored configuration is not a JSON object.
 */
st_status st_provider_config_get(const struct st_store *store,
                                 const char *provider,
                                 size_t provider_len,
                                 struct st_bytes *json,
                                 struct st_error *error);

/**
 * Replaces the configuration of a provider with a JSON object, which is stored verbatim. The object has at most 1 MiB
 * and 100 levels of nesting. `provider` has 1 to 128 bytes and no control characters. Everything cached about the
 * provider is removed.
 */
st_status st_provider_config_save(const struct st_store *store,
                                  const char *provider,
                                  size_t provider_len,
                                  const char *json,
                                  size_t json_len,
                                  struct st_error *error);

/**
 * Sets the members of a JSON object in the configuration of a provider. Its other members are unchanged. The update is
 * one transaction, so concurrent updates by several processes are not lost. Creates the configuration if there is
 * none.
 *
 * `ST_CORRUPT`: the stored configuration is not a JSON object; replace it with `st_provider_config_save`.
 */
st_status st_provider_config_update(const struct st_store *store,
                                    const char *provider,
                                    size_t provider_len,
                                    const char *json,
                                    size_t json_len,
                                    struct st_error *error);

/**
 * Removes the configuration of a provider. If there is none, the call succeeds. `existed` (may be NULL) receives
 * whether there was one.
 */
st_status st_provider_config_delete(const struct st_store *store,
                                    const char *provider,
                                    size_t provider_len,
                                    bool *existed,
                                    struct st_error *error);

/**
 * Lists the providers that have a configuration, in alphabetical order: a JSON array of objects with `provider` and
 * `updated_at` (ISO 8601, UTC). Free `json` with `st_bytes_free`.
 */
st_status st_provider_config_list(const struct st_store *store,
                                  struct st_bytes *json,
                                  struct st_error *error);

/**
 * Reads the webhook settings of a provider: a JSON object of `webhook_url` (default null), `webhook_secret` (null),
 * `webhook_require_signature` (true) and `webhook_allowed_ips` ([]). Caching and errors are as for
 * `st_provider_config_get`. Free `json` with `st_bytes_free`.
 */
st_status st_provider_webhook_get(const struct st_store *store,
                                  const char *provider,
                                  size_t provider_len,
                                  struct st_bytes *json,
                                  struct st_error *error);

/**
 * Reads the cost limit of a provider: a JSON object of `cost_limit_enabled` (default false), `cost_limit_amount`
 * (0.0), `cost_limit_period` ("daily") and `cost_limit_action` ("warn"). Caching and errors are as for
 * `st_provider_config_get`. Free `json` with `st_bytes_free`.
 */
st_status st_provider_cost_limit_get(const struct st_store *store,
                                     const char *provider,
                                     size_t provider_len,
                                     struct st_bytes *json,
                                     struct st_error *error);

/**
 * Reads the prices of hardware: a JSON object `{id: {"name": …, "cost_per_second": …}}`, in US dollars. They come from
 * `hardware_info` in the configuration of the provider `replicate`. If that is not an object with members,
 * the defaults of `st_hardware_info_defaults` are returned. The prices are cached for 300 s, separately from
 * the configuration. No database is created. Free `json` with `st_bytes_free`.
 */
st_status st_hardware_info_get(const struct st_store *store,
                               struct st_bytes *json,
                               struct st_error *error);

/**
 * Returns the default prices, in the form of `st_hardware_info_get`: those of SimpleTuner's documentation (`gpu-l40s`,
 * `gpu-a100-large`), and the price of `gpu-h100`, which only its code has. Free `json` with `st_bytes_free`.
 */
st_status st_hardware_info_defaults(struct st_bytes *json,
                                    struct st_error *error);

/**
 * Replaces the cached prices of this store with a JSON object, for 300 s. Each member needs a `cost_per_second` of 0
 * or more. Nothing is stored: to change the prices for all processes, set `hardware_info` in the configuration of
 * `replicate`.
 */
st_status st_hardware_info_set(const struct st_store *store,
                               const char *json,
                               size_t json_len,
                               struct st_error *error);

/**
 * Clears the cached prices, so that the next call reads the configuration again.
 */
st_status st_hardware_info_clear(const struct st_store *store, struct st_error *error);

/**
 * Returns the hourly price of a device in `cost`, in US dollars: its `cost_per_second` times 3600.
 *
 * `ST_NOT_FOUND`: no price is known for the device. `ST_WRONG_TYPE`: its price is not a valid number.
 */
st_status st_hardware_cost_per_hour(const struct st_store *store,
                                    const char *hardware_id,
                                    size_t hardware_id_len,
                                    double *cost,
                                    struct st_error *error);

/**
 * Returns in `cost` the hourly price, in US dollars, of SimpleTuner's default device, `gpu-l40s`. Where the prices of
 * `st_hardware_info_get` lack it, or its `cost_per_second`, the price is that of `st_hardware_info_defaults`.
 *
 * `ST_WRONG_TYPE`: its price is not a valid number.
 */
st_status st_hardware_default_cost_per_hour(const struct st_store *store,
                                            double *cost,
                                            struct st_error *error);

/**
 * Stores a credential of a user, encrypted under the newest key. Replaces an existing credential of this name. If
 * `cipher` is NULL, the cipher of the process is used. `value` has 1 byte to 1 MiB; `provider` and `name` have 1 to
 * 255 bytes and no control characters. `id` (may be NULL) receives the id of the credential, which it keeps when it is
 * replaced; an inactive one becomes active.
 *
 * `ST_INVALID_ARGUMENT`: the database has a table of users that does not contain this one. Errors of the cipher are as
 * for `st_encrypt`.
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
                            int64_t *id,
                            struct st_error *error);

/**
 * Reads the value of a user's active credential, whether it is encrypted or, as SimpleTuner stores it, plain text. The
 * use is recorded in the audit trail, and `last_used_at` is updated, so the databases must be writable. Free `value`
 * with `st_bytes_free`, which wipes it.
 *
 * `ST_NOT_FOUND`: the user has no active credential of this name. `ST_BAD_TOKEN`: as for `st_decrypt`.
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
 * Removes a credential of a user. If there is none, the call succeeds. `existed` (may be NULL) receives whether there
 * was one.
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
 * Makes a credential of a user inactive: it remains in the list, and is found again after the next
 * `st_credential_set`. If there is none, the call succeeds. `existed` (may be NULL) receives whether there was one,
 * active or not.
 */
st_status st_credential_deactivate(const struct st_store *store,
                                   int64_t user_id,
                                   const char *provider,
                                   size_t provider_len,
                                   const char *name,
                                   size_t name_len,
                                   bool *existed,
                                   struct st_error *error);

/**
 * Records the use of an active credential whose value the program has from an earlier call, and updates
 * `last_used_at`. `st_credential_get` and `st_credential_resolve` do this themselves. If there is no active credential
 * of this name, the call succeeds and changes nothing. `existed` (may be NULL) receives whether there is one.
 */
st_status st_credential_mark_used(const struct st_store *store,
                                  int64_t user_id,
                                  const char *provider,
                                  size_t provider_len,
                                  const char *name,
                                  size_t name_len,
                                  bool *existed,
                                  struct st_error *error);

/**
 * Returns in `exists` whether a user has an active credential of this name. Its value is not decrypted, nothing is
 * recorded, and no database is created.
 */
st_status st_credential_exists(const struct st_store *store,
                               int64_t user_id,
                               const char *provider,
                               size_t provider_len,
                               const char *name,
                               size_t name_len,
                               bool *exists,
                               struct st_error *error);

/**
 * Lists credentials without their values: a JSON array of objects with `id`, `user_id`, `provider`, `name`,
 * `created_at`, `updated_at`, `last_used_at`, `is_active` and `encrypted`. A negative `user_id` selects all users;
 * NULL with length 0 as `provider` selects all providers. Free `json` with `st_bytes_free`.
 */
st_status st_credential_list(const struct st_store *store,
                             int64_t user_id,
                             const char *provider,
                             size_t provider_len,
                             struct st_bytes *json,
                             struct st_error *error);

/**
 * Finds a credential for a user: the user's own active credential, as `st_credential_get` does, otherwise the secret
 * `global_key` of the manager `secrets` (NULL: the manager of the process). A negative `user_id` means no user; NULL
 * with length 0 as `global_key` means that there is no secret that all users share. `source` (may be NULL) receives
 * which one it is, `ST_CREDENTIAL_…`. Free `value` with `st_bytes_free`, which wipes it.
 *
 * `ST_NOT_FOUND`: neither exists. If the user's own credential exists but cannot be decrypted, the call fails; the
 * global secret is not used instead.
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
 * Returns in `source` where `st_credential_resolve` would find a credential: `ST_CREDENTIAL_USER`,
 * `ST_CREDENTIAL_GLOBAL`, or `ST_CREDENTIAL_NONE`. The arguments are the same. The user's own credential is neither
 * decrypted nor recorded as used; the secret is looked up as `st_secrets_get` does, whose errors are returned, except
 * `ST_NOT_FOUND`.
 */
st_status st_credential_source(const struct st_store *store,
                               const struct st_secrets *secrets,
                               int64_t user_id,
                               const char *provider,
                               size_t provider_len,
                               const char *name,
                               size_t name_len,
                               const char *global_key,
                               size_t global_key_len,
                               int32_t *source,
                               struct st_error *error);

/**
 * Generates a new key, as `st_rotate_key` does, and re-encrypts every stored credential under it. If that fails or is
 * interrupted, all credentials remain readable, and `st_credentials_reencrypt` completes the rotation.
 */
st_status st_credentials_rotate(const struct st_store *store,
                                const struct st_cipher *cipher,
                                struct st_error *error);

/**
 * Re-encrypts every stored credential under the newest key, in one transaction: on an error, none is changed. May be
 * repeated.
 *
 * `flags` is 0 or `ST_REENCRYPT_PLAIN`, with which plain text is encrypted too. SimpleTuner itself, which reads the
 * column verbatim, then finds a token there. `progress` (may be NULL) is called with `context` before each credential
 * and at the end. `report` (may be NULL) receives a JSON object, to be freed with `st_bytes_free`, of `total`,
 * `reencrypted`, `unchanged`, `migrated` (plain text that is now encrypted), `plain` (plain text, or empty, left
 * unchanged) and `unreadable` (an array of the ids that no available key decrypts; they were left unchanged).
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
 * Returns the event types that SimpleTuner defines, in its order, as a JSON array of objects with `name` (of the
 * constant there, such as `AUTH_LOGIN_FAILED`), `value` (the text in an entry, `auth.login.failed`), `category`
 * (`authentication`, `user`, `api_key`, `credential`, `job`, `quota`, `configuration` or `security`) and `security`
 * (whether it is one of the security events, which `st_audit_send` can select). An entry may have any other type, too.
 * Free `json` with `st_bytes_free`.
 */
st_status st_audit_event_types(struct st_bytes *json,
                               struct st_error *error);

/**
 * Appends an entry of the program's own to the audit trail, with the actor of `st_store_as`. Changes made by this
 * library are recorded without this call. `event_type` is one of `st_audit_event_types` or any other text; it and
 * `action` have 1 to 255 bytes and no control characters.
 *
 * `target_type` and `target_id` are given together, or are both NULL with length 0. `details` is a JSON object, or
 * NULL with length 0 for none; it must not contain a secret. `id` (may be NULL) receives the number of the entry.
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
 * Queries the audit trail. Returns entries, newest first, as a JSON array of objects with the names of the columns.
 * Free `json` with `st_bytes_free`.
 *
 * `filter_json` is a JSON object, or NULL with length 0 for no filter. Its members are
 *
 * - `event_type`, `action`, `actor_id`, `actor_username`, `target_type`, `target_id`: the value that an entry has
 * - `event_types`: an array of at most 100 types, any of which an entry has; an empty one selects all
 * - `since`, `until`: the first and the last time, both included: `2026-08-22T17:32:24Z`, `2026-08-22T19:32+02:00`. A
 *   time without an offset is in UTC, and a date is its midnight, so that `until` excludes that day. An empty text
 *   selects all
 * - `since_text`, `until_text`: the same with any text, which is compared with the stored times
 *   (`2026-08-22T17:32:24.123456+00:00`) as text, as SimpleTuner does
 * - `after_id`: entries with greater numbers
 * - `limit` (default 100, at most 10000), and `offset`
 *
 * `ST_INVALID_ARGUMENT`: a filter is unknown, in which case the message suggests the nearest known one, or has an
 * invalid value.
 */
st_status st_audit_query(const struct st_store *store,
                         const char *filter_json,
                         size_t filter_json_len,
                         struct st_bytes *json,
                         struct st_error *error);

/**
 * Returns statistics of the audit trail as a JSON object: `total_entries`, `by_type` (the number of entries of each
 * event type, the most frequent first), `last_24h` (entries of the last 24 hours), `first_entry` and `last_entry`
 * (times, or null if there is no entry). Free `json` with `st_bytes_free`.
 */
st_status st_audit_stats(const struct st_store *store,
                         struct st_bytes *json,
                         struct st_error *error);

/**
 * Verifies the chain of the entries `first` to `last`. 0 means the first entry, or the last. A broken chain is
 * not a failure of this call. The `timeout` of the store limits the time for each 1000 entries, not the whole call.
 *
 * `broken_id` (may be NULL) receives the number of the first invalid entry, or 0 if there is none. `report` (may be
 * NULL) receives a JSON object, to be freed with `st_bytes_free`, of
 *
 * - `valid`: whether all entries are valid
 * - `entries_checked`: how many entries were checked
 * - `first_id`, `last_id`: the first and the last of them, or null
 * - `broken_links`: an array of the places where the chain is broken, at most 1000. Each has the `id` of the entry and
 *   its `kind`; and `expected_previous` and `actual_previous`, if it does not follow the entry before it; or `error`
 *   `hash_mismatch` with `actual_hash`, if its signature is wrong (`expected_hash` is null: it would let an attacker
 *   sign an altered entry); or `error` `entries_removed`, if only its number shows that entries are missing
 * - `broken_id`: the number of the first invalid entry, or null
 * - `kind`: what is wrong with it: `altered` (it was changed after it was signed, or was signed with another key),
 *   `missing` (entries before it were removed), `fork` (it is intact, but two programs appended to the same entry, as
 *   SimpleTuner can)
 * - `tampered_id`: the first entry that is altered or follows removed entries; null if there are only forks
 * - `forks`: an array of the entries at which the chain forks, at most 1000
 *
 * The first five are those of SimpleTuner. A range is valid if it follows the entry before it. Entries that
 * `st_audit_retain` removed are not missing.
 *
 * The signature, HMAC-SHA256, covers the time, event type, actor id, action, details and the previous signature. It
 * does not cover the actor's name and address, nor the target.
 */
st_status st_audit_verify(const struct st_store *store,
                          int64_t first,
                          int64_t last,
                          int64_t *broken_id,
                          struct st_bytes *report,
                          struct st_error *error);

/**
 * Exports entries as text, oldest first. `last_id` (may be NULL) receives the number of the last exported entry, or 0
 * if there is none; pass it as `after_id` to continue there with the next call. `filter_json` is as for
 * `st_audit_query`, except that `limit` is 10000 by default. Free `exported` with `st_bytes_free`.
 *
 * `format` is `ST_AUDIT_JSON_LINES` or `ST_AUDIT_CSV`. CSV begins with the names of the columns, unless there is an
 * `after_id`. A cell that a spreadsheet would evaluate as a formula gets an apostrophe in front.
 */
st_status st_audit_export(const struct st_store *store,
                          const char *filter_json,
                          size_t filter_json_len,
                          int32_t format,
                          struct st_bytes *exported,
                          int64_t *last_id,
                          struct st_error *error);

/**
 * Sends entries to a webhook, oldest first, with HTTP POST, each as the JSON object that SimpleTuner sends:
 * `@timestamp`, `event` and `simpletuner`, whose `audit_id` is the number of the entry. `filter_json` is as for
 * `st_audit_export`. `webhook_json` is a JSON object of
 *
 * - `url`: `https://…`; required
 * - `token`: the header `Authorization`, as it is if it begins with `Bearer ` or `ApiKey `, else after `ApiKey `. It
 *   is not sent to `http://` of another machine
 * - `security_only`: whether to skip all entries that are not security events (default false)
 * - `batch`: the number of entries per request, at most 1000. 1, the default, is sent as `application/json`, as
 *   SimpleTuner does; more are sent as `application/x-ndjson`, one object per line
 * - `timeout`: seconds for a request with its retries (default 5)
 * - `retries`: how often a request is repeated if the server is busy, fails or is unreachable (default 2)
 * - `ca_file`: a PEM file with the certificate authorities to trust, instead of those of the system
 *
 * Proxies are those of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`. The call blocks until all entries have
 * been sent.
 *
 * `last_id` (may be NULL) receives the number of the last entry that was delivered or skipped, or 0 if no entry
 * matches. If a request fails after others were delivered, the call succeeds, and the next one, with `after_id`,
 * reports the failure if it persists. A receiver may get an entry twice, but never out of order.
 *
 * `ST_INVALID_ARGUMENT`: a member of `webhook_json` is invalid. `ST_ACCESS_DENIED`: the server rejects the token, or
 * its certificate is not trusted. `ST_PROTOCOL`: it does not accept the entries, redirects, or does not speak HTTP.
 * `ST_UNAVAILABLE`, `ST_TIMEOUT`: try again later. `detail` is the HTTP status, if there is one.
 */
st_status st_audit_send(const struct st_store *store,
                        const char *filter_json,
                        size_t filter_json_len,
                        const char *webhook_json,
                        size_t webhook_json_len,
                        int64_t *last_id,
                        struct st_error *error);

/**
 * Removes the entries at the beginning of the audit trail that are more than `days` days old. 0 means the days of
 * `SIMPLETUNER_AUDIT_RETENTION_DAYS`, else 90; nothing is removed if that variable is 0 or negative. `report` (may be
 * NULL) receives a JSON object, to be freed with `st_bytes_free`, of `removed` (the number of entries), `first_id` and
 * `last_id` (the first and the last of them, or null), `before` (entries from this time on are kept, or null) and
 * `record_id` (the entry that records the removal, or null).
 *
 * The remaining entries are signed again as a chain of their own: only such a chain is valid for SimpleTuner. Entry
 * `record_id` is part of it and says what was removed, with the signature of the last removed entry and the newest
 * signature before the removal. Export or back up the trail first if the removed entries may be needed.
 *
 * An entry that SimpleTuner appends during the call may fork the chain. Everything is one transaction: a failure
 * changes nothing. Raise the setting `timeout` for a trail of millions of entries.
 *
 * `ST_CORRUPT`: the trail is altered or incomplete; it stays as it is. `ST_INVALID_ARGUMENT`: `days` is negative.
 * `ST_CONFIG`: the variable is not a number.
 */
st_status st_audit_retain(const struct st_store *store,
                          int32_t days,
                          struct st_bytes *report,
                          struct st_error *error);

/**
 * Writes a copy of a database to the file `path`, while other programs use the database. The copy is its state at one
 * point in time, and complete without other files. It is checked, and has mode 0600. Missing directories are created;
 * `~` is the home directory.
 *
 * Without flags, the database of the provider configuration is copied, which normally contains the credentials too.
 * With `ST_BACKUP_AUDIT` it is the audit trail: copy it after the other one, since an entry is older than its change.
 * Keys are not copied.
 *
 * The file is renamed to `path` when it is complete, so a failure or a killed process leaves at most a hidden file
 * beside it, which the next backup reuses. An existing database is overwritten only with `ST_BACKUP_REPLACE`, and a
 * file of any other kind never. Do not overwrite a database that a program has open. A `-wal` or `-journal` file that
 * an earlier database at `path` left behind is an error. The setting `timeout` limits the call; other calls of this
 * process that need the database wait meanwhile.
 *
 * `ST_NOT_FOUND`: the database does not exist yet. `ST_IO`: the file exists (`detail` is `EEXIST`) or cannot be
 * written. `ST_CORRUPT`: the database is damaged. `ST_BUSY`: another backup to the same path is in progress.
 */
st_status st_store_backup(const struct st_store *store,
                          const char *path,
                          size_t path_len,
                          uint32_t flags,
                          struct st_error *error);

/**
 * Opens a redactor that has no value yet. `config` may be NULL; its settings are `redact_min` and `redact_with`. The
 * caller frees the redactor with `st_redactor_free`.
 *
 * `ST_CONFIG`: a setting is invalid.
 */
st_status st_redactor_open(const struct st_config *config,
                           struct st_redactor **out,
                           struct st_error *error);

/**
 * Frees a redactor. No other thread may be using it. Its streams remain valid. Freeing NULL does nothing: the redactor
 * of the process is not freed.
 */
void st_redactor_free(struct st_redactor *redactor);

/**
 * Opens the redactor of the process. From now on, a call that redacts replaces each value that `st_secrets_get`,
 * `st_credential_get`, `st_credential_resolve`, `st_decrypt` and their variants returned before it. If such a value
 * cannot be stored for lack of memory, it is still returned, and the next call that redacts logs an error.
 *
 * `config` is as for `st_redactor_open`. Without this call, the redactor is opened with default settings when NULL is
 * first passed as a redactor. It remains open until the process ends. Call this at the start of the program: values
 * that were returned before are not replaced.
 *
 * `ST_CONFIG`: a setting is invalid, or the redactor is open with other settings.
 */
st_status st_redactor_start(const struct st_config *config,
                            struct st_error *error);

/**
 * Adds a value, which is replaced from now on. `name` is what `redact_with` can show; NULL with length 0 for none.
 * `added` (may be NULL) receives whether the value has at least `redact_min` bytes; a shorter one is ignored.
 */
st_status st_redactor_add(const struct st_redactor *redactor,
                          const char *name,
                          size_t name_len,
                          const void *value,
                          size_t value_len,
                          bool *added,
                          struct st_error *error);

/**
 * Returns a text with every value replaced. It need not be UTF-8. The caller frees `out` with `st_bytes_free`.
 */
st_status st_redact(const struct st_redactor *redactor,
                    const void *text,
                    size_t len,
                    struct st_bytes *out,
                    struct st_error *error);

/**
 * Reads from a file descriptor until its end, and writes the text with every value replaced to another one. Text that
 * may be the beginning of a value is held back until more is read or 50 ms pass, so a value that is written in parts
 * with longer pauses is not found. The descriptors may be non-blocking; neither is closed.
 *
 * `ST_IO`: reading or writing failed; `detail` is `errno`, `EPIPE` if the reader of `to` is gone. The system then also
 * sends SIGPIPE, which ends a program that does not ignore it.
 */
st_status st_redact_copy(const struct st_redactor *redactor,
                         int32_t from,
                         int32_t to,
                         struct st_error *error);

/**
 * Starts the redaction of a text that arrives in pieces. The result is the same however the text is divided. The
 * caller frees the stream with `st_redact_stream_free`.
 */
st_status st_redact_stream_open(const struct st_redactor *redactor,
                                struct st_redact_stream **out,
                                struct st_error *error);

/**
 * Frees a stream, and discards what it holds back: call `st_redact_stream_flush` first. Freeing NULL does nothing.
 */
void st_redact_stream_free(struct st_redact_stream *stream);

/**
 * Takes the next piece of the text. `out` receives the redacted text up to what may be the beginning of a value, which
 * is held back; it may be empty. The caller frees it with `st_bytes_free`. `held` (may be NULL) receives the number of
 * bytes that are held back.
 */
st_status st_redact_stream_write(struct st_redact_stream *stream,
                                 const void *text,
                                 size_t len,
                                 struct st_bytes *out,
                                 size_t *held,
                                 struct st_error *error);

/**
 * Returns the text that is held back. Call it at the end of the text, or when no text has arrived for a while; a value
 * whose remaining part arrives later is then not found. The stream can be used for more text. The caller frees `out`
 * with `st_bytes_free`.
 */
st_status st_redact_stream_flush(struct st_redact_stream *stream,
                                 struct st_bytes *out,
                                 struct st_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ST_SECRETS_H */
