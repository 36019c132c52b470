//! A layer over a [`DocumentSource`]: remembers its document, loads it once for all who need it, lets a failing source
//! rest, and serves an earlier document over an outage.
//!
//! A document counts for `cache_ttl`. In the last fifth of that time the first caller loads it anew, and the others keep
//! what is there. That a document lacks a key counts for `miss_ttl`; then it is loaded again. A source that fails is left
//! alone for 1 s, then 2 s, 4 s, … up to `max_backoff`, unless a refresh is asked for. Over an outage the last document
//! serves for `max_stale` after its time; any other failure ends its use at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::document::{Document, DocumentSource};
use super::layer::{Finding, Held, Layer, Origin, Request};
use super::memory::Times;
use crate::cache::{Acquired, TtlCache};
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Source, Status};
use crate::fork;
use crate::log::{self, Level};

/// The first rest of a source that fails.
const BACKOFF: Duration = Duration::from_secs(1);

pub(super) struct DocumentLayer<S> {
    source: S,
    times: Times,
    /// Holds nothing; it lets one caller load for all.
    loads: TtlCache<Arc<Loaded>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    document: Option<Arc<Loaded>>,
    failing: Option<Failing>,
}

/// A document in memory.
struct Loaded {
    document: Document,
    /// Taken before its load began.
    asked: Instant,
    ttl: Duration,
    superseded: Arc<AtomicBool>,
}

/// A source that does not work.
#[derive(Clone)]
struct Failing {
    error: Error,
    times: u32,
    /// When it is asked again.
    until: Deadline,
}

impl Loaded {
    fn is_fresh(&self) -> bool {
        self.asked.elapsed() < self.ttl
    }

    /// From which age on it is loaded anew while it still counts.
    fn soft(&self) -> Duration {
        (self.ttl - self.ttl / 5).min(self.document.soft.unwrap_or(Duration::MAX))
    }

    fn held(&self, key: &str, stale: bool, cached: bool) -> Result<Option<Held>> {
        Ok(self.document.get(key)?.map(|(value, version)| Held {
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
        }))
    }
}

impl<S: DocumentSource> DocumentLayer<S> {
    pub(super) fn new(source: S, times: Times) -> Result<DocumentLayer<S>> {
        let loads = TtlCache::new(Duration::ZERO, 0, Duration::MAX)?;
        Ok(DocumentLayer { source, times, loads, state: Mutex::default() })
    }

    fn known(&self) -> Option<Arc<Loaded>> {
        let _inside = fork::enter();
        self.state.lock().document.clone()
    }

    /// The document in memory and what it says, if that counts; `None` if the source has to be asked.
    fn recall(&self, key: &str) -> Option<(Arc<Loaded>, Option<Held>)> {
        let known = self.known()?;
        let held = known.held(key, false, true).ok()?;
        let counts = known.is_fresh() && (held.is_some() || known.asked.elapsed() < self.times.miss_ttl);
        counts.then_some((known, held))
    }

    /// A document whose load began at `since` or later. However many callers want one, the source is asked once.
    fn load(&self, since: Instant, deadline: Deadline, now: bool) -> Result<Arc<Loaded>> {
        loop {
            let mut own = false;
            let loaded = self.loads.get_or_load(b"", deadline.wait(), |_| {
                own = true;
                self.load_now(deadline, now)
            });
            match loaded {
                // It was under way when we came.
                Ok(loaded) if loaded.asked < since && !own => {}
                Err(error) if !own && error.status() == Status::Timeout && !deadline.has_passed() => {}
                other => return other,
            }
        }
    }

    /// Loads it anew while it still counts, if nobody else does.
    fn load_early(&self, deadline: Deadline) -> Result<()> {
        if let Ok(Acquired::Lead(lease, _)) = self.loads.acquire_on_this_thread(b"", Duration::ZERO) {
            match self.load_now(deadline, false) {
                Ok(loaded) => lease.finish(loaded)?,
                Err(error) => lease.fail(error),
            }
        }
        Ok(())
    }

    /// Asks the source, unless it rests; `now` asks it in any case. The caller has the lease to load.
    fn load_now(&self, deadline: Deadline, now: bool) -> Result<Arc<Loaded>> {
        let _inside = fork::enter();
        if let Some(failing) = self.state.lock().failing.clone().filter(|failing| !now && !failing.until.has_passed()) {
            let wait = failing.until.remaining().as_secs_f64();
            let told = |message: &str| format!("{message} (it is asked again in {wait:.1} s; a refresh asks at once)");
            return Err(failing.error.map_message(told));
        }
        if now {
            self.source.before_refresh();
        }
        let (asked, given) = (Instant::now(), deadline.remaining());
        if given.is_zero() {
            return Err(Error::new(Status::Timeout, "no time was left to ask it").with_retryable(true));
        }
        match self.source.load(deadline) {
            Ok(document) => {
                let wished = document.ttl.unwrap_or(Duration::MAX).min(self.times.cache_ttl);
                let ttl = if document.missing.is_some() { self.times.miss_ttl } else { wished };
                self.report_success(&document, asked.elapsed());
                let loaded = Arc::new(Loaded { document, asked, ttl, superseded: Arc::default() });
                self.replace(Some(loaded.clone()), None);
                Ok(loaded)
            }
            Err(error) => {
                self.note_failure(&error, given);
                Err(error)
            }
        }
    }

