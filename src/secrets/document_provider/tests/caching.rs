//! What is cached, for how long, and what invalidates it.

use std::thread;

use super::*;

#[test]
fn document_answers_every_key_until_it_expires() {
    let (source, provider) = warm(&[("A", "1"), ("B", "2")]);
    assert_eq!((text(ask(&provider, "A")), text(ask(&provider, "B"))), (fresh("1"), fresh("2")));
    age(&provider, CURRENT_UNTIL - LONG);
    assert_eq!(text(ask(&provider, "A")), fresh("1"));
    assert_eq!(source.asked(), 1);
    age(&provider, TIMES.cache_ttl);
    let secret = ask(&provider, "A").unwrap().unwrap();
    assert_eq!(
        (secret.info.as_ref().unwrap().version.as_deref(), secret.cached, secret.stale),
        (Some("2"), false, false)
    );
}

#[test]
fn peek_returns_values_while_document_is_current_and_source_works() {
    let (source, provider) = provider(TIMES);
    assert_eq!(peek(&provider, "A"), None);
    source.has(&[("A", "1")]);
    refresh(&provider).unwrap();
    assert_eq!((peek(&provider, "A"), peek(&provider, "B")), (Some(Some(b"1".to_vec())), Some(None)));
    age(&provider, REFRESH_AFTER);
    assert_eq!((peek(&provider, "A"), peek(&provider, "B")), (None, None));
    assert_eq!(text(ask(&provider, "A")), fresh("1"));
    assert_eq!(peek(&provider, "A"), Some(Some(b"1".to_vec())));
    source.fails(Status::Unavailable);
    refresh(&provider).unwrap_err();
    assert_eq!(peek(&provider, "A"), None);
    source.has_part(&[("A", "2")], outage(Status::Unavailable));
    refresh(&provider).unwrap_err();
    assert_eq!(peek(&provider, "A"), None);
    source.has(&[("A", "3")]);
    refresh(&provider).unwrap();
    assert_eq!(peek(&provider, "A"), Some(Some(b"3".to_vec())));
    provider.clear_cache();
    assert_eq!(peek(&provider, "A"), None);
}

#[test]
fn peek_does_not_answer_for_unusable_entries() {
    let (source, provider) = provider(TIMES);
    source.answers(|version| {
        let mut document = document(&[("A", "1")], version)?;
        document.add_broken("B", outage(Status::Protocol));
        Ok(document)
    });
    refresh(&provider).unwrap();
    assert_eq!(peek(&provider, "A"), Some(Some(b"1".to_vec())));
    assert_eq!((peek(&provider, "B"), peek(&provider, "C")), (None, None));
}

#[test]
fn fresh_document_answers_for_keys_that_it_lacks() {
    let (source, provider) = warm(&[("A", "1")]);
    source.has(&[("A", "1"), ("B", "2")]);
    age(&provider, CURRENT_UNTIL - LONG);
    assert!(ask(&provider, "B").unwrap().is_none());
    assert!(provider.cached("B").unwrap().is_none());
    assert_eq!(source.asked(), 1);
    assert_eq!(text(ask_now(&provider, "B")), fresh("2"));

    source.has(&[("C", "3")]);
    age(&provider, REFRESH_AFTER);
    assert_eq!(text(ask(&provider, "C")), fresh("3"));
}

#[test]
fn missing_document_is_requested_again_after_miss_ttl() {
    let (source, provider) = provider(TIMES);
    assert!(ask(&provider, "A").unwrap().is_none());
    source.has(&[("A", "1")]);
    assert!(ask(&provider, "A").unwrap().is_none());
    age(&provider, TIMES.miss_ttl);
    assert_eq!(text(ask(&provider, "A")), fresh("1"));
}

