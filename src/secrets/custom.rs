//! A provider of the program's own: a callback.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::{Map, Value};

use super::document_provider::outage::Outage;
use super::lookup_cache::{CAPACITY, CLEANUP_INTERVAL, CacheTimes};
use super::provider::{Health, HealthState, LookupLimits, SecretProvider};
use super::secret::{ProviderId, Secret, SecretInfo};
use super::single_flight::{SingleFlight, catch_panic};
use super::stats::LoadCounts;
use crate::cache::TtlCache;
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Source, Status};
use crate::fork;
use crate::fork_safe::Mutex;
use crate::jitter;

/// A query that takes this long, or all of its time, and then times out has hung. One that fails sooner causes no
/// delay.
const HANG: Duration = Duration::from_secs(1);

/// Returns the value of a key, or `None`, within the given time.
pub(crate) type CustomCallback = Box<dyn Fn(&str, Duration) -> Result<Option<Secret>> + Send + Sync>;

/// From a random point between 0.7 and 0.95 of an answer's TTL, and for `max_stale` after it, one call queries the
/// callback again while the others get the cached answer without waiting. An answer to which the program gave a TTL is
/// never used after that TTL.
///
/// After a query that hung, the callback is not called for a while, and then by one call at a time with little time,
/// until it answers; see [`Outage`].
pub(crate) struct CustomProvider {
    id: ProviderId,
    callback: CustomCallback,
    answers: TtlCache<CustomAnswer>,
    /// One query per key at a time, however many callers want it.
    queries: SingleFlight<CustomAnswer>,
    /// The query of a callback that timed out before.
    probes: SingleFlight<CustomAnswer>,
    /// The last query, if it timed out.
    outage: Mutex<Option<Arc<Outage>>>,
    /// How often the cached answers were dropped.
    generation: AtomicU64,
    times: CacheTimes,
    counts: LoadCounts,
}

/// An answer of the callback.
#[derive(Clone)]
struct CustomAnswer {
    requested_at: Instant,
    /// How often the cached answers had been dropped when the query began.
    generation: u64,
    /// `None` if it has no value.
    secret: Option<Secret>,
}

impl CustomProvider {
    pub(super) fn new(name: &str, callback: CustomCallback, times: CacheTimes) -> Result<CustomProvider> {
        let answers = TtlCache::new(times.cache_ttl, CAPACITY, CLEANUP_INTERVAL)?;
        let (queries, probes) = (SingleFlight::new()?, SingleFlight::new()?);
        Ok(CustomProvider {
            id: ProviderId::named(name, Source::Custom),
            callback,
            answers,
            queries,
            probes,
            outage: Mutex::default(),
            generation: AtomicU64::new(0),
            times,
            counts: LoadCounts::default(),
        })
    }

    /// Queries the callback, except during its back-off. No other call queries it for this key now.
    fn query(&self, key: &str, deadline: Deadline, is_refresh: bool) -> Result<CustomAnswer> {
        let remaining = deadline.remaining();
        if remaining.is_zero() {
            return Err(Error::new(Status::Timeout, "no time was left to query it").with_retryable(true));
        }
        let Some(outage) = self.outage_for(remaining, is_refresh) else {
            return self.query_now(key, remaining, remaining);
        };
        if outage.is_backing_off(remaining) {
            return Err(outage.error());
        }
        let time = outage.time_for_load(remaining, Duration::ZERO);
        let probed = self.probes.try_run(b"", deadline, || self.query_now(key, time, remaining));
        probed.unwrap_or_else(|| Err(outage.error()))
    }

