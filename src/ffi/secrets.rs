//! Reading secrets.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use super::bytes::copy_into;
use super::sized::SizedOut;
use super::{
    Out, check_flags, config, guard, guard_handle, guard_out, guard_quietly, input, st_bytes, st_config, st_error,
    st_status, text,
};
use crate::clock;
use crate::error::{Error, Result};
use crate::secrets::{GetOptions, Manager, Secret, is_plain};

/// A secrets manager: an ordered list of providers. Any number of threads may use it at once, as may the child of a
/// `fork()`. Wherever a function takes a manager, NULL means the manager of the process. It is opened on first use,
/// with default settings and those of the environment, and replaced by `st_secrets_reset`.
pub struct st_secrets(Arc<Manager>);

/// For `st_secrets_get_with`: query each source now, whatever is cached. If AWS or Vault is unavailable, the result is
/// the last value, flagged with `ST_SECRET_STALE` even if it is younger than `cache_ttl`.
pub const ST_GET_REFRESH: u32 = 1;
/// For `st_secrets_get_with`: do not query AWS, Vault, programs, or custom providers, but use what they have cached,
/// possibly with `ST_SECRET_STALE`. If the value is not cached and one of them may have it, the result is
/// `ST_UNAVAILABLE`.
pub const ST_GET_CACHED_ONLY: u32 = 2;

/// In `st_secret_info.flags`: the value is older than `cache_ttl`, or the refresh that was requested failed. The
/// provider is unavailable, or another call is querying it.
pub const ST_SECRET_STALE: u32 = 1;
/// In `st_secret_info.flags`: the value was cached by an earlier call.
pub const ST_SECRET_CACHED: u32 = 2;
/// In `st_secret_info.flags`: a provider of higher precedence failed, so it may have another value.
pub const ST_SECRET_DEGRADED: u32 = 4;
/// In `st_secret_info.flags`: another process on this host loaded the value. See the setting `share`.
pub const ST_SECRET_SHARED: u32 = 8;
/// In `st_secret_info.flags`: the value has a lease, such as a dynamic secret of Vault. It is valid for `expires_in`
/// seconds and is never returned after that; the next get requests a new one.
pub const ST_SECRET_LEASED: u32 = 16;

/// Where a value came from, and its age. The caller allocates the struct and initializes it with `ST_SECRET_INFO_INIT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct st_secret_info {
    /// The size of the struct in the caller's version of this header: `sizeof(st_secret_info)`.
    pub size: u32,
    /// A combination of `ST_SECRET_…` bits.
    pub flags: u32,
    /// The kind of the provider, one of `ST_SOURCE_…`.
    pub source: i32,
    /// Zero.
    pub reserved: u32,
    /// Seconds since the request to the provider; 0 for a provider that is read on every get.
    pub age: f64,
    /// Seconds until the value expires; 0 for a stale value, and for a provider that is read on every get.
    pub expires_in: f64,
    /// The name of the provider, NUL-terminated: "env", "file", "aws", "vault", "huggingface", or that of a program or
    /// of a custom provider.
    pub provider: [c_char; 32],
    /// The provider's identifier of this version of the secret, NUL-terminated and truncated if it is too long; empty
    /// if the provider has no versions.
    pub version: [c_char; 64],
}

/// Opens a manager with a copy of `config`; NULL uses the defaults. The caller frees the manager with
/// `st_secrets_free`. This call reads no file and sends no request. An error in a file is reported by the calls that
/// need the file.
///
/// `ST_CONFIG`: a setting is invalid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_open(
    config: *const st_config,
    out: *mut *mut st_secrets,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller passes NULL or a pointer to a pointer, and NULL or a configuration that no other thread
    // changes now.
    unsafe { guard_handle(out, error, || Ok(st_secrets(Arc::new(Manager::open(&config::settings(config))?)))) }
}

/// Frees a manager. No other thread may be using it. Values that it returned stay valid. Freeing NULL does nothing: the
/// manager of the process is not freed.
///
/// Sends nothing, unless a dynamic secret of Vault has `revoke`: then its lease is revoked, within the `timeout` of the
/// configuration and at most 5 s.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_free(secrets: *mut st_secrets) {
    guard_quietly(|| {
        if !secrets.is_null() {
            // SAFETY: the caller frees, once, what `st_secrets_open` returned.
            let secrets = unsafe { Box::from_raw(secrets) };
            if let Some(manager) = Arc::into_inner(secrets.0) {
                manager.close();
            }
        }
    });
}

