//! Configurations.

use std::ffi::c_char;
use std::ptr;

use super::{free_handle, guard, guard_quietly, into_handle, null, st_error, st_status, text};
use crate::config::Config;

/// A configuration: settings by name, each with a default. One thread at a time may use it. Each function that opens
/// something with a configuration copies it.
///
/// Keys of the secrets manager:
///
/// - `providers`: JSON array, the providers in the order in which they are queried; default
///   `["env","file","aws","vault","huggingface"]`, with `credentials` after `env` in a service of systemd that has
///   some. An element may also be an object that names a program whose output contains secrets, such as `{"exec":
///   ["sops", "-d", "secrets.json"], "name": "sops"}`, described in `docs/exec.md`, or an AWS secret that is a single
///   value, such as `{"aws_secret": "prod/tls", "as": "TLS_KEY"}`, or all AWS secrets with a prefix or tags, such as
///   `{"aws_secrets": {"prefix": "prod/"}}`, described in `docs/aws.md`.
/// - `env_prefix`: text; with `MYAPP` the key `hf-token` is the variable `MYAPP_HF_TOKEN`; default none
/// - `file_path`: text, a JSON, YAML, dotenv or TOML file, or a directory with one file per secret; `~` is the home
///   directory; default the first of `~/.simpletuner/secrets.json`, `.yaml` and `.yml` that exists
/// - `strict_permissions`: true or false, reject a file that other users can read or change; default false
/// - `timeout`: seconds above 0 for one call; default 10
/// - `cache_ttl`: seconds for which an AWS or Vault document, the output of a program, or an answer of a custom
///   provider, is cached; default 300. The environment and the file are read on every get.
/// - `miss_ttl`: seconds for which it is cached that AWS or Vault has no document, or that a custom provider has no
///   value; default 5
/// - `max_stale`: seconds after `cache_ttl` for which the last AWS or Vault document is used during an outage; default
///   3600
/// - `max_backoff`: seconds, the longest pause after a failed load from AWS or Vault; after a timeout, up to four times
///   as long; default 15
/// - `max_attempts`: whole number, the maximum number of attempts for one request; default 3. If it is not set, a
///   request that the server throttles is retried until the deadline as long as nothing is cached
/// - `aws_secret_name`, `aws_region`, `aws_profile`, `aws_role_arn`, `aws_external_id`, `aws_role_session_name`,
///   `aws_endpoint_url`, `aws_version_id`, `aws_version_stage`: AWS Secrets Manager; text, described in `docs/aws.md`;
///   `aws_secret_name` and `aws_region` also a JSON array of texts
/// - `aws_parameters_path` (text or a JSON array of texts), `aws_parameters_endpoint_url`: settings of the provider
///   `aws_parameters`, which must be listed in `providers`: AWS Systems Manager parameters below a path; described in
///   `docs/aws.md`
/// - `aws_queue_url`: a queue of Amazon SQS with changes of secrets, which `st_secrets_listen` reads; text, described
///   in `docs/changes.md`
/// - `aws_agent_url`, `aws_agent_token_file`: the AWS agent or Lambda extension that secrets are read from, instead of
///   AWS itself; text, described in `docs/aws.md`
/// - `google_secret_name`, `google_project`, `google_location`, `google_credentials_file`, `google_endpoint_url`:
///   settings of the provider `google`, which must be listed in `providers`: Google Secret Manager; text, described in
///   `docs/google.md`; `google_secret_name` also a JSON array of texts
/// - `azure_vault_url`, `azure_secret_name`, `azure_auth`: settings of the provider `azure`, which must be listed in
///   `providers`: Azure Key Vault; text, described in `docs/azure.md`; `azure_secret_name` also a JSON array of texts
/// - `set_provider`: `"file"`, `"aws"` or `"vault"`, the provider that `st_secrets_set` and `st_secrets_delete` write
///   to; default `"file"`; described in `docs/aws.md` and `docs/vault.md`
/// - `vault_url`, `vault_mount`, `vault_path`, `vault_kv_version` (`"1"`, `"2"` or `"auto"`), `vault_namespace`,
///   `vault_ca_cert`, `vault_token`, `vault_token_file`, `vault_auth`, `vault_auth_mount`, `vault_role_id`,
///   `vault_secret_id`, `vault_secret_id_file`, `vault_secret_id_wrapped` (true or false), `vault_role`,
///   `vault_jwt_file`, `vault_username`, `vault_password`, `vault_password_file`, `vault_client_cert`,
///   `vault_client_key`, `vault_aws_region`, `vault_aws_server_id`: HashiCorp Vault or OpenBao; text, described in
///   `docs/vault.md`; `vault_path` also a JSON array of texts
/// - `vault_metadata_interval`: seconds, how often `st_secrets_listen` looks at the versions of the secrets; described
///   in `docs/changes.md`
/// - `kubernetes_secret` (text or a JSON array of texts), `kubernetes_selector`, `kubernetes_namespace`,
///   `kubernetes_url`, `kubernetes_ca_cert`, `kubernetes_token_file`, `kubernetes_client_cert`,
///   `kubernetes_client_key`: settings of the provider `kubernetes`, which must be listed in `providers`: Secrets of a
///   Kubernetes API server; text, described in `docs/kubernetes.md`
/// - `onepassword_item` (text or a JSON array of texts), `onepassword_vault`, `onepassword_url`, `onepassword_token`,
///   `onepassword_token_file`: settings of the provider `onepassword`, which must be listed in `providers`: 1Password
///   items, through a Connect server; text, described in `docs/onepassword.md`
/// - `infisical_environment`, `infisical_project`, `infisical_path` (text or a JSON array of texts), `infisical_url`,
///   `infisical_auth`, `infisical_client_id`, `infisical_client_secret`, `infisical_client_secret_file`,
///   `infisical_identity_id`, `infisical_jwt_file`, `infisical_token`, `infisical_token_file`: settings of the provider
///   `infisical`, which must be listed in `providers`: Infisical secrets; text, described in `docs/infisical.md`
/// - `share` (`"off"` or `"host"`), `share_dir`, `share_key`: whether the processes of this user on this host share the
///   documents that one of them has loaded from AWS or Vault; text, described in `docs/share.md`; default `"off"`
/// - `share_url`, `share_ca_cert`, `share_client_cert`, `share_client_key`: the server through which hosts share, and
///   the certificates for it; `share_transit`, `share_kms_key`: what wraps the key of that server; text, described in
///   `docs/tier.md`; default none
///
/// Keys of a cache (`st_cache_open`):
///
/// - `default_ttl`: seconds, the lifetime of an entry that is stored without one; default 300
/// - `max_size`: a whole number, the maximum number of entries, 0 for none; default 1000
/// - `cleanup_interval`: seconds above 0 between removals of expired entries; default 60
/// - `soft_ttl`: seconds after which the first caller of `st_cache_get_or_load` or `st_cache_load_begin` reloads an
///   entry while the others still get the old value; default never
/// - `ttl_jitter`: 0 to 1, the fraction of its lifetime by which an entry may expire early, so that entries stored
///   together do not expire together; default 0
/// - `absent_ttl`: seconds for which it is cached that a load found no value; default 0, not at all
/// - `tier`: text, the URL of a Redis, Valkey or etcd server through which processes share the bytes of the cache, with
///   `share_key`, `share_ca_cert`, `share_client_cert` and `share_client_key`; described in `docs/tier.md`; default
///   none
/// - `tier_name`: text that separates caches with one `share_key`; default empty
/// - `tier_interval`: seconds above 0, how often changes of other processes are asked for; default 1
/// - `keyed_hash`: true or false, hash the keys with SipHash-1-3, for keys that untrusted users choose; default false
///
/// Keys of a cipher, in addition to `strict_permissions` and `timeout`:
///
/// - `key`: text, the secret that the key is derived from, instead of any file or variable
/// - `key_file`: text, a file with that secret, instead of `SIMPLETUNER_CREDENTIAL_KEY` and
///   `~/.simpletuner/credential.key`. The file with the same name and `.previous` appended has the earlier secrets.
/// - `previous_keys`: JSON array of earlier secrets, which are used for decryption only
/// - `generate`: true or false, create the key file if it does not exist; default true
///
/// Keys of a store, in addition to `timeout` (seconds above 0 for one call; default 30):
///
/// - `state_dir`: text, a directory instead of SimpleTuner's own, which is `SIMPLETUNER_STATE_DIR`,
///   `SIMPLETUNER_CONFIG_DIR`, or the one of `/workspace/simpletuner`, `/notebooks/simpletuner` and `~/.simpletuner`
///   that is in use. It contains `cloud/jobs.db` and `audit.db`. Credentials are in `SIMPLETUNER_AUTH_DB_PATH` if that
///   is set.
/// - `database`: text, a file instead of `cloud/jobs.db`, also for credentials; `audit.db` is then in the same
///   directory
/// - `audit_database`: text, a file instead of `audit.db`. The file `audit.key` in the same directory, or
///   `SIMPLETUNER_AUDIT_KEY`, has the key that signs entries.
///
/// Keys of a redactor:
///
/// - `redact_min`: a whole number of 4 or more, the length in bytes of the shortest value that is replaced; default 8
/// - `redact_with`: text that replaces a value; default `***`. In it, `{name}` is replaced with the name of the secret.
pub struct st_config(Config);