    /// Queries the callback, which has the time `time`, and caches its answer. The call has the time `remaining`.
    fn query_now(&self, key: &str, time: Duration, remaining: Duration) -> Result<CustomAnswer> {
        let (requested_at, generation) = (Instant::now(), self.generation.load(SeqCst));
        let answer = fork::unprotected(|| catch_panic("its callback panicked", || (self.callback)(key, time)));
        let taken = requested_at.elapsed();
        self.counts.add(taken, answer.is_err());
        let hung = |error: &&Error| error.status() == Status::Timeout && taken >= time.min(HANG);
        self.note_outage(answer.as_ref().err().filter(hung), taken, remaining);
        let answer = answer.map_err(|error| match error.status() {
            Status::AccessDenied | Status::NotFound => {
                self.supersede(key);
                self.answers.delete(key.as_bytes());
                error.authoritative()
            }
            _ => error,
        })?;
        // A secret that another manager returned is valid for the rest of its time only.
        let own_ttl = answer.as_ref().and_then(|secret| match &secret.provider {
            Some(_) if secret.stale => Some(Duration::ZERO),
            Some(_) => secret.info.is_some().then(|| secret.expires_in()),
            None => secret.info.as_ref()?.ttl,
        });
        let secret = answer.map(|secret| {
            let ttl = own_ttl.unwrap_or(self.times.cache_ttl);
            let info = SecretInfo {
                version: secret.info.and_then(|info| info.version.clone()),
                requested_at,
                ttl: Some(ttl),
                refresh_after: Some(jitter::refresh_age(ttl)),
                superseded: Some(Arc::default()),
                is_leased: false,
            };
            let Secret { stale, degraded, .. } = secret;
            Secret { info: Some(Arc::new(info)), stale, degraded, ..Secret::new(secret.value) }
        });
        self.supersede(key);
        let answer = CustomAnswer { requested_at, generation, secret };
        self.insert(key, answer.clone(), own_ttl)?;
        if self.generation.load(SeqCst) != generation {
            // It is not used, so it is not kept either.
            self.answers.delete(key.as_bytes());
        }
        Ok(answer)
    }

    /// The outage that applies to a call with this much time left.
    fn outage_for(&self, remaining: Duration, is_refresh: bool) -> Option<Arc<Outage>> {
        self.outage.lock().clone().filter(|outage| !is_refresh && outage.applies_to(remaining))
    }

    /// Returns the answer of `query`, or that of a query under way if it `is_new`. If this call
    /// waits for another one's callback until its own time is over, the callback counts as hanging.
    fn query_or_wait(
        &self,
        key: &str,
        request: &LookupLimits,
        is_new: impl Fn(&CustomAnswer) -> bool,
        query: impl FnOnce() -> Result<CustomAnswer>,
    ) -> Result<CustomAnswer> {
        let (began, deadline) = (Instant::now(), request.deadline());
        let remaining = deadline.remaining();
        let until = match self.outage_for(remaining, request.refresh) {
            Some(outage) if outage.is_backing_off(remaining) => return Err(outage.error()),
            Some(outage) => deadline.min(Deadline::after(outage.time_for_load(remaining, Duration::ZERO))),
            None => deadline,
        };
        let is_own = Cell::new(false);
        let answer = self.queries.run(key.as_bytes(), until, is_new, || {
            is_own.set(true);
            query()
        });
        answer.map_err(|error| {
            if error.status() != Status::Timeout || is_own.get() || !until.has_passed() {
                return error;
            }
            let message = "its callback has not returned from another call; it must return within its timeout";
            let (error, taken) = (Error::new(Status::Timeout, message).with_retryable(true), began.elapsed());
            if taken >= remaining.min(HANG) {
                self.note_outage(Some(&error), taken, remaining);
            }
            error
        })
    }

    fn note_outage(&self, timeout: Option<&Error>, taken: Duration, time_limit: Duration) {
        let before = self.outage.lock().clone();
        let outage = timeout.map(|error| {
            let max_backoff = self.times.max_backoff;
            Arc::new(Outage::after(before.as_deref(), error.clone(), time_limit, Some(taken), max_backoff))
        });
        *self.outage.lock() = outage;
    }

    /// Callers that got the last answer during this query must not cache it.
    fn supersede(&self, key: &str) {
        if let Some(info) = self.answers.get(key.as_bytes()).and_then(|answer| answer.secret?.info) {
            info.supersede();
        }
    }

    /// Whether no call has dropped the cached answers since the query of this one began.
    fn is_valid(&self, answer: &CustomAnswer) -> bool {
        answer.generation == self.generation.load(SeqCst)
    }

    /// The cached answer for `key`, unless its refresh is due.
    fn fresh(&self, key: &str) -> Option<CustomAnswer> {
        self.answers.get_fresh(key.as_bytes()).filter(|answer| self.is_valid(answer))
    }

