//! What went wrong, where, and what to do about it.
//!
//! An [`Error`] carries the numbers that the C ABI hands out ([`Status`], [`Source`], the HTTP status or `errno`) and
//! one sentence for a person. The sentence names the field, file, line, URL or provider at fault; it never holds a secret.

use std::fmt;
use std::io;
use std::path::Path;

/// The result of every fallible call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of a failure. The numbers are those of `st_status` in the C ABI and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum Status {
    /// Success; only the C ABI uses it as a value.
    Ok = 0,
    /// Every configured provider was asked, and each answered that it has no such value.
    NotFound = -1,
    /// An argument is NULL, too long, not UTF-8, or out of range.
    InvalidArgument = -2,
    /// A setting is unknown, has the wrong type, or is missing.
    Config = -3,
    /// The operating system refused a file operation.
    Io = -4,
    /// Permissions, a policy or strict checking forbid it.
    AccessDenied = -5,
    /// Something that is needed does not answer now.
    Unavailable = -6,
    /// The deadline passed.
    Timeout = -7,
    /// A document or an answer is not in the form that it must have.
    Protocol = -8,
    /// An encrypted token is damaged, or was made with another key.
    BadToken = -9,
    /// An encryption key is missing, empty or unreadable.
    BadKey = -10,
    /// The caller's buffer is too small; the needed size is reported.
    BufferTooSmall = -11,
    /// A callback broke its contract.
    Callback = -12,
    /// A database or a hash chain is damaged.
    Corrupt = -13,
    /// Somebody else holds what is needed.
    Busy = -14,
    /// The value is there, but it is of another type.
    WrongType = -15,
    /// The place cannot be written to.
    ReadOnly = -16,
    /// Memory could not be had.
    NoMemory = -17,
    /// The load that was waited for was given up by its owner.
    Abandoned = -18,
    /// A bug: the library or a callback panicked.
    Panic = -99,
}

impl Status {
    /// Every status, in the order of the table in the C header.
    pub const ALL: [Status; 20] = [
        Status::Ok,
        Status::NotFound,
        Status::InvalidArgument,
        Status::Config,
        Status::Io,
        Status::AccessDenied,
        Status::Unavailable,
        Status::Timeout,
        Status::Protocol,
        Status::BadToken,
        Status::BadKey,
        Status::BufferTooSmall,
        Status::Callback,
        Status::Corrupt,
        Status::Busy,
        Status::WrongType,
        Status::ReadOnly,
        Status::NoMemory,
        Status::Abandoned,
        Status::Panic,
    ];

    /// The status with this number, if there is one.
    pub fn from_code(code: i32) -> Option<Status> {
        Status::ALL.into_iter().find(|status| *status as i32 == code)
    }
}

/// The provider that failed, or that gave a value. The numbers are those of `ST_SOURCE_…` in the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum Source {
    /// No provider: the call itself, its arguments or the configuration.
    None = 0,
    /// Environment variables.
    Env = 1,
    /// The secrets file or directory.
    File = 2,
    /// AWS Secrets Manager.
    Aws = 3,
    /// HashiCorp Vault or OpenBao.
    Vault = 4,
    /// A provider that the program added.
    Custom = 5,
    /// The databases of the store.
    Store = 6,
    /// The keys that credentials are encrypted with.
    Credential = 7,
}

/// A failure: its kind, its place, and a sentence for a person. It never holds a value, key or token.
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
    /// An error of this kind with this message.
    pub fn new(status: Status, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            status,
            source: Source::None,
            detail: 0,
            retryable: false,
            authoritative: false,
            message: message.into(),
        }))
    }

    /// An argument of a call is unusable.
    pub fn invalid_argument(message: impl Into<String>) -> Error {
        Error::new(Status::InvalidArgument, message)
    }

    /// The operating system refused `action` ("read", "create") on `path`.
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

    /// The same error, at this provider.
    pub fn with_source(mut self, source: Source) -> Error {
        self.0.source = source;
        self
    }

    /// The same error with an HTTP status or `errno`.
    pub fn with_detail(mut self, detail: i32) -> Error {
        self.0.detail = detail;
        self
    }

    /// The same error, marked as worth retrying or not.
    pub fn with_retryable(mut self, retryable: bool) -> Error {
        self.0.retryable = retryable;
        self
    }

    /// The same error, marked as the source's own decision: a denial or a deletion in the form that the source itself
    /// writes. An earlier answer of that source must not be used any more. Every other error of a remote source counts
    /// as an outage, over which an earlier answer may serve.
    pub(crate) fn authoritative(mut self) -> Error {
        self.0.authoritative = true;
        self
    }

    /// Whether the source itself decided this; see [`Error::authoritative`].
    pub(crate) fn is_authoritative(&self) -> bool {
        self.0.authoritative
    }

    /// The same error with its message put into a context, as in `format!("provider `file`: {message}")`.
    pub fn map_message(mut self, change: impl FnOnce(&str) -> String) -> Error {
        self.0.message = change(&self.0.message);
        self
    }

    /// The kind of the failure.
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// The provider that failed.
    pub fn source_provider(&self) -> Source {
        self.0.source
    }

    /// The HTTP status or `errno`, 0 if there is none.
    pub fn detail(&self) -> i32 {
        self.0.detail
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// The sentence for a person.
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
    fn a_status_is_found_by_its_number() {
        for status in Status::ALL {
            assert_eq!(Status::from_code(status as i32), Some(status));
        }
        assert_eq!(Status::from_code(1), None);
    }

    #[test]
    fn an_error_of_the_system_keeps_its_number_and_names_the_path() {
        let error = Error::io("read", Path::new("/x/secrets.json"), &io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(error.status(), Status::AccessDenied);
        assert_eq!(error.detail(), libc::EACCES);
        assert!(error.message().starts_with("cannot read /x/secrets.json: "), "{error}");
    }
}
