//! Statuses and errors.

use std::ffi::{CStr, c_char};
use std::mem::offset_of;
use std::ptr;

use super::st_status_name;
use crate::error::{Error, Status};

/// The result of a call: `ST_OK`, or one of the negative numbers below. A number is never given another meaning, and
/// a later version may return numbers that this header does not list.
pub type st_status = i32;

/// Success.
pub const ST_OK: st_status = 0;
/// Every configured provider was asked, and each answered that it has no such value. A provider that could not be asked never
/// leads to this status. What to do: provide the value in a provider that the message names.
pub const ST_NOT_FOUND: st_status = -1;
/// An argument is NULL, too long, not UTF-8 or out of range. What to do: mend the calling program.
pub const ST_INVALID_ARGUMENT: st_status = -2;
/// A setting is unknown, missing or of the wrong type. What to do: mend the setting that the message names.
pub const ST_CONFIG: st_status = -3;
/// The operating system refused a file operation; `detail` is `errno`.
pub const ST_IO: st_status = -4;
/// Permissions or a policy forbid it; `detail` is `errno` where the system refused.
pub const ST_ACCESS_DENIED: st_status = -5;
/// Something that is needed does not answer now. What to do: try again later.
pub const ST_UNAVAILABLE: st_status = -6;
/// The deadline passed. What to do: try again, or allow more time.
pub const ST_TIMEOUT: st_status = -7;
/// A document or an answer is not in the form that it must have. What to do: mend it at the line that is named.
pub const ST_PROTOCOL: st_status = -8;
/// An encrypted token is damaged, or was made with another key. What to do: bring back the key that it was made with.
pub const ST_BAD_TOKEN: st_status = -9;
/// An encryption key is missing, empty or unreadable. What to do: mend the file or variable that the message names.
pub const ST_BAD_KEY: st_status = -10;
/// The caller's buffer is too small; the size that is needed was written to `*len`.
pub const ST_BUFFER_TOO_SMALL: st_status = -11;
/// A callback broke its contract, for example by answering `ST_OK` without a value.
pub const ST_CALLBACK: st_status = -12;
/// A database or a hash chain is damaged.
pub const ST_CORRUPT: st_status = -13;
/// Somebody else holds what is needed. What to do: try again.
pub const ST_BUSY: st_status = -14;
/// The value is there, but it is of another type.
pub const ST_WRONG_TYPE: st_status = -15;
/// The place cannot be written to.
pub const ST_READ_ONLY: st_status = -16;
/// Memory could not be had.
pub const ST_NO_MEMORY: st_status = -17;
/// The load that was waited for was given up by its owner.
pub const ST_ABANDONED: st_status = -18;
/// A bug: the library panicked. The call had no result; the library stays usable.
pub const ST_PANIC: st_status = -99;

/// No provider: the call itself, its arguments, or the configuration.
pub const ST_SOURCE_NONE: i32 = 0;
/// Environment variables.
pub const ST_SOURCE_ENV: i32 = 1;
/// The secrets file or directory.
pub const ST_SOURCE_FILE: i32 = 2;
/// AWS Secrets Manager.
pub const ST_SOURCE_AWS: i32 = 3;
/// HashiCorp Vault or OpenBao.
pub const ST_SOURCE_VAULT: i32 = 4;
/// A provider added with `st_secrets_add_provider`.
pub const ST_SOURCE_CUSTOM: i32 = 5;
/// The databases of the store.
pub const ST_SOURCE_STORE: i32 = 6;
/// The keys that credentials are encrypted with.
pub const ST_SOURCE_CREDENTIAL: i32 = 7;

/// In `st_error.flags`: the same call may succeed later without anybody changing anything.
pub const ST_ERROR_RETRYABLE: u32 = 1;

/// What went wrong. The caller allocates it, sets it up with `ST_ERROR_INIT` and passes it as the last argument; NULL
/// is fine for callers that need only the status. One `st_error` may serve any number of calls, one at a time.
///
/// A failing call writes all fields that lie within `size`; a successful one writes `status` and `message[0]` only.
#[repr(C)]
pub struct st_error {
    /// The size of this struct in the caller's version of the header: `sizeof(st_error)`.
    pub size: u32,
    /// The status that the call returned.
    pub status: st_status,
    /// The provider that failed, one of `ST_SOURCE_…`.
    pub source: i32,
    /// The HTTP status or `errno`; 0 if there is none.
    pub detail: i32,
    /// A combination of `ST_ERROR_…` bits.
    pub flags: u32,
    /// What happened, where, and what to do about it, in English, as NUL-terminated UTF-8, cut off at a whole character
    /// where it is too long. It never holds a value, key or token.
    pub message: [c_char; 512],
}

