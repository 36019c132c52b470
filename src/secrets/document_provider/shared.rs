//! Sharing a document with other processes of this host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::document::{Document, DocumentSource};
use super::loaded::LoadedDocument;
use super::outage::Outage;
use super::payload;
use super::state::State;
use super::tiered::{Asked, publish_in_tier};
use super::{DocumentProvider, LoadRequest};
use crate::clock::{CoarseInstant, Instant};
use crate::error::{Error, Result};
use crate::fork;
use crate::fork_safe::Mutex;
use crate::log::{self, Level};
use crate::share::{Failure, Loading, NewRecord, Share, SharedDocument, Slot, Stamp, TierLoad, Turn};

/// The slot of a document. The identity of the process may change from load to load, and the slot with it.
pub(super) struct SharedSlot {
    pub(super) share: Arc<Share>,
    current: Mutex<Option<Arc<Slot>>>,
    /// Until when a call that does not wait assumes that another process is still loading, in nanoseconds of
    /// [`CoarseInstant`].
    busy_until: AtomicU64,
    /// The document that a call had when another process was first found loading a newer one, and when that was.
    busy_since: Mutex<Option<(Instant, Instant)>>,
}

/// How a load is shared.
pub(super) enum Sharing<'a> {
    Off,
    /// Its result is published, in the cluster tier too if there is one.
    Publish(Loading<'a>, Option<Box<TierLoad>>),
    /// It is not published, but invalidated with what is in the share.
    Observe(Stamp),
}

impl SharedSlot {
    pub(super) fn new(share: Arc<Share>) -> SharedSlot {
        SharedSlot { share, current: Mutex::new(None), busy_until: AtomicU64::new(0), busy_since: Mutex::new(None) }
    }

    fn current(&self) -> Option<Arc<Slot>> {
        self.current.lock().clone()
    }

    fn open(&self, source: &(impl DocumentSource + ?Sized)) -> Option<Arc<Slot>> {
        let identity = source.identity()?;
        match self.current().filter(|slot| slot.is_for(&identity)) {
            Some(slot) => Some(slot),
            None => {
                let slot = self.share.slot(identity).map(Arc::new);
                self.current.lock().clone_from(&slot);
                slot
            }
        }
    }
}

/// How often calls that listen look for changes.
const WATCH_INTERVAL: Duration = Duration::from_millis(900);
/// How often calls that do not wait check whether another process is still loading. What it publishes is seen at once.
const BUSY_INTERVAL: Duration = Duration::from_millis(250);

impl Sharing<'_> {
    pub(super) fn publish(self, loaded: &LoadedDocument) -> Option<Arc<Stamp>> {
        let stamp = match self {
            Sharing::Off => return None,
            Sharing::Observe(stamp) => stamp,
            Sharing::Publish(loading, tier) => {
                publish_in_tier(tier, loaded, loading.slot());
                let (requested_at, ttl) = (loaded.requested_at, loaded.document.ttl);
                let refresh_after = Some(loaded.soft_ttl);
                let payload = payload::encode(&loaded.document);
                loading.publish(payload.map(|payload| NewRecord { requested_at, ttl, refresh_after, payload }))
            }
        };
        Some(Arc::new(stamp))
    }

    pub(super) fn fail(self, outage: &Outage) -> Option<Stamp> {
        match self {
            Sharing::Off => None,
            Sharing::Observe(stamp) => Some(stamp),
            Sharing::Publish(loading, tier) => {
                if let Some(tier) = tier {
                    tier.release(outage.cause().is_authoritative());
                }
                Some(loading.fail(&outage.to_share()))
            }
        }
    }

    /// Ends a load without a result.
    pub(super) fn abandon(self) {
        if let Sharing::Publish(_, Some(tier)) = self {
            tier.release(false);
        }
    }
}

