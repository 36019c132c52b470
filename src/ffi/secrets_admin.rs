//! Writing secrets, custom providers, refreshing, and reports of the manager.

use std::ffi::{c_char, c_void};
use std::os::unix::ffi::OsStrExt;

use super::callback::{self, CallbackContext, CallbackValue, Storage};
use super::secrets::{manager, time_limit};
use super::{
    NUL_TERMINATED, guard, guard_optional_out, guard_out, input, null, st_bytes, st_drop_fn, st_error, st_load_fn,
    st_secrets, st_status, text,
};
use crate::error::Result;
use crate::secret_memory::SecretBytes;
use crate::secrets::{Manager, Secret};

/// Writes a secret to the secrets file. Key and value are UTF-8; a value has at most 1 MiB. If the file does not exist,
/// it is created at `file_path` or, by default, as `~/.simpletuner/secrets.json`.
///
/// The file keeps its format, its other entries, and their layout. It is replaced atomically and has mode 0600 from the
/// start. Writers in several processes wait for each other. The next get still queries the providers in order: an
/// environment variable of the same name takes precedence over the file.
///
/// With the setting `set_provider`, the secret is written to that provider instead; errors are those of the provider.
/// `ST_BUSY`: other clients kept changing the document during the call; try again.
///
/// If the call fails, the file is unchanged. `ST_PROTOCOL`: the file cannot be parsed, or its layout cannot be changed
/// safely. `ST_READ_ONLY`: the path is a directory of secrets. `ST_BUSY`: another process did not finish within the
/// `timeout` of the configuration. `ST_CONFIG`: there is no file provider, or no home directory. `ST_IO` or
/// `ST_ACCESS_DENIED`: the file cannot be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_set(
    secrets: *const st_secrets,
    key: *const c_char,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller passes readable text and bytes of these lengths, and NULL or a live manager.
        unsafe {
            let (manager, key) = (manager(secrets)?, text("key", key, key_len)?);
            manager.set(key, input("value", value, value_len)?)
        }
    })
}

/// Writes the secret `REPLICATE_API_TOKEN` to the secrets file, as `st_secrets_set` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_set_replicate_token(
    secrets: *const st_secrets,
    value: *const c_void,
    value_len: usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller passes readable bytes of this length, and NULL or a live manager.
        unsafe { manager(secrets)?.set_replicate_token(input("value", value, value_len)?) }
    })
}

/// Removes a secret from the secrets file, or from the provider of `set_provider`. `existed` (may be NULL) receives
/// whether it was there; if it was not, the call succeeds too. Errors are those of `st_secrets_set`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_delete(
    secrets: *const st_secrets,
    key: *const c_char,
    key_len: usize,
    existed: *mut bool,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller passes NULL or a pointer to a bool, readable text of this length, and NULL or a live manager.
    unsafe { guard_optional_out(existed, error, || manager(secrets)?.delete(text("key", key, key_len)?)) }
}

