//! Loading what is not in the cache, once however many ask for it.
//!
//! The first to ask for a missing key gets a [`Lease`] to load it; the others wait for it, each up to a deadline of its
//! own. A lease ends with a value, with an error, or by being dropped; in no case is anybody left waiting.
//!
//! A caller never gets what a load brings that began before an invalidation which had returned when the caller asked.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use super::load::{Claimed, Load, Waited};
use super::store::Freshness;
use super::write::replace;
use super::{TtlCache, release};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::fork;

/// How long an old value is served after a failed load, in nanoseconds, before the next caller is to load it.
const RETRY_AFTER: u64 = 1_000_000_000;

/// What a load brought, and for how long it is good: `None` is the cache's default.
#[derive(Clone, Debug)]
pub struct Loaded<V> {
    /// The value.
    pub value: V,
    /// How long it lives.
    pub ttl: Option<Duration>,
    /// After what time it should be loaded again, while the old value is still served; `None` is the cache's default.
    pub soft: Option<Duration>,
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Loaded<V> {
        Loaded { value, ttl: None, soft: None }
    }
}

/// What a caller that wants a value, or else to load it, gets.
pub enum Acquired<'a, V: Clone + Send + Sync> {
    /// The value.
    Hit(V),
    /// There is none, or it should be refreshed, and it is the caller's to load: the lease, and the old value if one
    /// may still be served.
    Lead(Lease<'a, V>, Option<V>),
    /// Another caller loads it, and this one did not want to wait.
    Busy,
}

/// The duty to load a key. Dropping it unfinished gives up: those that wait get the error [`Status::Abandoned`].
pub struct Lease<'a, V: Clone + Send + Sync> {
    cache: &'a TtlCache<V>,
    load: Option<Arc<Load<V>>>,
}

impl<V: Clone + Send + Sync> Lease<'_, V> {
    /// The key that is to be loaded.
    pub fn key(&self) -> &[u8] {
        self.load.as_ref().map_or(b"", |load| &load.key)
    }

    /// Stores the value and hands it to all that wait. If the key was written or invalidated meanwhile, those that asked
    /// before get it, but it is not stored.
    pub fn finish(mut self, loaded: impl Into<Loaded<V>>) -> Result<()> {
        let Some(load) = &self.load else { return Ok(()) };
        let result = self.cache.finish(load, loaded.into());
        // It has ended. Had the value's own code panicked before, dropping this would end it.
        self.load = None;
        result
    }

    /// Hands the error to all that wait. Nothing is stored. An old value that may still be served is removed where the
    /// error says that there is no value ([`Status::NotFound`]) or that the caller may not have it
    /// ([`Status::AccessDenied`]); after any other it is served for a second before the next caller is to load it.
    pub fn fail(mut self, error: Error) {
        if let Some(load) = &self.load {
            self.cache.fail(load, error);
        }
        self.load = None;
    }

    /// Turns it into a number, with which [`TtlCache::load_finish`] or [`TtlCache::load_abandon`] end it.
    pub fn into_number(mut self) -> u64 {
        self.load.take().map_or(0, |load| load.id())
    }
}

impl<V: Clone + Send + Sync> Drop for Lease<'_, V> {
    fn drop(&mut self) {
        if let Some(load) = self.load.take() {
            self.cache.fail(&load, Error::new(Status::Abandoned, "the load was given up by its owner"));
        }
    }
}

impl<V: Clone + Send + Sync> TtlCache<V> {
    /// The value under this key, or else what `load` brings, which is called with the time that remains. Callers that
    /// ask meanwhile wait for it, for `timeout` at most. An error is handed to all that wait and not stored; it ends or
    /// prolongs the use of an old value as with [`Lease::fail`], which comes before the error if it may still be served.
    ///
    /// Loads that wait for each other, over any number of threads and caches, end with [`Status::Busy`].
    pub fn get_or_load<L: Into<Loaded<V>>>(
        &self,
        key: &[u8],
        timeout: Duration,
        load: impl FnOnce(Duration) -> Result<L>,
    ) -> Result<V> {
        if let Some((value, Freshness::Fresh)) = self.look_up(key, V::clone) {
            return Ok(value);
        }
        self.load_missing(key, timeout, load)
    }

    /// The same after a look-up that found nothing fresh.
    pub(super) fn load_missing<L: Into<Loaded<V>>>(
        &self,
        key: &[u8],
        timeout: Duration,
        load: impl FnOnce(Duration) -> Result<L>,
    ) -> Result<V> {
        let deadline = Deadline::after(timeout);
        let me = std::thread::current().id();
        match self.acquire_missing(key, deadline, !timeout.is_zero(), Duration::MAX, Some(me))? {
            Acquired::Hit(value) => Ok(value),
            Acquired::Busy => Err(Error::new(Status::Busy, "the key is being loaded by another caller")),
            Acquired::Lead(lease, old) => {
                let result = fork::unprotected(|| catch_unwind(AssertUnwindSafe(|| load(deadline.remaining()))));
                let error = match result {
                    Ok(Ok(loaded)) => {
                        let loaded = loaded.into();
                        let value = loaded.value.clone();
                        lease.finish(loaded)?;
                        return Ok(value);
                    }
                    Ok(Err(error)) => error,
                    Err(panic) => {
                        // What it was is not ours to show: it can hold a secret.
                        release(panic);
                        Error::new(Status::Panic, "the load panicked")
                    }
                };
                let old = old.filter(|_| !is_answer(&error));
                lease.fail(error.clone());
                old.ok_or(error)
            }
        }
    }

