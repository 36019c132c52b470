//! Removal of old entries.
//!
//! Both programs verify a chain that begins with the signature `genesis`. So the entries that are kept are signed again
//! as a chain of their own, and a signed entry records what was removed: its numbers, the signature of the last removed
//! entry, and the newest signature before the removal. With these the former chain can be computed again.
//!
//! A chain that was tampered with is left as it is: signing it again would hide that.

use std::time::Duration;

use serde_json::json;

use super::cut::{RETENTION_ACTION, RETENTION_EVENT};
use super::entry::{Details, Entry};
use super::signing::{SignedFields, SigningKey};
use super::verify::Verifier;
use super::{AuditLog, GENESIS, insert};
use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::settings::Environment;
use crate::store::actor::Actor;
use crate::store::connection::{Connection, WAL_TIMEOUT};
use crate::store::error::corrupt;
use crate::store::time;

/// How many of the newest signatures are recorded: another program may append to one that it read before the removal.
const RECENT: i64 = 32;
/// How many entries are signed again at once.
const PAGE_SIZE: i64 = 1000;
const DAY: Duration = Duration::from_secs(86_400);

/// What [`Store::audit_retain`](crate::Store::audit_retain) removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The number of removed entries.
    pub removed: i64,
    /// The first and the last of them.
    pub range: Option<(i64, i64)>,
    /// Entries from this time on are kept. `None` if all are.
    pub before: Option<String>,
    /// The entry that records the removal.
    pub record_id: Option<i64>,
}

impl Retention {
    /// As JSON: `{"removed":12,"first_id":1,"last_id":12,"before":"2026-05-24T00:00:00+00:00","record_id":31}`.
    pub fn to_json(&self) -> String {
        json!({
            "removed": self.removed,
            "first_id": self.range.map(|(first, _)| first),
            "last_id": self.range.map(|(_, last)| last),
            "before": self.before,
            "record_id": self.record_id,
        })
        .to_string()
    }
}

impl AuditLog {
    /// Removes the entries before the first one that is at most this many days old.
    pub(in crate::store) fn retain(&self, actor: &Actor, days: u32, deadline: Deadline) -> Result<Retention> {
        let age = DAY.saturating_mul(days);
        let Some(before) = time::ago(age) else { return Ok(Retention::default()) };
        let kept = Retention { before: Some(before.clone()), ..Retention::default() };
        let Some(db) = self.database.change(deadline)? else { return Ok(kept) };
        let key = self.key(&db, deadline)?;
        let removed = db.immediate(|| {
            let Some(old) = OldEntries::find(&db, &before)? else { return Ok(None) };
            let forks = check(&db, &key)?;
            let recent = recent_hashes(&db)?;
            let recent: Vec<&str> = recent.iter().map(String::as_str).collect();
            let last_hash = hash_of(&db, "SELECT entry_hash FROM audit_log WHERE id = ?1", [old.last])?;
            db.execute("DELETE FROM audit_log WHERE id <= ?1", [old.last])?;
            sign_again(&db, &key, old.last)?;
            let details = Details::new()
                .text("before", &before)
                .number("days", days.into())
                .number("removed", old.count)
                .number("first_id", old.first)
                .number("last_id", old.last)
                .text("last_hash", &last_hash)
                .text("head_hash", recent.first().copied().unwrap_or_default())
                .number("forks", forks)
                .names("recent_hashes", &recent);
            let record = Entry {
                event_type: RETENTION_EVENT,
                action: RETENTION_ACTION,
                target_type: Some("audit_log"),
                target_id: Some(format!("{}-{}", old.first, old.last)),
                details: details.finish(),
            };
            Ok(Some((old, insert(&db, &key, actor, &record)?)))
        })?;
        let Some((old, record_id)) = removed else { return Ok(kept) };
        // Nothing of the removed entries remains in the log.
        db.truncate_wal(Deadline::after(WAL_TIMEOUT));
        let range = Some((old.first, old.last));
        Ok(Retention { removed: old.count, range, record_id: Some(record_id), ..kept })
    }
}

/// The entries at the beginning of the trail that are old.
struct OldEntries {
    count: i64,
    first: i64,
    last: i64,
}

