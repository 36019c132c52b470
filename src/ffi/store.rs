//! Stores and provider configuration.

use std::ffi::c_char;

use super::{
    config, free_handle, guard, guard_handle, guard_optional_out, guard_out, st_bytes, st_config, st_error, st_status,
    text,
};
use crate::error::Result;
use crate::secret_memory::SecretBytes;
use crate::store::{Actor, Store};

/// A handle of a store: SimpleTuner's databases of a state directory, with provider configuration, hardware prices,
/// stored credentials, and an audit trail of every change. This library and SimpleTuner may use them at the same time,
/// even within one process.
///
/// A store may be used from any number of threads at once, and in the child of a `fork()`. Where a function takes a
/// store, NULL means the store of the process, which is opened on first use with the settings of the environment,
/// and is replaced by `st_store_reset`.
///
/// Reading creates nothing; the first write creates the files and tables that are missing. Each change is recorded in
/// the audit trail before it is made. A change that cannot be recorded is not made.
///
/// Besides `ST_IO` and `ST_ACCESS_DENIED`, every function that uses a store may return:
///
/// - `ST_BUSY`: another process kept the database locked until the timeout; try again.
/// - `ST_TIMEOUT`: another thread used the database until the timeout, or a statement took longer, as on a damaged
///   database.
/// - `ST_READ_ONLY`: the database cannot be written to.
/// - `ST_CORRUPT`: the database is damaged, or its tables belong to another program.
/// - `ST_BAD_KEY`: the key of the audit trail is missing or unreadable.
pub struct st_store(Store);

/// Opens a store. `config` may be NULL and is copied. Its settings `state_dir`, `database` and `audit_database` say
/// where the databases are; `timeout` limits each call, in seconds (default 30). No file is opened or created yet. Free
/// the store with `st_store_free`.
///
/// `ST_CONFIG`: a setting is invalid, or no setting names a directory and there is no home directory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_store_open(
    config: *const st_config,
    out: *mut *mut st_store,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a pointer, and NULL or a configuration that no other thread changes
    // now.
    unsafe { guard_handle(out, error, || Store::open(&config::settings(config)).map(st_store)) }
}

/// Creates another handle of the same store, whose changes are recorded with this actor. A negative `user_id` means
/// an unknown user; `username` and `ip` may be NULL with length 0 if they are unknown. Both are copied, have at
/// most 255 and 64 bytes, and contain no control characters. Free the handle with `st_store_free`, before or after the
/// original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_store_as(
    store: *const st_store,
    user_id: i64,
    username: *const c_char,
    username_len: usize,
    ip: *const c_char,
    ip_len: usize,
    out: *mut *mut st_store,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a pointer, NULL or readable text of these lengths, and NULL or a
    // live store.
    unsafe {
        guard_handle(out, error, || {
            let actor = Actor {
                user_id: (user_id >= 0).then_some(user_id),
                username: optional_text("username", username, username_len)?.map(str::to_owned),
                ip: optional_text("ip", ip, ip_len)?.map(str::to_owned),
            };
            with(store, |store| store.as_actor(actor)).map(st_store)
        })
    }
}

/// Frees a handle. No other thread may be using it. NULL is allowed and does nothing. When the last handle of a store
/// is freed, the write-ahead logs are checkpointed, so that the database files alone are complete. The same happens
/// when the process calls `exit` or returns from `main`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_store_free(store: *mut st_store) {
    // SAFETY: the caller gives back what `st_store_open` or `st_store_as` made, once.
    unsafe { free_handle(store) }
}

/// Replaces the store of the process with one that has these settings. With NULL, a new one is opened from the
/// environment on the next use. Calls in progress finish with the store that they started with. `config` is copied.
/// Entries under `provider:` are removed from `st_cache_provider_config`.
///
/// `ST_CONFIG`: as for `st_store_open`; the old store stays.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_store_reset(config: *const st_config, error: *mut st_error) -> st_status {
    // SAFETY: the caller gives NULL or a configuration that no other thread changes now.
    guard(error, || Store::reset_default(unsafe { config::optional_settings(config) }.as_ref()))
}

/// Returns which databases a store uses, and why. Opens and creates nothing. Free `json`, a JSON object, with
/// `st_bytes_free`. Its members are
///
/// - `state_dir`: the state directory, or null if the setting `database` names a file elsewhere
/// - `reason`: what decided: the setting `database` or `state_dir`; the variable `SIMPLETUNER_STATE_DIR` or
///   `SIMPLETUNER_CONFIG_DIR`; `in_use` (SimpleTuner's server uses the directory); or `default`
/// - `explanation`: a sentence, if there were several directories to choose from, or null
/// - `database`, `credentials_database`, `audit_database`, `audit_key`: paths
/// - `warnings`: an array of sentences. They are also logged when the store is opened
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_store_describe(
    store: *const st_store,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for an `st_bytes`, and NULL or a live store.
    unsafe { guard_out(json, "json", error, || document(&with(store, |store| Ok(store.describe()))?)) }
}