    fn insert(&self, key: &str, answer: CustomAnswer, own_ttl: Option<Duration>) -> Result<()> {
        let refresh_after = answer.secret.as_ref().and_then(|secret| secret.info.as_ref()?.refresh_after);
        let ttl = match (&answer.secret, own_ttl) {
            (None, _) => self.times.miss_ttl,
            (Some(_), Some(ttl)) => ttl,
            // Every call queries the callback.
            (Some(_), None) if self.times.cache_ttl.is_zero() => Duration::ZERO,
            (Some(_), None) => self.times.cache_ttl.saturating_add(self.times.max_stale),
        };
        let secret = answer.secret.map(|secret| Secret { cached: true, ..secret });
        self.answers.set_soft(key.as_bytes(), CustomAnswer { secret, ..answer }, Some(ttl), refresh_after)
    }
}

impl SecretProvider for CustomProvider {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn find(&self, key: &str, request: &LookupLimits) -> Result<Option<Secret>> {
        let entry = key.as_bytes();
        let mut cached = None;
        if !request.refresh {
            if let Some(answer) = self.fresh(key) {
                return Ok(answer.secret);
            }
            cached = self.cached(key);
        }
        let (since, generation, deadline) = (Instant::now(), self.generation.load(SeqCst), request.deadline());
        let work = || match self.fresh(key).filter(|_| !request.refresh) {
            // Another call queried it before this call's turn.
            Some(answer) => Ok(answer),
            None => self.query(key, deadline, request.refresh),
        };
        let Some(cached) = cached else {
            // Rejects the answer of a query that began before the cache was cleared, if this call began after that.
            let is_new = |answer: &CustomAnswer| {
                answer.generation >= generation && (!request.refresh || answer.requested_at >= since)
            };
            return self.query_or_wait(key, request, is_new, work).map(|answer| answer.secret);
        };
        match self.queries.try_run(entry, deadline, work) {
            None => Ok(cached),
            Some(Ok(answer)) => Ok(answer.secret),
            // The cached answer has not expired.
            Some(Err(error)) if !error.is_authoritative() && cached.as_ref().is_some_and(|secret| !secret.stale) => {
                Ok(cached)
            }
            Some(Err(error)) => Err(error),
        }
    }

    /// An expired answer is flagged as stale.
    fn cached(&self, key: &str) -> Option<Option<Secret>> {
        let answer = self.answers.get(key.as_bytes()).filter(|answer| self.is_valid(answer))?;
        Some(answer.secret.map(|secret| {
            let stale = secret.info.as_ref().is_some_and(|info| info.is_expired());
            Secret { stale, ..secret }
        }))
    }

    fn absence(&self, key: &str) -> Duration {
        let absent = self.fresh(key).filter(|answer| answer.secret.is_none());
        absent.map_or(Duration::ZERO, |answer| self.times.miss_ttl.saturating_sub(answer.requested_at.elapsed()))
    }

    fn refresh(&self, _: &LookupLimits) -> Result<()> {
        *self.outage.lock() = None;
        self.clear_cache();
        Ok(())
    }

    fn clear_cache(&self) {
        // First, so that the answer of a query under way is invalid even if it is inserted later.
        self.generation.fetch_add(1, SeqCst);
        self.answers.clear();
    }

    fn place(&self, _: &str) -> String {
        "has no value".to_owned()
    }

    fn loads(&self) -> Option<&LoadCounts> {
        Some(&self.counts)
    }

    fn describe(&self) -> Map<String, Value> {
        Map::new()
    }

