//! Custom providers: how they are called, and what is cached of their answers.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::custom::{Answer, empty, failing, found};
use common::time::{PATIENCE, advance, thread_number, until_waiting};
use common::{in_environment, open, temp, text, with_file, write};
use st_secrets::{Error, GetOptions, Manager, Secret, SecretBytes, Status};

#[test]
fn provider_that_panics_has_failed() {
    let secrets = empty();
    secrets.add_provider("wild", None, |_, _| panic!("CANARY")).unwrap();
    let error = secrets.get("A").unwrap_err();
    assert_eq!(error.status(), Status::Panic);
    assert!(!error.message().contains("CANARY"), "{error}");
    assert_eq!(secrets.get("A").unwrap_err().status(), Status::Panic);
}

#[test]
fn provider_may_use_the_manager_that_calls_it() {
    let secrets = Arc::new(empty());
    secrets.add_provider("base", None, |key, _| if key == "BASE" { found("b") } else { Ok(None) }).unwrap();
    let inner = Arc::downgrade(&secrets);
    let derived = move |key: &str, _| match (key, inner.upgrade()) {
        ("DERIVED", Some(secrets)) => found(&format!("{}!", text(&secrets, "BASE").unwrap())),
        _ => Ok(None),
    };
    secrets.add_provider("derived", Some(0), derived).unwrap();
    assert_eq!(text(&secrets, "DERIVED").as_deref(), Some("b!"));
}

#[test]
fn provider_receives_the_remaining_time() {
    let secrets = open(&[("providers", "[]"), ("timeout", "3000")]).unwrap();
    secrets
        .add_provider("clock", None, |_, left| {
            assert!(left <= Duration::from_secs(3000) && left > Duration::from_secs(2000), "{left:?}");
            found("in time")
        })
        .unwrap();
    secrets.get("A").unwrap();
    let none = GetOptions { timeout: Some(Duration::ZERO), ..GetOptions::default() };
    assert_eq!(secrets.get_with("B", &none).unwrap_err().status(), Status::Timeout);
}

#[test]
fn cached_only_does_not_query_custom_providers() {
    let directory = temp();
    let secrets = with_file(&write(&directory.path().join("s.json"), r#"{"IN_FILE": "x"}"#));
    secrets.add_provider("slow", None, |_, _| panic!("queried")).unwrap();
    let cached_only = GetOptions { cached_only: true, ..GetOptions::default() };
    assert_eq!(&**secrets.get_with("IN_FILE", &cached_only).unwrap().value(), b"x");
    let error = secrets.get_with("NOWHERE", &cached_only).unwrap_err();
    assert_eq!(error.status(), Status::Unavailable);
    assert!(error.message().contains("does not query slow"), "{error}");
}

/// A provider that counts its queries and has only `A`.
fn counting(count: &Arc<AtomicUsize>) -> impl Fn(&str, Duration) -> Answer + Send + Sync + 'static {
    let count = count.clone();
    move |key, _| {
        count.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(20));
        if key == "A" { found("a") } else { Ok(None) }
    }
}

#[test]
fn answers_of_custom_providers_are_cached() {
    // In a process of its own: the clock is that of all threads.
    in_environment("answers_of_custom_providers_are_cached", &[], || {
        let asked = Arc::new(AtomicUsize::new(0));
        let secrets = open(&[("providers", "[]"), ("miss_ttl", "600"), ("cache_ttl", "3600")]).unwrap();
        secrets.add_provider("p", None, counting(&asked)).unwrap();
        let refresh = GetOptions { refresh: true, ..GetOptions::default() };
        let cached_only = GetOptions { cached_only: true, ..GetOptions::default() };

        assert!(!secrets.get("A").unwrap().is_cached());
        let secret = secrets.get_with("A", &cached_only).unwrap();
        assert!(secret.is_cached());
        assert!(secret.age() > Duration::ZERO && secret.expires_in() > Duration::from_secs(3000));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        secrets.get_with("A", &refresh).unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        secrets.clear_cache();
        secrets.get("A").unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 3);

        // The absence of a value is cached too, for a shorter time.
        assert_eq!(secrets.get("B").unwrap_err().status(), Status::NotFound);
        assert_eq!(secrets.get("B").unwrap_err().status(), Status::NotFound);
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        advance(Duration::from_secs(600));
        assert_eq!(secrets.get("B").unwrap_err().status(), Status::NotFound);
        assert_eq!(asked.load(Ordering::SeqCst), 5);
        assert!(secrets.get("A").unwrap().is_cached());
    });
}

