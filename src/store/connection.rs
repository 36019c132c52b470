//! A database connection held by this thread: statements and transactions.

use std::path::Path;
use std::time::Duration;

use rusqlite::{CachedStatement, Params};

use super::error::{check, damaged};
use super::interrupt::{ignoring_deadline, set_deadline};
use super::pool::ConnectionGuard;
use crate::clock::{Deadline, Instant};
use crate::error::Result;

/// How long [`Connection::truncate_wal`] may wait for other processes. It runs after the change is committed, and while
/// SQLite waits for a reader, it keeps other writers out.
pub(super) const WAL_TIMEOUT: Duration = Duration::from_secs(1);

/// A database with the connection that this thread holds.
pub(super) struct Connection<'a> {
    pub(super) guard: ConnectionGuard,
    pub(super) path: &'a Path,
}

impl Connection<'_> {
    /// Converts SQLite's error into this crate's.
    pub(super) fn check<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        check(self.path, Some(&self.guard), result)
    }

    /// Sets another deadline for statements of this connection from here on.
    pub(super) fn limit(&self, deadline: Deadline) {
        set_deadline(Some(deadline));
    }

    /// Prepares a statement, once per connection.
    pub(super) fn prepare(&self, sql: &'static str) -> Result<CachedStatement<'_>> {
        self.check(self.guard.prepare_cached(sql))
    }

    /// Runs a statement that changes something. Returns how many rows it changed.
    pub(super) fn execute(&self, sql: &'static str, parameters: impl Params) -> Result<usize> {
        let mut statement = self.prepare(sql)?;
        self.check(statement.execute(parameters))
    }

    /// Reads the first row of a query with `read`. `None` if there is none.
    pub(super) fn first<T>(
        &self,
        sql: &'static str,
        parameters: impl Params,
        read: impl FnOnce(&rusqlite::Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.prepare(sql)?;
        let mut rows = self.check(statement.query(parameters))?;
        self.check(rows.next())?.map(read).transpose()
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

    /// Reads a column of a row.
    pub(super) fn column<T: rusqlite::types::FromSql>(&self, row: &rusqlite::Row<'_>, index: usize) -> Result<T> {
        self.check(row.get(index))
    }

    /// Checkpoints and truncates the write-ahead log, so that nothing of the data before a change remains on disk. Does
    /// nothing if other processes read until the deadline, which is [`WAL_TIMEOUT`] from now at most.
    pub(super) fn truncate_wal(&self, deadline: Deadline) {
        self.limit(deadline);
        let _ = self.guard.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// Checkpoints the write-ahead log after a commit, as far as other processes and the throttle allow.
    fn checkpoint(&self) {
        if !self.guard.entry.checkpoints.lock().allows() {
            return;
        }
        let started = Instant::now();
        // The commit is valid whether the checkpoint succeeds or not.
        let _ = ignoring_deadline(|| self.first("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())));
        self.guard.entry.checkpoints.lock().record(started.elapsed());
    }

    /// Runs `body` in a transaction with the write lock. If `body` or the commit fails, it is rolled back.
    pub(super) fn immediate<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        self.execute("BEGIN IMMEDIATE", [])?;
        let result = body().and_then(|value| ignoring_deadline(|| self.execute("COMMIT", [])).map(|_| value));
        if result.is_ok() {
            self.checkpoint();
        } else if self.guard.entry.is_own() && !self.guard.is_autocommit() {
            // If this fails, SQLite has rolled back already.
            let _ = ignoring_deadline(|| self.execute("ROLLBACK", []));
        }
        result
    }

    /// Returns an error if the pages of this table or its indexes are damaged. Reads all of them.
    pub(super) fn check_table(&self, table: &'static str) -> Result<()> {
        let sql = format!("PRAGMA quick_check({table})");
        let mut statement = self.check(self.guard.prepare(&sql))?;
        let mut rows = self.check(statement.query([]))?;
        match self.check(rows.next())?.map(|row| self.column::<String>(row, 0)).transpose()? {
            Some(found) if found == "ok" => Ok(()),
            // SQLite's report may quote stored data.
            _ => Err(damaged(self.path, "PRAGMA quick_check reports errors")),
        }
    }
}