    fn check(&self, _: &LookupLimits) -> Health {
        Health::new(HealthState::Ok, "a provider of this program")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::secret_memory::SecretBytes;

    const LONG: Duration = Duration::from_secs(60);

    /// A provider that fails in this way and has a cached answer that is due for a refresh.
    fn failing(status: Status) -> CustomProvider {
        let callback: CustomCallback = Box::new(move |_, _| Err(Error::new(status, "it fails")));
        let provider = CustomProvider::new("mine", callback, CacheTimes::of(&Config::new())).unwrap();
        let info = SecretInfo { superseded: Some(Arc::default()), ..SecretInfo::new(Instant::now(), Some(LONG)) };
        let value = SecretBytes::copy_from(b"old").unwrap();
        let secret = Some(Secret { info: Some(Arc::new(info)), ..Secret::new(value) });
        let answer = CustomAnswer { requested_at: Instant::now(), generation: 0, secret };
        provider.answers.set_soft(b"A", answer, Some(LONG), Some(Duration::ZERO)).unwrap();
        provider
    }

    #[test]
    fn failure_before_an_answer_expires_changes_nothing() {
        let provider = failing(Status::Unavailable);
        let secret = provider.find("A", &LookupLimits::new(LONG, false)).unwrap().unwrap();
        assert!(&*secret.value == b"old" && !secret.stale);
        assert!(provider.cached("A").is_some());
        assert!(!secret.info.unwrap().is_superseded());
    }

    #[test]
    fn callback_that_timed_out_is_probed_by_one_call_at_a_time_until_it_answers() {
        let (times, answers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(false)));
        let (called_with, works) = (times.clone(), answers.clone());
        let callback: CustomCallback = Box::new(move |_, time| {
            called_with.lock().push(time);
            if *works.lock() {
                return Ok(None);
            }
            std::thread::sleep(time.min(HANG));
            Err(Error::new(Status::Timeout, "it hangs"))
        });
        let provider = CustomProvider::new("mine", callback, CacheTimes::of(&Config::new())).unwrap();
        let find = |key: &str, refresh| provider.find(key, &LookupLimits::new(LONG, refresh)).map(drop);
        let called = || std::mem::take(&mut *times.lock());
        let set_backoff = |backoff| {
            let mut outage = provider.outage.lock();
            *outage = outage.take().map(|outage| Arc::new(outage.with(backoff, LONG)));
        };
        assert_eq!(find("A", false).unwrap_err().message(), "it hangs");
        assert!(called()[0] > LONG / 2);
        set_backoff(LONG);
        for key in ["A", "B"] {
            let error = find(key, false).unwrap_err();
            assert!(error.message().starts_with("it hangs (next attempt in "), "{error}");
        }
        assert!(called().is_empty());
        assert!(find("A", true).is_err());
        assert!(called()[0] > LONG / 2, "a refresh");
        set_backoff(LONG);
        provider.refresh(&LookupLimits::new(LONG, true)).unwrap();
        assert!(find("A", false).is_err());
        assert!(called()[0] > LONG / 2, "after a refresh of all keys");
        for key in ["A", "B"] {
            set_backoff(Duration::ZERO);
            assert!(find(key, false).is_err());
            assert!(called()[0] <= Duration::from_secs(1), "a probe");
        }
        set_backoff(Duration::ZERO);
        *answers.lock() = true;
        assert_eq!([find("A", false), find("B", false)].map(|found| found.is_ok()), [true; 2]);
        let limits = called();
        assert!(limits[0] <= Duration::from_secs(1) && limits[1] > LONG / 2, "{limits:?}");
    }

    #[test]
    fn denial_drops_the_cached_answer() {
        let provider = failing(Status::AccessDenied);
        let secret = provider.cached("A").unwrap().unwrap();
        let error = provider.find("A", &LookupLimits::new(LONG, false)).err().unwrap();
        assert_eq!(error.status(), Status::AccessDenied);
        assert!(provider.cached("A").is_none());
        assert!(secret.info.unwrap().is_superseded(), "a caller that got it meanwhile must not cache it");
    }

    #[test]
    fn new_answer_supersedes_the_one_before() {
        for has_value in [true, false] {
            let value = move || has_value.then(|| Secret::new(SecretBytes::copy_from(b"new").unwrap()));
            let provider =
                CustomProvider { callback: Box::new(move |_, _| Ok(value())), ..failing(Status::Unavailable) };
            let old = provider.cached("A").unwrap().unwrap();
            let new = provider.find("A", &LookupLimits::new(LONG, false)).unwrap();
            assert_eq!(new.is_some(), has_value);
            assert!(new.is_none_or(|secret| !secret.info.unwrap().is_superseded()));
            assert!(old.info.unwrap().is_superseded());
        }
    }
}
