//! What a single caller can see of the cache, apart from what the model covers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::time::Clock;
use super::*;
use crate::error::Status;

pub(super) const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn steered(max_size: usize, jitter: f64, interval: Duration) -> (TtlCache<u64>, Arc<AtomicU64>) {
    let time = Arc::new(AtomicU64::new(1));
    let options =
        CacheOptions { default_ttl: MINUTE, max_size, cleanup_interval: interval, jitter, ..CacheOptions::default() };
    (TtlCache::with_clock(options, Clock::Steered(time.clone(), 0)).unwrap(), time)
}

#[test]
fn absurd_arguments_are_refused() {
    for seconds in [f64::NAN, f64::NEG_INFINITY, -0.5, -2.0] {
        assert_eq!(ttl_from_seconds(seconds).unwrap_err().status(), Status::InvalidArgument);
    }
    assert_eq!(ttl_from_seconds(-1.0).unwrap(), None);
    assert_eq!(ttl_from_seconds(-0.0).unwrap(), Some(Duration::ZERO));
    assert_eq!(ttl_from_seconds(1e300).unwrap(), Some(Duration::MAX));
    let error = TtlCache::<u64>::new(MINUTE, usize::MAX, MINUTE).err().unwrap();
    assert_eq!(error.status(), Status::InvalidArgument);
    let error = TtlCache::<u64>::new(MINUTE, 10, Duration::ZERO).err().unwrap();
    assert!(error.status() == Status::InvalidArgument && error.message().contains("`cleanup_interval`"));
    let options = CacheOptions { jitter: f64::NAN, ..CacheOptions::default() };
    assert_eq!(TtlCache::<u64>::with_options(options).err().unwrap().status(), Status::InvalidArgument);
}

