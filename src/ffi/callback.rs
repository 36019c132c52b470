//! Callbacks: their context and their replies.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::time::Duration;

use super::{ST_NOT_FOUND, ST_OK, guard, input, null, st_status, text};
use crate::cache::{Object, Value, ttl_from_seconds};
use crate::error::{Error, Result, Status};
use crate::secret_memory::SecretBytes;

/// Releases the `context` of a callback. A function with a parameter of this type takes ownership of the context, even
/// if it fails. It calls the `st_drop_fn` exactly once, on any thread, with no lock of the library held. NULL means
/// that nothing has to be released.
pub type st_drop_fn = Option<unsafe extern "C" fn(context: *mut c_void)>;

/// Receives the result of a callback. It is valid until the callback returns, and only on its thread.
pub struct st_reply {
    storage: Storage,
    answer: Option<Answer>,
}

/// The memory in which a value is stored: that for secrets, or that of a cache.
#[derive(Clone, Copy)]
pub(super) enum Storage {
    Secret,
    Cached,
}

enum Answer {
    Value(CallbackValue, Option<Duration>),
    Failure(Status, String),
}

/// The value that a callback returned.
pub(super) enum CallbackValue {
    Secret(SecretBytes),
    Cached(Value),
}

/// Returns the value of `key` within `timeout` seconds (`INFINITY`: no limit). The key has `key_len` bytes, followed by
/// a NUL; it is UTF-8, except for a cache, whose keys are any bytes. Key and reply are valid until the callback
/// returns.
///
/// The callback has three results: a value (it calls `st_reply_bytes` or `st_reply_object` and returns `ST_OK`), no
/// value (it returns `ST_NOT_FOUND`), or a failure (it returns another status, after a call of `st_reply_error` if it
/// has a message). A number that is not a status, or `ST_OK` without a value, is reported as `ST_CALLBACK`.
///
/// It is called on the thread of the caller that needs the value, and so on several threads at once, with no lock of
/// the library held. It may call the library, even with the handle that called it. It must return, and must not throw.
pub type st_load_fn = Option<
    unsafe extern "C-unwind" fn(
        context: *mut c_void,
        key: *const c_char,
        key_len: usize,
        timeout: f64,
        reply: *mut st_reply,
    ) -> st_status,
>;

/// Sets the result of a callback to a value of `len` bytes, which are copied. `ttl` is the time in seconds for which it
/// may be cached; `ST_TTL_DEFAULT` uses that of the configuration. Another call of an `st_reply_…` function replaces
/// the result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_reply_bytes(reply: *mut st_reply, data: *const c_void, len: usize, ttl: f64) -> st_status {
    guard(ptr::null_mut(), || {
        // SAFETY: a callback passes the reply that it received, on its own thread.
        let reply = unsafe { reply.as_mut() }.ok_or_else(|| null("reply"))?;
        // SAFETY: the caller passes `len` readable bytes, or a NUL-terminated text with `ST_NUL`.
        let bytes = unsafe { input("data", data, len) }?;
        let ttl = ttl_from_seconds(ttl)?;
        let value = match reply.storage {
            Storage::Secret => CallbackValue::Secret(SecretBytes::copy_from(bytes)?),
            Storage::Cached => CallbackValue::Cached(Value::copy_from(bytes)?),
        };
        reply.answer = Some(Answer::Value(value, ttl));
        Ok(())
    })
}

/// Sets the result of a callback to an object of the program, with `ttl` as for `st_reply_bytes`. The library takes
/// ownership of the object, even if the call fails: it calls `drop` (may be NULL) with it exactly once, when the last
/// reference to it is freed or when this call fails.
///
/// `ST_WRONG_TYPE`: the callback returns the value of a secret, which is bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_reply_object(
    reply: *mut st_reply,
    object: *mut c_void,
    drop: st_drop_fn,
    ttl: f64,
) -> st_status {
    let object = CallbackContext::new(object, drop);
    guard(ptr::null_mut(), || {
        // SAFETY: a callback passes the reply that it received, on its own thread.
        let reply = unsafe { reply.as_mut() }.ok_or_else(|| null("reply"))?;
        let ttl = ttl_from_seconds(ttl)?;
        if let Storage::Secret = reply.storage {
            return Err(Error::new(Status::WrongType, "the value of a secret is bytes, not an object"));
        }
        reply.answer = Some(Answer::Value(CallbackValue::Cached(Value::Object(Object::new(object))), ttl));
        Ok(())
    })
}

