//! Verification of the chain.

use std::time::Duration;

use serde_json::{Value, json};

use super::cut::Cut;
use super::signing::{SignedFields, SigningKey, signature};
use super::{AuditLog, GENESIS};
use crate::clock::Deadline;
use crate::error::Result;
use crate::store::connection::Connection;
use crate::store::error::out_of_order;

/// How many entries are read at once. Between two pages, other threads get the connection.
const PAGE_SIZE: i64 = 1000;
/// The maximum number of forks and of broken links in a report.
const MAX_LINKS: usize = 1000;

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

/// What does not fit in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// The entry does not follow the one before it.
    Previous {
        /// The signature of the entry before it.
        expected: String,
        /// The signature that it names.
        actual: String,
    },
    /// The signature is not that of the entry. The right one is not revealed: it would let the author of an altered
    /// entry sign it.
    Signature {
        /// The signature that is stored.
        actual: String,
    },
    /// Entries before this number were removed, although the signatures fit.
    Removed,
}

/// A place where the chain is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenLink {
    /// The number of the entry; for entries that were removed at the end, the first of them.
    pub id: i64,
    /// What is wrong with the entry.
    pub violation: Violation,
    /// What does not fit.
    pub error: LinkError,
}

impl BrokenLink {
    /// As JSON, with the members of SimpleTuner's.
    fn to_json(&self) -> Value {
        let (id, kind) = (self.id, self.violation.name());
        match &self.error {
            LinkError::Previous { expected, actual } => {
                json!({"id": id, "kind": kind, "expected_previous": expected, "actual_previous": actual})
            }
            LinkError::Signature { actual } => {
                json!({"id": id, "kind": kind, "error": "hash_mismatch", "expected_hash": null, "actual_hash": actual})
            }
            LinkError::Removed => json!({"id": id, "kind": kind, "error": "entries_removed"}),
        }
    }
}

/// The result of [`Store::audit_verify`](crate::Store::audit_verify).
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// How many entries were checked.
    pub checked: u64,
    /// The first and the last of them.
    pub range: Option<(i64, i64)>,
    /// The first invalid entry, and what is wrong with it.
    pub first: Option<(i64, Violation)>,
    /// The first entry that was tampered with: altered, or after entries that were removed.
    pub tampered: Option<(i64, Violation)>,
    /// The entries at which the chain forks, at most 1000.
    pub forks: Vec<i64>,
    /// The places where the chain is broken, at most 1000.
    pub broken_links: Vec<BrokenLink>,
}

impl Verification {
    /// Whether no entry is invalid.
    pub fn is_intact(&self) -> bool {
        self.first.is_none()
    }

    /// As JSON: `valid`, `entries_checked`, `first_id`, `last_id` and `broken_links`, as SimpleTuner reports them, and
    /// `broken_id`, `kind`, `tampered_id` and `forks`.
    pub fn to_json(&self) -> String {
        json!({
            "valid": self.is_intact(),
            "entries_checked": self.checked,
            "first_id": self.range.map(|(first, _)| first),
            "last_id": self.range.map(|(_, last)| last),
            "broken_links": self.broken_links.iter().map(BrokenLink::to_json).collect::<Vec<_>>(),
            "broken_id": self.first.map(|(id, _)| id),
            "kind": self.first.map(|(_, kind)| kind.name()),
            "tampered_id": self.tampered.map(|(id, _)| id),
            "forks": self.forks,
        })
        .to_string()
    }

    fn add(&mut self, id: i64, violation: Violation, error: LinkError) {
        self.first.get_or_insert((id, violation));
        match violation {
            Violation::Fork if self.forks.len() < MAX_LINKS => self.forks.push(id),
            Violation::Fork => {}
            Violation::Altered | Violation::Missing => {
                self.tampered.get_or_insert((id, violation));
            }
        }
        if self.broken_links.len() < MAX_LINKS {
            self.broken_links.push(BrokenLink { id, violation, error });
        }
    }
}

/// The state of a verification.
pub(super) struct Verifier {
    key: SigningKey,
    cut: Cut,
    /// The last checked entry, and its signature.
    last: i64,
    hash: String,
    /// The last entry to check.
    end: i64,
    report: Verification,
}

impl AuditLog {
    /// Verifies the entries with the numbers `first` to `last`. Each page has the time `timeout`: a long trail takes
    /// long, and every page brings the end nearer.
    pub(in crate::store) fn verify(&self, first: i64, last: i64, timeout: Duration) -> Result<Verification> {
        loop {
            let Some(db) = self.read(timeout)? else { return Ok(Verification::default()) };
            let oldest = oldest_id(&db)?;
            if oldest.is_none() {
                return verify_empty(&db);
            }
            let verifier = Verifier::new(&db, self.key(&db, Deadline::after(timeout))?, first, last)?;
            drop(db);
            let report = self.run(verifier, timeout)?;
            let Some(db) = self.read(timeout)? else { return Ok(report) };
            // If old entries were removed meanwhile, the others were signed again.
            if report.is_intact() || oldest_id(&db)? == oldest {
                return Ok(report);
            }
        }
    }

    /// Opens the database for statements that have the time `timeout` after this thread has acquired the connection.
    fn read(&self, timeout: Duration) -> Result<Option<Connection<'_>>> {
        let db = self.database.read(Deadline::after(timeout))?;
        db.iter().for_each(|db| db.limit(Deadline::after(timeout)));
        Ok(db)
    }

    fn run(&self, mut verifier: Verifier, timeout: Duration) -> Result<Verification> {
        loop {
            #[cfg(test)]
            tests::between_pages();
            let Some(db) = self.read(timeout)? else { return Ok(verifier.report) };
            if verifier.verify_page(&db)? == 0 {
                verifier.verify_end(&db)?;
                return Ok(verifier.report);
            }
        }
    }
}

