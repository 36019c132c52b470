//! The copy of a cache that other processes share.
//!
//! A cache with one looks there for what it misses, writes what it stores there too, and once in a while asks for the
//! changes of other processes. Everything works without the remote copy.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::load::{Claimed, Load};
use super::time::NEVER;
use super::{CacheOptions, Loaded, TtlCache};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};

/// What another process removed or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Key(Vec<u8>),
    Prefix(Vec<u8>),
}

/// What the remote copy has of a key.
pub(crate) struct RemoteEntry<V> {
    /// The value, with the time that remains, and its age.
    pub(crate) value: Option<(V, Duration, Duration)>,
    /// The revision, and a number that goes with the result of a load that begins now.
    pub(crate) since: (u64, u64),
}

/// The copy of a cache that other processes share. None of its methods fails.
pub(crate) trait RemoteCopy<V: Clone + Send + Sync>: Send + Sync {
    /// How often to ask for changes.
    fn interval(&self) -> Duration;

    /// Returns the changes since the last call.
    fn look(&self) -> Vec<Change>;

    /// Looks a key up, after applying the changes that are needed for that to `cache`.
    fn fetch(&self, cache: &TtlCache<V>, key: &[u8]) -> Option<RemoteEntry<V>>;

    /// Stores the result of a load, unless the key has changed since.
    fn fill(&self, key: &[u8], value: &V, ttl: Duration, since: (u64, u64));

    /// Whether it can have this value. Others stay in their process.
    fn takes(&self, value: &V) -> bool;

    /// Stores a value. One that it does not take replaces the older value all the same, which is removed.
    fn set(&self, key: &[u8], value: &V, ttl: Duration);

    fn remove(&self, change: Change);
}

impl Change {
    /// The key or the prefix.
    pub(crate) fn name(&self) -> &[u8] {
        let (Change::Key(name) | Change::Prefix(name)) = self;
        name
    }

    fn covers(&self, key: &[u8]) -> bool {
        match self {
            Change::Key(changed) => changed == key,
            Change::Prefix(prefix) => key.starts_with(prefix),
        }
    }

    /// Whether this change covers `other`.
    pub(crate) fn includes(&self, other: &Change) -> bool {
        match self {
            Change::Key(_) => self == other,
            Change::Prefix(prefix) => other.name().starts_with(prefix),
        }
    }
}

impl<V: Clone + Send + Sync + 'static> TtlCache<V> {
    /// Creates an empty cache with a copy that other processes share.
    pub(crate) fn with_remote(options: CacheOptions, remote: Box<dyn RemoteCopy<V>>) -> Result<TtlCache<V>> {
        let cache = TtlCache::with_options(options)?;
        cache.next_look.store(cache.clock.after(remote.interval()), Relaxed);
        cache.update_due();
        Ok(TtlCache { remote: Some(remote), ..cache })
    }
}

impl<V: Clone + Send + Sync> TtlCache<V> {
    /// Removes what another process has changed.
    pub(crate) fn apply(&self, change: &Change) {
        match change {
            Change::Key(key) => drop(self.delete_local(key)),
            Change::Prefix(prefix) => drop(self.invalidate_local(prefix)),
        }
    }

    /// Asks for the changes of other processes, unless another thread does. Returns whether the key is among them.
    #[cold]
    pub(super) fn look(&self, key: &[u8]) -> bool {
        let Some(remote) = &self.remote else { return false };
        let (due, next) = (self.next_look.load(Relaxed), self.clock.after(remote.interval()));
        if due > self.clock.exact() || self.next_look.compare_exchange(due, next, Relaxed, Relaxed).is_err() {
            return false;
        }
        let changes = remote.look();
        changes.iter().for_each(|change| self.apply(change));
        changes.iter().any(|change| change.covers(key))
    }

    #[inline]
    pub(super) fn has_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Looks a key up under which this process has nothing that is a value.
    #[inline]
    pub(super) fn fetch_missing(&self, key: &[u8], is_value: fn(&V) -> bool) -> Option<V> {
        self.fetch_from(self.remote.as_deref()?, key, is_value)
    }

    /// Looks the key up in `remote`. A value that changes meanwhile is not stored, as with a load.
    #[cold]
    fn fetch_from(&self, remote: &dyn RemoteCopy<V>, key: &[u8], is_value: fn(&V) -> bool) -> Option<V> {
        let Claimed::Own(load) = self.loads.claim(key, None, Deadline::after(Duration::MAX)) else {
            // Another caller stores it.
            return remote.fetch(self, key)?.value.map(|(value, ..)| value);
        };
        // A writer that did not see the load may have stored a newer value.
        if let Some((value, _)) = self.peek_locked(key).filter(|(value, _)| is_value(value)) {
            self.loads.end(&load, Ok(value.clone()));
            return Some(value);
        }
        let Some(found) = remote.fetch(self, key).and_then(|entry| entry.value) else {
            // A caller that has joined and can load does that itself.
            self.loads.end_look_up(&load, Err(Error::new(Status::Abandoned, "the key was only looked up")));
            return None;
        };
        let value = found.0.clone();
        // Without memory for it, it is not kept.
        let _ = self.finish_local(&load, self.fetched(found), None);
        Some(value)
    }

    /// What the remote copy has, as the result of a load.
    pub(super) fn fetched(&self, (value, left, age): (V, Duration, Duration)) -> Loaded<V> {
        let soft = (self.soft_ttl < NEVER).then(|| Duration::from_nanos(self.soft_ttl).saturating_sub(age));
        Loaded { value, ttl: Some(left), soft }
    }

    /// The time to live of what is stored remotely.
    fn remote_ttl(&self, ttl: Option<Duration>) -> Duration {
        ttl.unwrap_or(super::time::duration(self.default_ttl))
    }

    pub(super) fn set_remote(
        &self,
        key: &[u8],
        value: impl FnOnce() -> Result<V>,
        ttl: Option<Duration>,
    ) -> Result<()> {
        if let Some(remote) = &self.remote {
            remote.set(key, &value()?, self.remote_ttl(ttl));
        }
        Ok(())
    }

    /// Stores the result of a load.
    pub(super) fn fill_remote(&self, load: &Load<V>, value: Option<V>, ttl: Option<Duration>) {
        let (Some(remote), Some(value)) = (&self.remote, value) else { return };
        let ttl = self.remote_ttl(ttl);
        if load.has_old() && (ttl.is_zero() || !remote.takes(&value)) {
            // Filling would leave the old value there.
            remote.remove(Change::Key(load.key.to_vec()));
            return;
        }
        let since = (load.since[0].load(Relaxed), load.since[1].load(Relaxed));
        remote.fill(&load.key, &value, ttl, since);
    }

    /// Removes what was just removed in this process. Returns whether the caller must do that once more: a lookup may
    /// have fetched the old value in between.
    pub(super) fn remove_remote(&self, change: impl FnOnce() -> Change) -> bool {
        if let Some(remote) = &self.remote {
            remote.remove(change());
        }
        self.remote.is_some()
    }
}
