//! Callbacks: the context that goes with them, and how they answer.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use super::status::status_name;
use super::{ST_NOT_FOUND, ST_OK, guard, input, null, st_status, text};
use crate::cache::{Object, Value, ttl_from_seconds};
use crate::error::{Error, Result, Status};
use crate::secret_memory::SecretBytes;

/// Releases what a callback was given as `context`. A call that takes an `st_drop_fn` takes the context over, whatever
/// it returns: the function is called exactly once, on any thread, with no lock of the library held. NULL: nothing is
/// to be released.
pub type st_drop_fn = Option<unsafe extern "C" fn(context: *mut c_void)>;

/// Where a callback puts its answer, valid until it returns.
pub struct st_reply {
    keep: Keep,
    answer: Option<Answer>,
}

/// For whom a callback is asked, and so in which memory its answer is kept.
#[derive(Clone, Copy)]
pub(super) enum Keep {
    Secret,
    Cached,
}

enum Answer {
    Value(Kept, Option<Duration>),
    Failure(Status, String),
}

/// The value that a callback answered with.
pub(super) enum Kept {
    Secret(SecretBytes),
    Cached(Value),
}

/// Finds the value of `key`, `key_len` bytes with a NUL behind them (for a cache any bytes, else UTF-8), within `timeout` seconds (`INFINITY`: no limit).
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
        let value = match reply.keep {
            Keep::Secret => Kept::Secret(SecretBytes::copy_from(bytes)?),
            Keep::Cached => Kept::Cached(Value::copy_from(bytes)?),
        };
        reply.answer = Some(Answer::Value(value, ttl));
        Ok(())
    })
}

/// Answers with an object of the program's own, to be kept for `ttl` seconds as for `st_reply_bytes`. It is taken over in
/// any case: `drop` (may be NULL) is called with it once, when nobody holds it any more or when this call fails.
///
/// `ST_WRONG_TYPE`: the value of a secret was asked for, which is bytes.
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
        let ttl = ttl_from_seconds(ttl)?;
        if let Keep::Secret = reply.keep {
            return Err(Error::new(Status::WrongType, "the value of a secret is bytes, not an object"));
        }
        reply.answer = Some(Answer::Value(Kept::Cached(Value::Object(Object::new(object))), ttl));
        Ok(())
    })
}

/// Answers with a failure (`ST_NOT_FOUND`: "I have none"): a status other than `ST_OK`, and a message (UTF-8, copied; NULL with 0 is none), which must
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
        let status = failing(status, "status")?;
        let message = match message.is_null() && len == 0 {
            true => format!("it answered {}", status_name(status)),
            // SAFETY: the caller gives `len` readable bytes, or a NUL-terminated text with `ST_NUL`.
            false => unsafe { text("message", message, len) }?.to_owned(),
        };
        reply.answer = Some(Answer::Failure(status, message));
        Ok(())
    })
}

/// A status that stands for a failure.
pub(super) fn failing(status: st_status, name: &str) -> Result<Status> {
    Status::from_code(status)
        .filter(|status| *status != Status::Ok)
        .ok_or_else(|| Error::invalid_argument(format!("`{name}` is {status}, which is no failure")))
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

/// Asks a callback for a key and puts its answer into the core's terms: a value with the time it may be kept, or "I have
/// none".
pub(super) fn ask(
    load: st_load_fn,
    context: *mut c_void,
    key: &[u8],
    timeout: Duration,
    keep: Keep,
) -> Result<Option<(Kept, Option<Duration>)>> {
    let load = load.ok_or_else(|| null("load"))?;
    let mut reply = st_reply { keep, answer: None };
    let text = [key, b"\0"].concat();
    let timeout = if timeout == Duration::MAX { f64::INFINITY } else { timeout.as_secs_f64() };
    // SAFETY: the function goes with this context and may be called from any thread, as the header says; the key ends
    // with a NUL and outlives the call, as does the reply.
    let returned = unsafe { load(context, text.as_ptr().cast(), key.len(), timeout, &mut reply) };
    match (returned, reply.answer) {
        (ST_OK, Some(Answer::Value(value, ttl))) => Ok(Some((value, ttl))),
        (ST_OK, None) => Err(Error::new(Status::Callback, "its callback returned ST_OK without a value")),
        (_, Some(Answer::Failure(Status::NotFound, _))) | (ST_NOT_FOUND, None | Some(Answer::Value(..))) => Ok(None),
        (_, Some(Answer::Failure(status, message))) => Err(failure(status, message)),
        (returned, _) => Err(match Status::from_code(returned) {
            Some(status) => failure(status, format!("its callback returned {}", status_name(status))),
            None => Error::new(Status::Callback, format!("its callback returned {returned}, which is no status")),
        }),
    }
}

fn failure(status: Status, message: String) -> Error {
    let retryable = matches!(status, Status::Unavailable | Status::Timeout | Status::Busy);
    Error::new(status, message).with_retryable(retryable)
}
