//! Functions registered for the end of a load are called exactly once, however it ends.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use common::fork::{fork, said_yes};
use st_secrets::cache::{Acquired, Lease, TtlCache};
use st_secrets::{Error, Result, Status};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(36_000);

fn cache() -> TtlCache<u64> {
    TtlCache::new(LONG, 100, LONG).unwrap()
}

fn lead<'a>(cache: &'a TtlCache<u64>, key: &[u8], lease_ttl: Duration) -> Lease<'a, u64> {
    match cache.acquire(key, Duration::ZERO, lease_ttl).unwrap() {
        Acquired::Lead(lease, _) => lease,
        _ => panic!("nobody else loads the key"),
    }
}

/// Registers for a load in progress. The number, and what the function gets.
fn register(cache: &TtlCache<u64>, key: &[u8]) -> (u64, Receiver<Result<u64>>) {
    let (send, receive) = channel();
    match cache.acquire_or_notify(key, LONG, move |result| send.send(result.clone()).unwrap()).unwrap() {
        (Acquired::Busy(_), number) => (number, receive),
        _ => panic!("another caller loads the key"),
    }
}

/// What the function got; it is gone, and so cannot be called again.
fn got(receiver: &Receiver<Result<u64>>) -> Result<u64> {
    let result = receiver.try_recv().expect("it is called before the load has ended");
    assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Disconnected);
    result
}

#[test]
fn value_and_failure_reach_every_caller() {
    let cache = cache();
    let lease = lead(&cache, b"good", LONG);
    let waiting: Vec<_> = (0..3).map(|_| register(&cache, b"good")).collect();
    assert!(waiting.iter().all(|(_, receiver)| receiver.try_recv().unwrap_err() == TryRecvError::Empty));
    lease.finish(5).unwrap();
    assert!(waiting.iter().all(|(_, receiver)| got(receiver).unwrap() == 5));
    assert!(waiting.iter().all(|(number, _)| !cache.cancel_notify(*number)));

    let lease = lead(&cache, b"bad", LONG);
    let (_, receiver) = register(&cache, b"bad");
    lease.fail(Error::new(Status::AccessDenied, "not for you"));
    assert_eq!(got(&receiver).unwrap_err().message(), "not for you");

    let lease = lead(&cache, b"dropped", LONG);
    let (_, receiver) = register(&cache, b"dropped");
    drop(lease);
    assert_eq!(got(&receiver).unwrap_err().status(), Status::Abandoned);
}

#[test]
fn load_by_a_callback_notifies_too() {
    let cache = cache();
    let mut receiver = None;
    cache
        .get_or_load(b"key", LONG, |_| {
            let own = cache.acquire_or_notify(b"key", LONG, |_| unreachable!()).map(|_| ()).unwrap_err();
            assert_eq!(own.status(), Status::Busy);
            thread::scope(|scope| {
                scope.spawn(|| receiver = Some(register(&cache, b"key").1));
            });
            Ok(7)
        })
        .unwrap();
    assert_eq!(got(&receiver.unwrap()).unwrap(), 7);
}

#[test]
fn caller_that_does_not_wait_is_not_called() {
    let cache = cache();
    let dropped = Arc::new(());
    let held = dropped.clone();
    let lease = match cache.acquire_or_notify(b"key", LONG, move |_| drop(held)).unwrap() {
        (Acquired::Lead(lease, None), 0) => lease,
        _ => panic!("nobody loads the key"),
    };
    assert_eq!(Arc::strong_count(&dropped), 1);
    lease.finish(1).unwrap();
    let hit = cache.acquire_or_notify(b"key", LONG, |_| unreachable!()).unwrap();
    assert!(matches!(hit, (Acquired::Hit(1), 0)));
}

#[test]
fn value_that_is_not_stored_reaches_the_callers() {
    let cache = cache();
    let lease = lead(&cache, b"key", LONG);
    let (_, receiver) = register(&cache, b"key");
    cache.delete(b"key");
    // The next caller has a lease of its own, whose callers are others.
    let next = lead(&cache, b"key", LONG);
    let (_, of_next) = register(&cache, b"key");
    lease.finish(1).unwrap();
    assert_eq!(got(&receiver).unwrap(), 1);
    assert_eq!(cache.get(b"key"), None);
    next.finish(2).unwrap();
    assert_eq!(got(&of_next).unwrap(), 2);
}

#[test]
fn lease_that_expired_after_a_deletion_notifies_when_the_next_caller_asks() {
    let cache = cache();
    // The time within which the caller registers and the key is loaded again.
    let mut lease_ttl = Duration::from_millis(20);
    loop {
        let key = format!("{lease_ttl:?}");
        let expired = lead(&cache, key.as_bytes(), lease_ttl).into_number();
        let (send, receive) = channel();
        let busy = cache.acquire_or_notify(key.as_bytes(), LONG, move |result| send.send(result.clone()).unwrap());
        cache.delete(key.as_bytes());
        let next = lead(&cache, key.as_bytes(), LONG);
        if !matches!(busy, Ok((Acquired::Busy(_), _))) || receive.try_recv().is_ok() {
            lease_ttl *= 2;
            continue;
        }
        thread::sleep(lease_ttl);
        // The caller of the newer load asks, and the one of the older is called.
        assert!(matches!(cache.acquire_or_notify(key.as_bytes(), LONG, |_| {}).unwrap(), (Acquired::Busy(_), _)));
        assert_eq!(got(&receive).unwrap_err().status(), Status::Abandoned);
        assert_eq!(cache.load_finish(expired, 1).unwrap_err().status(), Status::Abandoned);
        next.finish(2).unwrap();
        return;
    }
}

