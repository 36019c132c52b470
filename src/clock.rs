//! Monotonic time that includes the time during which the machine was suspended.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::sys;

/// A point in time on a clock that is not affected by setting the date and continues while the machine is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

/// Unit tests need points in time before the machine was started.
const ORIGIN: Duration = Duration::from_secs(if cfg!(test) { 1_000_000_000 } else { 0 });

impl Instant {
    pub(crate) fn now() -> Instant {
        Instant(sys::time_since_boot().saturating_add(ORIGIN))
    }

    /// The point in time this much earlier.
    #[cfg(test)]
    pub(crate) fn before(self, time: Duration) -> Instant {
        Instant(self.0.saturating_sub(time))
    }

    /// The point in time this much later.
    pub(crate) fn after(self, time: Duration) -> Instant {
        Instant(self.0.saturating_add(time))
    }

    /// The point in time this long after the start of the machine. All processes agree on it.
    pub(crate) fn after_boot(time: Duration) -> Instant {
        Instant(time.saturating_add(ORIGIN))
    }

    /// The time from the start of the machine to this point.
    pub(crate) fn since_boot(self) -> Duration {
        self.0.saturating_sub(ORIGIN)
    }

    pub(crate) fn elapsed(self) -> Duration {
        Instant::now().since(self)
    }

    /// The time from an earlier point to this one.
    pub(crate) fn since(self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A point in time as of the last kernel tick, on a clock that stops while the machine is suspended. It is for short
/// intervals that need not be exact, and costs a fifth of [`Instant`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoarseInstant(u64);

impl CoarseInstant {
    pub(crate) fn now() -> CoarseInstant {
        CoarseInstant(sys::coarse_time_awake())
    }

    pub(crate) fn elapsed(self) -> Duration {
        CoarseInstant::now().since(self)
    }

    /// The number of nanoseconds, for an atomic.
    pub(crate) fn nanoseconds(self) -> u64 {
        self.0
    }

    pub(crate) fn from_nanoseconds(time: u64) -> CoarseInstant {
        CoarseInstant(time)
    }

    /// The time from an earlier point to this one.
    pub(crate) fn since(self, earlier: CoarseInstant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Checks an age against a limit: twice a second on the exact clock, in between on that of [`CoarseInstant`].
#[derive(Debug, Default)]
pub(crate) struct CoarseAge {
    /// Until when the age is below the limit for certain, in nanoseconds of [`CoarseInstant`].
    below_until: AtomicU64,
}

/// The time within which a suspension of the machine is noticed.
const RECHECK_INTERVAL: Duration = Duration::from_millis(500);
/// More than the coarse clock may lag.
const LAG: Duration = Duration::from_millis(25);

impl CoarseAge {
    /// Whether the time since `begun` is certainly below `limit`.
    #[inline]
    pub(crate) fn is_below(&self, limit: impl FnOnce() -> Duration, begun: Instant, now: CoarseInstant) -> bool {
        now.0 < self.below_until.load(Relaxed) || self.check_exactly(limit(), begun, now)
    }

    #[cold]
    fn check_exactly(&self, limit: Duration, begun: Instant, now: CoarseInstant) -> bool {
        let left = limit.saturating_sub(begun.elapsed()).saturating_sub(LAG).min(RECHECK_INTERVAL);
        self.below_until.store(now.0.saturating_add(left.as_nanos() as u64), Relaxed);
        !left.is_zero()
    }
}

/// The point in time by which a whole call must end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<Duration>);

impl Deadline {
    /// A deadline this much time from now. A time too long to be represented never passes.
    pub(crate) fn after(time: Duration) -> Deadline {
        Deadline(sys::time_since_boot().checked_add(time))
    }

    /// The time left; zero when it has passed.
    pub(crate) fn remaining(self) -> Duration {
        match self.0 {
            Some(end) => end.saturating_sub(sys::time_since_boot()),
            None => Duration::MAX,
        }
    }

    /// The earlier of two deadlines.
    pub(crate) fn min(self, other: Deadline) -> Deadline {
        match (self.0, other.0) {
            (Some(one), Some(another)) => Deadline(Some(one.min(another))),
            (one, another) => Deadline(one.or(another)),
        }
    }

    /// The time left to wait for another caller: never zero, which a cache takes as "do not wait".
    pub(crate) fn wait(self) -> Duration {
        self.remaining().max(Duration::from_nanos(1))
    }

    pub(crate) fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }
}

/// The pauses of a thread that polls: they double from the first to the longest. The caller pauses unprotected, so that
/// other threads can fork meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    /// How often the thread only yields, before the first pause.
    yields: u32,
    attempts: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff { first, longest, yields: 0, attempts: 0 }
    }

    /// The same pauses, after this many attempts that only yield.
    pub(crate) const fn after_yields(self, yields: u32) -> Backoff {
        Backoff { yields, ..self }
    }

    /// Returns the pause after this many attempts.
    pub(crate) fn pause_after(&self, attempts: u32) -> Duration {
        self.first.saturating_mul(1 << attempts.min(20)).min(self.longest)
    }

    /// Pauses once, at most for `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) {
        match self.attempts.checked_sub(self.yields) {
            None => std::thread::yield_now(),
            Some(pauses) => std::thread::sleep(self.pause_after(pauses).min(limit)),
        }
        self.attempts = self.attempts.saturating_add(1);
    }
}

/// Converts seconds of the C ABI, which are 0 or more; `INFINITY` is [`Duration::MAX`]. `name` is the argument or
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
    fn seconds_rejects_negative_and_nan() {
        assert_eq!(seconds("timeout", 1.5).unwrap(), Duration::from_millis(1500));
        assert_eq!(seconds("timeout", f64::INFINITY).unwrap(), Duration::MAX);
        assert!(seconds("timeout", f64::NAN).is_err());
        let error = seconds("timeout", -2.0).unwrap_err();
        assert_eq!(error.message(), "`timeout` is -2 seconds; it must be 0 or more");
    }

    #[test]
    fn coarse_age_never_reports_too_young_an_age() {
        let (age, limit) = (CoarseAge::default(), Duration::from_secs(60));
        assert!(age.is_below(|| limit, Instant::now(), CoarseInstant::now()));
        assert!(!CoarseAge::default().is_below(|| limit, Instant::now().before(limit), CoarseInstant::now()));
        assert!(!CoarseAge::default().is_below(|| LAG, Instant::now(), CoarseInstant::now()));
        // The result of the exact check is used for half a second.
        assert!(age.is_below(|| unreachable!(), Instant::now(), CoarseInstant::now()));
        let later = CoarseInstant(CoarseInstant::now().0 + RECHECK_INTERVAL.as_nanos() as u64);
        assert!(!age.is_below(|| limit, Instant::now().before(limit), later));
    }

    #[test]
    fn backoff_doubles_up_to_the_longest_pause() {
        let backoff = Backoff::new(Duration::from_micros(200), Duration::from_millis(5));
        let pauses = [0, 1, 4, 5, u32::MAX].map(|attempts| backoff.pause_after(attempts).as_micros());
        assert_eq!(pauses, [200, 400, 3200, 5000, 5000]);
        let mut yielding = Backoff::new(Duration::MAX, Duration::MAX).after_yields(3);
        (0..3).for_each(|_| yielding.wait(Duration::MAX));
        yielding.wait(Duration::ZERO);
    }

    #[test]
    fn deadline_passes() {
        assert!(Deadline::after(Duration::ZERO).has_passed());
        assert!(!Deadline::after(Duration::from_secs(60)).has_passed());
        assert_eq!(Deadline::after(Duration::MAX).remaining(), Duration::MAX);
    }
}
