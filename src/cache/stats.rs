//! The counters of a cache.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::TtlCache;
use super::remove::SCAN;
use super::shared::Shared;
use super::store::{Counts, EntryStore, Ledger};
use super::time;
use crate::fork;

/// The state of a cache and its counters since it was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The number of entries, including expired entries that have not been removed yet.
    pub size: usize,
    /// The largest number of entries.
    pub max_size: usize,
    /// The number of expired entries that have not been removed yet.
    pub expired_count: usize,
    /// The time to live of an entry that is stored without one; [`Duration::MAX`] means that it never expires.
    pub default_ttl: Duration,
    /// Lookups that returned a value or a cached absence.
    pub hits: u64,
    /// Lookups that found no entry.
    pub misses: u64,
    /// Entries that were removed before they expired, to make room.
    pub evictions: u64,
    /// Entries that were removed because they had expired.
    pub expirations: u64,
    /// Entries that were deleted before they expired.
    pub invalidations: u64,
    /// Loads that were started.
    pub loads: u64,
    /// Loads that ended without a value.
    pub load_failures: u64,
}

impl<V: Clone + Send + Sync> TtlCache<V> {
    /// Returns the state of the cache. All numbers are from one moment except `expired_count`: expired entries are
    /// counted after that, in steps between which other callers continue. Entries that [`TtlCache::clear`] removes are
    /// counted when it returns.
    pub fn stats(&self) -> Stats {
        let _guard = fork::protect();
        let mut stats = Stats {
            size: 0,
            max_size: self.max_size,
            expired_count: 0,
            default_ttl: time::duration(self.default_ttl),
            hits: 0,
            misses: self.misses.load(Relaxed),
            evictions: 0,
            expirations: 0,
            invalidations: 0,
            loads: 0,
            load_failures: 0,
        };
        let Some(shared) = &self.shared else {
            // A load is counted after the miss that led to it.
            (stats.loads, stats.load_failures) = self.loads.counts();
            stats.misses = self.misses.load(Relaxed);
            return stats;
        };
        let mut locked = shared.lock();
        {
            let mut writer = locked.upgrade();
            (stats.loads, stats.load_failures) = self.loads.counts();
            (stats.hits, stats.misses) = writer.hits_and_misses();
            let (_, ledger) = writer.parts();
            let Counts { evictions, expirations, invalidations } = ledger.counts;
            stats.size = ledger.len();
            (stats.evictions, stats.expirations, stats.invalidations) = (evictions, expirations, invalidations);
        }
        drop(locked);
        stats.expired_count = self.count_expired(shared).min(stats.size);
        stats
    }

    fn count_expired(&self, shared: &Shared<EntryStore<V>, Ledger>) -> usize {
        let (now, mut from, mut count) = (self.clock.exact(), 0, 0);
        loop {
            let mut locked = shared.lock();
            let (store, _) = locked.parts();
            count += store.count_expired(from, from + SCAN, &self.clock, now);
            from += SCAN;
            if from >= store.indices() {
                return count;
            }
        }
    }
}
