//! A provider over a [`DocumentSource`]. It caches the document, loads it once for all callers, backs off from a
//! failing source, and uses an earlier document during an outage.
//!
//! A document is fresh for `cache_ttl`: its values, and the absence of all other keys. The absence of the document
//! itself is cached for `miss_ttl`. From a random point between 0.7 and 0.95 of that time, one call loads the document
//! again while the others get the cached values without waiting. An expired value is returned for another `max_stale`,
//! flagged as stale. A call waits only for a key of which nothing is cached.
//!
//! After a failure the source is not queried for a random time, which grows from 1 s up to `max_backoff`, unless a
//! refresh is requested or the source has new credentials; see [`Outage`]. From the first failure until a load
//! succeeds, at most one call at a time waits for the source; if it timed out, only briefly: such a load is a probe.
//! Only an authoritative failure drops the document at once.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::document::{Document, DocumentSource};
use super::entries::counted;
use super::lookup_cache::CacheTimes;
use super::provider::{Health, HealthState, Known, Names, Peeked, Request, SecretProvider};
use super::secret::{ProviderId, Secret};
use super::single_flight::SingleFlight;
use crate::clock::{CoarseInstant, Deadline, Instant};
use crate::error::{Error, Result, Status};
use crate::fork::{self, ReadGuard};
use crate::fork_safe::Published;
use crate::http::retry::Patience;
use crate::log::{self, Level};
use crate::secret_memory::wipe_stack_below;
use loaded::LoadedDocument;
use outage::Outage;
use state::State;

mod loaded;
mod outage;
mod state;

/// The depth of stack that is wiped after a load: a source may leave credentials there.
const STACK: usize = 16 << 10;

pub(super) struct DocumentProvider<S> {
    source: S,
    times: CacheTimes,
    loads: SingleFlight<Arc<LoadedDocument>>,
    upkeeps: SingleFlight<()>,
    state: Mutex<State>,
    /// The document, unless its source fails.
    current: Published<LoadedDocument>,
}

/// The need of one call for a newer document.
struct LoadRequest<'a> {
    deadline: Deadline,
    /// The time that the whole call has left.
    remaining: Duration,
    /// Query the source even during its back-off.
    forced: bool,
    /// Whether this document is new enough.
    accepts: &'a dyn Fn(&Arc<LoadedDocument>) -> bool,
}

impl<S: DocumentSource> DocumentProvider<S> {
    pub(super) fn new(source: S, times: CacheTimes) -> Result<DocumentProvider<S>> {
        let (loads, upkeeps) = (SingleFlight::new()?, SingleFlight::new()?);
        let (state, current) = (Mutex::default(), Published::empty());
        Ok(DocumentProvider { source, times, loads, upkeeps, state, current })
    }

    fn state(&self) -> State {
        let _guard = fork::protect();
        self.state.lock().clone()
    }

    /// Loads a new document, or waits for the call that is loading one.
    fn load(&self, request: &LoadRequest) -> Result<Arc<LoadedDocument>> {
        let mut own = false;
        let work = || self.load_unless_done(request, &mut own);
        let result = self.loads.run(b"", request.deadline, request.accepts, work);
        self.run_upkeep(own && result.is_ok(), request.deadline);
        result
    }

    /// Loads a new document; `None` if another call is loading one.
    fn try_load(&self, request: &LoadRequest) -> Option<Result<Arc<LoadedDocument>>> {
        let mut own = false;
        let work = || self.load_unless_done(request, &mut own);
        let result = self.loads.try_run(b"", request.deadline, work)?;
        self.run_upkeep(own && result.is_ok(), request.deadline);
        Some(result)
    }

    /// Loads a new document, unless another call did before this call's turn.
    fn load_unless_done(&self, request: &LoadRequest, own: &mut bool) -> Result<Arc<LoadedDocument>> {
        match self.state().document.filter(request.accepts) {
            Some(loaded) => Ok(loaded),
            None => {
                *own = true;
                self.load_now(request)
            }
        }
    }

