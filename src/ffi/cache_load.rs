//! Caches: loading what is missing, once however many ask for it.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use super::cache::{bytes_of, key_of, live};
use super::callback::{self, Context, Storage, Stored};
use super::{Out, guard, input, null, st_bytes, st_cache, st_drop_fn, st_error, st_load_fn, st_status, text};
use crate::cache::{Acquired, Loaded, Object, Value, ttl_from_seconds};
use crate::clock;
use crate::error::{Error, Result, Status};

/// For `st_cache_load_begin`: the value is there.
pub const ST_LOAD_HIT: i32 = 1;
/// For `st_cache_load_begin`: the caller is the one to load it, and has a lease to end.
pub const ST_LOAD_LEADER: i32 = 2;
/// For `st_cache_load_begin`: another caller loads it, and this one did not want to wait.
pub const ST_LOAD_BUSY: i32 = 3;

/// Finds the value under `key`, or else has `load` find it and stores that. Other callers that ask for the key meanwhile
/// wait for this load, each for `timeout` seconds at most (`INFINITY`: forever). `load` is called with `context` on this
/// thread before this function returns, with no lock held; it answers as `st_load_fn` says. A failure is handed to all
/// that wait, and is not stored, save that an `absent_ttl` of the cache has it remembered that there is no value. If the
/// key is written or invalidated meanwhile, the callers that asked before get the value, but it is not stored, and those
/// that ask later have it loaded again.
///
/// Where an entry past its `soft_ttl` is loaded again, `ST_NOT_FOUND` and `ST_ACCESS_DENIED` are believed: the entry is
/// removed, and that is the answer. After any other failure the old value is served, here and for a second to all
/// callers; then the next one loads again.
///
/// `out` may be NULL for a caller that only wants the value to be in the cache, as for objects.
///
/// `ST_TIMEOUT`: another caller's load did not end in time, or `timeout` is over. `ST_BUSY`: `load` asks for the very key
/// that it loads, or for one whose load waits, over any number of threads and caches, for this one; or another caller
/// loads, and `timeout` is 0. `ST_NOT_FOUND`: `load` has no value. `ST_WRONG_TYPE`: the value is an object.
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
        let out = unsafe { Out::optional(out) };
        // SAFETY: the caller gives readable bytes of this length, and a live cache.
        let (cache, key) = unsafe { (live(cache)?, key_of(key, key_len)?) };
        if load.is_none() {
            return Err(null("load"));
        }
        let timeout = || clock::seconds("timeout", timeout);
        let ask = |remaining| match callback::call(load, context, key, remaining, Storage::Cached)? {
            Some((Stored::Cached(value), ttl)) => Ok(Loaded { value, ttl, soft: None }),
            _ => cache.nothing(),
        };
        match out {
            Some(out) => out.set(cache.get_bytes_or_load(key, timeout, ask)?.into()),
            None => cache.get_or_load(key, timeout()?, ask)?.must_be_present()?,
        }
        Ok(())
    })
}

/// Finds the value under `key`, or else gives out the lease to load it: `st_cache_get_or_load` in two halves, for
/// callers that cannot load within a call. `outcome` says which:
///
/// - `ST_LOAD_HIT`: `value` holds it; if it is an object, `value` is empty, and `st_cache_get_object` has it
/// - `ST_LOAD_LEADER`: `lease` is a number with which this caller has to call `st_cache_load_finish`,
///   `st_cache_load_finish_object` or `st_cache_load_abandon`, from any thread; `value` holds the old value if there is one that may
///   still be served
/// - `ST_LOAD_BUSY`: another caller has the lease, and `timeout` is 0
///
/// While another caller has the lease, this one waits up to `timeout` seconds; with 0 it does not wait. A lease that is
/// not ended within `lease_ttl` seconds (`INFINITY`: no limit) goes to the next caller that asks. If the key is written or
/// invalidated, the next caller that asks gets a lease of its own, and the earlier one can still be ended. In a forked
/// child all leases of the parent are void.
///
/// `ST_TIMEOUT`: the other caller did not end in time. If it ended with a failure, that is the error here. `ST_BUSY`: the
/// call comes from a `load` of `st_cache_get_or_load` that loads this key, or that the load of this key waits for.
/// `ST_NOT_FOUND`: it is remembered that there is no value.
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
        // SAFETY: the caller gives NULL or places of these types.
        let (outcome, value, lease) =
            unsafe { (Out::new(outcome, "outcome"), Out::new(value, "value"), Out::new(lease, "lease")) };
        let (outcome, value, lease) = (outcome?, value?, lease?);
        // SAFETY: the caller gives readable bytes of this length, and a live cache.
        let (cache, key) = unsafe { (live(cache)?, key_of(key, key_len)?) };
        let (timeout, lease_ttl) = (clock::seconds("timeout", timeout)?, clock::seconds("lease_ttl", lease_ttl)?);
        let (result, found) = match cache.acquire(key, timeout, lease_ttl)? {
            Acquired::Hit(found) => {
                found.must_be_present()?;
                (ST_LOAD_HIT, Some(found))
            }
            Acquired::Lead(owned, old) => {
                lease.set(owned.into_number());
                (ST_LOAD_LEADER, old)
            }
            Acquired::Busy => (ST_LOAD_BUSY, None),
        };
        if let Some(bytes) = found.and_then(bytes_of) {
            value.set(bytes.into());
        }
        outcome.set(result);
        Ok(())
    })
}