    fn report_success(&self, document: &Document, time: Duration) {
        log::emit(Level::Info, "secrets", || {
            let what = match (&document.missing, &document.version) {
                (Some(reason), _) => reason.clone(),
                (None, Some(version)) => format!("{} keys, version {version}", document.len()),
                (None, None) => format!("{} keys", document.len()),
            };
            format!("{}: {}: {what}, in {:.0} ms", self.source.name(), self.source.place(), time.as_secs_f64() * 1e3)
        });
    }

    fn note_failure(&self, error: &Error, given: Duration) {
        let (known, mut failing) = {
            let state = self.state.lock();
            (state.document.clone(), state.failing.clone())
        };
        if error.status() != Status::Timeout || given >= self.times.fair {
            let times = failing.map_or(0, |failing| failing.times);
            let rest = BACKOFF.saturating_mul(1 << times.min(16)).min(self.times.max_backoff);
            failing = Some(Failing { error: error.clone(), times: times + 1, until: Deadline::after(rest) });
        }
        self.replace(known.filter(|_| is_outage(error)), failing);
    }

    /// Values of the document before are dropped outside of the lock.
    fn replace(&self, document: Option<Arc<Loaded>>, failing: Option<Failing>) {
        let _inside = fork::enter();
        let mut state = self.state.lock();
        let before = std::mem::replace(&mut *state, State { document, failing });
        if let Some(old) = before.document.as_ref()
            && !state.document.as_ref().is_some_and(|new| Arc::ptr_eq(new, old))
        {
            old.superseded.store(true, Relaxed);
        }
        drop(state);
        drop(before);
    }

    /// What the last document says over an outage.
    fn stale(&self, key: &str, error: Error) -> Result<Option<Held>> {
        let known = self.known().filter(|known| {
            is_outage(&error) && known.asked.elapsed() < known.ttl.saturating_add(self.times.max_stale)
        });
        match known.and_then(|known| known.held(key, !known.is_fresh(), true).ok().flatten()) {
            Some(held) => {
                log::emit(Level::Warn, "secrets", || {
                    format!("{key:?}: {} does not answer; its last document serves: {error}", self.source.name())
                });
                Ok(Some(held))
            }
            None => Err(error),
        }
    }
}

/// Whether an earlier answer may serve: the source itself did not decide against it.
fn is_outage(error: &Error) -> bool {
    !error.is_authoritative()
}

impl<S: DocumentSource> Layer for DocumentLayer<S> {
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
        let since = match request.refresh {
            true => Instant::now(),
            false => {
                if let Some((known, held)) = self.recall(key) {
                    if known.asked.elapsed() < known.soft() {
                        return Ok(held);
                    }
                    self.load_early(request.share(true).deadline())?;
                    // A denial has ended its use, and it may have grown too old meanwhile.
                    if let Some((_, held)) = self.recall(key) {
                        return Ok(held);
                    }
                }
                Instant::now().before(self.times.miss_ttl)
            }
        };
        match self.load(since, request.deadline(), request.refresh) {
            Ok(loaded) => loaded.held(key, false, false),
            Err(error) => self.stale(key, error),
        }
    }

    fn at_hand(&self, key: &str) -> Option<Option<Held>> {
        self.recall(key).map(|(_, held)| held)
    }

    fn place(&self, _: &str) -> String {
        let missing = self.known().and_then(|known| known.document.missing.clone());
        match missing {
            Some(reason) => format!("{}: {reason}", self.source.place()),
            None => format!("not in {}", self.source.place()),
        }
    }

    fn refresh(&self, request: &Request) -> Result<()> {
        self.load(Instant::now(), request.deadline(), true).map(drop)
    }

    fn forget(&self) {
        let failing = {
            let _inside = fork::enter();
            self.state.lock().failing.clone()
        };
        self.replace(None, failing);
    }

    fn describe(&self) -> Map<String, Value> {
        let mut fields = Map::from_iter([("configured".to_owned(), json!(true))]);
        fields.extend(self.source.describe());
        let (known, failing) = {
            let _inside = fork::enter();
            let state = self.state.lock();
            (state.document.clone(), state.failing.clone())
        };
        fields.insert("loaded".to_owned(), json!(known.is_some()));
        if let Some(known) = known {
            let age = known.asked.elapsed();
            fields.insert("entries".to_owned(), json!(known.document.len()));
            fields.insert("version".to_owned(), json!(known.document.version.as_deref()));
            fields.insert("missing".to_owned(), json!(known.document.missing));
            fields.insert("age".to_owned(), json!(age.as_secs_f64()));
            fields.insert("expires_in".to_owned(), json!(known.ttl.saturating_sub(age).as_secs_f64()));
            fields.insert("stale".to_owned(), json!(!known.is_fresh() && failing.is_some()));
        }
        if let Some(failing) = failing {
            fields.insert("failing".to_owned(), json!(failing.error.message()));
            fields.insert("asked_again_in".to_owned(), json!(failing.until.remaining().as_secs_f64()));
        }
        fields
    }

    fn check(&self, request: &Request) -> Finding {
        self.source.check(request.deadline())
    }
}

#[cfg(test)]
mod tests;