    /// Queries the source, except during its back-off. No other call does so now.
    fn load_now(&self, request: &LoadRequest) -> Result<Arc<LoadedDocument>> {
        let _guard = fork::protect();
        match self.state().outage.filter(|outage| outage.is_backing_off(request.remaining)) {
            _ if request.forced => self.source.before_refresh(),
            Some(outage) if !self.has_new_credentials(&outage) => return Err(outage.error()),
            _ => {}
        }
        if request.deadline.has_passed() {
            return Err(Error::new(Status::Timeout, "no time was left to query it").with_retryable(true));
        }
        let requested_at = Instant::now();
        let has_value = self.state().document.is_some_and(|loaded| loaded.is_usable());
        let patience = if has_value { Patience::Brief } else { Patience::UntilDeadline };
        let result = self.source.load(request.deadline, patience);
        wipe_stack_below::<STACK>();
        match result {
            Ok(document) => Ok(self.publish(document, requested_at, request.remaining)),
            Err(error) => Err(self.note_failure(self.redacted(error), requested_at, request)),
        }
    }

    /// Checks, about once a second, whether a source that is backing off has new credentials.
    fn has_new_credentials(&self, outage: &Outage) -> bool {
        if !outage.is_credential_check_due() {
            return false;
        }
        self.change(|state| state.outage = Some(Arc::new(outage.with_credentials_checked_now())));
        self.source.has_new_credentials()
    }

    fn publish(&self, document: Document, requested_at: Instant, time_limit: Duration) -> Arc<LoadedDocument> {
        self.log_load(&document, requested_at.elapsed());
        let before = self.state();
        let outage = document.incomplete().map(|error| {
            Arc::new(Outage::after(before.outage.as_deref(), error.clone(), time_limit, None, self.times.max_backoff))
        });
        let loaded = Arc::new(LoadedDocument::new(document, requested_at, &self.times, before.document.as_deref()));
        let load_time = requested_at.elapsed();
        self.change(|state| {
            if outage.is_none() {
                state.load_time = load_time;
            }
            state.outage = outage;
            if state.may_cache(requested_at) {
                state.document = Some(loaded.clone());
            }
        });
        loaded
    }

    fn log_load(&self, document: &Document, time: Duration) {
        let (name, place) = (self.source.id().name(), self.source.place());
        if let Some(error) = document.incomplete() {
            log::emit(Level::Warn, "secrets", || format!("{name}: {place}: a part could not be read: {error}"));
        }
        log::emit(Level::Info, "secrets", || {
            let keys = counted(document.len(), "key", "keys");
            let what = match (&document.missing, &document.version) {
                (Some(reason), _) => reason.clone(),
                (None, Some(version)) => format!("{keys}, version {version}"),
                (None, None) => keys,
            };
            format!("{name}: {place}: {what}, in {:.0} ms", time.as_secs_f64() * 1e3)
        });
    }

    /// The same error without the values of the cached document.
    fn redacted(&self, error: Error) -> Error {
        match self.state().document {
            Some(loaded) => error.map_message(|message| self.source.redact(message.to_owned(), &loaded.document)),
            None => error,
        }
    }

    /// Records the failure of a load, and returns it for the caller. That of a probe which timed out is the failure of
    /// the load before, which had the time that the message names.
    fn note_failure(&self, error: Error, requested_at: Instant, request: &LoadRequest) -> Error {
        let State { document, outage, .. } = self.state();
        let (taken, time_limit) = (Some(requested_at.elapsed()), request.remaining);
        let is_probe = !request.forced && error.status() == Status::Timeout;
        let hung = outage.as_ref().filter(|outage| is_probe && outage.is_hung(time_limit));
        let error = hung.map_or(error, |outage| outage.cause().clone());
        let outage = Outage::after(outage.as_deref(), error.clone(), time_limit, taken, self.times.max_backoff);
        let drop_document = error.is_authoritative();
        if !drop_document && document.is_some_and(|loaded| loaded.is_usable()) {
            let name = self.source.id().name();
            log::emit(Level::Warn, "secrets", || format!("{name} failed; its last document is still used: {error}"));
        }
        self.change(|state| {
            state.outage = Some(Arc::new(outage));
            if drop_document {
                state.document = None;
            }
        });
        error
    }

