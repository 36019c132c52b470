//! A database at a path: found, opened, given its tables, and used in transactions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{CachedStatement, Params};

use super::failure::{check, damaged};
use super::schema::Schema;
use super::slot::{self, Slot, Taken};
use crate::clock::{Deadline, Instant};
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
    slot: Mutex<Option<Arc<Slot>>>,
    /// When it was last seen to be in its place.
    looked: AtomicU64,
}

impl Database {
    pub(super) fn new(path: PathBuf, schema: &'static Schema) -> Database {
        Database { path, schema, slot: Mutex::new(None), looked: AtomicU64::new(0) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// For reading. `None`: there is no such file, or it has not the tables; nothing is created.
    pub(super) fn read(&self, deadline: Deadline) -> Result<Option<Open<'_>>> {
        let now = sys::coarse_time_awake();
        let is_fresh = now.saturating_sub(self.looked.load(Relaxed)) < LOOK_INTERVAL;
        self.find(now, is_fresh, deadline)
    }

    /// For changing what is there already; else as [`Database::read`]. A file that was replaced just now is not written.
    pub(super) fn change(&self, deadline: Deadline) -> Result<Option<Open<'_>>> {
        self.find(sys::coarse_time_awake(), false, deadline)
    }

    fn find(&self, now: u64, is_fresh: bool, deadline: Deadline) -> Result<Option<Open<'_>>> {
        let Some(slot) = self.slot(false, is_fresh)? else { return Ok(None) };
        if !is_fresh {
            self.looked.store(now, Relaxed);
        }
        let open = self.take(&slot, deadline)?;
        if !open.taken.knows(self.schema.bit) {
            if !self.schema.is_there(&open)? {
                return Ok(None);
            }
            open.taken.learn(self.schema.bit);
        }
        Ok(Some(open))
    }

    /// For writing; the file and its tables are created where they are missing.
    pub(super) fn write(&self, deadline: Deadline) -> Result<Open<'_>> {
        let slot = match self.slot(false, false)? {
            Some(slot) => slot,
            None => {
                files::path_to_create(&self.path).map_err(|error| error.with_source(Source::Store))?;
                self.slot(true, false)?.ok_or_else(|| {
                    Error::io("create", &self.path, &std::io::ErrorKind::NotFound.into()).with_source(Source::Store)
                })?
            }
        };
        let open = self.take(&slot, deadline)?;
        if !open.taken.knows(WAL) {
            let mode: String = open.check(open.taken.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0)))?;
            // Where shared memory cannot be had, SQLite stays with its other way, and all works but slower.
            if mode != "wal" {
                let shown = self.path.display();
                slot::tell(Level::Warn, format!("{shown} cannot have a write-ahead log and stays in the mode {mode}"));
            }
            open.taken.learn(WAL);
        }
        if !open.taken.knows(self.schema.bit) {
            if !self.schema.is_there(&open)? {
                open.immediate(|| self.schema.create(&open))?;
            }
            open.taken.learn(self.schema.bit);
        }
        Ok(open)
    }

    /// Writes the log back, so that the database file alone is complete; not where others use it for too long.
    pub(super) fn write_back(&self) {
        let Some(slot) = self.slot.lock().take().filter(|slot| slot.is_current() && slot.has_log()) else { return };
        if let Ok(open) = self.take(&slot, Deadline::after(LONGEST_WAIT)) {
            open.empty_log();
        }
    }

    /// `trusting`: the file need not be looked at.
    fn slot(&self, create: bool, trusting: bool) -> Result<Option<Arc<Slot>>> {
        let known = self.slot.lock().clone();
        if let Some(known) = known.filter(|known| known.is_current())
            && (trusting || slot::identity(&self.path)? == Some(known.identity))
        {
            return Ok(Some(known));
        }
        let found = Slot::of(&self.path, create)?;
        // One of the parent's is not closed by this: the list of its connections is never given back.
        *self.slot.lock() = found.clone();
        Ok(found)
    }

    fn take(&self, slot: &Arc<Slot>, deadline: Deadline) -> Result<Open<'_>> {
        let open = Open { taken: slot.take(deadline)?, path: &self.path };
        if !open.taken.knows(SET_UP) {
            // Foreign keys: credentials are stored also where there is no table of users. The log is written back, which
            // waits for the disk, after 32 MB instead of 4. What is deleted is overwritten: it may be plain text.
            open.check(open.taken.execute_batch(
                "PRAGMA foreign_keys=OFF; PRAGMA synchronous=NORMAL; PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY;
                 PRAGMA wal_autocheckpoint=8000; PRAGMA secure_delete=ON;",
            ))?;
            open.taken.learn(SET_UP);
        }
        Ok(open)
    }
}

