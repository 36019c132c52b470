//! The cache beside a naive one, on random operations: every answer, the order of use and the statistics agree.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use lru::LruCache;

use super::recency::CHECK;
use super::time::{Clock, NEVER};
use super::*;

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

#[derive(Clone, Copy)]
struct Item {
    value: u64,
    until: u64,
}

/// Does what the documentation says in the plainest way, with the order of use left to the crate `lru`.
struct Model {
    items: LruCache<Vec<u8>, Item>,
    capacity: usize,
    interval: u64,
    next_sweep: u64,
    counts: Stats,
}

impl Model {
    fn sweep(&mut self, now: u64) {
        if now >= self.next_sweep && self.capacity > 0 {
            self.counts.expirations += self.take_out(|_, item| item.until <= now).len() as u64;
            self.next_sweep = now.saturating_add(self.interval);
        }
    }

    fn take_out(&mut self, meant: impl Fn(&[u8], Item) -> bool) -> Vec<Item> {
        let keys = self.items.iter().filter(|(key, item)| meant(key, **item)).map(|(key, _)| key.clone());
        let keys: Vec<_> = keys.collect();
        keys.iter().map(|key| self.items.pop(key).unwrap()).collect()
    }

    fn get(&mut self, key: &[u8], now: u64) -> Option<u64> {
        let Some(item) = self.items.peek(key).copied() else {
            self.counts.misses += 1;
            if self.counts.misses.is_multiple_of(CHECK) {
                self.sweep(now);
            }
            return None;
        };
        let value = (item.until > now).then_some(item.value);
        match value {
            Some(_) => {
                self.items.promote(key);
                self.counts.hits += 1;
            }
            None => self.counts.misses += 1,
        }
        self.sweep(now);
        value
    }

    fn set(&mut self, key: &[u8], value: u64, until: u64, now: u64) {
        self.sweep(now);
        if self.capacity == 0 {
            return;
        }
        match self.items.push(key.to_vec(), Item { value, until }) {
            Some((other, item)) if other == key => self.counts.expirations += u64::from(item.until <= now),
            Some((_, item)) if item.until <= now => self.counts.expirations += 1,
            Some(_) => self.counts.evictions += 1,
            None => {}
        }
    }

    fn remove(&mut self, meant: impl Fn(&[u8]) -> bool, now: u64) -> usize {
        let removed = self.take_out(|key, _| meant(key));
        let live = removed.iter().filter(|item| item.until > now).count();
        self.counts.invalidations += live as u64;
        self.counts.expirations += (removed.len() - live) as u64;
        live
    }

    fn stats(&self, now: u64) -> Stats {
        let expired_count = self.items.iter().filter(|(_, item)| item.until <= now).count();
        Stats { size: self.items.len(), expired_count, ..self.counts }
    }
}

fn key(random: &mut Random, keys: u64) -> Vec<u8> {
    // Some keys are short, some share long beginnings, some do not fit into an entry.
    let number = random.below(keys);
    match number % 4 {
        0 => format!("{number}").into_bytes(),
        1 => format!("provider:{}:{number}", number % 16).into_bytes(),
        2 => format!("a-beginning-beyond-the-sixteenth-byte:{}:{number}", number % 8).into_bytes(),
        _ => [&number.to_le_bytes()[..], &[0; 3]].concat(),
    }
}

fn prefix(random: &mut Random) -> Vec<u8> {
    match random.below(5) {
        0 => format!("{}", random.below(100)).into_bytes(),
        1 => format!("provider:{}:", random.below(16)).into_bytes(),
        2 => format!("a-beginning-beyond-the-sixteenth-byte:{}:", random.below(8)).into_bytes(),
        3 => vec![random.below(256) as u8, 0],
        _ => b"provider:1".to_vec(),
    }
}

