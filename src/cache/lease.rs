//! Loading missing values, once for all callers that ask at the same time.
//!
//! The first caller that asks for a missing key gets a [`Lease`] to load it. The others wait, each up to its own
//! deadline. A lease ends with a value, with an error, or by being dropped; in each case all waiting callers return.
//!
//! After an invalidation has returned, no caller gets the result of a load that started before it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::ThreadId;
use std::time::Duration;

use super::load::{Claimed, Load, Notify, Registered, Waited};
use super::store::Freshness;
use super::{Change, RemoteEntry, TtlCache, release};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::fork;

/// How long an old value is served after a failed load, in nanoseconds, before the next caller loads it again.
const RETRY_AFTER: u64 = 1_000_000_000;
/// How often a load is claimed again because the key changed before the load began. Otherwise its result is not kept.
const ATTEMPTS: u32 = 2;

/// A loaded value and how long it is valid.
#[derive(Clone, Debug)]
pub struct Loaded<V> {
    /// The value.
    pub value: V,
    /// The time to live; `None` is the default of the cache.
    pub ttl: Option<Duration>,
    /// The time after which the value is stale: it is still served, but should be reloaded. `None` is the default of
    /// the cache.
    pub soft: Option<Duration>,
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Loaded<V> {
        Loaded { value, ttl: None, soft: None }
    }
}

/// The result of [`TtlCache::acquire`].
pub enum Acquired<'a, V: Clone + Send + Sync> {
    /// The cached value.
    Hit(V),
    /// There is no value, or it should be reloaded, and the caller must load it. The old value is included if it may
    /// still be served.
    Lead(Lease<'a, V>, Option<V>),
    /// Another caller is loading the value with the lease of this number, and this caller does not wait.
    Busy(u64),
}

/// The obligation to load a key. If it is dropped unfinished, the callers that wait get an error of status
/// [`Status::Abandoned`].
pub struct Lease<'a, V: Clone + Send + Sync> {
    cache: &'a TtlCache<V>,
    load: Option<Arc<Load<V>>>,
}

impl<V: Clone + Send + Sync> Lease<'_, V> {
    /// Returns the key to load.
    pub fn key(&self) -> &[u8] {
        self.load.as_ref().map_or(b"", |load| &load.key)
    }

    /// Stores the value and returns it to all callers that wait. If the key was written or invalidated meanwhile,
    /// they get the value, but it is not stored.
    pub fn finish(mut self, loaded: impl Into<Loaded<V>>) -> Result<()> {
        let Some(load) = &self.load else { return Ok(()) };
        let result = self.cache.finish(load, loaded.into(), None);
        // It has ended. Had the value's own code panicked before, dropping this would end it.
        self.load = None;
        result
    }

    /// Returns the error to all callers that wait. Nothing is stored. If there is an old value that may still be
    /// served, it is removed if the error is [`Status::NotFound`] or [`Status::AccessDenied`]; after any other error
    /// it is served for one more second before the next caller loads again.
    pub fn fail(mut self, error: Error) {
        if let Some(load) = &self.load {
            self.cache.fail(load, error);
        }
        self.load = None;
    }

    /// Turns the lease into a number, to be ended with [`TtlCache::load_finish`] or [`TtlCache::load_abandon`].
    pub fn into_number(mut self) -> u64 {
        self.load.take().map_or(0, |load| load.id())
    }
}

impl<V: Clone + Send + Sync> Drop for Lease<'_, V> {
    fn drop(&mut self) {
        if let Some(load) = self.load.take() {
            self.cache.fail(&load, Error::new(Status::Abandoned, "the owner abandoned the load"));
        }
    }
}

impl<V: Clone + Send + Sync> TtlCache<V> {
    /// Returns the value under this key, or else the value that `load` returns. `load` is called with the time that
    /// remains. Other callers that ask meanwhile wait for it, for at most `timeout`. An error is returned to all
    /// callers that wait and is not stored. If there is an old value that may still be served, the error affects it
    /// as in [`Lease::fail`], and the old value is returned instead of the error.
    ///
    /// Loads that wait for each other, across any number of threads and caches, fail with [`Status::Busy`].
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

