//! When a request is sent again: attempts, delays and a quota, within the deadline.
//!
//! The constants of [`Backoff::Exponential`] are those of version 2.1 of the standard mode of the AWS tools (2026): an ill
//! server is asked again after milliseconds, one that throttles after seconds.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::fork;
use crate::log::{self, Level};

/// The base of the delays after an attempt that failed, and after one that was throttled.
const TRANSIENT_BASE: Duration = Duration::from_millis(50);
const THROTTLED_BASE: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(20);
/// A server may ask for more time than the delay, but not for much more.
const LONGEST_EXTRA: Duration = Duration::from_secs(5);

/// Tokens for retries: each costs some, a success gives them back.
const QUOTA: u32 = 500;
const TRANSIENT_COST: u32 = 14;
const THROTTLED_COST: u32 = 5;

/// Vault's delay, and how much longer it may be.
const STEADY_DELAY: Duration = Duration::from_secs(1);
const STEADY_JITTER: Duration = Duration::from_millis(500);

/// How many attempts may follow something that was mended, beside the others: a caller that mends for ever has a bug.
const MOST_MENDED: u32 = 8;

/// How long to wait before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backoff {
    /// The standard mode of the AWS tools: a random part of `base · 2^(attempt-1)`, at most 20 s. A time that the server
    /// asks for counts from there up to 5 s more. Retries have a quota.
    Exponential,
    /// Vault's: between 1 s and 1.5 s, whatever the attempt, or what the server asks for.
    Steady,
}

/// What a failed attempt is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    Never,
    /// The server or the way to it is ill.
    Transient,
    /// The server asks for fewer requests.
    Throttled,
    /// Something was mended (a token, the clock): at once, and it costs nothing.
    AtOnce,
}

/// A failed attempt.
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) again: Again,
    /// The time that the server asks to wait.
    pub(crate) after: Option<Duration>,
}

impl Failed {
    pub(crate) fn finally(error: Error) -> Failed {
        Failed { error, again: Again::Never, after: None }
    }

    /// Another attempt is worth it if the error says so, as those of [`Client::send`](crate::http::Client::send) do.
    pub(crate) fn as_marked(error: Error) -> Failed {
        let again = if error.is_retryable() { Again::Transient } else { Again::Never };
        Failed { error, again, after: None }
    }
}

/// Shared by all loads of one source: its quota bounds retries over time.
pub(crate) struct Retry {
    max_attempts: u32,
    backoff: Backoff,
    quota: AtomicU32,
}

impl Retry {
    pub(crate) fn new(max_attempts: u32, backoff: Backoff) -> Retry {
        Retry { max_attempts, backoff, quota: AtomicU32::new(QUOTA) }
    }

    /// Calls `attempt` (1, 2, …) until it succeeds, is not worth another try, or the next would begin after the
    /// deadline; then the answer is its last error. Waits outside the fork gate.
    pub(crate) fn run<T>(
        &self,
        deadline: Deadline,
        attempt: impl FnMut(u32) -> std::result::Result<T, Failed>,
    ) -> Result<T> {
        self.run_up_to(self.max_attempts, deadline, attempt)
    }

    /// As [`run`](Retry::run), with at most so many attempts.
    pub(crate) fn run_up_to<T>(
        &self,
        max_attempts: u32,
        deadline: Deadline,
        attempt: impl FnMut(u32) -> std::result::Result<T, Failed>,
    ) -> Result<T> {
        let wait = |delay| fork::unprotected(|| std::thread::sleep(delay));
        self.run_with(max_attempts, deadline, random, wait, attempt)
    }

