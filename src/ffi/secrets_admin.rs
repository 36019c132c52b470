//! Changing secrets, the providers, and what the manager tells about itself.

use std::ffi::{c_char, c_void};
use std::os::unix::ffi::OsStrExt;

use super::callback::{self, Context, Keep, Kept};
use super::secrets::{manager, time_limit};
use super::{
    NUL_TERMINATED, Out, guard, input, null, st_bytes, st_drop_fn, st_error, st_load_fn, st_secrets, st_status, text,
};
use crate::error::Result;
use crate::secret_memory::SecretBytes;
use crate::secrets::{Manager, Secret};

/// Writes a secret, which is UTF-8, into the secrets file; where there is none, into a new
/// `~/.simpletuner/secrets.json` or the configured `file_path`. The file keeps its format, its other entries and their
/// layout, is replaced as a whole, and has mode 0600 from its first byte. Writers in several processes wait for each
/// other. The chain still decides what the next get returns: a variable of the same name goes before the file.
///
/// `ST_PROTOCOL`: the file cannot be parsed, or its layout cannot be changed safely; `ST_READ_ONLY`: it is a directory of
/// secrets; `ST_BUSY`: another process did not finish in time; `ST_CONFIG`: there is no file provider, or no home. In each
/// case the file is as it was.
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
        // SAFETY: the caller gives readable text and bytes of these lengths, and NULL or a live manager.
        unsafe {
            let (manager, key) = (manager(secrets)?, text("key", key, key_len)?);
            manager.set(key, input("value", value, value_len)?)
        }
    })
}

/// Writes `REPLICATE_API_TOKEN` into the secrets file, as `st_secrets_set` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_set_replicate_token(
    secrets: *const st_secrets,
    value: *const c_void,
    value_len: usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives readable bytes of this length, and NULL or a live manager.
        unsafe { manager(secrets)?.set_replicate_token(input("value", value, value_len)?) }
    })
}

/// Removes a secret from the secrets file, with errors as for `st_secrets_set`. `existed` (may be NULL) tells whether it
/// was there; that it was not is no failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_delete(
    secrets: *const st_secrets,
    key: *const c_char,
    key_len: usize,
    existed: *mut bool,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a bool.
        let existed = unsafe { Out::optional(existed) };
        // SAFETY: the caller gives readable text of this length, and NULL or a live manager.
        let (manager, key) = unsafe { (manager(secrets)?, text("key", key, key_len)?) };
        let deleted = manager.delete(key)?;
        if let Some(existed) = existed {
            existed.set(deleted);
        }
        Ok(())
    })
}

/// Adds a provider of the program's own. `name` (1 to 31 bytes of UTF-8) is what errors, logs and `st_secret_info` call it;
/// `position` is its place in the order, 0 being first and `ST_LAST` last. It stays until the manager is freed.
///
/// Its answers are remembered. While one call asks it again, other calls get its last answer, with `ST_SECRET_STALE` if
/// `cache_ttl` is over; not past a time that it gave with the answer, and not after it replied `ST_ACCESS_DENIED`.
///
/// `context` is taken over in any case: `drop` (may be NULL) is called with it once, when the manager is freed or when
/// this call fails.
///
/// `ST_INVALID_ARGUMENT`: the name is taken or unusable, or the position is beyond the providers that there are.
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
    let context = Context::new(context, drop);
    guard(error, || {
        // SAFETY: the caller gives readable text of this length, and NULL or a live manager.
        let (manager, name) = unsafe { (manager(secrets)?, text("name", name, name_len)?) };
        if get.is_none() {
            return Err(null("get"));
        }
        let position = (position != NUL_TERMINATED).then_some(position);
        manager.add_provider(name, position, move |key, timeout| {
            let answer = callback::ask(get, context.pointer(), key.as_bytes(), timeout, Keep::Secret)?;
            Ok(match answer {
                Some((Kept::Secret(value), Some(ttl))) => Some(Secret::new(value).with_ttl(ttl)),
                Some((Kept::Secret(value), None)) => Some(Secret::new(value)),
                _ => None,
            })
        })
    })
}

/// Looks at every source now, within `timeout` seconds (`ST_TIMEOUT_DEFAULT`: that of the configuration). The error is
/// that of the first provider that failed, in whole or in part; the others were looked at all the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_refresh(
    secrets: *const st_secrets,
    timeout: f64,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        let timeout = time_limit(timeout)?;
        // SAFETY: the caller gives NULL or a live manager.
        unsafe { manager(secrets) }?.refresh(timeout)
    })
}

/// Forgets, and so wipes, every value that the manager remembers and no caller holds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_clear_cache(secrets: *const st_secrets, error: *mut st_error) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a live manager.
        unsafe { manager(secrets) }?.clear_cache();
        Ok(())
    })
}

/// The settings and providers in their order, as JSON without any value:
/// `{"timeout": 10.0, "providers": [{"name": "env", "prefix": null}, {"name": "file", "path": …, "entries": 3}]}`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_describe(
    secrets: *const st_secrets,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the arguments are this function's own, under the same conditions.
    unsafe { tell(secrets, "json", json, error, |manager| SecretBytes::copy_from(manager.describe().as_bytes())) }
}

/// How every provider is, and the memory that holds secrets, as JSON without any value:
/// `{"ok": true, "providers": [{"name": "env", "state": "ok", "detail": …}], "memory": {"state": "ok", …}}`. A state is
/// `ok`, `absent` (there is nothing to ask), `warning` or `failed`; `advice`, where present, says what to do; `ok` is
/// false if a provider failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_check(
    secrets: *const st_secrets,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the arguments are this function's own, under the same conditions.
    unsafe { tell(secrets, "json", json, error, |manager| SecretBytes::copy_from(manager.check().as_bytes())) }
}

/// The file or directory that the file provider reads; where there is none yet, the file that `st_secrets_set` creates. The
/// bytes are those of the path, which need not be UTF-8.
///
/// `ST_CONFIG`: there is no file provider, or no home directory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_file_path(
    secrets: *const st_secrets,
    path: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the arguments are this function's own, under the same conditions.
    unsafe {
        tell(secrets, "path", path, error, |manager| {
            SecretBytes::copy_from(manager.file_path()?.as_os_str().as_bytes())
        })
    }
}

/// # Safety
/// `secrets` is NULL or a live manager, `out` is NULL or a place for an `st_bytes`.
unsafe fn tell(
    secrets: *const st_secrets,
    name: &str,
    out: *mut st_bytes,
    error: *mut st_error,
    what: impl FnOnce(&Manager) -> Result<SecretBytes>,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(out, name) }?;
        // SAFETY: the caller's promise.
        out.set(what(&*unsafe { manager(secrets) }?)?.into());
        Ok(())
    })
}