    /// Changes the state. Values of the earlier document are dropped after the lock is released.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let _guard = fork::protect();
        let mut state = self.state.lock();
        let before = state.clone();
        change(&mut state);
        if let Some(old) = before.document.as_ref()
            && !state.document.as_ref().is_some_and(|new| Arc::ptr_eq(new, old))
        {
            old.supersede();
        }
        let current = self.current.replace(state.document.clone().filter(|_| state.outage.is_none()));
        drop(state);
        drop((before, current));
    }

    /// Runs the source's upkeep after a load that this call made. No other call waits for it.
    fn run_upkeep(&self, wanted: bool, deadline: Deadline) {
        if !wanted || deadline.has_passed() {
            return;
        }
        let work = || {
            self.source.upkeep(deadline);
            wipe_stack_below::<STACK>();
            Ok(())
        };
        if let Some(Err(error)) = self.upkeeps.try_run(b"", deadline, work) {
            log::emit(Level::Warn, "secrets", || format!("{}: upkeep failed: {error}", self.source.id().name()));
        }
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

    /// Returns a document whose load began after this call.
    fn refreshed(&self, request: &Request) -> Result<Arc<LoadedDocument>> {
        let (since, deadline) = (Instant::now(), request.deadline());
        let accepts = |loaded: &Arc<LoadedDocument>| loaded.requested_at >= since;
        self.load(&LoadRequest { deadline, remaining: deadline.remaining(), forced: true, accepts: &accepts })
    }
}

impl<S: DocumentSource> SecretProvider for DocumentProvider<S> {
    fn id(&self) -> &ProviderId {
        self.source.id()
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn find(&self, key: &str, request: &Request) -> Result<Option<Secret>> {
        if request.refresh {
            return self.answer(key, self.refreshed(request), true);
        }
        let state = self.state();
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

    fn peek(&self, key: &str, reading: &ReadGuard, now: CoarseInstant, take: &mut dyn FnMut(Peeked<'_>)) -> Known {
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
        self.state().cached(key)?.ok()
    }

    fn place(&self, _: &str) -> String {
        let missing = self.state().document.and_then(|loaded| loaded.document.missing.clone());
        match missing {
            Some(reason) => format!("{}: {reason}", self.source.place()),
            None => format!("not in {}", self.source.place()),
        }
    }

    fn refresh(&self, request: &Request) -> Result<()> {
        match self.refreshed(request)?.document.incomplete() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn clear_cache(&self) {
        self.change(|state| {
            state.document = None;
            state.cleared_at = Some(Instant::now());
        });
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
            fields.insert("stale".to_owned(), json!(!loaded.is_fresh() && outage.is_some()));
        }
        if let Some(outage) = outage {
            fields.insert("failing".to_owned(), json!(outage.message()));
            fields.insert("retry_in".to_owned(), json!(outage.backoff().as_secs_f64()));
        }
        fields
    }

    fn names(&self, request: &Request) -> Option<Names> {
        let names_of = |loaded: &LoadedDocument, error: Option<Error>| {
            let names = loaded.document.names().map(str::to_owned).collect();
            Names { names, error: error.or_else(|| loaded.document.incomplete().cloned()) }
        };
        let is_fresh = |loaded: &Arc<LoadedDocument>| loaded.is_fresh();
        if let Some(loaded) = self.state().document.filter(is_fresh) {
            return Some(names_of(&loaded, None));
        }
        let remaining = request.deadline().remaining();
        let deadline = request.deadline().min(Deadline::after(self.state().time_for_load(remaining)));
        let load = LoadRequest { deadline, remaining, forced: false, accepts: &is_fresh };
        Some(match self.load(&load) {
            Ok(loaded) => names_of(&loaded, None),
            Err(error) => match self.state().document.filter(|loaded| loaded.is_usable()) {
                Some(loaded) => names_of(&loaded, Some(error)),
                None => Names { names: Vec::new(), error: Some(error) },
            },
        })
    }

    fn check(&self, request: &Request) -> Health {
        let mut health = self.source.check(request.deadline());
        wipe_stack_below::<STACK>();
        let state = self.state();
        if let Some(loaded) = &state.document {
            health.detail = self.source.redact(health.detail, &loaded.document);
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
