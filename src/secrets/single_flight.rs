//! Work that one caller does for all callers that wait for its result.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::cache::{Acquired, Lease, Object, TtlCache, Value};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};

/// Work by key. At most one caller at a time does the work of a key.
pub(super) struct SingleFlight<T> {
    /// Stores nothing. Its leases decide which caller does the work, and pass the [`Outcome`] to the others, as an
    /// object, so that all types of results share the code of the cache.
    leases: TtlCache<Value>,
    result: PhantomData<fn() -> T>,
}

/// The result of the work, and how much time the caller had that did it.
struct Outcome<T> {
    result: Result<T>,
    time_limit: Duration,
}

/// Whether a call with this much time left may succeed where a call that had `time_limit` failed. The factor keeps
/// calls with nearly equal limits from trying one after the other.
pub(super) fn has_much_more_time(remaining: Duration, time_limit: Duration) -> bool {
    remaining / 2 >= time_limit
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    pub(super) fn new() -> Result<SingleFlight<T>> {
        Ok(SingleFlight { leases: TtlCache::new(Duration::ZERO, 0, Duration::MAX)?, result: PhantomData })
    }

    /// Returns the result of `work`, or that of the caller that is doing it if `accepts` agrees.
    ///
    /// The callers that wait get a failure too, except those that have much more time than the caller that failed: they
    /// try in turn. All get an authoritative failure.
    pub(super) fn run(
        &self,
        key: &[u8],
        deadline: Deadline,
        accepts: impl Fn(&T) -> bool,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        loop {
            let object = match self.leases.acquire_on_this_thread(key, deadline.wait())? {
                Acquired::Lead(lease, _) => return lead(lease, deadline, work),
                Acquired::Hit(outcome) => outcome.into_object()?,
                Acquired::Busy(_) => return Err(Error::new(Status::Busy, "another call is querying it; try again")),
            };
            let Some(outcome) = object.downcast_ref::<Outcome<T>>() else { continue };
            match &outcome.result {
                Ok(value) if accepts(value) => return Ok(value.clone()),
                Ok(_) => {}
                Err(error)
                    if error.is_authoritative() || !has_much_more_time(deadline.remaining(), outcome.time_limit) =>
                {
                    return Err(error.clone());
                }
                Err(_) => {}
            }
        }
    }

    /// Returns the result of `work`, or `None` at once if another caller is doing it.
    pub(super) fn try_run(
        &self,
        key: &[u8],
        deadline: Deadline,
        work: impl FnOnce() -> Result<T>,
    ) -> Option<Result<T>> {
        match self.leases.acquire_on_this_thread(key, Duration::ZERO) {
            Ok(Acquired::Lead(lease, _)) => Some(lead(lease, deadline, work)),
            // The error means that this very thread is doing it.
            Ok(Acquired::Hit(_) | Acquired::Busy(_)) | Err(_) => None,
        }
    }
}

fn lead<T: Clone + Send + Sync + 'static>(
    lease: Lease<'_, Value>,
    deadline: Deadline,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let time_limit = deadline.remaining();
    let result = catch_panic("it panicked, which is a bug", work);
    lease.finish(Value::Object(Object::new(Outcome { result: result.clone(), time_limit })))?;
    result
}

/// Runs `body` and turns a panic into an error with this message. The panic's payload may hold a secret, so it is not
/// shown; dropping it might panic again, so it is leaked.
pub(super) fn catch_panic<T>(message: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        std::mem::forget(panic);
        Err(Error::new(Status::Panic, message))
    })
}
