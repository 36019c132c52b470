//! Configurations.

use std::ffi::c_char;

use super::{guard, guard_quietly, null, st_error, st_status, text};
use crate::config::Config;

/// Settings by name, each with a default. It may be used by one thread at a time; what was opened with it has a copy.
///
/// Keys of the secrets manager:
///
/// - `providers`: JSON array, the providers in the order in which they are asked; default `["env","file","aws","vault"]`
/// - `env_prefix`: text; `MYAPP` makes the key `hf-token` the variable `MYAPP_HF_TOKEN`; default none
/// - `file_path`: text, a JSON or YAML file or a directory of one-secret files, `~` being the home directory; default the
///   first that exists of `~/.simpletuner/secrets.json`, `.yaml`, `.yml`
/// - `strict_permissions`: true or false, refuse a file that other users can read or change; default false
/// - `timeout`: seconds above 0 for one call; default 10
/// - `cache_ttl`: seconds for which a document of AWS or Vault, or an answer of a provider of the program, is remembered;
///   default 300. Environment and file are asked on every get.
/// - `miss_ttl`: seconds for which it is remembered that AWS or Vault has no document, or that a provider of the program has
///   no value; default 5
/// - `max_stale`: seconds after `cache_ttl` for which the last document of AWS or Vault serves over an outage; default 3600
/// - `max_backoff`: seconds that AWS or Vault rests at most when it fails, up to four times as many after a timeout;
///   default 15
/// - `max_attempts`: whole number, how often one request is sent at most; default 3
/// - `aws_secret_name`, `aws_region`, `aws_profile`, `aws_endpoint_url`, `aws_version_id`, `aws_version_stage`: AWS Secrets
///   Manager; text, `aws_secret_name` also a JSON array of texts
/// - `vault_url`, `vault_mount`, `vault_path`, `vault_kv_version` (`"1"`, `"2"` or `"auto"`), `vault_namespace`,
///   `vault_ca_cert`, `vault_token`, `vault_token_file`, `vault_auth`, `vault_auth_mount`, `vault_role_id`,
///   `vault_secret_id`, `vault_secret_id_file`, `vault_secret_id_wrapped` (true or false), `vault_role`, `vault_jwt_file`:
///   HashiCorp Vault or OpenBao; text, as the README's tables explain
///
/// Keys of a cache of the program's own (`st_cache_open`):
///
/// - `default_ttl`: seconds for which an entry lives unless it is stored with another time; default 300
/// - `max_size`: a whole number, the entries that are held at most, 0 for none; default 1000
/// - `cleanup_interval`: seconds above 0, how often expired entries are cleared away; default 60
/// - `soft_ttl`: seconds after which the first caller of `st_cache_get_or_load` or `st_cache_load_begin` is to load an entry anew,
///   while the others still get the old value; default never
/// - `ttl_jitter`: 0 to 1, by which part of its times an entry may expire earlier, so that what was stored together does not
///   expire together; default 0
/// - `absent_ttl`: seconds for which it is remembered that a load found no value; default 0, not at all
///
/// Keys of a cipher, beside `strict_permissions` and `timeout`:
///
/// - `key`: text, the secret that the key is derived from, in place of any file or variable
/// - `key_file`: text, a file with that secret, in place of `SIMPLETUNER_CREDENTIAL_KEY` and
///   `~/.simpletuner/credential.key`. Earlier secrets are in the file of the same name with `.previous` behind it.
/// - `previous_keys`: JSON array of earlier secrets, with which to decrypt too
/// - `generate`: true or false, make the key file where there is none; default true
///
/// Keys of a store, beside `timeout` (seconds above 0 for one call; default 30):
///
/// - `state_dir`: text, a directory in place of SimpleTuner's own, which is `SIMPLETUNER_STATE_DIR`,
///   `SIMPLETUNER_CONFIG_DIR`, or that of `/workspace/simpletuner`, `/notebooks/simpletuner` and `~/.simpletuner` which is
///   in use; in it are `cloud/jobs.db` and `audit.db`. Credentials are in `SIMPLETUNER_AUTH_DB_PATH`, if that is set.
/// - `database`: text, a file in place of `cloud/jobs.db`, for credentials too; `audit.db` is then beside it
/// - `audit_database`: text, a file in place of `audit.db`; the file `audit.key` beside it, or
///   `SIMPLETUNER_AUDIT_KEY`, has the key that entries are signed with
pub struct st_config(Config);

/// A configuration in which everything has its default. Never NULL. Free it with `st_config_free`.
#[unsafe(no_mangle)]
pub extern "C" fn st_config_new() -> *mut st_config {
    Box::into_raw(Box::new(st_config(Config::new())))
}

/// Frees a configuration. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_config_free(config: *mut st_config) {
    guard_quietly(|| {
        if !config.is_null() {
            // SAFETY: the caller gives back what `st_config_new` made, once.
            drop(unsafe { Box::from_raw(config) });
        }
    });
}

/// Sets one key from text: `true`, `2.5`, `/path/to/file`, `["env","file"]`. Key and value are UTF-8 and are copied.
///
/// `ST_CONFIG`: the key is unknown (the message names the nearest known one) or the value is of the wrong type; nothing
/// was set.
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
        // SAFETY: the caller gives a configuration that no other thread uses now.
        let config = unsafe { config.as_mut() }.ok_or_else(|| null("config"))?;
        // SAFETY: the caller gives readable text of these lengths.
        let (key, value) = unsafe { (text("key", key, key_len)?, text("value", value, value_len)?) };
        config.0.set(key, value)
    })
}

/// Adds the settings of a JSON object: `{"file_path": "~/s.json", "strict_permissions": true}`. `null` gives a key its
/// default again. Either all of them are taken or, with an error as for `st_config_set`, none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_config_parse(
    config: *mut st_config,
    json: *const c_char,
    len: usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives a configuration that no other thread uses now.
        let config = unsafe { config.as_mut() }.ok_or_else(|| null("config"))?;
        // SAFETY: the caller gives readable text of this length.
        config.0.parse(unsafe { text("json", json, len) }?)
    })
}

/// The settings behind a handle; NULL is a configuration in which everything has its default.
///
/// # Safety
/// `config` is NULL or a live configuration that no other thread changes during the call.
pub(super) unsafe fn settings(config: *const st_config) -> Config {
    // SAFETY: passed on.
    unsafe { config.as_ref() }.map_or_else(Config::new, |config| config.0.clone())
}
