//! Verification of the chain.

use serde_json::json;

use super::signing::{SignedFields, SigningKey};
use super::{AuditLog, GENESIS};
use crate::clock::Deadline;
use crate::error::Result;
use crate::store::connection::Connection;
use crate::store::error::out_of_order;

/// How many entries are read at once. Between two pages, other threads get the connection.
const PAGE_SIZE: i64 = 1000;
/// The maximum number of forks in a report.
const MAX_FORKS: usize = 1000;

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// It was changed after it was signed, was signed with another key, or is a copy of an earlier entry.
    Altered,
    /// Entries before it were removed: it follows an entry that does not exist.
    Missing,
    /// It is intact, but follows an entry that another one already follows: two programs appended at the same time.
    Fork,
}

impl Violation {
    /// The name in a report: `altered`, `missing` or `fork`.
    pub fn name(self) -> &'static str {
        match self {
            Violation::Altered => "altered",
            Violation::Missing => "missing",
            Violation::Fork => "fork",
        }
    }
}

/// The result of [`Store::audit_verify`](crate::Store::audit_verify).
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// How many entries were checked.
    pub checked: u64,
    /// The first invalid entry, and what is wrong with it.
    pub first: Option<(i64, Violation)>,
    /// The first entry that was tampered with: altered, or after entries that were removed.
    pub tampered: Option<(i64, Violation)>,
    /// The entries at which the chain forks, at most 1000.
    pub forks: Vec<i64>,
}

impl Verification {
    /// Whether no entry is invalid.
    pub fn is_intact(&self) -> bool {
        self.first.is_none()
    }

    /// As JSON: `{"checked": 3, "intact": false, "broken_id": 2, "kind": "fork", "tampered_id": null, "forks": [2]}`.
    pub fn to_json(&self) -> String {
        json!({
            "checked": self.checked,
            "intact": self.is_intact(),
            "broken_id": self.first.map(|(id, _)| id),
            "kind": self.first.map(|(_, kind)| kind.name()),
            "tampered_id": self.tampered.map(|(id, _)| id),
            "forks": self.forks,
        })
        .to_string()
    }

    fn add(&mut self, id: i64, kind: Violation) {
        self.first.get_or_insert((id, kind));
        match kind {
            Violation::Fork if self.forks.len() < MAX_FORKS => self.forks.push(id),
            Violation::Fork => {}
            Violation::Altered | Violation::Missing => {
                self.tampered.get_or_insert((id, kind));
            }
        }
    }
}

/// The state of a verification.
struct Verifier {
    key: SigningKey,
    /// The last checked entry, and its signature.
    last: i64,
    hash: String,
    /// The last entry to check.
    end: i64,
    report: Verification,
}

impl AuditLog {
    /// Verifies the entries with the numbers `first` to `last`.
    pub(in crate::store) fn verify(&self, first: i64, last: i64, deadline: Deadline) -> Result<Verification> {
        let Some(db) = self.database.read(deadline)? else { return Ok(Verification::default()) };
        let before = "SELECT id, entry_hash FROM audit_log WHERE id < ?1 ORDER BY id DESC LIMIT 1";
        let before = db.first(before, [first], |row| Ok((db.column(row, 0)?, db.column(row, 1)?)))?;
        let (last_seen, hash) = before.unwrap_or((0, GENESIS.to_owned()));
        // Entries appended from here on are not checked, so that this ends.
        let newest: Option<i64> = db.first("SELECT max(id) FROM audit_log", [], |row| db.column(row, 0))?.flatten();
        let Some(newest) = newest else { return self.verify_empty(&db) };
        let key = self.key(&db, deadline)?;
        drop(db);
        let start = last_seen.max(first.saturating_sub(1));
        let mut verifier = Verifier { key, last: start, hash, end: last.min(newest), report: Verification::default() };
        loop {
            let Some(db) = self.database.read(deadline)? else { break };
            if verifier.verify_page(&db)? == 0 {
                if last >= newest {
                    verifier.verify_end(&db, newest)?;
                }
                break;
            }
        }
        Ok(verifier.report)
    }

