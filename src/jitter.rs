//! Random times. Processes that start or fail together must not come back together.

use std::time::Duration;

/// The part of a TTL after which cached data are loaded again while they are still fresh, from and to.
pub(crate) const REFRESH_FROM: f64 = 0.7;
pub(crate) const REFRESH_TO: f64 = 0.95;

/// Returns a random number from 0 to 1. Without a random source it is 0.5: a time is not a secret.
pub(crate) fn random() -> f64 {
    #[cfg(test)]
    if let Some(number) = tests::STEERED.get() {
        return number;
    }
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

/// Returns a random age from which data with this TTL are loaded again while they are still fresh.
pub(crate) fn refresh_age(ttl: Duration) -> Duration {
    ttl.mul_f64(REFRESH_FROM + (REFRESH_TO - REFRESH_FROM) * random())
}

/// Returns the next delay, random between `base` and three times the previous delay: the "decorrelated jitter" of the
/// AWS Architecture Blog, "Exponential Backoff And Jitter". Before the first delay, `previous` is `base`.
///
/// `limit` is an upper bound of the range, not of the delay, so that long delays do not all have the same length. If it
/// is less than twice `base`, the range is its upper half.
pub(crate) fn decorrelated(base: Duration, previous: Duration, limit: Duration) -> Duration {
    let most = previous.max(base).saturating_mul(3).min(limit);
    let least = base.min(most / 2);
    let delay = least.as_secs_f64() + (most - least).as_secs_f64() * random();
    Duration::try_from_secs_f64(delay).unwrap_or(most).min(most)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// What [`random`] returns in this thread, instead of a random number.
        pub(super) static STEERED: Cell<Option<f64>> = const { Cell::new(None) };
    }

    /// Runs `work` while [`random`] returns `number` in this thread.
    pub(crate) fn with_random<T>(number: f64, work: impl FnOnce() -> T) -> T {
        let before = STEERED.replace(Some(number));
        let result = work();
        STEERED.set(before);
        result
    }

    #[test]
    fn random_numbers_are_from_0_to_1_and_differ() {
        assert!((0..100).map(|_| random()).all(|number| (0.0..=1.0).contains(&number)));
        assert!((0..100).map(|_| random().to_bits()).collect::<std::collections::HashSet<_>>().len() > 90);
    }

    #[test]
    fn refresh_age_is_between_its_bounds() {
        let ttl = Duration::from_secs(300);
        let age = |number| with_random(number, || refresh_age(ttl)).as_secs_f64();
        assert_eq!([0.0, 0.4, 1.0].map(age).map(f64::round), [210.0, 240.0, 285.0]);
        assert!((0..100).map(|_| refresh_age(ttl)).all(|age| (ttl * 7 / 10..=ttl * 95 / 100).contains(&age)));
        assert_eq!(refresh_age(Duration::ZERO), Duration::ZERO);
        assert!(refresh_age(Duration::MAX) < Duration::MAX);
    }

    #[test]
    fn delay_grows_up_to_three_times_the_previous_one() {
        let (base, limit) = (Duration::from_secs(1), Duration::from_secs(20));
        let delays = |number| {
            let mut delay = base;
            let next = |_| {
                delay = with_random(number, || decorrelated(base, delay, limit));
                delay.as_secs_f64()
            };
            (0..5).map(next).collect::<Vec<_>>()
        };
        assert_eq!(delays(0.0), [1.0; 5]);
        assert_eq!(delays(1.0), [3.0, 9.0, 20.0, 20.0, 20.0]);
        assert_eq!(delays(0.5)[..2], [2.0, 3.5]);
    }

    #[test]
    fn delays_at_the_limit_differ() {
        let seconds = Duration::from_secs;
        for (base, previous, limit) in [(1, 15, 15), (15, 15, 15), (10, 10, 4), (1, 1_000_000, 15)] {
            let next = || decorrelated(seconds(base), seconds(previous), seconds(limit));
            let delays: std::collections::HashSet<Duration> = (0..100).map(|_| next()).collect();
            assert!(delays.len() > 90, "{base} {limit}");
            let least = seconds(base).min(seconds(limit) / 2);
            assert!(delays.iter().all(|delay| (least..=seconds(limit)).contains(delay)), "{base} {limit}");
        }
        assert_eq!(decorrelated(seconds(1), seconds(1), Duration::ZERO), Duration::ZERO);
        let longest = with_random(1.0, || decorrelated(seconds(1), Duration::MAX, Duration::MAX));
        assert_eq!(longest, Duration::MAX);
    }
}
