//! The client's own limit of requests, `VAULT_RATE_LIMIT`.

use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::variables::{Given, Refused};
use crate::clock::{Deadline, Instant};
use crate::fork;

/// Requests a second, and how many may come at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    per_second: f64,
    burst: f64,
}

impl Rate {
    /// `rate` or `rate:burst`; without a burst it is the whole part of the rate, as in the tools. A rate of 0 is no
    /// limit.
    pub(super) fn parse(given: &Given) -> Result<Option<Rate>, Refused> {
        let (rate, burst) = match given.value.split_once(':') {
            Some((rate, burst)) => (rate, Some(burst)),
            None => (given.value.as_str(), None),
        };
        let per_second = rate.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0);
        let burst = match burst {
            Some(burst) => burst.parse::<u32>().ok().map(f64::from),
            None => per_second.map(|rate| rate.floor().max(1.0)),
        };
        match (per_second, burst) {
            (Some(0.0), Some(_)) => Ok(None),
            (Some(per_second), Some(burst)) if burst >= 1.0 => Ok(Some(Rate { per_second, burst })),
            _ => Err(given.origin.refuse("must be requests per second, maybe with a burst: 10 or 10:20")),
        }
    }
}

/// Holds requests back to a rate.
pub(super) struct Pace {
    rate: Rate,
    /// How many may still go at once, and since when that is true. It is below 0 for those that wait.
    left: Mutex<(f64, Instant)>,
}

impl Pace {
    pub(super) fn new(rate: Rate) -> Pace {
        Pace { rate, left: Mutex::new((rate.burst, Instant::now())) }
    }

    /// Waits until the next request may go, outside the fork gate. Where that is after the deadline, it takes nothing and
    /// returns how long it would be.
    pub(super) fn wait(&self, deadline: Deadline) -> Result<(), Duration> {
        let wait = self.take(deadline.remaining())?;
        if !wait.is_zero() {
            fork::unprotected(|| thread::sleep(wait));
        }
        Ok(())
    }

    fn take(&self, longest: Duration) -> Result<Duration, Duration> {
        let mut left = self.left.lock();
        let regained = left.1.elapsed().as_secs_f64() * self.rate.per_second;
        let after = (left.0 + regained).min(self.rate.burst) - 1.0;
        let wait = Duration::try_from_secs_f64(-after.min(0.0) / self.rate.per_second).unwrap_or(Duration::MAX);
        if wait > longest {
            return Err(wait);
        }
        *left = (after, Instant::now());
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::secrets::vault::variables::Origin;

    fn rate(text: &str) -> Option<Option<Rate>> {
        let origin = Origin::Variable("VAULT_RATE_LIMIT".to_owned());
        Rate::parse(&Given { origin, value: Zeroizing::new(text.to_owned()) }).ok()
    }

    #[test]
    fn a_rate_may_have_a_burst() {
        assert_eq!(rate("10:20"), Some(Some(Rate { per_second: 10.0, burst: 20.0 })));
        assert_eq!(rate("2.5"), Some(Some(Rate { per_second: 2.5, burst: 2.0 })));
        assert_eq!((rate("0"), rate("0:0")), (Some(None), Some(None)));
        for text in ["", "-1", "fast", "10:", "10:0", "nan", "inf"] {
            assert_eq!(rate(text), None, "{text:?}");
        }
    }

    #[test]
    fn after_the_burst_requests_wait_for_their_turn() {
        let pace = Pace::new(Rate { per_second: 0.001, burst: 2.0 });
        let take = || pace.take(Duration::MAX).unwrap();
        assert_eq!((take(), take()), (Duration::ZERO, Duration::ZERO));
        let (third, fourth) = (take().as_secs(), take().as_secs());
        assert!((500..=1000).contains(&third) && (1500..=2000).contains(&fourth), "{third} {fourth}");
    }

    #[test]
    fn a_wait_that_is_too_long_takes_nothing() {
        let pace = Pace::new(Rate { per_second: 0.001, burst: 1.0 });
        assert_eq!(pace.wait(Deadline::after(Duration::ZERO)), Ok(()));
        for _ in 0..1000 {
            assert!(pace.wait(Deadline::after(Duration::from_millis(20))).is_err());
        }
        let next = pace.take(Duration::MAX).unwrap().as_secs();
        assert!((500..=1000).contains(&next), "{next}");
    }
}
