//! A provider that the program itself provides.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use serde_json::{Map, Value};

use super::memory::{CAPACITY, CLEANUP, Times};
use super::provider::{Finding, Found, Held, Origin, Provider, Request, State};
use super::single_flight::{SingleFlight, caught};
use crate::cache::TtlCache;
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Source, Status};
use crate::fork;

/// Answers with the value of a key, or `None`, within the given time.
pub(crate) type Ask = Box<dyn Fn(&str, Duration) -> Result<Option<Found>> + Send + Sync>;

/// In the last fifth of the time of an answer, and for `max_stale` after it, one call asks again, and the others get the
/// answer that there is, without waiting. What the program gave a time of its own is not used past that time.
pub(crate) struct CustomProvider {
    name: String,
    ask: Ask,
    /// Its answers, also that it has none.
    answers: TtlCache<Option<Held>>,
    /// However many callers want one, it is asked once; with the time at which it was.
    asks: SingleFlight<(Instant, Option<Held>)>,
    /// How often all answers were forgotten.
    forgotten: AtomicU64,
    times: Times,
}

impl CustomProvider {
    pub(super) fn new(name: &str, ask: Ask, times: Times) -> Result<CustomProvider> {
        let answers = TtlCache::new(times.cache_ttl, CAPACITY, CLEANUP)?;
        let asks = SingleFlight::new()?;
        Ok(CustomProvider { name: name.to_owned(), ask, answers, asks, forgotten: AtomicU64::new(0), times })
    }

    /// Asks, and remembers the answer. No other call asks for this key now.
    fn ask(&self, key: &str, deadline: Deadline) -> Result<(Instant, Option<Held>)> {
        let remaining = deadline.remaining();
        if remaining.is_zero() {
            return Err(Error::new(Status::Timeout, "no time was left to ask it").with_retryable(true));
        }
        let (asked, forgotten) = (Instant::now(), self.forgotten.load(SeqCst));
        let answer = fork::unprotected(|| caught("its callback panicked", || (self.ask)(key, remaining)));
        let found = answer.map_err(|error| match error.status() {
            Status::AccessDenied | Status::NotFound => {
                self.supersede(key);
                self.answers.delete(key.as_bytes());
                error.authoritative()
            }
            _ => error,
        })?;
        let own_ttl = found.as_ref().and_then(|found| found.ttl);
        let held = found.map(|Found { value, version, ttl }| {
            let ttl = ttl.unwrap_or(self.times.cache_ttl);
            let (version, soft) = (version.map(Arc::from), Some(ttl - ttl / 5));
            let origin = Origin { version, soft, superseded: Some(Arc::default()), ..Origin::of(asked, ttl) };
            Held { origin: Some(Arc::new(origin)), ..Held::now(value) }
        });
        self.supersede(key);
        self.remember(key, held.clone(), own_ttl)?;
        if self.forgotten.load(SeqCst) != forgotten {
            // The answer may be older than that.
            self.answers.delete(key.as_bytes());
        }
        Ok((asked, held))
    }

    /// Callers that got the last answer while it was asked again must not remember it any more.
    fn supersede(&self, key: &str) {
        let last = self.answers.get(key.as_bytes()).flatten().and_then(|held| held.origin);
        if let Some(superseded) = last.as_ref().and_then(|origin| origin.superseded.as_ref()) {
            superseded.store(true, Relaxed);
        }
    }

    fn remember(&self, key: &str, held: Option<Held>, own_ttl: Option<Duration>) -> Result<()> {
        let soft = held.as_ref().and_then(|held| held.origin.as_ref()?.soft);
        let ttl = match (&held, own_ttl) {
            (None, _) => self.times.miss_ttl,
            (Some(_), Some(ttl)) => ttl,
            // Every call asks.
            (Some(_), None) if self.times.cache_ttl.is_zero() => Duration::ZERO,
            (Some(_), None) => self.times.cache_ttl.saturating_add(self.times.max_stale),
        };
        let held = held.map(|held| Held { cached: true, ..held });
        self.answers.set_soft(key.as_bytes(), held, Some(ttl), soft)
    }

    /// The last answer, flagged as stale if its time is over.
    fn remembered(&self, key: &str) -> Option<Option<Held>> {
        let answer = self.answers.get(key.as_bytes())?;
        Some(answer.map(|held| {
            let is_over = |origin: &Arc<Origin>| origin.asked.elapsed() >= origin.ttl;
            Held { stale: held.origin.as_ref().is_some_and(is_over), ..held }
        }))
    }
}