/// Replaces the manager of the process with a new one with these settings. With NULL, a manager with default settings
/// is opened on next use. Calls under way complete with the old manager.
///
/// `ST_CONFIG`: a setting is invalid; the manager is not replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_reset(config: *const st_config, error: *mut st_error) -> st_status {
    // SAFETY: the caller passes NULL or a configuration that no other thread changes now.
    guard(error, || Manager::reset_default(unsafe { config::optional_settings(config) }.as_ref()))
}

/// Returns the value of `key` from the first provider that has it. The key is UTF-8, 1 to 2048 bytes, without a NUL.
///
/// The environment and the file are read on every call, so an override takes effect at once; a file is checked for
/// changes at most once a second. AWS Secrets Manager and Vault are read as a whole, once for all callers, and cached
/// for `cache_ttl`. While another call reads them again, a cached value is returned without waiting; see
/// `ST_SECRET_STALE`. The call takes at most the `timeout` of the configuration.
///
/// A provider that fails is skipped, and the failure is logged. If no other provider has the value, the result is the
/// failure of the first such provider, with its kind in `source`, and never `ST_NOT_FOUND`.
///
/// The caller frees `out` with `st_bytes_free`.
///
/// `ST_NOT_FOUND`: no provider has the value. Any other status is that of a provider: `ST_TIMEOUT`, `ST_UNAVAILABLE`,
/// `ST_ACCESS_DENIED`, `ST_PROTOCOL`, `ST_IO`, `ST_CONFIG`, `ST_CALLBACK`, or one that a custom provider returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_get(
    secrets: *const st_secrets,
    key: *const c_char,
    key_len: usize,
    out: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller passes NULL or a pointer to an `st_bytes`.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the caller passes readable text of this length, and NULL or a live manager.
        let (secrets, key) = unsafe { (secrets.as_ref(), name_of(key, key_len)?) };
        let value = match secrets {
            Some(secrets) => secrets.0.value(key),
            None => Manager::default_value(key),
        };
        out.set(value?.into());
        Ok(())
    })
}

/// As `st_secrets_get`, but copies the value into the caller's buffer of `capacity` bytes, without a NUL, and writes
/// its length to `len`. With `(NULL, 0)` as the buffer it only writes the length. The caller is responsible for wiping
/// the copy.
///
/// `ST_BUFFER_TOO_SMALL`: the value is longer than `capacity`; `len` is the length that is needed, and the buffer is
/// unchanged.
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
        // SAFETY: the caller passes NULL or a pointer to a length.
        let len = unsafe { Out::new(len, "len") }?;
        // SAFETY: the caller passes readable text of this length, and NULL or a live manager.
        let (secrets, key) = unsafe { (secrets.as_ref(), name_of(key, key_len)?) };
        // SAFETY: the caller passes NULL or a buffer of this capacity.
        let copy = |value: &[u8]| unsafe { copy_into(value, buffer, capacity, &len) };
        match secrets {
            Some(secrets) => secrets.0.with_value(key, copy),
            None => Manager::with_default_value(key, copy),
        }?
    })
}

/// As `st_secrets_get`, with a timeout, flags, and information about the value.
///
/// `timeout` is in seconds; `ST_TIMEOUT_DEFAULT` uses that of the configuration, `INFINITY` sets no limit. `flags` is
/// 0, or one of `ST_GET_REFRESH` and `ST_GET_CACHED_ONLY`. `info` may be NULL; otherwise it receives where the value
/// came from.
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
        // SAFETY: the caller passes NULL or a pointer to an `st_bytes`, and NULL or an info of the size that it states.
        let (out, info) = unsafe {
            let info = (!info.is_null()).then(|| SizedOut::new(info, "info->size", "ST_SECRET_INFO_INIT"));
            (Out::new(out, "out"), info.transpose())
        };
        let (out, info) = (out?, info?);
        // SAFETY: the caller passes readable text of this length, and NULL or a live manager.
        let (manager, key) = unsafe { (manager(secrets)?, text("key", key, key_len)?) };
        let secret = manager.get_with(key, &options(timeout, flags)?)?;
        if let Some(info) = info {
            info.write(&describe(&secret));
        }
        out.set(secret.into_value().into());
        Ok(())
    })
}

/// Returns several values, as `st_secrets_get` does, within the `timeout` of the configuration in total. `keys` has
/// `count` consecutive names, each ending with a NUL, in `keys_len` bytes. `values` and `statuses` have `count`
/// elements. The result for the i-th name is written to `values[i]`, which the caller frees with `st_bytes_free`, and
/// to `statuses[i]`.
///
/// The call succeeds even if it fails for a key: check `statuses`. To get the error message of a key, call
/// `st_secrets_get` with it.
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
            return Err(Error::invalid_argument(format!("`count` is {count}, more than the address space")));
        }
        // SAFETY: the caller passes NULL or `count` elements in each array, and every index is below that.
        let (values, statuses): (Result<Vec<_>>, Result<Vec<_>>) = unsafe {
            let values = (0..count).map(|index| Out::new(at(values, index), "values")).collect();
            let statuses = (0..count).map(|index| Out::new(at(statuses, index), "statuses")).collect();
            (values, statuses)
        };
        let (values, statuses) = (values?, statuses?);
        // SAFETY: the caller passes `keys_len` readable bytes, and NULL or a live manager.
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

