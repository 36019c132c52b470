//! The clock of a cache: exact where it matters, cheap everywhere else.
//!
//! Asking the precise clock costs more than all the rest of a hit. So a read asks the coarse one, which lags by up to a
//! tick of the kernel, and turns to the precise one only where the deadline lies within that lag. What is written down
//! always comes from the precise clock, so that expiry is exact.
//!
//! Where the kernel's tick itself is late, as in a virtual machine whose processor is stalled, the coarse clock lags by
//! as much more, and an entry may be served for that much longer.
//!
//! The coarse clock stands still while the machine is suspended, the precise one does not. The difference is measured
//! again every half second of waking time, so a suspension is noticed within that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::time::Duration;

use crate::sys;

/// A point in time that never comes.
pub(super) const NEVER: u64 = u64::MAX;

const REMEASURE: u64 = 500_000_000;
const SHORTEST_MARGIN: u64 = 10_000_000;

/// How long the machine has been suspended since it started, in nanoseconds, and until when (on the coarse clock) that
/// is taken to be true.
static SUSPENDED: AtomicU64 = AtomicU64::new(0);
static SUSPENDED_UNTIL: AtomicU64 = AtomicU64::new(0);

/// Where a cache takes the time from, in nanoseconds since the machine started.
pub(super) enum Clock {
    /// The machine's clocks, and how far the coarse one may lag.
    Machine { lag: u64 },
    /// A clock that a test moves.
    #[cfg_attr(not(test), allow(dead_code))]
    Steered(Arc<AtomicU64>),
}

impl Clock {
    pub(super) fn machine() -> Clock {
        let tick = sys::coarse_resolution();
        Clock::Machine { lag: SHORTEST_MARGIN.max(tick.saturating_mul(5) / 2) }
    }

    /// Roughly now: never later than [`Clock::exact`] would say, and behind it by a tick at most.
    #[inline]
    pub(super) fn about(&self) -> u64 {
        match self {
            Clock::Machine { .. } => {
                let awake = sys::coarse_time_awake();
                if awake < SUSPENDED_UNTIL.load(Acquire) {
                    awake + SUSPENDED.load(Relaxed)
                } else {
                    awake + measure_suspension(awake)
                }
            }
            Clock::Steered(time) => time.load(Relaxed),
        }
    }

    pub(super) fn exact(&self) -> u64 {
        match self {
            Clock::Machine { .. } => sys::nanoseconds_since_boot(),
            Clock::Steered(time) => time.load(Relaxed),
        }
    }

    /// Whether `deadline` is still to come. `about` is what [`Clock::about`] said just now.
    #[inline]
    pub(super) fn is_ahead(&self, deadline: u64, about: u64) -> bool {
        if deadline <= about {
            return false;
        }
        match self {
            Clock::Machine { lag } => deadline - about > *lag || deadline > self.exact(),
            Clock::Steered(_) => true,
        }
    }

    /// The point in time this far from now; one too far away to be written down never comes.
    pub(super) fn after(&self, time: Duration) -> u64 {
        if time == Duration::MAX { NEVER } else { self.exact().saturating_add(nanoseconds(time)) }
    }
}

pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

#[cold]
fn measure_suspension(awake: u64) -> u64 {
    // Asked in this order, the difference is never too large, so the coarse time never runs ahead.
    let since_boot = sys::nanoseconds_since_boot();
    let suspended = since_boot.saturating_sub(sys::time_awake());
    SUSPENDED.fetch_max(suspended, Relaxed);
    SUSPENDED_UNTIL.store(awake + REMEASURE, Release);
    SUSPENDED.load(Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_time_lags_by_a_tick_at_most() {
        let clock = Clock::machine();
        let Clock::Machine { lag } = clock else { unreachable!() };
        // The processor that keeps the time may be stalled for a moment, as in a virtual machine, but not all the time.
        let start = clock.exact();
        loop {
            let lags = (0..10_000).map(|_| {
                let about = clock.about();
                let exact = clock.exact();
                assert!(about <= exact, "{about} is after {exact}");
                exact.saturating_sub(clock.about())
            });
            let longest = lags.max().unwrap_or(0);
            if longest < lag {
                return;
            }
            assert!(clock.exact() - start < 60_000_000_000, "the coarse clock lags by {longest}, more than {lag}");
        }
    }

    #[test]
    fn expiry_is_exact() {
        let clock = Clock::machine();
        let Clock::Machine { lag } = clock else { unreachable!() };
        for time in [1, 5, 12, 30] {
            let deadline = clock.after(Duration::from_millis(time));
            loop {
                let about = clock.about();
                let before = clock.exact();
                let is_ahead = clock.is_ahead(deadline, about);
                let after = clock.exact();
                // Between these two moments it may be either.
                assert!(is_ahead || deadline <= after, "over {} ns early", deadline - after);
                assert!(!is_ahead || before < deadline || before - about > lag, "{} ns late", before - deadline);
                if !is_ahead {
                    break;
                }
            }
        }
    }

    #[test]
    fn far_away_is_never() {
        let clock = Clock::machine();
        assert_eq!(clock.after(Duration::MAX), NEVER);
        assert_eq!(clock.after(Duration::from_secs(u64::MAX)), NEVER);
        assert!(clock.is_ahead(NEVER, clock.about()));
        assert!(!clock.is_ahead(clock.after(Duration::ZERO), clock.exact()));
    }
}
