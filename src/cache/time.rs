//! The clock of a cache: exact where it matters, cheap everywhere else.
//!
//! To read the precise clock costs more than all the rest of a hit. So a read uses the coarse clock, which lags by up to
//! a tick of the kernel, and turns to the precise one only where the deadline is near. Deadlines always come from the
//! precise clock, so expiry is exact.
//!
//! Where the kernel's tick itself is late, as in a virtual machine whose processors are stalled, the coarse clock lags
//! more. [`MARGIN`] covers that up to 100 ms: within it expiry stays exact. Beyond, an entry is served for as much
//! longer as the lag exceeds the margin.
//!
//! The coarse clock stands still while the machine is suspended, the precise one does not. The difference is measured
//! again every 100 ms of waking time, so for that long after a suspension expired entries may be served.

#[cfg(test)]
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::time::Duration;

use crate::sys;

/// A point in time that never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// How near a deadline has to be for the precise clock to decide.
const MARGIN: u64 = 100_000_000;
/// How long what is known of suspensions is taken to be true.
const REMEASURE: u64 = 100_000_000;

/// How long the machine has been suspended since it started, in nanoseconds, and until when (on the coarse clock) that
/// is taken to be true.
struct Suspended {
    time: AtomicU64,
    until: AtomicU64,
}

static SUSPENDED: Suspended = Suspended { time: AtomicU64::new(0), until: AtomicU64::new(0) };

/// Where a cache takes the time from, in nanoseconds since the machine started.
pub(super) enum Clock {
    /// The machine's clocks.
    Machine,
    /// A clock that a test moves, and how far the coarse one lags.
    #[cfg(test)]
    Steered(Arc<AtomicU64>, u64),
}

impl Clock {
    /// Roughly now: never later than [`Clock::exact`] would say, and behind it by a tick, see the module.
    #[inline]
    pub(super) fn about(&self) -> u64 {
        match self {
            Clock::Machine => {
                let awake = sys::coarse_time_awake();
                if awake < SUSPENDED.until.load(Acquire) {
                    awake + SUSPENDED.time.load(Relaxed)
                } else {
                    awake + measure_suspension(awake)
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

    /// Whether `deadline` is still to come. `about` is what [`Clock::about`] said just now.
    #[inline]
    pub(super) fn is_ahead(&self, deadline: u64, about: u64) -> bool {
        deadline > about && (deadline - about > MARGIN || deadline > self.exact())
    }

    /// The point in time this far from now; one too far away to be written down never comes.
    pub(super) fn after(&self, time: Duration) -> u64 {
        if time == Duration::MAX { NEVER } else { self.exact().saturating_add(nanoseconds(time)) }
    }
}

#[inline]
pub(super) fn nanoseconds(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}

#[cold]
fn measure_suspension(awake: u64) -> u64 {
    // Asked in this order, the difference is never too large, so the coarse time never runs ahead.
    let since_boot = sys::nanoseconds_since_boot();
    let suspended = since_boot.saturating_sub(sys::time_awake());
    SUSPENDED.time.fetch_max(suspended, Relaxed);
    SUSPENDED.until.store(awake + REMEASURE, Release);
    SUSPENDED.time.load(Relaxed)
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
                assert!(is_ahead || deadline <= after, "over {} ns early", deadline - after);
                assert!(!is_ahead || before < deadline || before - about > MARGIN, "{} ns late", before - deadline);
                if !is_ahead {
                    break;
                }
            }
        }
    }

    #[test]
    fn far_away_is_never() {
        let clock = Clock::Machine;
        assert_eq!(clock.after(Duration::MAX), NEVER);
        assert_eq!(clock.after(Duration::from_secs(u64::MAX)), NEVER);
        assert!(clock.is_ahead(NEVER, clock.about()));
        assert!(!clock.is_ahead(clock.after(Duration::ZERO), clock.exact()));
    }
}
