//! A provider over a [`DocumentSource`]: remembers its document, loads it once for all who need it, lets a failing source
//! rest, and serves an earlier document over an outage.
//!
//! A document counts for `cache_ttl`: its values, and that it lacks all other keys. That there is no document counts for
//! `miss_ttl`. From the last fifth of that time on one call loads it again, and the others get what is in memory without
//! waiting: values past their time for `max_stale`, flagged as stale. Only a key that memory says nothing about waits.
//!
//! A source that fails rests for 1 s, then 2 s, 4 s, … up to `max_backoff`, unless a refresh is asked for or it has new
//! credentials; see [`Failing`]. From the first failure on, until a load succeeds, at most one call at a time waits for
//! the source. A failure that is the source's own decision ends the use of its document at once; so does nothing else.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::document::{Document, DocumentSource};
use super::memory::Times;
use super::names::Names;
use super::peek::{Known, Peeked};
use super::provider::{Finding, Held, Provider, Request, State as Health};
use super::single_flight::SingleFlight;
use crate::bytes::wipe_stack_below;
use crate::clock::{Deadline, Instant, Tick};
use crate::error::{Error, Result, Source, Status};
use crate::fork::{self, Reading};
use crate::log::{self, Level};
use crate::sys::Published;
use failing::Failing;
use loaded::Loaded;

mod failing;
mod loaded;

/// How much of the stack a source may use for what it logs in with.
const STACK: usize = 16 << 10;

pub(super) struct DocumentProvider<S> {
    source: S,
    times: Times,
    loads: SingleFlight<Arc<Loaded>>,
    upkeeps: SingleFlight<()>,
    state: Mutex<State>,
    /// The document, while its source does not fail.
    current: Published<Loaded>,
}

#[derive(Clone, Default)]
struct State {
    document: Option<Arc<Loaded>>,
    failing: Option<Arc<Failing>>,
    /// When all was forgotten last. What was asked for before does not count for later calls.
    forgotten: Option<Instant>,
}

impl State {
    /// Whether what was asked for then may be remembered.
    fn counts(&self, asked: Instant) -> bool {
        self.forgotten.is_none_or(|forgotten| asked >= forgotten)
    }

    /// What memory says about `key`; `None` is nothing, so that the source has to be asked.
    fn remembered(&self, key: &str) -> Option<Result<Option<Held>>> {
        let loaded = self.document.as_ref()?;
        if loaded.is_fresh() {
            return Some(loaded.look_up(key, true));
        }
        // With a `cache_ttl` of 0 every call asks, as long as the source answers.
        let serves = loaded.is_usable() && (!loaded.ttl.is_zero() || self.failing.is_some());
        // A document past its time says nothing about keys that it lacks.
        let held = loaded.look_up(key, true).ok().flatten().filter(|_| serves)?;
        Some(Ok(Some(held)))
    }

    /// The failure of the source, for a call about whose key memory says nothing; `None` if it does not bind this call.
    fn known_failure(&self, request: &Request) -> Option<Result<Option<Held>>> {
        let failing = self.failing.as_ref().filter(|failing| failing.binds(request.deadline().remaining()))?;
        Some(Err(failing.error()))
    }

    /// Whether this call is to ask the source again for `key`, if no other call does.
    fn is_due(&self, key: &str, request: &Request, times: &Times) -> bool {
        let wanted = self.document.as_ref().is_none_or(|loaded| {
            let age = loaded.asked.elapsed();
            age >= loaded.soft() || (loaded.lacks(key) && (self.failing.is_some() || age >= times.miss_ttl))
        });
        let may_ask = |failing: &Arc<Failing>| !failing.rests(request.deadline().remaining()) || failing.is_look_due();
        wanted && self.failing.as_ref().is_none_or(may_ask)
    }
}

/// One wish for a newer document.
struct Wish<'a> {
    deadline: Deadline,
    /// How much time the whole call has left.
    remaining: Duration,
    /// Ask the source even if it rests.
    now: bool,
    /// Whether this document is new enough.
    accepts: &'a dyn Fn(&Arc<Loaded>) -> bool,
}

