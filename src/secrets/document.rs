//! Sources that are read as a whole: one document has the values of all keys.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use serde_json::{Map, Value};

use super::entries::Entries;
use super::provider::Health;
use super::secret::ProviderId;
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Status};
use crate::http::retry::Patience;
use crate::secret_memory::SecretBytes;
use crate::share::Identity;

/// A source of documents. One load is under way at a time.
pub(crate) trait DocumentSource: Send + Sync {
    fn id(&self) -> &ProviderId;

    /// Whether the document might have this key, as far as that is known without loading it. Other keys do not load it.
    fn serves(&self, _key: &str) -> bool {
        true
    }

    /// What is read, for messages: `secret "myapp/prod" in us-west-2`.
    fn place(&self) -> String;

    /// Called before a forced refresh, which may follow a repair. The source drops the failures that it has cached.
    fn before_refresh(&self) {}

    /// Returns the identity of the request, which is equal in all processes that share the document; `None` if it is
    /// not shared. Reads local files at most.
    fn identity(&self) -> Option<Identity> {
        None
    }

    /// Reads the document now. If there is none, the result is [`Document::missing`]. `patience` says whether a load
    /// that the server throttles waits for its turn.
    ///
    /// After an [authoritative](crate::Error::authoritative) error an earlier document must not be used. Every other
    /// error is an outage, during which it may be.
    fn load(&self, deadline: Deadline, patience: Patience) -> Result<Document>;

    /// As [`load`](DocumentSource::load), with the document that the new one replaces, if there is one: its lease may
    /// be renewed.
    fn reload(&self, _earlier: Option<&Document>, deadline: Deadline, patience: Patience) -> Result<Document> {
        self.load(deadline, patience)
    }

    /// Whether its documents have a lease, which decides how long they are used, whatever `cache_ttl` is.
    fn is_leased(&self) -> bool {
        false
    }

    /// Whether leases are given back when the manager is closed.
    fn is_released_on_close(&self) -> bool {
        false
    }

    /// Gives back the leases that this process has obtained, and that of the document that it shares. Failures are
    /// logged.
    fn release(&self, _shared: Option<&Document>, _deadline: Deadline) {}

    /// Removes the values of an earlier document from a message of an error or a health check. For sources whose
    /// messages quote text from outside, in which values may occur.
    fn redact(&self, message: String, _earlier: &Document) -> String {
        message
    }

    /// Gives a key a new value, or removes it, in the source. Returns whether it had one.
    fn write(&self, _key: &str, _value: Option<&str>, _deadline: Deadline) -> Result<bool> {
        Err(Error::new(Status::ReadOnly, format!("the provider {} is read-only", self.id().name())))
    }

    /// Does work that must not delay readers, such as renewing a token. The loading thread calls it when the document
    /// is published and no caller is waiting for it. Its failures are logged, not returned. One call is under way at a
    /// time, but a [`load`](DocumentSource::load) may run concurrently.
    fn upkeep(&self, _deadline: Deadline) {}

    /// Whether the credentials have changed since the last load failed. If so, the back-off ends and the document is
    /// loaded at once. It reads at most local files. During a back-off, calls that need the document call it about once
    /// a second.
    fn has_new_credentials(&self) -> bool {
        false
    }

    /// How often a call that listens asks the source whether it has changed; `None` if it does not.
    fn watch_interval(&self) -> Option<Duration> {
        None
    }

    /// Whether each host may ask for itself while the hosts cannot agree on one that asks. A queue does not: it gives
    /// each message to one reader.
    fn answers_each_host(&self) -> bool {
        true
    }

    /// Asks whether the source has changed since the last call. `loaded` is the document of this process.
    fn has_changed(&self, _loaded: Option<&Document>, _deadline: Deadline) -> Result<bool> {
        Ok(false)
    }

    /// Called when a change has been announced to all who share the document. Otherwise
    /// [`has_changed`](DocumentSource::has_changed) reports it again.
    fn note_announced(&self, _deadline: Deadline) {}

    /// Returns the settings that are not secret, without a query.
    fn describe(&self) -> Map<String, Value>;

    /// Checks whether the source works: the identity that it sees, and whether the document can be read.
    fn check(&self, deadline: Deadline) -> Health;
}

/// The lease of a document: at its end, the server revokes the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DocumentLease {
    /// The server's name of it; `None` if it can be neither renewed nor revoked, as that of a certificate.
    pub(crate) id: Option<Arc<str>>,
    /// Whether a renewal may extend it.
    pub(crate) renewable: bool,
    /// How long it was when it was obtained.
    pub(crate) length: Duration,
    pub(crate) end: Instant,
    /// When it should be renewed or replaced.
    pub(crate) renew_at: Instant,
    /// A hash of the token with which it was obtained, and with which it ends.
    pub(crate) owner: [u8; 16],
}

/// A value and its version.
pub(crate) type DocumentEntry = (SecretBytes, Option<Arc<str>>);

