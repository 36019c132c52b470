//! Retries of requests: attempts, delays and a quota, within the deadline.
//!
//! A large number of clients that start together get through a server's quota only if its retries neither come at the
//! same time nor leave the server idle. So a throttled request is repeated until the deadline, after a delay that is
//! [decorrelated](crate::jitter::decorrelated) between 1 s and 20 s, at most a quarter of the remaining time: the fewer
//! clients are left, the shorter they wait. In a simulation, 10 000 processes get through 600 calls a second in 18 s
//! (16 s is the least possible) with 4 calls each, and 60 000 in 112 s (99 s) with 9 calls each.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::fork;
use crate::jitter;
use crate::log::{self, Level};

/// The shortest delays after a transient failure and after throttling, and the longest. These are those of the standard
/// retry mode of the AWS tools, version 2.1 (2026).
const TRANSIENT_BASE: Duration = Duration::from_millis(50);
const THROTTLED_BASE: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(20);
/// The largest part of the remaining time that a delay takes, as a divisor.
const REMAINING_PART: u32 = 4;
/// The longest `Retry-After` of a service of AWS that is respected in full, as in the AWS tools.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Tokens for retries after transient failures: a retry takes some, a success returns them. They bound by how much
/// retries multiply the load of a service that fails. A throttled attempt is free: the server rejects it at little
/// cost, and how many there are is bounded by their delays.
const QUOTA: u32 = 500;
const TRANSIENT_COST: u32 = 14;

/// The delay of [`RetryDelay::Steady`], and the random part that is added to it.
const STEADY_DELAY: Duration = Duration::from_secs(1);
const STEADY_JITTER: Duration = Duration::from_millis(500);

/// The limit of immediate retries, which guards against a caller that retries forever.
const MAX_IMMEDIATE: u32 = 8;

/// How often a request is sent if the settings do not say it.
const DEFAULT_ATTEMPTS: u32 = 3;

/// The delays after transient failures. Those after throttling are decorrelated in both cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryDelay {
    /// For AWS and webhooks: decorrelated, from 50 ms up to 20 s. A `Retry-After` is respected up to 5 s. Retries have
    /// a quota.
    Decorrelated,
    /// For Vault, Kubernetes and the providers in `cloud`: between 1 s and 1.5 s for every attempt. A `Retry-After` is
    /// respected in full.
    Steady,
}

thread_local! {
    static REPEATED: Cell<u64> = const { Cell::new(0) };
}

/// How many requests this thread has repeated.
pub(crate) fn repeated() -> u64 {
    REPEATED.get()
}

/// Whether a caller that is throttled waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until the deadline: the caller has nothing else.
    UntilDeadline,
    /// As long as after other failures: the caller has a cached value.
    Brief,
    /// As long, and no request that failed for another reason is repeated: the source failed before.
    Probing,
}

/// How often a request is sent at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempts {
    /// In all.
    total: u32,
    /// Those that fail because the server or the network does.
    transient: u32,
}

impl Attempts {
    /// This many, whatever the failures.
    pub(crate) fn at_most(total: u32) -> Attempts {
        Attempts { total, transient: total }
    }

    /// The number that a setting gives. Without one, three; a patient caller that is throttled continues until its
    /// deadline.
    pub(crate) fn of_setting(setting: Option<u32>, patience: Patience) -> Attempts {
        match (setting, patience) {
            (total, Patience::Probing) => Attempts { total: total.unwrap_or(DEFAULT_ATTEMPTS), transient: 1 },
            (Some(total), _) => Attempts::at_most(total),
            (None, Patience::Brief) => Attempts::at_most(DEFAULT_ATTEMPTS),
            (None, Patience::UntilDeadline) => Attempts { total: u32::MAX, transient: DEFAULT_ATTEMPTS },
        }
    }
}

/// Whether and when a failed attempt is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryClass {
    Never,
    /// The server or the network failed.
    Transient,
    /// The server asks for fewer requests.
    Throttled,
    /// The cause is fixed (a token, the clock): without delay, and without using up attempts or quota.
    Immediate,
}

/// A failed attempt.
pub(crate) struct FailedAttempt {
    pub(crate) error: Error,
    pub(crate) class: RetryClass,
    /// How long the server asks to wait.
    pub(crate) retry_after: Option<Duration>,
}

impl FailedAttempt {
    /// A failure that is not retried.
    pub(crate) fn permanent(error: Error) -> FailedAttempt {
        FailedAttempt { error, class: RetryClass::Never, retry_after: None }
    }

    /// A failure that is retried if the error is marked as retryable, as by
    /// [`Client::send`](crate::http::Client::send).
    pub(crate) fn from_error(error: Error) -> FailedAttempt {
        let class = if error.is_retryable() { RetryClass::Transient } else { RetryClass::Never };
        FailedAttempt { error, class, retry_after: None }
    }
}

/// The retry policy of one source. All its loads share the quota, which bounds retries over time.
pub(crate) struct Retry {
    delay: RetryDelay,
    quota: AtomicU32,
}

