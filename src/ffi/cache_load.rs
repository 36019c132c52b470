//! Caches: loading what is missing, once however many ask for it.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::time::Duration;

use super::cache::{bytes_of, key_of, live};
use super::callback::{self, CallbackContext, CallbackValue, Storage};
use super::status::report_failure;
use super::{
    Out, guard, guard_quietly, input, null, st_bytes, st_cache, st_drop_fn, st_error, st_load_fn, st_status, text,
};
use crate::cache::{Acquired, Loaded, Object, Value, ttl_from_seconds};
use crate::clock;
use crate::error::{Error, Result, Status};

/// Outcome of `st_cache_load_begin`: the value is cached.
pub const ST_LOAD_HIT: i32 = 1;
/// Outcome of `st_cache_load_begin`: the caller must load the value and end its lease.
pub const ST_LOAD_LEADER: i32 = 2;
/// Outcome of `st_cache_load_begin`: another caller is loading the value, and `timeout` is 0.
pub const ST_LOAD_BUSY: i32 = 3;

/// Reports the end of a load that another caller began. `error` is never NULL; its `status` is `ST_OK` if the load has
/// a value, which is then in `value`, or in `object` if it is an object (`value` is NULL). All are valid until the
/// function returns; `st_bytes_clone` keeps the bytes. The value may not have been stored.
///
/// It is called on the thread that ends the load, before the call that ends it returns, with no lock of the library
/// held. It may call the library, but must not wait for a load. It should only wake its caller, because the thread that
/// ends the load calls one such function after another.
pub type st_load_ended_fn = Option<
    unsafe extern "C" fn(context: *mut c_void, value: *const st_bytes, object: *mut c_void, error: *const st_error),
>;

/// Returns the value under `key`. If there is none, calls `load` and stores the value that it returns. Other callers
/// that ask for the key meanwhile wait for this load, each for at most `timeout` seconds (`INFINITY`: no limit).
/// `load` is called with `context` on the calling thread, before this function returns, with no lock held; it replies
/// as described for `st_load_fn`. If `load` fails, all callers that wait get the error. The failure is not stored,
/// unless the cache has an `absent_ttl` and the status is `ST_NOT_FOUND`. If the key is written or invalidated during
/// the load, the callers that wait already get the loaded value, but it is not stored, and later callers load again.
///
/// If an entry past its `soft_ttl` is reloaded and `load` fails with `ST_NOT_FOUND` or `ST_ACCESS_DENIED`, the entry
/// is removed and the error is returned. After any other failure all callers get the old value for one more second;
/// then the next caller loads again.
///
/// `out` may be NULL if the caller only wants the value to be in the cache, as for objects.
///
/// `ST_TIMEOUT`: the load of another caller did not end in time, or `timeout` elapsed. `ST_BUSY`: `load` asks for the
/// key that it is loading, or for a key whose load waits for this one, across any number of threads and caches; or
/// another caller is loading and `timeout` is 0. `ST_NOT_FOUND`: `load` has no value. `ST_WRONG_TYPE`: the value is
/// an object.
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
            Some((CallbackValue::Cached(value), ttl)) => Ok(Loaded { value, ttl, soft: None }),
            _ => cache.nothing(),
        };
        match out {
            Some(out) => out.set(cache.get_bytes_or_load(key, timeout, ask)?.into()),
            None => cache.get_or_load(key, timeout()?, ask)?.must_be_present()?,
        }
        Ok(())
    })
}

/// Returns the value under `key`, or else a lease to load it. This is `st_cache_get_or_load` in two steps, for
/// callers that cannot load within a callback. `outcome` is one of:
///
/// - `ST_LOAD_HIT`: `value` is the cached value. If it is an object, `value` is empty; get the object with
///   `st_cache_get_object`.
/// - `ST_LOAD_LEADER`: the caller must load the value and then end the lease with this number by
///   `st_cache_load_finish`, `st_cache_load_finish_object` or `st_cache_load_abandon`, from any thread. `value` is
///   the old value if there is one that may still be served.
/// - `ST_LOAD_BUSY`: another caller has the lease with this number, and `timeout` is 0. Only that caller may end it.
///
/// If another caller has the lease, this call waits for up to `timeout` seconds; with 0 it does not wait. A lease
/// that is not ended within `lease_ttl` seconds (`INFINITY`: no limit) passes to the next caller that asks. If the
/// key is written or invalidated, the next caller gets a lease of its own, and the earlier lease can still be ended.
/// In a forked child, the leases of the parent are void.
///
/// `ST_TIMEOUT`: the other caller did not end its lease in time. If it ended its lease with an error, this call
/// returns that error. `ST_BUSY`: the call comes from a `load` of `st_cache_get_or_load` for this key, or from one
/// that the load of this key waits for. `ST_NOT_FOUND`: the absence of the value is cached.
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
        let out = unsafe { Begun::new(outcome, value, lease) }?;
        // SAFETY: the caller gives readable bytes of this length, and a live cache.
        let (cache, key) = unsafe { (live(cache)?, key_of(key, key_len)?) };
        let (timeout, lease_ttl) = (clock::seconds("timeout", timeout)?, clock::seconds("lease_ttl", lease_ttl)?);
        out.set(cache.acquire(key, timeout, lease_ttl)?)
    })
}

