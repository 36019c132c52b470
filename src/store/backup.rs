//! Copies of a database that other programs are using.
//!
//! The copy is made with SQLite's backup API within one read transaction, so it is the state at one point in time, and
//! ends however much others write meanwhile. It is written to a hidden file beside its destination, checked, and then
//! given its name. A process that is killed leaves at most the hidden file, which the next backup uses.

use std::fs::{self, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection as SqliteConnection, ErrorCode, ffi};

use super::Store;
use super::connection::Connection;
use super::database::Database;
use super::error::{check, damaged, error};
use super::pool;
use crate::clock::Deadline;
use crate::error::{Error, Result, Source, Status};
use crate::fork_safe::CloseOnForkFile;
use crate::{files, fork, paths};

/// How many pages are copied between two checks of the deadline.
const PAGES: i32 = 512;
const PAUSE: Duration = Duration::from_millis(5);
/// The first bytes of every database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// A database of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreDatabase {
    /// The provider configuration, and the credentials unless they have a file of their own.
    #[default]
    Main,
    /// The credentials.
    Credentials,
    /// The audit trail.
    Audit,
}

impl Store {
    /// Writes a copy of a database to the file `path`, with mode 0600. It is consistent although other threads and
    /// processes use the database. The copy alone is complete, and `path` is never half a file. An existing database of
    /// this name is overwritten only with `replace`, any other file never.
    ///
    /// The audit trail is a database of its own. Copy it after the other one: an entry is older than its change.
    pub fn backup(&self, which: StoreDatabase, path: &Path, replace: bool) -> Result<()> {
        let _guard = fork::protect();
        let deadline = self.deadline();
        let source = self.database(which);
        let path = paths::expand_home(path);
        let named = |error: Error| error.with_source(Source::Store);
        let place = files::path_to_create(&path).map_err(named)?;
        self.check_place(&place, replace)?;
        let Some(db) = source.existing(deadline)? else {
            let message = format!("there is nothing to back up: {} does not exist", source.path().display());
            return Err(error(Status::NotFound, message));
        };
        // Dropped before the connection, whose drop may call the program's log function.
        let temporary = Temporary::open(&place)?;
        let written = copy(&db, &temporary.path, &place, deadline)
            .and_then(|()| temporary.file.sync_all().map_err(|error| named(Error::io("write", &place, &error))))
            .and_then(|()| temporary.name(&place, replace));
        if written.is_err() {
            temporary.remove();
        }
        written
    }

    fn database(&self, which: StoreDatabase) -> &Database {
        match which {
            StoreDatabase::Main => &self.shared.jobs,
            StoreDatabase::Credentials => &self.shared.credentials,
            StoreDatabase::Audit => self.shared.audit.database(),
        }
    }

    /// Returns an error unless a backup may be written to this place.
    fn check_place(&self, place: &Path, replace: bool) -> Result<()> {
        let Some(id) = pool::file_id(place)? else { return check_logs(place) };
        if !replace {
            return Err(exists(place));
        }
        for database in [&self.shared.jobs, &self.shared.credentials, self.shared.audit.database()] {
            if pool::file_id(database.path())? == Some(id) {
                let message = format!("{} is in use by this store; choose another name", place.display());
                return Err(error(Status::InvalidArgument, message));
            }
        }
        let mut start = Vec::new();
        fs::File::open(place)
            .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start))
            .map_err(|error| Error::io("read", place, &error).with_source(Source::Store))?;
        if !start.is_empty() && start != MAGIC {
            let message = format!("{} is not a database, so it is not replaced; choose another name", place.display());
            return Err(error(Status::InvalidArgument, message));
        }
        check_logs(place)
    }
}

fn exists(place: &Path) -> Error {
    let message = format!("{} exists; choose another name, or allow the backup to replace it", place.display());
    error(Status::Io, message).with_detail(libc::EEXIST)
}

/// Returns an error if a former database of this name left changes: SQLite would apply them to the copy.
fn check_logs(place: &Path) -> Result<()> {
    for suffix in ["-wal", "-journal"] {
        let mut name = place.as_os_str().to_owned();
        name.push(suffix);
        let log = PathBuf::from(name);
        match fs::metadata(&log) {
            Ok(metadata) if metadata.len() == 0 => {}
            Ok(_) => {
                let message = format!(
                    "{} has changes of another database of this name, which SQLite would apply to the copy; end the \
                     programs that use that database and remove the file, or choose another name",
                    log.display()
                );
                return Err(error(Status::Io, message));
            }
            Err(failure) if failure.kind() == ErrorKind::NotFound => {}
            Err(failure) => return Err(Error::io("look at", &log, &failure).with_source(Source::Store)),
        }
    }
    Ok(())
}

