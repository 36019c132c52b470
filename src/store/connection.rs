//! A database together with this thread's hold on its connection: statements and transactions.

use std::path::Path;

use rusqlite::{CachedStatement, Params};

use super::error::{check, damaged};
use super::pool::{self, ConnectionGuard};
use crate::clock::Instant;
use crate::error::Result;

/// A database with the connection that this thread has for now.
pub(super) struct Connection<'a> {
    pub(super) guard: ConnectionGuard,
    pub(super) path: &'a Path,
}

impl Connection<'_> {
    pub(super) fn check<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        check(self.path, Some(&self.guard), result)
    }

    /// A statement, prepared once for each connection.
    pub(super) fn prepare(&self, sql: &'static str) -> Result<CachedStatement<'_>> {
        self.check(self.guard.prepare_cached(sql))
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
        let _ = self.guard.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// Writes the log back after a commit, as far as nobody is in the way and its throttle allows.
    fn write_back(&self) {
        if !self.guard.entry.checkpoints.lock().allows() {
            return;
        }
        let begun = Instant::now();
        // A commit is one, whether its log is written back or not.
        let _ = pool::ignoring_deadline(|| self.first("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())));
        self.guard.entry.checkpoints.lock().note(begun.elapsed());
    }

    /// Runs `body` in a transaction that nobody else writes in; it is undone if `body` or the commit fails.
    pub(super) fn immediate<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        self.execute("BEGIN IMMEDIATE", [])?;
        let result = body().and_then(|value| pool::ignoring_deadline(|| self.execute("COMMIT", [])).map(|_| value));
        if result.is_ok() {
            self.write_back();
        }
        if result.is_err() && self.guard.entry.is_current() && !self.guard.is_autocommit() {
            // Where it fails, SQLite has undone everything itself.
            let _ = pool::ignoring_deadline(|| self.execute("ROLLBACK", []));
        }
        result
    }

    /// An error if the pages of this table and its indexes are damaged. It reads all of them.
    pub(super) fn check_table(&self, table: &'static str) -> Result<()> {
        let sql = format!("PRAGMA quick_check({table})");
        let mut statement = self.check(self.guard.prepare(&sql))?;
        let mut rows = self.check(statement.query([]))?;
        match self.check(rows.next())?.map(|row| self.column::<String>(row, 0)).transpose()? {
            Some(found) if found == "ok" => Ok(()),
            // What SQLite says may quote what is stored.
            _ => Err(damaged(self.path, "PRAGMA quick_check finds errors in it")),
        }
    }
}
