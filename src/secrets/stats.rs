//! Counters of a manager and its providers.
//!
//! A get that finds its value in memory writes one counter, in a cache line of its thread. Everything else happens at
//! the pace of loads or of lookups that take locks, and is counted in words that threads share.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use once_cell::race::OnceBox;
use serde_json::{Value, json};

use super::secret::Secret;
use crate::error::{Error, Result, Status};
use crate::fork::{PublishedGuard, SLOT_NUMBERS};
use crate::http::retry;

/// The number of providers that are counted in one cache line of a thread.
const IN_LINE: usize = 16;

/// Counters that share no cache line with others.
#[repr(align(128))]
#[derive(Default)]
struct Line([AtomicU64; IN_LINE]);

/// How many values gets have found in memory, by provider. Each thread counts in lines of its own, of which the first
/// use allocates one for each 16 providers.
pub(super) struct HitCounts {
    lines: [OnceBox<Line>; SLOT_NUMBERS],
    /// Those of the next 16 providers.
    more: OnceBox<HitCounts>,
}

impl HitCounts {
    pub(super) fn new() -> HitCounts {
        HitCounts { lines: [const { OnceBox::new() }; SLOT_NUMBERS], more: OnceBox::new() }
    }

    #[inline]
    pub(super) fn add(&self, provider: usize, reading: &PublishedGuard) {
        if provider >= IN_LINE {
            return self.more.get_or_init(|| Box::new(HitCounts::new())).add(provider - IN_LINE, reading);
        }
        let slot = reading.slot();
        let count = &self.lines[slot.number()].get_or_init(Box::default).0[provider];
        if slot.is_exclusive() {
            // No other thread writes to it.
            count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
        } else {
            count.fetch_add(1, Relaxed);
        }
    }

    fn of(&self, provider: usize) -> u64 {
        match provider.checked_sub(IN_LINE) {
            Some(further) => self.more.get().map_or(0, |more| more.of(further)),
            None => self.lines.iter().filter_map(OnceBox::get).map(|line| line.0[provider].load(Relaxed)).sum(),
        }
    }
}

/// The results of a manager's lookups that are not those of one provider.
#[repr(align(128))]
pub(super) struct ManagerCounts {
    not_found: AtomicU64,
    failed: AtomicU64,
    pub(super) hits: HitCounts,
}

impl ManagerCounts {
    pub(super) fn new() -> ManagerCounts {
        ManagerCounts { not_found: AtomicU64::new(0), failed: AtomicU64::new(0), hits: HitCounts::new() }
    }

    /// The gets that found no value: because there is none, and because of a failure.
    pub(super) fn without_value(&self) -> (u64, u64) {
        (self.not_found.load(Relaxed), self.failed.load(Relaxed))
    }

    pub(super) fn add_failure(&self, error: &Error) {
        let count = if error.status() == Status::NotFound { &self.not_found } else { &self.failed };
        count.fetch_add(1, Relaxed);
    }
}

/// The gets that one provider answered, without those in [`HitCounts`].
#[repr(align(128))]
pub(super) struct AnswerCounts {
    /// Its number in [`HitCounts`], which its place among the providers does not change.
    pub(super) number: usize,
    hits: AtomicU64,
    queried: AtomicU64,
    stale: AtomicU64,
}

impl AnswerCounts {
    pub(super) fn new(number: usize) -> AnswerCounts {
        let [hits, queried, stale] = [const { AtomicU64::new(0) }; 3];
        AnswerCounts { number, hits, queried, stale }
    }

    /// The gets that this provider answered: all, those from memory, and those with an expired value.
    pub(super) fn found(&self, all_hits: &HitCounts) -> (u64, u64, u64) {
        let hits = all_hits.of(self.number) + self.hits.load(Relaxed);
        (hits + self.queried.load(Relaxed), hits, self.stale.load(Relaxed))
    }

    /// Counts a get that this provider answered. One that is not `is_remote` looks at its source on every get.
    pub(super) fn add(&self, secret: &Secret, is_remote: bool) {
        let count = if secret.cached || !is_remote { &self.hits } else { &self.queried };
        count.fetch_add(1, Relaxed);
        if secret.stale {
            self.stale.fetch_add(1, Relaxed);
        }
    }
}

/// The loads of a provider's source.
#[derive(Default)]
pub(super) struct LoadCounts {
    loads: AtomicU64,
    failures: AtomicU64,
    shared: AtomicU64,
    retries: AtomicU64,
    nanoseconds: AtomicU64,
    last: AtomicU64,
    longest: AtomicU64,
}

impl LoadCounts {
    /// Counts a load that took this long.
    pub(super) fn add(&self, time: Duration, has_failed: bool) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.loads.fetch_add(1, Relaxed);
        self.failures.fetch_add(has_failed.into(), Relaxed);
        self.nanoseconds.fetch_add(time, Relaxed);
        self.last.store(time, Relaxed);
        self.longest.fetch_max(time, Relaxed);
    }

    /// Counts a document that another process loaded.
    pub(super) fn add_shared(&self) {
        self.shared.fetch_add(1, Relaxed);
    }

    /// Calls `body`, and counts the requests that it repeats.
    pub(super) fn counting_retries<T>(&self, body: impl FnOnce() -> T) -> T {
        let before = retry::repeated();
        let result = body();
        self.retries.fetch_add(retry::repeated().wrapping_sub(before), Relaxed);
        result
    }

    /// Calls `load`, and counts it. `has_failed` says whether its result is a failure, in whole or in part.
    pub(super) fn counting<T>(
        &self,
        load: impl FnOnce() -> Result<T>,
        has_failed: impl FnOnce(&T) -> bool,
    ) -> Result<T> {
        let began = crate::clock::Instant::now();
        let result = self.counting_retries(load);
        self.add(began.elapsed(), result.as_ref().map_or(true, has_failed));
        result
    }

    pub(super) fn report(&self) -> [(&'static str, Value); 7] {
        let seconds = |count: &AtomicU64| json!(Duration::from_nanos(count.load(Relaxed)).as_secs_f64());
        [
            ("loads", json!(self.loads.load(Relaxed))),
            ("load_failures", json!(self.failures.load(Relaxed))),
            ("shared_loads", json!(self.shared.load(Relaxed))),
            ("retries", json!(self.retries.load(Relaxed))),
            ("load_seconds", seconds(&self.nanoseconds)),
            ("last_load_seconds", seconds(&self.last)),
            ("longest_load_seconds", seconds(&self.longest)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::fork;

    #[test]
    fn hits_of_many_threads_and_providers_are_all_counted() {
        const THREADS: u64 = 200;
        let counts = HitCounts::new();
        let all_run = std::sync::Barrier::new(THREADS as usize);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    // All threads have a slot at the same time, so some share a line.
                    drop(fork::read());
                    all_run.wait();
                    for number in 0..300 {
                        counts.add(number % 40, &fork::read().unwrap());
                    }
                });
            }
        });
        let all: Vec<u64> = (0..40).map(|provider| counts.of(provider)).collect();
        assert_eq!(all, [[8 * THREADS; 20], [7 * THREADS; 20]].concat());
        assert_eq!(counts.of(40) + counts.of(100), 0);
    }
}
