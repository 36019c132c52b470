//! The library itself: versions, names of statuses, logging.

use std::ffi::{c_char, c_void};

use super::callback::CallbackContext;
use super::{guard, st_drop_fn, st_error, st_status};
use crate::error::{Error, Result, Status};
use crate::log::{self, Field, FieldValue, Level};

/// Log level: nothing is logged.
pub const ST_LOG_OFF: i32 = 0;
/// Log level: an operation failed.
pub const ST_LOG_ERROR: i32 = 1;
/// Log level: something is wrong but was worked around: a provider was skipped, a file is readable by other users.
pub const ST_LOG_WARN: i32 = 2;
/// Log level: something changed that later calls see: a file was read again.
pub const ST_LOG_INFO: i32 = 3;
/// Log level: which provider a value came from.
pub const ST_LOG_DEBUG: i32 = 4;
/// Log level: everything else.
pub const ST_LOG_TRACE: i32 = 5;

/// Receives a log message: its `level` (`ST_LOG_…`), the part of the library that logs it (`target`, NUL-terminated),
/// and its text (`message`, `len` bytes of UTF-8, followed by a NUL). Both texts are valid until the function returns.
/// They never contain a secret value, an encryption key, or a token.
///
/// The function is called on the thread whose call is being logged, and so on several threads at once, with no lock of
/// the library held. It may call the library; messages that the library would log meanwhile are dropped. It must not
/// throw.
pub type st_log_fn = Option<
    unsafe extern "C-unwind" fn(
        context: *mut c_void,
        level: i32,
        target: *const c_char,
        message: *const c_char,
        len: usize,
    ),
>;

