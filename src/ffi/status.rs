//! Statuses and errors.

use std::ffi::c_char;
use std::mem::offset_of;
use std::ptr;

use crate::error::Error;

/// The result of a call: `ST_OK`, or one of the negative numbers below. A number never changes its meaning. A later
/// version may return numbers that this header does not list.
pub type st_status = i32;

// The constants `ST_OK` and so on. cbindgen does not expand the table: the test that writes the header does.
pub use crate::error::codes::*;

/// In `st_error.source`: the call itself, its arguments, or the configuration.
pub const ST_SOURCE_NONE: i32 = 0;
/// In `source`: environment variables.
pub const ST_SOURCE_ENV: i32 = 1;
/// In `source`: the secrets file or directory.
pub const ST_SOURCE_FILE: i32 = 2;
/// In `source`: AWS Secrets Manager.
pub const ST_SOURCE_AWS: i32 = 3;
/// In `source`: HashiCorp Vault or OpenBao.
pub const ST_SOURCE_VAULT: i32 = 4;
/// In `source`: a provider added with `st_secrets_add_provider`.
pub const ST_SOURCE_CUSTOM: i32 = 5;
/// In `source`: the databases of a store.
pub const ST_SOURCE_STORE: i32 = 6;
/// In `source`: the keys that encrypt credentials.
pub const ST_SOURCE_ENCRYPTION: i32 = 7;
/// In `source`: the variables and the token file of Hugging Face's own tools.
pub const ST_SOURCE_HUGGINGFACE: i32 = 8;
/// In `source`: a program that the setting `providers` names.
pub const ST_SOURCE_EXEC: i32 = 9;
/// In `source`: Google Secret Manager.
pub const ST_SOURCE_GOOGLE: i32 = 10;
/// In `source`: Azure Key Vault.
pub const ST_SOURCE_AZURE: i32 = 11;
/// In `source`: Kubernetes Secrets, through the API server.
pub const ST_SOURCE_KUBERNETES: i32 = 12;
/// In `source`: 1Password items, through a Connect server.
pub const ST_SOURCE_ONEPASSWORD: i32 = 13;
/// In `source`: Infisical secrets.
pub const ST_SOURCE_INFISICAL: i32 = 14;
/// In `source`: AWS Systems Manager parameters.
pub const ST_SOURCE_AWS_PARAMETERS: i32 = 15;
/// In `source`: the credentials that systemd passes to a service.
pub const ST_SOURCE_CREDENTIALS: i32 = 16;

/// In `st_error.flags`: the same call may succeed later without any change by the user.
pub const ST_ERROR_RETRYABLE: u32 = 1;

/// The details of a failure. The caller allocates the struct, initializes it with `ST_ERROR_INIT`, and passes it as the
/// last argument; a caller that needs only the status passes NULL. The same struct may be passed to any number of
/// calls, one at a time. It owns no memory and need not be freed.
///
/// A call that fails writes all fields within `size`. A call that succeeds writes only `status` and `message[0]`.
#[repr(C)]
pub struct st_error {
    /// The size of the struct in the caller's version of this header: `sizeof(st_error)`.
    pub size: u32,
    /// The status that the call returned.
    pub status: st_status,
    /// The kind of the provider, or the part of the library, that failed: one of `ST_SOURCE_…`.
    pub source: i32,
    /// The HTTP status or `errno`; 0 if there is neither.
    pub detail: i32,
    /// A combination of `ST_ERROR_…` bits.
    pub flags: u32,
    /// What failed, where, and the remedy, in English. NUL-terminated UTF-8, truncated at a character boundary if it is
    /// too long. It never contains a secret value, an encryption key, or a token.
    pub message: [c_char; 512],
}

const MESSAGE: usize = offset_of!(st_error, message);

impl st_error {
    /// Returns an error of this version of the header, without a failure.
    pub(super) fn ok() -> st_error {
        st_error {
            size: size_of::<st_error>() as u32,
            status: ST_OK,
            source: 0,
            detail: 0,
            flags: 0,
            message: [0; 512],
        }
    }
}

/// # Safety
/// `error` is NULL or points to an `st_error` of which at least `size` bytes are allocated.
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
    // SAFETY: by the caller's promise the fields within `size` may be written; each write is guarded by that check.
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
    use crate::error::{Source, Status};

    #[test]
    fn sources_of_the_header_are_those_of_the_core() {
        let sources = [
            (Source::None, ST_SOURCE_NONE),
            (Source::Env, ST_SOURCE_ENV),
            (Source::File, ST_SOURCE_FILE),
            (Source::Aws, ST_SOURCE_AWS),
            (Source::Vault, ST_SOURCE_VAULT),
            (Source::Custom, ST_SOURCE_CUSTOM),
            (Source::Store, ST_SOURCE_STORE),
            (Source::Encryption, ST_SOURCE_ENCRYPTION),
            (Source::HuggingFace, ST_SOURCE_HUGGINGFACE),
            (Source::Exec, ST_SOURCE_EXEC),
            (Source::Google, ST_SOURCE_GOOGLE),
            (Source::Azure, ST_SOURCE_AZURE),
            (Source::Kubernetes, ST_SOURCE_KUBERNETES),
            (Source::OnePassword, ST_SOURCE_ONEPASSWORD),
            (Source::Infisical, ST_SOURCE_INFISICAL),
            (Source::AwsParameters, ST_SOURCE_AWS_PARAMETERS),
            (Source::Credentials, ST_SOURCE_CREDENTIALS),
        ];
        assert!(sources.iter().all(|(source, number)| *source as i32 == *number));
        assert_eq!(sources.map(|(source, _)| source), Source::ALL);
    }

    #[test]
    fn error_is_not_written_past_its_size() {
        let failure = Error::new(Status::Io, "é".repeat(600)).with_source(Source::File).with_detail(28);
        for size in [0, 4, 8, 12, 16, 20, 21, 22, 23, 100, 531, 532, 10_000] {
            // SAFETY: every field of the struct is a number, so any bytes are one.
            let mut error: st_error = unsafe { std::mem::transmute([0x5A_u8; size_of::<st_error>()]) };
            error.size = size as u32;
            // SAFETY: the struct is complete, whatever its `size`.
            unsafe { report_failure(&mut error, &failure) };
            // SAFETY: as above, in the other direction.
            let bytes: [u8; size_of::<st_error>()] = unsafe { std::mem::transmute(error) };
            assert!(bytes[size.clamp(4, 532)..].iter().all(|byte| *byte == 0x5A), "size {size}");
            if size > 20 {
                let text = std::ffi::CStr::from_bytes_until_nul(&bytes[20..]).unwrap().to_str().unwrap();
                assert_eq!(text.len(), (size.min(532) - 21) / 2 * 2, "size {size}");
            }
        }
    }
}
