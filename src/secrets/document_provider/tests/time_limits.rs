//! Calls with different time limits.

use std::sync::Barrier;
use std::thread;

use super::*;

const SHORT: Duration = Duration::from_secs(20);
const AMPLE: Duration = Duration::from_secs(600);

#[test]
fn caller_with_ample_time_tries_after_one_with_little_time_failed() {
    for reason in [Status::Unavailable, Status::Timeout] {
        let (source, provider) = provider(TIMES);
        source
            .answers(move |version| if version == 1 { Err(outage(reason)) } else { document(&[("A", "1")], version) });
        let gate = source.holds_load();
        thread::scope(|scope| {
            let short = scope.spawn(|| provider.find("A", &within(SHORT)));
            gate.wait_until_entered();
            let ample = scope.spawn(|| provider.find("A", &within(AMPLE)));
            gate.open();
            // It fails, unless the other one succeeded before it returned.
            short.join().unwrap().err().into_iter().for_each(|error| assert_eq!(error.status(), reason));
            assert_eq!(text(ample.join().unwrap()), fresh("1"));
        });
        assert_eq!(source.asked(), 2);
    }
}

#[test]
fn callers_with_equal_time_limits_share_a_failure() {
    let (source, provider) = provider(TIMES);
    source.fails(Status::Unavailable);
    let gate = source.holds_load();
    let arrived = Barrier::new(21);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                arrived.wait();
                assert_eq!(status(provider.find("A", &within(AMPLE))), Status::Unavailable);
            });
        }
        arrived.wait();
        gate.wait_until_entered();
        gate.open();
    });
    assert_eq!(source.asked(), 1);
}

#[test]
fn denial_is_shared_by_all_callers() {
    let (source, provider) = provider(TIMES);
    source.answers(|version| match version {
        1 => Err(Error::new(Status::AccessDenied, "no").authoritative()),
        _ => document(&[("A", "1")], version),
    });
    let gate = source.holds_load();
    thread::scope(|scope| {
        let short = scope.spawn(|| provider.find("A", &within(SHORT)));
        gate.wait_until_entered();
        let ample = scope.spawn(|| provider.find("A", &within(AMPLE)));
        gate.open();
        assert_eq!(status(short.join().unwrap()), Status::AccessDenied);
        assert_eq!(status(ample.join().unwrap()), Status::AccessDenied);
    });
    assert_eq!(source.asked(), 1);
}

#[test]
fn backoff_after_a_short_time_limit_applies_to_such_callers_only() {
    let (source, provider) = provider(TIMES);
    source.fails(Status::Timeout);
    let table = [(SHORT, 1), (SHORT, 1), (AMPLE, 2), (SHORT, 2), (AMPLE, 2), (Duration::MAX, 3)];
    for (time, asked) in table.into_iter().chain([(AMPLE, 3), (Duration::MAX, 3)]) {
        assert_eq!(status(provider.find("A", &within(time))), Status::Timeout);
        assert_eq!(source.asked(), asked, "{time:?}");
        hold_backoff(&provider);
    }
    // A refresh with little time leaves that back-off as it is.
    provider.refresh(&LookupLimits::new(SHORT, true)).unwrap_err();
    assert_eq!(source.asked(), 4);
    assert_eq!(status(provider.find("A", &within(AMPLE))), Status::Timeout);
    assert_eq!(source.asked(), 4);
}

#[test]
fn refresh_does_not_accept_a_load_that_began_before_it() {
    let (source, provider) = provider(TIMES);
    source.has(&[("A", "old")]);
    let gate = source.holds_load();
    thread::scope(|scope| {
        let first = scope.spawn(|| ask(&provider, "A"));
        gate.wait_until_entered();
        source.has(&[("A", "new")]);
        let second = scope.spawn(|| ask_now(&provider, "A"));
        // Opens when the refresh has begun: it waits for the first load, or soon will.
        gate.open();
        assert_eq!(text(first.join().unwrap()), fresh("old"));
        assert_eq!(text(second.join().unwrap()), fresh("new"));
    });
    assert_eq!(source.asked(), 2);
}
