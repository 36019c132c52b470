//! Changes of a cache that have not been recorded in its tier yet.

use crate::cache::Change;

/// The maximum number of changes. Beyond it, all are merged into one.
const MAX_CHANGES: usize = 1024;

/// Changes to record later. None of them covers another one.
#[derive(Default)]
pub(super) struct PendingChanges(Vec<Change>);

impl PendingChanges {
    pub(super) fn add(&mut self, change: Change) {
        if self.0.iter().any(|known| known.includes(&change)) {
            return;
        }
        self.0.retain(|known| !change.includes(known));
        self.0.push(change);
        if self.0.len() > MAX_CHANGES {
            self.merge();
        }
    }

    pub(super) fn add_all(&mut self, changes: PendingChanges) {
        changes.0.into_iter().for_each(|change| self.add(change));
    }

    pub(super) fn last(&self) -> Option<&Change> {
        self.0.last()
    }

    pub(super) fn remove_last(&mut self) {
        self.0.pop();
    }

    /// Replaces several changes by a single change of their common prefix.
    pub(super) fn merge(&mut self) {
        let [first, others @ ..] = &self.0[..] else { return };
        if !others.is_empty() {
            let common =
                |prefix: &[u8], change: &Change| prefix.iter().zip(change.name()).take_while(|(a, b)| a == b).count();
            let length =
                others.iter().fold(first.name().len(), |length, change| common(&first.name()[..length], change));
            self.0 = vec![Change::Prefix(first.name()[..length].to_vec())];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Change {
        Change::Key(name.into())
    }

    fn prefix(name: &str) -> Change {
        Change::Prefix(name.into())
    }

    #[test]
    fn repeated_and_included_changes_are_kept_once() {
        let mut changes = PendingChanges::default();
        for change in [key("a:1"), key("b"), key("a:1"), prefix("a:1"), key("a:12"), key("a:2"), prefix("a:12")] {
            changes.add(change);
        }
        assert_eq!(changes.0, [key("b"), prefix("a:1"), key("a:2")]);
        changes.add(prefix("a:"));
        assert_eq!(changes.0, [key("b"), prefix("a:")]);
        changes.merge();
        assert_eq!(changes.0, [prefix("")]);
    }

    #[test]
    fn too_many_changes_become_one_of_their_common_prefix() {
        let mut changes = PendingChanges::default();
        changes.merge();
        assert_eq!(changes.0, []);
        (0..MAX_CHANGES).for_each(|number| changes.add(key(&format!("user:{number}"))));
        assert_eq!(changes.0.len(), MAX_CHANGES);
        changes.add(key("user:more"));
        assert_eq!(changes.0, [prefix("user:")]);
    }
}
