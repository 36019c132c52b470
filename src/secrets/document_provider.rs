//! A provider over a [`DocumentSource`]. It caches the document, loads it once for all callers, backs off from a
//! failing source, and uses an earlier document during an outage.
//!
//! A document is fresh for `cache_ttl`: its values, and the absence of all other keys. The absence of the document
//! itself is cached for `miss_ttl`. From a random point between 0.7 and 0.95 of that time, one call loads the document
//! again while the others get the cached values without waiting. An expired value is returned for another `max_stale`,
//! flagged as stale. A call waits only for a key of which nothing is cached.
//!
//! After a failure the source is not queried for a random time, which grows from 1 s up to `max_backoff`, unless a
//! refresh is requested or the source has new credentials; see [`outage`]. From the first failure until a load
//! succeeds, at most one call at a time waits for the source, which does not repeat failed requests; if it timed out,
//! only briefly: such a load is a probe. Only an authoritative failure drops the document at once.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use foldhash::quality::RandomState;
use serde_json::{Map, Value, json};

use super::changes::Changes;
use super::document::DocumentSource;
use super::lookup_cache::CacheTimes;
use super::provider::{Health, HealthState, Known, LookupLimits, Names, Peeked, SecretProvider};
use super::secret::{ProviderId, Secret};
use super::single_flight::SingleFlight;
use super::stats::LoadCounts;
use crate::clock::{CoarseInstant, Deadline, Instant};
use crate::error::{Error, Result};
use crate::fork::{self, PublishedGuard};
use crate::fork_safe::{Mutex, Published};
use crate::log::{self, Level};
use crate::secret_memory::wipe_stack_below;
use crate::share::Share;
use loaded::LoadedDocument;
use shared::SharedSlot;
use state::State;
use watched::SourceWatch;

#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod load;
mod loaded;
pub(super) mod outage;
mod payload;
mod shared;
mod state;
mod tiered;
mod watched;

/// The depth of stack that is wiped after a load: a source may leave credentials there.
const STACK: usize = 16 << 10;

/// `S` is a concrete type in tests alone: this code is large, and there once for all sources.
pub(super) struct DocumentProvider<S: ?Sized = dyn DocumentSource> {
    source: Box<S>,
    times: CacheTimes,
    /// Its results are `None` if another process is loading the document.
    loads: SingleFlight<Option<Arc<LoadedDocument>>>,
    upkeeps: SingleFlight<()>,
    state: Mutex<State>,
    /// The document, unless its source fails.
    current: Published<LoadedDocument>,
    /// What it shares with other processes of this host.
    shared: Option<SharedSlot>,
    changes: Arc<Changes>,
    /// Hashes documents, to see whether one differs from the one before.
    hasher: RandomState,
    /// When this process last looked for changes, in nanoseconds of [`CoarseInstant`].
    watched_at: AtomicU64,
    watch: SourceWatch,
    counts: LoadCounts,
}

/// The need of one call for a newer document.
struct LoadRequest<'a> {
    deadline: Deadline,
    /// The time that the whole call has left.
    remaining: Duration,
    /// Query the source even during its back-off.
    forced: bool,
    /// Wait for another process that is loading the document.
    waits: bool,
    /// Whether this document is new enough.
    accepts: &'a dyn Fn(&Arc<LoadedDocument>) -> bool,
}

impl<S: DocumentSource + ?Sized> DocumentProvider<S> {
    pub(super) fn new(source: Box<S>, times: CacheTimes, share: Option<Arc<Share>>) -> Result<DocumentProvider<S>> {
        let (loads, upkeeps) = (SingleFlight::new()?, SingleFlight::new()?);
        let (state, current) = (Mutex::default(), Published::empty());
        Ok(DocumentProvider {
            source,
            times,
            loads,
            upkeeps,
            state,
            current,
            shared: share.map(SharedSlot::new),
            changes: Arc::new(Changes::new(None)),
            hasher: RandomState::default(),
            watched_at: AtomicU64::new(0),
            watch: SourceWatch::default(),
            counts: LoadCounts::default(),
        })
    }

