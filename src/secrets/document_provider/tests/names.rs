//! Lists of names.

use super::*;

/// The names in alphabetical order, and the status of the error.
fn listed(provider: &DocumentProvider<Scripted>) -> (Vec<String>, Option<Status>) {
    let mut listed = provider.names(&within(LONG)).unwrap();
    listed.names.sort();
    (listed.names, listed.error.map(|error| error.status()))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn names_of_a_fresh_document_cause_no_load() {
    let (source, provider) = provider(TIMES);
    source.has(&[("A", "1"), ("B", "2")]);
    assert_eq!(listed(&provider), (names(&["A", "B"]), None));
    assert_eq!(listed(&provider), (names(&["A", "B"]), None));
    assert_eq!(text(ask(&provider, "A")), fresh("1"));
    assert_eq!(source.asked(), 1);
    age(&provider, TIMES.cache_ttl);
    source.has(&[("C", "3")]);
    assert_eq!((listed(&provider), source.asked()), ((names(&["C"]), None), 2));
}

#[test]
fn names_during_an_outage_are_the_earlier_ones_with_the_error() {
    let (source, provider) = warm(&[("A", "1")]);
    age(&provider, TIMES.cache_ttl);
    source.fails(Status::Unavailable);
    assert_eq!(listed(&provider), (names(&["A"]), Some(Status::Unavailable)));
    source.denies(Status::AccessDenied);
    end_backoff(&provider);
    assert_eq!(listed(&provider), (Vec::new(), Some(Status::AccessDenied)));
}

#[test]
fn names_of_an_incomplete_document_come_with_the_error() {
    let (source, provider) = provider(TIMES);
    source.has_part(&[("A", "1")], outage(Status::Timeout));
    assert_eq!(listed(&provider), (names(&["A"]), Some(Status::Timeout)));
}

#[test]
fn names_include_unusable_entries() {
    let (source, provider) = provider(TIMES);
    source.answers(|version| {
        let mut document = document(&[("A", "1")], version)?;
        document.add_broken("B", Error::new(Status::Protocol, "it is broken"));
        Ok(document)
    });
    assert_eq!(listed(&provider), (names(&["A", "B"]), None));
}

#[test]
fn absence_of_a_key_ends_with_the_document() {
    let (source, provider) = warm(&[("A", "1")]);
    let absence = || {
        assert!(ask(&provider, "B").unwrap().is_none());
        provider.absence("B")
    };
    assert!(absence() > CURRENT_UNTIL);
    age(&provider, CURRENT_UNTIL - LONG);
    assert!(absence() <= TIMES.cache_ttl - CURRENT_UNTIL + LONG);
    source.is_deleted();
    refresh(&provider).unwrap();
    assert!(absence() <= TIMES.miss_ttl);
}

#[test]
fn names_are_empty_without_a_document() {
    let (source, provider) = provider(TIMES);
    source.is_deleted();
    assert_eq!(listed(&provider), (Vec::new(), None));
}