#[test]
fn absence_is_cached_for_miss_ttl_before_a_provider_that_has_the_key() {
    // In a process of its own: the clock is that of all threads.
    in_environment("absence_is_cached_for_miss_ttl_before_a_provider_that_has_the_key", &[], || {
        let secrets = open(&[("providers", "[]"), ("miss_ttl", "600"), ("cache_ttl", "3600")]).unwrap();
        let calls = AtomicUsize::new(0);
        let first = move |_: &str, _| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(None),
            _ => found("first"),
        };
        secrets.add_provider("first", None, first).unwrap();
        secrets.add_provider("second", None, |_, _| found("second")).unwrap();
        for _ in 0..2 {
            assert_eq!(text(&secrets, "A").as_deref(), Some("second"));
        }
        advance(Duration::from_secs(601));
        assert_eq!(text(&secrets, "A").as_deref(), Some("first"));
    });
}

#[test]
fn secret_of_another_manager_is_cached_for_the_rest_of_its_time() {
    // In a process of its own: the clock is that of all threads.
    in_environment("secret_of_another_manager_is_cached_for_the_rest_of_its_time", &[], || {
        let inner = Arc::new(open(&[("providers", "[]"), ("cache_ttl", "3600")]).unwrap());
        inner.add_provider("p", None, |_, _| found("value")).unwrap();
        let outer = open(&[("providers", "[]"), ("cache_ttl", "3600")]).unwrap();
        let secrets = inner.clone();
        let cached_only = GetOptions { cached_only: true, ..GetOptions::default() };
        outer.add_provider("inner", None, move |key, _| secrets.get_with(key, &cached_only).map(Some)).unwrap();

        inner.get("A").unwrap();
        advance(Duration::from_secs(2000));
        let secret = outer.get("A").unwrap();
        assert!(secret.expires_in() <= Duration::from_secs(1600), "{:?}", secret.expires_in());
        assert!(!secret.is_stale());
        advance(Duration::from_secs(1700));
        assert!(inner.get_with("A", &cached_only).unwrap().is_stale());
        assert!(outer.get("A").unwrap().is_stale());
    });
}

#[test]
fn many_callers_cause_one_query() {
    let asked = Arc::new(AtomicUsize::new(0));
    let secrets = empty();
    secrets.add_provider("p", None, counting(&asked)).unwrap();
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert_eq!(&**secrets.get("A").unwrap().value(), b"a"));
        }
    });
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn failure_of_a_custom_provider_is_not_cached() {
    let down = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let secrets = empty();
    let state = down.clone();
    secrets
        .add_provider(
            "p",
            None,
            move |key, left| {
                if state.load(Ordering::SeqCst) { failing(key, left) } else { found("back") }
            },
        )
        .unwrap();
    assert_eq!(secrets.get("A").unwrap_err().status(), Status::Unavailable);
    down.store(false, Ordering::SeqCst);
    assert_eq!(text(&secrets, "A").as_deref(), Some("back"));
}

/// A provider that returns `old`, and whose second query waits until the test sends its result.
struct WaitingProvider {
    entered: Receiver<()>,
    answer: Sender<Answer>,
}

fn waiting_provider(secrets: &Manager) -> WaitingProvider {
    let ((enter, entered), (answer, answers)) = (channel(), channel::<Answer>());
    let (answers, calls) = (Mutex::new(answers), AtomicUsize::new(0));
    secrets
        .add_provider("p", None, move |_, _| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => found("old"),
            _ => {
                enter.send(()).unwrap();
                answers.lock().unwrap().recv_timeout(PATIENCE).unwrap()
            }
        })
        .unwrap();
    WaitingProvider { entered, answer }
}

#[test]
fn last_value_is_returned_while_the_provider_is_queried_again() {
    let secrets = open(&[("providers", "[]"), ("cache_ttl", "0.000001")]).unwrap();
    let cached_only = GetOptions { cached_only: true, ..GetOptions::default() };
    let provider = waiting_provider(&secrets);
    assert!(!secrets.get("A").unwrap().is_stale());
    // The coarse clock of the cache lags on a busy machine, so a value may be fresh a little longer.
    let get_instead_of = |last: &[u8]| loop {
        match secrets.get("A") {
            Ok(secret) if &**secret.value() == last => thread::yield_now(),
            other => return other,
        }
    };
    thread::scope(|scope| {
        let leader = scope.spawn(|| get_instead_of(b"old"));
        provider.entered.recv_timeout(PATIENCE).unwrap();
        for options in [GetOptions::default(), cached_only] {
            let secret = secrets.get_with("A", &options).unwrap();
            assert_eq!(&**secret.value(), b"old");
            assert!(secret.is_stale() && secret.is_cached() && secret.expires_in().is_zero());
        }
        provider.answer.send(found("new")).unwrap();
        let secret = leader.join().unwrap().unwrap();
        assert_eq!((&**secret.value(), secret.is_stale()), (&b"new"[..], false));
    });
    // A call reports an outage, but others still get the last value. A denial drops that value.
    for (status, is_cached) in [(Status::Unavailable, true), (Status::AccessDenied, false)] {
        provider.answer.send(Err(Error::new(status, "it fails"))).unwrap();
        assert_eq!(get_instead_of(b"new").unwrap_err().status(), status);
        assert_eq!(secrets.get_with("A", &cached_only).is_ok(), is_cached, "{status:?}");
    }
}

