//! Loading once: whatever the owner of a load does, no caller hangs and nothing old is stored.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::time::{thread_number, until_waiting};
use st_secrets::cache::{Acquired, Lease, TtlCache};
use st_secrets::{Error, Result, Status};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(36_000);
const SHORT: Duration = Duration::from_millis(30);

fn cache() -> TtlCache<u64> {
    TtlCache::new(LONG, 100, LONG).unwrap()
}

fn lead<'a>(cache: &'a TtlCache<u64>, key: &[u8]) -> Lease<'a, u64> {
    match cache.acquire(key, Duration::ZERO, LONG).unwrap() {
        Acquired::Lead(lease, None) => lease,
        _ => panic!("nobody else loads the key"),
    }
}

/// A load of `key` that ends as soon as four threads wait for it; what they get.
fn with_waiters(cache: &TtlCache<u64>, key: &[u8], end: impl FnOnce(Lease<'_, u64>)) -> Vec<Result<u64>> {
    let lease = lead(cache, key);
    thread::scope(|scope| {
        let never = |_| -> Result<u64> { panic!("the key is being loaded") };
        let (begin, begun) = mpsc::channel();
        let wait = move |begin: mpsc::Sender<_>| {
            begin.send(thread_number()).unwrap();
            cache.get_or_load(key, LONG, never)
        };
        let waiters: Vec<_> = (0..4).map(|_| begin.clone()).map(|begin| scope.spawn(move || wait(begin))).collect();
        until_waiting(&begun.iter().take(4).collect::<Vec<_>>());
        end(lease);
        waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect()
    })
}

#[test]
fn many_callers_one_load() {
    let (cache, loads, start) = (cache(), AtomicUsize::new(0), Barrier::new(16));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                start.wait();
                let value = cache.get_or_load(b"key", LONG, |remaining| {
                    assert!(remaining <= LONG && remaining > LONG / 2);
                    loads.fetch_add(1, SeqCst);
                    thread::sleep(SHORT);
                    Ok(7)
                });
                assert_eq!(value.unwrap(), 7);
            });
        }
    });
    assert_eq!(loads.load(SeqCst), 1);
    assert_eq!((cache.stats().loads, cache.stats().load_failures), (1, 0));
    assert_eq!(cache.get_or_load(b"key", LONG, |_| -> Result<u64> { panic!("cached") }).unwrap(), 7);
}

#[test]
fn everybody_gets_the_value_or_the_error() {
    let cache = cache();
    let got = with_waiters(&cache, b"good", |lease| lease.finish(5).unwrap());
    assert!(got.iter().all(|value| *value.as_ref().unwrap() == 5));

    let got = with_waiters(&cache, b"bad", |lease| lease.fail(Error::new(Status::AccessDenied, "not for you")));
    assert!(got.iter().all(|error| error.as_ref().unwrap_err().message() == "not for you"));
    assert_eq!(cache.get(b"bad"), None);

    let got = with_waiters(&cache, b"dropped", |lease| drop(lease));
    assert!(got.iter().all(|error| error.as_ref().unwrap_err().status() == Status::Abandoned));
    assert_eq!((cache.stats().loads, cache.stats().load_failures), (3, 2));

    // All three can be loaded again.
    for key in [&b"bad"[..], b"dropped"] {
        assert_eq!(cache.get_or_load(key, LONG, |_| Ok(6)).unwrap(), 6);
    }
}

#[test]
fn a_load_that_panics_is_an_error() {
    let cache = cache();
    std::panic::set_hook(Box::new(|_| {}));
    let error = cache.get_or_load(b"key", LONG, |_| -> Result<u64> { panic!("a secret") }).unwrap_err();
    let _ = std::panic::take_hook();
    assert_eq!(error.status(), Status::Panic);
    assert!(!error.message().contains("a secret"));
    assert_eq!(cache.get_or_load(b"key", LONG, |_| Ok(6)).unwrap(), 6);
}

