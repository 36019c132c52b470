//! A source or provider that fails, and its back-off.

use std::time::Duration;

use super::super::single_flight::has_much_more_time;
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Status};
use crate::jitter;
use crate::share::Failure;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest back-off of a source whose loads time out, in multiples of `max_backoff`.
const TIMEOUT_FACTOR: u32 = 4;
/// The least time of a probe: a load from a source that hung before.
const PROBE_TIME: Duration = Duration::from_secs(1);
/// Every so many loads that hung, one has the whole time of its call again: the source may have become slow.
const WHOLE_TIME_EVERY: u32 = 10;
/// How often a source that is backing off is checked for new credentials.
const CREDENTIAL_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How the last load failed, in whole or in part.
#[derive(Clone)]
pub(in crate::secrets) struct Outage {
    error: Error,
    /// The number of consecutive loads that failed.
    failures: u32,
    /// How much time the call had that failed. The outage does not apply to a call that has much more.
    time_limit: Duration,
    /// How long the longest load took that timed out.
    lost: Duration,
    /// Whether only a part of the document failed.
    is_partial: bool,
    /// The back-off after the load, without what is left of an earlier one.
    pause: Duration,
    /// When the source is queried again.
    retry_at: Deadline,
    credentials_checked_at: Instant,
}

impl Outage {
    /// The outage after a load that took `taken` of the time `time_limit`; `None` if only a part of the document
    /// failed, so that no time was lost.
    pub(in crate::secrets) fn after(
        before: Option<&Outage>,
        error: Error,
        time_limit: Duration,
        taken: Option<Duration>,
        max_backoff: Duration,
    ) -> Outage {
        let (is_partial, taken) = (taken.is_none(), taken.unwrap_or_default());
        // The failure of a call with little time says nothing about this one.
        let same = before.filter(|before| before.applies_to(time_limit));
        let failures = same.map_or(0, |before| before.failures);
        let lost = match same {
            _ if error.status() != Status::Timeout => Duration::ZERO,
            // A probe is short so that little time is lost; the backoff stays that of the whole load before it.
            Some(before) if !taken.is_zero() => before.lost.max(taken),
            _ => taken,
        };
        let backoff = next_backoff(same.map(|before| before.pause), lost, max_backoff);
        let new = Outage {
            error,
            failures: failures + 1,
            time_limit,
            lost,
            is_partial,
            pause: backoff,
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

    /// The outage that another process shares.
    pub(in crate::secrets) fn from_share(failure: &Failure) -> Outage {
        let Failure { error, failures, time_limit, lost, pause, retry_at } = failure.clone();
        let retry_at = Deadline::after(retry_at.since(Instant::now()));
        let credentials_checked_at = Instant::now();
        Outage { error, failures, time_limit, lost, is_partial: false, pause, retry_at, credentials_checked_at }
    }

    /// The same for other processes.
    pub(in crate::secrets) fn to_share(&self) -> Failure {
        let Outage { error, failures, time_limit, lost, pause, .. } = self.clone();
        Failure { error, failures, time_limit, lost, pause, retry_at: Instant::now().after(self.backoff()) }
    }

    /// Whether a call with this much time left would fail in the same way.
    pub(in crate::secrets) fn applies_to(&self, remaining: Duration) -> bool {
        self.error.is_authoritative() || !has_much_more_time(remaining, self.time_limit)
    }

    /// Whether a call with this much time left must not query the source.
    pub(in crate::secrets) fn is_backing_off(&self, remaining: Duration) -> bool {
        !self.retry_at.has_passed() && self.applies_to(remaining)
    }

    /// Whether the source hung for a call with this much time.
    pub(super) fn is_hung(&self, remaining: Duration) -> bool {
        self.error.status() == Status::Timeout && !self.is_partial && self.applies_to(remaining)
    }

    /// How much time the next load has, for a call with this much time left. A source that hung is probed: a load has
    /// little time, or twice that of the last complete one, `load_time`.
    pub(in crate::secrets) fn time_for_load(&self, remaining: Duration, load_time: Duration) -> Duration {
        match self.is_hung(remaining) && !self.failures.is_multiple_of(WHOLE_TIME_EVERY) {
            true => remaining.min(PROBE_TIME.max(load_time.saturating_mul(2))),
            false => remaining,
        }
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

    /// The failure of the load.
    pub(super) fn cause(&self) -> &Error {
        &self.error
    }

    pub(super) fn message(&self) -> &str {
        self.error.message()
    }

    /// The error of a call that does not query the source.
    pub(in crate::secrets) fn error(&self) -> Error {
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
    pub(in crate::secrets) fn with(&self, backoff: Duration, credential_check: Duration) -> Outage {
        let credentials_checked_at = Instant::now().before(CREDENTIAL_CHECK_INTERVAL).after(credential_check);
        Outage { retry_at: Deadline::after(backoff), credentials_checked_at, ..self.clone() }
    }
}

/// The next back-off after the previous one: random from 1 s to three times the previous, at most `max_backoff`. So
/// processes whose loads failed together do not load together again. A load that times out costs its caller the time
/// `lost`, so the back-off after it begins with that and goes up to four times `max_backoff`.
fn next_backoff(previous: Option<Duration>, lost: Duration, max_backoff: Duration) -> Duration {
    let limit = if lost.is_zero() { max_backoff } else { max_backoff.saturating_mul(TIMEOUT_FACTOR) };
    jitter::decorrelated(FIRST_BACKOFF.max(lost), previous.unwrap_or_default(), limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitter::tests::with_random;

    /// The shortest and the longest of six consecutive back-offs, in seconds.
    fn backoffs(lost: u64, max_backoff: u64) -> [[f64; 6]; 2] {
        [0.0, 1.0].map(|number| {
            let mut previous = None;
            [(); 6].map(|()| {
                let seconds = Duration::from_secs;
                let next = with_random(number, || next_backoff(previous, seconds(lost), seconds(max_backoff)));
                previous = Some(next);
                next.as_secs_f64()
            })
        })
    }

    #[test]
    fn backoff_grows_up_to_a_limit() {
        assert_eq!(backoffs(0, 15), [[1.0; 6], [3.0, 9.0, 15.0, 15.0, 15.0, 15.0]]);
        let after_timeout = [[10.0; 6], [30.0, 60.0, 60.0, 60.0, 60.0, 60.0]];
        assert_eq!(backoffs(10, 15), after_timeout, "at least the time that was lost");
        assert_eq!(backoffs(10, 1), [[2.0; 6], [4.0; 6]]);
        assert_eq!(backoffs(0, 1), [[0.5; 6], [1.0; 6]]);
        assert_eq!(backoffs(10, 0), [[0.0; 6]; 2]);
    }

    #[test]
    fn sources_that_fail_together_are_not_queried_together() {
        for (status, failures) in [(Status::Unavailable, 1), (Status::Unavailable, 9), (Status::Timeout, 9)] {
            let fail = |before: Option<Outage>| {
                let (limit, taken) = (Duration::from_secs(10), Duration::from_secs(10));
                let error = Error::new(status, "it fails");
                Outage::after(before.as_ref(), error, limit, Some(taken), Duration::from_secs(15))
            };
            let pause = |_| (0..failures).fold(None, |before, _| Some(fail(before))).unwrap().pause;
            let pauses: std::collections::HashSet<Duration> = (0..100).map(pause).collect();
            assert!(pauses.len() > 90, "{status:?} {failures}: {pauses:?}");
        }
    }

    #[test]
    fn source_that_hung_is_probed() {
        let seconds = Duration::from_secs;
        let after = |before: Option<&Outage>, status, taken| {
            Outage::after(before, Error::new(status, "it fails"), seconds(10), Some(seconds(taken)), seconds(15))
        };
        let first = after(None, Status::Timeout, 10);
        let time_for_load = |outage: &Outage, load_time| outage.time_for_load(seconds(10), load_time).as_millis();
        assert_eq!(time_for_load(&first, Duration::ZERO), 1_000);
        assert_eq!(time_for_load(&first, Duration::from_millis(700)), 1_400, "twice the last load");
        assert_eq!(time_for_load(&first, seconds(8)), 10_000);
        assert_eq!(first.time_for_load(Duration::from_millis(300), Duration::ZERO).as_millis(), 300);
        assert_eq!(first.time_for_load(seconds(20), Duration::ZERO), seconds(20), "a call with much more time");
        let partial = Outage::after(None, Error::new(Status::Timeout, "it fails"), seconds(10), None, seconds(15));
        assert_eq!(time_for_load(&partial, Duration::ZERO), 10_000, "only a part of the document timed out");
        let mut outage = first;
        let mut whole = Vec::new();
        for failures in 1..=30 {
            assert_eq!((outage.failures, outage.lost), (failures, seconds(10)));
            if time_for_load(&outage, Duration::ZERO) == 10_000 {
                whole.push(failures);
            }
            outage = after(Some(&outage), Status::Timeout, 1);
            assert!(outage.pause >= seconds(10), "the backoff is that of the longest load");
        }
        assert_eq!(whole, [10, 20, 30]);
        let refused = after(Some(&outage), Status::Unavailable, 0);
        assert_eq!((time_for_load(&refused, Duration::ZERO), refused.lost), (10_000, Duration::ZERO));
    }
}