#[test]
fn many_callers_of_many_keys_cause_one_request() {
    let (source, provider) = provider(TIMES);
    source.has(&[("A", "1"), ("B", "2")]);
    let gate = source.holds_load();
    thread::scope(|scope| {
        for number in 0..200 {
            let (key, value) = if number % 2 == 0 { ("A", "1") } else { ("B", "2") };
            let provider = &provider;
            scope.spawn(move || assert_eq!(text(ask(provider, key)).0, value));
        }
        gate.wait_until_entered();
        gate.open();
    });
    assert_eq!(source.asked(), 1);
}

#[test]
fn early_refresh_that_fails_changes_nothing() {
    let (source, provider) = warm(&[("A", "1")]);
    age(&provider, REFRESH_AFTER);
    source.fails(Status::Unavailable);
    assert_eq!(text(ask(&provider, "A")), fresh("1"));
    hold_backoff(&provider);
    assert!(ask(&provider, "B").unwrap().is_none());
    assert_eq!(source.asked(), 2, "it backs off");
    end_backoff(&provider);
    assert!(ask(&provider, "B").unwrap().is_none());
    assert_eq!(source.asked(), 3);
}

#[test]
fn early_refresh_that_is_denied_drops_the_document() {
    let (source, provider) = warm(&[("A", "1")]);
    age(&provider, REFRESH_AFTER);
    source.denies(Status::AccessDenied);
    assert_eq!(status(ask(&provider, "A")), Status::AccessDenied);
    hold_backoff(&provider);
    assert_eq!(status(ask(&provider, "A")), Status::AccessDenied);
    assert_eq!(source.asked(), 2);
}

#[test]
fn last_document_is_used_during_an_outage_for_max_stale() {
    for reason in [Status::Unavailable, Status::Timeout, Status::Protocol, Status::Config, Status::AccessDenied] {
        let (source, provider) = warm(&[("A", "1")]);
        source.fails(reason);
        age(&provider, TIMES.cache_ttl);
        assert_eq!(text(ask(&provider, "A")), stale("1"));
        assert_eq!(text(Ok(provider.cached("A").unwrap())), stale("1"));
        assert_eq!(status(ask(&provider, "B")), reason, "a key that it lacks may still exist");
        assert!(provider.cached("B").is_none());
        age(&provider, TIMES.max_stale);
        assert_eq!(status(ask(&provider, "A")), reason);
        assert!(provider.cached("A").is_none());
    }
}

#[test]
fn denial_drops_the_last_document() {
    for reason in [Status::AccessDenied, Status::Protocol, Status::Config] {
        let (source, provider) = warm(&[("A", "1")]);
        let secret = ask(&provider, "A").unwrap().unwrap();
        assert!(!secret.info.as_ref().unwrap().is_superseded());
        source.denies(reason);
        refresh(&provider).unwrap_err();
        assert_eq!(status(ask(&provider, "A")), reason);
        assert!(secret.info.unwrap().is_superseded());
        source.fails(Status::Unavailable);
        refresh(&provider).unwrap_err();
        assert_eq!(status(ask(&provider, "A")), Status::Unavailable, "it must not come back");
    }
}

#[test]
fn deleted_document_has_no_keys() {
    let (source, provider) = warm(&[("A", "1")]);
    source.is_deleted();
    refresh(&provider).unwrap();
    assert!(ask(&provider, "A").unwrap().is_none());
    assert_eq!(provider.place("A"), "the script: it was deleted");
}

#[test]
fn clear_cache_drops_the_document() {
    let (source, provider) = warm(&[("A", "1")]);
    assert!(provider.cached("A").unwrap().is_some());
    provider.clear_cache();
    assert!(provider.cached("A").is_none());
    source.fails(Status::Unavailable);
    assert_eq!(status(ask(&provider, "A")), Status::Unavailable);
}