#[test]
fn lease_that_expired_notifies_when_the_next_caller_asks() {
    let cache = cache();
    let expired = lead(&cache, b"key", Duration::from_nanos(1)).into_number();
    // Whether the lease has expired depends on the clock: a caller that registered waits for the first one.
    while let (Acquired::Busy(_), _) = cache.acquire_or_notify(b"key", LONG, |_| {}).unwrap() {
        thread::yield_now();
    }
    assert_eq!(cache.load_finish(expired, 1).unwrap_err().status(), Status::Abandoned);
}

#[test]
fn callers_of_an_expired_lease_are_called_once() {
    let cache = cache();
    // The time within which all of them register.
    let mut lease_ttl = Duration::from_millis(20);
    loop {
        let key = format!("{lease_ttl:?}");
        let _ = lead(&cache, key.as_bytes(), lease_ttl).into_number();
        let (send, receive) = channel();
        let busy = cache.acquire_or_notify(key.as_bytes(), LONG, move |result| send.send(result.clone()).unwrap());
        if !matches!(busy, Ok((Acquired::Busy(_), _))) {
            lease_ttl *= 2;
            continue;
        }
        // A search for abandoned loads does not end it, because nothing can be called from there.
        thread::sleep(lease_ttl);
        cache.clear();
        assert_eq!(receive.try_recv().unwrap_err(), TryRecvError::Empty);
        drop(busy);
        let next = lead(&cache, key.as_bytes(), LONG);
        assert_eq!(got(&receive).unwrap_err().status(), Status::Abandoned);
        next.finish(1).unwrap();
        return;
    }
}

#[test]
fn cancelled_function_is_dropped_and_not_called() {
    let cache = cache();
    let lease = lead(&cache, b"key", LONG);
    let (number, receiver) = register(&cache, b"key");
    let (_, other) = register(&cache, b"key");
    assert!(cache.cancel_notify(number) && !cache.cancel_notify(number) && !cache.cancel_notify(12_345));
    assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Disconnected);
    lease.finish(1).unwrap();
    assert_eq!(got(&other).unwrap(), 1);
}

#[test]
fn function_may_use_the_cache_and_panic() {
    let cache: &'static TtlCache<u64> = Box::leak(Box::new(cache()));
    let lease = lead(cache, b"key", LONG);
    std::panic::set_hook(Box::new(|_| {}));
    let panicking = cache.acquire_or_notify(b"key", LONG, |_| panic!("a secret")).unwrap();
    let (send, receive) = channel();
    let _ = cache.acquire_or_notify(b"key", LONG, move |_| {
        cache.set(b"other", 3, None).unwrap();
        let again = cache.acquire_or_notify(b"key", LONG, |_| unreachable!()).unwrap();
        send.send(matches!(again, (Acquired::Hit(1), 0)) && cache.get(b"other") == Some(3)).unwrap();
    });
    lease.finish(1).unwrap();
    let _ = std::panic::take_hook();
    assert!(receive.try_recv().unwrap() && panicking.1 > 0);
}

#[test]
fn ends_and_cancels_that_race_call_or_cancel_once() {
    let cache = cache();
    for round in 0..2_000 {
        let key = u32::to_le_bytes(round);
        let lease = lead(&cache, &key, LONG);
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let (_, number) = cache
            .acquire_or_notify(&key, LONG, move |_| {
                counted.fetch_add(1, SeqCst);
            })
            .unwrap();
        let both = Barrier::new(2);
        let cancelled = thread::scope(|scope| {
            let cancel = scope.spawn(|| {
                both.wait();
                cache.cancel_notify(number)
            });
            both.wait();
            lease.finish(1).unwrap();
            cancel.join().unwrap()
        });
        assert_eq!(calls.load(SeqCst) + usize::from(cancelled), 1);
    }
}

#[test]
fn forked_child_calls_nothing_of_its_parent() {
    let cache = cache();
    let lease = lead(&cache, b"key", LONG);
    let (number, receiver) = register(&cache, b"key");
    let child = fork(|| {
        // The lease of the parent is void.
        let own = lead(&cache, b"key", LONG);
        let (_, of_child) = register(&cache, b"key");
        own.finish(2).unwrap();
        got(&of_child).unwrap() == 2
            && !cache.cancel_notify(number)
            && receiver.try_recv().unwrap_err() == TryRecvError::Empty
    });
    assert!(said_yes(child));
    lease.finish(1).unwrap();
    assert_eq!(got(&receiver).unwrap(), 1);
}
