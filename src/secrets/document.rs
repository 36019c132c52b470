//! Sources that are read whole: one document answers every key.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use serde_json::{Map, Value};

use super::entries::Entries;
use super::provider::Finding;
use crate::bytes::SecretBytes;
use crate::clock::Deadline;
use crate::error::{Error, Result, Source};

/// Where documents come from. One load is under way at a time.
pub(crate) trait DocumentSource: Send + Sync {
    /// The name of the provider: `aws`, `vault`.
    fn name(&self) -> &'static str;

    fn source(&self) -> Source;

    /// What is read, for messages: `secret "myapp/prod" in us-west-2`.
    fn place(&self) -> String;

    /// Somebody asks for what is there now, after mending what failed, it may be: the next load passes over what was
    /// remembered of failures.
    fn before_refresh(&self) {}

    /// Reads the document now. That there is none is a document too: [`Document::missing`].
    ///
    /// An error that is [authoritative](crate::Error::authoritative) ends the use of an earlier document; every other
    /// error is an outage, over which the earlier document may serve.
    fn load(&self, deadline: Deadline) -> Result<Document>;

    /// Called by the loading thread after the document is published and no caller waits for it any more, for work that
    /// must not delay readers, such as renewing a token. Its failures are logged, not reported. One call is under way at
    /// a time, but a [`load`](DocumentSource::load) may run beside it.
    fn upkeep(&self, _deadline: Deadline) {}

    /// Whether the login material has changed since the last load failed, so that waiting out the back-off is
    /// pointless. It reads local files at most, and is called about once a second, by a call that wants the document,
    /// while the source rests. If so, the document is loaded at once.
    fn has_new_credentials(&self) -> bool {
        false
    }

    /// Settings that are not secret, without asking the source.
    fn describe(&self) -> Map<String, Value>;

    /// Asks the source whether it works: who we are there, and whether the document can be read.
    fn check(&self, deadline: Deadline) -> Finding;
}

/// A value and its version.
pub(crate) type Entry = (SecretBytes, Option<Arc<str>>);

/// All values of a source at one time.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Document {
    values: HashMap<Box<str>, Entry, RandomState>,
    /// Entries that exist and cannot be used, each with its reason.
    broken: HashMap<Box<str>, Error>,
    /// Why a part of the document could not be read. A key that no part before it has may be in that part, so looking
    /// such a key up is this error.
    incomplete: Option<Error>,
    /// The source's own name of this state of the document.
    pub(crate) version: Option<Arc<str>>,
    /// How long it may be remembered, where the source says so; never longer than `cache_ttl`.
    pub(crate) ttl: Option<Duration>,
    /// After what time it is to be loaded again while it still counts, where the source says so: a token that the load
    /// renews is due then.
    pub(crate) soft: Option<Duration>,
    /// Why there is none: `it does not exist`, `version 3 was deleted on …`.
    pub(crate) missing: Option<String>,
}

impl Document {
    pub(crate) fn new(version: Option<Arc<str>>) -> Document {
        Document {
            values: HashMap::default(),
            broken: HashMap::new(),
            incomplete: None,
            version,
            ttl: None,
            soft: None,
            missing: None,
        }
    }

    /// The source works and has no document, for this reason.
    pub(crate) fn missing(reason: impl Into<String>) -> Document {
        Document { missing: Some(reason.into()), ..Document::new(None) }
    }

    /// Adds entries of this version; of two of one name in one list the last counts, and what an earlier call brought
    /// counts before a later one.
    pub(crate) fn add(&mut self, entries: Entries, version: Option<Arc<str>>) {
        let new: HashMap<Box<str>, Option<SecretBytes>> =
            entries.into_iter().map(|(key, value)| (key.into_boxed_str(), value)).collect();
        for (key, value) in new {
            if let Some(value) = value.filter(|_| !self.broken.contains_key(&key)) {
                self.values.entry(key).or_insert_with(|| (value, version.clone()));
            }
        }
    }

    /// How many keys have a value.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The keys that have a value.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.values.iter().map(|(key, entry)| (&**key, entry))
    }

    /// The keys that exist, those of unusable entries included.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().chain(self.broken.keys()).map(|key| &**key)
    }

    /// Marks one entry as unusable, unless an earlier part has this key.
    pub(crate) fn add_broken(&mut self, key: &str, error: Error) {
        if !self.values.contains_key(key) && !self.broken.contains_key(key) {
            self.broken.insert(key.into(), error);
        }
    }

    /// Says that what would come next could not be read. Nothing may be added after it.
    pub(crate) fn set_incomplete(&mut self, error: Error) {
        self.incomplete.get_or_insert(error);
    }

    /// Why a part could not be read, if so.
    pub(crate) fn incomplete(&self) -> Option<&Error> {
        self.incomplete.as_ref()
    }

    /// Whether looking up some key is an error.
    pub(crate) fn has_gaps(&self) -> bool {
        self.incomplete.is_some() || !self.broken.is_empty()
    }

    /// The value and version of `key`; `Some(None)` if there is none, `None` if looking it up is an error.
    pub(crate) fn peek(&self, key: &str) -> Option<Option<&Entry>> {
        match self.values.get(key) {
            Some(entry) => Some(Some(entry)),
            None => (!self.has_gaps()).then_some(None),
        }
    }

    /// The value and version of `key`; an error if its entry is unusable or may be in a part that could not be read.
    pub(crate) fn get(&self, key: &str) -> Result<Option<&Entry>> {
        if let Some(value) = self.values.get(key) {
            return Ok(Some(value));
        }
        match self.broken.get(key).or(self.incomplete.as_ref()) {
            Some(error) => Err(error.clone()),
            None => Ok(None),
        }
    }
}
