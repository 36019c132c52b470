//! How a cache is doing.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::TtlCache;
use super::store::Counts;
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
    /// The state of the cache now, in numbers that are all of one moment.
    pub fn stats(&self) -> Stats {
        let _inside = fork::enter();
        let Some(shared) = &self.shared else {
            // A load is counted after the miss that led to it.
            let loads = self.loads.counts();
            let counts = Counts { misses: self.misses.load(Relaxed), ..Counts::default() };
            return self.stats_of(counts, loads, 0, 0);
        };
        // The numbers of hits and misses are with the readers, and those of loads change while the readers are kept out
        // only for misses that are counted. The entries can be counted while readers go on.
        let store = self.write(shared);
        let loads = self.loads.counts();
        let store = store.done();
        let expired_count = store.count_over(&self.clock, self.clock.exact());
        self.stats_of(store.counts, loads, store.len(), expired_count)
    }

    fn stats_of(&self, counts: Counts, (loads, load_failures): (u64, u64), size: usize, expired_count: usize) -> Stats {
        Stats {
            size,
            max_size: self.max_size,
            expired_count,
            default_ttl: self.default_ttl,
            hits: counts.hits,
            misses: counts.misses,
            evictions: counts.evictions,
            expirations: counts.expirations,
            invalidations: counts.invalidations,
            loads,
            load_failures,
        }
    }
}