/// All values of a source at one point in time.
#[derive(Clone)]
pub(crate) struct Document {
    values: HashMap<Box<str>, DocumentEntry, RandomState>,
    /// Entries that exist and cannot be used, each with the reason.
    broken: HashMap<Box<str>, Error>,
    /// Why a part of the document could not be read. A key that no earlier part has may be in that part, so this is the
    /// result of looking it up.
    incomplete: Option<Error>,
    /// The source's own name of this version of the document.
    pub(crate) version: Option<Arc<str>>,
    /// How long it may be cached, if the source says so; never longer than `cache_ttl`.
    pub(crate) ttl: Option<Duration>,
    /// The age from which it is loaded again while it is still fresh, if the source says so: the load renews a token
    /// that is due then.
    pub(crate) refresh_after: Option<Duration>,
    /// If it has one, `ttl` is the time to its end.
    pub(crate) lease: Option<DocumentLease>,
    /// Why there is no document: `it does not exist`, `version 3 was deleted on …`.
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
            refresh_after: None,
            lease: None,
            missing: None,
        }
    }

    /// The result of a source that works and has no document, for this reason.
    pub(crate) fn missing(reason: impl Into<String>) -> Document {
        Document { missing: Some(reason.into()), ..Document::new(None) }
    }

    /// Adds entries of this version. The last of several entries with the same key in one list is used. Entries of an
    /// earlier call take precedence.
    pub(crate) fn add(&mut self, entries: Entries, version: Option<Arc<str>>) {
        let new: HashMap<Box<str>, Option<SecretBytes>> =
            entries.into_iter().map(|(key, value)| (key.into_boxed_str(), value)).collect();
        for (key, value) in new {
            if let Some(value) = value.filter(|_| !self.broken.contains_key(&key)) {
                self.values.entry(key).or_insert_with(|| (value, version.clone()));
            }
        }
    }

    /// Adds one entry. Entries of earlier calls take precedence, unusable ones included.
    pub(crate) fn add_entry(&mut self, key: &str, value: SecretBytes, version: Option<Arc<str>>) {
        if !self.broken.contains_key(key) {
            self.values.entry(key.into()).or_insert((value, version));
        }
    }

    /// Adds the entries of a part that follows the earlier ones. Entries of earlier parts take precedence.
    pub(crate) fn append(&mut self, part: Document) {
        for (key, entry) in part.values {
            if !self.broken.contains_key(&key) {
                self.values.entry(key).or_insert(entry);
            }
        }
        for (key, error) in part.broken {
            self.add_broken(&key, error);
        }
        if let Some(error) = part.incomplete {
            self.set_incomplete(error);
        }
        self.ttl = self.ttl.into_iter().chain(part.ttl).min();
    }

    /// Keeps the entries of these names only, each under the key beside its name.
    pub(crate) fn renamed(mut self, keys: &[(String, String)]) -> Document {
        let (mut values, mut broken) = (HashMap::default(), HashMap::new());
        for (name, key) in keys {
            if let Some(entry) = self.values.remove(name.as_str()) {
                values.insert(key.as_str().into(), entry);
            }
            if let Some(error) = self.broken.remove(name.as_str()) {
                broken.insert(key.as_str().into(), error);
            }
        }
        Document { values, broken, ..self }
    }

    /// Returns the number of keys that have a value.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns the keys that have a value.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &DocumentEntry)> {
        self.values.iter().map(|(key, entry)| (&**key, entry))
    }

    /// A hash of all keys and values.
    pub(crate) fn fingerprint(&self, hasher: &impl BuildHasher) -> u64 {
        let hash = |(key, (value, _)): (&str, &DocumentEntry)| hasher.hash_one((key, &value[..]));
        self.entries().map(hash).fold(0, u64::wrapping_add)
    }

    /// Returns the entries that are unusable, with the reasons.
    pub(crate) fn broken(&self) -> impl Iterator<Item = (&str, &Error)> {
        self.broken.iter().map(|(key, error)| (&**key, error))
    }

    /// The keys of all entries, unusable ones included.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().chain(self.broken.keys()).map(|key| &**key)
    }

    /// Marks an entry as unusable, unless an earlier part has this key.
    pub(crate) fn add_broken(&mut self, key: &str, error: Error) {
        if !self.values.contains_key(key) && !self.broken.contains_key(key) {
            self.broken.insert(key.into(), error);
        }
    }

    /// Records that the next part could not be read. Nothing may be added after it.
    pub(crate) fn set_incomplete(&mut self, error: Error) {
        self.incomplete.get_or_insert(error);
    }

    /// The reason why a part could not be read, if any.
    pub(crate) fn incomplete(&self) -> Option<&Error> {
        self.incomplete.as_ref()
    }

    /// Whether looking up some keys is an error.
    pub(crate) fn has_gaps(&self) -> bool {
        self.incomplete.is_some() || !self.broken.is_empty()
    }

    /// Returns the value and version of `key`; `Some(None)` if it has none, `None` if looking it up is an error.
    pub(crate) fn peek(&self, key: &str) -> Option<Option<&DocumentEntry>> {
        match self.values.get(key) {
            Some(entry) => Some(Some(entry)),
            None => (!self.has_gaps()).then_some(None),
        }
    }

    /// Returns the value and version of `key`; an error if its entry is unusable, or may be in a part that could not be
    /// read.
    pub(crate) fn get(&self, key: &str) -> Result<Option<&DocumentEntry>> {
        if let Some(value) = self.values.get(key) {
            return Ok(Some(value));
        }
        match self.broken.get(key).or(self.incomplete.as_ref()) {
            Some(error) => Err(error.clone()),
            None => Ok(None),
        }
    }
}