    /// The same, which notes its changes there.
    pub(super) fn with_changes(self, changes: Arc<Changes>) -> DocumentProvider<S> {
        DocumentProvider { changes, ..self }
    }

    fn state(&self) -> State {
        let _guard = fork::protect();
        self.state.lock().clone()
    }

    /// Changes the state, and notes whether that is a change for callers: the document has other contents than the last
    /// one, or was dropped. Values of the earlier document are dropped after the lock is released.
    fn change(&self, change: impl FnOnce(&mut State)) -> bool {
        let _guard = fork::protect();
        let mut state = self.state.lock();
        let before = state.clone();
        change(&mut state);
        if let Some(old) = before.document.as_ref()
            && !state.document.as_ref().is_some_and(|new| Arc::ptr_eq(new, old))
        {
            old.supersede();
        }
        let is_dropped = before.document.is_some() && state.document.is_none();
        let is_changed = self.update_fingerprint(&mut state) || is_dropped;
        let current = self.current.replace(state.document.clone().filter(|_| state.outage.is_none()));
        drop(state);
        drop((before, current));
        if is_changed {
            self.changes.note();
        }
        is_changed
    }

    /// Whether the document has other contents than the last complete one.
    fn update_fingerprint(&self, state: &mut State) -> bool {
        let loaded = state.document.as_ref().filter(|loaded| loaded.document.incomplete().is_none());
        let Some(loaded) = loaded else { return false };
        let now = loaded.fingerprint(&self.hasher);
        state.fingerprint.replace(now).is_some_and(|before| before != now)
    }

    /// The cached answer after a load that failed, or the failure.
    fn after_failure(&self, key: &str, error: Error, refresh: bool) -> Result<Option<Secret>> {
        match self.state().cached(key) {
            Some(Ok(Some(secret))) => Ok(Some(Secret { stale: secret.stale || refresh, ..secret })),
            Some(Ok(None)) if !refresh => Ok(None),
            _ => Err(error),
        }
    }

    /// The answer of a call that queried the source, or waited for a call that did.
    fn answer(&self, key: &str, loaded: Result<Arc<LoadedDocument>>, refresh: bool) -> Result<Option<Secret>> {
        match loaded {
            Ok(loaded) => loaded.look_up(key, false),
            Err(error) => self.after_failure(key, error, refresh),
        }
    }

    /// Returns a fresh document, cached or loaded now.
    fn fresh(&self, request: &LookupLimits) -> Result<Arc<LoadedDocument>> {
        let state = self.followed_state();
        let is_fresh = |loaded: &Arc<LoadedDocument>| loaded.is_fresh() && state.may_cache(loaded.requested_at);
        if let Some(loaded) = state.document.as_ref().filter(|loaded| is_fresh(loaded)) {
            return Ok(loaded.clone());
        }
        let remaining = request.deadline().remaining();
        let deadline = request.deadline().min(Deadline::after(state.time_for_load(remaining)));
        self.load(&LoadRequest { deadline, remaining, forced: false, waits: true, accepts: &is_fresh })
    }

    /// Returns a document whose load began after this call.
    fn refreshed(&self, request: &LookupLimits) -> Result<Arc<LoadedDocument>> {
        let (since, deadline) = (Instant::now(), request.deadline());
        let accepts = |loaded: &Arc<LoadedDocument>| loaded.requested_at >= since;
        let remaining = deadline.remaining();
        self.load(&LoadRequest { deadline, remaining, forced: true, waits: true, accepts: &accepts })
    }

    /// Returns the value of `key`. Loads the document if it is this call's turn.
    fn look_up(&self, key: &str, request: &LookupLimits) -> Result<Option<Secret>> {
        if request.refresh {
            return self.answer(key, self.refreshed(request), true);
        }
        let state = self.followed_state();
        let known = state.cached(key).or_else(|| state.known_failure(request));
        if let Some(known) = known.as_ref().filter(|_| !state.is_due(key, request, &self.times)) {
            return known.clone();
        }
        let is_fresh = state.document.as_ref().is_some_and(|loaded| loaded.is_fresh());
        let remaining = request.deadline().remaining();
        // While the document is fresh, half of the time is enough for a newer one.
        let share = request.share(is_fresh).deadline();
        let load = LoadRequest {
            deadline: share.min(Deadline::after(state.time_for_load(remaining))),
            remaining,
            forced: false,
            waits: known.is_none(),
            accepts: &|loaded| {
                state.may_cache(loaded.requested_at)
                    && !state.document.as_ref().is_some_and(|old| Arc::ptr_eq(old, loaded))
            },
        };
        match known {
            Some(known) => self.try_load(&load).map_or(known, |loaded| self.answer(key, loaded, false)),
            None => self.answer(key, self.load(&load), false),
        }
    }
}

