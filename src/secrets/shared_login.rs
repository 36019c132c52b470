//! Logins that one process makes for all processes of this host. The result is shared until it expires, and a failure
//! until the next attempt.

use std::sync::Arc;
use std::time::Duration;

use super::document_provider::outage::Outage;
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Status};
use crate::log::{self, Level};
use crate::share::{Failure, Identity, NewRecord, Share, SharedDocument, Slot, Turn};

/// What logins are shared with.
#[derive(Clone, Default)]
pub(super) struct SharedLogins {
    /// `None` if nothing is shared.
    share: Option<Arc<Share>>,
    max_backoff: Duration,
}

/// A login, and the slot for its result.
pub(super) struct SharedLogin {
    slot: Option<Slot>,
    max_backoff: Duration,
}

/// What a login returns.
pub(super) trait LoginResult: Sized {
    /// Its name in log messages, a plural.
    const NAME: &'static str;

    fn encode(&self) -> Result<NewRecord>;
    fn decode(record: &SharedDocument) -> Option<Self>;
}

/// The need of one call for a login.
pub(super) struct LoginRequest<'a, T> {
    pub(super) deadline: Deadline,
    /// Log in although a process failed a moment ago.
    pub(super) forced: bool,
    /// The server has rejected what is in the share.
    pub(super) replaces: bool,
    /// Whether this result of another process is good enough.
    pub(super) accepts: &'a dyn Fn(&T) -> bool,
}

impl SharedLogins {
    /// `max_backoff` is the longest pause after a failed login.
    pub(super) fn new(share: Option<Arc<Share>>, max_backoff: Duration) -> SharedLogins {
        SharedLogins { share, max_backoff }
    }

    /// Opens the slot of a login. It is not shared without an identity.
    pub(super) fn open(&self, identity: impl FnOnce() -> Option<Identity>) -> SharedLogin {
        SharedLogin { slot: self.slot(identity), max_backoff: self.max_backoff }
    }

    pub(super) fn slot(&self, identity: impl FnOnce() -> Option<Identity>) -> Option<Slot> {
        self.share.as_ref()?.slot(identity()?)
    }
}

impl SharedLogin {
    /// Returns the result in the share, good or not.
    pub(super) fn read<T: LoginResult>(&self) -> Option<T> {
        T::decode(&self.slot.as_ref()?.read()?)
    }

    /// Returns the result of another process, after waiting for it, or logs in and shares the result.
    pub(super) fn obtain<T: LoginResult>(
        &self,
        request: &LoginRequest<'_, T>,
        log_in: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let result = self.run(request, Some(request.deadline), || log_in().map(Some))?;
        result.ok_or_else(|| Error::new(Status::Busy, "another process is logging in; try again").with_retryable(true))
    }

    /// As [`obtain`](Self::obtain), but returns `None` if another process is logging in, or if `log_in` does because
    /// there is nothing new to share.
    pub(super) fn try_obtain<T: LoginResult>(
        &self,
        request: &LoginRequest<'_, T>,
        log_in: impl FnOnce() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        self.run(request, None, log_in)
    }

    fn run<T: LoginResult>(
        &self,
        request: &LoginRequest<'_, T>,
        wait: Option<Deadline>,
        log_in: impl FnOnce() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let Some(slot) = &self.slot else { return log_in() };
        let (began, time_limit) = (Instant::now(), request.deadline.remaining());
        let take = |record: SharedDocument| T::decode(&record).filter(|result| (request.accepts)(result));
        let is_resting = |failure: &Failure| !request.forced && Outage::from_share(failure).is_backing_off(time_limit);
        let mut loading = match slot.turn(wait, take, is_resting) {
            Turn::Taken(result) => {
                log::emit(Level::Info, "secrets", || format!("{} come from another process of this host", T::NAME));
                return Ok(Some(result));
            }
            Turn::Resting(failure, _) => return Err(failure.error),
            Turn::Busy => return Ok(None),
            Turn::LoadUnshared(_) => return log_in(),
            Turn::Load(loading) => loading,
        };
        if request.replaces {
            loading.invalidate();
        }
        let before = loading.failure().map(Outage::from_share);
        let result = log_in();
        match &result {
            Ok(Some(result)) => drop(loading.publish(result.encode())),
            Ok(None) => {}
            Err(error) => {
                let taken = Some(began.elapsed());
                let outage = Outage::after(before.as_ref(), error.clone(), time_limit, taken, self.max_backoff);
                // What an earlier login returned is valid as long as the server accepts it.
                loading.note_failure(&outage.to_share());
            }
        }
        result
    }
}
