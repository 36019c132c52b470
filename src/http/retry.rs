//! Retries of requests: attempts, delays and a quota, within the deadline.
//!
//! The constants of [`RetryDelay::Exponential`] are those of the standard retry mode of the AWS tools, version 2.1
//! (2026): the delays begin at milliseconds after a failure of the server, and at seconds after throttling.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::fork;
use crate::log::{self, Level};

/// The bases of the delays after a transient failure and after throttling.
const TRANSIENT_BASE: Duration = Duration::from_millis(50);
const THROTTLED_BASE: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(20);
/// How much longer than the computed delay the server may make us wait.
const LONGEST_EXTRA: Duration = Duration::from_secs(5);

/// Tokens for retries: a retry takes some, a success returns them.
const QUOTA: u32 = 500;
const TRANSIENT_COST: u32 = 14;
const THROTTLED_COST: u32 = 5;

/// The delay of [`RetryDelay::Steady`], and the random part that is added to it.
const STEADY_DELAY: Duration = Duration::from_secs(1);
const STEADY_JITTER: Duration = Duration::from_millis(500);

/// The limit of immediate retries, which guards against a caller that retries forever.
const MAX_IMMEDIATE: u32 = 8;

/// How the delays between attempts grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryDelay {
    /// As the standard retry mode of the AWS tools: a random part of `base · 2^(attempt-1)`, at most 20 s. A longer
    /// `Retry-After` is respected up to 5 s more. Retries have a quota.
    Exponential,
    /// For Vault: between 1 s and 1.5 s for every attempt, or the server's `Retry-After`.
    Steady,
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
    max_attempts: u32,
    delay: RetryDelay,
    quota: AtomicU32,
}

impl Retry {
    pub(crate) fn new(max_attempts: u32, delay: RetryDelay) -> Retry {
        Retry { max_attempts, delay, quota: AtomicU32::new(QUOTA) }
    }

    /// Calls `attempt` with 1, 2, … until it succeeds, is not to be retried, or the next attempt would start after the
    /// deadline; then returns the last error. Waits while forks are allowed.
    pub(crate) fn run<T>(&self, deadline: Deadline, attempt: impl FnMut(u32) -> Result<T, FailedAttempt>) -> Result<T> {
        self.run_up_to(self.max_attempts, deadline, attempt)
    }

    /// As [`run`](Retry::run), with another limit of attempts.
    pub(crate) fn run_up_to<T>(
        &self,
        max_attempts: u32,
        deadline: Deadline,
        attempt: impl FnMut(u32) -> Result<T, FailedAttempt>,
    ) -> Result<T> {
        let wait = |delay| fork::unprotected(|| std::thread::sleep(delay));
        self.run_with(max_attempts, deadline, random, wait, attempt)
    }

    /// As [`run`](Retry::run), with a source of random numbers from 0 to 1 and a function that waits.
    fn run_with<T>(
        &self,
        max_attempts: u32,
        deadline: Deadline,
        random: impl Fn() -> f64,
        wait: impl Fn(Duration),
        mut attempt: impl FnMut(u32) -> Result<T, FailedAttempt>,
    ) -> Result<T> {
        let (mut number, mut immediate, mut paid) = (1, 0, 0);
        loop {
            let failed = match attempt(number) {
                Ok(value) => {
                    self.refund(paid.max(1));
                    return Ok(value);
                }
                Err(failed) => failed,
            };
            match failed.class {
                RetryClass::Never => return Err(failed.error),
                RetryClass::Immediate => {
                    immediate += 1;
                    if immediate > MAX_IMMEDIATE || deadline.has_passed() {
                        return Err(failed.error);
                    }
                }
                RetryClass::Transient | RetryClass::Throttled => {
                    let tried = number - immediate;
                    let delay = self.delay(tried, &failed, random());
                    if tried >= max_attempts || delay >= deadline.remaining() {
                        return Err(failed.error);
                    }
                    let Some(cost) = self.pay(failed.class) else { return Err(failed.error) };
                    paid = cost;
                    log::emit(Level::Debug, "http", || {
                        format!("attempt {number} failed ({}); retrying in {delay:.0?}", failed.error.message())
                    });
                    wait(delay);
                }
            }
            number += 1;
        }
    }