impl<S: DocumentSource + ?Sized> DocumentProvider<S> {
    /// The slot of this process now; `None` if nothing is shared.
    pub(super) fn slot(&self) -> Option<Arc<Slot>> {
        // A document that is never fresh is loaded by each call.
        let is_cached = !self.times.cache_ttl.is_zero() || self.source.is_leased();
        let shared = self.shared.as_ref().filter(|_| is_cached)?;
        let _guard = fork::protect();
        shared.open(&*self.source)
    }

    /// The state, after taking over what other processes have published or invalidated.
    pub(super) fn followed_state(&self) -> State {
        let state = self.state();
        let is_outdated = |stamp: &Arc<Stamp>| !stamp.is_current(CoarseInstant::now());
        match state.stamp.as_ref().filter(|stamp| is_outdated(stamp)) {
            Some(stamp) => {
                self.follow(stamp);
                self.state()
            }
            None => state,
        }
    }

    fn follow(&self, stamp: &Arc<Stamp>) {
        let _guard = fork::protect();
        let slot = self.shared.as_ref().and_then(SharedSlot::current);
        let Some(slot) = slot.filter(|slot| slot.has_name() && slot.is_of(stamp)) else { return stamp.detach() };
        let now = slot.stamp();
        if !stamp.is_valid() {
            let is_invalid = |one: &Arc<Stamp>| Arc::ptr_eq(one, stamp);
            self.change(|state| {
                if state.stamp.as_ref().is_some_and(is_invalid) {
                    (state.document, state.stamp) = (None, None);
                }
            });
        }
        if let Some(record) = slot.read() {
            self.take(record);
        }
        stamp.follow(&now);
    }

    /// Uses the document of another process, if it is newer than that of this one and still usable. Returns the
    /// document that is used then.
    fn take(&self, record: SharedDocument) -> Option<Arc<LoadedDocument>> {
        let State { document: before, .. } = self.state();
        if before.as_ref().is_some_and(|before| before.requested_at >= record.requested_at) {
            return before;
        }
        if !self.state().may_cache(record.requested_at) {
            return None;
        }
        let mut document = payload::decode(&record.payload)?;
        document.ttl = record.ttl;
        let loaded = LoadedDocument::new(document, record.requested_at, &self.times, before.as_deref());
        let loaded = loaded.with_stamp(Some(Arc::new(record.stamp))).by_another_process(record.refresh_after);
        let loaded = Some(Arc::new(loaded)).filter(|loaded| loaded.is_usable())?;
        self.counts.add_shared();
        log::emit_with(Level::Info, "secrets", |fields| {
            let (name, place) = (self.source.id().name(), self.source.place());
            let age = record.requested_at.elapsed();
            fields.text("provider", name);
            fields.text("place", &place);
            fields.time("age", age);
            format!("{name}: {place}: another process loaded it {:.1} s ago", age.as_secs_f64())
        });
        self.change(|state| {
            let is_newer = |old: &Arc<LoadedDocument>| old.requested_at < loaded.requested_at;
            if state.may_cache(loaded.requested_at) && state.document.as_ref().is_none_or(is_newer) {
                (state.document, state.stamp) = (Some(loaded.clone()), loaded.stamp.clone());
                if loaded.is_fresh() {
                    state.outage = self.partial_outage(&loaded.document, state.outage.as_deref(), Duration::MAX);
                }
            }
        });
        Some(loaded)
    }

    /// Takes the document of another process if it serves this call.
    pub(super) fn take_for(&self, record: SharedDocument, request: &LoadRequest) -> Option<Arc<LoadedDocument>> {
        let loaded = self.take(record)?;
        let is_wanted = loaded.is_fresh() && (request.waits || !loaded.is_due());
        Some(loaded).filter(|loaded| is_wanted && (request.accepts)(loaded))
    }

    /// The document that another process has published since this call began to load, if this load has failed in whole
    /// or in part.
    pub(super) fn published_meanwhile(
        &self,
        result: &Result<Document>,
        request: &LoadRequest,
    ) -> Option<Arc<LoadedDocument>> {
        let has_failed = match result {
            Ok(document) => document.incomplete().is_some(),
            Err(error) => !error.is_authoritative(),
        };
        let slot = self.shared.as_ref().filter(|_| has_failed)?.current()?;
        let loaded = self.take_for(slot.read()?, request)?;
        Some(loaded).filter(|loaded| loaded.document.incomplete().is_none())
    }