#[test]
fn a_cache_that_does_not_fit_into_memory_is_an_error() {
    #[derive(Clone)]
    struct Huge(#[allow(dead_code)] [u8; 1 << 20]);
    let error = TtlCache::<Huge>::new(MINUTE, LARGEST, MINUTE).err().unwrap();
    assert_eq!(error.status(), Status::NoMemory);
}

#[test]
fn empty_and_long_keys_are_keys() {
    let (cache, _) = steered(10, 0.0, Duration::MAX);
    let long = vec![b'k'; 1 << 20];
    cache.set(b"", 1, None).unwrap();
    cache.set(b"\0", 2, None).unwrap();
    cache.set(&long, 3, None).unwrap();
    assert_eq!((cache.get(b""), cache.get(b"\0"), cache.get(&long)), (Some(1), Some(2), Some(3)));
    assert_eq!(cache.invalidate_prefix(b"\0"), 1);
    assert_eq!(cache.invalidate_prefix(&long), 1);
    assert_eq!(cache.clear(), 1);
}

#[test]
fn jitter_only_shortens() {
    let (cache, time) = steered(10_000, 0.5, Duration::MAX);
    for key in 0..10_000u32 {
        cache.set(&key.to_le_bytes(), 1, None).unwrap();
    }
    let expired = |at: Duration| {
        time.store(1 + at.as_nanos() as u64, Relaxed);
        cache.stats().expired_count
    };
    assert_eq!(expired(MINUTE / 2 - Duration::from_nanos(1)), 0);
    let half = expired(MINUTE * 3 / 4);
    assert!((4_500..5_500).contains(&half), "{half}");
    assert_eq!(expired(MINUTE), 10_000);
}

#[test]
fn expired_entry_is_not_found_while_the_coarse_clock_lags() {
    const SECOND: u64 = 1_000_000_000;
    for lag in [0, 4_000_000, 28_000_000, 99_999_999] {
        let time = Arc::new(AtomicU64::new(10 * SECOND));
        let options = CacheOptions { default_ttl: MINUTE, cleanup_interval: Duration::MAX, ..CacheOptions::default() };
        let cache = TtlCache::with_clock(options, Clock::Steered(time.clone(), lag)).unwrap();
        cache.set(b"key", 1u64, None).unwrap();
        cache.set_soft(b"soft", 1u64, None, Some(MINUTE / 2)).unwrap();
        let fresh = |at| {
            time.store(at, Relaxed);
            [cache.get(b"key").is_some(), cache.get_fresh(b"soft").is_some(), cache.get(b"soft").is_some()]
        };
        assert_eq!(fresh(40 * SECOND - 1), [true, true, true]);
        assert_eq!(fresh(40 * SECOND), [true, false, true], "{lag}");
        assert_eq!(fresh(70 * SECOND - 1), [true, false, true]);
        assert_eq!(fresh(70 * SECOND), [false, false, false], "{lag}");
        assert_eq!((cache.delete(b"key"), cache.clear()), (false, 0), "{lag}");
    }
}

#[test]
fn keyed_hash_finds_the_same_entries() {
    let options = CacheOptions { keyed_hash: true, ..CacheOptions::default() };
    let cache = TtlCache::with_options(options).unwrap();
    for key in 0..1_000u64 {
        cache.set(&key.to_le_bytes()[..1 + key as usize % 8], key, None).unwrap();
    }
    assert_eq!(cache.get(&999u64.to_le_bytes()), Some(999));
    assert_eq!(cache.get(&[1, 2, 3]), None);
    let hashes = [
        table::KeyHasher::new(true),
        table::KeyHasher::new(true),
        table::KeyHasher::new(false),
        table::KeyHasher::new(false),
    ];
    let tags: std::collections::HashSet<_> = hashes.iter().map(|hash| hash.tag(b"key")).collect();
    assert_eq!(tags.len(), 4, "each cache has seeds of its own");
}

#[test]
fn cleared_cache_is_as_a_new_one() {
    let (cache, time) = steered(100, 0.0, Duration::MAX);
    for round in 0..3 {
        for key in 0..150u32 {
            cache.set(&key.to_le_bytes(), round, None).unwrap();
        }
        cache.set_soft(b"over", round, Some(Duration::ZERO), Some(Duration::ZERO)).unwrap();
        let before = cache.stats();
        assert_eq!((cache.clear(), before.size, before.expired_count), (99, 100, 1));
        let stats = cache.stats();
        assert_eq!((stats.size, stats.expirations, stats.invalidations), (0, round + 1, 99 * (round + 1)));
        assert_eq!((cache.get(&149u32.to_le_bytes()), cache.clear()), (None, 0));
        time.fetch_add(5, Relaxed);
    }
}

#[test]
fn a_stale_entry_is_served_and_one_caller_refreshes_it() {
    let (cache, time) = steered(10, 0.0, Duration::MAX);
    cache.set_soft(b"key", 1, None, Some(MINUTE / 2)).unwrap();
    let Acquired::Hit(1) = cache.acquire(b"key", Duration::ZERO, MINUTE).unwrap() else { panic!() };
    time.store(1 + MINUTE.as_nanos() as u64 / 2, Relaxed);
    assert_eq!(cache.get(b"key"), Some(1));
    let Acquired::Lead(lease, Some(1)) = cache.acquire(b"key", Duration::ZERO, MINUTE).unwrap() else { panic!() };
    // Meanwhile all others are served the old value.
    let Acquired::Hit(1) = cache.acquire(b"key", Duration::ZERO, MINUTE).unwrap() else { panic!() };
    lease.finish(2).unwrap();
    let Acquired::Hit(2) = cache.acquire(b"key", Duration::ZERO, MINUTE).unwrap() else { panic!() };

    cache.set_soft(b"key", 3, None, Some(Duration::ZERO)).unwrap();
    let failing = |_| Err::<u64, _>(Error::new(Status::Unavailable, "down"));
    assert_eq!(cache.get_or_load(b"key", MINUTE, failing).unwrap(), 3);
    time.fetch_add(MINUTE.as_nanos() as u64, Relaxed);
    assert_eq!(cache.get_or_load(b"key", MINUTE, failing).unwrap_err().status(), Status::Unavailable);
}

#[test]
fn after_a_failure_a_stale_entry_is_served_for_a_second() {
    let (cache, time) = steered(10, 0.0, Duration::MAX);
    cache.set_soft(b"key", 1, None, Some(Duration::ZERO)).unwrap();
    let mut calls = 0;
    let mut ask = || {
        let load = |_| {
            calls += 1;
            Err::<u64, _>(Error::new(Status::Unavailable, "down"))
        };
        (cache.get_or_load(b"key", MINUTE, load).map_err(|error| error.status()), calls)
    };
    assert_eq!([ask(), ask()], [(Ok(1), 1), (Ok(1), 1)]);
    time.fetch_add(999_999_999, Relaxed);
    assert_eq!(ask(), (Ok(1), 1));
    time.fetch_add(1, Relaxed);
    assert_eq!([ask(), ask()], [(Ok(1), 2), (Ok(1), 2)]);
    // The pause does not outlast the entry.
    time.store(MINUTE.as_nanos() as u64 - 5, Relaxed);
    assert_eq!(ask(), (Ok(1), 3));
    time.fetch_add(6, Relaxed);
    assert_eq!(ask(), (Err(Status::Unavailable), 4));
}

#[test]
fn a_failed_reload_returns_what_the_cache_has_then() {
    let reload = |during: &dyn Fn(&TtlCache<u64>, &AtomicU64)| {
        let (cache, time) = steered(10, 0.0, Duration::MAX);
        cache.set_soft(b"key", 1, None, Some(Duration::ZERO)).unwrap();
        let load = |_| {
            during(&cache, &time);
            Err::<u64, _>(Error::new(Status::Unavailable, "down"))
        };
        cache.get_or_load(b"key", MINUTE, load).map_err(|error| error.status())
    };
    assert_eq!(reload(&|_, _| {}), Ok(1));
    assert_eq!(reload(&|_, time| time.store(1 + MINUTE.as_nanos() as u64, Relaxed)), Err(Status::Unavailable));
    assert_eq!(reload(&|cache, _| assert!(cache.delete(b"key"))), Err(Status::Unavailable));
    assert_eq!(reload(&|cache, _| cache.set(b"key", 2, None).unwrap()), Ok(2));
}

#[test]
fn an_answer_of_the_source_ends_a_stale_entry() {
    for status in [Status::NotFound, Status::AccessDenied] {
        let (cache, _) = steered(10, 0.0, Duration::MAX);
        let answer = || Error::new(status, "so it is");
        cache.set_soft(b"key", 1, None, Some(Duration::ZERO)).unwrap();
        let error = cache.get_or_load(b"key", MINUTE, |_| Err::<u64, _>(answer())).unwrap_err();
        assert_eq!((error.status(), cache.get(b"key")), (status, None));
        // With a lease too; but what was set meanwhile stays.
        cache.set_soft(b"key", 2, None, Some(Duration::ZERO)).unwrap();
        let Acquired::Lead(lease, Some(2)) = cache.acquire(b"key", Duration::ZERO, MINUTE).unwrap() else { panic!() };
        cache.set_soft(b"key", 3, None, Some(Duration::ZERO)).unwrap();
        lease.fail(answer());
        assert_eq!(cache.get(b"key"), Some(3));
        let Acquired::Lead(lease, Some(3)) = cache.acquire(b"key", Duration::ZERO, MINUTE).unwrap() else { panic!() };
        cache.load_abandon(lease.into_number(), answer()).unwrap();
        assert_eq!(cache.get(b"key"), None);
    }
}

#[test]
fn a_load_that_began_before_a_set_does_not_undo_it() {
    let (cache, set) = (TtlCache::new(MINUTE, 10, MINUTE).unwrap(), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        // Both of them meet the lock, however far they have come.
        let held = cache.shared.as_ref().unwrap().lock();
        scope.spawn(|| {
            cache.set(b"key", 2u64, None).unwrap();
            set.wait();
        });
        std::thread::sleep(Duration::from_millis(50));
        let load = scope.spawn(|| {
            let mut loaded = false;
            let load = |_| {
                loaded = true;
                set.wait();
                Ok(1)
            };
            cache.get_or_load(b"key", MINUTE, load).unwrap();
            if !loaded {
                set.wait();
            }
        });
        std::thread::sleep(Duration::from_millis(50));
        drop(held);
        load.join().unwrap();
    });
    assert_eq!(cache.get(b"key"), Some(2));
}

