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
fn source_that_hung_is_probed_with_little_time() {
    for is_warm in [false, true] {
        let (source, provider) = if is_warm { warm(&[("A", "1")]) } else { provider(TIMES) };
        age(&provider, TIMES.cache_ttl);
        source.fails(Status::Timeout);
        assert_eq!(ask(&provider, "A").is_ok(), is_warm);
        assert!(source.had_whole_time());
        for _ in 0..3 {
            end_backoff(&provider);
            let asked = source.asked();
            assert_eq!(ask(&provider, "A").is_ok(), is_warm);
            assert_eq!(source.asked(), asked + 1);
            assert!(!source.had_whole_time());
        }
        end_backoff(&provider);
        provider.names(&within(LONG)).unwrap();
        assert!(!source.had_whole_time());

        refresh(&provider).unwrap_err();
        assert!(source.had_whole_time());
        hold_backoff(&provider);
        assert_eq!(provider.find("A", &within(LONG * 4)).is_ok(), is_warm);
        assert!(source.had_whole_time(), "a call with much more time than those that failed");

        source.has(&[("A", "back")]);
        end_backoff(&provider);
        assert_eq!(text(ask(&provider, "A")), fresh("back"));
        age(&provider, TIMES.cache_ttl);
        ask(&provider, "A").unwrap();
        assert!(source.had_whole_time());
    }
}

#[test]
fn source_that_answers_with_a_failure_is_not_probed() {
    let (source, provider) = provider(TIMES);
    for status in [Status::Timeout, Status::Unavailable, Status::Timeout] {
        source.fails(status);
        ask(&provider, "A").unwrap_err();
        end_backoff(&provider);
    }
    // The first failure after an answer is not that of a probe.
    assert!(source.had_whole_time());
    ask(&provider, "A").unwrap_err();
    assert!(!source.had_whole_time());
}

#[test]
fn load_after_a_failure_has_no_retries() {
    for status in [Status::Unavailable, Status::Timeout, Status::Protocol] {
        for is_warm in [false, true] {
            let (source, provider) = if is_warm { warm(&[("A", "1")]) } else { provider(TIMES) };
            age(&provider, TIMES.cache_ttl);
            source.fails(status);
            assert_eq!(ask(&provider, "A").is_ok(), is_warm);
            assert!(source.had_retries());
            for _ in 0..12 {
                end_backoff(&provider);
                let asked = source.asked();
                assert_eq!(ask(&provider, "A").is_ok(), is_warm);
                assert_eq!((source.asked(), source.had_retries()), (asked + 1, false));
            }
            end_backoff(&provider);
            provider.names(&within(LONG)).unwrap();
            assert!(!source.had_retries());

            refresh(&provider).unwrap_err();
            assert!(source.had_retries(), "a refresh");
            hold_backoff(&provider);
            assert_eq!(provider.find("A", &within(LONG * 4)).is_ok(), is_warm);
            assert!(source.had_retries(), "a call with much more time than those that failed");

            source.has(&[("A", "back")]);
            end_backoff(&provider);
            assert_eq!(text(ask(&provider, "A")), fresh("back"));
            assert!(!source.had_retries());
            age(&provider, TIMES.cache_ttl);
            ask(&provider, "A").unwrap();
            assert!(source.had_retries());
        }
    }
}

#[test]
fn probe_that_times_out_reports_the_failure_of_the_whole_load() {
    let (source, provider) = provider(TIMES);
    source.answers(|version| Err(Error::new(Status::Timeout, format!("load {version} timed out"))));
    let messages = || {
        end_backoff(&provider);
        ask(&provider, "A").err().unwrap().message().to_owned()
    };
    assert_eq!([messages(), messages()], ["load 1 timed out", "load 1 timed out"]);
    assert_eq!(refresh(&provider).unwrap_err().message(), "load 3 timed out");
    assert!(messages().starts_with("load 3 timed out"), "{}", messages());
}

#[test]
fn refresh_during_a_probe_has_its_whole_time() {
    let (source, provider) = provider(TIMES);
    source.fails(Status::Timeout);
    ask(&provider, "A").unwrap_err();
    end_backoff(&provider);
    let gate = source.holds_load();
    std::thread::scope(|scope| {
        let probe = scope.spawn(|| ask(&provider, "A"));
        gate.wait_until_entered();
        assert_eq!(status(ask(&provider, "A")), Status::Timeout, "other calls do not wait for the probe");
        source.has(&[("A", "back")]);
        let refreshed = scope.spawn(|| ask_now(&provider, "A"));
        gate.open();
        // The probe fails, unless the refresh ends before it looks once more at what is cached.
        assert!(matches!(probe.join().unwrap(), Ok(Some(_)) | Err(_)));
        assert_eq!(text(refreshed.join().unwrap()), fresh("back"));
    });
    assert!(source.had_whole_time());
    assert_eq!(source.asked(), 3);
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
    assert!((0.0..=3.0).contains(&retry_in), "{retry_in}");
}
