//! The C ABI. Each function checks its arguments, calls one function of the core, and returns its result. The header
//! `st_secrets.h` is generated from this directory and is the reference for C.
//!
//! Every exported function runs its body in a guard, which catches panics, keeps them silent, and converts the result
//! to a status and an `st_error`. All arguments and results pass through the helpers of this module, so that the rules
//! of the header hold everywhere: outputs are zero on failure, lengths are checked, text is UTF-8.

// Names are those of C. The header states the obligations of callers once, for all functions. C needs the number of
// arguments.
#![allow(non_camel_case_types, clippy::missing_safety_doc, clippy::too_many_arguments)]

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Once;

use crate::error::{Error, Result, Status};

mod bytes;
mod cache;
mod cache_builtin;
mod cache_function_key;
mod cache_load;
mod callback;
mod config;
mod encryption;
mod library;
mod redact;
mod secrets;
mod secrets_admin;
mod secrets_changes;
mod sized;
mod status;
mod store;
mod store_audit;
mod store_backup;
mod store_credential;
mod store_hardware;
#[cfg(feature = "test-panic")]
mod test_panic;

pub use bytes::{st_bytes, st_bytes_clone, st_bytes_free};
pub use cache::*;
pub use cache_builtin::*;
pub use cache_function_key::*;
pub use cache_load::*;
pub use callback::{st_drop_fn, st_load_fn, st_reply, st_reply_bytes, st_reply_error, st_reply_object};
pub use config::{st_config, st_config_free, st_config_new, st_config_parse, st_config_set};
pub use encryption::*;
pub use library::*;
pub use redact::*;
pub use secrets::*;
pub use secrets_admin::*;
pub use secrets_changes::*;
pub use status::*;
pub use store::*;
pub use store_audit::*;
pub use store_backup::*;
pub use store_credential::*;
pub use store_hardware::*;
#[cfg(feature = "test-panic")]
pub use test_panic::st_test_panic;

/// `ST_NUL` of the header: the input ends with a NUL.
pub const NUL_TERMINATED: usize = usize::MAX;

/// Whether this is the C library, whose Rust runtime no other code shares: all panics there are its own. In a Rust
/// program, which has other panics, the depth of each thread's calls into the library is counted.
const ALONE: bool = cfg!(feature = "wiping-allocator");

thread_local! {
    static GUARDED: Cell<u32> = const { Cell::new(0) };
}

/// Runs the body of an exported function. No panic leaves it, and none is printed: its message could contain a secret.
pub(crate) fn guard(error: *mut st_error, body: impl FnOnce() -> Result<()>) -> st_status {
    match run_silently(body) {
        Ok(()) => guard_ended(error, ST_OK),
        Err(failure) => {
            // SAFETY: callers of the C ABI pass NULL or an `st_error` initialized with `ST_ERROR_INIT`.
            unsafe { status::report_failure(error, &failure) };
            failure.status() as st_status
        }
    }
}

/// As [`guard`], for a lookup in a cache: `false` is a miss, which has no message. The call that returned the cache has
/// silenced panics.
#[inline(always)]
pub(crate) fn guard_look_up(error: *mut st_error, body: impl FnOnce() -> Result<bool>) -> st_status {
    match catch(body) {
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

/// As [`guard`], for functions without an `st_error`.
pub(crate) fn guard_quietly(body: impl FnOnce()) {
    let _: Result<()> = run_silently(|| {
        body();
        Ok(())
    });
}

/// As [`guard`], for a function with one result, which is written to `place`.
///
/// # Safety
/// As for [`Out::new`].
#[inline]
pub(crate) unsafe fn guard_out<T, V: Into<T>>(
    place: *mut T,
    name: &str,
    error: *mut st_error,
    body: impl FnOnce() -> Result<V>,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(place, name) }?;
        out.set(body()?.into());
        Ok(())
    })
}

/// As [`guard_out`], for a result that the caller may not need: then `place` is NULL.
///
/// # Safety
/// As for [`Out::new`].
pub(crate) unsafe fn guard_optional_out<T>(
    place: *mut T,
    error: *mut st_error,
    body: impl FnOnce() -> Result<T>,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::optional(place) };
        let value = body()?;
        if let Some(out) = out {
            out.set(value);
        }
        Ok(())
    })
}

/// As [`guard_out`], for a function that opens something.
///
/// # Safety
/// As for [`Out::new`].
pub(crate) unsafe fn guard_handle<T>(
    out: *mut *mut T,
    error: *mut st_error,
    open: impl FnOnce() -> Result<T>,
) -> st_status {
    // SAFETY: the caller's promise.
    unsafe { guard_out(out, "out", error, || into_handle(open()?)) }
}

