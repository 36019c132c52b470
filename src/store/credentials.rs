//! Stored credentials.

use std::collections::HashSet;

use rusqlite::{Row, params};
use serde_json::json;

use super::actor::check_text;
use super::audit::{Details, Entry};
use super::database::Open;
use super::failure::{corrupt, error, out_of_order};
use super::{Store, time};
use crate::credential::Cipher;
use crate::error::{Result, Status};
use crate::fork;
use crate::secret_memory::SecretBytes;
use crate::secrets::Manager;

const MAX_NAME: usize = 255;
/// The longest value, in bytes.
const MAX_VALUE: usize = 1 << 20;

/// Where a resolved credential came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[non_exhaustive]
pub enum Origin {
    /// It is the user's own.
    User = 1,
    /// It is the secret that all users share.
    Global = 2,
}

/// A credential with its origin. `Debug` shows no value.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The value.
    pub value: SecretBytes,
    /// Whose it is.
    pub origin: Origin,
}

/// Which credential is meant.
#[derive(Clone, Copy)]
struct Name<'a> {
    user_id: i64,
    provider: &'a str,
    name: &'a str,
}

impl Name<'_> {
    fn check(self) -> Result<()> {
        if self.user_id < 0 {
            let message =
                format!("`user_id` is {}; a credential belongs to a user, whose number is 0 or more", self.user_id);
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
            details: details.text("name", self.name).end(),
        }
    }

    fn missing(self) -> crate::error::Error {
        let Name { user_id, provider, name } = self;
        error(Status::NotFound, format!("user {user_id} has no active credential {name:?} of {provider:?}"))
    }
}

impl Store {
    /// Stores a credential of a user, encrypted under the newest key, in place of the one of this name, if there is one.
    pub fn credential_set(
        &self,
        cipher: &Cipher,
        user_id: i64,
        provider: &str,
        name: &str,
        value: &[u8],
    ) -> Result<()> {
        let _guard = fork::protect();
        let which = Name { user_id, provider, name };
        which.check()?;
        if value.is_empty() || value.len() > MAX_VALUE {
            return Err(error(Status::InvalidArgument, format!("`value` has 1 to {MAX_VALUE} bytes")));
        }
        // What there is to log of the keys is logged while no connection is held.
        cipher.look_again()?;
        let deadline = self.deadline();
        let open = self.shared.credentials.write(deadline)?;
        self.change(&open, deadline, |recorder| {
            // Encrypted while nobody else writes: a rotation that comes before this has its new key in place, one that
            // comes after finds this token.
            let token = open.taken.call_out(|| cipher.look_again().and_then(|()| cipher.encrypt(value)))??;
            let token = std::str::from_utf8(&token).unwrap_or_default();
            check_user(&open, user_id)?;
            let exists = "SELECT 1 FROM provider_credentials
                WHERE user_id = ?1 AND provider = ?2 AND credential_name = ?3";
            let before = open.first(exists, params![user_id, provider, name], |_| Ok(()))?;
            recorder.record(which.entry("credential.created", if before.is_some() { "replace" } else { "create" }))?;
            open.execute(
                "INSERT INTO provider_credentials (user_id, provider, credential_name, credential_value, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (user_id, provider, credential_name) DO UPDATE SET
                 credential_value = excluded.credential_value, updated_at = excluded.created_at, is_active = 1",
                params![user_id, provider, name, token, time::now()],
            )?;
            Ok(())
        })
    }

    /// The value of a user's active credential. The use is recorded, and its time is noted.
    pub fn credential_get(&self, cipher: &Cipher, user_id: i64, provider: &str, name: &str) -> Result<SecretBytes> {
        let _guard = fork::protect();
        let which = Name { user_id, provider, name };
        which.check()?;
        self.use_credential(cipher, which)?.ok_or_else(|| which.missing())
    }

    /// The user's own active credential, else the secret `global_key` of the chain.
    pub fn credential_resolve(
        &self,
        cipher: &Cipher,
        secrets: &Manager,
        user_id: i64,
        provider: &str,
        name: &str,
        global_key: &str,
    ) -> Result<Resolved> {
        let _guard = fork::protect();
        let which = Name { user_id, provider, name };
        which.check()?;
        if let Some(value) = self.use_credential(cipher, which)? {
            return Ok(Resolved { value, origin: Origin::User });
        }
        let secret = secrets
            .get(global_key)
            .map_err(|error| error.map_message(|message| format!("{}, and {message}", which.missing().message())))?;
        Ok(Resolved { value: secret.into_value(), origin: Origin::Global })
    }

