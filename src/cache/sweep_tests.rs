//! When expired entries are removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::recency::CHECK;
use super::remove::SWEEP;
use super::tests::{MINUTE, steered};
use super::time::Clock;
use super::*;

#[test]
fn expired_entries_are_cleared_away_in_parts() {
    let (cache, time) = steered(2_000, 0.0, MINUTE * 2);
    for key in 0..1_000u32 {
        cache.set(&key.to_le_bytes(), 1, None).unwrap();
    }
    time.store(1 + MINUTE.as_nanos() as u64, Relaxed);
    assert_eq!(cache.get(&[0; 4]), None);
    assert_eq!((cache.stats().size, cache.stats().expired_count), (1_000, 1_000));
    time.store(1 + MINUTE.as_nanos() as u64 * 2, Relaxed);
    let sizes: Vec<_> = (0..5)
        .map(|_| {
            // The last of them to be cleared away.
            assert_eq!(cache.get(&999u32.to_le_bytes()), None);
            cache.stats().size
        })
        .collect();
    assert_eq!(sizes, [1_000 - SWEEP, 1_000 - 2 * SWEEP, 1_000 - 3 * SWEEP, 0, 0]);
    assert_eq!(cache.stats().expirations, 1_000);
}

#[test]
fn misses_clear_expired_entries_away() {
    let (cache, time) = steered(2_000, 0.0, MINUTE * 2);
    for key in 0..2 * SWEEP as u32 {
        cache.set(&key.to_le_bytes(), 1, None).unwrap();
    }
    let miss = || (0..CHECK).for_each(|_| assert_eq!(cache.get(b"none"), None));
    miss();
    assert_eq!(cache.stats().size, 2 * SWEEP);
    time.store(1 + MINUTE.as_nanos() as u64 * 2, Relaxed);
    miss();
    assert_eq!(cache.stats().size, SWEEP);
    miss();
    assert_eq!((cache.stats().size, cache.stats().expirations), (0, 2 * SWEEP as u64));
}

#[test]
fn values_that_a_sweep_drops_do_not_start_another_one() {
    #[derive(Clone)]
    struct Asking(Arc<Asked>);
    #[derive(Default)]
    struct Asked {
        cache: std::sync::OnceLock<TtlCache<Option<Asking>>>,
        /// How many drops are in progress, and were at most.
        depth: AtomicUsize,
        deepest: AtomicUsize,
    }
    impl Drop for Asking {
        fn drop(&mut self) {
            let depth = self.0.depth.fetch_add(1, Relaxed) + 1;
            self.0.deepest.fetch_max(depth, Relaxed);
            self.0.cache.get().unwrap().get(b"live");
            self.0.depth.fetch_sub(1, Relaxed);
        }
    }
    let time = Arc::new(AtomicU64::new(1));
    let options = CacheOptions { max_size: 4 * SWEEP, cleanup_interval: MINUTE, ..CacheOptions::default() };
    let asked = Arc::new(Asked::default());
    let cache = asked.cache.get_or_init(|| TtlCache::with_clock(options, Clock::Steered(time.clone(), 0)).unwrap());
    cache.set(b"live", None, Some(Duration::MAX)).unwrap();
    for key in 0..3 * SWEEP as u32 {
        cache.set(&key.to_le_bytes(), Some(Asking(asked.clone())), Some(Duration::ZERO)).unwrap();
    }
    time.store(1 + MINUTE.as_nanos() as u64, Relaxed);
    while cache.stats().size > 1 {
        cache.get(b"live");
    }
    assert_eq!((asked.deepest.load(Relaxed), cache.stats().expirations), (1, 3 * SWEEP as u64));
}
