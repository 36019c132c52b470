//! Re-encryption of stored credentials under the newest key.

use rusqlite::params;
use serde_json::json;

use super::stored;
use crate::clock::Deadline;
use crate::encryption::Cipher;
use crate::error::{Result, Status};
use crate::fork;
use crate::secret_memory::SecretBytes;
use crate::store::Store;
use crate::store::audit::{Details, Entry, recorded};
use crate::store::connection::{Connection, WAL_TIMEOUT};
use crate::store::error::{error, out_of_order};

/// The result of a re-encryption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reencryption {
    /// How many credentials there are.
    pub total: u64,
    /// How many were under a previous key and are now under the newest.
    pub reencrypted: u64,
    /// How many were already under the newest key.
    pub unchanged: u64,
    /// How many were plain text and are now encrypted.
    pub migrated: u64,
    /// How many are plain text, or empty, and were left unchanged.
    pub plain: u64,
    /// The ids of those that no available key decrypts. They were left unchanged.
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
    /// Re-encrypts every stored credential under the newest key, in one transaction. With `plain`, plain text written
    /// by SimpleTuner is encrypted too; SimpleTuner itself then finds a token in its place. A damaged table is not
    /// changed. The `timeout` of the store applies to each credential.
    ///
    /// `progress` gets the number of processed credentials and their total. If it returns `false`, nothing is changed.
    /// It is called while the database is locked for other writers, and cannot use these credentials itself.
    pub fn credentials_reencrypt(
        &self,
        cipher: &Cipher,
        plain: bool,
        mut progress: impl FnMut(u64, u64) -> bool,
    ) -> Result<Reencryption> {
        let _guard = fork::protect();
        // Logs warnings about the keys while no connection is held.
        cipher.refresh()?;
        let deadline = self.deadline();
        let Some(db) = self.shared.credentials.change(deadline)? else { return Ok(Reencryption::default()) };
        let report = self.change(&db, deadline, |record| {
            // A rotation that comes first has stored its new key; one that comes later finds these tokens.
            db.guard.unprotected(|| cipher.refresh())??;
            // A table that cannot be read completely is not changed.
            db.check_table("provider_credentials")?;
            record.append(entry("reencrypt", Details::new().flag("plain", plain).finish()))?;
            reencrypt_all(&db, cipher, plain, &mut progress, || self.deadline())
        })?;
        drop(db);
        // Nothing of the plain text remains in the log.
        let deadline = Deadline::after(WAL_TIMEOUT);
        if report.migrated > 0
            && let Ok(Some(db)) = self.shared.credentials.change(deadline)
        {
            db.truncate_wal(deadline);
        }
        Ok(report)
    }

    /// Generates a new key, keeps the old one as a previous key, and re-encrypts every stored credential. If that
    /// fails, all credentials remain readable, and [`Store::credentials_reencrypt`] completes the rotation. `progress`
    /// is that of the re-encryption.
    pub fn credentials_rotate(&self, cipher: &Cipher, progress: impl FnMut(u64, u64) -> bool) -> Result<Reencryption> {
        let _guard = fork::protect();
        recorded(self, self.deadline(), |record| {
            record.append(entry("rotate_key", Details::new().finish()))?;
            cipher.rotate_key()
        })?;
        self.credentials_reencrypt(cipher, false, progress).map_err(|error| {
            error.map_message(|message| {
                format!("the key was rotated, but the credentials are not re-encrypted yet: {message}; re-encrypt them")
            })
        })
    }
}

fn entry(action: &'static str, details: String) -> Entry<'static> {
    Entry { event_type: "config.changed", action, target_type: Some("credentials"), target_id: None, details }
}

/// Called in a transaction.
fn reencrypt_all(
    db: &Connection<'_>,
    cipher: &Cipher,
    plain: bool,
    progress: &mut impl FnMut(u64, u64) -> bool,
    deadline: impl Fn() -> Deadline,
) -> Result<Reencryption> {
    // Unlike a count of the whole table, a count of a range can be interrupted.
    let count = "SELECT count(*) FROM provider_credentials WHERE id >= ?1";
    let count: Option<i64> = db.first(count, [i64::MIN], |row| db.column(row, 0))?;
    let mut report = Reencryption { total: count.unwrap_or(0) as u64, ..Reencryption::default() };
    let (mut last, mut done) = (i64::MIN, 0);
    let next = "SELECT id, credential_value FROM provider_credentials WHERE id > ?1 ORDER BY id LIMIT 1";
    loop {
        if !db.guard.unprotected(|| progress(done, report.total))? {
            return Err(error(
                Status::Abandoned,
                "the progress callback stopped the re-encryption; no credential was changed",
            ));
        }
        // The timeout applies to each credential, however many there are and however long the callback takes.
        db.guard.extend_deadline(deadline());
        let found =
            db.first(next, [last], |row| Ok((db.column(row, 0)?, SecretBytes::copy_from(stored(db, row, 1)?)?)))?;
        let Some((id, value)) = found else { return Ok(report) };
        if (done > 0 && id <= last) || done >= report.total {
            return Err(out_of_order(db.path));
        }
        last = id;
        // Not fork-protected and with no active statement, because an unreadable key is logged.
        let new = db.guard.unprotected(|| new_token(cipher, &value, plain, last, &mut report))??;
        if let Some(token) = new {
            let text = std::str::from_utf8(&token).unwrap_or_default();
            db.execute("UPDATE provider_credentials SET credential_value = ?1 WHERE id = ?2", params![text, last])?;
        }
        done += 1;
    }
}

/// The token that replaces a stored value. `None` if the value stays.
fn new_token(
    cipher: &Cipher,
    value: &[u8],
    plain: bool,
    id: i64,
    report: &mut Reencryption,
) -> Result<Option<SecretBytes>> {
    if !Cipher::is_token(value) {
        // Empty values, which count as no credential, remain.
        if !plain || value.is_empty() {
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
