//! What a document provider has cached, and which calls query the source.

use std::sync::Arc;
use std::time::Duration;

use super::super::lookup_cache::CacheTimes;
use super::super::provider::LookupLimits;
use super::super::secret::Secret;
use super::loaded::LoadedDocument;
use super::outage::Outage;
use crate::clock::Instant;
use crate::error::Result;
use crate::share::Stamp;

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) document: Option<Arc<LoadedDocument>>,
    pub(super) outage: Option<Arc<Outage>>,
    /// When the cache was last cleared. A document requested before that is not cached.
    pub(super) cleared_at: Option<Instant>,
    /// How long the last complete load took.
    pub(super) load_time: Duration,
    /// The state of the share under which the document or the outage was taken from it, or published.
    pub(super) stamp: Option<Arc<Stamp>>,
    /// The hash of the last complete document, which may have been dropped since.
    pub(super) fingerprint: Option<u64>,
}

impl State {
    /// Records the state of the share under which a load failed. The document remains.
    pub(super) fn set_stamp(&mut self, stamp: Stamp) {
        match self.document.as_ref().and_then(|loaded| loaded.stamp.as_ref()) {
            Some(own) => own.follow(&stamp),
            None => self.stamp = Some(Arc::new(stamp)),
        }
    }

    /// Whether a document requested then may be cached.
    pub(super) fn may_cache(&self, requested_at: Instant) -> bool {
        self.cleared_at.is_none_or(|cleared_at| requested_at >= cleared_at)
    }

    /// The cached answer for `key`; `None` if the source has to be queried.
    pub(super) fn cached(&self, key: &str) -> Option<Result<Option<Secret>>> {
        let loaded = self.document.as_ref()?;
        if loaded.is_fresh() {
            return Some(loaded.look_up(key, true));
        }
        // With a `cache_ttl` of 0 every call queries the source, unless it fails.
        let is_usable = loaded.is_usable() && (!loaded.ttl.is_zero() || self.outage.is_some());
        // An expired document says nothing about keys that it lacks.
        let secret = loaded.look_up(key, true).ok().flatten().filter(|_| is_usable)?;
        Some(Ok(Some(secret)))
    }

    /// The failure of the source, for a call whose key is not cached; `None` if this call may query the source.
    pub(super) fn known_failure(&self, request: &LookupLimits) -> Option<Result<Option<Secret>>> {
        let outage = self.outage.as_ref().filter(|outage| outage.applies_to(request.deadline().remaining()))?;
        Some(Err(outage.error()))
    }

    /// How much of the time `remaining` a load has.
    pub(super) fn time_for_load(&self, remaining: Duration) -> Duration {
        self.outage.as_ref().map_or(remaining, |outage| outage.time_for_load(remaining, self.load_time))
    }

    /// Whether this call should query the source for `key`, unless another call does.
    pub(super) fn is_due(&self, key: &str, request: &LookupLimits, times: &CacheTimes) -> bool {
        let wanted = self.document.as_ref().is_none_or(|loaded| {
            let age = loaded.requested_at.elapsed();
            let is_retry_due = self.outage.is_some() || age >= times.miss_ttl;
            loaded.is_due() || (loaded.is_unreadable(key) && is_retry_due)
        });
        let may_query = |outage: &Arc<Outage>| {
            !outage.is_backing_off(request.deadline().remaining()) || outage.is_credential_check_due()
        };
        wanted && self.outage.as_ref().is_none_or(may_query)
    }
}