/// Adds a custom provider, which is the callback `get`. `name` (1 to 31 bytes of UTF-8, no control characters)
/// identifies it in errors, logs and `st_secret_info`. `position` is its index in the chain of providers: 0 is first.
/// `ST_LAST` is last, except that `huggingface` stays behind it if it is the last provider, because its aliases have
/// the lowest precedence. A provider cannot be removed.
///
/// Its values are cached for `cache_ttl` or the TTL that it set, and the absence of a value for `miss_ttl`. While one
/// call queries it again, other calls get its last value, with `ST_SECRET_STALE` after `cache_ttl`. A value is never
/// used after the TTL that the provider set, nor after the provider returned `ST_ACCESS_DENIED` for its key.
///
/// If `get` returns `ST_TIMEOUT` after it used up its time or ran for more than a second, or has not returned when the
/// timeout of another call for the key has passed, it is not called during a pause. After the pause, one call at a time
/// calls it, with a timeout of at most one second, until it responds. A refresh calls it at once.
///
/// The library takes ownership of `context`, even if the call fails. It calls `drop` (may be NULL) with it exactly
/// once: when the manager is freed, or when this call fails.
///
/// `ST_INVALID_ARGUMENT`: the name is invalid or in use, or `position` is greater than the number of providers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_add_provider(
    secrets: *const st_secrets,
    name: *const c_char,
    name_len: usize,
    position: usize,
    get: st_load_fn,
    drop: st_drop_fn,
    context: *mut c_void,
    error: *mut st_error,
) -> st_status {
    let context = CallbackContext::new(context, drop);
    guard(error, || {
        // SAFETY: the caller passes readable text of this length, and NULL or a live manager.
        let (manager, name) = unsafe { (manager(secrets)?, text("name", name, name_len)?) };
        if get.is_none() {
            return Err(null("get"));
        }
        let position = (position != NUL_TERMINATED).then_some(position);
        manager.add_provider(name, position, move |key, timeout| {
            let answer = callback::call(get, context.pointer(), key.as_bytes(), timeout, Storage::Secret)?;
            Ok(match answer {
                Some((CallbackValue::Secret(value), Some(ttl))) => Some(Secret::new(value).with_ttl(ttl)),
                Some((CallbackValue::Secret(value), None)) => Some(Secret::new(value)),
                _ => None,
            })
        })
    })
}

/// Refreshes all providers: reads the file, AWS and Vault now, runs the programs, and drops the cached values of custom
/// providers. The call takes at most `timeout` seconds (`ST_TIMEOUT_DEFAULT`: that of the configuration; `INFINITY`: no
/// limit).
///
/// The error is that of the first provider that failed, in whole or in part. The other providers are refreshed even
/// then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_refresh(
    secrets: *const st_secrets,
    timeout: f64,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        let timeout = time_limit(timeout)?;
        // SAFETY: the caller passes NULL or a live manager.
        unsafe { manager(secrets) }?.refresh(timeout)
    })
}

/// Loads the documents of AWS, Vault and programs now, unless they are cached. With the setting `share`, the other
/// processes on this host then use those of AWS and Vault too. The call takes at most `timeout` seconds
/// (`ST_TIMEOUT_DEFAULT`: that of the configuration; `INFINITY`: no limit).
///
/// The error is that of the first provider that failed, in whole or in part. The other documents are loaded even then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_prefetch(
    secrets: *const st_secrets,
    timeout: f64,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        let timeout = time_limit(timeout)?;
        // SAFETY: the caller passes NULL or a live manager.
        unsafe { manager(secrets) }?.prefetch(timeout)
    })
}

/// Drops all values that the manager has cached, and wipes those that no caller holds. The next get queries the
/// sources. With the setting `share`, the other processes on this host drop them too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_clear_cache(secrets: *const st_secrets, error: *mut st_error) -> st_status {
    guard(error, || {
        // SAFETY: the caller passes NULL or a live manager.
        unsafe { manager(secrets) }?.clear_cache();
        Ok(())
    })
}

/// Returns the settings, and the providers in their order, as JSON. It contains no value of a secret, and no source is
/// queried. The caller frees `json` with `st_bytes_free`. An example:
/// `{"timeout": 10.0, "providers": [{"name": "env", "prefix": null}, {"name": "file", "path": …, "entries": 3}]}`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_describe(
    secrets: *const st_secrets,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the same arguments, under the same conditions.
    unsafe { report(secrets, "json", json, error, |manager| SecretBytes::copy_from(manager.describe().as_bytes())) }
}

/// Checks all providers, the memory that holds secrets, and the directory that is shared with other processes, and
/// returns the result as JSON. It contains no value of a secret. The caller frees `json` with `st_bytes_free`. An
/// example: `{"ok": true, "providers": [{"name": "env", "state": "ok", "detail": …}], "memory": {"state": "ok", …},
/// "share": {"state": "absent", …}}`.
///
/// A state is `ok`, `absent` (not configured, or no file), `warning` or `failed`. `advice`, where present, says what to
/// do. `ok` is false if a provider failed; the call itself succeeds. It takes at most the `timeout` of the
/// configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_check(
    secrets: *const st_secrets,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the same arguments, under the same conditions.
    unsafe { report(secrets, "json", json, error, |manager| SecretBytes::copy_from(manager.check().as_bytes())) }
}

