//! A source that does not work, and how long it rests.

use std::time::Duration;

use super::super::single_flight::is_more_patient;
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Status};

/// The first rest.
const BACKOFF: Duration = Duration::from_secs(1);
/// How many times `max_backoff` a source may rest whose loads time out.
const TIMEOUT_FACTOR: u32 = 4;
/// How often a resting source is asked whether there are new credentials.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How the last load failed, in whole or in part.
#[derive(Clone)]
pub(super) struct Failing {
    error: Error,
    /// How many loads in a row have failed.
    times: u32,
    /// How much time the call had that failed. A call that has much more is not bound by the failure.
    given: Duration,
    /// When the source is asked again.
    until: Deadline,
    /// When it was last asked whether there are new credentials.
    looked: Instant,
}

impl Failing {
    /// After a load that took `taken` of the time `given`.
    pub(super) fn after(
        before: Option<&Failing>,
        error: Error,
        given: Duration,
        taken: Duration,
        max_backoff: Duration,
    ) -> Failing {
        // The failure of a hurried call says nothing to this one.
        let times = before.filter(|before| before.binds(given)).map_or(0, |before| before.times);
        let lost = if error.status() == Status::Timeout { taken } else { Duration::ZERO };
        let rest = rest_after(times, lost, max_backoff);
        let new = Failing { error, times: times + 1, given, until: Deadline::after(rest), looked: Instant::now() };
        // A hurried refresh does not shorten the rest that binds more patient calls.
        match before.filter(|before| before.given > given && before.until.remaining() > Duration::ZERO) {
            Some(before) if before.until.remaining() > rest => {
                Failing { until: before.until, given: before.given, ..new }
            }
            Some(before) => Failing { given: before.given, ..new },
            None => new,
        }
    }

    /// Whether it counts for a call with this much time left.
    pub(super) fn binds(&self, remaining: Duration) -> bool {
        self.error.is_authoritative() || !is_more_patient(remaining, self.given)
    }

    /// Whether a call with this much time left leaves the source alone.
    pub(super) fn rests(&self, remaining: Duration) -> bool {
        !self.until.has_passed() && self.binds(remaining)
    }

    /// Whether it is time to look for new credentials.
    pub(super) fn is_look_due(&self) -> bool {
        self.looked.elapsed() >= LOOK_INTERVAL
    }

    pub(super) fn looked_now(&self) -> Failing {
        Failing { looked: Instant::now(), ..self.clone() }
    }

    /// When the source is asked again, from now.
    pub(super) fn rest(&self) -> Duration {
        self.until.remaining()
    }

    pub(super) fn message(&self) -> &str {
        self.error.message()
    }

    /// The error of a call that does not ask the source.
    pub(super) fn error(&self) -> Error {
        let rest = self.rest();
        self.error.clone().map_message(|message| match rest.is_zero() {
            true => format!("{message} (another call asks it again now)"),
            false => {
                format!("{message} (it is asked again in {:.1} s; a refresh asks at once)", rest.as_secs_f64())
            }
        })
    }

    #[cfg(test)]
    pub(super) fn times(&self) -> u32 {
        self.times
    }

    /// The same with this much left of its rest, and of the time until it looks for new credentials.
    #[cfg(test)]
    pub(super) fn with(&self, rest: Duration, look: Duration) -> Failing {
        let looked = Instant::now().before(LOOK_INTERVAL).after(look);
        Failing { until: Deadline::after(rest), looked, ..self.clone() }
    }
}

/// The rest after a failure that follows `times` others: 1 s, 2 s, 4 s, … up to `max_backoff`. A load that times out
/// costs its caller the time `lost`, so the rests after it begin with that and go up to four times `max_backoff`.
fn rest_after(times: u32, lost: Duration, max_backoff: Duration) -> Duration {
    let doubled = |first: Duration| first.saturating_mul(1 << times.min(16));
    let usual = doubled(BACKOFF).min(max_backoff);
    usual.max(doubled(lost).min(max_backoff.saturating_mul(TIMEOUT_FACTOR)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_up_to_a_bound() {
        let seconds = Duration::from_secs;
        let rests = |lost, max_backoff| {
            let rest = |times| rest_after(times, seconds(lost), seconds(max_backoff)).as_secs();
            [0, 1, 2, 3, 4, 100].map(rest)
        };
        assert_eq!(rests(0, 15), [1, 2, 4, 8, 15, 15]);
        assert_eq!(rests(10, 15), [10, 20, 40, 60, 60, 60], "at least the time that was lost");
        assert_eq!(rests(10, 1), [4; 6]);
        assert_eq!(rests(10, 0), [0; 6]);
    }
}
