//! The library itself: versions, names of statuses, the log.

use std::ffi::{c_char, c_void};

use super::callback::Context;
use super::{guard, st_drop_fn, st_error, st_status};
use crate::error::{Error, Status};
use crate::log::{self, Level};

/// Nothing is logged.
pub const ST_LOG_OFF: i32 = 0;
/// Something that was asked for could not be done.
pub const ST_LOG_ERROR: i32 = 1;
/// Something works, but not as it should: a provider was skipped, a file is readable by others.
pub const ST_LOG_WARN: i32 = 2;
/// Something changed that later calls see: a file was read again.
pub const ST_LOG_INFO: i32 = 3;
/// Where a value was looked for.
pub const ST_LOG_DEBUG: i32 = 4;
/// Everything else.
pub const ST_LOG_TRACE: i32 = 5;

/// Receives one log message: its level, the part of the library it comes from (NUL-terminated) and its text, `len`
/// bytes of UTF-8 with a NUL behind them. Both texts end with the call. The text never holds a value, key or token.
///
/// It is called on the thread that made the call being logged, from several threads at once if several make calls, with
/// no lock of the library held. It may call the library; what the library would log meanwhile is dropped. It must
/// not throw.
pub type st_log_fn = Option<
    unsafe extern "C-unwind" fn(
        context: *mut c_void,
        level: i32,
        target: *const c_char,
        message: *const c_char,
        len: usize,
    ),
>;

/// The version of the library that runs, as text: "0.1.0". Static, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn st_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The version of the library that runs, as a number: `major * 1000000 + minor * 1000 + patch`. Compare it with
/// `ST_VERSION_NUMBER`, the version of the header.
#[unsafe(no_mangle)]
pub extern "C" fn st_version_number() -> u32 {
    let part = |text: &str| text.parse().unwrap_or(0);
    part(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + part(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
        + part(env!("CARGO_PKG_VERSION_PATCH"))
}

/// The version of the binary interface, the number in the library's soname. It goes up when a program has to be
/// compiled again; new functions alone do not raise it. Compare it with `ST_ABI_VERSION`.
#[unsafe(no_mangle)]
pub extern "C" fn st_abi_version() -> u32 {
    0
}

/// The name of a status: "ST_NOT_FOUND"; "ST_UNKNOWN" for a number that this version does not know. Static, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn st_status_name(status: st_status) -> *const c_char {
    let name = match Status::from_code(status) {
        Some(Status::Ok) => c"ST_OK",
        Some(Status::NotFound) => c"ST_NOT_FOUND",
        Some(Status::InvalidArgument) => c"ST_INVALID_ARGUMENT",
        Some(Status::Config) => c"ST_CONFIG",
        Some(Status::Io) => c"ST_IO",
        Some(Status::AccessDenied) => c"ST_ACCESS_DENIED",
        Some(Status::Unavailable) => c"ST_UNAVAILABLE",
        Some(Status::Timeout) => c"ST_TIMEOUT",
        Some(Status::Protocol) => c"ST_PROTOCOL",
        Some(Status::BadToken) => c"ST_BAD_TOKEN",
        Some(Status::BadKey) => c"ST_BAD_KEY",
        Some(Status::BufferTooSmall) => c"ST_BUFFER_TOO_SMALL",
        Some(Status::Callback) => c"ST_CALLBACK",
        Some(Status::Corrupt) => c"ST_CORRUPT",
        Some(Status::Busy) => c"ST_BUSY",
        Some(Status::WrongType) => c"ST_WRONG_TYPE",
        Some(Status::ReadOnly) => c"ST_READ_ONLY",
        Some(Status::NoMemory) => c"ST_NO_MEMORY",
        Some(Status::Abandoned) => c"ST_ABANDONED",
        Some(Status::Panic) => c"ST_PANIC",
        None => c"ST_UNKNOWN",
    };
    name.as_ptr()
}

/// Sends log messages up to `max_level` (`ST_LOG_…`) to `log` from now on, for the whole process. NULL as `log` stops
/// logging.
///
/// `drop`, if not NULL, is called once with `context` when the library is done with it: after another call of this
/// function has replaced it and no message is on its way, or before this one returns with an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_log_set(
    max_level: i32,
    log: st_log_fn,
    drop: st_drop_fn,
    context: *mut c_void,
    error: *mut st_error,
) -> st_status {
    let context = Context::new(context, drop);
    guard(error, || {
        let level = match max_level {
            ST_LOG_OFF => None,
            ST_LOG_ERROR => Some(Level::Error),
            ST_LOG_WARN => Some(Level::Warn),
            ST_LOG_INFO => Some(Level::Info),
            ST_LOG_DEBUG => Some(Level::Debug),
            ST_LOG_TRACE => Some(Level::Trace),
            _ => return Err(Error::invalid_argument(format!("`max_level` is {max_level}; levels go from 0 to 5"))),
        };
        let (Some(level), Some(log)) = (level, log) else {
            log::clear();
            return Ok(());
        };
        log::set(level, move |level, target, message| {
            let (target, len) = (format!("{target}\0"), message.len());
            let message = format!("{message}\0");
            // SAFETY: the caller of `st_log_set` gave a function of this type that goes with this context and may be
            // called from any thread; both texts outlive the call and end with a NUL.
            unsafe { log(context.pointer(), level as i32, target.as_ptr().cast(), message.as_ptr().cast(), len) };
        });
        Ok(())
    })
}
