//! `VAULT_RATE_LIMIT`: the client's own limit of requests.

use std::thread;
use std::time::Duration;

use crate::clock::{Deadline, Instant};
use crate::fork;
use crate::fork_safe::Mutex;
use crate::settings::{InvalidSetting, Setting};

/// Requests per second, and how many of them may be sent at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RateLimit {
    per_second: f64,
    burst: f64,
}

impl RateLimit {
    /// Parses `rate` or `rate:burst`. The default burst is the integral part of the rate, as in the tools. A rate of 0
    /// means no limit.
    pub(super) fn parse(setting: &Setting) -> Result<Option<RateLimit>, InvalidSetting> {
        let (rate, burst) = match setting.text().split_once(':') {
            Some((rate, burst)) => (rate, Some(burst)),
            None => (setting.text(), None),
        };
        let per_second = rate.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0);
        let burst = match burst {
            Some(burst) => burst.parse::<u32>().ok().map(f64::from),
            None => per_second.map(|rate| rate.floor().max(1.0)),
        };
        match (per_second, burst) {
            (Some(0.0), Some(_)) => Ok(None),
            (Some(per_second), Some(burst)) if burst >= 1.0 => Ok(Some(RateLimit { per_second, burst })),
            _ => Err(setting.invalid("must be requests per second, optionally with a burst: 10 or 10:20")),
        }
    }
}

/// A token bucket that delays requests to keep within a [`RateLimit`].
pub(super) struct RateLimiter {
    limit: RateLimit,
    bucket: Mutex<TokenBucket>,
}

struct TokenBucket {
    /// Requests that may be sent at `updated` without waiting. Negative while callers wait for their turn.
    available: f64,
    updated: Instant,
}

impl RateLimiter {
    pub(super) fn new(limit: RateLimit) -> RateLimiter {
        RateLimiter { limit, bucket: Mutex::new(TokenBucket { available: limit.burst, updated: Instant::now() }) }
    }

    /// Waits while forks are allowed, until the next request may be sent. If that is after the deadline, returns the
    /// time until then at once and reserves nothing.
    pub(super) fn wait(&self, deadline: Deadline) -> Result<(), Duration> {
        let wait = self.reserve(deadline.remaining())?;
        if !wait.is_zero() {
            fork::unprotected(|| thread::sleep(wait));
        }
        Ok(())
    }

    /// Reserves the next request and returns the time until it may be sent; if that is more than `max_wait`, returns
    /// the time as an error and reserves nothing.
    fn reserve(&self, max_wait: Duration) -> Result<Duration, Duration> {
        let mut bucket = self.bucket.lock();
        let refill = bucket.updated.elapsed().as_secs_f64() * self.limit.per_second;
        let available = (bucket.available + refill).min(self.limit.burst) - 1.0;
        let wait = Duration::try_from_secs_f64(-available.min(0.0) / self.limit.per_second).unwrap_or(Duration::MAX);
        if wait > max_wait {
            return Err(wait);
        }
        *bucket = TokenBucket { available, updated: Instant::now() };
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SettingOrigin;

    fn rate(text: &str) -> Option<Option<RateLimit>> {
        let origin = SettingOrigin::Variable("VAULT_RATE_LIMIT".to_owned());
        RateLimit::parse(&Setting::new(origin, text)).ok()
    }

    #[test]
    fn rate_limit_is_parsed_with_an_optional_burst() {
        assert_eq!(rate("10:20"), Some(Some(RateLimit { per_second: 10.0, burst: 20.0 })));
        assert_eq!(rate("2.5"), Some(Some(RateLimit { per_second: 2.5, burst: 2.0 })));
        assert_eq!((rate("0"), rate("0:0")), (Some(None), Some(None)));
        for text in ["", "-1", "fast", "10:", "10:0", "nan", "inf"] {
            assert_eq!(rate(text), None, "{text:?}");
        }
    }

    #[test]
    fn requests_after_the_burst_wait_for_their_turn() {
        let limiter = RateLimiter::new(RateLimit { per_second: 0.001, burst: 2.0 });
        let reserve = || limiter.reserve(Duration::MAX).unwrap();
        assert_eq!((reserve(), reserve()), (Duration::ZERO, Duration::ZERO));
        let (third, fourth) = (reserve().as_secs(), reserve().as_secs());
        assert!((500..=1000).contains(&third) && (1500..=2000).contains(&fourth), "{third} {fourth}");
    }

    #[test]
    fn wait_beyond_the_deadline_reserves_nothing() {
        let limiter = RateLimiter::new(RateLimit { per_second: 0.001, burst: 1.0 });
        assert_eq!(limiter.wait(Deadline::after(Duration::ZERO)), Ok(()));
        for _ in 0..1000 {
            assert!(limiter.wait(Deadline::after(Duration::from_millis(20))).is_err());
        }
        let next = limiter.reserve(Duration::MAX).unwrap().as_secs();
        assert!((500..=1000).contains(&next), "{next}");
    }
}