/// Ends a lease with a copy of `len` bytes: they are stored for `ttl` seconds (`ST_TTL_DEFAULT`: the cache's) and handed
/// to all that wait; or, if the key was written or invalidated meanwhile, handed to these alone.
///
/// `ST_ABANDONED`: the lease has ended, or its time was over. `ST_INVALID_ARGUMENT`: nothing was ended.
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
        // SAFETY: the caller gives readable bytes of this length, and a live cache.
        let (cache, bytes) = unsafe { (live(cache)?, input("value", value, len)?) };
        cache.load_finish(lease, loaded(Value::copy_from(bytes)?, ttl)?)
    })
}

/// As `st_cache_load_finish`, with an object, which is taken over as by `st_cache_set_object`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_load_finish_object(
    cache: *const st_cache,
    lease: u64,
    object: *mut c_void,
    drop: st_drop_fn,
    ttl: f64,
    error: *mut st_error,
) -> st_status {
    let object = Context::new(object, drop);
    guard(error, || {
        // SAFETY: the caller gives a live cache.
        let cache = unsafe { live(cache) }?;
        cache.load_finish(lease, loaded(Value::Object(Object::new(object)), ttl)?)
    })
}

/// Ends a lease without a value: all that wait get the status `why` (not `ST_OK`) and the message (UTF-8, copied; NULL
/// with 0 is none), which must not hold a secret. Nothing is stored, save that an `absent_ttl` of the cache has an
/// `ST_NOT_FOUND` remembered. An old value that may still be served is treated as by `st_cache_get_or_load`.
///
/// `ST_ABANDONED`: the lease has ended, or its time was over. `ST_INVALID_ARGUMENT`: `why` is not a failure, or the
/// message not text; the lease is ended all the same, with `ST_CALLBACK`, so that nobody waits in vain.
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
        // SAFETY: the caller gives a live cache.
        let cache = unsafe { live(cache) }?;
        let message = match message.is_null() && len == 0 {
            true => Ok("the load was given up by its owner"),
            // SAFETY: the caller gives readable text of this length.
            false => unsafe { text("message", message, len) },
        };
        let (status, message) = match (callback::failing(why, "why"), message) {
            (Ok(status), Ok(message)) => (status, message),
            (Err(wrong), _) | (_, Err(wrong)) => {
                let why = "the load failed, and its owner could not say how";
                // That there is no such lease is less than that the arguments are wrong.
                drop(cache.load_abandon(lease, Error::new(Status::Callback, why)));
                return Err(wrong);
            }
        };
        let nothing = if status == Status::NotFound { cache.nothing().ok() } else { None };
        match nothing {
            Some(nothing) => cache.load_finish(lease, nothing),
            None => cache.load_abandon(lease, Error::new(status, message)),
        }
    })
}

fn loaded(value: Value, ttl: f64) -> Result<Loaded<Value>> {
    let ttl: Option<Duration> = ttl_from_seconds(ttl)?;
    Ok(Loaded { value, ttl, soft: None })
}