/// The hidden file that becomes the copy. Its lock excludes other backups to the same place.
struct Temporary {
    file: CloseOnForkFile,
    path: PathBuf,
}

impl Temporary {
    fn open(place: &Path) -> Result<Temporary> {
        let path = files::sibling(place, ".tmp");
        let failed = |error| Error::io("create", &path, &error).with_source(Source::Store);
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = loop {
            let file = CloseOnForkFile::open(&options, &path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {
                    let message = format!("another backup to {} is in progress; try again later", place.display());
                    return Err(error(Status::Busy, message).with_retryable(true));
                }
            }
            // If another backup has just been given its name, this is that file.
            if files::is_at(&file, &path) {
                break file;
            }
        };
        // A process that was killed may have left contents, and a journal that SQLite would apply to the new ones.
        let temporary = Temporary { file, path };
        temporary.remove_journals();
        let file = &temporary.file;
        file.set_permissions(Permissions::from_mode(0o600))
            .and_then(|()| file.set_len(0))
            .map_err(|error| Error::io("write", &temporary.path, &error).with_source(Source::Store))?;
        Ok(temporary)
    }

    /// Gives the file its name.
    fn name(&self, place: &Path, replace: bool) -> Result<()> {
        check_logs(place)?;
        let named = match replace {
            true => fs::rename(&self.path, place).map(|()| true).map_err(|error| Error::io("replace", place, &error)),
            false => files::name_new(&self.path, place),
        };
        if !named.map_err(|error| error.with_source(Source::Store))? {
            return Err(exists(place));
        }
        files::sync_directory(place).map_err(|error| error.with_source(Source::Store))
    }

    fn remove(&self) {
        self.remove_journals();
        let _ = fs::remove_file(&self.path);
    }

    fn remove_journals(&self) {
        for suffix in ["-journal", "-wal", "-shm"] {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            let _ = fs::remove_file(name);
        }
    }
}

/// Copies the database to the file `temporary`, whose final name is `place`, and checks it.
fn copy(db: &Connection<'_>, temporary: &Path, place: &Path, deadline: Deadline) -> Result<()> {
    let mut copy = connect(temporary, place, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")?;
    // A transaction that stays open: otherwise each change by another process would make the copy start over.
    db.check(db.guard.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;"))?;
    copy_pages(db, &mut copy, place, deadline)?;
    db.execute("ROLLBACK", [])?;
    drop(copy);
    // The copy has the source's write-ahead mode, in which its reader would need to create other files.
    let copy = connect(temporary, place, "PRAGMA journal_mode=DELETE;")?;
    let found: String = check(place, Some(&copy), copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)))?;
    match found == "ok" {
        true => Ok(()),
        // SQLite's report may quote stored data.
        false => Err(damaged(db.path, "PRAGMA quick_check reports errors")),
    }
}

fn connect(temporary: &Path, place: &Path, settings: &str) -> Result<SqliteConnection> {
    let connection = pool::connect(temporary, false, i32::MAX)?;
    check(place, Some(&connection), connection.execute_batch(&format!("PRAGMA locking_mode=EXCLUSIVE; {settings}")))?;
    Ok(connection)
}

fn copy_pages(db: &Connection<'_>, copy: &mut SqliteConnection, place: &Path, deadline: Deadline) -> Result<()> {
    let backup = check(place, None, Backup::new(&db.guard, copy))?;
    loop {
        let step = backup.step(PAGES).map_err(|failure| match is_of_source(&failure) {
            true => check::<()>(db.path, Some(&db.guard), Err(failure)),
            false => check(place, None, Err(failure)),
        });
        match step {
            Ok(StepResult::Done) => return Ok(()),
            Ok(StepResult::More) => fork::unprotected(|| ()),
            Ok(_) => fork::unprotected(|| std::thread::sleep(PAUSE)),
            Err(failed) => return failed,
        }
        if deadline.has_passed() {
            let message = format!("timed out copying {} to {}; raise \"timeout\"", db.path.display(), place.display());
            return Err(error(Status::Timeout, message).with_retryable(true));
        }
    }
}

/// Whether reading the database failed, not writing the copy.
fn is_of_source(failure: &rusqlite::Error) -> bool {
    failure.sqlite_error().is_some_and(|error| match error.code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => true,
        ErrorCode::SystemIoFailure => {
            matches!(error.extended_code, ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ)
        }
        _ => false,
    })
}