#[test]
fn document_requested_before_clear_cache_is_not_cached() {
    let (source, provider) = warm(&[("A", "old")]);
    age(&provider, REFRESH_AFTER);
    let gate = source.holds_load();
    thread::scope(|scope| {
        let leader = scope.spawn(|| ask(&provider, "A"));
        gate.wait_until_entered();
        source.has(&[("A", "new")]);
        provider.clear_cache();
        let follower = scope.spawn(|| ask(&provider, "A"));
        gate.open();
        assert_eq!(text(leader.join().unwrap()), fresh("old"), "this call began before");
        assert_eq!(text(follower.join().unwrap()), fresh("new"));
    });
    assert_eq!(text(ask(&provider, "A")), fresh("new"));
    assert_eq!(source.asked(), 3);
}

#[test]
fn refresh_during_an_outage_returns_the_old_value_as_stale() {
    let (source, provider) = warm(&[("A", "1")]);
    source.fails(Status::Unavailable);
    assert_eq!(text(ask_now(&provider, "A")), stale("1"), "nothing was refreshed");
    assert_eq!(status(ask_now(&provider, "B")), Status::Unavailable);
    refresh(&provider).unwrap_err();
    assert_eq!(text(ask(&provider, "A")), fresh("1"), "it is younger than `cache_ttl`");
    provider.clear_cache();
    assert_eq!(status(ask_now(&provider, "A")), Status::Unavailable);
}

#[test]
fn document_is_refreshed_from_a_random_age() {
    let second = Duration::from_secs(1);
    for (number, refresh_after) in [(0.0, CURRENT_UNTIL), (0.4, TIMES.cache_ttl * 4 / 5), (1.0, REFRESH_AFTER)] {
        let (source, provider) = with_random(number, || warm(&[("A", "1")]));
        age(&provider, refresh_after - LONG);
        assert_eq!(peek(&provider, "A"), Some(Some(b"1".to_vec())));
        age(&provider, LONG + second);
        assert_eq!(text(ask(&provider, "A")), fresh("1"));
        assert_eq!(source.asked(), 2, "after {refresh_after:?}");
    }
    // Each load draws its own age, also if there is no document.
    for document in [Some(&[("A", "1")][..]), None] {
        let (source, provider) = provider(TIMES);
        document.into_iter().for_each(|pairs| source.has(pairs));
        let ages = (0..50).map(|_| {
            refresh(&provider).unwrap();
            provider.state().document.unwrap().refresh_after
        });
        let ages: std::collections::HashSet<Duration> = ages.collect();
        assert!(ages.len() > 45, "{ages:?}");
        let ttl = if document.is_some() { TIMES.cache_ttl } else { TIMES.miss_ttl };
        assert!(ages.iter().all(|age| (ttl * 7 / 10..=ttl * 95 / 100).contains(age)), "{ages:?}");
    }
}

#[test]
fn load_waits_out_throttling_only_while_nothing_is_cached() {
    let (source, provider) = provider(TIMES);
    source.fails(Status::Unavailable);
    ask(&provider, "A").unwrap_err();
    source.has(&[("A", "1")]);
    refresh(&provider).unwrap();
    refresh(&provider).unwrap();
    age(&provider, TIMES.cache_ttl);
    ask(&provider, "A").unwrap();
    age(&provider, TIMES.cache_ttl + TIMES.max_stale);
    ask(&provider, "A").unwrap();
    let (patient, brief) = (Patience::UntilDeadline, Patience::Brief);
    assert_eq!(*source.0.patience.lock(), [patient, patient, brief, brief, patient]);
}

#[test]
fn look_loads_a_document_that_was_missing() {
    for only_key in [None, Some("A")] {
        let (source, provider) = provider(TIMES);
        *source.0.only_key.lock() = only_key;
        assert!(ask(&provider, "A").unwrap().is_none());
        age(&provider, TIMES.miss_ttl);
        source.has(&[("A", "1")]);
        provider.look(&within(LONG));
        assert_eq!((source.asked(), provider.changes.generation()), (2, 1), "{only_key:?}");
        assert_eq!(text(ask(&provider, "A")), fresh("1"));
    }
}