    /// With these random numbers from 0 to 1, and this way to wait.
    fn run_with<T>(
        &self,
        max_attempts: u32,
        deadline: Deadline,
        random: impl Fn() -> f64,
        wait: impl Fn(Duration),
        mut attempt: impl FnMut(u32) -> std::result::Result<T, Failed>,
    ) -> Result<T> {
        let (mut number, mut mended, mut paid) = (1, 0, 0);
        loop {
            let failed = match attempt(number) {
                Ok(value) => {
                    self.give_back(paid.max(1));
                    return Ok(value);
                }
                Err(failed) => failed,
            };
            match failed.again {
                Again::Never => return Err(failed.error),
                Again::AtOnce => {
                    mended += 1;
                    if mended > MOST_MENDED || deadline.has_passed() {
                        return Err(failed.error);
                    }
                }
                Again::Transient | Again::Throttled => {
                    let tried = number - mended;
                    let delay = self.delay(tried, &failed, random());
                    if tried >= max_attempts || delay >= deadline.remaining() {
                        return Err(failed.error);
                    }
                    let Some(cost) = self.pay(failed.again) else { return Err(failed.error) };
                    paid = cost;
                    log::emit(Level::Debug, "http", || {
                        format!("attempt {number} failed ({}); the next begins in {delay:.0?}", failed.error.message())
                    });
                    wait(delay);
                }
            }
            number += 1;
        }
    }

    /// The time between the attempt of this number and the next.
    fn delay(&self, tried: u32, failed: &Failed, random: f64) -> Duration {
        match self.backoff {
            Backoff::Steady => failed.after.unwrap_or(STEADY_DELAY + STEADY_JITTER.mul_f64(random)),
            Backoff::Exponential => {
                let base = if failed.again == Again::Throttled { THROTTLED_BASE } else { TRANSIENT_BASE };
                let most = base.saturating_mul(1 << (tried - 1).min(16)).min(LONGEST_DELAY);
                let delay = most.mul_f64(random);
                failed.after.map_or(delay, |after| after.clamp(delay, delay + LONGEST_EXTRA))
            }
        }
    }

