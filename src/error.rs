//! Errors: what failed, where, and the remedy.
//!
//! An [`Error`] has the numbers of the C ABI ([`Status`], [`Source`], the HTTP status or `errno`) and a message. The
//! message names the field, file, line, URL, or provider that failed. It never contains a secret.

use std::ffi::c_char;
use std::fmt;
use std::io;
use std::path::Path;

/// The result of a fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One table for the statuses: the enum, the constants of the C ABI, their names, and the text of the C header.
macro_rules! statuses {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $constant:ident;)+) => {
        /// The kind of a failure. The numbers are those of `st_status` in the C ABI. A number is never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        #[non_exhaustive]
        pub enum Status {
            $($(#[doc = $doc])+ $name = $code,)+
        }

        impl Status {
            /// Every status, in the order of the C header.
            pub const ALL: [Status; [$($code),+].len()] = [$(Status::$name),+];

            /// Returns the name of the constant in the C header: `ST_NOT_FOUND`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Status::$name => stringify!($constant),)+
                }
            }

            /// The same, ending with a NUL.
            pub(crate) fn c_name(self) -> *const c_char {
                let name = match self {
                    $(Status::$name => concat!(stringify!($constant), "\0"),)+
                };
                name.as_ptr().cast()
            }

            /// The text of the C header.
            #[doc(hidden)]
            pub fn documentation(self) -> &'static str {
                match self {
                    $(Status::$name => concat!($($doc, "\n"),+),)+
                }
            }
        }

        /// The constants of the C ABI.
        pub(crate) mod codes {
            $($(#[doc = $doc])+ pub const $constant: i32 = $code;)+
        }
    };
}

statuses! {
    /// Success.
    Ok = 0, ST_OK;
    /// The value was not found. For a secret: all providers were queried, and none has it; the failure of a provider is
    /// never reported as this status. What to do: add the value to a provider that the message names.
    NotFound = -1, ST_NOT_FOUND;
    /// An argument is NULL, too long, not UTF-8, or out of range. What to do: fix the calling program.
    InvalidArgument = -2, ST_INVALID_ARGUMENT;
    /// A setting is unknown, missing, or of the wrong type. What to do: correct the setting that the message names.
    Config = -3, ST_CONFIG;
    /// A file operation failed; `detail` is `errno`.
    Io = -4, ST_IO;
    /// Permissions or a policy forbid the operation; `detail` is `errno` or the HTTP status, if there is one.
    AccessDenied = -5, ST_ACCESS_DENIED;
    /// A service or a resource is unavailable. What to do: try again later.
    Unavailable = -6, ST_UNAVAILABLE;
    /// The deadline passed. What to do: try again, or raise the timeout.
    Timeout = -7, ST_TIMEOUT;
    /// A document or a response is malformed. What to do: correct it at the place that the message names.
    Protocol = -8, ST_PROTOCOL;
    /// An encrypted token is damaged, or was encrypted under another key. What to do: restore that key.
    BadToken = -9, ST_BAD_TOKEN;
    /// An encryption key is missing, empty, or unreadable. What to do: correct the file or variable that the message
    /// names.
    BadKey = -10, ST_BAD_KEY;
    /// The caller's buffer is too small; `*len` is the size that is needed.
    BufferTooSmall = -11, ST_BUFFER_TOO_SMALL;
    /// A callback broke its contract, for example by returning `ST_OK` without a value.
    Callback = -12, ST_CALLBACK;
    /// A database or a hash chain is damaged.
    Corrupt = -13, ST_CORRUPT;
    /// Another thread or process is using the resource. What to do: try again.
    Busy = -14, ST_BUSY;
    /// The value exists but has another type.
    WrongType = -15, ST_WRONG_TYPE;
    /// The destination cannot be written to.
    ReadOnly = -16, ST_READ_ONLY;
    /// Out of memory.
    NoMemory = -17, ST_NO_MEMORY;
    /// The load that this call waited for was abandoned.
    Abandoned = -18, ST_ABANDONED;
    /// The library panicked, which is a bug. The call has no result; the library remains usable.
    Panic = -99, ST_PANIC;
}

impl Status {
    /// Returns the status with this number, if there is one.
    pub fn from_code(code: i32) -> Option<Status> {
        Status::ALL.into_iter().find(|status| *status as i32 == code)
    }
}

