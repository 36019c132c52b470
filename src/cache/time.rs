//! The clock of a cache: exact near a deadline, cheap otherwise.
//!
//! Reading the precise clock costs more than the rest of a hit. So a read uses the coarse clock, which lags by up to a
//! tick of the kernel, and reads the precise one only near the deadline. Deadlines always come from the precise clock,
//! so expiry is exact.
//!
//! If the tick of the kernel is late, as in a virtual machine whose processors are stalled, the coarse clock lags more.
//! Expiry stays exact for a lag of up to [`MARGIN`], 100 ms. Beyond it, an entry is served for as much longer as the
//! lag exceeds the margin.
//!
//! The coarse clock stops while the machine is suspended, the precise one does not. The difference is measured again
//! every 100 ms of waking time, so for that long after a suspension expired entries may be served.

#[cfg(test)]
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::time::Duration;

use crate::sys;

/// A deadline that never passes.
pub(super) const NEVER: u64 = u64::MAX;

/// The distance to a deadline within which the precise clock decides.
const MARGIN: u64 = 100_000_000;
/// How long the measured time of suspension is used before it is measured again.
const REMEASURE: u64 = 100_000_000;

/// How far the clock that counts suspension is ahead of the one that does not, in nanoseconds, and until when (on the
/// coarse clock) that value is used. In a time namespace, where both have offsets, it may be negative.
struct Suspended {
    time: AtomicI64,
    until: AtomicU64,
}

static SUSPENDED: Suspended = Suspended { time: AtomicI64::new(i64::MIN), until: AtomicU64::new(0) };

/// The source of the time, in nanoseconds since the machine booted.
pub(super) enum Clock {
    /// The clocks of the machine.
    Machine,
    /// A clock that a test controls, and the lag of the coarse one.
    #[cfg(test)]
    Steered(Arc<AtomicU64>, u64),
}

impl Clock {
    /// Returns the coarse time: never later than [`Clock::exact`], and behind it by up to a tick, see the module.
    #[inline]
    pub(super) fn about(&self) -> u64 {
        match self {
            Clock::Machine => {
                let awake = sys::coarse_time_awake();
                if awake < SUSPENDED.until.load(Acquire) {
                    awake.wrapping_add_signed(SUSPENDED.time.load(Relaxed))
                } else {
                    awake.wrapping_add_signed(measure_suspension(awake))
                }
            }
            #[cfg(test)]
            Clock::Steered(time, lag) => time.load(Relaxed) - lag,
        }
    }

    pub(super) fn exact(&self) -> u64 {
        match self {
            Clock::Machine => sys::nanoseconds_since_boot(),
            #[cfg(test)]
            Clock::Steered(time, _) => time.load(Relaxed),
        }
    }

    /// Whether `deadline` has not passed. `about` is the current value of [`Clock::about`].
    #[inline]
    pub(super) fn is_ahead(&self, deadline: u64, about: u64) -> bool {
        is_far_ahead(deadline, about) || (deadline > about && deadline > self.exact())
    }

    /// Returns the deadline this far from now; [`NEVER`] if it cannot be represented.
    pub(super) fn after(&self, time: Duration) -> u64 {
        if time == Duration::MAX { NEVER } else { self.exact().saturating_add(nanoseconds(time)) }
    }
}

/// Whether `deadline` is so far ahead that the coarse time decides.
#[inline(always)]
pub(super) fn is_far_ahead(deadline: u64, about: u64) -> bool {
    // The sum does not overflow within 500 years.
    deadline > about.wrapping_add(MARGIN)
}

/// Returns a time in nanoseconds; [`NEVER`] if it cannot be represented.
#[inline]
pub(super) fn nanoseconds(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}

/// Reverts [`nanoseconds`].
pub(super) fn duration(nanoseconds: u64) -> Duration {
    if nanoseconds == NEVER { Duration::MAX } else { Duration::from_nanos(nanoseconds) }
}

#[cold]
fn measure_suspension(awake: u64) -> i64 {
    // Read in this order, the difference is never too large, so the coarse time never runs ahead.
    let since_boot = sys::nanoseconds_since_boot();
    let suspended = difference(since_boot, sys::time_awake());
    SUSPENDED.time.fetch_max(suspended, Relaxed);
    SUSPENDED.until.store(awake + REMEASURE, Release);
    SUSPENDED.time.load(Relaxed)
}

fn difference(since_boot: u64, awake: u64) -> i64 {
    since_boot.wrapping_sub(awake) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_time_is_never_ahead() {
        for _ in 0..10_000 {
            let about = Clock::Machine.about();
            let exact = Clock::Machine.exact();
            assert!(about <= exact, "{about} is after {exact}");
        }
    }

    #[test]
    fn expiry_is_exact() {
        let clock = Clock::Machine;
        for time in [1, 5, 12, 30] {
            let deadline = clock.after(Duration::from_millis(time));
            loop {
                let about = clock.about();
                let before = clock.exact();
                let is_ahead = clock.is_ahead(deadline, about);
                let after = clock.exact();
                // Between these two moments it may be either.
                assert!(is_ahead || deadline <= after, "expired {} ns early", deadline - after);
                assert!(!is_ahead || before < deadline || before - about > MARGIN, "{} ns late", before - deadline);
                if !is_ahead {
                    break;
                }
            }
        }
    }

    #[test]
    fn clock_without_suspension_may_be_ahead() {
        for (since_boot, awake) in [(100_u64, 40_u64), (40, 100), (40, 40)] {
            assert_eq!(awake.wrapping_add_signed(difference(since_boot, awake)), since_boot);
        }
    }

    #[test]
    fn far_away_is_never() {
        let clock = Clock::Machine;
        assert_eq!(clock.after(Duration::MAX), NEVER);
        assert_eq!(clock.after(Duration::from_secs(u64::MAX)), NEVER);
        assert!(clock.is_ahead(NEVER, clock.about()));
        for time in [Duration::ZERO, Duration::from_secs(300), Duration::MAX] {
            assert_eq!(duration(nanoseconds(time)), time);
        }
        assert!(!clock.is_ahead(clock.after(Duration::ZERO), clock.exact()));
    }
}
