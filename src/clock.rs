//! Time: monotonic, and counting the time that the machine was suspended.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::sys;

/// A point in time on a clock that setting the date does not change and that goes on while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

/// Unit tests need points in time that lie before the start of the machine.
const ORIGIN: Duration = Duration::from_secs(if cfg!(test) { 1_000_000_000 } else { 0 });

impl Instant {
    pub(crate) fn now() -> Instant {
        Instant(sys::time_since_boot().saturating_add(ORIGIN))
    }

    /// The point in time that lies this much earlier.
    #[cfg(test)]
    pub(crate) fn before(self, time: Duration) -> Instant {
        Instant(self.0.saturating_sub(time))
    }

    /// The point in time that lies this much later.
    #[cfg(test)]
    pub(crate) fn after(self, time: Duration) -> Instant {
        Instant(self.0.saturating_add(time))
    }

    pub(crate) fn elapsed(self) -> Duration {
        Instant::now().since(self)
    }

    /// The time from an earlier point to this one.
    pub(crate) fn since(self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A point in waking time, as of the last tick of the kernel. For short intervals that need not be exact, at a fifth of
/// the price of [`Instant`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoarseInstant(u64);

impl CoarseInstant {
    pub(crate) fn now() -> CoarseInstant {
        CoarseInstant(sys::coarse_time_awake())
    }

    pub(crate) fn elapsed(self) -> Duration {
        CoarseInstant::now().since(self)
    }

    /// For a place that several threads write to.
    pub(crate) fn nanoseconds(self) -> u64 {
        self.0
    }

    pub(crate) fn from_nanoseconds(time: u64) -> CoarseInstant {
        CoarseInstant(time)
    }

    /// The time from an earlier tick to this one.
    pub(crate) fn since(self, earlier: CoarseInstant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Whether something is young enough, found out on the exact clock twice a second, and in between on that of [`CoarseInstant`].
#[derive(Debug, Default)]
pub(crate) struct CoarseAge {
    /// On the clock of [`CoarseInstant`], in nanoseconds.
    young_until: AtomicU64,
}

/// Within this time it is noticed that the machine was suspended.
const REMEASURE: Duration = Duration::from_millis(500);
/// How far a tick may lie behind, and more.
const LAG: Duration = Duration::from_millis(25);

impl CoarseAge {
    /// Whether what began then is for sure younger than `limit`.
    #[inline]
    pub(crate) fn is_below(&self, limit: impl FnOnce() -> Duration, begun: Instant, now: CoarseInstant) -> bool {
        now.0 < self.young_until.load(Relaxed) || self.measure(limit(), begun, now)
    }

    #[cold]
    fn measure(&self, limit: Duration, begun: Instant, now: CoarseInstant) -> bool {
        let left = limit.saturating_sub(begun.elapsed()).saturating_sub(LAG).min(REMEASURE);
        self.young_until.store(now.0.saturating_add(left.as_nanos() as u64), Relaxed);
        !left.is_zero()
    }
}

/// The absolute time by which a whole call has to end, whatever it does on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Duration>);

impl Deadline {
    /// This much time from now; a time too far away to be written down never comes.
    pub(crate) fn after(time: Duration) -> Deadline {
        Deadline(sys::time_since_boot().checked_add(time))
    }

    /// The time left, zero once it has passed.
    pub(crate) fn remaining(self) -> Duration {
        match self.0 {
            Some(end) => end.saturating_sub(sys::time_since_boot()),
            None => Duration::MAX,
        }
    }

    /// The time left to wait for somebody else: never zero, which is "do not wait" to a cache.
    pub(crate) fn wait(self) -> Duration {
        self.remaining().max(Duration::from_nanos(1))
    }

    pub(crate) fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }
}

/// Seconds as they come in over the C ABI: not negative, not NaN; `INFINITY` is "for ever". `name` is the argument or
/// setting that an error names.
pub(crate) fn seconds(name: &str, seconds: f64) -> Result<Duration> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(Error::invalid_argument(format!("`{name}` is {seconds} seconds; it must be 0 or more")));
    }
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_checked() {
        assert_eq!(seconds("timeout", 1.5).unwrap(), Duration::from_millis(1500));
        assert_eq!(seconds("timeout", f64::INFINITY).unwrap(), Duration::MAX);
        assert!(seconds("timeout", f64::NAN).is_err());
        let error = seconds("timeout", -2.0).unwrap_err();
        assert_eq!(error.message(), "`timeout` is -2 seconds; it must be 0 or more");
    }

    #[test]
    fn a_coarse_age_is_never_too_young() {
        let (age, limit) = (CoarseAge::default(), Duration::from_secs(60));
        assert!(age.is_below(|| limit, Instant::now(), CoarseInstant::now()));
        assert!(!CoarseAge::default().is_below(|| limit, Instant::now().before(limit), CoarseInstant::now()));
        assert!(!CoarseAge::default().is_below(|| LAG, Instant::now(), CoarseInstant::now()));
        // What was found out is not asked for again for half a second.
        assert!(age.is_below(|| unreachable!(), Instant::now(), CoarseInstant::now()));
        let later = CoarseInstant(CoarseInstant::now().0 + REMEASURE.as_nanos() as u64);
        assert!(!age.is_below(|| limit, Instant::now().before(limit), later));
    }

    #[test]
    fn a_deadline_passes() {
        assert!(Deadline::after(Duration::ZERO).has_passed());
        assert!(!Deadline::after(Duration::from_secs(60)).has_passed());
        assert_eq!(Deadline::after(Duration::MAX).remaining(), Duration::MAX);
    }
}
