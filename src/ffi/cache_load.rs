//! Caches: loading what is missing, once however many ask for it.

use std::ffi::{c_char, c_void};

use super::cache::{cache, st_cache};
use super::{Out, callback, guard, input, null, st_bytes, st_error, st_load_fn, st_status, text};
use crate::cache::{Acquired, Loaded, Value, ttl_from_seconds};
use crate::clock;
use crate::error::{Error, Result, Status};

/// Outcome of `st_cache_load_begin`: there is a value.
pub const ST_LOAD_HIT: i32 = 1;
/// Outcome of `st_cache_load_begin`: the key is the caller's to load.
pub const ST_LOAD_LEADER: i32 = 2;
/// Outcome of `st_cache_load_begin`: somebody else loads the key, and the caller did not want to wait.
pub const ST_LOAD_BUSY: i32 = 3;

/// Finds the value of `key`, or else has `load` bring it, which is called with `context`; it may answer with
/// `st_reply_bytes`. Whoever else asks meanwhile waits for it, for `timeout` seconds at most (`INFINITY`: no limit). A
/// failure is handed to all who wait and is not stored. If the key is set or invalidated meanwhile, who waits gets
/// what was loaded, but it is not stored.
///
/// `ST_NOT_FOUND`: the load has no value. `ST_TIMEOUT`: somebody else's load took too long. `ST_BUSY`: the timeout is
/// 0 and somebody else loads the key, or the key is asked for by a load that it waits for itself. `ST_ABANDONED`: the
/// load that was waited for was given up. `ST_WRONG_TYPE`: the value is an object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_get_or_load(
    cache: *const st_cache,
    key: *const c_void,
    key_len: usize,
    timeout: f64,
    load: st_load_fn,
    context: *mut c_void,
    out: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the caller gives a live cache and readable bytes of this length.
        let (cache, key) = unsafe { (self::cache(cache)?, input("key", key, key_len)?) };
        if load.is_none() {
            return Err(null("load"));
        }
        let timeout = clock::seconds("timeout", timeout)?;
        let value = cache.get_or_load(key, timeout, |remaining| callback::load(load, context, key, remaining))?;
        out.set(value.into_bytes()?.into());
        Ok(())
    })
}

/// The same for programs that cannot load within a callback. `outcome` is
///
/// - `ST_LOAD_HIT`: `value` holds the value until `st_bytes_free`;
/// - `ST_LOAD_LEADER`: the caller is to load the key and end that with `st_cache_load_finish` or
///   `st_cache_load_abandon`, on any thread, with the number in `lease`; `value` is zero, unless an old value may still
///   be served. If that takes longer than `lease_ttl` seconds (`INFINITY`: no limit), the next who asks takes over;
/// - `ST_LOAD_BUSY`: somebody else loads it; only with `timeout` 0, which never blocks.
///
/// Errors are as for `st_cache_get_or_load`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_load_begin(
    cache: *const st_cache,
    key: *const c_void,
    key_len: usize,
    timeout: f64,
    lease_ttl: f64,
    outcome: *mut i32,
    value: *mut st_bytes,
    lease: *mut u64,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or places for these.
        let outs = unsafe { (Out::new(outcome, "outcome"), Out::new(value, "value"), Out::new(lease, "lease")) };
        let (outcome, out, lease_out) = (outs.0?, outs.1?, outs.2?);
        // SAFETY: the caller gives a live cache and readable bytes of this length.
        let (cache, key) = unsafe { (self::cache(cache)?, input("key", key, key_len)?) };
        let (timeout, lease_ttl) = (clock::seconds("timeout", timeout)?, clock::seconds("lease_ttl", lease_ttl)?);
        match cache.acquire(key, timeout, lease_ttl)? {
            Acquired::Hit(value) => {
                out.set(value.into_bytes()?.into());
                outcome.set(ST_LOAD_HIT);
            }
            Acquired::Lead(lease, old) => {
                if let Some(Value::Bytes(old)) = old {
                    out.set(old.into());
                }
                lease_out.set(lease.into_number());
                outcome.set(ST_LOAD_LEADER);
            }
            Acquired::Busy => outcome.set(ST_LOAD_BUSY),
        }
        Ok(())
    })
}

/// Ends a load: stores a copy of `value` for `ttl` seconds (`ST_TTL_DEFAULT`: the cache's default) and hands it to all
/// who wait.
///
/// `ST_ABANDONED`: the lease has ended, or others took it over; nothing was stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_load_finish(
    cache: *const st_cache,
    lease: u64,
    value: *const c_void,
    len: usize,
    ttl: f64,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives a live cache and readable bytes of this length.
        let (cache, value) = unsafe { (self::cache(cache)?, input("value", value, len)?) };
        let (value, ttl) = (Value::copy_from(value)?, ttl_from_seconds(ttl)?);
        cache.load_finish(lease, Loaded { value, ttl, soft: None })
    })
}

/// Ends a load with a failure, which is handed to all who wait: a status other than `ST_OK`, and a message (UTF-8; NULL
/// with 0 is none), which must not hold a secret.
///
/// `ST_ABANDONED`: the lease has ended, or others took it over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_load_abandon(
    cache: *const st_cache,
    lease: u64,
    why: st_status,
    message: *const c_char,
    len: usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives a live cache, and readable text of this length or NULL.
        let (cache, why) = unsafe { (self::cache(cache)?, reason(why, message, len)?) };
        cache.load_abandon(lease, why)
    })
}

/// # Safety
/// `message` is NULL or leads to readable text of this length.
unsafe fn reason(why: st_status, message: *const c_char, len: usize) -> Result<Error> {
    let status = Status::from_code(why)
        .filter(|status| *status != Status::Ok)
        .ok_or_else(|| Error::invalid_argument(format!("`why` is {why}, which is no failure")))?;
    let message = match message.is_null() && len == 0 {
        true => "the load was given up by its owner",
        // SAFETY: passed on.
        false => unsafe { text("message", message, len) }?,
    };
    Ok(Error::new(status, message))
}