    /// Returns the delay after this many attempts.
    fn delay(&self, tried: u32, failed: &FailedAttempt, random: f64) -> Duration {
        match self.delay {
            RetryDelay::Steady => failed.retry_after.unwrap_or(STEADY_DELAY + STEADY_JITTER.mul_f64(random)),
            RetryDelay::Exponential => {
                let base = if failed.class == RetryClass::Throttled { THROTTLED_BASE } else { TRANSIENT_BASE };
                let most = base.saturating_mul(1 << (tried - 1).min(16)).min(LONGEST_DELAY);
                let delay = most.mul_f64(random);
                failed.retry_after.map_or(delay, |retry_after| retry_after.clamp(delay, delay + LONGEST_EXTRA))
            }
        }
    }

    /// Takes the cost of a retry from the quota and returns it; `None` if the quota is used up.
    fn pay(&self, class: RetryClass) -> Option<u32> {
        if self.delay == RetryDelay::Steady {
            return Some(0);
        }
        let cost = if class == RetryClass::Throttled { THROTTLED_COST } else { TRANSIENT_COST };
        let paid = self.quota.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |quota| quota.checked_sub(cost));
        paid.is_ok().then_some(cost)
    }

    fn refund(&self, tokens: u32) {
        let more = |quota: u32| Some((quota + tokens).min(QUOTA));
        let _ = self.quota.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

/// Returns a random number from 0 to 1. Without a random source it is 0.5: a delay is not a secret.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::error::Status;

    fn failed(class: RetryClass) -> FailedAttempt {
        FailedAttempt { error: Error::new(Status::Unavailable, "down"), class, retry_after: None }
    }

    /// Runs attempts that all fail, with the longest delays, and returns the delays.
    fn delays(retry: &Retry, class: RetryClass, retry_after: Option<Duration>) -> Vec<Duration> {
        let delays = RefCell::new(Vec::new());
        let error = retry.run_with(
            retry.max_attempts,
            Deadline::after(Duration::from_secs(3600)),
            || 1.0,
            |delay| delays.borrow_mut().push(delay),
            |_| Err::<(), _>(FailedAttempt { retry_after, ..failed(class) }),
        );
        assert_eq!(error.unwrap_err().message(), "down");
        delays.into_inner()
    }

    fn milliseconds<const N: usize>(times: [u64; N]) -> Vec<Duration> {
        times.map(Duration::from_millis).to_vec()
    }

    #[test]
    fn delays_double_up_to_20_s() {
        let retry = |attempts| Retry::new(attempts, RetryDelay::Exponential);
        assert_eq!(delays(&retry(4), RetryClass::Transient, None), milliseconds([50, 100, 200]));
        assert_eq!(
            delays(&retry(8), RetryClass::Throttled, None),
            milliseconds([1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000])
        );
        assert_eq!(delays(&retry(1), RetryClass::Transient, None), milliseconds([]));
        assert_eq!(delays(&retry(3), RetryClass::Never, None), milliseconds([]));
        // The exponent does not overflow.
        let many = delays(&retry(90), RetryClass::Throttled, None);
        assert_eq!((many.len(), many[88]), (89, Duration::from_secs(20)));
    }

    #[test]
    fn delay_is_a_random_part_of_the_longest() {
        let retry = Retry::new(9, RetryDelay::Exponential);
        let delay = |tried, random| retry.delay(tried, &failed(RetryClass::Transient), random);
        assert_eq!(delay(3, 0.0), Duration::ZERO);
        assert_eq!(delay(3, 0.25), Duration::from_millis(50));
        assert!((0..100).map(|_| random()).all(|number| (0.0..=1.0).contains(&number)));
        assert!((0..100).map(|_| random().to_bits()).collect::<std::collections::HashSet<_>>().len() > 90);
    }

    #[test]
    fn retry_after_is_respected_within_limits() {
        let asked = |retry_after| {
            delays(
                &Retry::new(2, RetryDelay::Exponential),
                RetryClass::Transient,
                Some(Duration::from_millis(retry_after)),
            )
        };
        assert_eq!(asked(10), milliseconds([50]));
        assert_eq!(asked(700), milliseconds([700]));
        assert_eq!(asked(60_000), milliseconds([5_050]));
        let steady = Retry::new(3, RetryDelay::Steady);
        assert_eq!(delays(&steady, RetryClass::Transient, None), milliseconds([1_500, 1_500]));
        assert_eq!(delays(&steady, RetryClass::Throttled, Some(Duration::from_secs(7))), milliseconds([7_000, 7_000]));
    }

    #[test]
    fn success_ends_the_attempts() {
        let retry = Retry::new(3, RetryDelay::Exponential);
        let result = retry.run_with(
            retry.max_attempts,
            Deadline::after(Duration::from_secs(3600)),
            || 0.5,
            |_| (),
            |number| {
                if number < 3 { Err(failed(RetryClass::Transient)) } else { Ok(number) }
            },
        );
        assert_eq!(result.unwrap(), 3);
    }

    #[test]
    fn attempt_after_the_deadline_is_not_waited_for() {
        let retry = Retry::new(3, RetryDelay::Steady);
        let never = |_: Duration| panic!("waited");
        let result = retry.run_with(
            retry.max_attempts,
            Deadline::after(Duration::from_millis(900)),
            || 0.0,
            never,
            |_| Err::<(), _>(failed(RetryClass::Transient)),
        );
        assert_eq!(result.unwrap_err().message(), "down");
    }

    #[test]
    fn immediate_retry_has_no_delay_and_costs_no_attempt() {
        let retry = Retry::new(2, RetryDelay::Exponential);
        let never = |_: Duration| panic!("waited");
        let result = retry.run_with(
            retry.max_attempts,
            Deadline::after(Duration::from_secs(3600)),
            || 1.0,
            never,
            |number| {
                if number < 4 { Err(failed(RetryClass::Immediate)) } else { Ok(number) }
            },
        );
        assert_eq!(result.unwrap(), 4);
        let attempts = RefCell::new(0);
        let result = retry.run_with(
            retry.max_attempts,
            Deadline::after(Duration::from_secs(3600)),
            || 1.0,
            never,
            |number| {
                *attempts.borrow_mut() = number;
                Err::<(), _>(failed(RetryClass::Immediate))
            },
        );
        assert_eq!(result.unwrap_err().message(), "down");
        assert_eq!(attempts.into_inner(), 1 + MAX_IMMEDIATE);
    }

    #[test]
    fn quota_bounds_retries_until_a_success() {
        let retry = Retry::new(3, RetryDelay::Exponential);
        let retries = |class| delays(&retry, class, None).len();
        // 500 tokens are enough for 35 retries of 14.
        let paid: usize = (0..30).map(|_| retries(RetryClass::Transient)).sum();
        assert_eq!(paid, 35);
        assert_eq!(retries(RetryClass::Transient), 0);
        assert_eq!(retries(RetryClass::Throttled), 2);
        assert_eq!(retries(RetryClass::Throttled), 0);
        for _ in 0..14 {
            retry.run(Deadline::after(Duration::from_secs(3600)), |_| Ok(())).unwrap();
        }
        assert_eq!(retries(RetryClass::Transient), 1);
        // A retry that succeeds costs nothing.
        retry.refund(14);
        for _ in 0..10 {
            let result = retry.run_with(
                retry.max_attempts,
                Deadline::after(Duration::from_secs(3600)),
                || 0.0,
                |_| (),
                |number| {
                    if number == 1 { Err(failed(RetryClass::Transient)) } else { Ok(()) }
                },
            );
            result.unwrap();
        }
        let steady = Retry::new(2, RetryDelay::Steady);
        let paid: usize = (0..100).map(|_| delays(&steady, RetryClass::Transient, None).len()).sum();
        assert_eq!(paid, 100);
    }
}
