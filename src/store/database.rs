//! A database at a path: found, opened, given its tables, and used in transactions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use super::connection::Connection;
use super::pool::{self, PoolEntry};
use super::schema::Schema;
use crate::clock::Deadline;
use crate::error::{Error, Result, Source};
use crate::log::Level;
use crate::{files, sys};

/// How long a file is taken to be the one that it was, in nanoseconds, by whoever only reads it.
const LOOK_INTERVAL: u64 = 400_000_000;

/// How long others may keep a log from being written back where nobody has a use for the database any more.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// In what is known of a file: its connection has its settings; it is in the mode of the write-ahead log.
const SET_UP: u32 = 1 << 30;
const WAL: u32 = 1 << 31;

pub(super) struct Database {
    path: PathBuf,
    schema: &'static Schema,
    entry: Mutex<Option<Arc<PoolEntry>>>,
    /// When it was last seen to be in its place.
    looked: AtomicU64,
}

impl Database {
    pub(super) fn new(path: PathBuf, schema: &'static Schema) -> Database {
        Database { path, schema, entry: Mutex::new(None), looked: AtomicU64::new(0) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// For reading. `None`: there is no such file, or it has not the tables; nothing is created.
    pub(super) fn read(&self, deadline: Deadline) -> Result<Option<Connection<'_>>> {
        let now = sys::coarse_time_awake();
        let is_fresh = now.saturating_sub(self.looked.load(Relaxed)) < LOOK_INTERVAL;
        self.find(now, is_fresh, deadline)
    }

    /// For changing what is there already; else as [`Database::read`]. A file that was replaced just now is not written.
    pub(super) fn change(&self, deadline: Deadline) -> Result<Option<Connection<'_>>> {
        self.find(sys::coarse_time_awake(), false, deadline)
    }

    fn find(&self, now: u64, is_fresh: bool, deadline: Deadline) -> Result<Option<Connection<'_>>> {
        let Some(entry) = self.entry(false, is_fresh)? else { return Ok(None) };
        if !is_fresh {
            self.looked.store(now, Relaxed);
        }
        let db = self.take(&entry, deadline)?;
        if !db.guard.has_flag(self.schema.bit) {
            if !self.schema.is_there(&db)? {
                return Ok(None);
            }
            db.guard.set_flag(self.schema.bit);
        }
        Ok(Some(db))
    }

    /// For writing; the file and its tables are created where they are missing.
    pub(super) fn write(&self, deadline: Deadline) -> Result<Connection<'_>> {
        let entry = match self.entry(false, false)? {
            Some(entry) => entry,
            None => {
                files::missing(&self.path).map_err(|error| error.with_source(Source::Store))?;
                self.entry(true, false)?.ok_or_else(|| {
                    Error::io("create", &self.path, &std::io::ErrorKind::NotFound.into()).with_source(Source::Store)
                })?
            }
        };
        let db = self.take(&entry, deadline)?;
        if !db.guard.has_flag(WAL) {
            let mode: String = db.check(db.guard.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0)))?;
            // Where shared memory cannot be had, SQLite stays with its other way, and all works but slower.
            if mode != "wal" {
                let shown = self.path.display();
                pool::log_later(
                    Level::Warn,
                    format!("{shown} cannot have a write-ahead log and stays in the mode {mode}"),
                );
            }
            db.guard.set_flag(WAL);
        }
        if !db.guard.has_flag(self.schema.bit) {
            if !self.schema.is_there(&db)? {
                db.immediate(|| self.schema.create(&db))?;
            }
            db.guard.set_flag(self.schema.bit);
        }
        Ok(db)
    }

    /// Writes the log back, so that the database file alone is complete; not where others use it for too long.
    pub(super) fn write_back(&self) {
        let Some(entry) = self.entry.lock().take().filter(|entry| entry.is_current() && entry.has_wal()) else {
            return;
        };
        if let Ok(db) = self.take(&entry, Deadline::after(LONGEST_WAIT)) {
            db.empty_log();
        }
    }

    /// `trusting`: the file need not be looked at.
    fn entry(&self, create: bool, trusting: bool) -> Result<Option<Arc<PoolEntry>>> {
        let known = self.entry.lock().clone();
        if let Some(known) = known.filter(|known| known.is_current())
            && (trusting || pool::file_id(&self.path)? == Some(known.identity))
        {
            return Ok(Some(known));
        }
        let found = PoolEntry::of(&self.path, create)?;
        // One of the parent's is not closed by this: the list of its connections is never given back.
        *self.entry.lock() = found.clone();
        Ok(found)
    }

    fn take(&self, entry: &Arc<PoolEntry>, deadline: Deadline) -> Result<Connection<'_>> {
        let db = Connection { guard: entry.take(deadline)?, path: &self.path };
        if !db.guard.has_flag(SET_UP) {
            // Foreign keys: credentials are stored also where there is no table of users. The log is written back, which
            // waits for the disk, after 32 MB instead of 4. What is deleted is overwritten: it may be plain text.
            db.check(db.guard.execute_batch(
                "PRAGMA foreign_keys=OFF; PRAGMA synchronous=NORMAL; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY;
                 PRAGMA wal_autocheckpoint=8000; PRAGMA secure_delete=ON;",
            ))?;
            db.guard.set_flag(SET_UP);
        }
        Ok(db)
    }
}