/// The name of a status for messages.
pub(super) fn status_name(status: Status) -> &'static str {
    // SAFETY: the names are static texts that end with a NUL.
    unsafe { CStr::from_ptr(st_status_name(status as st_status)) }.to_str().unwrap_or_default()
}

const MESSAGE: usize = offset_of!(st_error, message);

/// # Safety
/// `error` is NULL or leads to an `st_error` of which at least `size` bytes are there.
#[inline]
pub(super) unsafe fn report_status(error: *mut st_error, status: st_status) {
    if error.is_null() {
        return;
    }
    // SAFETY: by the caller's promise the fields within `size` may be written.
    unsafe {
        let size = (*error).size as usize;
        if size >= offset_of!(st_error, source) {
            (&raw mut (*error).status).write(status);
        }
        if size > MESSAGE {
            (&raw mut (*error).message).cast::<u8>().write(0);
            if status != ST_OK {
                (&raw mut (*error).source).write(0);
                (&raw mut (*error).detail).write(0);
                (&raw mut (*error).flags).write(0);
            }
        }
    }
}

/// # Safety
/// As for [`report_status`].
pub(super) unsafe fn report_failure(error: *mut st_error, failure: &Error) {
    if error.is_null() {
        return;
    }
    // SAFETY: by the caller's promise the fields within `size` may be written; each write is behind that check.
    unsafe {
        let size = ((*error).size as usize).min(size_of::<st_error>());
        let numbers = [
            (&raw mut (*error).status, failure.status() as i32),
            (&raw mut (*error).source, failure.source_provider() as i32),
            (&raw mut (*error).detail, failure.detail()),
            ((&raw mut (*error).flags).cast(), if failure.is_retryable() { ST_ERROR_RETRYABLE as i32 } else { 0 }),
        ];
        for (index, (place, number)) in numbers.into_iter().enumerate() {
            if size >= 4 * (index + 2) {
                place.write(number);
            }
        }
        if size > MESSAGE {
            let message = failure.message();
            let fits = message.floor_char_boundary(size - MESSAGE - 1);
            let place = (&raw mut (*error).message).cast::<u8>();
            ptr::copy_nonoverlapping(message.as_ptr(), place, fits);
            place.add(fits).write(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Source;

    const CODES: [st_status; 20] = [
        ST_OK,
        ST_NOT_FOUND,
        ST_INVALID_ARGUMENT,
        ST_CONFIG,
        ST_IO,
        ST_ACCESS_DENIED,
        ST_UNAVAILABLE,
        ST_TIMEOUT,
        ST_PROTOCOL,
        ST_BAD_TOKEN,
        ST_BAD_KEY,
        ST_BUFFER_TOO_SMALL,
        ST_CALLBACK,
        ST_CORRUPT,
        ST_BUSY,
        ST_WRONG_TYPE,
        ST_READ_ONLY,
        ST_NO_MEMORY,
        ST_ABANDONED,
        ST_PANIC,
    ];

    #[test]
    fn the_numbers_of_the_header_are_those_of_the_core() {
        assert_eq!(CODES.map(Status::from_code), Status::ALL.map(Some));
        let sources = [
            (Source::None, ST_SOURCE_NONE),
            (Source::Env, ST_SOURCE_ENV),
            (Source::File, ST_SOURCE_FILE),
            (Source::Aws, ST_SOURCE_AWS),
            (Source::Vault, ST_SOURCE_VAULT),
            (Source::Custom, ST_SOURCE_CUSTOM),
            (Source::Store, ST_SOURCE_STORE),
            (Source::Credential, ST_SOURCE_CREDENTIAL),
        ];
        assert!(sources.iter().all(|(source, number)| *source as i32 == *number));
    }

    #[test]
    fn nothing_is_written_past_the_size() {
        let failure = Error::new(Status::Io, "é".repeat(600)).with_source(Source::File).with_detail(28);
        for size in [0, 4, 8, 12, 16, 20, 21, 22, 23, 100, 531, 532, 10_000] {
            // SAFETY: every field of the struct is a number, so any bytes are one.
            let mut error: st_error = unsafe { std::mem::transmute([0x5A_u8; size_of::<st_error>()]) };
            error.size = size as u32;
            // SAFETY: the struct is whole, whatever it says of itself.
            unsafe { report_failure(&mut error, &failure) };
            // SAFETY: as above, the other way round.
            let bytes: [u8; size_of::<st_error>()] = unsafe { std::mem::transmute(error) };
            assert!(bytes[size.clamp(4, 532)..].iter().all(|byte| *byte == 0x5A), "size {size}");
            if size > 20 {
                let text = std::ffi::CStr::from_bytes_until_nul(&bytes[20..]).unwrap().to_str().unwrap();
                assert_eq!(text.len(), (size.min(532) - 21) / 2 * 2, "size {size}");
            }
        }
    }
}
