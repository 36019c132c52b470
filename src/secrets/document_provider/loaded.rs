//! A document in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::super::document::Document;
use super::super::memory::Times;
use super::super::provider::{Held, Origin};
use crate::clock::{CoarseAge, Instant, Tick};
use crate::error::Result;
use crate::secret_memory::SecretBytes;

pub(super) struct Loaded {
    pub(super) document: Document,
    /// Taken before its load began.
    pub(super) asked: Instant,
    pub(super) ttl: Duration,
    max_stale: Duration,
    /// Values of earlier documents under keys that this one could not read.
    earlier: HashMap<Box<str>, Held>,
    superseded: Arc<AtomicBool>,
    age: CoarseAge,
}

impl Loaded {
    /// `before` is the document that it replaces.
    pub(super) fn new(document: Document, asked: Instant, times: &Times, before: Option<&Loaded>) -> Loaded {
        let wished = document.ttl.unwrap_or(Duration::MAX).min(times.cache_ttl);
        let ttl = if document.missing.is_some() { times.miss_ttl } else { wished };
        let earlier = before.map_or_else(HashMap::new, |before| before.values_for(&document));
        let (max_stale, superseded, age) = (times.max_stale, Arc::default(), CoarseAge::default());
        Loaded { document, asked, ttl, max_stale, earlier, superseded, age }
    }

    /// Its values under the keys that `next` could not read over an outage.
    fn values_for(&self, next: &Document) -> HashMap<Box<str>, Held> {
        if !next.has_gaps() {
            return HashMap::new();
        }
        let own = self.document.entries().map(|(key, entry)| (key, self.held(entry, true, true)));
        let earlier = self.earlier.iter().map(|(key, held)| (&**key, held.clone()));
        let is_unread = |key: &str| next.get(key).is_err_and(|error| !error.is_authoritative());
        own.chain(earlier).filter(|(key, _)| is_unread(key)).map(|(key, held)| (key.into(), held)).collect()
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.asked.elapsed() < self.ttl
    }

    /// Whether its values may serve while the source does not answer.
    pub(super) fn is_usable(&self) -> bool {
        self.asked.elapsed() < self.ttl.saturating_add(self.max_stale)
    }

    /// Whether it counts and nobody has to load it again; `false` also where that is not sure.
    #[inline]
    pub(super) fn is_young(&self, now: Tick) -> bool {
        self.age.is_below(|| self.soft(), self.asked, now)
    }

    /// From which age on it is loaded again while it still counts.
    pub(super) fn soft(&self) -> Duration {
        (self.ttl - self.ttl / 5).min(self.document.soft.unwrap_or(Duration::MAX))
    }

    /// Whether this key could not be read.
    pub(super) fn lacks(&self, key: &str) -> bool {
        self.document.get(key).is_err()
    }

    /// What it says about `key`: to the call that loaded it, or, `cached`, to a later one.
    pub(super) fn look_up(&self, key: &str, cached: bool) -> Result<Option<Held>> {
        match self.document.get(key) {
            Ok(entry) => Ok(entry.map(|entry| self.held(entry, cached && !self.is_fresh(), cached))),
            Err(error) => {
                let is_usable =
                    |origin: &Arc<Origin>| origin.asked.elapsed() < origin.ttl.saturating_add(self.max_stale);
                match self.earlier.get(key).filter(|held| held.origin.as_ref().is_some_and(is_usable)) {
                    Some(held) => Ok(Some(held.clone())),
                    None => Err(error),
                }
            }
        }
    }

    /// Later calls must not use what was taken from it.
    pub(super) fn supersede(&self) {
        self.superseded.store(true, Relaxed);
    }

    pub(super) fn held(&self, (value, version): &(SecretBytes, Option<Arc<str>>), stale: bool, cached: bool) -> Held {
        Held {
            value: value.clone(),
            stale,
            cached,
            origin: Some(Arc::new(Origin {
                version: version.clone(),
                asked: self.asked,
                ttl: self.ttl,
                soft: Some(self.soft()),
                superseded: Some(self.superseded.clone()),
            })),
        }
    }

    #[cfg(test)]
    pub(super) fn aged(&self, time: Duration) -> Loaded {
        let age = |held: &Held| {
            let origin = held
                .origin
                .as_ref()
                .map(|origin| Arc::new(Origin { asked: origin.asked.before(time), ..Origin::clone(origin) }));
            Held { origin, ..held.clone() }
        };
        Loaded {
            document: self.document.clone(),
            asked: self.asked.before(time),
            ttl: self.ttl,
            max_stale: self.max_stale,
            earlier: self.earlier.iter().map(|(key, held)| (key.clone(), age(held))).collect(),
            superseded: self.superseded.clone(),
            age: CoarseAge::default(),
        }
    }
}
