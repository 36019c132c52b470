//! How long a failing source rests, and what ends a rest.

use super::*;

#[test]
fn a_source_that_fails_rests_and_a_refresh_asks_at_once() {
    let (source, provider) = provider(TIMES);
    source.fails(Status::Unavailable);
    for _ in 0..5 {
        assert_eq!(status(ask(&provider, "A")), Status::Unavailable);
        hold_rest(&provider);
    }
    assert_eq!(source.asked(), 1);
    assert!(ask(&provider, "A").err().unwrap().message().contains("asked again in"));
    refresh(&provider).unwrap_err();
    assert_eq!(source.asked(), 2);
    hold_rest(&provider);
    source.has(&[("A", "back")]);
    assert_eq!(status(ask(&provider, "A")), Status::Unavailable);
    end_rest(&provider);
    assert_eq!(text(ask(&provider, "A")), fresh("back"));
    assert!(provider.state().failing.is_none());
}

#[test]
fn readers_of_a_stale_document_are_not_held_up_while_the_source_rests() {
    let (source, provider) = warm(&[("A", "1")]);
    source.fails(Status::Timeout);
    age(&provider, TIMES.cache_ttl);
    for _ in 0..20 {
        assert_eq!(text(ask(&provider, "A")), stale("1"));
        hold_rest(&provider);
    }
    assert_eq!(source.asked(), 2);
    end_rest(&provider);
    assert_eq!(text(ask(&provider, "A")), stale("1"));
    assert_eq!(source.asked(), 3);
}

#[test]
fn new_credentials_end_a_rest() {
    for is_warm in [false, true] {
        let (source, provider) = provider(TIMES);
        if is_warm {
            source.has(&[("A", "old")]);
            refresh(&provider).unwrap();
            age(&provider, TIMES.cache_ttl);
        }
        source.fails(Status::AccessDenied);
        let looks = || source.0.looks.load(SeqCst);
        refresh(&provider).unwrap_err();
        hold_rest(&provider);
        let asked = source.asked();
        assert_eq!(ask(&provider, "A").is_ok(), is_warm);
        assert_eq!((source.asked(), looks()), (asked, 0));

        set_rest(&provider, LONG, Duration::ZERO);
        assert_eq!(ask(&provider, "A").is_ok(), is_warm);
        assert_eq!((source.asked(), looks()), (asked, 1));
        assert!(!provider.state().failing.unwrap().is_look_due(), "not before another second");

        set_rest(&provider, LONG, Duration::ZERO);
        *source.0.has_new_credentials.lock() = true;
        source.has(&[("A", "new")]);
        assert_eq!(text(ask(&provider, "A")), fresh("new"));
        assert_eq!((source.asked(), looks()), (asked + 1, 2));
    }
}

#[test]
fn how_it_fails_is_described() {
    let (source, provider) = warm(&[("A", "1")]);
    source.fails(Status::Unavailable);
    age(&provider, TIMES.cache_ttl);
    ask(&provider, "A").unwrap();
    let fields = provider.describe();
    assert_eq!((&fields["failing"], &fields["stale"]), (&json!("it fails"), &json!(true)));
    let rest = fields["asked_again_in"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&rest), "{rest}");
}
