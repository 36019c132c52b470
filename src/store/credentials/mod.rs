//! Stored credentials.

use std::collections::HashSet;

use rusqlite::{Row, params};
use serde_json::json;

use super::actor::check_text;
use super::audit::{ChangeRecord, Details, Entry};
use super::connection::Connection;
use super::error::{corrupt, error, out_of_order};
use super::{Store, time};
use crate::encryption::Cipher;
use crate::error::{Result, Status};
use crate::fork;
use crate::redact;
use crate::secret_memory::SecretBytes;
use crate::secrets::Manager;

mod reencrypt;

pub use reencrypt::Reencryption;

const MAX_NAME: usize = 255;
/// The maximum length of a value, in bytes.
const MAX_VALUE: usize = 1 << 20;

/// Where a resolved credential comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[non_exhaustive]
pub enum CredentialOrigin {
    /// It belongs to the user.
    User = 1,
    /// It is the secret shared by all users.
    Global = 2,
}

/// A credential with its origin. `Debug` shows no value.
#[derive(Clone, Debug)]
pub struct ResolvedCredential {
    /// The value.
    pub value: SecretBytes,
    /// Where it comes from.
    pub origin: CredentialOrigin,
}

/// Identifies a credential.
#[derive(Clone, Copy)]
struct CredentialName<'a> {
    user_id: i64,
    provider: &'a str,
    name: &'a str,
}

impl<'a> CredentialName<'a> {
    /// That of a user, if there is one.
    fn of(user_id: Option<i64>, provider: &'a str, name: &'a str) -> Result<Option<CredentialName<'a>>> {
        let which = CredentialName { user_id: user_id.unwrap_or_default(), provider, name };
        which.check()?;
        Ok(user_id.map(|_| which))
    }

    fn check(self) -> Result<()> {
        if self.user_id < 0 {
            let message =
                format!("`user_id` is {}; a credential belongs to a user, whose id is not negative", self.user_id);
            return Err(error(Status::InvalidArgument, message));
        }
        check_text("provider", self.provider, MAX_NAME)?;
        check_text("name", self.name, MAX_NAME)
    }

    fn entry(self, event_type: &'static str, action: &'static str) -> Entry<'static> {
        let details = Details::new().number("user_id", self.user_id).text("provider", self.provider);
        Entry {
            event_type,
            action,
            target_type: Some("credential"),
            target_id: Some(format!("{}/{}/{}", self.user_id, self.provider, self.name)),
            details: details.text("name", self.name).finish(),
        }
    }

    fn missing(self) -> crate::error::Error {
        let CredentialName { user_id, provider, name } = self;
        error(Status::NotFound, format!("user {user_id} has no active credential {name:?} of {provider:?}"))
    }
}

impl Store {
    /// Stores a credential of a user, encrypted under the newest key, and returns its id. Replaces an existing
    /// credential of this name, which keeps its id and becomes active.
    pub fn credential_set(
        &self,
        cipher: &Cipher,
        user_id: i64,
        provider: &str,
        name: &str,
        value: &[u8],
    ) -> Result<i64> {
        let _guard = fork::protect();
        let which = CredentialName { user_id, provider, name };
        which.check()?;
        if value.is_empty() || value.len() > MAX_VALUE {
            return Err(error(
                Status::InvalidArgument,
                format!("`value` must have 1 to {MAX_VALUE} bytes, not {}", value.len()),
            ));
        }
        // Logs warnings about the keys while no connection is held.
        cipher.refresh()?;
        let deadline = self.deadline();
        let db = self.shared.credentials.write(deadline)?;
        self.change(&db, deadline, |record| {
            // Encrypted with the write lock held: a rotation that comes first has stored its new key; one that comes
            // later finds this token.
            let token = db.guard.unprotected(|| cipher.refresh().and_then(|()| cipher.encrypt(value)))??;
            let token = std::str::from_utf8(&token).unwrap_or_default();
            check_user(&db, user_id)?;
            let before = find(&db, which)?;
            record.append(which.entry("credential.created", if before.is_some() { "replace" } else { "create" }))?;
            db.execute(
                "INSERT INTO provider_credentials (user_id, provider, credential_name, credential_value, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (user_id, provider, credential_name) DO UPDATE SET
                 credential_value = excluded.credential_value, updated_at = excluded.created_at, is_active = 1",
                params![user_id, provider, name, token, time::now()],
            )?;
            Ok(before.unwrap_or_else(|| db.guard.last_insert_rowid()))
        })
    }

    /// The value of a user's active credential. Records the use and updates its time.
    pub fn credential_get(&self, cipher: &Cipher, user_id: i64, provider: &str, name: &str) -> Result<SecretBytes> {
        let _guard = fork::protect();
        let which = CredentialName { user_id, provider, name };
        which.check()?;
        self.use_credential(cipher, which)?.ok_or_else(|| which.missing())
    }

