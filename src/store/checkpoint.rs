//! How often the write-ahead log is checkpointed, so that the database file alone is complete.
//!
//! A checkpoint waits for the disk; a commit does not. The first commits of a process, and occasional ones, are each
//! followed by a checkpoint. In a long series of commits only some are, so that checkpoints take a small part of the
//! time.

use std::time::Duration;

use crate::clock::Instant;

/// How many commits are each followed by a checkpoint, however long it takes.
const FIRST: u32 = 16;
/// Checkpoints may take one part in this many of the time.
const SHARE: u32 = 8;
/// The maximum time that accumulates for checkpoints.
const MAX_BUDGET: Duration = Duration::from_millis(250);

pub(super) struct CheckpointThrottle {
    /// How many of the first commits are left.
    first: u32,
    /// The time available for checkpoints.
    budget: Duration,
    /// The time by which the last checkpoints exceeded the budget. It is paid back first.
    debt: Duration,
    updated_at: Instant,
}

impl CheckpointThrottle {
    pub(super) fn new() -> CheckpointThrottle {
        CheckpointThrottle { first: FIRST, budget: MAX_BUDGET, debt: Duration::ZERO, updated_at: Instant::now() }
    }

    /// Whether to run a checkpoint after this commit.
    pub(super) fn allows(&mut self) -> bool {
        let elapsed = self.updated_at.elapsed();
        self.updated_at = Instant::now();
        self.allows_after(elapsed)
    }

    /// The same, given the time since the last update.
    fn allows_after(&mut self, elapsed: Duration) -> bool {
        let earned = elapsed / SHARE;
        let paid = earned.min(self.debt);
        self.debt -= paid;
        self.budget = (self.budget + (earned - paid)).min(MAX_BUDGET);
        if self.first > 0 {
            self.first -= 1;
            return true;
        }
        self.debt.is_zero() && !self.budget.is_zero()
    }

    /// Records the duration of a checkpoint. This time earns no budget.
    pub(super) fn record(&mut self, duration: Duration) {
        self.debt += duration.saturating_sub(self.budget);
        self.budget = self.budget.saturating_sub(duration);
        self.updated_at = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttle_allows_some_of_many_checkpoints() {
        let mut throttle = CheckpointThrottle::new();
        let mut checkpoints = |commits: u32, elapsed: Duration, duration: Duration| {
            let mut count = 0;
            for _ in 0..commits {
                if throttle.allows_after(elapsed) {
                    throttle.record(duration);
                    count += 1;
                }
            }
            count
        };
        let milliseconds = Duration::from_millis;
        assert_eq!(checkpoints(FIRST, Duration::ZERO, milliseconds(100)), FIRST);
        assert_eq!(checkpoints(1000, milliseconds(1), milliseconds(10)), 0, "the first ones are paid back");
        checkpoints(1, Duration::from_secs(3600), Duration::ZERO);
        // The budget is 250 ms.
        assert_eq!(checkpoints(100, Duration::ZERO, milliseconds(10)), 25);
        assert_eq!(checkpoints(8000, milliseconds(1), milliseconds(10)), 100);
        assert_eq!(checkpoints(100, milliseconds(100), milliseconds(10)), 100);
    }
}
