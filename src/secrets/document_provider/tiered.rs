//! Sharing a document with other hosts, through the cluster tier. Only the process that has the lock of the document on
//! its host asks the tier.

use std::sync::Arc;
use std::time::Duration;

use super::super::document::DocumentSource;
use super::loaded::LoadedDocument;
use super::payload;
use super::{DocumentProvider, LoadRequest};
use crate::clock::{Backoff, Deadline, Instant};
use crate::fork;
use crate::jitter;
use crate::secret_memory::SecretBuffer;
use crate::share::{Loading, NewRecord, SharedDocument, Slot, TierDocument, TierLoad};

/// The pauses of a host that waits for the load of another one.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(320));

/// What a load does after it has asked the tier.
pub(super) enum Asked {
    /// It uses the document of another host.
    Taken(Arc<LoadedDocument>),
    /// Another host is loading, and the call does not wait.
    Elsewhere,
    /// It queries the source, and publishes the result if the tier works.
    Load(Option<Box<TierLoad>>),
}

impl<S: DocumentSource + ?Sized> DocumentProvider<S> {
    /// Looks for the document in the tier, and waits for another host that is loading it: for half of the time at most.
    pub(super) fn ask_tier(&self, slot: &Slot, loading: &Loading<'_>, request: &LoadRequest) -> Asked {
        let mut asked = self.look_in_tier(slot, loading, request);
        if let Asked::Load(Some(load)) = &mut asked {
            load.begin();
        }
        asked
    }

    fn look_in_tier(&self, slot: &Slot, loading: &Loading<'_>, request: &LoadRequest) -> Asked {
        // The end of a lease is a time of this host's clock, and its owner may revoke it: no other host uses it.
        if self.source.is_leased() {
            return Asked::Load(None);
        }
        let Some((tier, page)) = self.changes.tier() else { return Asked::Load(None) };
        let time = request.deadline.remaining();
        let Some(session) = tier.begin(&page, request.deadline) else { return Asked::Load(None) };
        let Some(load) = session.about(slot.identity(), request.deadline) else { return Asked::Load(None) };
        let mut load = Box::new(load);
        let (until, mut pauses) = (Deadline::after(time / 2), PAUSES);
        loop {
            let Some(found) = load.fetch(slot.sequence()) else { return Asked::Load(None) };
            if request.forced {
                return Asked::Load(Some(load));
            }
            if let Some(document) = found.document
                && let Some(loaded) = self.take_from_tier(slot, loading, &document, request)
            {
                return Asked::Taken(loaded);
            }
            if !found.is_loading {
                match load.try_lead() {
                    None => return Asked::Load(None),
                    Some(true) => return Asked::Load(Some(load)),
                    Some(false) => {}
                }
            }
            if !request.waits {
                return Asked::Elsewhere;
            }
            // That host may have been stopped, or be unable to load.
            if until.has_passed() {
                return Asked::Load(Some(load));
            }
            let pause = until.remaining();
            fork::unprotected(|| pauses.wait(pause));
        }
    }

    /// Shares a document of the tier with the processes of this host, and uses it if it serves this call.
    fn take_from_tier(
        &self,
        slot: &Slot,
        loading: &Loading<'_>,
        document: &TierDocument,
        request: &LoadRequest,
    ) -> Option<Arc<LoadedDocument>> {
        let (_, page) = self.changes.tier()?;
        let queried_at = Instant::after_boot(Instant::now().since_boot().saturating_sub(document.age));
        // Documents from before an invalidation by this host are rejected, whatever the revision of the tier.
        if queried_at < slot.invalidated_at().max(page.invalidated_at()) {
            return None;
        }
        let requested_at = page.requested_at(queried_at, document.revision);
        // What is counted as younger ends as early.
        let shift = requested_at.since(queried_at);
        let ttl = match shift.is_zero() {
            true => document.ttl,
            false => Some(document.ttl.unwrap_or(Duration::MAX).min(self.times.cache_ttl).saturating_sub(shift)),
        };
        let before = slot.read();
        let is_known =
            before.is_some_and(|before| before.requested_at >= requested_at || document.sequence == slot.sequence());
        if is_known || !self.state().may_cache(requested_at) {
            return None;
        }
        let mut payload = SecretBuffer::with_capacity(document.payload.len()).ok()?;
        payload.push(&document.payload).ok()?;
        // Each host draws its own, so that hosts do not load again at the same time.
        let refresh_after = Some(jitter::refresh_age(ttl.unwrap_or(Duration::MAX).min(self.times.cache_ttl)));
        let record = NewRecord { requested_at, ttl, refresh_after, payload };
        let stamp = loading.share(&record);
        slot.note_sequence(document.sequence);
        let payload = document.payload.clone();
        self.take_for(SharedDocument { requested_at, ttl, refresh_after, payload, stamp }, request)
    }
}

/// Publishes a document for other hosts, unless a part of it is missing.
pub(super) fn publish_in_tier(tier: Option<Box<TierLoad>>, loaded: &LoadedDocument, slot: &Slot) {
    let Some(tier) = tier else { return };
    if loaded.document.incomplete().is_some() {
        return tier.release(false);
    }
    let (age, lifetime) = (loaded.requested_at.elapsed(), loaded.ttl.saturating_add(loaded.max_stale));
    if let Some(sequence) = tier.publish(payload::encode(&loaded.document), age, loaded.document.ttl, lifetime) {
        slot.note_sequence(sequence);
    }
}