impl<S: DocumentSource> DocumentProvider<S> {
    pub(super) fn new(source: S, times: Times) -> Result<DocumentProvider<S>> {
        let (loads, upkeeps) = (SingleFlight::new()?, SingleFlight::new()?);
        let (state, current) = (Mutex::default(), Published::empty());
        Ok(DocumentProvider { source, times, loads, upkeeps, state, current })
    }

    fn state(&self) -> State {
        let _inside = fork::enter();
        self.state.lock().clone()
    }

    /// A new document, waiting for the call that loads one already.
    fn load(&self, wish: &Wish) -> Result<Arc<Loaded>> {
        let mut own = false;
        let work = || self.load_unless_done(wish, &mut own);
        let result = self.loads.run(b"", wish.deadline, wish.accepts, work);
        self.keep_up(own && result.is_ok(), wish.deadline);
        result
    }

    /// A new document; `None` if another call loads one.
    fn try_load(&self, wish: &Wish) -> Option<Result<Arc<Loaded>>> {
        let mut own = false;
        let work = || self.load_unless_done(wish, &mut own);
        let result = self.loads.try_run(b"", wish.deadline, work)?;
        self.keep_up(own && result.is_ok(), wish.deadline);
        Some(result)
    }

    /// Another call may have loaded one before this call got its turn.
    fn load_unless_done(&self, wish: &Wish, own: &mut bool) -> Result<Arc<Loaded>> {
        match self.state().document.filter(wish.accepts) {
            Some(loaded) => Ok(loaded),
            None => {
                *own = true;
                self.load_now(wish)
            }
        }
    }

    /// Asks the source, unless it rests. No other call does so now.
    fn load_now(&self, wish: &Wish) -> Result<Arc<Loaded>> {
        let _inside = fork::enter();
        match self.state().failing.filter(|failing| failing.rests(wish.remaining)) {
            _ if wish.now => self.source.before_refresh(),
            Some(failing) if !self.has_new_credentials(&failing) => return Err(failing.error()),
            _ => {}
        }
        if wish.deadline.has_passed() {
            return Err(Error::new(Status::Timeout, "no time was left to ask it").with_retryable(true));
        }
        let asked = Instant::now();
        let result = self.source.load(wish.deadline);
        wipe_stack_below::<STACK>();
        match result {
            Ok(document) => Ok(self.publish(document, asked, wish.remaining)),
            Err(error) => {
                self.note_failure(&error, asked, wish.remaining);
                Err(error)
            }
        }
    }

    /// Asks a resting source whether it has new credentials, about once a second.
    fn has_new_credentials(&self, failing: &Failing) -> bool {
        if !failing.is_look_due() {
            return false;
        }
        self.change(|state| state.failing = Some(Arc::new(failing.looked_now())));
        self.source.has_new_credentials()
    }

    fn publish(&self, document: Document, asked: Instant, given: Duration) -> Arc<Loaded> {
        self.report(&document, asked.elapsed());
        let before = self.state();
        let failing = document.incomplete().map(|error| {
            // Only a part failed: the load did not take all of its time for nothing.
            let taken = Duration::ZERO;
            Arc::new(Failing::after(before.failing.as_deref(), error.clone(), given, taken, self.times.max_backoff))
        });
        let loaded = Arc::new(Loaded::new(document, asked, &self.times, before.document.as_deref()));
        self.change(|state| {
            state.failing = failing;
            if state.counts(asked) {
                state.document = Some(loaded.clone());
            }
        });
        loaded
    }

    fn report(&self, document: &Document, time: Duration) {
        let (name, place) = (self.source.name(), self.source.place());
        if let Some(error) = document.incomplete() {
            log::emit(Level::Warn, "secrets", || format!("{name}: {place}: a part could not be read: {error}"));
        }
        log::emit(Level::Info, "secrets", || {
            let what = match (&document.missing, &document.version) {
                (Some(reason), _) => reason.clone(),
                (None, Some(version)) => format!("{} keys, version {version}", document.len()),
                (None, None) => format!("{} keys", document.len()),
            };
            format!("{name}: {place}: {what}, in {:.0} ms", time.as_secs_f64() * 1e3)
        });
    }