/// What the attempts of one request have used up.
struct Progress {
    number: u32,
    immediate: u32,
    transient: u32,
    previous_delay: Duration,
    /// The cost of the last retry.
    paid: u32,
}

impl Retry {
    pub(crate) fn new(delay: RetryDelay) -> Retry {
        Retry { delay, quota: AtomicU32::new(QUOTA) }
    }

    /// Calls `attempt` with 1, 2, … until it succeeds, is not to be retried, or the next attempt would start after the
    /// deadline; then returns the last error. Waits while forks are allowed.
    pub(crate) fn run<T>(
        &self,
        attempts: Attempts,
        deadline: Deadline,
        attempt: impl FnMut(u32) -> Result<T, FailedAttempt>,
    ) -> Result<T> {
        let wait = |delay| fork::unprotected(|| std::thread::sleep(delay));
        self.run_with(attempts, || deadline.remaining(), wait, attempt)
    }

    /// As [`run`](Retry::run), with functions that return the remaining time and wait.
    fn run_with<T>(
        &self,
        attempts: Attempts,
        remaining: impl Fn() -> Duration,
        wait: impl Fn(Duration),
        mut attempt: impl FnMut(u32) -> Result<T, FailedAttempt>,
    ) -> Result<T> {
        let mut progress = Progress { number: 1, immediate: 0, transient: 0, previous_delay: Duration::ZERO, paid: 0 };
        loop {
            let failed = match attempt(progress.number) {
                Ok(value) => {
                    self.refund(progress.paid.max(1));
                    return Ok(value);
                }
                Err(failed) => failed,
            };
            let Some(delay) = self.next(&mut progress, attempts, &failed, remaining()) else {
                return Err(failed.error);
            };
            if failed.class != RetryClass::Immediate {
                log::emit_with(Level::Debug, "http", |fields| {
                    fields.integer("attempt", progress.number.into());
                    fields.time("delay", delay);
                    fields.error(&failed.error);
                    let message = failed.error.message();
                    format!("attempt {} failed ({message}); retrying in {delay:.0?}", progress.number)
                });
                wait(delay);
                // A wait may last longer than asked.
                if remaining().is_zero() {
                    return Err(failed.error);
                }
            }
            progress.number += 1;
            REPEATED.set(REPEATED.get().wrapping_add(1));
        }
    }

    /// Returns the delay before the next attempt; `None` if there is none.
    fn next(
        &self,
        progress: &mut Progress,
        attempts: Attempts,
        failed: &FailedAttempt,
        remaining: Duration,
    ) -> Option<Duration> {
        match failed.class {
            RetryClass::Never => return None,
            RetryClass::Immediate => {
                progress.immediate += 1;
                return (progress.immediate <= MAX_IMMEDIATE && !remaining.is_zero()).then_some(Duration::ZERO);
            }
            RetryClass::Transient => progress.transient += 1,
            RetryClass::Throttled => {}
        }
        if progress.number - progress.immediate >= attempts.total || progress.transient >= attempts.transient {
            return None;
        }
        let delay = self.delay(progress, failed, remaining);
        if delay >= remaining {
            return None;
        }
        progress.paid = self.pay(failed.class)?;
        Some(delay)
    }

    /// Returns the delay after a failure: how long the server asks to wait, and a random time. Without the random time,
    /// all clients that the server sends away would come back at once.
    fn delay(&self, progress: &mut Progress, failed: &FailedAttempt, remaining: Duration) -> Duration {
        let asked = failed.retry_after.unwrap_or_default();
        let (asked, base) = match (self.delay, failed.class) {
            (RetryDelay::Steady, RetryClass::Transient) => {
                let least = failed.retry_after.unwrap_or(STEADY_DELAY);
                return least.saturating_add(STEADY_JITTER.mul_f64(jitter::random()));
            }
            (RetryDelay::Steady, _) => (asked, THROTTLED_BASE),
            (RetryDelay::Decorrelated, RetryClass::Throttled) => (asked.min(LONGEST_RETRY_AFTER), THROTTLED_BASE),
            (RetryDelay::Decorrelated, _) => (asked.min(LONGEST_RETRY_AFTER), TRANSIENT_BASE),
        };
        let limit = (remaining.saturating_sub(asked) / REMAINING_PART).clamp(base, LONGEST_DELAY);
        let delay = jitter::decorrelated(base, progress.previous_delay, limit);
        progress.previous_delay = delay;
        // If the server asks to wait, that is the base.
        if asked.is_zero() { delay } else { asked.saturating_add(delay.saturating_sub(base)) }
    }

    /// Takes the cost of a retry from the quota and returns it; `None` if the quota is used up.
    fn pay(&self, class: RetryClass) -> Option<u32> {
        if self.delay == RetryDelay::Steady || class == RetryClass::Throttled {
            return Some(0);
        }
        let take = |quota: u32| quota.checked_sub(TRANSIENT_COST);
        let paid = self.quota.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        paid.is_ok().then_some(TRANSIENT_COST)
    }

    fn refund(&self, tokens: u32) {
        let more = |quota: u32| Some((quota + tokens).min(QUOTA));
        let _ = self.quota.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

#[cfg(test)]
mod tests;