    /// The rest of [`TtlCache::get_or_load`], after a lookup that found no fresh value.
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
            Acquired::Busy(_) => Err(Error::new(Status::Busy, "another caller is loading the key")),
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
                        // The message of the panic can contain a secret.
                        release(panic);
                        Error::new(Status::Panic, "the load panicked")
                    }
                };
                let may_serve_old = old.is_some() && !is_answer(&error);
                lease.fail(error.clone());
                // The old value may have expired, or been removed or overwritten, since the load began.
                let served = if may_serve_old { self.peek(key) } else { None };
                served.map(|(value, _)| value).ok_or(error)
            }
        }
    }

    /// Returns the value under this key, or else the lease to load it. If another caller has the lease, waits for at
    /// most `timeout`; with 0 it returns [`Acquired::Busy`] at once. A lease that is not ended within `lease_ttl`
    /// passes to the next caller that asks.
    pub fn acquire(&self, key: &[u8], timeout: Duration, lease_ttl: Duration) -> Result<Acquired<'_, V>> {
        if let Some((value, Freshness::Fresh)) = self.look_up(key, V::clone) {
            return Ok(Acquired::Hit(value));
        }
        self.acquire_missing(key, Deadline::after(timeout), !timeout.is_zero(), lease_ttl, None)
    }

    /// As [`TtlCache::acquire`], for a caller that must not block. If another caller has the lease, it returns
    /// [`Acquired::Busy`] and the number of a registration: `notify` is called once when that load ends, on the thread
    /// that ends it, with no lock held. It gets the result of the load, which may not have been stored. Status
    /// [`Status::Abandoned`] means that the key is no longer being loaded. In all other cases `notify` is dropped.
    ///
    /// A load that takes longer than its lease ends when the next caller asks for the key. In a forked child the
    /// registrations of the parent are void, and their functions are not called.
    pub fn acquire_or_notify(
        &self,
        key: &[u8],
        lease_ttl: Duration,
        notify: impl FnOnce(&Result<V>) + Send + 'static,
    ) -> Result<(Acquired<'_, V>, u64)>
    where
        V: 'static,
    {
        if let Some((value, Freshness::Fresh)) = self.look_up(key, V::clone) {
            return Ok((Acquired::Hit(value), 0));
        }
        let mut notify: Notify<V> = Box::new(notify);
        let mut attempts = ATTEMPTS;
        loop {
            let load = match self.loads.claim(key, None, Deadline::after(lease_ttl)) {
                Claimed::Own(load) => match self.lead(load, &mut attempts) {
                    Some(acquired) => return Ok((acquired, 0)),
                    None => continue,
                },
                Claimed::Other(load) => load,
            };
            if let Some((old, _)) = self.peek(key) {
                return Ok((Acquired::Hit(old), 0));
            }
            if load.is_own() {
                return Err(waits_for_itself());
            }
            match self.loads.register(&load, notify) {
                Registered::Yes(number) => return Ok((Acquired::Busy(load.id()), number)),
                Registered::Ended(result, notify) => {
                    // It may use the cache.
                    drop(notify);
                    return result.map(|value| (Acquired::Hit(value), 0));
                }
                Registered::Again(returned) => notify = returned,
            }
        }
    }

    /// Cancels a registration of [`TtlCache::acquire_or_notify`]. Returns `false` if its function was called, or is
    /// being called by another thread.
    pub fn cancel_notify(&self, registration: u64) -> bool {
        self.loads.cancel(registration)
    }

    /// Ends the loads that registered functions wait for, because the cache is being freed.
    pub(crate) fn end_registered_loads(&self) {
        self.loads.end_registered();
    }

    /// As [`TtlCache::acquire`], with a lease that this thread ends itself: if it asks for the key again before that,
    /// it gets an error instead of waiting for itself.
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
        let mut attempts = ATTEMPTS;
        loop {
            let load = match self.loads.claim(key, owner, Deadline::after(lease_ttl)) {
                Claimed::Own(load) => match self.lead(load, &mut attempts) {
                    Some(acquired) => return Ok(acquired),
                    None => continue,
                },
                Claimed::Other(load) => load,
            };
            if let Some((old, _)) = self.peek(key) {
                return Ok(Acquired::Hit(old));
            }
            if !may_wait && !load.is_own() {
                return Ok(Acquired::Busy(load.id()));
            }
            let Some(waited) = load.wait(deadline) else { return Err(waits_for_itself()) };
            match waited {
                Waited::Value(value) => return Ok(Acquired::Hit(value)),
                Waited::Failed(error) => return Err(error),
                Waited::TooLong => {
                    return Err(
                        Error::new(Status::Timeout, "another caller did not load the key in time").with_retryable(true)
                    );
                }
                Waited::Again => {}
            }
        }
    }

    /// Returns the lease of a load that was just claimed, unless another load of the key ended before that. `None` if
    /// the key has changed: the caller claims its load again.
    #[inline(never)]
    fn lead(&self, load: Arc<Load<V>>, attempts: &mut u32) -> Option<Acquired<'_, V>> {
        let lease = Lease { cache: self, load: Some(load.clone()) };
        match self.peek_locked(&load.key) {
            Some((value, Freshness::Fresh)) => {
                self.loads.end(&load, Ok(value.clone()));
                // It has ended.
                let _ = lease.into_number();
                Some(Acquired::Hit(value))
            }
            old => {
                if old.is_some() {
                    load.set_has_old();
                }
                let remote = self.remote.as_ref().and_then(|remote| remote.fetch(self, &load.key));
                if remote.is_some() && load.is_outdated() && *attempts > 0 {
                    *attempts -= 1;
                    self.loads.end_look_up(&load, Err(Error::new(Status::Abandoned, "the key has changed")));
                    let _ = lease.into_number();
                    return None;
                }
                if let Some(value) = remote.and_then(|entry| self.end_with(&load, entry)) {
                    let _ = lease.into_number();
                    return Some(Acquired::Hit(value));
                }
                self.loads.begin();
                Some(Acquired::Lead(lease, old.map(|(value, _)| value)))
            }
        }
    }

    /// Ends a load that was just claimed with the value that another process has stored, unless that should be
    /// reloaded.
    fn end_with(&self, load: &Arc<Load<V>>, entry: RemoteEntry<V>) -> Option<V> {
        load.since[0].store(entry.since.0, Relaxed);
        load.since[1].store(entry.since.1, Relaxed);
        let loaded = self.fetched(entry.value?);
        if loaded.soft == Some(Duration::ZERO) {
            load.set_has_old();
            return None;
        }
        let value = loaded.value.clone();
        // If it cannot be stored, the caller gets it.
        let _ = self.finish_local(load, loaded, None);
        Some(value)
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

    /// As [`TtlCache::load_abandon`], but stores a value: that there is none.
    pub(crate) fn load_abandon_storing(&self, lease: u64, absence: Loaded<V>, why: Error) -> Result<()> {
        let mut lease = self.lease(lease)?;
        let Some(load) = &lease.load else { return Ok(()) };
        let result = self.finish(load, absence, Some(why));
        lease.load = None;
        result
    }

    fn lease(&self, number: u64) -> Result<Lease<'_, V>> {
        Ok(Lease { cache: self, load: Some(self.loads.find(number)?) })
    }

    fn finish(&self, load: &Arc<Load<V>>, loaded: Loaded<V>, why: Option<Error>) -> Result<()> {
        let (value, ttl) = (self.remote.as_ref().map(|_| loaded.value.clone()), loaded.ttl);
        self.finish_local(load, loaded, why)?;
        if !load.is_outdated() {
            self.fill_remote(load, value, ttl);
        }
        Ok(())
    }

    /// Stores the value and ends the load, with the error `why` if there is one.
    #[inline(never)]
    pub(super) fn finish_local(&self, load: &Arc<Load<V>>, loaded: Loaded<V>, why: Option<Error>) -> Result<()> {
        // The value is stored before the load ends, so that no caller in between starts another load.
        let value = loaded.value.clone();
        let write = |place: &mut _, displaced: &mut _| (self.write)(place, value, displaced);
        let stored = self.store(&load.key, (loaded.ttl, loaded.soft), Some(load), write);
        let failed = stored.as_ref().err().cloned();
        let ended = self.loads.end(load, stored.and_then(|()| why.map_or(Ok(loaded.value), Err)));
        match failed {
            Some(error) => Err(error),
            None if ended => Ok(()),
            None => Err(Error::new(Status::Abandoned, "the load took longer than its lease")),
        }
    }

    fn fail(&self, load: &Arc<Load<V>>, error: Error) {
        self.fail_old(load, &error);
        if is_answer(&error) && load.has_old() && !load.is_outdated() {
            // Before the load ends: until then no lookup stores what it fetches.
            self.remove_remote(|| Change::Key(load.key.to_vec()));
        }
        self.loads.end(load, Err(error));
    }

    /// Applies a failed load to the old value, if there is one and the load is not outdated.
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

fn waits_for_itself() -> Error {
    Error::new(
        Status::Busy,
        "the load of this key waits for this call; a load must not get a key whose load waits for it",
    )
}

/// Whether an error is an answer of the source, after which an old value must not be served.
fn is_answer(error: &Error) -> bool {
    matches!(error.status(), Status::NotFound | Status::AccessDenied)
}
