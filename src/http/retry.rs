//! When a request is sent again: attempts, delays and a quota, within the deadline.
//!
//! The constants of [`Backoff::Exponential`] are those of version 2.1 of the standard mode of the AWS tools (2026): an ill
//! server is asked again after milliseconds, one that throttles after seconds.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::fork;

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
        self.run_with(deadline, random, |delay| fork::outside(|| std::thread::sleep(delay)), attempt)
    }

    /// With these random numbers from 0 to 1, and this way to wait.
    fn run_with<T>(
        &self,
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
                    if tried >= self.max_attempts || delay >= deadline.remaining() {
                        return Err(failed.error);
                    }
                    let Some(cost) = self.pay(failed.again) else { return Err(failed.error) };
                    paid = cost;
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
