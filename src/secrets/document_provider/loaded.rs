//! A document in memory.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foldhash::quality::RandomState;

use super::super::document::{Document, DocumentEntry};
use super::super::lookup_cache::CacheTimes;
use super::super::secret::{Secret, SecretInfo, Superseded};
use crate::clock::{CoarseAge, CoarseInstant, Instant};
use crate::error::Result;
use crate::jitter;
use crate::share::Stamp;

pub(super) struct LoadedDocument {
    pub(super) document: Document,
    /// Taken before its load began.
    pub(super) requested_at: Instant,
    pub(super) ttl: Duration,
    /// The age from which it is loaded again while it is still fresh.
    pub(super) refresh_after: Duration,
    /// The same, whatever its source says: that of all processes that share it.
    pub(super) soft_ttl: Duration,
    pub(super) max_stale: Duration,
    /// Values of earlier documents under keys that this one could not read.
    earlier: HashMap<Box<str>, Secret>,
    superseded: Arc<Superseded>,
    age: CoarseAge,
    fingerprint: OnceLock<u64>,
    /// The state of the share under which it was taken or published.
    pub(super) stamp: Option<Arc<Stamp>>,
    /// Whether another process loaded it.
    pub(super) from_share: bool,
}

impl LoadedDocument {
    /// `before` is the document that it replaces.
    pub(super) fn new(
        document: Document,
        requested_at: Instant,
        times: &CacheTimes,
        before: Option<&LoadedDocument>,
    ) -> LoadedDocument {
        let is_leased = document.lease.is_some();
        // A lease is used to its end, and not a moment longer.
        let longest = if is_leased { Duration::MAX } else { times.cache_ttl };
        let own_ttl = document.ttl.unwrap_or(times.cache_ttl).min(longest);
        let ttl = if document.missing.is_some() { times.miss_ttl } else { own_ttl };
        // Processes that load at the same time do not refresh at the same time.
        let wanted = document.refresh_after.unwrap_or(Duration::MAX);
        let soft_ttl = jitter::refresh_age(ttl).min(if is_leased { wanted } else { Duration::MAX });
        let refresh_after = soft_ttl.min(wanted);
        let earlier = before.map_or_else(HashMap::new, |before| before.values_for(&document));
        let max_stale = if is_leased { Duration::ZERO } else { times.max_stale };
        let (superseded, age) = (Arc::default(), CoarseAge::default());
        let (stamp, from_share, fingerprint) = (None, false, OnceLock::new());
        LoadedDocument {
            document,
            requested_at,
            ttl,
            refresh_after,
            soft_ttl,
            max_stale,
            earlier,
            superseded,
            age,
            fingerprint,
            stamp,
            from_share,
        }
    }

    /// The same, valid while nothing newer is in the share.
    pub(super) fn with_stamp(self, stamp: Option<Arc<Stamp>>) -> LoadedDocument {
        LoadedDocument { superseded: Arc::new(Superseded::new(stamp.clone())), stamp, ..self }
    }

    /// The same, loaded by another process, which chose when it is loaded again.
    pub(super) fn by_another_process(self, soft_ttl: Option<Duration>) -> LoadedDocument {
        // This process may have a shorter `cache_ttl`.
        let soft_ttl = soft_ttl.map_or(self.soft_ttl, |time| time.min(self.ttl.mul_f64(jitter::REFRESH_TO)));
        LoadedDocument { from_share: true, refresh_after: soft_ttl, soft_ttl, ..self }
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

    /// A hash of its values.
    pub(super) fn fingerprint(&self, hasher: &RandomState) -> u64 {
        *self.fingerprint.get_or_init(|| self.document.fingerprint(hasher))
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
        self.stamp.as_ref().is_none_or(|stamp| stamp.is_current(now))
            && self.age.is_below(|| self.refresh_after, self.requested_at, now)
    }

    /// Whether one call should load it again now.
    pub(super) fn is_due(&self) -> bool {
        self.requested_at.elapsed() >= self.refresh_after
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
        self.superseded.set();
    }

    pub(super) fn secret(&self, (value, version): &DocumentEntry, stale: bool, cached: bool) -> Secret {
        let info = SecretInfo {
            version: version.clone(),
            requested_at: self.requested_at,
            ttl: Some(self.ttl),
            refresh_after: Some(self.refresh_after),
            superseded: Some(self.superseded.clone()),
            is_leased: self.document.lease.is_some(),
        };
        let shared = self.from_share;
        Secret { info: Some(Arc::new(info)), stale, cached: cached || shared, shared, ..Secret::new(value.clone()) }
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
            soft_ttl: self.soft_ttl,
            max_stale: self.max_stale,
            earlier: self.earlier.iter().map(|(key, secret)| (key.clone(), age(secret))).collect(),
            superseded: self.superseded.clone(),
            age: CoarseAge::default(),
            fingerprint: OnceLock::new(),
            stamp: self.stamp.clone(),
            from_share: self.from_share,
        }
    }
}