    /// Takes the document of another process, or loads it and shares it. `Ok(None)`: another process is loading it, and
    /// the call does not wait.
    pub(super) fn load_shared(
        &self,
        slot: &Slot,
        request: &LoadRequest,
        own: &mut bool,
    ) -> Result<Option<Arc<LoadedDocument>>> {
        let take = |record| self.take_for(record, request);
        let is_resting =
            |failure: &Failure| !request.forced && Outage::from_share(failure).is_backing_off(request.remaining);
        let turn = match request.waits {
            true => slot.turn(Some(request.deadline), take, is_resting),
            false => slot.turn_now(self.loaders(request.remaining), take, is_resting),
        };
        let sharing = match turn {
            Turn::Taken(loaded) => return Ok(Some(loaded)),
            Turn::Busy => {
                self.note_loaded_elsewhere();
                return Ok(None);
            }
            Turn::Resting(failure, stamp) => return Err(self.rest(&failure, stamp)),
            Turn::LoadUnshared(stamp) => Sharing::Observe(stamp),
            Turn::Load(loading) => {
                self.remember_contents(slot);
                if let Some(failure) = loading.failure() {
                    self.change(|state| state.outage = Some(Arc::new(Outage::from_share(failure))));
                }
                match self.ask_tier(slot, &loading, request) {
                    Asked::Taken(loaded) => return Ok(Some(loaded)),
                    Asked::Elsewhere => {
                        self.note_loaded_elsewhere();
                        return Ok(None);
                    }
                    Asked::Load(tier) => Sharing::Publish(loading, tier),
                }
            }
        };
        *own = true;
        self.query(request, sharing).map(Some)
    }

    /// Remembers what the share had before a load, so that a process that never had a document notices a change too.
    fn remember_contents(&self, slot: &Slot) {
        if self.state().fingerprint.is_none()
            && let Some(document) = slot.read().and_then(|record| payload::decode(&record.payload))
        {
            let fingerprint = document.fingerprint(&self.hasher);
            self.change(|state| state.fingerprint = Some(fingerprint));
        }
    }

    /// Whether this process looks for changes of the source now: of those that share the document, one does about once
    /// a second.
    pub(super) fn take_watch(&self) -> bool {
        if let Some(slot) = self.slot() {
            return slot.take_watch(WATCH_INTERVAL);
        }
        let (last, now) = (self.watched_at.load(Relaxed), CoarseInstant::now());
        let is_due = now.since(CoarseInstant::from_nanoseconds(last)) >= WATCH_INTERVAL;
        is_due && self.watched_at.compare_exchange(last, now.nanoseconds(), Relaxed, Relaxed).is_ok()
    }

