//! Bringing stored credentials under the newest key.

use std::time::Duration;

use rusqlite::params;
use serde_json::json;

use super::audit::{Details, Entry};
use super::credentials::stored;
use super::database::Open;
use super::failure::{error, out_of_order};
use super::{Recorder, Store};
use crate::clock::Deadline;
use crate::credential::Cipher;
use crate::error::{Result, Status};
use crate::fork;
use crate::secret_memory::SecretBytes;

/// How long others may keep plain text that was migrated from being removed from the log.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What became of the stored credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reencryption {
    /// How many there are.
    pub total: u64,
    /// How many were under an earlier key, and are under the newest now.
    pub reencrypted: u64,
    /// How many were under the newest key already.
    pub unchanged: u64,
    /// How many were plain text, and are encrypted now.
    pub migrated: u64,
    /// How many are plain text, and were left so.
    pub plain: u64,
    /// The numbers of those whose key is not at hand; they were left as they are.
    pub unreadable: Vec<i64>,
}

impl Reencryption {
    /// As a JSON object with the names of the fields.
    pub fn to_json(&self) -> String {
        json!({
            "total": self.total,
            "reencrypted": self.reencrypted,
            "unchanged": self.unchanged,
            "migrated": self.migrated,
            "plain": self.plain,
            "unreadable": self.unreadable,
        })
        .to_string()
    }
}

impl Store {
    /// Brings every stored credential under the newest key, in one transaction. With `plain`, plain text that
    /// SimpleTuner left is encrypted too; SimpleTuner itself then finds a token in its place. A table that is damaged is
    /// not changed. Each credential has the time of a call.
    ///
    /// `progress` is told how many of how many are done, and stops it all with `false`: nothing is changed then. It is
    /// called while the database is locked for other writers, and cannot use these credentials itself.
    pub fn credentials_reencrypt(
        &self,
        cipher: &Cipher,
        plain: bool,
        mut progress: impl FnMut(u64, u64) -> bool,
    ) -> Result<Reencryption> {
        let _guard = fork::protect();
        // What there is to log of the keys is logged while no connection is held.
        cipher.look_again()?;
        let deadline = self.deadline();
        let Some(open) = self.shared.credentials.change(deadline)? else { return Ok(Reencryption::default()) };
        let report = self.change(&open, deadline, |recorder| {
            // Who rotates has the new key in place before this, or finds these tokens after it.
            open.taken.call_out(|| cipher.look_again())??;
            // A table that cannot be walked from end to end is not changed.
            open.check_table("provider_credentials")?;
            recorder.record(entry("reencrypt", Details::new().flag("plain", plain).end()))?;
            reencrypt_all(&open, cipher, plain, &mut progress, || self.deadline())
        })?;
        drop(open);
        if report.migrated > 0
            && let Ok(Some(open)) = self.shared.credentials.change(Deadline::after(LONGEST_WAIT))
        {
            open.empty_log();
        }
        Ok(report)
    }

    /// Makes a new key in place of the newest one, which stays as an earlier one, and brings every stored credential
    /// under it. If that fails, all stay readable, and [`Store::credentials_reencrypt`] does the rest.
    pub fn credentials_rotate(&self, cipher: &Cipher) -> Result<Reencryption> {
        let _guard = fork::protect();
        let mut recorder = Recorder::new(self, self.deadline());
        recorder.record(entry("rotate_key", Details::new().end()))?;
        cipher.rotate_key()?;
        recorder.keep();
        self.credentials_reencrypt(cipher, false, |_, _| true).map_err(|error| {
            error.map_message(|message| {
                format!("there is a new key, but the credentials are not under it yet: {message}; re-encrypt them")
            })
        })
    }
}

fn entry(action: &'static str, details: String) -> Entry<'static> {
    Entry { event_type: "config.changed", action, target_type: Some("credentials"), target_id: None, details }
}

/// In a transaction.
fn reencrypt_all(
    open: &Open<'_>,
    cipher: &Cipher,
    plain: bool,
    progress: &mut impl FnMut(u64, u64) -> bool,
    deadline: impl Fn() -> Deadline,
) -> Result<Reencryption> {
    // Unlike a count of the whole table, one of a range can be cut short.
    let count = "SELECT count(*) FROM provider_credentials WHERE id >= ?1";
    let count: Option<i64> = open.first(count, [i64::MIN], |row| open.column(row, 0))?;
    let mut report = Reencryption { total: count.unwrap_or(0) as u64, ..Reencryption::default() };
    let (mut last, mut done) = (i64::MIN, 0);
    let next = "SELECT id, credential_value FROM provider_credentials WHERE id > ?1 ORDER BY id LIMIT 1";
    loop {
        if !open.taken.call_out(|| progress(done, report.total))? {
            return Err(error(Status::Abandoned, "the callback stopped it; no credential was changed"));
        }
        // However many there are, and however long the callback takes: each has the time of a call.
        open.taken.renew(deadline());
        let found =
            open.first(next, [last], |row| Ok((open.column(row, 0)?, SecretBytes::copy_from(stored(open, row, 1)?)?)))?;
        let Some((id, value)) = found else { return Ok(report) };
        if (done > 0 && id <= last) || done >= report.total {
            return Err(out_of_order(open.path));
        }
        last = id;
        // Outside of the gate, and with no statement under way, as it may be logged that a key cannot be read.
        let new = open.taken.call_out(|| new_token(cipher, &value, plain, last, &mut report))??;
        if let Some(token) = new {
            let text = std::str::from_utf8(&token).unwrap_or_default();
            open.execute("UPDATE provider_credentials SET credential_value = ?1 WHERE id = ?2", params![text, last])?;
        }
        done += 1;
    }
}

/// What is to stand in place of a stored value; `None` if it stays.
fn new_token(
    cipher: &Cipher,
    value: &[u8],
    plain: bool,
    id: i64,
    report: &mut Reencryption,
) -> Result<Option<SecretBytes>> {
    if !Cipher::is_token(value) {
        if !plain {
            report.plain += 1;
            return Ok(None);
        }
        report.migrated += 1;
        return cipher.encrypt(value).map(Some);
    }
    match cipher.reencrypt(value) {
        Ok(new) if new.changed => {
            report.reencrypted += 1;
            Ok(Some(new.token))
        }
        Ok(_) => {
            report.unchanged += 1;
            Ok(None)
        }
        Err(error) if error.status() == Status::BadToken => {
            report.unreadable.push(id);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
