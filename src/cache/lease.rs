//! Loading what is not in the cache, once however many ask for it.
//!
//! Who asks for a missing key first gets a [`Lease`] to load it; the others wait for it, each up to a deadline of its
//! own. A lease ends with a value, with an error, or by being dropped; in no case is anybody left waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use super::load::{Entered, Load, Waited};
use super::store::Life;
use super::{TtlCache, release};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::fork;

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

/// What somebody who wants a value, or else to load it, gets.
pub enum Acquired<'a, V: Clone + Send + Sync> {
    /// The value.
    Hit(V),
    /// There is none, or it should be refreshed, and it is the caller's to load: the lease, and the old value if one
    /// may still be served.
    Lead(Lease<'a, V>, Option<V>),
    /// Somebody else loads it, and the caller did not want to wait.
    Busy,
}

/// The duty to load a key. Dropping it unfinished gives up: who waits gets the error [`Status::Abandoned`].
pub struct Lease<'a, V: Clone + Send + Sync> {
    cache: &'a TtlCache<V>,
    load: Option<Arc<Load<V>>>,
}

impl<V: Clone + Send + Sync> Lease<'_, V> {
    /// The key that is to be loaded.
    pub fn key(&self) -> &[u8] {
        self.load.as_ref().map_or(b"", |load| &load.key)
    }

    /// Stores the value and hands it to all who wait. If the key was written or invalidated meanwhile, who waits gets
    /// it, but it is not stored.
    pub fn finish(mut self, loaded: impl Into<Loaded<V>>) -> Result<()> {
        match self.load.take() {
            Some(load) => self.cache.finish(&load, loaded.into()),
            None => Ok(()),
        }
    }

    /// Hands the error to all who wait. Nothing is stored.
    pub fn fail(mut self, error: Error) {
        if let Some(load) = self.load.take() {
            self.cache.loads.end(&load, Err(error));
        }
    }

    /// Turns it into a number, with which [`TtlCache::load_finish`] or [`TtlCache::load_abandon`] end it.
    pub fn into_number(mut self) -> u64 {
        self.load.take().map_or(0, |load| load.id())
    }
}

impl<V: Clone + Send + Sync> Drop for Lease<'_, V> {
    fn drop(&mut self) {
        if let Some(load) = self.load.take() {
            self.cache.loads.end(&load, Err(Error::new(Status::Abandoned, "the load was given up by its owner")));
        }
    }
}

impl<V: Clone + Send + Sync> TtlCache<V> {
    /// The value under this key, or else what `load` brings, which is called with the time that remains. Whoever else
    /// asks meanwhile waits for it, for `timeout` at most. An error is handed to all who wait and not stored; an old
    /// value that may still be served comes before an error.
    pub fn get_or_load<L: Into<Loaded<V>>>(
        &self,
        key: &[u8],
        timeout: Duration,
        load: impl FnOnce(Duration) -> Result<L>,
    ) -> Result<V> {
        if let Some((value, Life::Fresh)) = self.look_up(key, V::clone) {
            return Ok(value);
        }
        let deadline = Deadline::after(timeout);
        let me = std::thread::current().id();
        match self.acquire_missing(key, deadline, !timeout.is_zero(), Duration::MAX, Some(me))? {
            Acquired::Hit(value) => Ok(value),
            Acquired::Busy => Err(Error::new(Status::Busy, "the key is being loaded by another caller")),
            Acquired::Lead(lease, old) => {
                let result = fork::outside(|| catch_unwind(AssertUnwindSafe(|| load(deadline.remaining()))));
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
                lease.fail(error.clone());
                old.ok_or(error)
            }
        }
    }

    /// The value under this key, or else the lease to load it. While somebody else has that, waits for `timeout` at
    /// most; with 0 it answers [`Acquired::Busy`] at once. A lease that is not finished within `lease_ttl` goes to the
    /// next who asks.
    pub fn acquire(&self, key: &[u8], timeout: Duration, lease_ttl: Duration) -> Result<Acquired<'_, V>> {
        if let Some((value, Life::Fresh)) = self.look_up(key, V::clone) {
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
            let mut old = None;
            let entered = self.loads.enter(key, owner, Deadline::after(lease_ttl), || match self.peek(key) {
                Some((value, Life::Fresh)) => Some(value),
                stale => {
                    old = stale.map(|(value, _)| value);
                    None
                }
            });
            let load = match entered {
                Err(value) => return Ok(Acquired::Hit(value)),
                Ok(Entered::Owner(load)) => {
                    return Ok(Acquired::Lead(Lease { cache: self, load: Some(load) }, old));
                }
                Ok(Entered::Other(load)) => load,
            };
            if let Some((old, _)) = self.peek(key) {
                return Ok(Acquired::Hit(old));
            }
            if !may_wait && !load.is_own() {
                return Ok(Acquired::Busy);
            }
            let Some(waited) = self.loads.wait(&load, deadline) else {
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

    /// Ends the load with this number as [`Lease::finish`] does.
    pub fn load_finish(&self, lease: u64, loaded: impl Into<Loaded<V>>) -> Result<()> {
        self.finish(&self.loads.find(lease)?, loaded.into())
    }

    /// Ends the load with this number as [`Lease::fail`] does.
    pub fn load_abandon(&self, lease: u64, why: Error) -> Result<()> {
        let load = self.loads.find(lease)?;
        self.loads.end(&load, Err(why));
        Ok(())
    }

    fn finish(&self, load: &Arc<Load<V>>, loaded: Loaded<V>) -> Result<()> {
        // First it can be found, then the load is over: at no moment would somebody load it again.
        let stored = self.store(&load.key, loaded.value.clone(), loaded.ttl, loaded.soft, || !load.is_outdated());
        let result = match stored {
            Ok(_) => Ok(loaded.value),
            Err(error) => Err(error),
        };
        let failed = result.as_ref().err().cloned();
        let ended = self.loads.end(load, result);
        match failed {
            Some(error) => Err(error),
            None if ended => Ok(()),
            None => Err(Error::new(Status::Abandoned, "the load took longer than its lease, and others took it over")),
        }
    }
}