/// As `st_cache_load_begin`, for callers that cannot block a thread, such as an event loop: it never waits. If another
/// caller has the lease, the outcome is `ST_LOAD_BUSY`, and `ended` is called with `context` exactly once, when that
/// load ends: by its value or failure, because its lease expired and another caller asked for the key, or because the
/// cache is freed (the last two are `ST_ABANDONED`). It may be called before this function returns, so the outputs of
/// this function must not be in memory that `ended` frees. `waiter` is a number for `st_cache_load_notify_cancel`.
///
/// If the status of the load is `ST_ABANDONED`, the value is no longer being loaded, and the caller may begin again.
/// With any other outcome, and if this call fails, `ended` is not called.
///
/// The library has no thread that watches the time. A caller that wants to wait for a limited time uses a timer of its
/// own, which cancels. So does a caller that waits for a lease that may expire; then it begins again.
///
/// A load and its waiting callers belong to one process: in a forked child `ended` is not called for what the parent
/// began, and the child begins again.
///
/// `ST_BUSY`: the call comes from a `load` of `st_cache_get_or_load` for this key. Other callers that wait for each
/// other are not detected. `ST_NOT_FOUND`: the absence of the value is cached.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_load_begin_notify(
    cache: *const st_cache,
    key: *const c_void,
    key_len: usize,
    lease_ttl: f64,
    ended: st_load_ended_fn,
    context: *mut c_void,
    outcome: *mut i32,
    value: *mut st_bytes,
    lease: *mut u64,
    waiter: *mut u64,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or places of these types.
        let (out, waiter) = unsafe { (Begun::new(outcome, value, lease), Out::new(waiter, "waiter")) };
        let (out, waiter) = (out?, waiter?);
        // SAFETY: the caller gives readable bytes of this length, and a live cache.
        let (cache, key) = unsafe { (live(cache)?, key_of(key, key_len)?) };
        let lease_ttl = clock::seconds("lease_ttl", lease_ttl)?;
        let waiting = LoadWaiter { ended: ended.ok_or_else(|| null("ended"))?, context };
        let (acquired, number) = cache.acquire_or_notify(key, lease_ttl, move |result| waiting.end(result))?;
        waiter.set(number);
        out.set(acquired)
    })
}

/// Cancels the `ended` of `st_cache_load_begin_notify`. `cancelled` reports whether it will not be called. If it is
/// false, `ended` was called, or another thread is calling it now. So `context` may be freed by `ended`, and by a
/// caller whose `cancelled` is true.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_load_notify_cancel(
    cache: *const st_cache,
    waiter: u64,
    cancelled: *mut bool,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a bool.
        let cancelled = unsafe { Out::new(cancelled, "cancelled") }?;
        // SAFETY: the caller gives a live cache.
        cancelled.set(unsafe { live(cache) }?.cancel_notify(waiter));
        Ok(())
    })
}

/// Ends a lease with a copy of `len` bytes. They are stored for `ttl` seconds (`ST_TTL_DEFAULT`: the default of the
/// cache) and returned to all callers that wait. If the key was written or invalidated meanwhile, they are returned
/// to these callers but not stored.
///
/// `ST_ABANDONED`: the lease has ended or expired. `ST_INVALID_ARGUMENT`: an argument is invalid; the lease continues.
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

/// Ends a lease with an object. The cache takes ownership of it as `st_cache_set_object` does. Otherwise as
/// `st_cache_load_finish`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_load_finish_object(
    cache: *const st_cache,
    lease: u64,
    object: *mut c_void,
    drop: st_drop_fn,
    ttl: f64,
    error: *mut st_error,
) -> st_status {
    let object = CallbackContext::new(object, drop);
    guard(error, || {
        // SAFETY: the caller gives a live cache.
        let cache = unsafe { live(cache) }?;
        cache.load_finish(lease, loaded(Value::Object(Object::new(object)), ttl)?)
    })
}