    fn note_failure(&self, error: &Error, asked: Instant, given: Duration) {
        let State { document, failing, .. } = self.state();
        let taken = asked.elapsed();
        let failing = Failing::after(failing.as_deref(), error.clone(), given, taken, self.times.max_backoff);
        let ends = error.is_authoritative();
        if !ends && document.is_some_and(|loaded| loaded.is_usable()) {
            let name = self.source.name();
            log::emit(Level::Warn, "secrets", || format!("{name} failed, and its last document is used: {error}"));
        }
        self.change(|state| {
            state.failing = Some(Arc::new(failing));
            if ends {
                state.document = None;
            }
        });
    }

    /// Changes the state. Values of the document before are dropped outside of the lock.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let _inside = fork::enter();
        let mut state = self.state.lock();
        let before = state.clone();
        change(&mut state);
        if let Some(old) = before.document.as_ref()
            && !state.document.as_ref().is_some_and(|new| Arc::ptr_eq(new, old))
        {
            old.supersede();
        }
        let current = self.current.replace(state.document.clone().filter(|_| state.failing.is_none()));
        drop(state);
        drop((before, current));
    }

    /// After a load of this call's own; nothing waits for it.
    fn keep_up(&self, wanted: bool, deadline: Deadline) {
        if !wanted || deadline.has_passed() {
            return;
        }
        let work = || {
            self.source.upkeep(deadline);
            wipe_stack_below::<STACK>();
            Ok(())
        };
        if let Some(Err(error)) = self.upkeeps.try_run(b"", deadline, work) {
            log::emit(Level::Warn, "secrets", || format!("{}: upkeep failed: {error}", self.source.name()));
        }
    }

    /// What memory says after a load has failed.
    fn after_failure(&self, key: &str, error: Error, refresh: bool) -> Result<Option<Held>> {
        match self.state().remembered(key) {
            Some(Ok(Some(held))) => Ok(Some(Held { stale: held.stale || refresh, ..held })),
            Some(Ok(None)) if !refresh => Ok(None),
            _ => Err(error),
        }
    }

    /// The answer of a call that asked the source, alone or with others.
    fn answer(&self, key: &str, loaded: Result<Arc<Loaded>>, refresh: bool) -> Result<Option<Held>> {
        match loaded {
            Ok(loaded) => loaded.look_up(key, false),
            Err(error) => self.after_failure(key, error, refresh),
        }
    }

    /// A document whose load began after this call.
    fn refreshed(&self, request: &Request) -> Result<Arc<Loaded>> {
        let (since, deadline) = (Instant::now(), request.deadline());
        let accepts = |loaded: &Arc<Loaded>| loaded.asked >= since;
        self.load(&Wish { deadline, remaining: deadline.remaining(), now: true, accepts: &accepts })
    }
}

impl<S: DocumentSource> Provider for DocumentProvider<S> {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn source(&self) -> Source {
        self.source.source()
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn find(&self, key: &str, request: &Request) -> Result<Option<Held>> {
        if request.refresh {
            return self.answer(key, self.refreshed(request), true);
        }
        let state = self.state();
        let known = state.remembered(key).or_else(|| state.known_failure(request));
        if let Some(known) = known.as_ref().filter(|_| !state.is_due(key, request, &self.times)) {
            return known.clone();
        }
        let is_fresh = state.document.as_ref().is_some_and(|loaded| loaded.is_fresh());
        let wish = Wish {
            // While the document counts, half of the time is enough for a newer one.
            deadline: request.share(is_fresh).deadline(),
            remaining: request.deadline().remaining(),
            now: false,
            accepts: &|loaded| {
                state.counts(loaded.asked) && !state.document.as_ref().is_some_and(|old| Arc::ptr_eq(old, loaded))
            },
        };
        match known {
            Some(known) => self.try_load(&wish).map_or(known, |loaded| self.answer(key, loaded, false)),
            None => self.answer(key, self.load(&wish), false),
        }
    }

