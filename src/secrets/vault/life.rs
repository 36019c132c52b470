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

    pub(super) fn left(&self) -> Duration {
        self.ttl.map_or(Duration::MAX, |ttl| ttl.saturating_sub(self.from.elapsed()))
    }

    /// The time until it is due.
    pub(super) fn due(&self) -> Duration {
        self.ttl.map_or(Duration::MAX, |ttl| (ttl / 3 * 2).saturating_sub(self.from.elapsed()))
    }

    /// Whether it may end while it is used.
    pub(super) fn is_ending(&self) -> bool {
        let left = self.left();
        !left.is_zero() && left < LAST_MOMENT && self.ttl.is_some_and(|ttl| left < ttl / 8)
    }

    /// This life after a renewal; one that could not be prolonged is not renewable any more.
    pub(super) fn renewed(&self, new: Life) -> Life {
        let gain = new.left().saturating_sub(self.left());
        let is_at_maximum = new.ttl.is_some_and(|ttl| gain < NO_GAIN.min(ttl / 3));
        Life { renewable: new.renewable && !is_at_maximum, ..new }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A token that has lived for `age` of `ttl`.
    fn life(age: Duration, ttl: Duration) -> Life {
        Life { from: Instant::now().before(age), ttl: Some(ttl), renewable: true }
    }

    #[test]
    fn a_renewal_without_gain_is_the_last() {
        let old = life(20 * SECOND, 30 * SECOND);
        assert!(old.renewed(life(Duration::ZERO, 30 * SECOND)).renewable);
        assert!(old.renewed(life(Duration::ZERO, 15 * SECOND)).renewable);
        assert!(!old.renewed(life(Duration::ZERO, 10 * SECOND)).renewable);
        assert!(!old.renewed(life(Duration::ZERO, 9 * SECOND)).renewable);
        let short = life(2 * SECOND, 3 * SECOND);
        assert!(short.renewed(life(Duration::ZERO, 3 * SECOND)).renewable);
        let endless = Life { ttl: None, ..life(Duration::ZERO, SECOND) };
        assert!(old.renewed(endless).renewable);
    }

    #[test]
    fn a_token_in_its_last_moment_is_known() {
        for (age, ttl, is_ending) in [(0, 10, false), (8, 10, false), (9, 10, true), (10, 10, false)] {
            assert_eq!(life(age * SECOND, ttl * SECOND).is_ending(), is_ending, "{age} of {ttl}");
        }
        assert!(!life(3500 * SECOND, 3600 * SECOND).is_ending() && life(3596 * SECOND, 3600 * SECOND).is_ending());
    }
}
