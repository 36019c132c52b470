//! How long a failing source rests, and what ends a rest.

use super::*;

#[test]
fn a_source_that_fails_rests_and_a_refresh_asks_at_once() {
    let (source, layer) = layer(TIMES);
    source.fails(Status::Unavailable);
    for _ in 0..5 {
        assert_eq!(status(ask(&layer, "A")), Status::Unavailable);
        hold_rest(&layer);
    }
    assert_eq!(source.asked(), 1);
    assert!(ask(&layer, "A").err().unwrap().message().contains("asked again in"));
    refresh(&layer).unwrap_err();
    assert_eq!(source.asked(), 2);
    hold_rest(&layer);
    source.has(&[("A", "back")]);
    assert_eq!(status(ask(&layer, "A")), Status::Unavailable);
    end_rest(&layer);
    assert_eq!(text(ask(&layer, "A")), fresh("back"));
    assert!(layer.state().failing.is_none());
}

#[test]
fn readers_of_a_stale_document_are_not_held_up_while_the_source_rests() {
    let (source, layer) = warm(&[("A", "1")]);
    source.fails(Status::Timeout);
    age(&layer, TIMES.cache_ttl);
    for _ in 0..20 {
        assert_eq!(text(ask(&layer, "A")), stale("1"));
        hold_rest(&layer);
    }
    assert_eq!(source.asked(), 2);
    end_rest(&layer);
    assert_eq!(text(ask(&layer, "A")), stale("1"));
    assert_eq!(source.asked(), 3);
}

#[test]
fn new_credentials_end_a_rest() {
    for is_warm in [false, true] {
        let (source, layer) = layer(TIMES);
        if is_warm {
            source.has(&[("A", "old")]);
            refresh(&layer).unwrap();
            age(&layer, TIMES.cache_ttl);
        }
        source.fails(Status::AccessDenied);
        let looks = || source.0.looks.load(SeqCst);
        refresh(&layer).unwrap_err();
        hold_rest(&layer);
        let asked = source.asked();
        assert_eq!(ask(&layer, "A").is_ok(), is_warm);
        assert_eq!((source.asked(), looks()), (asked, 0));

        set_rest(&layer, LONG, Duration::ZERO);
        assert_eq!(ask(&layer, "A").is_ok(), is_warm);
        assert_eq!((source.asked(), looks()), (asked, 1));
        assert!(!layer.state().failing.unwrap().is_look_due(), "not before another second");

        set_rest(&layer, LONG, Duration::ZERO);
        *source.0.has_new_credentials.lock() = true;
        source.has(&[("A", "new")]);
        assert_eq!(text(ask(&layer, "A")), fresh("new"));
        assert_eq!((source.asked(), looks()), (asked + 1, 2));
    }
}

#[test]
fn how_it_fails_is_described() {
    let (source, layer) = warm(&[("A", "1")]);
    source.fails(Status::Unavailable);
    age(&layer, TIMES.cache_ttl);
    ask(&layer, "A").unwrap();
    let fields = layer.describe();
    assert_eq!((&fields["failing"], &fields["stale"]), (&json!("it fails"), &json!(true)));
    let rest = fields["asked_again_in"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&rest), "{rest}");
}