    fn peek(&self, key: &str, reading: &Reading, now: Tick, take: &mut dyn FnMut(Peeked<'_>)) -> Known {
        let Some(loaded) = self.current.get(reading).filter(|loaded| loaded.is_young(now)) else {
            return Known::Unknown;
        };
        match loaded.document.peek(key) {
            Some(Some(entry)) => {
                take(Peeked::Remembered(&entry.0, &|| loaded.held(entry, false, true)));
                Known::Found
            }
            Some(None) => Known::Absent,
            None => Known::Unknown,
        }
    }

    fn at_hand(&self, key: &str) -> Option<Option<Held>> {
        self.state().remembered(key)?.ok()
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

    fn forget(&self) {
        self.change(|state| {
            state.document = None;
            state.forgotten = Some(Instant::now());
        });
    }

    fn describe(&self) -> Map<String, Value> {
        let mut fields = Map::from_iter([("configured".to_owned(), json!(true))]);
        fields.extend(self.source.describe());
        let State { document, failing, .. } = self.state();
        fields.insert("loaded".to_owned(), json!(document.is_some()));
        if let Some(loaded) = document {
            let age = loaded.asked.elapsed();
            fields.insert("entries".to_owned(), json!(loaded.document.len()));
            fields.insert("version".to_owned(), json!(loaded.document.version.as_deref()));
            fields.insert("missing".to_owned(), json!(loaded.document.missing));
            fields.insert("incomplete".to_owned(), json!(loaded.document.incomplete().map(Error::message)));
            fields.insert("age".to_owned(), json!(age.as_secs_f64()));
            fields.insert("expires_in".to_owned(), json!(loaded.ttl.saturating_sub(age).as_secs_f64()));
            fields.insert("stale".to_owned(), json!(!loaded.is_fresh() && failing.is_some()));
        }
        if let Some(failing) = failing {
            fields.insert("failing".to_owned(), json!(failing.message()));
            fields.insert("asked_again_in".to_owned(), json!(failing.rest().as_secs_f64()));
        }
        fields
    }

    fn names(&self, request: &Request) -> Option<Names> {
        let names_of = |loaded: &Loaded, error: Option<Error>| {
            let names = loaded.document.names().map(str::to_owned).collect();
            Names { names, error: error.or_else(|| loaded.document.incomplete().cloned()) }
        };
        let deadline = request.deadline();
        let is_fresh = |loaded: &Arc<Loaded>| !request.refresh && loaded.is_fresh();
        let before = self.state().document;
        if let Some(loaded) = before.as_ref().filter(|loaded| is_fresh(loaded)) {
            return Some(names_of(loaded, None));
        }
        let loaded = match request.refresh {
            true => self.refreshed(request),
            false => {
                let remaining = deadline.remaining();
                self.load(&Wish { deadline, remaining, now: false, accepts: &is_fresh })
            }
        };
        Some(match (loaded, self.state().document.filter(|loaded| loaded.is_usable())) {
            (Ok(loaded), _) => names_of(&loaded, None),
            (Err(error), Some(loaded)) => names_of(&loaded, Some(error)),
            (Err(error), None) => Names { names: Vec::new(), error: Some(error) },
        })
    }

    fn check(&self, request: &Request) -> Finding {
        let finding = self.source.check(request.deadline());
        wipe_stack_below::<STACK>();
        let state = self.state();
        match state.document.as_ref().and_then(|loaded| loaded.document.incomplete()) {
            Some(error) if finding.state == Health::Ok => {
                let detail = format!("{}; a part of the document in memory is missing: {error}", finding.detail);
                Finding { state: Health::Warning, detail, advice: finding.advice }
            }
            _ => finding,
        }
    }
}

#[cfg(test)]
mod tests;