impl<S: DocumentSource + ?Sized> SecretProvider for DocumentProvider<S> {
    fn id(&self) -> &ProviderId {
        self.source.id()
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn serves(&self, key: &str) -> bool {
        self.source.serves(key)
    }

    fn find(&self, key: &str, request: &LookupLimits) -> Result<Option<Secret>> {
        if !self.source.serves(key) {
            return Ok(None);
        }
        self.look_up(key, request)
    }

    fn peek(&self, key: &str, reading: &PublishedGuard, now: CoarseInstant, take: &mut dyn FnMut(Peeked<'_>)) -> Known {
        if !self.source.serves(key) {
            return Known::Absent;
        }
        let Some(loaded) = self.current.get(reading).filter(|loaded| loaded.is_current(now)) else {
            return Known::Unknown;
        };
        match loaded.document.peek(key) {
            Some(Some(entry)) => {
                take(Peeked::Cached(&entry.0, &|| loaded.secret(entry, false, true)));
                Known::Found
            }
            Some(None) => Known::Absent,
            None => Known::Unknown,
        }
    }

    fn cached(&self, key: &str) -> Option<Option<Secret>> {
        if !self.source.serves(key) {
            return Some(None);
        }
        let state = self.followed_state();
        let state = if state.document.is_none() { self.state_from_share() } else { state };
        state.cached(key)?.ok()
    }

    fn absence(&self, _: &str) -> Duration {
        let document = self.state().document;
        document.map_or(Duration::ZERO, |loaded| loaded.ttl.saturating_sub(loaded.requested_at.elapsed()))
    }

    fn place(&self, _: &str) -> String {
        let missing = self.state().document.and_then(|loaded| loaded.document.missing.clone());
        match missing {
            Some(reason) => format!("{}: {reason}", self.source.place()),
            None => format!("not in {}", self.source.place()),
        }
    }

    fn refresh(&self, request: &LookupLimits) -> Result<()> {
        match self.refreshed(request)?.document.incomplete() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn write(&self, key: &str, value: Option<&str>, request: &LookupLimits) -> Result<bool> {
        let existed = self.counts.counting_retries(|| self.source.write(key, value, request.deadline()));
        wipe_stack_below::<STACK>();
        let existed = existed?;
        // The earlier document has the earlier value.
        if let Err(error) = self.refreshed(request) {
            log::emit(Level::Warn, "secrets", || format!("the document that was written cannot be loaded: {error}"));
            self.clear_cache();
        }
        Ok(existed)
    }

    fn clear_cache(&self) {
        self.change(|state| {
            (state.document, state.stamp) = (None, None);
            state.cleared_at = Some(Instant::now());
        });
        self.invalidate_shared();
        self.changes.note_to_all();
    }

    fn drop_older(&self, time: Instant) {
        self.change(|state| {
            state.cleared_at = state.cleared_at.max(Some(time));
            if state.document.as_ref().is_some_and(|loaded| loaded.requested_at < time) {
                (state.document, state.stamp) = (None, None);
            }
        });
    }

    fn close(&self, deadline: Deadline) {
        if !self.source.is_released_on_close() {
            return;
        }
        let loaded = match self.slot() {
            None => None,
            // Other processes may use the lease; the last of them releases it.
            Some(_) if !self.changes.is_alone() => return,
            Some(slot) => {
                let loaded = self.followed_state().document;
                slot.invalidate();
                // One that took the document just before.
                if !self.changes.is_alone() {
                    return;
                }
                loaded
            }
        };
        self.change(|state| (state.document, state.stamp) = (None, None));
        self.source.release(loaded.as_ref().map(|loaded| &loaded.document), deadline);
        wipe_stack_below::<STACK>();
    }

    fn look(&self, request: &LookupLimits) {
        let state = self.followed_state();
        // A document that no caller has requested is not loaded.
        let Some(loaded) = state.document.filter(|loaded| loaded.is_due() && self.take_watch()) else { return };
        let key = loaded.document.names().next().unwrap_or_default().to_owned();
        // As a get of any key, which loads the document if it is this process's turn. If there is no document, there is
        // no key that the source serves for certain.
        let _ = self.look_up(&key, request);
    }

    fn has_changed(&self, request: &LookupLimits) -> bool {
        let has_changed = self.source_has_changed(request);
        wipe_stack_below::<STACK>();
        has_changed
    }

    fn note_announced(&self, request: &LookupLimits) {
        self.note_source_announced(request);
        wipe_stack_below::<STACK>();
    }

    fn prefetch(&self, request: &LookupLimits) -> Result<()> {
        match self.fresh(request)?.document.incomplete() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn loads(&self) -> Option<&LoadCounts> {
        Some(&self.counts)
    }

    fn describe_share(&self) -> Option<Map<String, Value>> {
        self.describe_slot()
    }

    fn describe(&self) -> Map<String, Value> {
        let mut fields = Map::from_iter([("configured".to_owned(), json!(true))]);
        fields.extend(self.source.describe());
        let State { document, outage, .. } = self.state();
        fields.insert("loaded".to_owned(), json!(document.is_some()));
        if let Some(loaded) = document {
            let age = loaded.requested_at.elapsed();
            fields.insert("entries".to_owned(), json!(loaded.document.len()));
            fields.insert("version".to_owned(), json!(loaded.document.version.as_deref()));
            fields.insert("missing".to_owned(), json!(loaded.document.missing));
            fields.insert("incomplete".to_owned(), json!(loaded.document.incomplete().map(Error::message)));
            fields.insert("age".to_owned(), json!(age.as_secs_f64()));
            fields.insert("expires_in".to_owned(), json!(loaded.ttl.saturating_sub(age).as_secs_f64()));
            if let Some(lease) = &loaded.document.lease {
                fields.insert("leased".to_owned(), json!(true));
                fields.insert("renewable".to_owned(), json!(lease.renewable));
            }
            fields.insert("stale".to_owned(), json!(!loaded.is_fresh() && outage.is_some()));
        }
        if let Some(outage) = outage {
            fields.insert("failing".to_owned(), json!(outage.message()));
            fields.insert("retry_in".to_owned(), json!(outage.backoff().as_secs_f64()));
        }
        fields
    }

    fn names(&self, request: &LookupLimits) -> Option<Names> {
        let names_of = |loaded: &LoadedDocument, error: Option<Error>| {
            let names = loaded.document.names().map(str::to_owned).collect();
            Names { names, error: error.or_else(|| loaded.document.incomplete().cloned()) }
        };
        Some(match self.fresh(request) {
            Ok(loaded) => names_of(&loaded, None),
            Err(error) => match self.state().document.filter(|loaded| loaded.is_usable()) {
                Some(loaded) => names_of(&loaded, Some(error)),
                None => Names { names: Vec::new(), error: Some(error) },
            },
        })
    }

    fn check(&self, request: &LookupLimits) -> Health {
        let mut health = self.counts.counting_retries(|| self.source.check(request.deadline()));
        wipe_stack_below::<STACK>();
        let state = self.state();
        if let Some(loaded) = &state.document {
            health.detail = self.source.redact(health.detail, &loaded.document);
            if loaded.document.lease.is_some() {
                let left = loaded.ttl.saturating_sub(loaded.requested_at.elapsed()).as_secs();
                health.detail += &format!("; its lease ends in {left} s");
            }
        }
        match state.document.as_ref().and_then(|loaded| loaded.document.incomplete()) {
            Some(error) if health.state == HealthState::Ok => {
                let detail = format!("{}; a part of the cached document is missing: {error}", health.detail);
                Health { state: HealthState::Warning, detail, advice: health.advice }
            }
            _ => health,
        }
    }
}

#[cfg(test)]
mod tests;