#[test]
fn callback_that_does_not_return_delays_one_other_call() {
    let secrets = open(&[("providers", "[]"), ("timeout", "1000")]).unwrap();
    let provider = waiting_provider(&secrets);
    let get = || {
        let briefly = GetOptions { timeout: Some(Duration::from_millis(100)), ..GetOptions::default() };
        secrets.get_with("A", &briefly).map(drop)
    };
    get().unwrap();
    secrets.clear_cache();
    thread::scope(|scope| {
        let first = scope.spawn(|| text(&secrets, "A"));
        provider.entered.recv_timeout(PATIENCE).unwrap();
        let error = get().unwrap_err();
        assert_eq!(error.status(), Status::Timeout);
        assert!(error.message().contains("the provider p failed: its callback has not returned"), "{error}");
        let error = get().unwrap_err();
        assert!(error.message().contains("(next attempt in "), "{error}");
        provider.answer.send(found("new")).unwrap();
        assert_eq!(first.join().unwrap().as_deref(), Some("new"));
    });
    get().unwrap();
}

#[test]
fn value_with_its_own_ttl_is_not_used_after_it() {
    let secrets = open(&[("providers", "[]")]).unwrap();
    let short = |_: &str, _| {
        let value = SecretBytes::copy_from(b"token")?;
        Ok(Some(Secret::new(value).with_ttl(Duration::from_nanos(1))))
    };
    secrets.add_provider("p", None, short).unwrap();
    assert!(!secrets.get("A").unwrap().is_stale());
    let cached_only = GetOptions { cached_only: true, ..GetOptions::default() };
    assert_eq!(secrets.get_with("A", &cached_only).unwrap_err().status(), Status::Unavailable);
}

#[test]
fn value_requested_before_clear_cache_is_not_cached() {
    let secrets = open(&[("providers", "[]")]).unwrap();
    let provider = waiting_provider(&secrets);
    let refresh = GetOptions { refresh: true, ..GetOptions::default() };
    secrets.get("A").unwrap();
    thread::scope(|scope| {
        let leader = scope.spawn(|| secrets.get_with("A", &refresh));
        provider.entered.recv_timeout(PATIENCE).unwrap();
        assert_eq!(text(&secrets, "A").as_deref(), Some("old"));
        secrets.clear_cache();
        provider.answer.send(found("before clear_cache")).unwrap();
        assert!(leader.join().unwrap().is_ok());
    });
    provider.answer.send(found("after clear_cache")).unwrap();
    assert_eq!(text(&secrets, "A").as_deref(), Some("after clear_cache"));
}

#[test]
fn get_after_clear_cache_does_not_get_the_answer_of_an_earlier_query() {
    let secrets = open(&[("providers", "[]")]).unwrap();
    let provider = waiting_provider(&secrets);
    let (number, numbers) = channel();
    secrets.get("A").unwrap();
    secrets.clear_cache();
    thread::scope(|scope| {
        let earlier = scope.spawn(|| text(&secrets, "A"));
        provider.entered.recv_timeout(PATIENCE).unwrap();
        secrets.refresh(None).unwrap();
        let later = scope.spawn(|| {
            number.send(thread_number()).unwrap();
            text(&secrets, "A")
        });
        until_waiting(&[numbers.recv().unwrap()]);
        provider.answer.send(found("before the refresh")).unwrap();
        provider.answer.send(found("after the refresh")).unwrap();
        assert_eq!(earlier.join().unwrap().as_deref(), Some("before the refresh"));
        assert_eq!(later.join().unwrap().as_deref(), Some("after the refresh"));
    });
    assert_eq!(text(&secrets, "A").as_deref(), Some("after the refresh"));
}
