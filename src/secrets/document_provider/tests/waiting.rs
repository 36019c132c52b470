//! Which calls wait for the source.

use std::thread;

use super::*;

#[test]
fn one_caller_refreshes_early_and_the_others_get_the_old_value() {
    let (source, provider) = warm(&[("A", "old")]);
    age(&provider, REFRESH_AFTER);
    source.has(&[("A", "new")]);
    let gate = source.holds_load();
    thread::scope(|scope| {
        let leader = scope.spawn(|| ask(&provider, "A"));
        gate.wait_until_entered();
        for _ in 0..20 {
            assert_eq!(text(ask(&provider, "A")), fresh("old"));
        }
        gate.open();
        assert_eq!(text(leader.join().unwrap()), fresh("new"));
    });
    assert_eq!(text(ask(&provider, "A")), fresh("new"));
    assert_eq!(source.asked(), 2);
}

#[test]
fn stale_value_is_returned_while_another_call_loads() {
    let (source, provider) = warm(&[("A", "old")]);
    source.has(&[("A", "new")]);
    age(&provider, TIMES.cache_ttl);
    let gate = source.holds_load();
    thread::scope(|scope| {
        let leader = scope.spawn(|| ask(&provider, "A"));
        gate.wait_until_entered();
        for _ in 0..20 {
            let secret = ask(&provider, "A").unwrap().unwrap();
            assert!(secret.stale && secret.cached);
            assert_eq!(&*secret.value, b"old");
        }
        gate.open();
        assert_eq!(text(leader.join().unwrap()), fresh("new"));
    });
    assert_eq!(source.asked(), 2);
}

#[test]
fn key_that_a_stale_document_lacks_waits_for_the_source() {
    let (source, provider) = warm(&[("A", "old")]);
    source.has(&[("B", "new")]);
    age(&provider, TIMES.cache_ttl);
    let gate = source.holds_load();
    thread::scope(|scope| {
        let leader = scope.spawn(|| ask(&provider, "A"));
        gate.wait_until_entered();
        let follower = scope.spawn(|| ask(&provider, "B"));
        gate.open();
        assert!(leader.join().unwrap().unwrap().is_none());
        assert_eq!(text(follower.join().unwrap()), fresh("new"));
    });
    assert_eq!(source.asked(), 2);
}

#[test]
fn without_a_cache_ttl_every_caller_waits_for_the_source() {
    let (source, provider) = provider(CacheTimes { cache_ttl: Duration::ZERO, ..TIMES });
    source.has(&[("A", "old")]);
    assert_eq!(text(ask(&provider, "A")), fresh("old"));
    source.has(&[("A", "new")]);
    assert_eq!(text(ask(&provider, "A")), fresh("new"));
    source.fails(Status::Unavailable);
    assert_eq!(text(ask(&provider, "A")), stale("new"));
    assert_eq!(source.asked(), 3);
}

#[test]
fn one_call_at_a_time_waits_for_a_failing_source() {
    let (source, provider) = provider(TIMES);
    source.fails(Status::Timeout);
    assert_eq!(status(ask(&provider, "A")), Status::Timeout);
    end_backoff(&provider);
    source.has(&[("A", "back")]);
    let gate = source.holds_load();
    thread::scope(|scope| {
        let leader = scope.spawn(|| ask(&provider, "A"));
        gate.wait_until_entered();
        let error = ask(&provider, "A").err().unwrap();
        assert_eq!(error.status(), Status::Timeout);
        assert!(error.message().contains("another call is retrying now"), "{error}");
        gate.open();
        assert_eq!(text(leader.join().unwrap()), fresh("back"));
    });
    assert_eq!(text(ask(&provider, "A")), fresh("back"));
}

#[test]
fn load_that_uses_its_own_provider_does_not_wait_for_itself() {
    for is_warm in [false, true] {
        let (source, provider) = warm(&[("A", "1")]);
        let provider = Arc::new(provider);
        match is_warm {
            true => age(&provider, TIMES.cache_ttl),
            false => provider.clear_cache(),
        }
        let (inner, (send, receive)) = (provider.clone(), channel());
        *source.0.in_load.lock() = Some(Box::new(move || send.send(ask(&inner, "A")).unwrap()));
        assert_eq!(text(ask(&provider, "A")), fresh("1"));
        let answer = receive.recv_timeout(LONG).unwrap();
        match is_warm {
            true => assert_eq!(text(answer), stale("1")),
            false => assert_eq!(status(answer), Status::Busy),
        }
    }
}

#[test]
fn upkeep_delays_no_caller() {
    let (source, provider) = provider(TIMES);
    source.has(&[("A", "1")]);
    let gate = source.holds_upkeep();
    thread::scope(|scope| {
        let leader = scope.spawn(|| ask(&provider, "A"));
        gate.wait_until_entered();
        assert_eq!(text(ask(&provider, "A")), fresh("1"));
        assert_eq!(text(ask_now(&provider, "A")), fresh("1"));
        assert_eq!((source.asked(), source.0.upkeeps.load(SeqCst)), (2, 1), "one upkeep at a time");
        gate.open();
        assert_eq!(text(leader.join().unwrap()), fresh("1"));
    });
    refresh(&provider).unwrap();
    assert_eq!(source.0.upkeeps.load(SeqCst), 2);
    source.fails(Status::Unavailable);
    refresh(&provider).unwrap_err();
    assert_eq!(source.0.upkeeps.load(SeqCst), 2);
}

#[test]
fn panic_of_the_source_reaches_no_caller() {
    let (source, provider) = warm(&[("A", "1")]);
    *source.0.in_upkeep.lock() = Some(Box::new(|| panic!("CANARY")));
    assert_eq!(text(ask_now(&provider, "A")), fresh("1"));
    provider.clear_cache();
    *source.0.in_load.lock() = Some(Box::new(|| panic!("CANARY")));
    let error = ask(&provider, "A").err().unwrap();
    assert_eq!(error.status(), Status::Panic);
    assert!(!error.message().contains("CANARY"), "{error}");
    assert_eq!(text(ask(&provider, "A")), fresh("1"));
}
