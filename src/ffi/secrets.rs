//! Finding secrets.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use super::bytes::copy_into;
use super::sized::SizedOut;
use super::{Out, config, guard, guard_quietly, input, st_bytes, st_config, st_error, st_status, text};
use crate::clock;
use crate::error::{Error, Result, Status};
use crate::secrets::{Manager, Options, Secret, is_plain};

/// A chain of providers in which secrets are found. It may be used from any number of threads at once, and in the child of
/// a `fork()`. Where a function takes one, NULL stands for the manager of the whole process, which is made from the
/// environment on first use and replaced by `st_secrets_reset`.
pub struct st_secrets(Arc<Manager>);

/// For `st_secrets_get_with`: look at each source now, whatever is remembered of it. If AWS or Vault does not answer, the
/// last value is returned with `ST_SECRET_STALE`, however young it is.
pub const ST_GET_REFRESH: u32 = 1;
/// For `st_secrets_get_with`: ask no provider that may take long. The value may come with `ST_SECRET_STALE`. If it is not
/// cached and such a provider was left out, the answer is `ST_UNAVAILABLE`.
pub const ST_GET_CACHED_ONLY: u32 = 2;

/// In `st_secret_info.flags`: the value is older than `cache_ttl`, or could not be refreshed as was asked for; the provider
/// does not answer now, or another call is asking it.
pub const ST_SECRET_STALE: u32 = 1;
/// In `st_secret_info.flags`: the value comes from memory.
pub const ST_SECRET_CACHED: u32 = 2;
/// In `st_secret_info.flags`: a provider that goes before this one failed, so another value may be the one that counts.
pub const ST_SECRET_DEGRADED: u32 = 4;

/// Where a value came from. The caller allocates it and sets it up with `ST_SECRET_INFO_INIT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct st_secret_info {
    /// The size of this struct in the caller's version of the header: `sizeof(st_secret_info)`.
    pub size: u32,
    /// A combination of `ST_SECRET_…` bits.
    pub flags: u32,
    /// The kind of the provider, one of `ST_SOURCE_…`.
    pub source: i32,
    /// Zero.
    pub reserved: u32,
    /// Seconds since the provider was asked; 0 for providers that are asked on every get.
    pub age: f64,
    /// Seconds until the provider is asked again; 0 for providers that are asked on every get, and for stale values.
    pub expires_in: f64,
    /// The name of the provider, NUL-terminated: "env", "file", "aws", "vault", or that of a provider of the program.
    pub provider: [c_char; 32],
    /// The provider's own name of this version of the secret, NUL-terminated; empty if it has none.
    pub version: [c_char; 64],
}

/// Opens a manager. `config` may be NULL and is copied. It reads nothing yet: what is wrong with a file is the error of
/// the call that needs it. Free the manager with `st_secrets_free`.
///
/// `ST_CONFIG`: a setting cannot be used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_open(
    config: *const st_config,
    out: *mut *mut st_secrets,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a pointer.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the caller gives NULL or a configuration that no other thread changes now.
        let manager = Manager::open(&unsafe { config::settings(config) })?;
        out.set(Box::into_raw(Box::new(st_secrets(Arc::new(manager)))));
        Ok(())
    })
}

/// Frees a manager. No other thread may be using it. NULL is fine and leaves the manager of the process alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_free(secrets: *mut st_secrets) {
    guard_quietly(|| {
        if !secrets.is_null() {
            // SAFETY: the caller gives back what `st_secrets_open` made, once.
            drop(unsafe { Box::from_raw(secrets) });
        }
    });
}

/// Replaces the manager of the whole process by one with these settings or, with NULL, by a new one on its next use.
/// Calls under way end with the one they began with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_reset(config: *const st_config, error: *mut st_error) -> st_status {
    guard(error, || match config.is_null() {
        true => Manager::reset_default(None),
        // SAFETY: the caller gives a configuration that no other thread changes now.
        false => Manager::reset_default(Some(&unsafe { config::settings(config) })),
    })
}

/// Finds the value of `key`, which is UTF-8, in the first provider that has it. The environment and the file are asked on
/// every call, so an override works at once; a file is looked at for changes at most once a second. AWS Secrets Manager
/// and Vault are read whole, once for all callers, and what they answered is remembered for `cache_ttl`. A value in memory
/// is not waited for while another call reads them again; see `ST_SECRET_STALE`.
///
/// A provider that fails is passed over, and the log is told. If no other provider has the value, the answer is the failure
/// of the first one, with its provider in `source`; it is never `ST_NOT_FOUND`.
///
/// On success `out` holds the value until `st_bytes_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_get(
    secrets: *const st_secrets,
    key: *const c_char,
    key_len: usize,
    out: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the caller gives readable text of this length, and NULL or a live manager.
        let (secrets, key) = unsafe { (secrets.as_ref(), name_of(key, key_len)?) };
        let value = match secrets {
            Some(secrets) => secrets.0.value(key),
            None => Manager::default_value(key),
        };
        out.set(value?.into());
        Ok(())
    })
}