/// Sets the result of a callback to a failure: a status other than `ST_OK` (`ST_NOT_FOUND`: it has no value), and a
/// message of `len` bytes. The message is UTF-8 and is copied; `(NULL, 0)` means that there is none. It must not
/// contain a secret.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_reply_error(
    reply: *mut st_reply,
    status: st_status,
    message: *const c_char,
    len: usize,
) -> st_status {
    guard(ptr::null_mut(), || {
        // SAFETY: a callback passes the reply that it received, on its own thread.
        let reply = unsafe { reply.as_mut() }.ok_or_else(|| null("reply"))?;
        let status = failing(status, "status")?;
        let message = match message.is_null() && len == 0 {
            true => format!("it returned {}", status.name()),
            // SAFETY: the caller passes `len` readable bytes, or a NUL-terminated text with `ST_NUL`.
            false => unsafe { text("message", message, len) }?.to_owned(),
        };
        reply.answer = Some(Answer::Failure(status, message));
        Ok(())
    })
}

/// Converts the status of a failure.
pub(super) fn failing(status: st_status, name: &str) -> Result<Status> {
    Status::from_code(status)
        .filter(|status| *status != Status::Ok)
        .ok_or_else(|| Error::invalid_argument(format!("`{name}` is {status}; it must be the status of a failure")))
}

/// A callback's context, released once when this is dropped.
pub(super) struct CallbackContext {
    pointer: *mut c_void,
    drop: st_drop_fn,
}

// SAFETY: the header says that callbacks and their drop functions are called on any thread.
unsafe impl Send for CallbackContext {}
// SAFETY: as above.
unsafe impl Sync for CallbackContext {}

impl CallbackContext {
    pub(super) fn new(pointer: *mut c_void, drop: st_drop_fn) -> CallbackContext {
        CallbackContext { pointer, drop }
    }

    pub(super) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

/// Returns the pointer that a program stored as an object.
pub(super) fn pointer_of(object: &Object) -> *mut c_void {
    object.downcast_ref::<CallbackContext>().map_or(ptr::null_mut(), CallbackContext::pointer)
}

impl Drop for CallbackContext {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: the caller passed this function for this context, and it is called only here, once.
            unsafe { drop(self.pointer) };
        }
    }
}

/// Calls a callback with a key. Returns its value and the time for which it may be cached, or `None` if it has no
/// value.
pub(super) fn call(
    load: st_load_fn,
    context: *mut c_void,
    key: &[u8],
    timeout: Duration,
    storage: Storage,
) -> Result<Option<(CallbackValue, Option<Duration>)>> {
    let load = load.ok_or_else(|| null("load"))?;
    let mut reply = st_reply { storage, answer: None };
    let text = [key, b"\0"].concat();
    let timeout = if timeout == Duration::MAX { f64::INFINITY } else { timeout.as_secs_f64() };
    // SAFETY: the function belongs to this context and may be called on any thread, as the header says. The key ends
    // with a NUL and outlives the call, as does the reply.
    let returned = unsafe { load(context, text.as_ptr().cast(), key.len(), timeout, &mut reply) };
    match (returned, reply.answer) {
        (ST_OK, Some(Answer::Value(value, ttl))) => Ok(Some((value, ttl))),
        (ST_OK, None) => Err(Error::new(Status::Callback, "its callback returned ST_OK without a value")),
        (_, Some(Answer::Failure(Status::NotFound, _))) | (ST_NOT_FOUND, None | Some(Answer::Value(..))) => Ok(None),
        (_, Some(Answer::Failure(status, message))) => Err(failure(status, message)),
        (returned, _) => Err(match Status::from_code(returned) {
            Some(status) => failure(status, format!("its callback returned {}", status.name())),
            None => Error::new(Status::Callback, format!("its callback returned {returned}, which is not a status")),
        }),
    }
}

fn failure(status: Status, message: String) -> Error {
    let retryable = matches!(status, Status::Unavailable | Status::Timeout | Status::Busy);
    Error::new(status, message).with_retryable(retryable)
}