/// Reads the configuration of a provider: a JSON object exactly as it was written, including Python's `NaN` and
/// `Infinity`; `{}` if there is none. Free `json` with `st_bytes_free`.
///
/// The configuration is cached for up to 300 s; a write by another process is seen within a second. The store of the
/// process (NULL) caches it in `st_cache_provider_config` under `provider:{provider}:config`. Every other store has a
/// cache of its own.
///
/// `ST_CORRUPT`: the stored configuration is not a JSON object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_provider_config_get(
    store: *const st_store,
    provider: *const c_char,
    provider_len: usize,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for an `st_bytes`, readable text of this length, and NULL or a live
    // store.
    unsafe {
        guard_out(json, "json", error, || {
            let provider = text("provider", provider, provider_len)?;
            match store.as_ref() {
                Some(store) => store.0.provider_get(provider),
                None => Store::default_provider_get(provider),
            }
        })
    }
}

/// Replaces the configuration of a provider with a JSON object, which is stored verbatim. The object has at most 1 MiB
/// and 100 levels of nesting. `provider` has 1 to 128 bytes and no control characters. Everything cached about the
/// provider is removed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_provider_config_save(
    store: *const st_store,
    provider: *const c_char,
    provider_len: usize,
    json: *const c_char,
    json_len: usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives readable text of these lengths.
        let (provider, json) = unsafe { (text("provider", provider, provider_len)?, text("json", json, json_len)?) };
        // SAFETY: the caller gives NULL or a live store.
        unsafe { with(store, |store| store.provider_save(provider, json)) }
    })
}

/// Sets the members of a JSON object in the configuration of a provider. Its other members are unchanged. The update is
/// one transaction, so concurrent updates by several processes are not lost. Creates the configuration if there is
/// none.
///
/// `ST_CORRUPT`: the stored configuration is not a JSON object; replace it with `st_provider_config_save`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_provider_config_update(
    store: *const st_store,
    provider: *const c_char,
    provider_len: usize,
    json: *const c_char,
    json_len: usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives readable text of these lengths.
        let (provider, json) = unsafe { (text("provider", provider, provider_len)?, text("json", json, json_len)?) };
        // SAFETY: the caller gives NULL or a live store.
        unsafe { with(store, |store| store.provider_update(provider, json)) }
    })
}

/// Removes the configuration of a provider. If there is none, the call succeeds. `existed` (may be NULL) receives
/// whether there was one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_provider_config_delete(
    store: *const st_store,
    provider: *const c_char,
    provider_len: usize,
    existed: *mut bool,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a bool, readable text of this length, and NULL or a live store.
    unsafe {
        guard_optional_out(existed, error, || {
            let provider = text("provider", provider, provider_len)?;
            with(store, |store| store.provider_delete(provider))
        })
    }
}

/// Lists the providers that have a configuration, in alphabetical order: a JSON array of objects with `provider` and
/// `updated_at` (ISO 8601, UTC). Free `json` with `st_bytes_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_provider_config_list(
    store: *const st_store,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for an `st_bytes`, and NULL or a live store.
    unsafe { guard_out(json, "json", error, || document(&with(store, Store::provider_list)?)) }
}

/// Reads the webhook settings of a provider: a JSON object of `webhook_url` (default null), `webhook_secret` (null),
/// `webhook_require_signature` (true) and `webhook_allowed_ips` ([]). Caching and errors are as for
/// `st_provider_config_get`. Free `json` with `st_bytes_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_provider_webhook_get(
    store: *const st_store,
    provider: *const c_char,
    provider_len: usize,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for an `st_bytes`, readable text of this length, and NULL or a live
    // store.
    unsafe {
        guard_out(json, "json", error, || {
            let provider = text("provider", provider, provider_len)?;
            with(store, |store| store.provider_webhook(provider))
        })
    }
}

/// Reads the cost limit of a provider: a JSON object of `cost_limit_enabled` (default false), `cost_limit_amount`
/// (0.0), `cost_limit_period` ("daily") and `cost_limit_action` ("warn"). Caching and errors are as for
/// `st_provider_config_get`. Free `json` with `st_bytes_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_provider_cost_limit_get(
    store: *const st_store,
    provider: *const c_char,
    provider_len: usize,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for an `st_bytes`, readable text of this length, and NULL or a live
    // store.
    unsafe {
        guard_out(json, "json", error, || {
            let provider = text("provider", provider, provider_len)?;
            with(store, |store| store.provider_cost_limit(provider))
        })
    }
}

/// Runs `body` with the store behind a handle. NULL means the store of the process.
///
/// # Safety
/// `store` is NULL or a live store.
#[inline]
pub(super) unsafe fn with<T>(store: *const st_store, body: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
    // SAFETY: passed on.
    match unsafe { store.as_ref() } {
        Some(store) => body(&store.0),
        None => body(&*Store::default_instance()?),
    }
}

/// A document as output.
pub(super) fn document(json: &str) -> Result<st_bytes> {
    SecretBytes::copy_from(json.as_bytes()).map(st_bytes::from)
}

/// The text of an optional input. NULL with length 0 is `None`.
///
/// # Safety
/// As for [`text`].
pub(super) unsafe fn optional_text<'a>(name: &str, data: *const c_char, len: usize) -> Result<Option<&'a str>> {
    if data.is_null() && len == 0 {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { text(name, data, len) }.map(Some)
}
