//! Recording of changes: an entry precedes each change, and a second entry revokes it if the change fails.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Entry;
use crate::clock::Deadline;
use crate::error::{Error, Result, Source};
use crate::fork;
use crate::log::Level;
use crate::store::Store;
use crate::store::deferred_log::log_later;

/// The audit entry of a change.
pub(in crate::store) struct ChangeRecord<'a> {
    store: &'a Store,
    deadline: Deadline,
    entry: Option<(i64, Entry<'static>)>,
}

/// Runs `change`, which records what it is about to do before it does it. If it fails, the record is revoked.
pub(in crate::store) fn recorded<T>(
    store: &Store,
    deadline: Deadline,
    change: impl FnOnce(&mut ChangeRecord<'_>) -> Result<T>,
) -> Result<T> {
    let process = fork::generation();
    let mut record = ChangeRecord { store, deadline, entry: None };
    // A callback of the program may panic.
    let result = catch_unwind(AssertUnwindSafe(|| change(&mut record)));
    // If a callback forked and this is the child, the change is the parent's.
    if !matches!(result, Ok(Ok(_))) && process == fork::generation() {
        record.revoke();
    }
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

impl ChangeRecord<'_> {
    /// Records the change. Called at most once.
    pub(in crate::store) fn append(&mut self, entry: Entry<'static>) -> Result<()> {
        let id = self.store.shared.audit.append(&self.store.actor, &entry, self.deadline).map_err(|error: Error| {
            error.with_source(Source::Store).map_message(|message| {
                format!("nothing was changed: cannot record the change in the audit trail: {message}")
            })
        })?;
        self.entry = Some((id, entry));
        Ok(())
    }

    fn revoke(&self) {
        let Some((id, entry)) = &self.entry else { return };
        // The change may have failed because its deadline passed, so this gets a new one.
        let deadline = self.store.deadline();
        if let Err(error) = self.store.shared.audit.append(&self.store.actor, &entry.failed(*id), deadline) {
            let message = format!("audit entry {id} announces a change that failed, and cannot be revoked: {error}");
            log_later(Level::Error, message);
        }
    }
}
