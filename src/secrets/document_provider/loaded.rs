//! A document in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::super::document::{Document, Entry};
use super::super::lookup_cache::CacheTimes;
use super::super::secret::{Secret, SecretInfo};
use crate::clock::{CoarseAge, CoarseInstant, Instant};
use crate::error::Result;
use crate::jitter;

pub(super) struct LoadedDocument {
    pub(super) document: Document,
    /// Taken before its load began.
    pub(super) requested_at: Instant,
    pub(super) ttl: Duration,
    /// The age from which it is loaded again while it is still fresh.
    pub(super) refresh_after: Duration,
    max_stale: Duration,
    /// Values of earlier documents under keys that this one could not read.
    earlier: HashMap<Box<str>, Secret>,
    superseded: Arc<AtomicBool>,
    age: CoarseAge,
}

impl LoadedDocument {
    /// `before` is the document that it replaces.
    pub(super) fn new(
        document: Document,
        requested_at: Instant,
        times: &CacheTimes,
        before: Option<&LoadedDocument>,
    ) -> LoadedDocument {
        let own_ttl = document.ttl.unwrap_or(Duration::MAX).min(times.cache_ttl);
        let ttl = if document.missing.is_some() { times.miss_ttl } else { own_ttl };
        // Processes that load at the same time do not refresh at the same time.
        let refresh_after = jitter::refresh_age(ttl).min(document.refresh_after.unwrap_or(Duration::MAX));
        let earlier = before.map_or_else(HashMap::new, |before| before.values_for(&document));
        let (max_stale, superseded, age) = (times.max_stale, Arc::default(), CoarseAge::default());
        LoadedDocument { document, requested_at, ttl, refresh_after, max_stale, earlier, superseded, age }
    }

    /// Returns its values under the keys that `next` could not read during an outage.
    fn values_for(&self, next: &Document) -> HashMap<Box<str>, Secret> {
        if !next.has_gaps() {
            return HashMap::new();
        }
        let own = self.document.entries().map(|(key, entry)| (key, self.secret(entry, true, true)));
        let earlier = self.earlier.iter().map(|(key, secret)| (&**key, secret.clone()));
        let is_unread = |key: &str| next.get(key).is_err_and(|error| !error.is_authoritative());
        own.chain(earlier).filter(|(key, _)| is_unread(key)).map(|(key, secret)| (key.into(), secret)).collect()
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.requested_at.elapsed() < self.ttl
    }

    /// Whether its values may be used while the source is unavailable.
    pub(super) fn is_usable(&self) -> bool {
        self.requested_at.elapsed() < self.ttl.saturating_add(self.max_stale)
    }

    /// Whether it is fresh and not yet due for a refresh; `false` also if that is not certain.
    #[inline]
    pub(super) fn is_current(&self, now: CoarseInstant) -> bool {
        self.age.is_below(|| self.refresh_after, self.requested_at, now)
    }

    /// Whether this key could not be read.
    pub(super) fn is_unreadable(&self, key: &str) -> bool {
        self.document.get(key).is_err()
    }

    /// Returns the value of `key`. `cached` is `false` for the call that loaded the document.
    pub(super) fn look_up(&self, key: &str, cached: bool) -> Result<Option<Secret>> {
        match self.document.get(key) {
            Ok(entry) => Ok(entry.map(|entry| self.secret(entry, cached && !self.is_fresh(), cached))),
            Err(error) => {
                let is_usable = |info: &Arc<SecretInfo>| info.age() < info.ttl().saturating_add(self.max_stale);
                match self.earlier.get(key).filter(|secret| secret.info.as_ref().is_some_and(is_usable)) {
                    Some(secret) => Ok(Some(secret.clone())),
                    None => Err(error),
                }
            }
        }
    }

    /// Keeps later calls from using values of this document from a cache.
    pub(super) fn supersede(&self) {
        self.superseded.store(true, Relaxed);
    }

    pub(super) fn secret(&self, (value, version): &Entry, stale: bool, cached: bool) -> Secret {
        let info = SecretInfo {
            version: version.clone(),
            requested_at: self.requested_at,
            ttl: Some(self.ttl),
            refresh_after: Some(self.refresh_after),
            superseded: Some(self.superseded.clone()),
        };
        Secret { info: Some(Arc::new(info)), stale, cached, ..Secret::new(value.clone()) }
    }

    #[cfg(test)]
    pub(super) fn aged(&self, time: Duration) -> LoadedDocument {
        let age = |secret: &Secret| {
            let aged = |info: &Arc<SecretInfo>| {
                Arc::new(SecretInfo { requested_at: info.requested_at.before(time), ..SecretInfo::clone(info) })
            };
            Secret { info: secret.info.as_ref().map(aged), ..secret.clone() }
        };
        LoadedDocument {
            document: self.document.clone(),
            requested_at: self.requested_at.before(time),
            ttl: self.ttl,
            refresh_after: self.refresh_after,
            max_stale: self.max_stale,
            earlier: self.earlier.iter().map(|(key, secret)| (key.clone(), age(secret))).collect(),
            superseded: self.superseded.clone(),
            age: CoarseAge::default(),
        }
    }
}
