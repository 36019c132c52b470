//! The lifetime of a token, and when to renew it.

use std::time::Duration;

use crate::clock::Instant;
use crate::jitter;
use crate::secrets::json::JsonObject;

/// A token with less than this left, and less than an eighth of its TTL, could expire during a load and is renewed
/// before it.
const EXPIRING: Duration = Duration::from_secs(5);
/// A renewal that adds less than this, or less than a third of the TTL, has reached the token's maximum TTL.
const MIN_GAIN: Duration = Duration::from_secs(2);

/// How long a token is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub(super) start: Instant,
    /// `None` if it does not expire, as root tokens do not.
    pub(super) ttl: Option<Duration>,
    /// Whether a renewal may extend it.
    pub(super) renewable: bool,
    /// The age from which it should be renewed, between five ninths and two thirds of the TTL: processes that log in
    /// together do not renew together.
    pub(super) renew_at: Duration,
}

impl Lifetime {
    /// A lifetime with a random age for the renewal.
    pub(super) fn new(start: Instant, ttl: Option<Duration>, renewable: bool) -> Lifetime {
        let renew_at = ttl.map_or(Duration::MAX, |ttl| ttl / 3 * 2 - (ttl / 9).mul_f64(jitter::random()));
        Lifetime { start, ttl, renewable, renew_at }
    }

    /// The lifetime from `start` on that a response gives in the member `name`, in seconds; 0 is unlimited.
    pub(super) fn parse(object: &JsonObject<'_>, name: &str, start: Instant) -> Lifetime {
        let ttl = object.number(name).filter(|ttl| *ttl > 0).map(Duration::from_secs);
        Lifetime::new(start, ttl, object.flag("renewable"))
    }

    /// The time until the token expires.
    pub(super) fn remaining(&self, now: Instant) -> Duration {
        self.ttl.map_or(Duration::MAX, |ttl| ttl.saturating_sub(now.since(self.start)))
    }

    /// The time until the token should be renewed.
    pub(super) fn until_renewal(&self, now: Instant) -> Duration {
        if self.ttl.is_none() { Duration::MAX } else { self.renew_at.saturating_sub(now.since(self.start)) }
    }

    /// Whether the token could expire while it is used.
    pub(super) fn is_expiring(&self, now: Instant) -> bool {
        let remaining = self.remaining(now);
        !remaining.is_zero() && remaining < EXPIRING && self.ttl.is_some_and(|ttl| remaining < ttl / 8)
    }

    /// The lifetime `new` after a renewal, no longer renewable if that hardly extended it.
    pub(super) fn renewed(&self, new: Lifetime) -> Lifetime {
        let gain = new.remaining(new.start).saturating_sub(self.remaining(new.start));
        let is_at_maximum = new.ttl.is_some_and(|ttl| gain < MIN_GAIN.min(ttl / 3));
        Lifetime { renewable: new.renewable && !is_at_maximum, ..new }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn lifetime(start: Instant, seconds: u32) -> Lifetime {
        Lifetime::new(start, Some(seconds * SECOND), true)
    }

    #[test]
    fn renewal_without_gain_is_the_last() {
        let start = Instant::now();
        let renewed = |ttl, at, new| lifetime(start, ttl).renewed(lifetime(start.after(at * SECOND), new)).renewable;
        assert!(renewed(30, 20, 30) && renewed(30, 20, 15) && renewed(3, 2, 3));
        assert!(!renewed(30, 20, 10) && !renewed(30, 20, 9) && !renewed(30, 20, 11));
        let unlimited = Lifetime { ttl: None, ..lifetime(start, 1) };
        assert!(lifetime(start, 30).renewed(unlimited).renewable);
    }

    #[test]
    fn tokens_of_the_same_age_are_not_renewed_together() {
        let start = Instant::now();
        let until = |_| lifetime(start, 3600).until_renewal(start);
        let times: std::collections::HashSet<Duration> = (0..100).map(until).collect();
        assert!(
            times.len() > 90 && times.iter().all(|time| (2000 * SECOND..=2400 * SECOND).contains(time)),
            "{times:?}"
        );
    }

    #[test]
    fn lifetime_is_expiring_shortly_before_its_end() {
        let start = Instant::now();
        for (age, ttl, is_expiring) in
            [(0, 10, false), (8, 10, false), (9, 10, true), (10, 10, false), (3500, 3600, false), (3596, 3600, true)]
        {
            assert_eq!(lifetime(start, ttl).is_expiring(start.after(age * SECOND)), is_expiring, "{age} of {ttl}");
        }
    }
}