/// Returns the version of the library at run time, such as "0.1.0". The text is static and never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn st_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Returns the version of the library at run time as a number: `major * 1000000 + minor * 1000 + patch`.
/// `ST_VERSION_NUMBER` is that of this header.
#[unsafe(no_mangle)]
pub extern "C" fn st_version_number() -> u32 {
    let part = |text: &str| text.parse().unwrap_or(0);
    part(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + part(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
        + part(env!("CARGO_PKG_VERSION_PATCH"))
}

/// Returns the version of the binary interface, which is the number in the soname of the library. `ST_ABI_VERSION` is
/// that of this header; if the two differ, the program must be recompiled. New functions alone do not change it.
#[unsafe(no_mangle)]
pub extern "C" fn st_abi_version() -> u32 {
    0
}

/// Returns the name of a status, such as "ST_NOT_FOUND"; "ST_UNKNOWN" for a number that this version does not define.
/// The text is static and never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn st_status_name(status: st_status) -> *const c_char {
    Status::from_code(status).map_or(c"ST_UNKNOWN".as_ptr(), Status::c_name)
}

/// Sets the log function of the process: from now on `log` receives the messages up to `max_level` (`ST_LOG_…`). It
/// replaces the function that was set before. NULL as `log`, or `ST_LOG_OFF`, stops logging.
///
/// The library takes ownership of `context`, even if the call fails. It calls `drop` (may be NULL) with it exactly
/// once: when the function has been replaced and no call of it is under way.
///
/// `ST_INVALID_ARGUMENT`: `max_level` is not a log level.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_log_set(
    max_level: i32,
    log: st_log_fn,
    drop: st_drop_fn,
    context: *mut c_void,
    error: *mut st_error,
) -> st_status {
    let context = CallbackContext::new(context, drop);
    guard(error, || {
        let (Some(level), Some(log)) = (level_of(max_level)?, log) else {
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

fn level_of(max_level: i32) -> Result<Option<Level>> {
    Ok(match max_level {
        ST_LOG_OFF => None,
        ST_LOG_ERROR => Some(Level::Error),
        ST_LOG_WARN => Some(Level::Warn),
        ST_LOG_INFO => Some(Level::Info),
        ST_LOG_DEBUG => Some(Level::Debug),
        ST_LOG_TRACE => Some(Level::Trace),
        _ => return Err(Error::invalid_argument(format!("`max_level` is {max_level}; log levels are 0 to 5"))),
    })
}

/// Kind of a field: a text.
pub const ST_FIELD_TEXT: i32 = 1;
/// Kind of a field: an integer, such as an HTTP status.
pub const ST_FIELD_INTEGER: i32 = 2;
/// Kind of a field: a number, such as a time in seconds.
pub const ST_FIELD_NUMBER: i32 = 3;

/// A part of a log message that a program may search for. Its value is in the member of its kind. This struct will not
/// grow.
#[repr(C)]
pub struct st_log_field {
    /// The name, which ends with a NUL: `provider`, `key`, `place` (the document), `path`, `url`, `method`, `status`
    /// (of HTTP), `error` (such as `ST_TIMEOUT`), `detail` (of an error), `attempt`, `delay`, `duration`, `age`
    /// (seconds), `keys` (a number), `version`. Later versions may add names.
    pub name: *const c_char,
    /// `ST_FIELD_…`. Skip a field whose kind the program does not know.
    pub kind: i32,
    /// The text of `ST_FIELD_TEXT`: `len` bytes of UTF-8, followed by a NUL. Otherwise NULL.
    pub text: *const c_char,
    /// The length of `text`.
    pub len: usize,
    /// The value of `ST_FIELD_INTEGER`, otherwise 0.
    pub integer: i64,
    /// The value of `ST_FIELD_NUMBER`, otherwise 0.
    pub number: f64,
}

/// As `st_log_fn`, with the parts of the message that a program may search for: `count` fields, each name at most once.
/// They are valid until the function returns. No field has a value of a secret, an encryption key, or a token.
pub type st_log_fields_fn = Option<
    unsafe extern "C-unwind" fn(
        context: *mut c_void,
        level: i32,
        target: *const c_char,
        message: *const c_char,
        len: usize,
        fields: *const st_log_field,
        count: usize,
    ),
>;

/// As `st_log_set`, for a function that receives the fields of each message too. The process has one log function: this
/// one replaces that of `st_log_set`, and vice versa.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_log_set_fields(
    max_level: i32,
    log: st_log_fields_fn,
    drop: st_drop_fn,
    context: *mut c_void,
    error: *mut st_error,
) -> st_status {
    let context = CallbackContext::new(context, drop);
    guard(error, || {
        let (Some(level), Some(log)) = (level_of(max_level)?, log) else {
            log::clear();
            return Ok(());
        };
        log::set_with_fields(level, move |record| {
            let (target, len) = (format!("{}\0", record.target), record.message.len());
            let message = format!("{}\0", record.message);
            // Names and texts, each ending with a NUL.
            let texts: Vec<(String, String)> = record.fields.iter().map(texts_of).collect();
            let fields: Vec<st_log_field> = record.fields.iter().zip(&texts).map(native_field).collect();
            let (target, message) = (target.as_ptr().cast(), message.as_ptr().cast());
            // SAFETY: the caller of `st_log_set_fields` gave a function of this type that goes with this context and
            // may be called from any thread; all texts and fields outlive the call, and the texts end with a NUL.
            unsafe {
                log(context.pointer(), record.level as i32, target, message, len, fields.as_ptr(), fields.len());
            }
        });
        Ok(())
    })
}

fn texts_of(field: &Field) -> (String, String) {
    let text = match &field.value {
        FieldValue::Text(text) => format!("{text}\0"),
        _ => String::new(),
    };
    (format!("{}\0", field.name), text)
}

fn native_field((field, (name, text)): (&Field, &(String, String))) -> st_log_field {
    let empty =
        st_log_field { name: name.as_ptr().cast(), kind: 0, text: std::ptr::null(), len: 0, integer: 0, number: 0.0 };
    match field.value {
        FieldValue::Text(_) => {
            st_log_field { kind: ST_FIELD_TEXT, text: text.as_ptr().cast(), len: text.len() - 1, ..empty }
        }
        FieldValue::Integer(integer) => st_log_field { kind: ST_FIELD_INTEGER, integer, ..empty },
        FieldValue::Number(number) => st_log_field { kind: ST_FIELD_NUMBER, number, ..empty },
    }
}