    /// How a load that has ended is shared: not at all if its settings or secrets may have changed since its slot was
    /// opened.
    pub(super) fn after_load<'a>(&self, sharing: Sharing<'a>) -> Sharing<'a> {
        let is_same = |loading: &Loading<'_>| self.source.identity().is_some_and(|identity| loading.is_for(&identity));
        match sharing {
            Sharing::Publish(loading, tier) if !is_same(&loading) => {
                Sharing::Publish(loading, tier).abandon();
                Sharing::Off
            }
            other => other,
        }
    }

    /// How many processes may load while this one has a document, for a call with this much time: one. If the document
    /// has expired, one more for each such time that others have been loading without a result: they may be stopped.
    fn loaders(&self, time: Duration) -> u32 {
        let Some(document) = self.state().document.filter(|document| !document.is_fresh()) else { return 1 };
        let _guard = fork::protect();
        let busy_since = self.shared.as_ref().and_then(|shared| *shared.busy_since.lock());
        let busy_for = match busy_since {
            Some((requested_at, since)) if requested_at == document.requested_at => since.elapsed(),
            _ => Duration::ZERO,
        };
        let periods = busy_for.as_nanos().checked_div(time.as_nanos()).unwrap_or(0);
        u32::try_from(periods).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Whether another process was loading a moment ago.
    pub(super) fn is_loaded_elsewhere(&self) -> bool {
        let now = CoarseInstant::now().nanoseconds();
        self.shared.as_ref().is_some_and(|shared| now < shared.busy_until.load(Relaxed))
    }

    fn note_loaded_elsewhere(&self) {
        let document = self.state().document;
        let _guard = fork::protect();
        if let Some(shared) = &self.shared {
            let until = CoarseInstant::now().nanoseconds() + BUSY_INTERVAL.as_nanos() as u64;
            shared.busy_until.store(until, Relaxed);
            let mut busy_since = shared.busy_since.lock();
            let requested_at = document.map(|document| document.requested_at);
            if busy_since.map(|(requested_at, _)| requested_at) != requested_at {
                *busy_since = requested_at.map(|requested_at| (requested_at, Instant::now()));
            }
        }
    }

    /// Others have been loading for this much longer.
    #[cfg(test)]
    pub(super) fn age_other_loaders(&self, time: Duration) {
        let shared = self.shared.as_ref().unwrap();
        shared.busy_until.store(0, Relaxed);
        if let Some((_, since)) = &mut *shared.busy_since.lock() {
            *since = since.before(time);
        }
    }

    /// Whether the process would log in with other secrets than before.
    pub(super) fn has_new_identity(&self) -> bool {
        let slot = self.shared.as_ref().and_then(SharedSlot::current);
        slot.is_some_and(|slot| self.source.identity().is_some_and(|identity| !slot.is_for(&identity)))
    }

    /// The state, after looking for the document of another process.
    pub(super) fn state_from_share(&self) -> State {
        if let Some(record) = self.slot().and_then(|slot| slot.read()) {
            self.take(record);
        }
        self.state()
    }

    /// Records the failure of another process, and returns it for the caller.
    fn rest(&self, failure: &Failure, stamp: Stamp) -> Error {
        let outage = Arc::new(Outage::from_share(failure));
        self.change(|state| {
            state.outage = Some(outage.clone());
            state.set_stamp(stamp);
        });
        outage.error()
    }

    /// Invalidates what all processes have of the document.
    pub(super) fn invalidate_shared(&self) {
        if let Some(slot) = self.slot() {
            slot.invalidate();
        }
    }

    /// Returns what the slot has, without a value.
    pub(super) fn describe_slot(&self) -> Option<Map<String, Value>> {
        let slot = self.slot()?;
        let state = slot.state().ok()?;
        let mut fields = Map::from_iter([
            ("id".to_owned(), json!(slot.id())),
            ("provider".to_owned(), json!(self.source.id().name())),
            ("place".to_owned(), json!(self.source.place())),
            ("loading".to_owned(), json!(state.is_loading)),
            ("loader_pid".to_owned(), json!(state.loader)),
            ("failing".to_owned(), json!(state.failure.as_ref().map(|failure| failure.error.message()))),
        ]);
        let retry_in = state.failure.map(|failure| failure.retry_at.since(Instant::now()).as_secs_f64());
        let age = state.record.as_ref().map(|record| record.requested_at.elapsed());
        let longest = if self.source.is_leased() { Duration::MAX } else { self.times.cache_ttl };
        let ttl = state.record.map(|record| record.ttl.unwrap_or(self.times.cache_ttl).min(longest));
        let expires_in = ttl.zip(age).map(|(ttl, age)| ttl.saturating_sub(age).as_secs_f64());
        fields.insert("retry_in".to_owned(), json!(retry_in));
        fields.insert("age".to_owned(), json!(age.map(|age| age.as_secs_f64())));
        fields.insert("expires_in".to_owned(), json!(expires_in));
        Some(fields)
    }
}
