//! A source that fails, and its back-off.

use std::time::Duration;

use super::super::single_flight::has_much_more_time;
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Status};

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest back-off of a source whose loads time out, in multiples of `max_backoff`.
const TIMEOUT_FACTOR: u32 = 4;
/// How often a source that is backing off is checked for new credentials.
const CREDENTIAL_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How the last load failed, in whole or in part.
#[derive(Clone)]
pub(super) struct Outage {
    error: Error,
    /// The number of consecutive loads that failed.
    failures: u32,
    /// How much time the call had that failed. The outage does not apply to a call that has much more.
    time_limit: Duration,
    /// When the source is queried again.
    retry_at: Deadline,
    credentials_checked_at: Instant,
}

impl Outage {
    /// The outage after a load that took `taken` of the time `time_limit`.
    pub(super) fn after(
        before: Option<&Outage>,
        error: Error,
        time_limit: Duration,
        taken: Duration,
        max_backoff: Duration,
    ) -> Outage {
        // The failure of a call with little time says nothing about this one.
        let failures = before.filter(|before| before.applies_to(time_limit)).map_or(0, |before| before.failures);
        let lost = if error.status() == Status::Timeout { taken } else { Duration::ZERO };
        let backoff = backoff_after(failures, lost, max_backoff);
        let new = Outage {
            error,
            failures: failures + 1,
            time_limit,
            retry_at: Deadline::after(backoff),
            credentials_checked_at: Instant::now(),
        };
        // A refresh with little time does not shorten the back-off of calls with more.
        match before.filter(|before| before.time_limit > time_limit && !before.backoff().is_zero()) {
            Some(before) if before.backoff() > backoff => {
                Outage { retry_at: before.retry_at, time_limit: before.time_limit, ..new }
            }
            Some(before) => Outage { time_limit: before.time_limit, ..new },
            None => new,
        }
    }

    /// Whether a call with this much time left would fail in the same way.
    pub(super) fn applies_to(&self, remaining: Duration) -> bool {
        self.error.is_authoritative() || !has_much_more_time(remaining, self.time_limit)
    }

    /// Whether a call with this much time left must not query the source.
    pub(super) fn is_backing_off(&self, remaining: Duration) -> bool {
        !self.retry_at.has_passed() && self.applies_to(remaining)
    }

    pub(super) fn is_credential_check_due(&self) -> bool {
        self.credentials_checked_at.elapsed() >= CREDENTIAL_CHECK_INTERVAL
    }

    pub(super) fn with_credentials_checked_now(&self) -> Outage {
        Outage { credentials_checked_at: Instant::now(), ..self.clone() }
    }

    /// The time until the source is queried again.
    pub(super) fn backoff(&self) -> Duration {
        self.retry_at.remaining()
    }

    pub(super) fn message(&self) -> &str {
        self.error.message()
    }

    /// The error of a call that does not query the source.
    pub(super) fn error(&self) -> Error {
        let backoff = self.backoff();
        self.error.clone().map_message(|message| match backoff.is_zero() {
            true => format!("{message} (another call is retrying now)"),
            false => format!("{message} (next attempt in {:.1} s; a refresh retries at once)", backoff.as_secs_f64()),
        })
    }

    #[cfg(test)]
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The same with these times until the next attempt and the next check for credentials.
    #[cfg(test)]
    pub(super) fn with(&self, backoff: Duration, credential_check: Duration) -> Outage {
        let credentials_checked_at = Instant::now().before(CREDENTIAL_CHECK_INTERVAL).after(credential_check);
        Outage { retry_at: Deadline::after(backoff), credentials_checked_at, ..self.clone() }
    }
}

/// The back-off after `failures` earlier failures: 1 s, 2 s, 4 s, … up to `max_backoff`. A load that times out costs
/// its caller the time `lost`, so the back-off after it begins with that and goes up to four times `max_backoff`.
fn backoff_after(failures: u32, lost: Duration, max_backoff: Duration) -> Duration {
    let doubled = |first: Duration| first.saturating_mul(1 << failures.min(16));
    let usual = doubled(FIRST_BACKOFF).min(max_backoff);
    usual.max(doubled(lost).min(max_backoff.saturating_mul(TIMEOUT_FACTOR)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_a_limit() {
        let seconds = Duration::from_secs;
        let backoffs = |lost, max_backoff| {
            let backoff = |failures| backoff_after(failures, seconds(lost), seconds(max_backoff)).as_secs();
            [0, 1, 2, 3, 4, 100].map(backoff)
        };
        assert_eq!(backoffs(0, 15), [1, 2, 4, 8, 15, 15]);
        assert_eq!(backoffs(10, 15), [10, 20, 40, 60, 60, 60], "at least the time that was lost");
        assert_eq!(backoffs(10, 1), [4; 6]);
        assert_eq!(backoffs(10, 0), [0; 6]);
    }
}