    /// The report on a trail without entries: it may have had some.
    fn verify_empty(&self, db: &Connection<'_>) -> Result<Verification> {
        let mut report = Verification::default();
        if highest_id(db)? > 0 {
            report.add(1, Violation::Missing);
        }
        Ok(report)
    }
}

/// The highest number that any entry ever had.
fn highest_id(db: &Connection<'_>) -> Result<i64> {
    let sequence = "SELECT seq FROM sqlite_sequence WHERE name = 'audit_log'";
    Ok(db.first(sequence, [], |row| db.column(row, 0))?.unwrap_or(0))
}

/// Classifies an intact entry that does not follow the one before it.
fn classify_unlinked(db: &Connection<'_>, id: i64, previous: &str, hash: &str) -> Result<Violation> {
    let parent = match previous == GENESIS {
        true => Some(0),
        false => db.first(
            "SELECT id FROM audit_log WHERE id < ?1 AND entry_hash = ?2 ORDER BY id DESC LIMIT 1",
            (id, previous),
            |row| db.column(row, 0),
        )?,
    };
    let Some(parent) = parent else { return Ok(Violation::Missing) };
    // A copy of an earlier entry has a valid signature too, and follows the same entry.
    let copied = "SELECT 1 FROM audit_log WHERE id > ?1 AND id < ?2 AND entry_hash = ?3 LIMIT 1";
    let is_copy = db.first(copied, (parent, id, hash), |_| Ok(()))?.is_some();
    Ok(if is_copy { Violation::Altered } else { Violation::Fork })
}

impl Verifier {
    /// Checks the next page of entries. Returns how many there were.
    fn verify_page(&mut self, db: &Connection<'_>) -> Result<u64> {
        let mut count = 0;
        let sql =
            "SELECT id, timestamp, event_type, actor_id, action, details, previous_hash, entry_hash FROM audit_log
                   WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3";
        db.each(sql, [self.last, self.end, PAGE_SIZE], |row| {
            count += 1;
            self.verify_entry(db, row)
        })?;
        Ok(count)
    }

    fn verify_entry(&mut self, db: &Connection<'_>, row: &rusqlite::Row<'_>) -> Result<()> {
        let text = |index| row.get_ref(index).ok().and_then(|value| value.as_str().ok()).unwrap_or("");
        let id = db.column(row, 0)?;
        if id <= self.last {
            return Err(out_of_order(db.path));
        }
        // A column of another type was altered.
        let actor_id: Option<Option<i64>> = row.get(3).ok();
        let (previous, hash) = (text(6), text(7));
        let is_signed = actor_id.is_some_and(|actor_id| {
            let fields = SignedFields {
                timestamp: text(1),
                event_type: text(2),
                actor_id,
                action: text(4),
                details: text(5),
                previous_hash: previous,
            };
            self.key.sign(&fields) == hash
        });
        // Numbers are consecutive and are never reused.
        if id > self.last + 1 {
            self.report.add(id, Violation::Missing);
        }
        if !is_signed {
            self.report.add(id, Violation::Altered);
        } else if previous != self.hash {
            let kind = classify_unlinked(db, id, previous, hash)?;
            self.report.add(id, kind);
        }
        self.report.checked += 1;
        self.last = id;
        hash.clone_into(&mut self.hash);
        Ok(())
    }

    /// Checks whether entries were removed at the end: numbers are never reused.
    fn verify_end(&mut self, db: &Connection<'_>, newest: i64) -> Result<()> {
        let still_newest = db.first("SELECT max(id) FROM audit_log", [], |row| db.column::<i64>(row, 0))?;
        if still_newest == Some(newest) && highest_id(db)? > newest {
            self.report.add(newest + 1, Violation::Missing);
        }
        Ok(())
    }
}
