//! One load of everything that a provider reads, as one document.

use std::sync::Arc;

use super::filter::Filter;
use super::named::Named;
use super::session::Session;
use super::store::{CloudStore, StoreLookup};
use super::target::Target;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::log::{self, Level};
use crate::secret_memory::SecretBytes;
use crate::secrets::document::{Document, DocumentEntry};
use crate::secrets::entries::{Position, Problem};
use crate::secrets::json;
use crate::secrets::merge::merge;

pub(super) fn load(store: &dyn CloudStore, target: &Target, session: &Session<'_>) -> Result<Document> {
    match target {
        Target::Value(secret, key) => match store.read(session, secret)? {
            StoreLookup::Found(value, version) => {
                let mut document = Document::new(version.clone());
                document.add_entry(key, value, version);
                Ok(document)
            }
            StoreLookup::Several(entries) => {
                let mut document = Document::new(None);
                add_entries(store, &mut document, entries);
                Ok(document)
            }
            StoreLookup::Missing(why) => Ok(Document::missing(why)),
        },
        Target::Objects(secrets) => objects(store, secrets, session),
        Target::Listed(filter) => listed(store, filter, session),
    }
}

fn objects(store: &dyn CloudStore, secrets: &[Named], session: &Session<'_>) -> Result<Document> {
    let parts = secrets.iter().map(|secret| (secret.shown(), object(store, secret, session)));
    merge(store.cloud(), store.source(), parts)
}

fn object(store: &dyn CloudStore, secret: &Named, session: &Session<'_>) -> Result<Document> {
    match store.read(session, secret)? {
        StoreLookup::Found(value, version) => {
            let mut document = Document::new(version.clone());
            add_object(store, &mut document, secret, &value, &version, session)?;
            Ok(document)
        }
        StoreLookup::Several(entries) => {
            let mut document = Document::new(None);
            add_entries(store, &mut document, entries);
            Ok(document)
        }
        StoreLookup::Missing(why) => Ok(Document::missing(why)),
    }
}

/// Reads all secrets that meet the conditions. One that is denied fails alone, if its key is known.
fn listed(store: &dyn CloudStore, filter: &Filter, session: &Session<'_>) -> Result<Document> {
    let mut names = store.list(session, filter)?;
    if names.is_empty() {
        return Ok(Document::missing("there is none, or the server does not list it"));
    }
    names.sort_unstable();
    let mut document = Document::new(None);
    for name in names {
        let (secret, key) = (Named::new(&name), store.key(filter, &name));
        let added = store.read(session, &secret).and_then(|lookup| match lookup {
            StoreLookup::Found(value, version) if filter.are_objects => {
                add_object(store, &mut document, &secret, &value, &version, session)
            }
            StoreLookup::Found(value, version) => {
                document.add_entry(&key, value, version);
                Ok(())
            }
            StoreLookup::Several(entries) => {
                add_entries(store, &mut document, entries);
                Ok(())
            }
            // It was deleted since it was listed, or has no version that is enabled.
            StoreLookup::Missing(_) => Ok(()),
        });
        match added {
            Ok(()) => {}
            Err(error) if !filter.are_objects && error.is_authoritative() => {
                log::emit(Level::Warn, store.cloud(), || format!("one secret of several cannot be used: {error}"));
                document.add_broken(&key, error.with_source(store.source()));
            }
            Err(error) if document.names().next().is_none() => return Err(error),
            Err(error) => return Ok(incomplete(store, document, error)),
        }
    }
    Ok(document)
}

/// Adds the keys and values of a secret that is a JSON object.
fn add_object(
    store: &dyn CloudStore,
    document: &mut Document,
    secret: &Named,
    value: &SecretBytes,
    version: &Option<Arc<str>>,
    session: &Session<'_>,
) -> Result<()> {
    let unusable = |problem: Problem| in_secret(store, secret, problem);
    let text = std::str::from_utf8(value).map_err(|_| unusable(Problem::new("its value is not text in UTF-8")))?;
    let parsed = fork::unprotected(|| json::parse_each(text, || session.deadline.has_passed()));
    for (key, value) in parsed.map_err(unusable)? {
        match value {
            Ok(value) => document.add(vec![(key, value)], version.clone()),
            Err(problem) => add_broken(store, document, &key, unusable(problem)),
        }
    }
    Ok(())
}

/// Adds the keys and values of a secret that has several.
fn add_entries(store: &dyn CloudStore, document: &mut Document, entries: Vec<(String, Result<DocumentEntry>)>) {
    for (key, entry) in entries {
        match entry {
            Ok((value, version)) => document.add_entry(&key, value, version),
            Err(error) => add_broken(store, document, &key, error),
        }
    }
}

fn add_broken(store: &dyn CloudStore, document: &mut Document, key: &str, error: Error) {
    let error = error.with_source(store.source());
    log::emit(Level::Warn, store.cloud(), || format!("{key:?} cannot be used: {error}"));
    document.add_broken(key, error);
}

fn incomplete(store: &dyn CloudStore, mut document: Document, error: Error) -> Document {
    log::emit(Level::Warn, store.cloud(), || format!("keys that no earlier secret has cannot be read: {error}"));
    document.set_incomplete(error.with_source(store.source()));
    document
}

fn in_secret(store: &dyn CloudStore, secret: &Named, problem: Problem) -> Error {
    let what = format!("secret {:?} in {}", secret.shown(), store.place());
    match problem {
        Problem::Text { position, message } => {
            let at =
                position.map_or(String::new(), |Position { line, column }| format!("line {line}, column {column}: "));
            let message = format!("{what}: {at}{message}; name a secret that is one value in `providers`");
            Error::new(Status::Protocol, message)
        }
        Problem::TimedOut => {
            let message = format!("{what}: timed out while parsing its value; raise \"timeout\"");
            Error::new(Status::Timeout, message).with_retryable(true)
        }
        Problem::OutOfMemory(error) => error.map_message(|message| format!("{what}: {message}")),
    }
}
