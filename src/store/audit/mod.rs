//! The audit trail: a chain of entries, each signed together with the signature of the one before it.

use std::path::PathBuf;

use parking_lot::RwLock;
use rusqlite::params;

use super::actor::{Actor, check_text};
use super::connection::Connection;
use super::database::Database;
use super::pool::FileId;
use super::schema::AUDIT_LOG;
use super::time;
use crate::clock::Deadline;
use crate::error::Result;

mod entry;
mod query;
mod signing;
pub(super) mod verify;

pub(super) use entry::{Details, Entry};
use signing::{SignedFields, SigningKey};

/// What the first entry has in place of a signature before it.
const GENESIS: &str = "genesis";
const MAX_NAME: usize = 255;
/// A credential as a target is its user's number, its provider's name and its own.
const MAX_TARGET: usize = 3 * MAX_NAME;

pub(super) struct AuditLog {
    database: Database,
    key_path: PathBuf,
    /// The key, and the file whose entries it signs.
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

    /// Appends an entry and commits it; its number.
    pub(super) fn append(&self, actor: &Actor, entry: &Entry, deadline: Deadline) -> Result<i64> {
        for (name, text, longest) in [
            ("event_type", Some(entry.event_type), MAX_NAME),
            ("action", Some(entry.action), MAX_NAME),
            ("target_type", entry.target_type, MAX_NAME),
            ("target_id", entry.target_id.as_deref(), MAX_TARGET),
        ] {
            text.map_or(Ok(()), |text| check_text(name, text, longest))?;
        }
        let db = self.database.write(deadline)?;
        let key = self.key(&db, deadline)?;
        db.immediate(|| {
            let last = "SELECT entry_hash FROM audit_log ORDER BY id DESC LIMIT 1";
            let previous: Option<String> = db.first(last, [], |row| db.column(row, 0))?;
            let previous = previous.as_deref().unwrap_or(GENESIS);
            let fields = SignedFields {
                timestamp: &time::now(),
                event_type: entry.event_type,
                actor_id: actor.user_id,
                action: entry.action,
                details: &entry.details,
                previous_hash: previous,
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
        })
    }

    /// The key, which is found, or made for a new trail, once for each file: one that was replaced may have come with
    /// another key, and one that was removed left without its own.
    fn key(&self, db: &Connection<'_>, deadline: Deadline) -> Result<SigningKey> {
        let file = db.guard.entry.identity;
        if let Some((_, key)) = self.key.read().as_ref().filter(|(known, _)| *known == file) {
            return Ok(key.clone());
        }
        let is_new = || Ok(db.first("SELECT 1 FROM audit_log LIMIT 1", [], |_| Ok(()))?.is_none());
        let key = SigningKey::find(&self.key_path, is_new, deadline)?;
        *self.key.write() = Some((file, key.clone()));
        Ok(key)
    }
}