#[test]
fn a_load_ends_even_if_the_code_of_its_value_panics() {
    struct Bad(bool);
    impl Clone for Bad {
        fn clone(&self) -> Bad {
            assert!(!self.0, "no clone");
            Bad(false)
        }
    }
    let cache = TtlCache::new(MINUTE, 10, MINUTE).unwrap();
    let lead = || match cache.acquire(b"key", Duration::ZERO, Duration::MAX).unwrap() {
        Acquired::Lead(lease, _) => lease,
        _ => panic!("the load before has not ended"),
    };
    let panics = |finish: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(finish)).is_err();
    assert!(panics(&|| lead().finish(Bad(true)).unwrap()));
    assert!(panics(&|| cache.load_finish(lead().into_number(), Bad(true)).unwrap()));
    lead().finish(Bad(false)).unwrap();
}

#[test]
fn loads_are_never_more_than_misses() {
    let cache = TtlCache::<u64>::new(MINUTE, 10, MINUTE).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let (cache, stop) = (&cache, &stop);
            scope.spawn(move || {
                while !stop.load(Relaxed) {
                    let fails = |_| Err::<u64, _>(Error::new(Status::Unavailable, "down"));
                    cache.get_or_load(&thread.to_le_bytes(), MINUTE, fails).unwrap_err();
                }
            });
        }
        let odd = (0..20_000)
            .map(|_| cache.stats())
            .find(|stats| stats.loads > stats.misses || stats.load_failures > stats.loads);
        stop.store(true, Relaxed);
        assert_eq!(odd, None);
    });
}

