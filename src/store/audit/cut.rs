//! The record of a removal of old entries.

use serde_json::Value;

use super::signing::{SignedFields, SigningKey, signature};
use crate::error::Result;
use crate::store::connection::Connection;

/// The entry that records a removal. No other entry may look like it.
pub(in crate::store) const RETENTION_EVENT: &str = "config.changed";
pub(in crate::store) const RETENTION_ACTION: &str = "retention";

/// The last removal that the trail records.
#[derive(Default)]
pub(super) struct Cut {
    /// The last removed entry, or 0.
    pub(super) last_id: i64,
    /// The newest signatures before the removal.
    pub(super) recent: Vec<String>,
}

impl Cut {
    /// Finds the newest record of a removal with a valid signature.
    pub(super) fn find(db: &Connection<'_>, key: &SigningKey) -> Result<Cut> {
        let mut found = None;
        let sql =
            "SELECT id, timestamp, event_type, actor_id, action, details, previous_hash, entry_hash FROM audit_log
                   WHERE event_type = ?1 AND action = ?2 ORDER BY id DESC";
        db.each(sql, [RETENTION_EVENT, RETENTION_ACTION], |row| {
            if found.is_none()
                && let Some(fields) = SignedFields::of_row(row)
                && key.sign(&fields) == signature(row, 7)
            {
                found = serde_json::from_str(fields.details).ok().and_then(|details| Cut::recorded(&details));
            }
            Ok(())
        })?;
        Ok(found.unwrap_or_default())
    }

    fn recorded(details: &Value) -> Option<Cut> {
        let recent = details["recent_hashes"].as_array().into_iter().flatten().chain([&details["head_hash"]]);
        let recent = recent.filter_map(|hash| hash.as_str().map(str::to_owned)).collect();
        Some(Cut { last_id: details["last_id"].as_i64()?, recent })
    }
}