/// One table for the sources: the enum, and the list of its variants.
macro_rules! sources {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal;)+) => {
        /// The kind of the provider, or the part of the library, that an error or a value comes from. The numbers are
        /// those of `ST_SOURCE_…` in the C ABI.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        #[non_exhaustive]
        pub enum Source {
            $($(#[doc = $doc])+ $name = $code,)+
        }

        impl Source {
            pub(crate) const ALL: [Source; [$($code),+].len()] = [$(Source::$name),+];
        }
    };
}

sources! {
    /// None of these: the call itself, its arguments, or the configuration.
    None = 0;
    /// Environment variables.
    Env = 1;
    /// The secrets file or directory.
    File = 2;
    /// AWS Secrets Manager.
    Aws = 3;
    /// HashiCorp Vault or OpenBao.
    Vault = 4;
    /// A custom provider, added with [`Manager::add_provider`](crate::Manager::add_provider).
    Custom = 5;
    /// The databases of the store.
    Store = 6;
    /// The keys that encrypt credentials.
    Encryption = 7;
    /// Hugging Face's own variables and token file.
    HuggingFace = 8;
    /// A program that the configuration names.
    Exec = 9;
    /// Google Secret Manager.
    Google = 10;
    /// Azure Key Vault.
    Azure = 11;
    /// Kubernetes Secrets, through the API server.
    Kubernetes = 12;
    /// Items of 1Password, through a Connect server.
    OnePassword = 13;
    /// Secrets of Infisical.
    Infisical = 14;
    /// Parameters of AWS Systems Manager.
    AwsParameters = 15;
    /// The credentials that systemd passes to a service.
    Credentials = 16;
}

impl Source {
    /// Returns the source with this number, if there is one.
    pub(crate) fn from_code(code: i32) -> Option<Source> {
        Source::ALL.into_iter().find(|source| *source as i32 == code)
    }
}

/// An error: its status, its source, and a message. It never contains a secret value, an encryption key, or
/// a token.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    status: Status,
    source: Source,
    detail: i32,
    retryable: bool,
    authoritative: bool,
    message: String,
}

impl Error {
    /// Creates an error with this status and message.
    #[inline]
    pub fn new(status: Status, message: impl Into<String>) -> Error {
        Error::with_message(status, message.into())
    }

    /// Cold, so that the code before each call is laid out for size.
    #[cold]
    #[inline(never)]
    fn with_message(status: Status, message: String) -> Error {
        Error(Box::new(Inner {
            status,
            source: Source::None,
            detail: 0,
            retryable: false,
            authoritative: false,
            message,
        }))
    }

    /// Creates an [`Status::InvalidArgument`] error.
    pub fn invalid_argument(message: impl Into<String>) -> Error {
        Error::new(Status::InvalidArgument, message)
    }

    /// Creates the error of a failed `action` ("read", "create") on `path`.
    #[cold]
    pub fn io(action: &str, path: &Path, error: &io::Error) -> Error {
        let status = match error.kind() {
            io::ErrorKind::PermissionDenied => Status::AccessDenied,
            io::ErrorKind::ReadOnlyFilesystem => Status::ReadOnly,
            io::ErrorKind::OutOfMemory => Status::NoMemory,
            _ => Status::Io,
        };
        Error::new(status, format!("cannot {action} {}: {error}", path.display()))
            .with_detail(error.raw_os_error().unwrap_or(0))
    }

    /// The same error from this source.
    pub fn with_source(mut self, source: Source) -> Error {
        self.0.source = source;
        self
    }

    /// The same error with an HTTP status or `errno`.
    pub fn with_detail(mut self, detail: i32) -> Error {
        self.0.detail = detail;
        self
    }

    /// The same error, marked as retryable or not.
    pub fn with_retryable(mut self, retryable: bool) -> Error {
        self.0.retryable = retryable;
        self
    }

    /// The same error, marked as authoritative: the source itself reported a denial or a deletion, and earlier answers
    /// of it must no longer be used. Every other error of a remote source is an outage, during which they may be.
    pub(crate) fn authoritative(mut self) -> Error {
        self.0.authoritative = true;
        self
    }

    /// Whether the source itself reported this; see [`Error::authoritative`].
    pub(crate) fn is_authoritative(&self) -> bool {
        self.0.authoritative
    }

    /// The same error with a changed message, as in `format!("the provider file failed: {message}")`.
    #[cold]
    pub fn map_message(mut self, change: impl FnOnce(&str) -> String) -> Error {
        self.0.message = change(&self.0.message);
        self
    }

    /// Returns the kind of the failure.
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// Returns the kind of the provider that failed.
    pub fn source_provider(&self) -> Source {
        self.0.source
    }

    /// Returns the HTTP status or `errno`; 0 if there is neither.
    pub fn detail(&self) -> i32 {
        self.0.detail
    }

    /// Whether the same call may succeed later without any change by the user.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// Returns the message.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("status", &self.0.status)
            .field("source", &self.0.source)
            .field("detail", &self.0.detail)
            .field("retryable", &self.0.retryable)
            .field("message", &self.0.message)
            .finish()
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_code_finds_every_status() {
        for status in Status::ALL {
            assert_eq!(Status::from_code(status as i32), Some(status));
        }
        assert_eq!(Status::from_code(1), None);
    }

    #[test]
    fn io_error_has_errno_and_names_the_path() {
        let error = Error::io("read", Path::new("/x/secrets.json"), &io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(error.status(), Status::AccessDenied);
        assert_eq!(error.detail(), libc::EACCES);
        assert!(error.message().starts_with("cannot read /x/secrets.json: "), "{error}");
    }
}
