//! The back-off of a failing source.

use super::*;

#[test]
fn failing_source_backs_off_and_a_refresh_queries_it_at_once() {
    let (source, provider) = provider(TIMES);
    source.fails(Status::Unavailable);
    for _ in 0..5 {
        assert_eq!(status(ask(&provider, "A")), Status::Unavailable);
        hold_backoff(&provider);
    }
    assert_eq!(source.asked(), 1);
    assert!(ask(&provider, "A").err().unwrap().message().contains("next attempt in"));
    refresh(&provider).unwrap_err();
    assert_eq!(source.asked(), 2);
    hold_backoff(&provider);
    source.has(&[("A", "back")]);
    assert_eq!(status(ask(&provider, "A")), Status::Unavailable);
    end_backoff(&provider);
    assert_eq!(text(ask(&provider, "A")), fresh("back"));
    assert!(provider.state().outage.is_none());
}

#[test]
fn readers_of_a_stale_document_do_not_wait_during_backoff() {
    let (source, provider) = warm(&[("A", "1")]);
    source.fails(Status::Timeout);
    age(&provider, TIMES.cache_ttl);
    for _ in 0..20 {
        assert_eq!(text(ask(&provider, "A")), stale("1"));
        hold_backoff(&provider);
    }
    assert_eq!(source.asked(), 2);
    end_backoff(&provider);
    assert_eq!(text(ask(&provider, "A")), stale("1"));
    assert_eq!(source.asked(), 3);
}

#[test]
fn new_credentials_end_the_backoff() {
    for is_warm in [false, true] {
        let (source, provider) = provider(TIMES);
        if is_warm {
            source.has(&[("A", "old")]);
            refresh(&provider).unwrap();
            age(&provider, TIMES.cache_ttl);
        }
        source.fails(Status::AccessDenied);
        let checks = || source.0.credential_checks.load(SeqCst);
        refresh(&provider).unwrap_err();
        hold_backoff(&provider);
        let asked = source.asked();
        assert_eq!(ask(&provider, "A").is_ok(), is_warm);
        assert_eq!((source.asked(), checks()), (asked, 0));

        set_backoff(&provider, LONG, Duration::ZERO);
        assert_eq!(ask(&provider, "A").is_ok(), is_warm);
        assert_eq!((source.asked(), checks()), (asked, 1));
        assert!(!provider.state().outage.unwrap().is_credential_check_due(), "not before another second");

        set_backoff(&provider, LONG, Duration::ZERO);
        *source.0.has_new_credentials.lock() = true;
        source.has(&[("A", "new")]);
        assert_eq!(text(ask(&provider, "A")), fresh("new"));
        assert_eq!((source.asked(), checks()), (asked + 1, 2));
    }
}

#[test]
fn describe_reports_the_failure() {
    let (source, provider) = warm(&[("A", "1")]);
    source.fails(Status::Unavailable);
    age(&provider, TIMES.cache_ttl);
    ask(&provider, "A").unwrap();
    let fields = provider.describe();
    assert_eq!((&fields["failing"], &fields["stale"]), (&json!("it fails"), &json!(true)));
    let retry_in = fields["retry_in"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&retry_in), "{retry_in}");
}