fn order(cache: &TtlCache<u64>) -> Vec<Vec<u8>> {
    let Some(shared) = &cache.shared else { return Vec::new() };
    let mut locked = shared.lock();
    let (store, _) = locked.parts();
    let mut used: Vec<_> = (0..store.indices() as u32)
        .filter_map(|index| store.key(index).map(|key| (store.stamp(index), key.to_vec())))
        .collect();
    used.sort();
    used.into_iter().rev().map(|(_, key)| key).collect()
}

fn compare(seed: u64, capacity: usize, interval: u64, operations: usize) {
    let time = Arc::new(AtomicU64::new(1_000_000_000));
    let options = CacheOptions {
        default_ttl: Duration::from_nanos(5_000),
        max_size: capacity,
        cleanup_interval: if interval == NEVER { Duration::MAX } else { Duration::from_nanos(interval) },
        ..CacheOptions::default()
    };
    let cache = TtlCache::with_clock(options, Clock::Steered(time.clone(), 0)).unwrap();
    let mut model = Model {
        items: LruCache::new(NonZeroUsize::new(capacity.max(1)).unwrap()),
        capacity,
        interval,
        next_sweep: time.load(Relaxed).saturating_add(interval),
        counts: cache.stats(),
    };
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let keys = (capacity as u64 * 2).max(4);
    for step in 0..operations {
        let now = time.load(Relaxed);
        match random.below(1000) {
            0..550 => {
                let key = key(&mut random, keys);
                assert_eq!(cache.get(&key), model.get(&key, now), "seed {seed}, step {step}");
            }
            550..900 => {
                let key = key(&mut random, keys);
                let (ttl, until) = match random.below(6) {
                    0 => (Some(Duration::ZERO), now),
                    1 => (Some(Duration::MAX), NEVER),
                    2 => (None, now + 5_000),
                    _ => {
                        let ttl = random.below(20_000);
                        (Some(Duration::from_nanos(ttl)), now + ttl)
                    }
                };
                cache.set(&key, step as u64, ttl).unwrap();
                model.set(&key, step as u64, until, now);
            }
            900..940 => {
                let key = key(&mut random, keys);
                assert_eq!(usize::from(cache.delete(&key)), model.remove(|other| other == key, now));
            }
            940..945 => {
                let prefix = prefix(&mut random);
                let live = model.remove(|key| key.starts_with(&prefix), now);
                assert_eq!(cache.invalidate_prefix(&prefix), live, "seed {seed}, step {step}");
            }
            945 if random.below(10) == 0 => assert_eq!(cache.clear(), model.remove(|_| true, now)),
            _ => {
                time.fetch_add(random.below(200), Relaxed);
            }
        }
        if step % (1 + capacity / 10) == 0 {
            assert_eq!(cache.stats(), model.stats(time.load(Relaxed)), "seed {seed}, step {step}");
            let keys: Vec<_> = model.items.iter().map(|(key, _)| key.clone()).collect();
            assert!(order(&cache) == keys, "the order differs: seed {seed}, step {step}");
        }
    }
}

/// How many operations a test runs, over all of its caches: `ST_TEST_OPERATIONS`, or else so many.
fn operations(default: usize) -> usize {
    std::env::var("ST_TEST_OPERATIONS").map_or(default, |operations| operations.parse().unwrap())
}

#[test]
fn small_caches_agree_with_the_model() {
    const CACHES: u64 = 60;
    let operations = operations(360_000) / CACHES as usize;
    for seed in 0..CACHES {
        let capacity = [0, 1, 2, 3, 7, 16, 50, 100, 255, 256][seed as usize % 10];
        let interval = [NEVER, 300, 3_000][seed as usize % 3];
        compare(seed, capacity, interval, operations);
    }
}

#[test]
fn large_caches_agree_with_the_model() {
    let capacities = [500, 1_000, 2_048, 2_049, 5_000];
    let entries: usize = capacities.iter().sum();
    let per_entry = operations(entries * 8) / entries;
    for (seed, capacity) in capacities.into_iter().enumerate() {
        compare(seed as u64 + 1_000, capacity, NEVER, capacity * per_entry);
    }
}