/// As `st_secrets_get`, but copies the value into the caller's buffer, without a NUL, and writes its length to `len`.
/// `(NULL, 0)` asks for the length alone. The copy is the caller's to wipe.
///
/// `ST_BUFFER_TOO_SMALL`: the value is longer than `capacity`; `len` has the length that is needed, the buffer is as it
/// was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_get_into(
    secrets: *const st_secrets,
    key: *const c_char,
    key_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a length.
        let len = unsafe { Out::new(len, "len") }?;
        // SAFETY: the caller gives readable text of this length, and NULL or a live manager.
        let (secrets, key) = unsafe { (secrets.as_ref(), name_of(key, key_len)?) };
        // SAFETY: the caller gives NULL or a buffer of this capacity.
        let copy = |value: &[u8]| unsafe { copy_into(value, buffer, capacity, &len) };
        match secrets {
            Some(secrets) => secrets.0.with_value(key, copy),
            None => Manager::with_default_value(key, copy),
        }?
    })
}

/// As `st_secrets_get`, within `timeout` seconds (`ST_TIMEOUT_DEFAULT`: that of the configuration; `INFINITY`: no
/// limit), in the way that `flags` say (`ST_GET_…`, 0 for the usual), and with an account of where the value came from
/// (`info` may be NULL).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_get_with(
    secrets: *const st_secrets,
    key: *const c_char,
    key_len: usize,
    timeout: f64,
    flags: u32,
    out: *mut st_bytes,
    info: *mut st_secret_info,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`, and NULL or an info of the size it says.
        let (out, info) = unsafe {
            let info = (!info.is_null()).then(|| SizedOut::new(info, "info->size", "ST_SECRET_INFO_INIT"));
            (Out::new(out, "out"), info.transpose())
        };
        let (out, info) = (out?, info?);
        // SAFETY: the caller gives readable text of this length, and NULL or a live manager.
        let (manager, key) = unsafe { (manager(secrets)?, text("key", key, key_len)?) };
        let secret = manager.get_with(key, &options(timeout, flags)?)?;
        if let Some(info) = info {
            info.write(&describe(&secret));
        }
        out.set(secret.into_value().into());
        Ok(())
    })
}

/// Finds several values under one deadline. `keys` are `count` names, each ending with a NUL, one behind the other,
/// `keys_len` bytes in all. The i-th result goes to `values[i]`, which is then the caller's to free, and `statuses[i]`.
///
/// The call itself succeeds also where a key fails: look at `statuses`. Ask for that key alone to learn why.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_get_many(
    secrets: *const st_secrets,
    keys: *const c_char,
    keys_len: usize,
    count: usize,
    values: *mut st_bytes,
    statuses: *mut st_status,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        if count > isize::MAX as usize / size_of::<st_bytes>() {
            return Err(Error::invalid_argument(format!("`count` is {count}, more than there is memory")));
        }
        // SAFETY: the caller gives NULL or `count` places in each array, and every index below is less than that.
        let (values, statuses): (Result<Vec<_>>, Result<Vec<_>>) = unsafe {
            let values = (0..count).map(|index| Out::new(at(values, index), "values")).collect();
            let statuses = (0..count).map(|index| Out::new(at(statuses, index), "statuses")).collect();
            (values, statuses)
        };
        let (values, statuses) = (values?, statuses?);
        // SAFETY: the caller gives `keys_len` readable bytes, and NULL or a live manager.
        let (manager, keys) = unsafe { (manager(secrets)?, input("keys", keys.cast(), keys_len)?) };
        let keys = split_keys(keys, keys_len, count)?;
        for ((result, value), status) in manager.get_many(&keys).into_iter().zip(values).zip(statuses) {
            match result {
                Ok(secret) => value.set(secret.into_value().into()),
                Err(failure) => status.set(failure.status() as st_status),
            }
        }
        Ok(())
    })
}

/// The place of the element `index`, NULL in a NULL array.
fn at<T>(array: *mut T, index: usize) -> *mut T {
    if array.is_null() { array } else { array.wrapping_add(index) }
}

fn split_keys(keys: &[u8], keys_len: usize, count: usize) -> Result<Vec<&str>> {
    if keys_len == super::NUL_TERMINATED {
        return Err(Error::invalid_argument(
            "the length of `keys` must be a number of bytes, as each key ends with a NUL",
        ));
    }
    let text = std::str::from_utf8(keys).map_err(|_| Error::invalid_argument("`keys` is not UTF-8"))?;
    let keys: Vec<&str> = match text.strip_suffix('\0') {
        Some(text) => text.split('\0').collect(),
        None if text.is_empty() => Vec::new(),
        None => return Err(Error::invalid_argument("`keys` does not end with a NUL")),
    };
    if keys.len() != count {
        let message = format!("`keys` holds {} names, and `count` is {count}", keys.len());
        return Err(Error::invalid_argument(message));
    }
    Ok(keys)
}

/// Finds `REPLICATE_API_TOKEN`, as `st_secrets_get` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_get_replicate_token(
    secrets: *const st_secrets,
    out: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the arguments are this function's own, under the same conditions.
    unsafe { get_well_known(secrets, Manager::replicate_token, out, error) }
}

/// Finds `HF_TOKEN`, as `st_secrets_get` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_get_hf_token(
    secrets: *const st_secrets,
    out: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: as above.
    unsafe { get_well_known(secrets, Manager::hf_token, out, error) }
}

/// Finds `CLOUD_WEBHOOK_SECRET`, as `st_secrets_get` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_get_webhook_secret(
    secrets: *const st_secrets,
    out: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: as above.
    unsafe { get_well_known(secrets, Manager::webhook_secret, out, error) }
}

/// # Safety
/// As for `st_secrets_get`.
unsafe fn get_well_known(
    secrets: *const st_secrets,
    get: fn(&Manager) -> Result<Secret>,
    out: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the caller gives NULL or a live manager.
        out.set(get(&*unsafe { manager(secrets) }?)?.into_value().into());
        Ok(())
    })
}

/// The name of a secret.
///
/// # Safety
/// As for `text`.
#[inline]
unsafe fn name_of<'a>(key: *const c_char, key_len: usize) -> Result<&'a str> {
    if !key.is_null() {
        // SAFETY: passed on.
        let bytes = unsafe { input("key", key.cast(), key_len) }?;
        if is_plain(bytes) {
            // SAFETY: ASCII is UTF-8.
            return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
        }
    }
    // SAFETY: passed on.
    unsafe { text("key", key, key_len) }
}

/// The manager behind a handle; NULL is that of the process.
///
/// # Safety
/// `secrets` is NULL or a live manager.
pub(super) unsafe fn manager(secrets: *const st_secrets) -> Result<Arc<Manager>> {
    // SAFETY: passed on.
    match unsafe { secrets.as_ref() } {
        Some(secrets) => Ok(secrets.0.clone()),
        None => Manager::default_instance(),
    }
}

/// `timeout` as the C ABI gives it: -1 is "as configured".
pub(super) fn time_limit(timeout: f64) -> Result<Option<Duration>> {
    if timeout == -1.0 { Ok(None) } else { clock::seconds("timeout", timeout).map(Some) }
}

fn options(timeout: f64, flags: u32) -> Result<Options> {
    let unknown = flags & !(ST_GET_REFRESH | ST_GET_CACHED_ONLY);
    if unknown != 0 {
        return Err(Error::invalid_argument(format!("`flags` has bits that mean nothing: {unknown:#x}")));
    }
    if flags == ST_GET_REFRESH | ST_GET_CACHED_ONLY {
        let message = "`flags` asks to look at the sources and not to look at them";
        return Err(Error::new(Status::InvalidArgument, message));
    }
    Ok(Options {
        timeout: time_limit(timeout)?,
        refresh: flags & ST_GET_REFRESH != 0,
        cached_only: flags & ST_GET_CACHED_ONLY != 0,
    })
}

fn describe(secret: &Secret) -> st_secret_info {
    let mut info = st_secret_info {
        size: 0,
        flags: 0,
        source: secret.source() as i32,
        reserved: 0,
        age: secret.age().as_secs_f64(),
        expires_in: secret.expires_in().as_secs_f64(),
        provider: [0; 32],
        version: [0; 64],
    };
    let flags = [
        (secret.is_stale(), ST_SECRET_STALE),
        (secret.is_cached(), ST_SECRET_CACHED),
        (secret.is_degraded(), ST_SECRET_DEGRADED),
    ];
    for (is_so, flag) in flags {
        info.flags |= if is_so { flag } else { 0 };
    }
    copy_text(&mut info.provider, secret.provider());
    copy_text(&mut info.version, secret.version().unwrap_or_default());
    info
}

/// Copies as much of a text as fits before the final NUL, whole characters only.
fn copy_text(place: &mut [c_char], text: &str) {
    let fits = text.floor_char_boundary(place.len() - 1);
    for (to, from) in place.iter_mut().zip(&text.as_bytes()[..fits]) {
        *to = *from as c_char;
    }
}
