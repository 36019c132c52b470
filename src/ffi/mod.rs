//! The C ABI, and nothing else: each function checks its arguments, calls one function of the core and hands back what
//! that returned. The header `st_secrets.h` is generated from this directory and is the reference for C.
//!
//! `guard` runs every function: it catches panics, keeps them silent, and turns the result into a status and an
//! `st_error`. The helpers here are the only way in for arguments and the only way out for results, so that the rules
//! (outputs are zero on failure, lengths are checked, text is UTF-8) hold everywhere.

// Names are C's. What callers have to keep to is said once for all functions, at the top of the header, and the number
// of arguments is what C needs.
#![allow(non_camel_case_types, clippy::missing_safety_doc, clippy::too_many_arguments)]

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Once;

use crate::error::{Error, Result, Status};

mod bytes;
mod cache;
mod cache_load;
mod callback;
mod config;
mod encryption;
mod library;
mod secrets;
mod secrets_admin;
mod sized;
mod status;
mod store;
mod store_audit;
mod store_credential;
mod store_hardware;
#[cfg(feature = "test-panic")]
mod test_panic;

pub use bytes::{st_bytes, st_bytes_clone, st_bytes_free};
pub use cache::*;
pub use cache_load::*;
pub use callback::{st_drop_fn, st_load_fn, st_reply, st_reply_bytes, st_reply_error, st_reply_object};
pub use config::{st_config, st_config_free, st_config_new, st_config_parse, st_config_set};
pub use encryption::*;
pub use library::*;
pub use secrets::*;
pub use secrets_admin::*;
pub use status::*;
pub use store::*;
pub use store_audit::*;
pub use store_credential::*;
pub use store_hardware::*;
#[cfg(feature = "test-panic")]
pub use test_panic::st_test_panic;

/// `ST_NUL` of the header: "this text ends with a NUL".
pub const NUL_TERMINATED: usize = usize::MAX;

/// Whether this is the C library, which no other Rust code shares its runtime with: all panics there are its own. A Rust
/// program has panics of its own, so there it is counted how deep each thread is inside the library.
const ALONE: bool = cfg!(feature = "wiping-allocator");

thread_local! {
    static GUARDED: Cell<u32> = const { Cell::new(0) };
}

/// Runs the body of an exported function. No panic leaves it, and none prints: its message could hold a secret.
pub(crate) fn guard(error: *mut st_error, body: impl FnOnce() -> Result<()>) -> st_status {
    match run_silently(body) {
        Ok(()) => guard_ended(error, ST_OK),
        Err(failure) => {
            // SAFETY: callers of the C ABI pass NULL or an `st_error` set up with `ST_ERROR_INIT`.
            unsafe { status::report_failure(error, &failure) };
            failure.status() as st_status
        }
    }
}

/// The same for a look-up in a cache: `false` is a miss, for which no message is made.
#[inline]
pub(crate) fn guard_look_up(error: *mut st_error, body: impl FnOnce() -> Result<bool>) -> st_status {
    match run_silently(body) {
        Ok(true) => guard_ended(error, ST_OK),
        Ok(false) => guard_ended(error, ST_NOT_FOUND),
        Err(failure) => {
            // SAFETY: as in `guard`.
            unsafe { status::report_failure(error, &failure) };
            failure.status() as st_status
        }
    }
}

#[inline]
fn guard_ended(error: *mut st_error, status: st_status) -> st_status {
    // SAFETY: as in `guard`.
    unsafe { status::report_status(error, status) };
    status
}

/// The same for functions that return nothing.
pub(crate) fn guard_quietly(body: impl FnOnce()) {
    let _: Result<()> = run_silently(|| {
        body();
        Ok(())
    });
}

#[inline]
fn run_silently<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    static HOOK: Once = Once::new();
    if !HOOK.is_completed() {
        install_hook(&HOOK);
    }
    if !ALONE {
        GUARDED.set(GUARDED.get() + 1);
    }
    let result = catch_unwind(AssertUnwindSafe(body));
    if !ALONE {
        GUARDED.set(GUARDED.get() - 1);
    }
    result.unwrap_or_else(|panic| {
        // Dropping what it panicked with might panic again.
        std::mem::forget(panic);
        Err(Error::new(Status::Panic, "a bug in st_secrets: it panicked; the call had no result"))
    })
}

#[cold]
fn install_hook(hook: &Once) {
    // Nobody else may fork while the hook is being set: the child would wait for it for ever.
    let _guard = crate::fork::protect();
    hook.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !ALONE && GUARDED.get() == 0 {
                before(panic);
            }
        }));
    });
}

/// A place for a result. It is zero from the start, and so stays zero when the call fails.
pub(crate) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// # Safety
    /// `place` is NULL or leads to memory for a `T`, whose all-zero form is valid, that nobody else uses during the
    /// call.
    pub(crate) unsafe fn new(place: *mut T, name: &str) -> Result<Out<T>> {
        // SAFETY: passed on.
        unsafe { Out::optional(place) }.ok_or_else(|| null(name))
    }

    /// # Safety
    /// As for [`Out::new`].
    pub(crate) unsafe fn optional(place: *mut T) -> Option<Out<T>> {
        let place = NonNull::new(place)?;
        // SAFETY: by the caller's promise there is room for a `T`, and zeros are a valid one.
        unsafe { place.write_bytes(0, 1) };
        Some(Out(place))
    }

    pub(crate) fn set(&self, value: T) {
        // SAFETY: the place was valid when this was made, and stays so during the call.
        unsafe { self.0.write(value) };
    }
}

/// The bytes of an input.
///
/// # Safety
/// `data` leads to `len` readable bytes, or to a NUL-terminated text where `len` is `ST_NUL`; or it is NULL. They stay
/// unchanged during the call.
#[inline(always)]
pub(crate) unsafe fn input<'a>(name: &str, data: *const c_void, len: usize) -> Result<&'a [u8]> {
    if data.is_null() || isize::try_from(len).is_err() {
        // SAFETY: passed on.
        return unsafe { unusual_input(name, data, len) };
    }
    // SAFETY: `data` is not NULL, `len` fits, and the caller promises that many readable bytes.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// An input that is NULL, ends with a NUL, or is too long.
///
/// # Safety
/// As for [`input`].
#[cold]
unsafe fn unusual_input<'a>(name: &str, data: *const c_void, len: usize) -> Result<&'a [u8]> {
    match (data.is_null(), len) {
        (true, 0) => Ok(&[]),
        (true, _) => Err(null(name)),
        // SAFETY: the caller promises a NUL at the end.
        (false, NUL_TERMINATED) => Ok(unsafe { CStr::from_ptr(data.cast()) }.to_bytes()),
        (false, _) => Err(too_long(name, len)),
    }
}

/// The text of an input that must not be NULL.
///
/// # Safety
/// As for [`input`].
pub(crate) unsafe fn text<'a>(name: &str, data: *const c_char, len: usize) -> Result<&'a str> {
    if data.is_null() {
        return Err(null(name));
    }
    // SAFETY: passed on.
    let bytes = unsafe { input(name, data.cast(), len) }?;
    std::str::from_utf8(bytes).map_err(|_| Error::invalid_argument(format!("`{name}` is not UTF-8")))
}

#[cold]
fn too_long(name: &str, len: usize) -> Error {
    Error::invalid_argument(format!("the length of `{name}` is {len}, more than there is memory"))
}

#[cold]
pub(crate) fn null(name: &str) -> Error {
    Error::invalid_argument(format!("`{name}` is NULL"))
}