/// Returns a pointer to the element `index`; NULL for a NULL array.
fn at<T>(array: *mut T, index: usize) -> *mut T {
    if array.is_null() { array } else { array.wrapping_add(index) }
}

fn split_keys(keys: &[u8], keys_len: usize, count: usize) -> Result<Vec<&str>> {
    if keys_len == super::NUL_TERMINATED {
        return Err(Error::invalid_argument(
            "the length of `keys` must be a number of bytes, because each key ends with a NUL",
        ));
    }
    let text = std::str::from_utf8(keys).map_err(|_| Error::invalid_argument("`keys` is not UTF-8"))?;
    let keys: Vec<&str> = match text.strip_suffix('\0') {
        Some(text) => text.split('\0').collect(),
        None if text.is_empty() => Vec::new(),
        None => return Err(Error::invalid_argument("`keys` does not end with a NUL")),
    };
    if keys.len() != count {
        let message = format!("the number of names in `keys` is {}, but `count` is {count}", keys.len());
        return Err(Error::invalid_argument(message));
    }
    Ok(keys)
}

/// Returns the secret `REPLICATE_API_TOKEN`, as `st_secrets_get` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_get_replicate_token(
    secrets: *const st_secrets,
    out: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the same arguments, under the same conditions.
    unsafe { get_well_known(secrets, Manager::replicate_token, out, error) }
}

/// Returns the secret `HF_TOKEN`, as `st_secrets_get` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_get_hf_token(
    secrets: *const st_secrets,
    out: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: as above.
    unsafe { get_well_known(secrets, Manager::hf_token, out, error) }
}

/// Returns the secret `CLOUD_WEBHOOK_SECRET`, as `st_secrets_get` does.
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
    // SAFETY: the caller's promise.
    unsafe { guard_out(out, "out", error, || Ok(get(&*manager(secrets)?)?.into_value())) }
}

/// Checks and returns the name of a secret.
///
/// # Safety
/// As for `text`.
#[inline]
unsafe fn name_of<'a>(key: *const c_char, key_len: usize) -> Result<&'a str> {
    if !key.is_null() {
        // SAFETY: the caller's promise.
        let bytes = unsafe { input("key", key.cast(), key_len) }?;
        if is_plain(bytes) {
            // SAFETY: ASCII is UTF-8.
            return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
        }
    }
    // SAFETY: the caller's promise.
    unsafe { text("key", key, key_len) }
}

/// Returns the manager of a handle; that of the process for NULL.
///
/// # Safety
/// `secrets` is NULL or a live manager.
pub(super) unsafe fn manager(secrets: *const st_secrets) -> Result<Arc<Manager>> {
    // SAFETY: the caller's promise.
    match unsafe { secrets.as_ref() } {
        Some(secrets) => Ok(secrets.0.clone()),
        None => Manager::default_instance(),
    }
}

/// Converts the timeout of a call; `None` is that of the configuration.
pub(super) fn time_limit(timeout: f64) -> Result<Option<Duration>> {
    if timeout == -1.0 { Ok(None) } else { clock::seconds("timeout", timeout).map(Some) }
}

fn options(timeout: f64, flags: u32) -> Result<GetOptions> {
    check_flags(flags, ST_GET_REFRESH | ST_GET_CACHED_ONLY)?;
    if flags == ST_GET_REFRESH | ST_GET_CACHED_ONLY {
        return Err(Error::invalid_argument("`flags`: ST_GET_REFRESH and ST_GET_CACHED_ONLY are mutually exclusive"));
    }
    Ok(GetOptions {
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
        (secret.is_shared(), ST_SECRET_SHARED),
        (secret.is_leased(), ST_SECRET_LEASED),
    ];
    for (is_so, flag) in flags {
        info.flags |= if is_so { flag } else { 0 };
    }
    copy_text(&mut info.provider, secret.provider());
    copy_text(&mut info.version, secret.version().unwrap_or_default());
    info
}

/// Copies as many whole characters of a text as fit before the final NUL.
fn copy_text(place: &mut [c_char], text: &str) {
    let fits = text.floor_char_boundary(place.len() - 1);
    for (to, from) in place.iter_mut().zip(&text.as_bytes()[..fits]) {
        *to = *from as c_char;
    }
}
