//! What SQLite's failures are for callers. SQLite's own messages are not passed on: they may quote what is stored.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, ffi};

use crate::error::{Error, Result, Source, Status};
use crate::sys::sqlite;

/// An error at this provider.
pub(super) fn error(status: Status, message: impl Into<String>) -> Error {
    Error::new(status, message).with_source(Source::Store)
}

/// The database is not what it should be.
pub(super) fn corrupt(path: &Path, what: impl std::fmt::Display) -> Error {
    error(Status::Corrupt, format!("{}: {what}", path.display()))
}

/// The database is damaged.
pub(super) fn damaged(path: &Path, what: &str) -> Error {
    let remedy = "restore it from a backup, or save it with sqlite3's .recover";
    corrupt(path, format!("the database is damaged ({what}); {remedy}"))
}

/// Its rows do not come in the order in which they are stored, so some may come again and again.
pub(super) fn out_of_order(path: &Path) -> Error {
    damaged(path, "its rows are out of order")
}

/// The result of something that SQLite did with the database at `path`.
pub(super) fn check<T>(path: &Path, connection: Option<&Connection>, result: rusqlite::Result<T>) -> Result<T> {
    result.map_err(|failure| explain(path, connection, &failure))
}

fn explain(path: &Path, connection: Option<&Connection>, failure: &rusqlite::Error) -> Error {
    let Some(code) = failure.sqlite_error() else {
        return corrupt(path, "a value in it is not of the type that it should be");
    };
    let errno = match (sqlite::take_open_error(), connection) {
        (0, Some(connection)) => sqlite::system_error(connection),
        (errno, _) => errno,
    };
    let shown = path.display();
    let words = ffi::code_to_str(code.extended_code);
    match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            let message = format!("{shown} is locked by another process, which did not let go in time; try again");
            error(Status::Busy, message).with_retryable(true)
        }
        ErrorCode::ReadOnly => {
            let message = format!("{shown} cannot be changed: it, or its directory, is read-only ({words})");
            error(Status::ReadOnly, message).with_detail(errno)
        }
        ErrorCode::DiskFull => {
            error(Status::Io, format!("{shown} cannot be written: no space is left; nothing was changed"))
                .with_detail(libc::ENOSPC)
        }
        ErrorCode::OutOfMemory => error(Status::NoMemory, format!("no memory for reading {shown}")),
        // What is written is checked before.
        ErrorCode::TooBig => corrupt(path, "a value in it is larger than any that belongs there"),
        ErrorCode::OperationInterrupted => {
            let message = format!(
                "{shown}: reading it took longer than the call may take; if it is not that large, it may be damaged: \
                 look with sqlite3's PRAGMA quick_check"
            );
            error(Status::Timeout, message).with_retryable(true)
        }
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::SystemIoFailure => io(path, words, errno),
        ErrorCode::DatabaseCorrupt => damaged(path, words),
        ErrorCode::NotADatabase => corrupt(path, "the file is no SQLite database, or it is encrypted"),
        _ => corrupt(path, format!("the database is not as it should be ({words})")),
    }
}

fn io(path: &Path, words: &str, errno: i32) -> Error {
    if errno == 0 {
        return error(Status::Io, format!("cannot open or read {}: {words}", path.display()));
    }
    let system = std::io::Error::from_raw_os_error(errno);
    Error::io("open or read", path, &system).with_source(Source::Store)
}
