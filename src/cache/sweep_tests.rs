//! When expired entries are removed.

use std::sync::atomic::Ordering::Relaxed;

use super::recency::CHECK;
use super::remove::SWEEP;
use super::tests::{MINUTE, steered};

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
