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
fn a_document_that_counts_is_not_asked_for_again() {
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
fn over_an_outage_the_earlier_names_come_with_the_error() {
    let (source, provider) = warm(&[("A", "1")]);
    age(&provider, TIMES.cache_ttl);
    source.fails(Status::Unavailable);
    assert_eq!(listed(&provider), (names(&["A"]), Some(Status::Unavailable)));
    source.denies(Status::AccessDenied);
    end_rest(&provider);
    assert_eq!(listed(&provider), (Vec::new(), Some(Status::AccessDenied)));
}

#[test]
fn a_part_that_could_not_be_read_is_an_error() {
    let (source, provider) = provider(TIMES);
    source.has_part(&[("A", "1")], outage(Status::Timeout));
    assert_eq!(listed(&provider), (names(&["A"]), Some(Status::Timeout)));
}

#[test]
fn entries_that_cannot_be_used_have_names() {
    let (source, provider) = provider(TIMES);
    source.answers(|version| {
        let mut document = document(&[("A", "1")], version)?;
        document.add_broken("B", Error::new(Status::Protocol, "it is broken"));
        Ok(document)
    });
    assert_eq!(listed(&provider), (names(&["A", "B"]), None));
}

#[test]
fn without_a_document_there_are_no_names() {
    let (source, provider) = provider(TIMES);
    source.is_deleted();
    assert_eq!(listed(&provider), (Vec::new(), None));
}