    /// The value under this key, or else the lease to load it. While somebody else has that, waits for `timeout` at
    /// most; with 0 it answers [`Acquired::Busy`] at once. A lease that is not finished within `lease_ttl` goes to the
    /// next caller that asks.
    pub fn acquire(&self, key: &[u8], timeout: Duration, lease_ttl: Duration) -> Result<Acquired<'_, V>> {
        if let Some((value, Freshness::Fresh)) = self.look_up(key, V::clone) {
            return Ok(Acquired::Hit(value));
        }
        self.acquire_missing(key, Deadline::after(timeout), !timeout.is_zero(), lease_ttl, None)
    }

    /// The same with a lease that this thread ends itself: if it asks for the key again on its way, that is an error
    /// instead of a wait for itself.
    pub(crate) fn acquire_on_this_thread(&self, key: &[u8], timeout: Duration) -> Result<Acquired<'_, V>> {
        let me = std::thread::current().id();
        self.acquire_missing(key, Deadline::after(timeout), !timeout.is_zero(), Duration::MAX, Some(me))
    }

    fn acquire_missing(
        &self,
        key: &[u8],
        deadline: Deadline,
        may_wait: bool,
        lease_ttl: Duration,
        owner: Option<ThreadId>,
    ) -> Result<Acquired<'_, V>> {
        loop {
            let load = match self.loads.claim(key, owner, Deadline::after(lease_ttl)) {
                Claimed::Own(load) => return Ok(self.lead(load)),
                Claimed::Other(load) => load,
            };
            if let Some((old, _)) = self.peek(key) {
                return Ok(Acquired::Hit(old));
            }
            if !may_wait && !load.is_own() {
                return Ok(Acquired::Busy);
            }
            let Some(waited) = load.wait(deadline) else {
                let message = "the key is asked for by a load that it waits for itself";
                return Err(Error::new(Status::Busy, message));
            };
            match waited {
                Waited::Value(value) => return Ok(Acquired::Hit(value)),
                Waited::Failed(error) => return Err(error),
                Waited::TooLong => {
                    return Err(Error::new(Status::Timeout, "the key was not loaded in time by another caller")
                        .with_retryable(true));
                }
                Waited::Again => {}
            }
        }
    }

    /// The lease of a load that was just claimed, unless another load of the key ended before that.
    fn lead(&self, load: Arc<Load<V>>) -> Acquired<'_, V> {
        let lease = Lease { cache: self, load: Some(load.clone()) };
        match self.peek_locked(&load.key) {
            Some((value, Freshness::Fresh)) => {
                self.loads.end(&load, Ok(value.clone()));
                // It has ended.
                let _ = lease.into_number();
                Acquired::Hit(value)
            }
            old => {
                self.loads.begin();
                Acquired::Lead(lease, old.map(|(value, _)| value))
            }
        }
    }

    /// Ends the load with this number as [`Lease::finish`] does.
    pub fn load_finish(&self, lease: u64, loaded: impl Into<Loaded<V>>) -> Result<()> {
        self.lease(lease)?.finish(loaded)
    }

    /// Ends the load with this number as [`Lease::fail`] does.
    pub fn load_abandon(&self, lease: u64, why: Error) -> Result<()> {
        self.lease(lease)?.fail(why);
        Ok(())
    }

    fn lease(&self, number: u64) -> Result<Lease<'_, V>> {
        Ok(Lease { cache: self, load: Some(self.loads.find(number)?) })
    }

    fn finish(&self, load: &Arc<Load<V>>, loaded: Loaded<V>) -> Result<()> {
        // First it can be found, then the load is over: at no moment would somebody load it again.
        let value = loaded.value.clone();
        let write = |place: &mut _, displaced: &mut _| replace(place, value, displaced);
        let stored = self.store(&load.key, (loaded.ttl, loaded.soft), Some(load), write);
        let result = stored.map(|()| loaded.value);
        let failed = result.as_ref().err().cloned();
        let ended = self.loads.end(load, result);
        match failed {
            Some(error) => Err(error),
            None if ended => Ok(()),
            None => Err(Error::new(Status::Abandoned, "the load took longer than its lease")),
        }
    }

    fn fail(&self, load: &Arc<Load<V>>, error: Error) {
        self.fail_old(load, &error);
        self.loads.end(load, Err(error));
    }

    /// What a failed load means for the old value, if there is one and the load is not outdated itself.
    fn fail_old(&self, load: &Load<V>, error: &Error) {
        let Some(shared) = &self.shared else { return };
        let mut locked = shared.lock();
        let now = self.clock.exact();
        let (store, _) = locked.parts();
        let stale = |index: &u32| store.freshness(*index, &self.clock, now) == Freshness::Stale;
        let Some(index) = store.find(self.hash.tag(&load.key), &load.key).filter(stale) else { return };
        if load.is_outdated() {
            return;
        }
        if !is_answer(error) {
            locked.upgrade().parts().0.postpone(index, now.saturating_add(RETRY_AFTER));
            return;
        }
        let (removed, _) = self.invalidate(&mut locked, &[index]);
        drop(locked);
        release(removed);
    }
}

/// Whether an error says what the source decided, so that an old value is not served after it.
fn is_answer(error: &Error) -> bool {
    matches!(error.status(), Status::NotFound | Status::AccessDenied)
}
