//! Leases of etcd that the entries of a cache share.
//!
//! Overwriting an entry does not end its lease. If each entry had its own, the server would keep one for each write.

use std::time::Duration;

use crate::clock::Deadline;
use crate::fork;
use crate::fork_safe::Mutex;

/// The leases of one cache, with their ends.
#[derive(Default)]
pub(super) struct SharedLeases(Mutex<Vec<(String, Deadline)>>);

impl SharedLeases {
    /// The time of a lease for an entry that lasts this long.
    pub(super) fn time(lifetime: Duration) -> Duration {
        lifetime.saturating_mul(2)
    }

    /// A lease that lasts for as long as this entry, and not much longer.
    pub(super) fn find(&self, lifetime: Duration) -> Option<String> {
        let _guard = fork::protect();
        let leases = self.0.lock();
        let is_suitable = |end: &Deadline| (lifetime..=SharedLeases::time(lifetime)).contains(&end.remaining());
        leases.iter().find(|(_, end)| is_suitable(end)).map(|(lease, _)| lease.clone())
    }

    pub(super) fn add(&self, lease: String, end: Deadline) {
        let _guard = fork::protect();
        let mut leases = self.0.lock();
        leases.retain(|(_, end)| !end.has_passed());
        leases.push((lease, end));
    }

    /// The server no longer has them.
    pub(super) fn clear(&self) {
        let _guard = fork::protect();
        self.0.lock().clear();
    }
}