    fn use_credential(&self, cipher: &Cipher, which: Name<'_>) -> Result<Option<SecretBytes>> {
        let deadline = self.deadline();
        let Some(open) = self.shared.credentials.read(deadline)? else { return Ok(None) };
        let Some((id, stored)) = read(&open, which)? else { return Ok(None) };
        // Keys may be read now, which is logged.
        drop(open);
        let value = match Cipher::is_token(&stored) {
            true => cipher.decrypt(&stored)?,
            false => stored,
        };
        let Some(open) = self.shared.credentials.change(deadline)? else { return Ok(None) };
        self.change(&open, deadline, |recorder| {
            recorder.record(which.entry("credential.used", "use"))?;
            open.execute("UPDATE provider_credentials SET last_used_at = ?1 WHERE id = ?2", params![time::now(), id])
        })?;
        Ok(Some(value))
    }

    /// Removes a credential; `false` if there was none.
    pub fn credential_delete(&self, user_id: i64, provider: &str, name: &str) -> Result<bool> {
        let _guard = fork::protect();
        let which = Name { user_id, provider, name };
        which.check()?;
        let deadline = self.deadline();
        let Some(open) = self.shared.credentials.change(deadline)? else { return Ok(false) };
        self.change(&open, deadline, |recorder| {
            let find = "SELECT id FROM provider_credentials
                WHERE user_id = ?1 AND provider = ?2 AND credential_name = ?3";
            let id: Option<i64> = open.first(find, params![user_id, provider, name], |row| open.column(row, 0))?;
            let Some(id) = id else { return Ok(false) };
            recorder.record(which.entry("credential.deleted", "delete"))?;
            open.execute("DELETE FROM provider_credentials WHERE id = ?1", [id])?;
            Ok(true)
        })
    }

    /// Credentials without their values, as a JSON array: those of a user, or of all; of a provider, or of all.
    pub fn credential_list(&self, user_id: Option<i64>, provider: Option<&str>) -> Result<String> {
        let _guard = fork::protect();
        let (mut credentials, mut seen) = (Vec::new(), HashSet::new());
        if let Some(open) = self.shared.credentials.read(self.deadline())? {
            let sql = "SELECT id, user_id, provider, credential_name, created_at, updated_at, last_used_at, is_active,
                credential_value FROM provider_credentials
                WHERE (?1 IS NULL OR user_id = ?1) AND (?2 IS NULL OR provider = ?2)
                ORDER BY user_id, provider, credential_name";
            open.each(sql, params![user_id, provider], |row| {
                let text = |index| open.column::<Option<String>>(row, index);
                let id: i64 = open.column(row, 0)?;
                if !seen.insert(id) {
                    return Err(out_of_order(open.path));
                }
                credentials.push(json!({
                    "id": id,
                    "user_id": open.column::<i64>(row, 1)?,
                    "provider": text(2)?,
                    "name": text(3)?,
                    "created_at": text(4)?,
                    "updated_at": text(5)?,
                    "last_used_at": text(6)?,
                    "is_active": open.column::<i64>(row, 7)? != 0,
                    "encrypted": Cipher::is_token(stored(&open, row, 8)?),
                }));
                Ok(())
            })?;
        }
        Ok(serde_json::Value::Array(credentials).to_string())
    }
}

/// The bytes of a stored value. It is not copied: it may be plain text.
pub(super) fn stored<'a>(open: &Open<'_>, row: &'a Row<'_>, index: usize) -> Result<&'a [u8]> {
    let value = row.get_ref(index).ok().and_then(|value| value.as_bytes().ok());
    value.ok_or_else(|| corrupt(open.path, "a credential in it is neither text nor bytes"))
}

/// The number of an active credential, and what is stored: a token or, as SimpleTuner writes it, plain text.
fn read(open: &Open<'_>, which: Name<'_>) -> Result<Option<(i64, SecretBytes)>> {
    let sql = "SELECT id, credential_value FROM provider_credentials
        WHERE user_id = ?1 AND provider = ?2 AND credential_name = ?3 AND is_active <> 0";
    open.first(sql, params![which.user_id, which.provider, which.name], |row| {
        Ok((open.column(row, 0)?, SecretBytes::copy_from(stored(open, row, 1)?)?))
    })
}

/// Where there is a table of users, the user has to be in it.
fn check_user(open: &Open<'_>, user_id: i64) -> Result<()> {
    let has_users = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'users'";
    if open.first(has_users, [], |_| Ok(()))?.is_none()
        || open.first("SELECT 1 FROM users WHERE id = ?1", [user_id], |_| Ok(()))?.is_some()
    {
        return Ok(());
    }
    Err(error(Status::InvalidArgument, format!("there is no user {user_id} in {}", open.path.display())))
}