fn oldest_id(db: &Connection<'_>) -> Result<Option<i64>> {
    Ok(db.first("SELECT min(id) FROM audit_log", [], |row| db.column(row, 0))?.flatten())
}

/// The report on a trail without entries: it may have had some.
fn verify_empty(db: &Connection<'_>) -> Result<Verification> {
    let mut report = Verification::default();
    if let (None, Some(1..)) = newest_and_highest_id(db)? {
        report.add(1, Violation::Missing, LinkError::Removed);
    }
    Ok(report)
}

/// The number of the newest entry, and the highest number that any entry ever had. One statement reads both, so an
/// entry that is appended meanwhile is in both or in neither.
fn newest_and_highest_id(db: &Connection<'_>) -> Result<(Option<i64>, Option<i64>)> {
    let sql = "SELECT (SELECT max(id) FROM audit_log), (SELECT seq FROM sqlite_sequence WHERE name = 'audit_log')";
    Ok(db.first(sql, [], |row| Ok((db.column(row, 0)?, db.column(row, 1)?)))?.unwrap_or_default())
}

impl Verifier {
    /// Prepares the verification of the entries `first` to `last`. The trail has entries.
    pub(super) fn new(db: &Connection<'_>, key: SigningKey, first: i64, last: i64) -> Result<Verifier> {
        let cut = Cut::find(db, &key)?;
        let before = "SELECT id, entry_hash FROM audit_log WHERE id < ?1 ORDER BY id DESC LIMIT 1";
        let before = db.first(before, [first], |row| Ok((db.column(row, 0)?, signature(row, 1).to_owned())))?;
        let (last_seen, hash) = before.unwrap_or((cut.last_id, GENESIS.to_owned()));
        // Entries appended from here on are not checked, so that this ends.
        let newest: Option<i64> = db.first("SELECT max(id) FROM audit_log", [], |row| db.column(row, 0))?.flatten();
        let start = last_seen.max(first.saturating_sub(1));
        let end = last.min(newest.unwrap_or(0));
        Ok(Verifier { key, cut, last: start, hash, end, report: Verification::default() })
    }

    /// Verifies the rest on this connection, in the caller's transaction.
    pub(super) fn verify_all(mut self, db: &Connection<'_>) -> Result<Verification> {
        while self.verify_page(db)? > 0 {}
        self.verify_end(db)?;
        Ok(self.report)
    }

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
        let id = db.column(row, 0)?;
        if id <= self.last {
            return Err(out_of_order(db.path));
        }
        let (previous, hash) = (signature(row, 6), signature(row, 7));
        let is_signed = SignedFields::of_row(row).is_some_and(|fields| self.key.sign(&fields) == hash);
        // Numbers are consecutive and are never reused.
        let follows_gap = id > self.last + 1;
        if previous != self.hash {
            let violation = match (follows_gap, is_signed) {
                (true, _) => Violation::Missing,
                (false, true) => self.classify_unlinked(db, id, previous, hash)?,
                (false, false) => Violation::Altered,
            };
            let error = LinkError::Previous { expected: self.hash.clone(), actual: previous.to_owned() };
            self.report.add(id, violation, error);
        } else if follows_gap {
            self.report.add(id, Violation::Missing, LinkError::Removed);
        }
        if !is_signed {
            self.report.add(id, Violation::Altered, LinkError::Signature { actual: hash.to_owned() });
        }
        self.report.checked += 1;
        self.report.range = Some((self.report.range.map_or(id, |(first, _)| first), id));
        self.last = id;
        hash.clone_into(&mut self.hash);
        Ok(())
    }

    /// Classifies an intact entry that does not follow the one before it.
    fn classify_unlinked(&self, db: &Connection<'_>, id: i64, previous: &str, hash: &str) -> Result<Violation> {
        let parent = match previous {
            GENESIS => Some(0),
            // The other program read this signature before the entries were signed again.
            previous if self.cut.recent.iter().any(|hash| hash == previous) => Some(self.cut.last_id),
            previous => db.first(
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

    /// Checks whether entries were removed at the end: numbers are never reused.
    fn verify_end(&mut self, db: &Connection<'_>) -> Result<()> {
        let (newest, highest) = newest_and_highest_id(db)?;
        if newest == Some(self.end) && highest > newest {
            self.report.add(self.end + 1, Violation::Missing, LinkError::Removed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::thread::sleep;

    use super::*;
    use crate::{Config, Store};

    thread_local! {
        static PAUSE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
        static PAGES: Cell<u32> = const { Cell::new(0) };
    }

    /// Takes time in which this thread does not have the connection, as other threads may.
    pub(super) fn between_pages() {
        PAGES.set(PAGES.get() + 1);
        sleep(PAUSE.get());
    }

    #[test]
    fn verification_may_take_longer_than_the_timeout_of_a_page() {
        const TIMEOUT: Duration = Duration::from_secs(2);
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::new();
        config.set("state_dir", directory.path().to_str().unwrap()).unwrap();
        config.set("timeout", &TIMEOUT.as_secs().to_string()).unwrap();
        let store = Store::open(&config).unwrap();
        let entries = PAGE_SIZE + 1;
        for _ in 0..entries {
            store.audit_log("test", "test", None, "").unwrap();
        }

        PAUSE.set(TIMEOUT + TIMEOUT / 10);
        let report = store.audit_verify(0, 0).unwrap();
        assert!(report.is_intact() && report.checked == entries as u64, "{report:?}");
        assert_eq!(PAGES.get(), 3, "two pages, and an empty one");
    }
}