#[test]
fn a_load_that_asks_for_its_own_key_is_refused() {
    let cache = cache();
    let value = cache.get_or_load(b"key", LONG, |_| {
        let error = cache.get_or_load(b"key", LONG, |_| Ok(1)).unwrap_err();
        assert_eq!(error.status(), Status::Busy);
        // Even if that load is outdated: it would never end.
        cache.delete(b"key");
        let error = cache.get_or_load(b"key", LONG, |_| Ok(1)).unwrap_err();
        assert_eq!(error.status(), Status::Busy);
        // Another key is fine.
        cache.get_or_load(b"other", LONG, |_| Ok(2))
    });
    assert_eq!(value.unwrap(), 2);
}

#[test]
fn loads_that_wait_for_each_other_end() {
    let (one, another) = (cache(), cache());
    // Within one cache, and over two.
    for (first, second) in [((&one, &b"a"[..]), (&one, &b"b"[..])), ((&one, b"c"), (&another, b"c"))] {
        let both = Barrier::new(2);
        let ask = |mine: (&TtlCache<u64>, &[u8]), other: (&TtlCache<u64>, &[u8])| {
            mine.0.get_or_load(mine.1, Duration::MAX, |_| {
                both.wait();
                match other.0.get_or_load(other.1, Duration::MAX, |_| Ok(1)) {
                    Err(error) if error.status() == Status::Busy => Ok(2),
                    answer => answer,
                }
            })
        };
        thread::scope(|scope| {
            let other = scope.spawn(|| ask(second, first));
            let mine = ask(first, second).unwrap();
            // One is refused, and continues; the other gets what that brings.
            assert_eq!((mine, other.join().unwrap().unwrap()), (2, 2));
        });
    }
}

#[test]
fn a_thread_whose_load_has_just_ended_may_wait_for_one_that_waited_for_it() {
    // The one that waited owns a load itself, and may not have noticed yet that its wait is over.
    for _ in 0..300 {
        let (cache, both) = (cache(), Barrier::new(2));
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                cache.get_or_load(b"outer", LONG, |_| {
                    both.wait();
                    cache.get_or_load(b"inner", LONG, |_| Ok(1))
                })
            });
            let inner = cache.get_or_load(b"inner", LONG, |_| {
                both.wait();
                thread::yield_now();
                Ok(2)
            });
            assert!(inner.is_ok());
            assert!(cache.get_or_load(b"outer", LONG, |_| Ok(3)).is_ok());
            assert!(other.join().unwrap().is_ok());
        });
    }
}

#[test]
fn waiters_have_a_deadline() {
    let cache = cache();
    let lease = lead(&cache, b"key");
    let start = Instant::now();
    let error = cache.get_or_load(b"key", SHORT, |_| Ok(1)).unwrap_err();
    assert_eq!(error.status(), Status::Timeout);
    assert!(start.elapsed() >= SHORT);
    let Acquired::Busy(number) = cache.acquire(b"key", Duration::ZERO, LONG).unwrap() else { panic!() };
    assert_eq!(cache.get_or_load(b"key", Duration::ZERO, |_| Ok(1)).unwrap_err().status(), Status::Busy);
    assert_eq!(lease.into_number(), number);
    cache.load_finish(number, 3).unwrap();
    assert_eq!(cache.get(b"key"), Some(3));
}

#[test]
fn what_was_invalidated_during_its_load_is_handed_out_but_not_stored() {
    let cache = cache();
    let ways: [&dyn Fn(); 4] = [
        &|| assert!(!cache.delete(b"key:1")),
        &|| assert_eq!(cache.invalidate_prefix(b"key:"), 0),
        &|| assert_eq!(cache.clear(), 0),
        &|| cache.set(b"key:1", 9, Some(Duration::ZERO)).unwrap(),
    ];
    for invalidate in ways {
        let got = with_waiters(&cache, b"key:1", |lease| {
            invalidate();
            lease.finish(5).unwrap();
        });
        assert!(got.iter().all(|value| *value.as_ref().unwrap() == 5));
        assert_eq!(cache.get(b"key:1"), None);
    }
    // A value that was set meanwhile is newer than the loaded one.
    let lease = lead(&cache, b"key:1");
    cache.set(b"key:1", 8, None).unwrap();
    lease.finish(5).unwrap();
    assert_eq!(cache.get(b"key:1"), Some(8));
}

