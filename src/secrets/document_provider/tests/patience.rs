//! Calls with different limits of time.

use std::sync::Barrier;
use std::thread;

use super::*;

const HURRIED: Duration = Duration::from_secs(20);
const PATIENT: Duration = Duration::from_secs(600);

#[test]
fn a_patient_caller_tries_where_a_hurried_one_has_failed() {
    for reason in [Status::Unavailable, Status::Timeout] {
        let (source, provider) = provider(TIMES);
        source
            .answers(move |version| if version == 1 { Err(outage(reason)) } else { document(&[("A", "1")], version) });
        let gate = source.holds_load();
        thread::scope(|scope| {
            let hurried = scope.spawn(|| provider.find("A", &within(HURRIED)));
            gate.wait_until_entered();
            let patient = scope.spawn(|| provider.find("A", &within(PATIENT)));
            gate.open();
            // It fails, unless the patient one was quicker than its return.
            hurried.join().unwrap().err().into_iter().for_each(|error| assert_eq!(error.status(), reason));
            assert_eq!(text(patient.join().unwrap()), fresh("1"));
        });
        assert_eq!(source.asked(), 2);
    }
}

#[test]
fn callers_of_like_patience_share_a_failure() {
    let (source, provider) = provider(TIMES);
    source.fails(Status::Unavailable);
    let gate = source.holds_load();
    let arrived = Barrier::new(21);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                arrived.wait();
                assert_eq!(status(provider.find("A", &within(PATIENT))), Status::Unavailable);
            });
        }
        arrived.wait();
        gate.wait_until_entered();
        gate.open();
    });
    assert_eq!(source.asked(), 1);
}

#[test]
fn a_denial_is_shared_by_all() {
    let (source, provider) = provider(TIMES);
    source.answers(|version| match version {
        1 => Err(Error::new(Status::AccessDenied, "no").authoritative()),
        _ => document(&[("A", "1")], version),
    });
    let gate = source.holds_load();
    thread::scope(|scope| {
        let hurried = scope.spawn(|| provider.find("A", &within(HURRIED)));
        gate.wait_until_entered();
        let patient = scope.spawn(|| provider.find("A", &within(PATIENT)));
        gate.open();
        assert_eq!(status(hurried.join().unwrap()), Status::AccessDenied);
        assert_eq!(status(patient.join().unwrap()), Status::AccessDenied);
    });
    assert_eq!(source.asked(), 1);
}

#[test]
fn a_hurried_failure_lets_the_source_rest_for_hurried_callers_alone() {
    let (source, provider) = provider(TIMES);
    source.fails(Status::Timeout);
    let table = [(HURRIED, 1), (HURRIED, 1), (PATIENT, 2), (HURRIED, 2), (PATIENT, 2), (Duration::MAX, 3)];
    for (time, asked) in table.into_iter().chain([(PATIENT, 3), (Duration::MAX, 3)]) {
        assert_eq!(status(provider.find("A", &within(time))), Status::Timeout);
        assert_eq!(source.asked(), asked, "{time:?}");
        hold_rest(&provider);
    }
    // A hurried refresh leaves that rest as it is.
    provider.refresh(&Request::new(HURRIED, true)).unwrap_err();
    assert_eq!(source.asked(), 4);
    assert_eq!(status(provider.find("A", &within(PATIENT))), Status::Timeout);
    assert_eq!(source.asked(), 4);
}

#[test]
fn a_refresh_is_not_satisfied_by_a_load_that_began_before_it() {
    let (source, provider) = provider(TIMES);
    source.has(&[("A", "old")]);
    let gate = source.holds_load();
    thread::scope(|scope| {
        let first = scope.spawn(|| ask(&provider, "A"));
        gate.wait_until_entered();
        source.has(&[("A", "new")]);
        let second = scope.spawn(|| ask_now(&provider, "A"));
        // Opens once the refresh has begun, which is when it waits for the first load or soon after.
        gate.open();
        assert_eq!(text(first.join().unwrap()), fresh("old"));
        assert_eq!(text(second.join().unwrap()), fresh("new"));
    });
    assert_eq!(source.asked(), 2);
}
