//! How often the write-ahead log is written back into a database, so that the database file alone is complete.
//!
//! Writing back waits for the disk, which a commit does not. The first commits of a process are each written back, and
//! so are those that come now and then. Of many in a row some are, so that this takes at most a fifth of the time.

use std::time::Duration;

use crate::clock::Instant;

/// How many commits in a row are each written back.
const MOST: u32 = 32;
/// One more is written back after so many times the time that the last one took.
const REST: u32 = 4;

pub(super) struct Pace {
    left: u32,
    since: Instant,
    took: Duration,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace { left: MOST, since: Instant::now(), took: Duration::ZERO }
    }

    /// Whether a commit is written back now.
    pub(super) fn allows(&mut self) -> bool {
        let passed = self.since.elapsed();
        self.allows_after(passed)
    }

    /// The same, where this much time has passed since one more was gained.
    fn allows_after(&mut self, passed: Duration) -> bool {
        let gained = passed.as_nanos() / (self.took * REST).as_nanos().max(1);
        if gained > 0 {
            self.left = self.left.saturating_add(u32::try_from(gained).unwrap_or(MOST)).min(MOST);
            self.since = Instant::now();
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }

    /// Writing back took this long.
    pub(super) fn note(&mut self, took: Duration) {
        self.took = took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_in_a_row_are_not_all_written_back() {
        let mut pace = Pace::new();
        pace.note(Duration::from_secs(1));
        let mut allowed = |rest: u64| {
            let first = pace.allows_after(Duration::from_secs(rest));
            usize::from(first) + (0..100).filter(|_| pace.allows_after(Duration::ZERO)).count()
        };
        assert_eq!([allowed(0), allowed(3), allowed(12), allowed(10_000)], [32, 0, 3, 32]);
    }
}