/// Creates a configuration in which every setting has its default. The caller frees it with `st_config_free`. Returns
/// NULL if it runs out of memory.
#[unsafe(no_mangle)]
pub extern "C" fn st_config_new() -> *mut st_config {
    let mut config = ptr::null_mut();
    guard_quietly(|| config = into_handle(st_config(Config::new())).unwrap_or(ptr::null_mut()));
    config
}

/// Frees a configuration. Freeing NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_config_free(config: *mut st_config) {
    // SAFETY: the caller frees, once, what `st_config_new` returned.
    unsafe { free_handle(config) }
}

/// Sets a key from text: `true`, `2.5`, `/path/to/file`, `["env","file"]`. Key and value are UTF-8 and are copied. A
/// key that is set again has the new value.
///
/// `ST_CONFIG`: the key is unknown (the message names the most similar known key), or the value has the wrong type. The
/// configuration is unchanged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_config_set(
    config: *mut st_config,
    key: *const c_char,
    key_len: usize,
    value: *const c_char,
    value_len: usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller passes a configuration that no other thread uses now.
        let config = unsafe { config.as_mut() }.ok_or_else(|| null("config"))?;
        // SAFETY: the caller passes readable text of these lengths.
        let (key, value) = unsafe { (text("key", key, key_len)?, text("value", value, value_len)?) };
        config.0.set(key, value)
    })
}

/// Sets all keys of a JSON object: `{"file_path": "~/s.json", "strict_permissions": true}`. `null` restores the default
/// of a key.
///
/// `ST_CONFIG`: as for `st_config_set`; or the text is not a JSON object, or has a key twice. The configuration is
/// unchanged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_config_parse(
    config: *mut st_config,
    json: *const c_char,
    len: usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller passes a configuration that no other thread uses now.
        let config = unsafe { config.as_mut() }.ok_or_else(|| null("config"))?;
        // SAFETY: the caller passes readable text of this length.
        config.0.parse(unsafe { text("json", json, len) }?)
    })
}

/// Returns the settings of a handle; the defaults for NULL.
///
/// # Safety
/// `config` is NULL or a live configuration that no other thread changes during the call.
pub(super) unsafe fn settings(config: *const st_config) -> Config {
    // SAFETY: the caller's promise.
    unsafe { optional_settings(config) }.unwrap_or_default()
}

/// As [`settings`], but `None` for NULL.
///
/// # Safety
/// As for [`settings`].
pub(super) unsafe fn optional_settings(config: *const st_config) -> Option<Config> {
    // SAFETY: the caller's promise.
    unsafe { config.as_ref() }.map(|config| config.0.clone())
}
