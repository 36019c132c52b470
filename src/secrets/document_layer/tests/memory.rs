//! What is remembered, for how long, and what ends it.

use std::thread;

use super::*;

#[test]
fn one_document_answers_every_key_for_its_time() {
    let (source, layer) = warm(&[("A", "1"), ("B", "2")]);
    assert_eq!((text(ask(&layer, "A")), text(ask(&layer, "B"))), (fresh("1"), fresh("2")));
    age(&layer, SOFT - LONG);
    assert_eq!(text(ask(&layer, "A")), fresh("1"));
    assert_eq!(source.asked(), 1);
    age(&layer, TIMES.cache_ttl);
    let held = ask(&layer, "A").unwrap().unwrap();
    assert_eq!((held.origin.as_ref().unwrap().version.as_deref(), held.cached, held.stale), (Some("2"), false, false));
}

#[test]
fn a_document_is_peeked_at_while_it_counts_and_its_source_does_not_fail() {
    let (source, layer) = layer(TIMES);
    assert_eq!(peek(&layer, "A"), None);
    source.has(&[("A", "1")]);
    refresh(&layer).unwrap();
    assert_eq!((peek(&layer, "A"), peek(&layer, "B")), (Some(Some(b"1".to_vec())), Some(None)));
    age(&layer, SOFT);
    assert_eq!((peek(&layer, "A"), peek(&layer, "B")), (None, None));
    assert_eq!(text(ask(&layer, "A")), fresh("1"));
    assert_eq!(peek(&layer, "A"), Some(Some(b"1".to_vec())));
    source.fails(Status::Unavailable);
    refresh(&layer).unwrap_err();
    assert_eq!(peek(&layer, "A"), None);
    source.has_part(&[("A", "2")], outage(Status::Unavailable));
    refresh(&layer).unwrap_err();
    assert_eq!(peek(&layer, "A"), None);
    source.has(&[("A", "3")]);
    refresh(&layer).unwrap();
    assert_eq!(peek(&layer, "A"), Some(Some(b"3".to_vec())));
    layer.forget();
    assert_eq!(peek(&layer, "A"), None);
}

#[test]
fn an_entry_that_cannot_be_used_is_not_peeked_at() {
    let (source, layer) = layer(TIMES);
    source.answers(|version| {
        let mut document = document(&[("A", "1")], version)?;
        document.add_broken("B", outage(Status::Protocol));
        Ok(document)
    });
    refresh(&layer).unwrap();
    assert_eq!(peek(&layer, "A"), Some(Some(b"1".to_vec())));
    assert_eq!((peek(&layer, "B"), peek(&layer, "C")), (None, None));
}

#[test]
fn a_fresh_document_answers_for_keys_that_it_lacks() {
    let (source, layer) = warm(&[("A", "1")]);
    source.has(&[("A", "1"), ("B", "2")]);
    age(&layer, SOFT - LONG);
    assert!(ask(&layer, "B").unwrap().is_none());
    assert!(layer.at_hand("B").unwrap().is_none());
    assert_eq!(source.asked(), 1);
    assert_eq!(text(ask_now(&layer, "B")), fresh("2"));

    source.has(&[("C", "3")]);
    age(&layer, SOFT);
    assert_eq!(text(ask(&layer, "C")), fresh("3"));
}

#[test]
fn a_missing_document_is_looked_for_again_after_the_time_of_a_miss() {
    let (source, layer) = layer(TIMES);
    assert!(ask(&layer, "A").unwrap().is_none());
    source.has(&[("A", "1")]);
    assert!(ask(&layer, "A").unwrap().is_none());
    age(&layer, TIMES.miss_ttl);
    assert_eq!(text(ask(&layer, "A")), fresh("1"));
}

#[test]
fn many_callers_of_many_keys_cause_one_request() {
    let (source, layer) = layer(TIMES);
    source.has(&[("A", "1"), ("B", "2")]);
    let gate = source.holds_load();
    thread::scope(|scope| {
        for number in 0..200 {
            let (key, value) = if number % 2 == 0 { ("A", "1") } else { ("B", "2") };
            let layer = &layer;
            scope.spawn(move || assert_eq!(text(ask(layer, key)).0, value));
        }
        gate.wait_until_entered();
        gate.open();
    });
    assert_eq!(source.asked(), 1);
}

