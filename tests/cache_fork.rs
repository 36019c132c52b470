//! Children forked while other threads are busy with the cache: none hangs, and each has what was cached.

mod common;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use common::fork::{fork, said_yes};
use st_secrets::cache::{Acquired, CacheOptions, TtlCache, Value};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(36_000);
const FORKS: usize = 300;

fn value(text: &str) -> Value {
    Value::copy_from(text.as_bytes()).unwrap()
}

fn has(cache: &TtlCache<Value>, key: &str) -> bool {
    cache.get(key.as_bytes()).is_some_and(|value| *value.into_bytes().unwrap() == *key.as_bytes())
}

/// Everything a child may want to do, with threads of its own.
fn use_everything(cache: &TtlCache<Value>) -> bool {
    let kept = (0..50).all(|key| has(cache, &format!("kept:{key}")));
    let loaded = cache.get_or_load(b"under way", LONG, |_| Ok(value("by the child"))).is_ok();
    let work = || {
        for key in 0..200 {
            cache.set(format!("child:{key}").as_bytes(), value("child"), None).unwrap();
            cache.get(format!("child:{}", key / 2).as_bytes());
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    let forgotten = cache.invalidate_prefix(b"kept:");
    kept && loaded && forgotten <= 50 && cache.stats().size <= 1_000
}

fn disturb(cache: &TtlCache<Value>, seed: u64, stop: &AtomicBool) {
    let mut step = seed;
    while !stop.load(Relaxed) {
        step = step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let key = format!("busy:{}", (step >> 33) % 500);
        match (step >> 50) % 8 {
            0 => cache.set(key.as_bytes(), value(&key), None).unwrap(),
            1 => drop(cache.delete(key.as_bytes())),
            2 => drop(cache.get_or_load(key.as_bytes(), LONG, |_| Ok(value("loaded")))),
            3 => drop(cache.get_or_load(b"one for all", Duration::from_millis(1), |_| {
                thread::yield_now();
                Err::<Value, _>(st_secrets::Error::new(st_secrets::Status::Unavailable, "down"))
            })),
            4 => drop(cache.invalidate_prefix(b"busy:4")),
            _ => drop(cache.get(format!("kept:{}", step % 50).as_bytes())),
        }
        // The kept ones stay the most recently used.
        has(cache, &format!("kept:{}", (step >> 40) % 50));
    }
}

#[test]
fn no_child_hangs_and_all_have_what_was_cached() {
    let cache = TtlCache::new(LONG, 1_000, Duration::from_millis(5)).unwrap();
    for key in 0..50 {
        cache.set(format!("kept:{key}").as_bytes(), value(&format!("kept:{key}")), Some(Duration::MAX)).unwrap();
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // A load that never ends while the children are made.
        let lease = match cache.acquire(b"under way", Duration::ZERO, Duration::MAX).unwrap() {
            Acquired::Lead(lease, _) => lease,
            _ => panic!("nobody loads it"),
        };
        for seed in 0..8 {
            let (cache, stop) = (&cache, &stop);
            scope.spawn(move || disturb(cache, seed, stop));
        }
        let forks = std::env::var("ST_TEST_FORKS").ok().and_then(|forks| forks.parse().ok()).unwrap_or(FORKS);
        let bad = (0..forks).filter(|_| !said_yes(fork(|| use_everything(&cache)))).count();
        stop.store(true, Relaxed);
        assert_eq!(bad, 0, "children that missed something");
        lease.finish(value("by the parent")).unwrap();
    });
    assert!(cache.get(b"under way").is_some());
}

#[test]
fn a_load_may_fork() {
    let cache = TtlCache::new(LONG, 10, LONG).unwrap();
    let got = cache.get_or_load(b"key", LONG, |_| {
        let own = || cache.get_or_load(b"key", LONG, |_| Ok(value("again"))).is_err();
        assert!(said_yes(fork(|| own() && cache.get_or_load(b"other", LONG, |_| Ok(value("other"))).is_ok())));
        Ok(value("value"))
    });
    assert!(got.is_ok());
}

/// Lets this process have `more` bytes of address space.
fn limit_memory(more: u64) {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let now = pages.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096;
    let limit = libc::rlimit { rlim_cur: now + more, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is valid for the whole call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

#[test]
fn without_memory_for_soft_deadlines_there_is_an_error() {
    const ENTRIES: usize = 10_000_000;
    // An entry takes 108 bytes, and 8 more if it has a soft deadline.
    const MEMORY: u64 = 112 * ENTRIES as u64;
    let no_memory = |error: st_secrets::Error| error.status() == st_secrets::Status::NoMemory;
    assert!(said_yes(fork(|| {
        limit_memory(MEMORY);
        let options = CacheOptions { max_size: ENTRIES, soft_ttl: LONG, ..CacheOptions::default() };
        TtlCache::<u64>::with_options(options).err().is_some_and(no_memory)
    })));
    assert!(said_yes(fork(|| {
        limit_memory(MEMORY);
        let cache = TtlCache::new(LONG, ENTRIES, LONG).unwrap();
        let refused = cache.set_soft(b"key", 1u64, None, Some(Duration::ZERO)).is_err_and(no_memory);
        refused && cache.set(b"key", 2, None).is_ok() && cache.get(b"key") == Some(2)
    })));
}
