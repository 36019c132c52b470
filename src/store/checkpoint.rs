//! How often the write-ahead log is written back into a database, so that the database file alone is complete.
//!
//! Writing back waits for the disk, which a commit does not. The first commits of a process are each written back, and
//! so are those that come now and then. Of many in a row some are, so that this takes a small part of the time.

use std::time::Duration;

use crate::clock::Instant;

/// How many commits are each written back, however long that takes.
const FIRST: u32 = 16;
/// The part of the time that writing back may take, as a divisor.
const SHARE: u32 = 8;
/// The most time that can be saved up for it.
const MOST: Duration = Duration::from_millis(250);

pub(super) struct CheckpointThrottle {
    first: u32,
    /// The time there is for writing back; where the last time took more, what has to pass first.
    saved: Duration,
    owed: Duration,
    since: Instant,
}

impl CheckpointThrottle {
    pub(super) fn new() -> CheckpointThrottle {
        CheckpointThrottle { first: FIRST, saved: MOST, owed: Duration::ZERO, since: Instant::now() }
    }

    /// Whether a commit is written back now.
    pub(super) fn allows(&mut self) -> bool {
        let passed = self.since.elapsed();
        self.since = Instant::now();
        self.allows_after(passed)
    }

    /// The same, where this much time has passed since it was asked last.
    fn allows_after(&mut self, passed: Duration) -> bool {
        let gained = passed / SHARE;
        let paid = gained.min(self.owed);
        self.owed -= paid;
        self.saved = (self.saved + (gained - paid)).min(MOST);
        if self.first > 0 {
            self.first -= 1;
            return true;
        }
        self.owed.is_zero() && !self.saved.is_zero()
    }

    /// Writing back took this long, which counts for nothing else.
    pub(super) fn note(&mut self, took: Duration) {
        self.owed += took.saturating_sub(self.saved);
        self.saved = self.saved.saturating_sub(took);
        self.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_in_a_row_some_are_written_back() {
        let mut throttle = CheckpointThrottle::new();
        let mut written_back = |commits: u32, passed: Duration, took: Duration| {
            let mut count = 0;
            for _ in 0..commits {
                if throttle.allows_after(passed) {
                    throttle.note(took);
                    count += 1;
                }
            }
            count
        };
        let milliseconds = Duration::from_millis;
        assert_eq!(written_back(FIRST, Duration::ZERO, milliseconds(100)), FIRST);
        assert_eq!(written_back(1000, milliseconds(1), milliseconds(10)), 0, "the first ones have to be paid for");
        written_back(1, Duration::from_secs(3600), Duration::ZERO);
        // 250 ms are saved up.
        assert_eq!(written_back(100, Duration::ZERO, milliseconds(10)), 25);
        assert_eq!(written_back(8000, milliseconds(1), milliseconds(10)), 100);
        assert_eq!(written_back(100, milliseconds(100), milliseconds(10)), 100);
    }
}