impl Provider for CustomProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn source(&self) -> Source {
        Source::Custom
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn find(&self, key: &str, request: &Request) -> Result<Option<Held>> {
        let entry = key.as_bytes();
        let mut known = None;
        if !request.refresh {
            if let Some(answer) = self.answers.get_fresh(entry) {
                return Ok(answer);
            }
            known = self.remembered(key);
        }
        let (since, deadline) = (Instant::now(), request.deadline());
        let work = || match self.answers.get_fresh(entry).filter(|_| !request.refresh) {
            // Another call asked before this one got its turn.
            Some(answer) => Ok((since, answer)),
            None => self.ask(key, deadline),
        };
        let Some(known) = known else {
            let is_new = |(asked, _): &(Instant, _)| !request.refresh || *asked >= since;
            return self.asks.run(entry, deadline, is_new, work).map(|(_, answer)| answer);
        };
        match self.asks.try_run(entry, deadline, work) {
            None => Ok(known),
            Some(Ok((_, answer))) => Ok(answer),
            // Its time is not over.
            Some(Err(error)) if !error.is_authoritative() && known.as_ref().is_some_and(|held| !held.stale) => {
                Ok(known)
            }
            Some(Err(error)) => Err(error),
        }
    }

    fn at_hand(&self, key: &str) -> Option<Option<Held>> {
        self.remembered(key)
    }

    fn refresh(&self, _: &Request) -> Result<()> {
        self.forget();
        Ok(())
    }

    fn forget(&self) {
        // First, so that an answer under way is not kept.
        self.forgotten.fetch_add(1, SeqCst);
        self.answers.clear();
    }

    fn place(&self, _: &str) -> String {
        "asked, has none".to_owned()
    }

    fn describe(&self) -> Map<String, Value> {
        Map::new()
    }

    fn check(&self, _: &Request) -> Finding {
        Finding::new(State::Ok, "a provider of this program")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::secret_memory::SecretBytes;

    const LONG: Duration = Duration::from_secs(60);

    /// A provider that fails in this way and has an answer that is due to be asked for again.
    fn failing(status: Status) -> CustomProvider {
        let ask: Ask = Box::new(move |_, _| Err(Error::new(status, "it fails")));
        let provider = CustomProvider::new("mine", ask, Times::of(&Config::new())).unwrap();
        let origin = Origin { superseded: Some(Arc::default()), ..Origin::of(Instant::now(), LONG) };
        let held = Held { origin: Some(Arc::new(origin)), ..Held::now(SecretBytes::copy_from(b"old").unwrap()) };
        provider.answers.set_soft(b"A", Some(held), Some(LONG), Some(Duration::ZERO)).unwrap();
        provider
    }

    #[test]
    fn a_failure_before_the_time_of_an_answer_is_over_changes_nothing() {
        let provider = failing(Status::Unavailable);
        let held = provider.find("A", &Request::new(LONG, false)).unwrap().unwrap();
        assert!(&*held.value == b"old" && !held.stale);
        assert!(provider.at_hand("A").is_some());
        assert!(!held.origin.unwrap().is_superseded());
    }

    #[test]
    fn a_denial_ends_the_use_of_an_answer() {
        let provider = failing(Status::AccessDenied);
        let held = provider.at_hand("A").unwrap().unwrap();
        let error = provider.find("A", &Request::new(LONG, false)).err().unwrap();
        assert_eq!(error.status(), Status::AccessDenied);
        assert!(provider.at_hand("A").is_none());
        assert!(held.origin.unwrap().is_superseded(), "a caller that got it meanwhile must not remember it");
    }

    #[test]
    fn a_new_answer_ends_the_use_of_the_one_before() {
        for has_value in [true, false] {
            let value = move || has_value.then(|| Found::new(SecretBytes::copy_from(b"new").unwrap()));
            let provider = CustomProvider { ask: Box::new(move |_, _| Ok(value())), ..failing(Status::Unavailable) };
            let old = provider.at_hand("A").unwrap().unwrap();
            let new = provider.find("A", &Request::new(LONG, false)).unwrap();
            assert_eq!(new.is_some(), has_value);
            assert!(new.is_none_or(|held| !held.origin.unwrap().is_superseded()));
            assert!(old.origin.unwrap().is_superseded());
        }
    }
}
