//! The audit trail: a chain of entries, each signed together with the signature of the previous one.

use std::path::{Path, PathBuf};

use rusqlite::params;

use super::actor::{Actor, check_text};
use super::connection::Connection;
use super::database::Database;
use super::pool::FileId;
use super::schema::AUDIT_LOG;
use super::time;
use crate::clock::Deadline;
use crate::error::Result;
use crate::fork_safe::RwLock;

mod change;
mod cut;
mod entry;
mod event_type;
mod export;
mod query;
mod retention;
mod signing;
mod stats;
mod verify;
mod webhook;

pub(super) use change::{ChangeRecord, recorded};
pub(super) use cut::{RETENTION_ACTION, RETENTION_EVENT};
pub(super) use entry::{Details, Entry};
pub(super) use event_type::event_types;
pub use export::{AuditExport, AuditFormat};
pub use retention::Retention;
pub(super) use retention::days_of_environment;
pub use verify::{BrokenLink, LinkError, Verification, Violation};

use signing::{SignedFields, SigningKey, signature};

/// The previous signature of the first entry.
const GENESIS: &str = "genesis";
const MAX_NAME: usize = 255;
/// A credential as a target consists of the user's number, the provider's name and the credential's name.
const MAX_TARGET: usize = 3 * MAX_NAME;

pub(super) struct AuditLog {
    database: Database,
    key_path: PathBuf,
    /// The signing key, and the file whose entries it signs.
    key: RwLock<Option<(FileId, SigningKey)>>,
}

impl AuditLog {
    pub(super) fn new(path: PathBuf) -> AuditLog {
        let key_path = path.with_file_name("audit.key");
        AuditLog { database: Database::new(path, &AUDIT_LOG), key_path, key: RwLock::new(None) }
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    pub(super) fn key_path(&self) -> &Path {
        &self.key_path
    }

    /// Appends an entry and commits it. Returns its number.
    pub(super) fn append(&self, actor: &Actor, entry: &Entry, deadline: Deadline) -> Result<i64> {
        for (name, text, max_len) in [
            ("event_type", Some(entry.event_type), MAX_NAME),
            ("action", Some(entry.action), MAX_NAME),
            ("target_type", entry.target_type, MAX_NAME),
            ("target_id", entry.target_id.as_deref(), MAX_TARGET),
        ] {
            text.map_or(Ok(()), |text| check_text(name, text, max_len))?;
        }
        let db = self.database.write(deadline)?;
        let key = self.key(&db, deadline)?;
        db.immediate(|| insert(&db, &key, actor, entry))
    }

    /// The signing key. It is loaded, or generated for an empty trail, once per file: a file that replaced another one
    /// may have come with a key of its own, and one that was removed may have left its key behind.
    fn key(&self, db: &Connection<'_>, deadline: Deadline) -> Result<SigningKey> {
        let file = db.guard.entry.id;
        if let Some((_, key)) = self.key.read().as_ref().filter(|(known, _)| *known == file) {
            return Ok(key.clone());
        }
        let is_empty = || Ok(db.first("SELECT 1 FROM audit_log LIMIT 1", [], |_| Ok(()))?.is_none());
        let key = SigningKey::load(&self.key_path, is_empty, deadline)?;
        *self.key.write() = Some((file, key.clone()));
        Ok(key)
    }
}

/// Inserts an entry after the last one, in the caller's transaction. Returns its number.
fn insert(db: &Connection<'_>, key: &SigningKey, actor: &Actor, entry: &Entry) -> Result<i64> {
    let last = "SELECT entry_hash FROM audit_log ORDER BY id DESC LIMIT 1";
    let previous = db.first(last, [], |row| Ok(signature(row, 0).to_owned()))?;
    let fields = SignedFields {
        timestamp: &time::now(),
        event_type: entry.event_type,
        actor_id: actor.user_id,
        action: entry.action,
        details: &entry.details,
        previous_hash: previous.as_deref().unwrap_or(GENESIS),
    };
    db.execute(
        "INSERT INTO audit_log (timestamp, event_type, actor_id, actor_username, actor_ip, target_type, target_id,
         action, details, previous_hash, entry_hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            fields.timestamp,
            fields.event_type,
            fields.actor_id,
            actor.username,
            actor.ip,
            entry.target_type,
            entry.target_id,
            fields.action,
            fields.details,
            fields.previous_hash,
            key.sign(&fields),
        ],
    )?;
    Ok(db.guard.last_insert_rowid())
}
