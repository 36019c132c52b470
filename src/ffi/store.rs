//! The store: opening it, and provider configuration.

use std::ffi::c_char;

use super::{Out, config, guard, guard_quietly, st_bytes, st_config, st_error, st_status, text};
use crate::error::Result;
use crate::secret_memory::SecretBytes;
use crate::store::{Actor, Store};

/// The databases of a state directory, SimpleTuner's own: provider configuration, hardware prices, stored credentials and
/// an audit trail of every change. Both programs may use them at the same time, also within one process. It may be used
/// from any number of threads at once, and in the child of a `fork()`. Where a function takes one, NULL stands for the
/// store of the whole process, which is made from the environment on first use and replaced by `st_store_reset`.
///
/// Reading creates nothing; the first write creates what is missing. Each change is recorded in the audit trail before it
/// is made; a change that cannot be recorded is not made.
///
/// Any function that uses one may return, beside `ST_IO` and `ST_ACCESS_DENIED`: `ST_BUSY`: another process kept the
/// database locked for too long; `ST_TIMEOUT`: another thread did, or a statement took longer than the call may take, as
/// on a damaged database; `ST_READ_ONLY`: the database cannot be written to; `ST_CORRUPT`: it is damaged, or its tables
/// are another program's; `ST_BAD_KEY`: the audit key is unreadable, or gone.
pub struct st_store(Store);

/// Opens a store. `config` may be NULL and is copied; its keys `state_dir`, `database` and `audit_database` say where the
/// databases are. Nothing is opened or created yet. Free it with `st_store_free`.
///
/// `ST_CONFIG`: a setting cannot be used, or there is no home directory and none of the settings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_store_open(
    config: *const st_config,
    out: *mut *mut st_store,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a pointer.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the caller gives NULL or a configuration that no other thread changes now.
        let store = Store::open(&unsafe { config::settings(config) })?;
        out.set(Box::into_raw(Box::new(st_store(store))));
        Ok(())
    })
}

/// Makes another handle of the same store: what is done with it is recorded as this actor's. A negative `user_id`, and
/// NULL with 0 as `username` or `ip`, are "not known". Free it with `st_store_free`.
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
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a pointer.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the caller gives NULL or readable text of these lengths.
        let (username, ip) =
            unsafe { (optional_text("username", username, username_len)?, optional_text("ip", ip, ip_len)?) };
        let actor = Actor {
            user_id: (user_id >= 0).then_some(user_id),
            username: username.map(str::to_owned),
            ip: ip.map(str::to_owned),
        };
        // SAFETY: the caller gives NULL or a live store.
        let store = unsafe { with(store, |store| store.as_actor(actor)) }?;
        out.set(Box::into_raw(Box::new(st_store(store))));
        Ok(())
    })
}

/// Frees a handle. No other thread may be using it. NULL is fine and leaves the store of the process alone. With the last
/// handle of a store, its databases' write-ahead logs are written back, so that the database files alone are complete.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_store_free(store: *mut st_store) {
    guard_quietly(|| {
        if !store.is_null() {
            // SAFETY: the caller gives back what `st_store_open` or `st_store_as` made, once.
            drop(unsafe { Box::from_raw(store) });
        }
    });
}

/// Replaces the store of the whole process by one with these settings or, with NULL, by a new one on its next use. Calls
/// under way end with the one they began with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_store_reset(config: *const st_config, error: *mut st_error) -> st_status {
    guard(error, || match config.is_null() {
        true => Store::reset_default(None),
        // SAFETY: the caller gives a configuration that no other thread changes now.
        false => Store::reset_default(Some(&unsafe { config::settings(config) })),
    })
}

/// Reads the configuration of a provider: a JSON object as it was written (Python's `NaN` and `Infinity` included), `{}`
/// for one that has none. It is cached in `st_cache_provider_config` under `provider:{provider}:config`; what another
/// process writes is seen within a second all the same. (Of several stores of a process the first one used has that
/// cache, the others have their own.)
///
/// `ST_CORRUPT`: what is stored is no JSON object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_provider_config_get(
    store: *const st_store,
    provider: *const c_char,
    provider_len: usize,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(json, "json") }?;
        // SAFETY: the caller gives readable text of this length.
        let provider = unsafe { text("provider", provider, provider_len) }?;
        // SAFETY: the caller gives NULL or a live store.
        let config = match unsafe { store.as_ref() } {
            Some(store) => store.0.provider_get(provider),
            None => Store::default_provider_get(provider),
        };
        out.set(config?.into());
        Ok(())
    })
}

/// Replaces the configuration of a provider by a JSON object of up to 1 MiB, nested up to 100 deep, which is kept as it
/// is written. What is cached about the provider is forgotten.
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

/// Sets the members of this JSON object in the configuration of a provider and leaves its other members as they are, in
/// one transaction: of several processes that update at once, none loses anything.
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

/// Removes the configuration of a provider. `existed` (may be NULL) tells whether it had one; that it had none is no
/// failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_provider_config_delete(
    store: *const st_store,
    provider: *const c_char,
    provider_len: usize,
    existed: *mut bool,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a bool.
        let existed = unsafe { Out::optional(existed) };
        // SAFETY: the caller gives readable text of this length.
        let provider = unsafe { text("provider", provider, provider_len) }?;
        // SAFETY: the caller gives NULL or a live store.
        let deleted = unsafe { with(store, |store| store.provider_delete(provider)) }?;
        if let Some(existed) = existed {
            existed.set(deleted);
        }
        Ok(())
    })
}

/// Lists the providers that have a configuration: a JSON array of objects with `provider` and `updated_at`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_provider_config_list(
    store: *const st_store,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(json, "json") }?;
        // SAFETY: the caller gives NULL or a live store.
        out.set(document(&unsafe { with(store, Store::provider_list) }?)?);
        Ok(())
    })
}

/// Reads the webhook settings of a provider, with defaults: a JSON object of `webhook_url` (null), `webhook_secret`
/// (null), `webhook_require_signature` (true) and `webhook_allowed_ips` ([]).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_provider_webhook_get(
    store: *const st_store,
    provider: *const c_char,
    provider_len: usize,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(json, "json") }?;
        // SAFETY: the caller gives readable text of this length.
        let provider = unsafe { text("provider", provider, provider_len) }?;
        // SAFETY: the caller gives NULL or a live store.
        out.set(unsafe { with(store, |store| store.provider_webhook(provider)) }?.into());
        Ok(())
    })
}

/// Reads the cost limit of a provider, with defaults: a JSON object of `cost_limit_enabled` (false), `cost_limit_amount`
/// (0.0), `cost_limit_period` ("daily") and `cost_limit_action` ("warn").
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_provider_cost_limit_get(
    store: *const st_store,
    provider: *const c_char,
    provider_len: usize,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(json, "json") }?;
        // SAFETY: the caller gives readable text of this length.
        let provider = unsafe { text("provider", provider, provider_len) }?;
        // SAFETY: the caller gives NULL or a live store.
        out.set(unsafe { with(store, |store| store.provider_cost_limit(provider)) }?.into());
        Ok(())
    })
}

/// Runs `body` with the store behind a handle; NULL is that of the process.
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

/// A document on its way out.
pub(super) fn document(json: &str) -> Result<st_bytes> {
    SecretBytes::copy_from(json.as_bytes()).map(st_bytes::from)
}

/// The text of an input; NULL with 0 is none.
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
