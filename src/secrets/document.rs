//! Sources that are read whole: one document answers every key.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::entries::Entries;
use super::layer::Finding;
use crate::bytes::SecretBytes;
use crate::clock::Deadline;
use crate::error::{Result, Source};

/// Where documents come from. One load is under way at a time.
pub(crate) trait DocumentSource: Send + Sync {
    /// The name of the layer: `aws`, `vault`.
    fn name(&self) -> &'static str;

    fn source(&self) -> Source;

    /// What is read, for messages: `secret "myapp/prod" in us-west-2`.
    fn place(&self) -> String;

    /// Somebody asks for what is there now, after mending what failed, it may be: the next load passes over what was
    /// remembered of failures.
    fn before_refresh(&self) {}

    /// Reads the document now. That there is none is a document too: [`Document::missing`].
    ///
    /// [`Status::Unavailable`](crate::Status::Unavailable) and [`Status::Timeout`](crate::Status::Timeout) are outages
    /// (throttling is `Unavailable`), over which an earlier document may serve; any other error ends its use.
    fn load(&self, deadline: Deadline) -> Result<Document>;

    /// Settings that are not secret, without asking the source.
    fn describe(&self) -> Map<String, Value>;

    /// Asks the source whether it works: who we are there, and whether the document can be read.
    fn check(&self, deadline: Deadline) -> Finding;
}

/// All values of a source at one time.
pub(crate) struct Document {
    values: HashMap<Box<str>, (SecretBytes, Option<Arc<str>>)>,
    /// The source's own name of this state of the document.
    pub(crate) version: Option<Arc<str>>,
    /// How long it may be remembered, where the source says so; never longer than `cache_ttl`.
    pub(crate) ttl: Option<Duration>,
    /// Why there is none: `it does not exist`, `version 3 was deleted on …`.
    pub(crate) missing: Option<String>,
}

impl Document {
    pub(crate) fn new(version: Option<Arc<str>>) -> Document {
        Document { values: HashMap::new(), version, ttl: None, missing: None }
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
            if let Some(value) = value {
                self.values.entry(key).or_insert_with(|| (value, version.clone()));
            }
        }
    }

    /// How many keys have a value.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&(SecretBytes, Option<Arc<str>>)> {
        self.values.get(key)
    }
}
