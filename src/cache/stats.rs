//! How a cache is doing.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::TtlCache;
use super::remove::SCAN;
use super::shared::Shared;
use super::store::{Counts, Ledger, Store};
use crate::fork;

/// The state of a cache, and what happened to it since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries that are held, with those that have expired and were not cleared away yet.
    pub size: usize,
    /// Entries that are held at most.
    pub max_size: usize,
    /// Entries that are held but have expired.
    pub expired_count: usize,
    /// How long an entry lives unless it is stored with another time; [`Duration::MAX`] is for ever.
    pub default_ttl: Duration,
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Entries that had to make room before their time was over.
    pub evictions: u64,
    /// Entries that went because their time was over.
    pub expirations: u64,
    /// Entries that were deleted before their time was over.
    pub invalidations: u64,
    /// Loads that were begun.
    pub loads: u64,
    /// Loads that ended without a value.
    pub load_failures: u64,
}

impl<V: Clone + Send + Sync> TtlCache<V> {
    /// The state of the cache. The numbers are of one moment, save `expired_count`: entries that have expired are counted
    /// after that, a part at a time, with others going on in between; and entries that [`TtlCache::clear`] removes are counted
    /// when it returns.
    pub fn stats(&self) -> Stats {
        let _guard = fork::protect();
        let mut stats = Stats {
            size: 0,
            max_size: self.max_size,
            expired_count: 0,
            default_ttl: self.default_ttl,
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

    fn count_expired(&self, shared: &Shared<Store<V>, Ledger>) -> usize {
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