    /// Takes the price of a retry out of the quota; `None` means that it is used up.
    fn pay(&self, again: Again) -> Option<u32> {
        if self.backoff == Backoff::Steady {
            return Some(0);
        }
        let cost = if again == Again::Throttled { THROTTLED_COST } else { TRANSIENT_COST };
        let paid = self.quota.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |quota| quota.checked_sub(cost));
        paid.is_ok().then_some(cost)
    }

    fn give_back(&self, tokens: u32) {
        let more = |quota: u32| Some((quota + tokens).min(QUOTA));
        let _ = self.quota.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

/// From 0 to 1. Without a source of random numbers, the middle: a delay is no secret.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::error::Status;

    fn failed(again: Again) -> Failed {
        Failed { error: Error::new(Status::Unavailable, "ill"), again, after: None }
    }

    /// Runs attempts that all fail as told, with the longest delays; the answer is the delays between them.
    fn delays(retry: &Retry, again: Again, after: Option<Duration>) -> Vec<Duration> {
        let delays = RefCell::new(Vec::new());
        let error = retry.run_with(
            retry.max_attempts,
            Deadline::after(Duration::from_secs(3600)),
            || 1.0,
            |delay| delays.borrow_mut().push(delay),
            |_| Err::<(), _>(Failed { after, ..failed(again) }),
        );
        assert_eq!(error.unwrap_err().message(), "ill");
        delays.into_inner()
    }

    fn milliseconds<const N: usize>(times: [u64; N]) -> Vec<Duration> {
        times.map(Duration::from_millis).to_vec()
    }

    #[test]
    fn delays_double_up_to_20_s() {
        let retry = |attempts| Retry::new(attempts, Backoff::Exponential);
        assert_eq!(delays(&retry(4), Again::Transient, None), milliseconds([50, 100, 200]));
        assert_eq!(
            delays(&retry(8), Again::Throttled, None),
            milliseconds([1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000])
        );
        assert_eq!(delays(&retry(1), Again::Transient, None), milliseconds([]));
        assert_eq!(delays(&retry(3), Again::Never, None), milliseconds([]));
        // The exponent does not overflow.
        let many = delays(&retry(90), Again::Throttled, None);
        assert_eq!((many.len(), many[88]), (89, Duration::from_secs(20)));
    }

    #[test]
    fn a_delay_is_a_random_part_of_the_longest() {
        let retry = Retry::new(9, Backoff::Exponential);
        let delay = |tried, random| retry.delay(tried, &failed(Again::Transient), random);
        assert_eq!(delay(3, 0.0), Duration::ZERO);
        assert_eq!(delay(3, 0.25), Duration::from_millis(50));
        assert!((0..100).map(|_| random()).all(|number| (0.0..=1.0).contains(&number)));
        assert!((0..100).map(|_| random().to_bits()).collect::<std::collections::HashSet<_>>().len() > 90);
    }

    #[test]
    fn what_the_server_asks_for_counts_within_limits() {
        let asked =
            |after| delays(&Retry::new(2, Backoff::Exponential), Again::Transient, Some(Duration::from_millis(after)));
        assert_eq!(asked(10), milliseconds([50]));
        assert_eq!(asked(700), milliseconds([700]));
        assert_eq!(asked(60_000), milliseconds([5_050]));
        let steady = Retry::new(3, Backoff::Steady);
        assert_eq!(delays(&steady, Again::Transient, None), milliseconds([1_500, 1_500]));
        assert_eq!(delays(&steady, Again::Throttled, Some(Duration::from_secs(7))), milliseconds([7_000, 7_000]));
    }

    #[test]
    fn a_success_ends_it() {
        let retry = Retry::new(3, Backoff::Exponential);
        let result = retry.run_with(
            retry.max_attempts,
            Deadline::after(Duration::from_secs(3600)),
            || 0.5,
            |_| (),
            |number| {
                if number < 3 { Err(failed(Again::Transient)) } else { Ok(number) }
            },
        );
        assert_eq!(result.unwrap(), 3);
    }

    #[test]
    fn nobody_waits_for_an_attempt_that_would_begin_too_late() {
        let retry = Retry::new(3, Backoff::Steady);
        let never = |_: Duration| panic!("waited");
        let result = retry.run_with(
            retry.max_attempts,
            Deadline::after(Duration::from_millis(900)),
            || 0.0,
            never,
            |_| Err::<(), _>(failed(Again::Transient)),
        );
        assert_eq!(result.unwrap_err().message(), "ill");
    }

    #[test]
    fn what_was_mended_is_tried_at_once_and_costs_no_attempt() {
        let retry = Retry::new(2, Backoff::Exponential);
        let never = |_: Duration| panic!("waited");
        let result = retry.run_with(
            retry.max_attempts,
            Deadline::after(Duration::from_secs(3600)),
            || 1.0,
            never,
            |number| {
                if number < 4 { Err(failed(Again::AtOnce)) } else { Ok(number) }
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
                Err::<(), _>(failed(Again::AtOnce))
            },
        );
        assert_eq!(result.unwrap_err().message(), "ill");
        assert_eq!(attempts.into_inner(), 1 + MOST_MENDED);
    }

    #[test]
    fn the_quota_bounds_retries_until_something_succeeds() {
        let retry = Retry::new(3, Backoff::Exponential);
        let retries = |again| delays(&retry, again, None).len();
        // 500 tokens pay for 35 retries of 14.
        let paid: usize = (0..30).map(|_| retries(Again::Transient)).sum();
        assert_eq!(paid, 35);
        assert_eq!(retries(Again::Transient), 0);
        assert_eq!(retries(Again::Throttled), 2);
        assert_eq!(retries(Again::Throttled), 0);
        for _ in 0..14 {
            retry.run(Deadline::after(Duration::from_secs(3600)), |_| Ok(())).unwrap();
        }
        assert_eq!(retries(Again::Transient), 1);
        // A retry that succeeds costs nothing.
        retry.give_back(14);
        for _ in 0..10 {
            let result = retry.run_with(
                retry.max_attempts,
                Deadline::after(Duration::from_secs(3600)),
                || 0.0,
                |_| (),
                |number| {
                    if number == 1 { Err(failed(Again::Transient)) } else { Ok(()) }
                },
            );
            result.unwrap();
        }
        let steady = Retry::new(2, Backoff::Steady);
        let paid: usize = (0..100).map(|_| delays(&steady, Again::Transient, None).len()).sum();
        assert_eq!(paid, 100);
    }
}
