//! Callbacks: the context that goes with them, and how they answer.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use super::status::status_name;
use super::{ST_NOT_FOUND, ST_OK, guard, input, null, st_status, text};
use crate::bytes::SecretBytes;
use crate::cache::{Loaded, Object, Value, ttl_from_seconds};
use crate::error::{Error, Result, Status};
use crate::secrets::Found;

/// Releases what a callback was given as `context`. A call that takes an `st_drop_fn` takes the context over, whatever
/// it returns: the function is called exactly once, on any thread, with no lock of the library held. NULL: nothing is
/// to be released.
pub type st_drop_fn = Option<unsafe extern "C" fn(context: *mut c_void)>;

/// Where a callback puts its answer, valid until it returns.
pub struct st_reply {
    answer: Option<Answer>,
}

enum Answer {
    Value(SecretBytes, Option<Duration>),
    Object(Context, Option<Duration>),
    Failure(Status, String),
}

/// Finds the value of `key`, `key_len` bytes with a NUL behind them, within `timeout` seconds (`INFINITY`: no limit).
///
/// It answers in one of three ways: with a value (`st_reply_bytes`, then return `ST_OK`), with "I have none" (return
/// `ST_NOT_FOUND`), or with a failure (`st_reply_error` if there is something to say, then return its status). It may be
/// called from several threads at once, with no lock of the library held, and may call the library, the handle that
/// it serves included. It must return; it must not throw.
pub type st_load_fn = Option<
    unsafe extern "C-unwind" fn(
        context: *mut c_void,
        key: *const c_char,
        key_len: usize,
        timeout: f64,
        reply: *mut st_reply,
    ) -> st_status,
>;

/// Answers with `len` bytes, which are copied. They may be kept for `ttl` seconds; `ST_TTL_DEFAULT` leaves that to the
/// configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_reply_bytes(reply: *mut st_reply, data: *const c_void, len: usize, ttl: f64) -> st_status {
    guard(std::ptr::null_mut(), || {
        // SAFETY: a callback passes on the reply that it was given, and uses it on its own thread.
        let reply = unsafe { reply.as_mut() }.ok_or_else(|| null("reply"))?;
        // SAFETY: the caller gives `len` readable bytes, or a NUL-terminated text with `ST_NUL`.
        let bytes = unsafe { input("data", data, len) }?;
        let ttl = ttl_from_seconds(ttl)?;
        reply.answer = Some(Answer::Value(SecretBytes::copy_from(bytes)?, ttl));
        Ok(())
    })
}

/// Answers with an object, which only a cache can take. `object` is taken over in any case: `drop` (may be NULL) is
/// called with it once, when the last holder lets go or when this call fails. `ttl` is as for `st_reply_bytes`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_reply_object(
    reply: *mut st_reply,
    object: *mut c_void,
    drop: st_drop_fn,
    ttl: f64,
) -> st_status {
    let object = Context::new(object, drop);
    guard(std::ptr::null_mut(), || {
        // SAFETY: a callback passes on the reply that it was given, and uses it on its own thread.
        let reply = unsafe { reply.as_mut() }.ok_or_else(|| null("reply"))?;
        reply.answer = Some(Answer::Object(object, ttl_from_seconds(ttl)?));
        Ok(())
    })
}

/// Answers with a failure: a status other than `ST_OK`, and a message (UTF-8, copied; NULL with 0 is none), which must
/// not hold a secret.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_reply_error(
    reply: *mut st_reply,
    status: st_status,
    message: *const c_char,
    len: usize,
) -> st_status {
    guard(std::ptr::null_mut(), || {
        // SAFETY: a callback passes on the reply that it was given, and uses it on its own thread.
        let reply = unsafe { reply.as_mut() }.ok_or_else(|| null("reply"))?;
        let status = Status::from_code(status)
            .filter(|status| *status != Status::Ok)
            .ok_or_else(|| Error::invalid_argument(format!("`status` is {status}, which is no failure")))?;
        let message = match message.is_null() && len == 0 {
            true => format!("it answered {}", status_name(status)),
            // SAFETY: the caller gives `len` readable bytes, or a NUL-terminated text with `ST_NUL`.
            false => unsafe { text("message", message, len) }?.to_owned(),
        };
        reply.answer = Some(Answer::Failure(status, message));
        Ok(())
    })
}

/// A callback's context, released once when this is dropped.
pub(super) struct Context {
    pointer: *mut c_void,
    drop: st_drop_fn,
}

// SAFETY: the header tells callers that callbacks and their drop functions are called from any thread.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    pub(super) fn new(pointer: *mut c_void, drop: st_drop_fn) -> Context {
        Context { pointer, drop }
    }

    pub(super) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: the caller gave this function for this context, and it is called only here, once.
            unsafe { drop(self.pointer) };
        }
    }
}

/// Asks a callback for a key and puts its answer into the terms of the chain.
pub(super) fn ask(load: st_load_fn, context: &Context, key: &str, timeout: Duration) -> Result<Option<Found>> {
    match call(load, context.pointer(), key.as_bytes(), timeout)? {
        Some(Answer::Value(value, _)) => Ok(Some(Found { value, version: None })),
        Some(_) => Err(Error::new(Status::Callback, "its callback answered with an object, which is no secret")),
        None => Ok(None),
    }
}

/// Asks a callback for a key and puts its answer into the terms of a cache.
pub(super) fn load(load: st_load_fn, context: *mut c_void, key: &[u8], timeout: Duration) -> Result<Loaded<Value>> {
    let (value, ttl) = match call(load, context, key, timeout)? {
        Some(Answer::Value(bytes, ttl)) => (Value::copy_from(&bytes)?, ttl),
        Some(Answer::Object(object, ttl)) => (Value::Object(Object::new(object)), ttl),
        _ => return Err(Error::new(Status::NotFound, "the load found no value")),
    };
    Ok(Loaded { value, ttl, soft: None })
}

/// Calls it; what it answers is no failure, or nothing at all.
fn call(load: st_load_fn, context: *mut c_void, key: &[u8], timeout: Duration) -> Result<Option<Answer>> {
    let load = load.ok_or_else(|| null("load"))?;
    let mut reply = st_reply { answer: None };
    let text = [key, b"\0"].concat();
    let timeout = if timeout == Duration::MAX { f64::INFINITY } else { timeout.as_secs_f64() };
    // SAFETY: the function goes with this context and may be called from any thread, as the header says; the key ends
    // with a NUL and outlives the call, as does the reply.
    let returned = unsafe { load(context, text.as_ptr().cast(), key.len(), timeout, &mut reply) };
    match (returned, reply.answer) {
        (ST_OK, None) => Err(Error::new(Status::Callback, "its callback returned ST_OK without a value")),
        (_, Some(Answer::Failure(status, message))) => Err(failure(status, message)),
        (ST_OK, answer) => Ok(answer),
        (ST_NOT_FOUND, _) => Ok(None),
        (returned, _) => Err(match Status::from_code(returned) {
            Some(status) => failure(status, format!("its callback returned {}", status_name(status))),
            None => Error::new(Status::Callback, format!("its callback returned {returned}, which is no status")),
        }),
    }
}

fn failure(status: Status, message: String) -> Error {
    let retryable = matches!(status, Status::Unavailable | Status::Timeout | Status::Busy);
    // "Not found" is an answer, not a failure; given as one, it must not pass for the chain's own.
    let status = if status == Status::NotFound { Status::Callback } else { status };
    Error::new(status, message).with_retryable(retryable)
}
