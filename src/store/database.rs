//! A database file: located, opened, set up, and given its tables.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rusqlite::ErrorCode;

use super::connection::{Connection, WAL_TIMEOUT};
use super::deferred_log::log_later;
use super::interrupt;
use super::pool::{self, PoolEntry};
use super::schema::Schema;
use crate::clock::Deadline;
use crate::error::{Error, Result, Source};
use crate::fork_safe::Mutex;
use crate::log::Level;
use crate::{files, sys};

/// How long readers assume that the file at a path is the same, in nanoseconds.
const RECHECK_INTERVAL: u64 = 400_000_000;

/// Flags of a pool entry: the connection has its settings; the file is in WAL mode, or cannot be.
const CONFIGURED: u32 = 1 << 30;
const WAL: u32 = 1 << 31;

pub(super) struct Database {
    path: PathBuf,
    schema: &'static Schema,
    entry: Mutex<Option<Arc<PoolEntry>>>,
    /// When the file was last checked to be the one of `entry`, on the coarse clock.
    checked_at: AtomicU64,
}

impl Database {
    pub(super) fn new(path: PathBuf, schema: &'static Schema) -> Database {
        Database { path, schema, entry: Mutex::new(None), checked_at: AtomicU64::new(0) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the database for reading. Creates nothing: `None` if the file or its table does not exist.
    pub(super) fn read(&self, deadline: Deadline) -> Result<Option<Connection<'_>>> {
        let now = sys::coarse_time_awake();
        let is_fresh = now.saturating_sub(self.checked_at.load(Relaxed)) < RECHECK_INTERVAL;
        self.find(now, is_fresh, deadline)
    }

    /// Opens the database for changing existing rows. Otherwise like [`Database::read`], but always checks whether the
    /// file was replaced.
    pub(super) fn change(&self, deadline: Deadline) -> Result<Option<Connection<'_>>> {
        self.find(sys::coarse_time_awake(), false, deadline)
    }

    /// Opens the database file, whatever it contains. `None` if it does not exist.
    pub(super) fn existing(&self, deadline: Deadline) -> Result<Option<Connection<'_>>> {
        self.entry(false, false)?.map(|entry| self.acquire(&entry, deadline)).transpose()
    }

    fn find(&self, now: u64, is_fresh: bool, deadline: Deadline) -> Result<Option<Connection<'_>>> {
        let Some(entry) = self.entry(false, is_fresh)? else { return Ok(None) };
        if !is_fresh {
            self.checked_at.store(now, Relaxed);
        }
        let db = self.acquire(&entry, deadline)?;
        if !db.guard.has_flag(self.schema.flag) {
            if !self.schema.exists(&db)? {
                return Ok(None);
            }
            db.guard.set_flag(self.schema.flag);
        }
        Ok(Some(db))
    }

    /// Opens the database for writing. Creates the file and its table if they do not exist.
    pub(super) fn write(&self, deadline: Deadline) -> Result<Connection<'_>> {
        let entry = match self.entry(false, false)? {
            Some(entry) => entry,
            None => {
                files::path_to_create(&self.path).map_err(|error| error.with_source(Source::Store))?;
                self.entry(true, false)?.ok_or_else(|| {
                    Error::io("create", &self.path, &std::io::ErrorKind::NotFound.into()).with_source(Source::Store)
                })?
            }
        };
        let db = self.acquire(&entry, deadline)?;
        if !db.guard.has_flag(WAL) {
            let mode = enable_wal(&db)?;
            // Without shared memory SQLite keeps the old mode. Everything works, but more slowly.
            if mode != "wal" {
                let message = format!(
                    "{} cannot use a write-ahead log and stays in journal mode {mode}; writes are slower",
                    self.path.display()
                );
                log_later(Level::Warn, message);
            }
            db.guard.set_flag(WAL);
        }
        if !db.guard.has_flag(self.schema.flag) {
            if !self.schema.exists(&db)? {
                db.immediate(|| self.schema.create(&db))?;
            }
            db.guard.set_flag(self.schema.flag);
        }
        Ok(db)
    }

    /// Checkpoints the write-ahead log, so that the database file alone is complete. Gives up if other processes use it
    /// for too long.
    pub(super) fn checkpoint(&self) {
        let Some(entry) = self.entry.lock().take().filter(|entry| entry.is_own() && entry.has_wal()) else { return };
        let deadline = Deadline::after(WAL_TIMEOUT);
        if let Ok(db) = self.acquire(&entry, deadline) {
            db.truncate_wal(deadline);
        }
    }

    /// `is_fresh`: the file was checked recently.
    fn entry(&self, create: bool, is_fresh: bool) -> Result<Option<Arc<PoolEntry>>> {
        let current = self.entry.lock().clone();
        if let Some(current) = current.filter(|current| current.is_own())
            && (is_fresh || pool::file_id(&self.path)? == Some(current.id))
        {
            return Ok(Some(current));
        }
        let found = PoolEntry::open(&self.path, create)?;
        // This does not close an inherited connection: the pool keeps those forever.
        *self.entry.lock() = found.clone();
        Ok(found)
    }

    fn acquire(&self, entry: &Arc<PoolEntry>, deadline: Deadline) -> Result<Connection<'_>> {
        let db = Connection { guard: entry.acquire(deadline)?, path: &self.path };
        if !db.guard.has_flag(CONFIGURED) {
            // Foreign keys: credentials are stored even without a table of users. The automatic checkpoint, which waits
            // for the disk, runs after 32 MB instead of 4. Deleted content is overwritten: it may be plain text.
            db.check(db.guard.execute_batch(
                "PRAGMA foreign_keys=OFF; PRAGMA synchronous=NORMAL; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY;
                 PRAGMA wal_autocheckpoint=8000; PRAGMA secure_delete=ON;",
            ))?;
            db.guard.set_flag(CONFIGURED);
        }
        Ok(db)
    }
}

/// Puts the file into WAL mode. Returns the mode that it then has.
fn enable_wal(db: &Connection<'_>) -> Result<String> {
    let mut tries = 0;
    loop {
        // SQLite holds a read lock when it requests the write lock. As the other process may be waiting for that read
        // lock, SQLite fails without calling the busy handler. Then it releases the read lock.
        let result = db.guard.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0));
        match result.as_ref().err().and_then(rusqlite::Error::sqlite_error_code) {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) if interrupt::busy_handler(tries) => {
                tries = tries.saturating_add(1);
            }
            _ => return db.check(result),
        }
    }
}