    /// The user's own active credential, otherwise the secret `global_key` of `secrets`. Without a user only the secret
    /// is looked up, without a key only the credential. A credential whose value is empty, as SimpleTuner can write it,
    /// counts as none.
    pub fn credential_resolve(
        &self,
        cipher: &Cipher,
        secrets: &Manager,
        user_id: Option<i64>,
        provider: &str,
        name: &str,
        global_key: Option<&str>,
    ) -> Result<ResolvedCredential> {
        let _guard = fork::protect();
        let own = CredentialName::of(user_id, provider, name)?;
        if let Some(which) = own
            && let Some(value) = self.use_credential(cipher, which)?
        {
            return Ok(ResolvedCredential { value, origin: CredentialOrigin::User });
        }
        let missing = || own.map(|which| which.missing().message().to_owned());
        let Some(key) = global_key else {
            let why = missing().unwrap_or_else(|| format!("credential {name:?} of {provider:?}: no user is given"));
            return Err(error(
                Status::NotFound,
                format!("{why}, and no key of a secret that all users share is given"),
            ));
        };
        let secret = secrets.get(key).map_err(|error| {
            error.map_message(|message| match missing() {
                Some(why) => format!("{why}, and {message}"),
                None => message.to_owned(),
            })
        })?;
        Ok(ResolvedCredential { value: secret.into_value(), origin: CredentialOrigin::Global })
    }

    /// Where [`Store::credential_resolve`] would find the credential; `None` if nowhere. The user's own is neither
    /// decrypted nor recorded as used.
    pub fn credential_source(
        &self,
        secrets: &Manager,
        user_id: Option<i64>,
        provider: &str,
        name: &str,
        global_key: Option<&str>,
    ) -> Result<Option<CredentialOrigin>> {
        let _guard = fork::protect();
        if let Some(which) = CredentialName::of(user_id, provider, name)?
            && self.has_active(which)?
        {
            return Ok(Some(CredentialOrigin::User));
        }
        match global_key.map(|key| secrets.get(key)) {
            Some(Ok(_)) => Ok(Some(CredentialOrigin::Global)),
            Some(Err(error)) if error.status() != Status::NotFound => Err(error),
            Some(Err(_)) | None => Ok(None),
        }
    }

    /// Whether a user has an active credential of this name. Its value is not decrypted, and nothing is recorded.
    pub fn credential_exists(&self, user_id: i64, provider: &str, name: &str) -> Result<bool> {
        let _guard = fork::protect();
        let which = CredentialName { user_id, provider, name };
        which.check()?;
        self.has_active(which)
    }

    fn has_active(&self, which: CredentialName<'_>) -> Result<bool> {
        let Some(db) = self.shared.credentials.read(self.deadline())? else { return Ok(false) };
        Ok(active(&db, which)?.is_some())
    }

    /// Records the use of an active credential whose value the caller has from an earlier call, and updates its time.
    /// Returns whether there is one. [`Store::credential_get`] and [`Store::credential_resolve`] do this themselves.
    pub fn credential_mark_used(&self, user_id: i64, provider: &str, name: &str) -> Result<bool> {
        let _guard = fork::protect();
        let which = CredentialName { user_id, provider, name };
        which.check()?;
        let deadline = self.deadline();
        let Some(db) = self.shared.credentials.change(deadline)? else { return Ok(false) };
        self.change(&db, deadline, |record| {
            let Some(id) = active(&db, which)? else { return Ok(false) };
            mark_used(&db, record, which, id)?;
            Ok(true)
        })
    }

    /// Makes a credential inactive: it remains listed, and is not found until it is stored again. Returns whether it
    /// existed.
    pub fn credential_deactivate(&self, user_id: i64, provider: &str, name: &str) -> Result<bool> {
        self.end_credential(CredentialName { user_id, provider, name }, "deactivate", |db, id| {
            let sql = "UPDATE provider_credentials SET is_active = 0, updated_at = ?1 WHERE id = ?2";
            db.execute(sql, params![time::now(), id]).map(drop)
        })
    }

    fn use_credential(&self, cipher: &Cipher, which: CredentialName<'_>) -> Result<Option<SecretBytes>> {
        let deadline = self.deadline();
        let Some(db) = self.shared.credentials.read(deadline)? else { return Ok(None) };
        let Some((id, stored)) = read(&db, which)? else { return Ok(None) };
        // Decryption may load keys, which logs.
        drop(db);
        let value = match Cipher::is_token(&stored) {
            true => cipher.with_plaintext(&stored, SecretBytes::copy_from)??,
            false => stored,
        };
        let Some(db) = self.shared.credentials.change(deadline)? else { return Ok(None) };
        self.change(&db, deadline, |record| mark_used(&db, record, which, id))?;
        redact::record(Some(which.name), &value);
        Ok(Some(value))
    }

    /// Removes a credential. Returns whether it existed.
    pub fn credential_delete(&self, user_id: i64, provider: &str, name: &str) -> Result<bool> {
        self.end_credential(CredentialName { user_id, provider, name }, "delete", |db, id| {
            db.execute("DELETE FROM provider_credentials WHERE id = ?1", [id]).map(drop)
        })
    }