/// Frees a handle. NULL does nothing.
///
/// # Safety
/// `handle` is NULL or was made by [`into_handle`], and nothing else uses it.
pub(crate) unsafe fn free_handle<T>(handle: *mut T) {
    guard_quietly(|| {
        if !handle.is_null() {
            // SAFETY: the caller's promise.
            drop(unsafe { Box::from_raw(handle) });
        }
    });
}

#[inline]
fn run_silently<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    static HOOK: Once = Once::new();
    if !HOOK.is_completed() {
        install_hook(&HOOK);
    }
    catch(body)
}

#[inline(always)]
fn catch<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    if !ALONE {
        GUARDED.set(GUARDED.get() + 1);
    }
    let result = catch_unwind(AssertUnwindSafe(body));
    if !ALONE {
        GUARDED.set(GUARDED.get() - 1);
    }
    match result {
        Ok(result) => result,
        Err(panic) => Err(panicked(panic)),
    }
}

/// In a function of its own, as a cold call would change the code before it, which is that of a cache hit.
#[inline(never)]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Error {
    // Dropping the payload might panic again.
    std::mem::forget(panic);
    Error::new(Status::Panic, "a bug in st_secrets: it panicked; the call has no result")
}

#[cold]
fn install_hook(hook: &Once) {
    // No other thread may fork while the hook is being set: the child would wait for it forever.
    let _guard = crate::fork::protect();
    hook.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !ALONE && GUARDED.get() == 0 {
                previous(panic);
            }
        }));
    });
}

/// Moves a value to the heap, as a handle for the caller.
pub(crate) fn into_handle<T>(value: T) -> Result<*mut T> {
    let mut handle = Vec::new();
    handle.try_reserve_exact(1).map_err(|_| Error::new(Status::NoMemory, "out of memory"))?;
    handle.push(value);
    Ok(Box::into_raw(handle.into_boxed_slice()).cast())
}

/// An output argument. It is zeroed first, and so is zero if the call fails.
pub(crate) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// # Safety
    /// `place` is NULL or points to memory for a `T` that nothing else uses during the call. All zeros are a valid `T`.
    pub(crate) unsafe fn new(place: *mut T, name: &str) -> Result<Out<T>> {
        // SAFETY: the caller's promise.
        unsafe { Out::optional(place) }.ok_or_else(|| null(name))
    }

    /// # Safety
    /// As for [`Out::new`].
    pub(crate) unsafe fn optional(place: *mut T) -> Option<Out<T>> {
        let place = NonNull::new(place)?;
        // SAFETY: by the caller's promise this is memory for a `T`, and zeros are a valid one.
        unsafe { place.write_bytes(0, 1) };
        Some(Out(place))
    }

    pub(crate) fn set(&self, value: T) {
        // SAFETY: the place is valid during the call.
        unsafe { self.0.write(value) };
    }
}

/// Returns the bytes of an input.
///
/// # Safety
/// `data` is NULL, points to `len` readable bytes or, if `len` is `ST_NUL`, to a NUL-terminated text. They do not
/// change during the call.
#[inline(always)]
pub(crate) unsafe fn input<'a>(name: &str, data: *const c_void, len: usize) -> Result<&'a [u8]> {
    if data.is_null() || isize::try_from(len).is_err() {
        // SAFETY: the caller's promise.
        return unsafe { unusual_input(name, data, len) };
    }
    // SAFETY: `data` is not NULL, `len` fits, and the caller promises that many readable bytes.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// Returns the bytes of an input that is NULL, ends with a NUL, or is too long.
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

/// Returns the text of an input, which must not be NULL.
///
/// # Safety
/// As for [`input`].
pub(crate) unsafe fn text<'a>(name: &str, data: *const c_char, len: usize) -> Result<&'a str> {
    if data.is_null() {
        return Err(null(name));
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { input(name, data.cast(), len) }?;
    std::str::from_utf8(bytes).map_err(|_| Error::invalid_argument(format!("`{name}` is not UTF-8")))
}

#[cold]
fn too_long(name: &str, len: usize) -> Error {
    Error::invalid_argument(format!("the length of `{name}` is {len}, more than the address space"))
}

/// Returns an error if `flags` has other bits than `known`.
pub(crate) fn check_flags(flags: u32, known: u32) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        unknown => Err(Error::invalid_argument(format!("unknown bits in `flags`: {unknown:#x}"))),
    }
}

#[cold]
pub(crate) fn null(name: &str) -> Error {
    Error::invalid_argument(format!("`{name}` is NULL"))
}
