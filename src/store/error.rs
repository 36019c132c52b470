//! Converts SQLite's errors. SQLite's own messages are not passed on: they may quote stored data.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, ffi};

use crate::error::{Error, Result, Source, Status};
use crate::fork_safe::sqlite;

/// An error of the store.
pub(super) fn error(status: Status, message: impl Into<String>) -> Error {
    Error::new(status, message).with_source(Source::Store)
}

/// The contents of the database are unusable.
pub(super) fn corrupt(path: &Path, what: impl std::fmt::Display) -> Error {
    error(Status::Corrupt, format!("{}: {what}", path.display()))
}

/// The database file is damaged.
pub(super) fn damaged(path: &Path, what: &str) -> Error {
    let remedy = "restore it from a backup, or recover it with `.recover` of sqlite3";
    corrupt(path, format!("the database is damaged ({what}); {remedy}"))
}

/// The database returns rows out of order, so some of them might come up endlessly.
pub(super) fn out_of_order(path: &Path) -> Error {
    damaged(path, "its rows are out of order")
}

/// Converts the error of an operation on the database at `path`.
pub(super) fn check<T>(path: &Path, connection: Option<&Connection>, result: rusqlite::Result<T>) -> Result<T> {
    result.map_err(|failure| explain(path, connection, &failure))
}

fn explain(path: &Path, connection: Option<&Connection>, failure: &rusqlite::Error) -> Error {
    let Some(code) = failure.sqlite_error() else {
        return corrupt(path, "a value in it has an unexpected type");
    };
    let errno = match (sqlite::take_open_error(), connection) {
        (0, Some(connection)) => sqlite::system_error(connection),
        (errno, _) => errno,
    };
    let shown = path.display();
    let reason = ffi::code_to_str(code.extended_code);
    match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            let message =
                format!("timed out waiting for another process to unlock {shown}; try again or raise \"timeout\"");
            error(Status::Busy, message).with_retryable(true)
        }
        ErrorCode::ReadOnly => {
            let message = format!("cannot change {shown}: it or its directory is read-only ({reason})");
            error(Status::ReadOnly, message).with_detail(errno)
        }
        ErrorCode::DiskFull => {
            error(Status::Io, format!("cannot write {shown}: no space left on the device; nothing was changed"))
                .with_detail(libc::ENOSPC)
        }
        ErrorCode::OutOfMemory => error(Status::NoMemory, format!("out of memory while accessing {shown}")),
        // Values are checked before they are written.
        ErrorCode::TooBig => corrupt(path, "a value in it is longer than the maximum"),
        ErrorCode::OperationInterrupted => {
            let message = format!(
                "timed out reading {shown}; raise \"timeout\", or check the file for damage with sqlite3's PRAGMA \
                 quick_check"
            );
            error(Status::Timeout, message).with_retryable(true)
        }
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::SystemIoFailure => io(path, reason, errno),
        ErrorCode::DatabaseCorrupt => damaged(path, reason),
        ErrorCode::NotADatabase => corrupt(path, "the file is not an SQLite database, or it is encrypted"),
        _ => corrupt(path, format!("unexpected SQLite error: {reason}")),
    }
}

fn io(path: &Path, reason: &str, errno: i32) -> Error {
    if errno == 0 {
        return error(Status::Io, format!("cannot open or read {}: {reason}", path.display()));
    }
    let system = std::io::Error::from_raw_os_error(errno);
    Error::io("open or read", path, &system).with_source(Source::Store)
}