/// A database with the connection that this thread has for now.
pub(super) struct Open<'a> {
    pub(super) taken: Taken,
    pub(super) path: &'a Path,
}

impl Open<'_> {
    pub(super) fn check<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        check(self.path, Some(&self.taken), result)
    }

    /// A statement, prepared once for each connection.
    pub(super) fn prepare(&self, sql: &'static str) -> Result<CachedStatement<'_>> {
        self.check(self.taken.prepare_cached(sql))
    }

    /// Runs a statement that changes something; how many rows it changed.
    pub(super) fn execute(&self, sql: &'static str, parameters: impl Params) -> Result<usize> {
        let mut statement = self.prepare(sql)?;
        self.check(statement.execute(parameters))
    }

    /// The first row of a query as `take` reads it; `None` if there is none.
    pub(super) fn first<T>(
        &self,
        sql: &'static str,
        parameters: impl Params,
        take: impl FnOnce(&rusqlite::Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.prepare(sql)?;
        let mut rows = self.check(statement.query(parameters))?;
        self.check(rows.next())?.map(take).transpose()
    }

    /// Runs `body` for each row of a query.
    pub(super) fn each(
        &self,
        sql: &'static str,
        parameters: impl Params,
        mut body: impl FnMut(&rusqlite::Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut statement = self.prepare(sql)?;
        let mut rows = self.check(statement.query(parameters))?;
        while let Some(row) = self.check(rows.next())? {
            body(row)?;
        }
        Ok(())
    }

    /// A column of a row.
    pub(super) fn column<T: rusqlite::types::FromSql>(&self, row: &rusqlite::Row<'_>, index: usize) -> Result<T> {
        self.check(row.get(index))
    }

    /// Writes the log back and empties it, so that nothing of what was there before a change is left on the disk; not
    /// where others read for too long.
    pub(super) fn empty_log(&self) {
        let _ = self.taken.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// Writes the log back after a commit, as far as nobody is in the way and its pace allows.
    fn write_back(&self) {
        if !self.taken.slot.pace.lock().allows() {
            return;
        }
        let begun = Instant::now();
        // A commit is one, whether its log is written back or not.
        let _ = slot::whole(|| self.first("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())));
        self.taken.slot.pace.lock().note(begun.elapsed());
    }

    /// Runs `body` in a transaction that nobody else writes in; it is undone if `body` or the commit fails.
    pub(super) fn immediate<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        self.execute("BEGIN IMMEDIATE", [])?;
        let result = body().and_then(|value| slot::whole(|| self.execute("COMMIT", [])).map(|_| value));
        if result.is_ok() {
            self.write_back();
        }
        if result.is_err() && self.taken.slot.is_current() && !self.taken.is_autocommit() {
            // Where it fails, SQLite has undone everything itself.
            let _ = slot::whole(|| self.execute("ROLLBACK", []));
        }
        result
    }

    /// An error if the pages of this table and its indexes are damaged. It reads all of them.
    pub(super) fn check_table(&self, table: &'static str) -> Result<()> {
        let sql = format!("PRAGMA quick_check({table})");
        let mut statement = self.check(self.taken.prepare(&sql))?;
        let mut rows = self.check(statement.query([]))?;
        match self.check(rows.next())?.map(|row| self.column::<String>(row, 0)).transpose()? {
            Some(found) if found == "ok" => Ok(()),
            // What SQLite says may quote what is stored.
            _ => Err(damaged(self.path, "PRAGMA quick_check finds errors in it")),
        }
    }
}