impl OldEntries {
    fn find(db: &Connection<'_>, before: &str) -> Result<Option<OldEntries>> {
        let kept = "SELECT id FROM audit_log WHERE timestamp >= ?1 ORDER BY id LIMIT 1";
        let first_kept = db.first(kept, [before], |row| db.column(row, 0))?.unwrap_or(i64::MAX);
        let sql = "SELECT count(*), min(id), max(id) FROM audit_log WHERE id < ?1";
        let found = db.first(sql, [first_kept], |row| {
            let range: (Option<i64>, Option<i64>) = (db.column(row, 1)?, db.column(row, 2)?);
            Ok(range.0.zip(range.1).map(|(first, last)| (db.column(row, 0), first, last)))
        })?;
        let Some((count, first, last)) = found.flatten() else { return Ok(None) };
        Ok(Some(OldEntries { count: count?, first, last }))
    }
}

/// Verifies the whole trail. Returns the number of its forks.
fn check(db: &Connection<'_>, key: &SigningKey) -> Result<i64> {
    let report = Verifier::new(db, key.clone(), 1, i64::MAX)?.verify_all(db)?;
    match report.tampered {
        None => Ok(report.forks.len() as i64),
        Some((id, violation)) => {
            let message = format!(
                "no old entry of the audit trail was removed: entry {id} is {}, and signing the rest again would hide \
                 that; keep the file, find the cause, and continue with a new trail or one from a backup",
                violation.name()
            );
            Err(corrupt(db.path, message))
        }
    }
}

fn hash_of(db: &Connection<'_>, sql: &'static str, parameters: impl rusqlite::Params) -> Result<String> {
    Ok(db.first(sql, parameters, |row| db.column(row, 0))?.unwrap_or_default())
}

/// Returns the newest signatures, the newest first.
fn recent_hashes(db: &Connection<'_>) -> Result<Vec<String>> {
    let mut recent = Vec::new();
    db.each("SELECT entry_hash FROM audit_log ORDER BY id DESC LIMIT ?1", [RECENT], |row| {
        recent.push(db.column(row, 0)?);
        Ok(())
    })?;
    Ok(recent)
}

/// Signs the entries after `last` again, as a chain of their own.
fn sign_again(db: &Connection<'_>, key: &SigningKey, mut last: i64) -> Result<()> {
    let mut previous = GENESIS.to_owned();
    let sql = "SELECT id, timestamp, event_type, actor_id, action, details, previous_hash FROM audit_log WHERE id > ?1
               ORDER BY id LIMIT ?2";
    loop {
        let mut page: Vec<(i64, String, String)> = Vec::new();
        db.each(sql, [last, PAGE_SIZE], |row| {
            let fields =
                SignedFields::of_row(row).ok_or_else(|| corrupt(db.path, "an entry has an unexpected type"))?;
            let hash = key.sign(&SignedFields { previous_hash: &previous, ..fields });
            page.push((db.column(row, 0)?, std::mem::replace(&mut previous, hash.clone()), hash));
            Ok(())
        })?;
        let Some((id, ..)) = page.last() else { return Ok(()) };
        last = *id;
        for (id, previous, hash) in page {
            let update = "UPDATE audit_log SET previous_hash = ?2, entry_hash = ?3 WHERE id = ?1";
            db.execute(update, (id, previous, hash))?;
        }
    }
}

/// The days of `SIMPLETUNER_AUDIT_RETENTION_DAYS`, 90 by default. `None` if it is 0 or negative: nothing is removed.
pub(in crate::store) fn days_of_environment() -> Result<Option<u32>> {
    const VARIABLE: &str = "SIMPLETUNER_AUDIT_RETENTION_DAYS";
    const DEFAULT_DAYS: u32 = 90;
    let Some(value) = Environment::Process.non_empty(VARIABLE) else {
        return Ok(Some(DEFAULT_DAYS));
    };
    let days = value.to_str().and_then(|text| text.trim().parse::<i64>().ok());
    let days = days.ok_or_else(|| {
        Error::new(crate::error::Status::Config, format!("{VARIABLE} is not a number of days; correct or unset it"))
    })?;
    Ok(u32::try_from(days).ok().filter(|days| *days > 0))
}
