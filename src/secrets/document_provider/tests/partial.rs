//! Documents of which a part cannot be read.

use std::thread;

use super::*;

fn denial() -> Error {
    Error::new(Status::AccessDenied, "it is denied").authoritative()
}

#[test]
fn what_was_read_serves_and_the_rest_is_the_error() {
    let (source, provider) = provider(TIMES);
    source.has_part(&[("A", "1")], outage(Status::Unavailable));
    assert_eq!(refresh(&provider).unwrap_err().status(), Status::Unavailable);
    hold_rest(&provider);
    assert_eq!(text(ask(&provider, "A")), fresh("1"));
    assert_eq!(status(ask(&provider, "B")), Status::Unavailable);
    assert_eq!(source.asked(), 1);
    let fields = provider.describe();
    assert_eq!((&fields["incomplete"], &fields["failing"]), (&json!("it fails"), &json!("it fails")));
    let finding = provider.check(&within(LONG));
    assert_eq!(finding.state, Health::Warning);
    assert!(finding.detail.ends_with("it fails"), "{finding:?}");
}

#[test]
fn only_a_key_that_may_be_missing_has_it_loaded_again() {
    let (source, provider) = provider(TIMES);
    source.has_part(&[("A", "1")], outage(Status::Unavailable));
    assert_eq!(refresh(&provider).unwrap_err().status(), Status::Unavailable);
    source.has(&[("A", "2"), ("B", "3")]);
    end_rest(&provider);
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
    assert!(provider.state().failing.is_none());
    assert_eq!((text(ask(&provider, "A")), source.asked()), (fresh("2"), 2));
}

#[test]
fn a_part_that_keeps_failing_is_asked_for_less_and_less_often() {
    let (source, provider) = provider(TIMES);
    source.has_part(&[("A", "1")], outage(Status::Unavailable));
    refresh(&provider).unwrap_err();
    for times in 1..5 {
        hold_rest(&provider);
        assert_eq!(status(ask(&provider, "B")), Status::Unavailable);
        assert_eq!(source.asked(), times);
        assert_eq!(provider.state().failing.unwrap().times() as usize, times);
        end_rest(&provider);
        assert_eq!(status(ask(&provider, "B")), Status::Unavailable);
    }
}

#[test]
fn values_of_the_document_before_serve_for_what_an_outage_hides() {
    let (source, provider) = warm(&[("A", "1"), ("B", "1")]);
    source.has_part(&[("A", "2")], outage(Status::Unavailable));
    for _ in 0..3 {
        refresh(&provider).unwrap_err();
        hold_rest(&provider);
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
fn a_part_that_is_denied_has_no_earlier_values() {
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
fn an_unusable_entry_leaves_the_others_alone() {
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
    assert_eq!(text(ask(&provider, "C")), fresh("3"), "it is looked at again after `miss_ttl`");
    assert_eq!(source.asked(), 3);
}