#[test]
fn a_caller_that_asks_after_an_invalidation_gets_what_came_after_it() {
    let cache = cache();
    let ways: [&dyn Fn(); 4] =
        [&|| _ = cache.delete(b"key:1"), &|| _ = cache.invalidate_prefix(b"key:"), &|| _ = cache.clear(), &|| {
            cache.set(b"key:1", 9, Some(Duration::ZERO)).unwrap()
        }];
    for invalidate in ways {
        let got = with_waiters(&cache, b"key:1", |lease| {
            invalidate();
            // The load under way is not waited for: a callback and a lease begin another.
            assert_eq!(cache.get_or_load(b"key:1", LONG, |_| Ok(6)).unwrap(), 6);
            assert_eq!(cache.get(b"key:1"), Some(6));
            invalidate();
            drop(lead(&cache, b"key:1"));
            lead(&cache, b"key:1").finish(7).unwrap();
            lease.finish(5).unwrap();
        });
        // Those that asked before get what they waited for, which undoes nothing.
        assert!(got.iter().all(|value| *value.as_ref().unwrap() == 5));
        assert_eq!(cache.get(b"key:1"), Some(7));
        assert!(cache.delete(b"key:1"));
    }
    let nothing = TtlCache::new(LONG, 0, LONG).unwrap();
    let old = lead(&nothing, b"key");
    nothing.delete(b"key");
    assert_eq!(nothing.get_or_load(b"key", LONG, |_| Ok(6)).unwrap(), 6);
    old.finish(5).unwrap();
}

#[test]
fn a_lease_that_takes_too_long_goes_to_the_next() {
    let cache = cache();
    let Acquired::Lead(slow, None) = cache.acquire(b"key", LONG, SHORT).unwrap() else { panic!() };
    let Acquired::Lead(next, None) = cache.acquire(b"key", LONG, LONG).unwrap() else { panic!() };
    assert_eq!(slow.finish(1).unwrap_err().status(), Status::Abandoned);
    assert_eq!(cache.get(b"key"), None);
    next.finish(2).unwrap();
    assert_eq!(cache.get(b"key"), Some(2));
}

#[test]
fn leases_work_by_number_from_any_thread() {
    let cache = cache();
    let number = lead(&cache, b"key").into_number();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| match cache.acquire(b"key", LONG, LONG).unwrap() {
            Acquired::Hit(value) => value,
            _ => panic!("the key is being loaded"),
        });
        thread::sleep(SHORT);
        scope.spawn(|| cache.load_finish(number, 4).unwrap());
        assert_eq!(waiter.join().unwrap(), 4);
    });
    assert_eq!(cache.load_finish(number, 5).unwrap_err().status(), Status::Abandoned);
    assert_eq!(cache.load_finish(0, 5).unwrap_err().status(), Status::Abandoned);

    let number = lead(&cache, b"other").into_number();
    cache.load_abandon(number, Error::new(Status::Unavailable, "down")).unwrap();
    assert_eq!(
        cache.load_abandon(number, Error::new(Status::Unavailable, "down")).unwrap_err().status(),
        Status::Abandoned
    );
    drop(lead(&cache, b"other"));
}

#[test]
fn a_cache_that_holds_nothing_still_loads() {
    let cache = TtlCache::new(LONG, 0, LONG).unwrap();
    for value in 0..3 {
        assert_eq!(cache.get_or_load(b"key", LONG, |_| Ok(value)).unwrap(), value);
    }
    cache.set(b"key", 1, None).unwrap();
    assert_eq!((cache.get(b"key"), cache.stats().size, cache.stats().loads), (None, 0, 3));
}
