//! The audit trail: a chain of entries, each signed together with the signature of the one before it.

use std::path::PathBuf;

use parking_lot::RwLock;
use rusqlite::params;

use super::actor::{Actor, check_text};
use super::database::{Database, Open};
use super::schema::AUDIT_LOG;
use super::time;
use crate::clock::Deadline;
use crate::error::Result;

pub(super) mod chain;
mod entry;
mod key;
mod query;

pub(super) use entry::{Details, Entry};
use key::{Key, Link};

/// What the first entry has in place of a signature before it.
const GENESIS: &str = "genesis";
const MAX_NAME: usize = 255;

pub(super) struct Trail {
    database: Database,
    key_path: PathBuf,
    key: RwLock<Option<Key>>,
}

impl Trail {
    pub(super) fn new(path: PathBuf) -> Trail {
        let key_path = path.with_file_name("audit.key");
        Trail { database: Database::new(path, &AUDIT_LOG), key_path, key: RwLock::new(None) }
    }

    /// Appends an entry and commits it; its number.
    pub(super) fn append(&self, actor: &Actor, entry: &Entry, deadline: Deadline) -> Result<i64> {
        for (name, text) in [
            ("event_type", Some(entry.event_type)),
            ("action", Some(entry.action)),
            ("target_type", entry.target_type),
            ("target_id", entry.target_id.as_deref()),
        ] {
            text.map_or(Ok(()), |text| check_text(name, text, MAX_NAME))?;
        }
        let open = self.database.write(deadline)?;
        let key = self.key(&open, deadline)?;
        open.immediate(|| {
            let last = "SELECT entry_hash FROM audit_log ORDER BY id DESC LIMIT 1";
            let previous: Option<String> = open.first(last, [], |row| open.column(row, 0))?;
            let previous = previous.as_deref().unwrap_or(GENESIS);
            let link = Link {
                timestamp: &time::now(),
                event_type: entry.event_type,
                actor_id: actor.user_id,
                action: entry.action,
                details: &entry.details,
                previous_hash: previous,
            };
            open.execute(
                "INSERT INTO audit_log (timestamp, event_type, actor_id, actor_username, actor_ip, target_type, target_id,
                 action, details, previous_hash, entry_hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    link.timestamp,
                    link.event_type,
                    link.actor_id,
                    actor.username,
                    actor.ip,
                    entry.target_type,
                    entry.target_id,
                    link.action,
                    link.details,
                    link.previous_hash,
                    key.sign(&link),
                ],
            )?;
            Ok(open.taken.last_insert_rowid())
        })
    }

    /// The key, which is found, or made for a new trail, once.
    fn key(&self, open: &Open<'_>, deadline: Deadline) -> Result<Key> {
        if let Some(key) = &*self.key.read() {
            return Ok(key.clone());
        }
        let is_new = || Ok(open.first("SELECT 1 FROM audit_log LIMIT 1", [], |_| Ok(()))?.is_none());
        let key = Key::find(&self.key_path, is_new, deadline)?;
        *self.key.write() = Some(key.clone());
        Ok(key)
    }
}