/// Returns counters since the manager was opened, as JSON. It contains no value of a secret, and no source is queried.
/// The caller frees `json` with `st_bytes_free`. An example: `{"gets": 105, "not_found": 1, "failed": 0, "providers":
/// [{"name": "aws", "found": 104, "hits": 103, "stale": 0, "loads": 1, "load_failures": 0, "shared_loads": 0,
/// "retries": 0, "load_seconds": 0.12, "last_load_seconds": 0.12, "longest_load_seconds": 0.12}]}`.
///
/// - `gets`: the number of gets; each key of `st_secrets_get_many` counts as one. A cached-only get of a value that is
///   not cached does not count. `not_found` and `failed` are the gets that returned no value.
/// - `providers`, in their order. `found`: gets that returned a value of this provider; of these, `hits` were served
///   from memory without a query of the source, and `stale` returned an expired value. `loads`: how often the source
///   was read or the callback called; `load_failures`: loads that failed, in whole or in part. `shared_loads`:
///   documents that another process on this host had loaded. `retries`: requests that were repeated. `load_seconds`,
///   `last_load_seconds` and `longest_load_seconds`: the duration of all loads together, of the last, and of the
///   longest.
///
/// Later versions may add members.
///
/// All numbers but `last_load_seconds` only increase. The child of a `fork()` continues with the numbers of its parent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_stats(
    secrets: *const st_secrets,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the same arguments, under the same conditions.
    unsafe { report(secrets, "json", json, error, |manager| SecretBytes::copy_from(manager.stats().as_bytes())) }
}

/// Returns what is shared with other processes on this host, as JSON; see the setting `share`. It contains no value of
/// a secret, and no source is queried. The caller frees `json` with `st_bytes_free`. An example: `{"share": "host",
/// "directory": "/dev/shm/st-secrets-1000", "owner": 1000, "refused": null, "documents": [{"id": …, "provider": "aws",
/// "place": …, "age": 12.5, "expires_in": 287.5, "loading": false, "loader_pid": null, "failing": null, "retry_in":
/// null}]}`.
///
/// `share` is `host` or `off`. `refused` is the reason why nothing is shared, or `null`. The times of a document are in
/// seconds; they are `null` if the document was not loaded, or if this process cannot decrypt it. `failing` is the
/// message of the last load, if it failed, and `retry_in` the time until the next one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_share(
    secrets: *const st_secrets,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the same arguments, under the same conditions.
    unsafe { report(secrets, "json", json, error, |manager| SecretBytes::copy_from(manager.share().as_bytes())) }
}

/// Returns the path of the file or directory that the file provider reads; if there is none, the path of the file that
/// `st_secrets_set` would create. A path is not necessarily UTF-8. The caller frees `path` with `st_bytes_free`.
///
/// `ST_CONFIG`: there is no file provider, or no home directory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_file_path(
    secrets: *const st_secrets,
    path: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the same arguments, under the same conditions.
    unsafe {
        report(secrets, "path", path, error, |manager| {
            SecretBytes::copy_from(manager.file_path()?.as_os_str().as_bytes())
        })
    }
}

/// # Safety
/// `secrets` is NULL or a live manager. `out` is NULL or points to an `st_bytes`.
unsafe fn report(
    secrets: *const st_secrets,
    name: &str,
    out: *mut st_bytes,
    error: *mut st_error,
    make: impl FnOnce(&Manager) -> Result<SecretBytes>,
) -> st_status {
    // SAFETY: the caller's promise.
    unsafe { guard_out(out, name, error, || make(&*manager(secrets)?)) }
}
