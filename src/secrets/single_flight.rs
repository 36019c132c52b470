//! Work that one caller does for all callers that want its result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::cache::{Acquired, Lease, TtlCache};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};

/// Work by key; at most one caller at a time does that of a key.
pub(super) struct SingleFlight<T> {
    /// Stores nothing: its leases decide which caller does the work, and bring the outcome to the others.
    leases: TtlCache<Outcome<T>>,
}

/// How the work ended, and how much time its caller had for it.
#[derive(Clone)]
struct Outcome<T> {
    result: Result<T>,
    given: Duration,
}

/// Whether a call with this much time left is much more patient than one that had `given`: what that one failed at is
/// worth another attempt. The factor keeps calls with nearly equal limits from trying one after the other.
pub(super) fn is_more_patient(remaining: Duration, given: Duration) -> bool {
    remaining / 2 >= given
}

impl<T: Clone + Send + Sync> SingleFlight<T> {
    pub(super) fn new() -> Result<SingleFlight<T>> {
        Ok(SingleFlight { leases: TtlCache::new(Duration::ZERO, 0, Duration::MAX)? })
    }

    /// The result of `work`, or that of the caller that is doing it, unless `accepts` refuses that one.
    ///
    /// A failure is handed to the callers that wait, except to those that are much more patient than the one that
    /// failed: they try in their turn. An authoritative failure is handed to all.
    pub(super) fn run(
        &self,
        key: &[u8],
        deadline: Deadline,
        accepts: impl Fn(&T) -> bool,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        loop {
            let outcome = match self.leases.acquire_on_this_thread(key, deadline.wait())? {
                Acquired::Lead(lease, _) => return lead(lease, deadline, work),
                Acquired::Hit(outcome) => outcome,
                Acquired::Busy => return Err(Error::new(Status::Busy, "another call asks it now")),
            };
            match outcome.result {
                Ok(value) if accepts(&value) => return Ok(value),
                Ok(_) => {}
                Err(error) if error.is_authoritative() || !is_more_patient(deadline.remaining(), outcome.given) => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
    }

    /// The result of `work`; `None`, at once, if another caller is doing it.
    pub(super) fn try_run(
        &self,
        key: &[u8],
        deadline: Deadline,
        work: impl FnOnce() -> Result<T>,
    ) -> Option<Result<T>> {
        match self.leases.acquire_on_this_thread(key, Duration::ZERO) {
            Ok(Acquired::Lead(lease, _)) => Some(lead(lease, deadline, work)),
            // The error is that this very thread is doing it.
            Ok(Acquired::Hit(_) | Acquired::Busy) | Err(_) => None,
        }
    }
}

fn lead<T: Clone + Send + Sync>(
    lease: Lease<'_, Outcome<T>>,
    deadline: Deadline,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let given = deadline.remaining();
    let result = caught("it panicked, which is a bug", work);
    lease.finish(Outcome { result: result.clone(), given })?;
    result
}

/// Runs `body`; a panic in it becomes an error with this message. What it panicked with may hold a secret: it is neither
/// shown nor dropped, as dropping it might panic again.
pub(super) fn caught<T>(message: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        std::mem::forget(panic);
        Err(Error::new(Status::Panic, message))
    })
}
