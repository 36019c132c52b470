//! The tables, in SimpleTuner's schema.

use super::connection::Connection;
use super::error::corrupt;
use crate::error::Result;

/// A table with its indexes.
pub(super) struct Schema {
    table: &'static str,
    columns: &'static [&'static str],
    create: &'static str,
    /// The flag of a pool entry that says that the table exists.
    pub(super) flag: u32,
}

pub(super) static PROVIDER_CONFIG: Schema = Schema {
    table: "provider_config",
    columns: &["provider", "config", "updated_at"],
    create: "CREATE TABLE IF NOT EXISTS provider_config (
        provider TEXT PRIMARY KEY, config TEXT NOT NULL DEFAULT '{}', updated_at TEXT NOT NULL);",
    flag: 1,
};

pub(super) static CREDENTIALS: Schema = Schema {
    table: "provider_credentials",
    columns: &[
        "id",
        "user_id",
        "provider",
        "credential_name",
        "credential_value",
        "created_at",
        "updated_at",
        "last_used_at",
        "is_active",
    ],
    create: "CREATE TABLE IF NOT EXISTS provider_credentials (
        id INTEGER PRIMARY KEY AUTOINCREMENT, user_id INTEGER NOT NULL, provider TEXT NOT NULL,
        credential_name TEXT NOT NULL, credential_value TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT,
        last_used_at TEXT, is_active INTEGER NOT NULL DEFAULT 1,
        FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
        UNIQUE(user_id, provider, credential_name));
      CREATE INDEX IF NOT EXISTS idx_provider_creds_user ON provider_credentials(user_id);
      CREATE INDEX IF NOT EXISTS idx_provider_creds_provider ON provider_credentials(provider);",
    flag: 2,
};

pub(super) static AUDIT_LOG: Schema = Schema {
    table: "audit_log",
    columns: &[
        "id",
        "timestamp",
        "event_type",
        "actor_id",
        "actor_username",
        "actor_ip",
        "target_type",
        "target_id",
        "action",
        "details",
        "previous_hash",
        "entry_hash",
    ],
    create: "CREATE TABLE IF NOT EXISTS audit_log (
        id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL, event_type TEXT NOT NULL, actor_id INTEGER,
        actor_username TEXT, actor_ip TEXT, target_type TEXT, target_id TEXT, action TEXT NOT NULL,
        details TEXT NOT NULL DEFAULT '{}', previous_hash TEXT NOT NULL, entry_hash TEXT NOT NULL);
      CREATE INDEX IF NOT EXISTS idx_audit_timestamp ON audit_log(timestamp);
      CREATE INDEX IF NOT EXISTS idx_audit_event_type ON audit_log(event_type);
      CREATE INDEX IF NOT EXISTS idx_audit_actor ON audit_log(actor_id);
      CREATE INDEX IF NOT EXISTS idx_audit_target ON audit_log(target_type, target_id);",
    flag: 4,
};

impl Schema {
    /// Whether the table exists. A table of this name with other columns is an error: it belongs to another program.
    pub(super) fn exists(&self, db: &Connection<'_>) -> Result<bool> {
        let mut found: Vec<String> = Vec::new();
        db.each("SELECT name FROM pragma_table_info(?1)", [self.table], |row| {
            found.push(db.column(row, 0)?);
            Ok(())
        })?;
        if found.is_empty() {
            return Ok(false);
        }
        match self.columns.iter().find(|column| !found.iter().any(|name| name == *column)) {
            None => Ok(true),
            Some(column) => {
                let message = format!(
                    "its table {} has no column `{column}`; it belongs to another program, use another file",
                    self.table
                );
                Err(corrupt(db.path, message))
            }
        }
    }

    pub(super) fn create(&self, db: &Connection<'_>) -> Result<()> {
        db.check(db.guard.execute_batch(self.create))
    }
}