#[test]
fn an_early_refresh_that_fails_changes_nothing() {
    let (source, layer) = warm(&[("A", "1")]);
    age(&layer, SOFT);
    source.fails(Status::Unavailable);
    assert_eq!(text(ask(&layer, "A")), fresh("1"));
    hold_rest(&layer);
    assert!(ask(&layer, "B").unwrap().is_none());
    assert_eq!(source.asked(), 2, "it rests");
    end_rest(&layer);
    assert!(ask(&layer, "B").unwrap().is_none());
    assert_eq!(source.asked(), 3);
}

#[test]
fn a_denial_of_an_early_refresh_counts_at_once() {
    let (source, layer) = warm(&[("A", "1")]);
    age(&layer, SOFT);
    source.denies(Status::AccessDenied);
    assert_eq!(status(ask(&layer, "A")), Status::AccessDenied);
    hold_rest(&layer);
    assert_eq!(status(ask(&layer, "A")), Status::AccessDenied);
    assert_eq!(source.asked(), 2);
}

#[test]
fn the_last_document_serves_over_an_outage_for_a_bounded_time() {
    for reason in [Status::Unavailable, Status::Timeout, Status::Protocol, Status::Config, Status::AccessDenied] {
        let (source, layer) = warm(&[("A", "1")]);
        source.fails(reason);
        age(&layer, TIMES.cache_ttl);
        assert_eq!(text(ask(&layer, "A")), stale("1"));
        assert_eq!(text(Ok(layer.at_hand("A").unwrap())), stale("1"));
        assert_eq!(status(ask(&layer, "B")), reason, "a key that it lacks is not thereby missing");
        assert!(layer.at_hand("B").is_none());
        age(&layer, TIMES.max_stale);
        assert_eq!(status(ask(&layer, "A")), reason);
        assert!(layer.at_hand("A").is_none());
    }
}

#[test]
fn a_denial_ends_the_use_of_the_last_document() {
    for reason in [Status::AccessDenied, Status::Protocol, Status::Config] {
        let (source, layer) = warm(&[("A", "1")]);
        let held = ask(&layer, "A").unwrap().unwrap();
        assert!(!held.origin.as_ref().unwrap().is_superseded());
        source.denies(reason);
        refresh(&layer).unwrap_err();
        assert_eq!(status(ask(&layer, "A")), reason);
        assert!(held.origin.unwrap().is_superseded());
        source.fails(Status::Unavailable);
        refresh(&layer).unwrap_err();
        assert_eq!(status(ask(&layer, "A")), Status::Unavailable, "it must not come back");
    }
}

#[test]
fn a_deleted_document_has_no_keys() {
    let (source, layer) = warm(&[("A", "1")]);
    source.is_deleted();
    refresh(&layer).unwrap();
    assert!(ask(&layer, "A").unwrap().is_none());
    assert_eq!(layer.place("A"), "the script: it was deleted");
}

#[test]
fn what_it_remembers_can_be_forgotten() {
    let (source, layer) = warm(&[("A", "1")]);
    assert!(layer.at_hand("A").unwrap().is_some());
    layer.forget();
    assert!(layer.at_hand("A").is_none());
    source.fails(Status::Unavailable);
    assert_eq!(status(ask(&layer, "A")), Status::Unavailable);
}

#[test]
fn what_was_asked_for_before_all_was_forgotten_is_not_remembered() {
    let (source, layer) = warm(&[("A", "old")]);
    age(&layer, SOFT);
    let gate = source.holds_load();
    thread::scope(|scope| {
        let leader = scope.spawn(|| ask(&layer, "A"));
        gate.wait_until_entered();
        source.has(&[("A", "new")]);
        layer.forget();
        let follower = scope.spawn(|| ask(&layer, "A"));
        gate.open();
        assert_eq!(text(leader.join().unwrap()), fresh("old"), "this call began before");
        assert_eq!(text(follower.join().unwrap()), fresh("new"));
    });
    assert_eq!(text(ask(&layer, "A")), fresh("new"));
    assert_eq!(source.asked(), 3);
}

#[test]
fn a_refresh_over_an_outage_returns_the_old_value_as_stale() {
    let (source, layer) = warm(&[("A", "1")]);
    source.fails(Status::Unavailable);
    assert_eq!(text(ask_now(&layer, "A")), stale("1"), "nothing was refreshed");
    assert_eq!(status(ask_now(&layer, "B")), Status::Unavailable);
    refresh(&layer).unwrap_err();
    assert_eq!(text(ask(&layer, "A")), fresh("1"), "it is younger than `cache_ttl`");
    layer.forget();
    assert_eq!(status(ask_now(&layer, "A")), Status::Unavailable);
}
