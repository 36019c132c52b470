//! The signing key of the audit trail, and the signature of an entry.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::clock::Deadline;
use crate::error::{Error, Result, Source, Status};
use crate::files::{self, LoosePermissions};
use crate::log::Level;
use crate::secret_memory::{SecretBox, SecretBytes, wipe_stack};
use crate::settings::Environment;
use crate::store::deferred_log::log_later;

const VARIABLE: &str = "SIMPLETUNER_AUDIT_KEY";
const MAX_SIZE: usize = 1 << 16;

/// The signing key, as an initialized HMAC.
#[derive(Clone)]
pub(super) struct SigningKey(Arc<SecretBox<Hmac<Sha256>>>);

/// The fields that a signature covers.
pub(super) struct SignedFields<'a> {
    pub(super) timestamp: &'a str,
    pub(super) event_type: &'a str,
    pub(super) actor_id: Option<i64>,
    pub(super) action: &'a str,
    pub(super) details: &'a str,
    pub(super) previous_hash: &'a str,
}

impl<'a> SignedFields<'a> {
    /// The fields of a row with the columns id, timestamp, event_type, actor_id, action, details, previous_hash. `None`
    /// if a column has another type, as only an altered entry has.
    pub(super) fn of_row(row: &'a rusqlite::Row<'_>) -> Option<SignedFields<'a>> {
        let text = |index| row.get_ref(index).ok()?.as_str().ok();
        Some(SignedFields {
            timestamp: text(1)?,
            event_type: text(2)?,
            actor_id: row.get(3).ok()?,
            action: text(4)?,
            details: text(5)?,
            previous_hash: text(6)?,
        })
    }
}

/// The signature in a column. Empty if it is not text, as in an altered entry alone.
pub(super) fn signature<'a>(row: &'a rusqlite::Row<'_>, index: usize) -> &'a str {
    row.get_ref(index).ok().and_then(|value| value.as_str().ok()).unwrap_or_default()
}

impl SigningKey {
    /// Loads the key from the environment, else from the file. If there is neither and `is_empty` says that the trail
    /// has no entries yet, generates one.
    pub(super) fn load(path: &Path, is_empty: impl FnOnce() -> Result<bool>, deadline: Deadline) -> Result<SigningKey> {
        if let Some(value) = Environment::Process.non_empty(VARIABLE) {
            return SigningKey::new(&Zeroizing::new(value.into_encoded_bytes()));
        }
        if let Some(key) = read(path)? {
            return SigningKey::new(&key);
        }
        if !is_empty()? {
            let message = format!(
                "{} does not exist, but there are entries signed with it; restore it from a backup or set {VARIABLE}",
                path.display()
            );
            return Err(bad_key(message));
        }
        create(path, deadline)?;
        match read(path)? {
            Some(key) => SigningKey::new(&key),
            None => Err(bad_key(format!("{} was removed while it was being created", path.display()))),
        }
    }

    fn new(key: &[u8]) -> Result<SigningKey> {
        let key = Hmac::<Sha256>::new_from_slice(key).map_err(|_| bad_key("the audit key is unusable"))?;
        let boxed = SecretBox::new(key);
        wipe_stack();
        Ok(SigningKey(Arc::new(boxed?)))
    }

    /// Signs an entry. Returns the signature in hexadecimal.
    pub(super) fn sign(&self, fields: &SignedFields<'_>) -> String {
        let mut mac = Hmac::clone(&self.0);
        let number;
        let actor = match fields.actor_id {
            Some(id) => {
                number = id.to_string();
                number.as_str()
            }
            None => "None",
        };
        let parts = [fields.timestamp, fields.event_type, actor, fields.action, fields.details, fields.previous_hash];
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                mac.update(b"|");
            }
            mac.update(part.as_bytes());
        }
        let mut text = String::with_capacity(64);
        for byte in mac.finalize().into_bytes() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        wipe_stack();
        text
    }
}

/// Reads the key file. `None` if it does not exist.
fn read(path: &Path) -> Result<Option<SecretBytes>> {
    let contents = match files::read(path, MAX_SIZE) {
        Ok(contents) => contents,
        Err(error) if error.detail() == libc::ENOENT => return Ok(None),
        Err(error) if files::is_shortage(&error) => return Err(error),
        Err(error) => {
            let message = format!(
                "cannot read the audit key: {error}; correct the file or restore it from a backup, it is never replaced"
            );
            return Err(bad_key(message).with_detail(error.detail()));
        }
    };
    if contents.bytes.is_empty() {
        return Err(bad_key(format!("the audit key {} is empty; restore it from a backup", path.display())));
    }
    if let Some(loose_permissions) = LoosePermissions::of(path, &contents.metadata) {
        log_later(Level::Warn, loose_permissions.warning());
    }
    Ok(Some(contents.bytes.freeze()))
}

fn create(path: &Path, deadline: Deadline) -> Result<()> {
    let create = || {
        let place = files::path_to_create(path)?;
        let _lock = files::lock(&place, deadline)?;
        if !place.exists() {
            let mut random = Zeroizing::new([0; 32]);
            getrandom::fill(&mut *random)
                .map_err(|error| Error::new(Status::Io, format!("cannot get random bytes from the system: {error}")))?;
            files::create(&place, &*random)?;
        }
        Ok(())
    };
    create().map_err(|error: Error| {
        error.with_source(Source::Store).map_message(|message| format!("cannot create an audit key: {message}"))
    })
}

fn bad_key(message: impl Into<String>) -> Error {
    Error::new(Status::BadKey, message).with_source(Source::Store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_equals_pythons() {
        let key = SigningKey::new(b"audit key").unwrap();
        let fields = |actor_id| SignedFields {
            timestamp: "2026-08-22T17:32:24.123456+00:00",
            event_type: "provider.configured",
            actor_id,
            action: "save",
            details: r#"{"changed": ["webhook_url"]}"#,
            previous_hash: "genesis",
        };
        // hmac.new(b"audit key", "…|provider.configured|None|save|{…}|genesis".encode(), "sha256").hexdigest()
        assert_eq!(key.sign(&fields(None)), "54b8db1a2f0ffa17ea85d80db5ffaf4ba9767407a73913c8a8dd54b5f8be1418");
        assert_eq!(key.sign(&fields(Some(7))), "c389bd5338ca794dbd5951af05bfd56946161538a5cdd6ff68741990c4454500");
    }
}
