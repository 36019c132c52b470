//! Documents of which a part cannot be read.

use std::thread;

use super::*;

fn denial() -> Error {
    Error::new(Status::AccessDenied, "it is denied").authoritative()
}

#[test]
fn part_that_was_read_is_used_and_other_keys_are_the_error() {
    let (source, provider) = provider(TIMES);
    source.has_part(&[("A", "1")], outage(Status::Unavailable));
    assert_eq!(refresh(&provider).unwrap_err().status(), Status::Unavailable);
    hold_backoff(&provider);
    assert_eq!(text(ask(&provider, "A")), fresh("1"));
    assert_eq!(status(ask(&provider, "B")), Status::Unavailable);
    assert_eq!(source.asked(), 1);
    let fields = provider.describe();
    assert_eq!((&fields["incomplete"], &fields["failing"]), (&json!("it fails"), &json!("it fails")));
    let health = provider.check(&within(LONG));
    assert_eq!(health.state, HealthState::Warning);
    assert!(health.detail.ends_with("it fails"), "{health:?}");
}

#[test]
fn only_a_key_of_the_unread_part_causes_a_load() {
    let (source, provider) = provider(TIMES);
    source.has_part(&[("A", "1")], outage(Status::Unavailable));
    assert_eq!(refresh(&provider).unwrap_err().status(), Status::Unavailable);
    source.has(&[("A", "2"), ("B", "3")]);
    end_backoff(&provider);
    assert_eq!(text(ask(&provider, "A")), fresh("1"));
    assert_eq!(source.asked(), 1);
    let gate = source.holds_load();
    thread::scope(|scope| {
        let leader = scope.spawn(|| ask(&provider, "B"));
        gate.wait_until_entered();
        assert_eq!(text(ask(&provider, "A")), fresh("1"));
        assert_eq!(status(ask(&provider, "B")), Status::Unavailable, "one call waits");
        gate.open();
        assert_eq!(text(leader.join().unwrap()), fresh("3"));
    });
    assert!(provider.state().outage.is_none());
    assert_eq!((text(ask(&provider, "A")), source.asked()), (fresh("2"), 2));
}

#[test]
fn part_that_keeps_failing_is_requested_with_growing_backoff() {
    let (source, provider) = provider(TIMES);
    source.has_part(&[("A", "1")], outage(Status::Unavailable));
    refresh(&provider).unwrap_err();
    for times in 1..5 {
        hold_backoff(&provider);
        assert_eq!(status(ask(&provider, "B")), Status::Unavailable);
        assert_eq!(source.asked(), times);
        assert_eq!(provider.state().outage.unwrap().failures() as usize, times);
        end_backoff(&provider);
        assert_eq!(status(ask(&provider, "B")), Status::Unavailable);
    }
}

#[test]
fn values_of_earlier_document_are_used_for_the_unread_part() {
    let (source, provider) = warm(&[("A", "1"), ("B", "1")]);
    source.has_part(&[("A", "2")], outage(Status::Unavailable));
    for _ in 0..3 {
        refresh(&provider).unwrap_err();
        hold_backoff(&provider);
        assert_eq!((text(ask(&provider, "A")), text(ask(&provider, "B"))), (fresh("2"), stale("1")));
        assert_eq!(status(ask(&provider, "C")), Status::Unavailable);
    }
    age(&provider, TIMES.cache_ttl + TIMES.max_stale);
    refresh(&provider).unwrap_err();
    assert_eq!(text(ask(&provider, "A")), fresh("2"));
    assert_eq!(status(ask(&provider, "B")), Status::Unavailable);
    source.has(&[("A", "3")]);
    refresh(&provider).unwrap();
    assert!(ask(&provider, "B").unwrap().is_none());
}

#[test]
fn denied_part_has_no_earlier_values() {
    let (source, provider) = warm(&[("A", "1"), ("B", "1")]);
    source.has_part(&[("A", "2")], denial());
    refresh(&provider).unwrap_err();
    assert_eq!(text(ask(&provider, "A")), fresh("2"));
    assert_eq!(status(ask(&provider, "B")), Status::AccessDenied);
    source.has_part(&[("A", "3")], outage(Status::Unavailable));
    refresh(&provider).unwrap_err();
    assert_eq!(status(ask(&provider, "B")), Status::Unavailable, "it must not come back");
}

#[test]
fn unusable_entry_does_not_affect_the_others() {
    let (source, provider) = warm(&[("A", "1"), ("B", "1")]);
    source.answers(|version| {
        let mut document = document(&[("A", "2")], version)?;
        document.add_broken("B", Error::new(Status::Protocol, "B is not text"));
        document.add_broken("C", Error::new(Status::Protocol, "C is not text"));
        Ok(document)
    });
    refresh(&provider).unwrap();
    assert_eq!((text(ask(&provider, "A")), text(ask(&provider, "B"))), (fresh("2"), stale("1")));
    assert_eq!(status(ask(&provider, "C")), Status::Protocol);
    assert!(ask(&provider, "D").unwrap().is_none());
    assert_eq!(source.asked(), 2);
    source.has(&[("A", "3"), ("C", "3")]);
    age(&provider, TIMES.miss_ttl);
    assert_eq!(text(ask(&provider, "A")), fresh("2"));
    assert_eq!(text(ask(&provider, "C")), fresh("3"), "it is requested again after `miss_ttl`");
    assert_eq!(source.asked(), 3);
}