#[test]
fn what_leaves_the_cache_is_dropped_with_no_lock_held() {
    #[derive(Clone)]
    struct Calls(Arc<(TtlCache<Option<Calls>>, AtomicUsize)>);
    impl Drop for Calls {
        fn drop(&mut self) {
            self.0.1.fetch_add(1, Relaxed);
            // Would hang if a lock were held here.
            self.0.0.set(b"from a drop", None, None).unwrap();
            self.0.0.get(b"from a drop");
        }
    }
    let shared = Arc::new((TtlCache::new(MINUTE, 2, MINUTE).unwrap(), AtomicUsize::new(0)));
    let cache = &shared.0;
    let value = || Some(Calls(shared.clone()));
    cache.set(b"a", value(), None).unwrap();
    cache.set(b"a", value(), None).unwrap();
    cache.set(b"b", value(), None).unwrap();
    cache.set(b"c", value(), None).unwrap();
    cache.delete(b"c");
    cache.set(b"d", value(), None).unwrap();
    cache.clear();
    cache.clear();
    assert!(shared.1.load(Relaxed) >= 5);
}

#[test]
fn values_outlive_their_entry_and_their_cache() {
    let cache = TtlCache::new(MINUTE, 1, MINUTE).unwrap();
    cache.set(b"a", Value::copy_from(b"first").unwrap(), None).unwrap();
    let first = cache.get(b"a").unwrap().into_bytes().unwrap();
    cache.set(b"b", Value::copy_from(b"second").unwrap(), None).unwrap();
    let second = cache.get(b"b").unwrap().into_bytes().unwrap();
    drop(cache);
    assert_eq!((&*first, &*second), (&b"first"[..], &b"second"[..]));
}

#[test]
fn a_value_is_copied_whole_or_not_at_all() {
    let cache = TtlCache::new(MINUTE, 10, MINUTE).unwrap();
    for len in [0, 1, 4_096, 4_097, 100_000] {
        cache.set(b"key", Value::copy_from(&vec![3; len]).unwrap(), None).unwrap();
        let mut buffer = vec![0; len + 1];
        assert_eq!(cache.get_into(b"key", &mut buffer), Copied::Whole(len));
        assert!(buffer[..len].iter().all(|byte| *byte == 3) && buffer[len] == 0);
        if len > 0 {
            let mut buffer = vec![0; len - 1];
            assert_eq!(cache.get_into(b"key", &mut buffer), Copied::TooLong(len));
            assert!(buffer.iter().all(|byte| *byte == 0));
        }
    }
    assert_eq!(cache.get_into(b"none", &mut []), Copied::Missing);
    cache.set(b"key", Value::Object(Object::new(5i32)), None).unwrap();
    assert_eq!(cache.get_into(b"key", &mut []), Copied::NotBytes);
    let object = cache.get(b"key").unwrap().into_object().unwrap();
    assert_eq!(object.downcast_ref::<i32>(), Some(&5));
    assert_eq!(cache.get(b"key").unwrap().into_bytes().unwrap_err().status(), Status::WrongType);
}

#[test]
fn the_built_in_caches_forget_by_name() {
    let value = || Value::copy_from(b"{}").unwrap();
    for key in ["provider:replicate:config", "provider:replicate:limits", "provider:replicate2:config"] {
        provider_config().unwrap().set(key.as_bytes(), value(), None).unwrap();
    }
    assert_eq!(invalidate_provider("replicate").unwrap(), 2);
    assert!(provider_config().unwrap().get(b"provider:replicate2:config").is_some());
    for key in ["user:12:permissions", "user:123:permissions", "user:-1:permissions"] {
        user_permission().unwrap().set(key.as_bytes(), value(), None).unwrap();
    }
    assert_eq!([12, 12, -1].map(|id| invalidate_user(id).unwrap()), [1, 0, 1]);
    let stats = provider_config().unwrap().stats();
    assert_eq!((stats.max_size, stats.default_ttl), (100, Duration::from_secs(300)));
    let stats = user_permission().unwrap().stats();
    assert_eq!((stats.max_size, stats.default_ttl, stats.size), (500, Duration::from_secs(60), 1));
}

#[test]
fn entries_that_several_threads_set_within_a_tick_are_evicted_in_their_order() {
    let (cache, _) = steered(10, 0.0, Duration::MAX);
    let set = |key: u32| cache.set(&key.to_le_bytes(), 1, None).unwrap();
    for key in 0..100 {
        // Every third on a thread, and in a slot, of its own.
        match key % 3 {
            0 => std::thread::scope(|scope| drop(scope.spawn(|| set(key)))),
            _ => set(key),
        }
        let mut locked = cache.shared.as_ref().unwrap().lock();
        let (store, _) = locked.parts();
        let mut held: Vec<_> = (0..store.indices() as u32).filter_map(|index| store.key(index)).collect();
        held.sort();
        let mut last: Vec<_> = (0..=key).rev().take(10).map(u32::to_le_bytes).collect();
        last.sort();
        assert_eq!(held, last);
    }
}