/// Ends a lease without a value. All callers that wait get the status `why` (not `ST_OK`) and the message (UTF-8,
/// copied; NULL and 0 for none), which must not contain a secret. Nothing is stored, unless the cache has an
/// `absent_ttl` and `why` is `ST_NOT_FOUND`. An old value that may still be served is treated as by
/// `st_cache_get_or_load`.
///
/// `ST_ABANDONED`: the lease has ended or expired. `ST_INVALID_ARGUMENT`: `why` is not an error, or the message is
/// not UTF-8; the lease is ended nevertheless, with `ST_CALLBACK`, so that no caller waits for it.
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
            true => Ok("the owner abandoned the load"),
            // SAFETY: the caller gives readable text of this length.
            false => unsafe { text("message", message, len) },
        };
        let (status, message) = match (callback::failing(why, "why"), message) {
            (Ok(status), Ok(message)) => (status, message),
            (Err(wrong), _) | (_, Err(wrong)) => {
                let why = "the load failed, and its owner passed an invalid status or message";
                // The invalid argument is reported even if there is no such lease.
                drop(cache.load_abandon(lease, Error::new(Status::Callback, why)));
                return Err(wrong);
            }
        };
        let nothing = if status == Status::NotFound { cache.nothing().ok() } else { None };
        let why = Error::new(status, message);
        match nothing {
            Some(nothing) => cache.load_abandon_storing(lease, nothing, why),
            None => cache.load_abandon(lease, why),
        }
    })
}

fn loaded(value: Value, ttl: f64) -> Result<Loaded<Value>> {
    let ttl: Option<Duration> = ttl_from_seconds(ttl)?;
    Ok(Loaded { value, ttl, soft: None })
}

/// The outputs of a call that begins a load.
struct Begun {
    outcome: Out<i32>,
    value: Out<st_bytes>,
    lease: Out<u64>,
}

impl Begun {
    /// # Safety
    /// As for [`Out::new`].
    unsafe fn new(outcome: *mut i32, value: *mut st_bytes, lease: *mut u64) -> Result<Begun> {
        // SAFETY: passed on. All of them are zeroed, even if one is NULL.
        let (outcome, value, lease) =
            unsafe { (Out::new(outcome, "outcome"), Out::new(value, "value"), Out::new(lease, "lease")) };
        Ok(Begun { outcome: outcome?, value: value?, lease: lease? })
    }

    fn set(&self, acquired: Acquired<'_, Value>) -> Result<()> {
        let (outcome, found) = match acquired {
            Acquired::Hit(found) => {
                found.must_be_present()?;
                (ST_LOAD_HIT, Some(found))
            }
            Acquired::Lead(owned, old) => {
                self.lease.set(owned.into_number());
                (ST_LOAD_LEADER, old)
            }
            Acquired::Busy(lease) => {
                self.lease.set(lease);
                (ST_LOAD_BUSY, None)
            }
        };
        if let Some(bytes) = found.and_then(bytes_of) {
            self.value.set(bytes.into());
        }
        self.outcome.set(outcome);
        Ok(())
    }
}

/// A caller that waits for the load of another.
struct LoadWaiter {
    ended: unsafe extern "C" fn(*mut c_void, *const st_bytes, *mut c_void, *const st_error),
    context: *mut c_void,
}

// SAFETY: the header says that the function is called on any thread.
unsafe impl Send for LoadWaiter {}

impl LoadWaiter {
    fn end(self, result: &Result<Value>) {
        guard_quietly(|| {
            let present = result.as_ref().map_err(Error::clone);
            let value = present.and_then(|value| value.must_be_present().map(|()| value.clone()));
            let mut error = st_error::ok();
            let (mut bytes, mut object) = (None, ptr::null_mut());
            match &value {
                Ok(Value::Object(held)) => object = callback::pointer_of(held),
                Ok(held) => match held.clone().into_bytes() {
                    Ok(copy) => bytes = Some(st_bytes::from(copy)),
                    // SAFETY: the error is complete.
                    Err(failure) => unsafe { report_failure(&mut error, &failure) },
                },
                // SAFETY: the error is complete.
                Err(failure) => unsafe { report_failure(&mut error, failure) },
            }
            let pointer = bytes.as_ref().map_or(ptr::null(), ptr::from_ref);
            // SAFETY: the function belongs to this context and is called once. Its arguments outlive the call.
            unsafe { (self.ended)(self.context, pointer, object, &error) };
            // SAFETY: these bytes were made above, and the function does not free them.
            bytes.iter_mut().for_each(|bytes| unsafe { super::st_bytes_free(bytes) });
        });
    }
}