    /// Ends the use of a credential with `end`, which is recorded as `action`. Returns whether it existed.
    fn end_credential(
        &self,
        which: CredentialName<'_>,
        action: &'static str,
        end: impl FnOnce(&Connection<'_>, i64) -> Result<()>,
    ) -> Result<bool> {
        let _guard = fork::protect();
        which.check()?;
        let deadline = self.deadline();
        let Some(db) = self.shared.credentials.change(deadline)? else { return Ok(false) };
        self.change(&db, deadline, |record| {
            let Some(id) = find(&db, which)? else { return Ok(false) };
            record.append(which.entry("credential.deleted", action))?;
            end(&db, id)?;
            Ok(true)
        })
    }

    /// Lists credentials without their values, as a JSON array. `None` means every user, or every provider.
    pub fn credential_list(&self, user_id: Option<i64>, provider: Option<&str>) -> Result<String> {
        let _guard = fork::protect();
        let (mut credentials, mut seen) = (Vec::new(), HashSet::new());
        if let Some(db) = self.shared.credentials.read(self.deadline())? {
            let sql = "SELECT id, user_id, provider, credential_name, created_at, updated_at, last_used_at, is_active,
                credential_value FROM provider_credentials
                WHERE (?1 IS NULL OR user_id = ?1) AND (?2 IS NULL OR provider = ?2)
                ORDER BY user_id, provider, credential_name";
            db.each(sql, params![user_id, provider], |row| {
                let text = |index| db.column::<Option<String>>(row, index);
                let id: i64 = db.column(row, 0)?;
                if !seen.insert(id) {
                    return Err(out_of_order(db.path));
                }
                credentials.push(json!({
                    "id": id,
                    "user_id": db.column::<i64>(row, 1)?,
                    "provider": text(2)?,
                    "name": text(3)?,
                    "created_at": text(4)?,
                    "updated_at": text(5)?,
                    "last_used_at": text(6)?,
                    "is_active": db.column::<i64>(row, 7)? != 0,
                    "encrypted": Cipher::is_token(stored(&db, row, 8)?),
                }));
                Ok(())
            })?;
        }
        Ok(serde_json::Value::Array(credentials).to_string())
    }
}

/// The bytes of a stored value. They are not copied: they may be plain text.
pub(super) fn stored<'a>(db: &Connection<'_>, row: &'a Row<'_>, index: usize) -> Result<&'a [u8]> {
    let value = row.get_ref(index).ok().and_then(|value| value.as_bytes().ok());
    value.ok_or_else(|| corrupt(db.path, "a credential in it is neither text nor bytes"))
}

/// The id of a credential, active or not.
fn find(db: &Connection<'_>, which: CredentialName<'_>) -> Result<Option<i64>> {
    let sql = "SELECT id FROM provider_credentials WHERE user_id = ?1 AND provider = ?2 AND credential_name = ?3";
    db.first(sql, params![which.user_id, which.provider, which.name], |row| db.column(row, 0))
}

/// Called in a transaction.
fn mark_used(db: &Connection<'_>, record: &mut ChangeRecord<'_>, which: CredentialName<'_>, id: i64) -> Result<()> {
    record.append(which.entry("credential.used", "use"))?;
    db.execute("UPDATE provider_credentials SET last_used_at = ?1 WHERE id = ?2", params![time::now(), id]).map(drop)
}

/// The id of an active credential.
fn active(db: &Connection<'_>, which: CredentialName<'_>) -> Result<Option<i64>> {
    let sql = "SELECT id FROM provider_credentials WHERE user_id = ?1 AND provider = ?2 AND credential_name = ?3
        AND is_active <> 0 AND length(credential_value) > 0";
    db.first(sql, params![which.user_id, which.provider, which.name], |row| db.column(row, 0))
}

/// The same with its stored value: a token or, as written by SimpleTuner, plain text.
fn read(db: &Connection<'_>, which: CredentialName<'_>) -> Result<Option<(i64, SecretBytes)>> {
    let sql = "SELECT id, credential_value FROM provider_credentials WHERE user_id = ?1 AND provider = ?2
        AND credential_name = ?3 AND is_active <> 0 AND length(credential_value) > 0";
    db.first(sql, params![which.user_id, which.provider, which.name], |row| {
        Ok((db.column(row, 0)?, SecretBytes::copy_from(stored(db, row, 1)?)?))
    })
}

/// If there is a table of users, the user must be in it.
fn check_user(db: &Connection<'_>, user_id: i64) -> Result<()> {
    let has_users = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'users'";
    if db.first(has_users, [], |_| Ok(()))?.is_none()
        || db.first("SELECT 1 FROM users WHERE id = ?1", [user_id], |_| Ok(()))?.is_some()
    {
        return Ok(());
    }
    Err(error(Status::InvalidArgument, format!("there is no user {user_id} in {}", db.path.display())))
}
