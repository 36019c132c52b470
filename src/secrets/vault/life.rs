//! How long a token is good, and when it is due.

use std::time::Duration;

use super::answer::Object;
use crate::clock::Instant;

/// A token with less than this left, and less than an eighth of its life, may expire while it is used: it is renewed
/// before.
const LAST_MOMENT: Duration = Duration::from_secs(5);
/// A renewal that adds less than this, or less than a third of the life, has met the token's maximum.
const NO_GAIN: Duration = Duration::from_secs(2);

/// How long a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) from: Instant,
    /// `None`: it does not expire, as root tokens do not.
    pub(super) ttl: Option<Duration>,
    /// Whether a renewal may prolong it.
    pub(super) renewable: bool,
}

impl Life {
    /// The life that an answer gives under this name, in seconds; 0 is without end.
    pub(super) fn of(object: &Object<'_>, name: &str, from: Instant) -> Life {
        let ttl = object.number(name).filter(|ttl| *ttl > 0).map(Duration::from_secs);
        Life { from, ttl, renewable: object.flag("renewable") }
    }

    pub(super) fn left(&self, now: Instant) -> Duration {
        self.ttl.map_or(Duration::MAX, |ttl| ttl.saturating_sub(now.since(self.from)))
    }

    /// The time until it is due.
    pub(super) fn due(&self, now: Instant) -> Duration {
        self.ttl.map_or(Duration::MAX, |ttl| (ttl / 3 * 2).saturating_sub(now.since(self.from)))
    }

    /// Whether it may end while it is used.
    pub(super) fn is_ending(&self, now: Instant) -> bool {
        let left = self.left(now);
        !left.is_zero() && left < LAST_MOMENT && self.ttl.is_some_and(|ttl| left < ttl / 8)
    }

    /// This life after a renewal; one that could not be prolonged is not renewable any more.
    pub(super) fn renewed(&self, new: Life) -> Life {
        let gain = new.left(new.from).saturating_sub(self.left(new.from));
        let is_at_maximum = new.ttl.is_some_and(|ttl| gain < NO_GAIN.min(ttl / 3));
        Life { renewable: new.renewable && !is_at_maximum, ..new }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn life(from: Instant, seconds: u32) -> Life {
        Life { from, ttl: Some(seconds * SECOND), renewable: true }
    }

    #[test]
    fn a_renewal_without_gain_is_the_last() {
        let start = Instant::now();
        let renewed = |ttl, at, new| life(start, ttl).renewed(life(start.after(at * SECOND), new)).renewable;
        assert!(renewed(30, 20, 30) && renewed(30, 20, 15) && renewed(3, 2, 3));
        assert!(!renewed(30, 20, 10) && !renewed(30, 20, 9) && !renewed(30, 20, 11));
        let endless = Life { ttl: None, ..life(start, 1) };
        assert!(life(start, 30).renewed(endless).renewable);
    }

    #[test]
    fn a_token_in_its_last_moment_is_known() {
        let start = Instant::now();
        for (age, ttl, is_ending) in
            [(0, 10, false), (8, 10, false), (9, 10, true), (10, 10, false), (3500, 3600, false), (3596, 3600, true)]
        {
            assert_eq!(life(start, ttl).is_ending(start.after(age * SECOND)), is_ending, "{age} of {ttl}");
        }
    }
}
