//! The time of the last use of each entry, recorded without a cache line that all readers write.
//!
//! Each entry has a stamp: the time of its last use and the slot of the thread that used it. The time is that of the
//! coarse clock, which advances in ticks of some milliseconds, and each slot has a counter within a tick. So the stamps
//! of one thread are in the exact order of its calls, and those of different threads in the order of their ticks. This
//! is a hybrid logical clock (Kulkarni et al., OPODIS 2014).
//!
//! An entry that two threads use within one tick is marked as shared. It counts as used at the end of that tick, and
//! its stamp is not written again before: a popular entry is written twice per tick, however many threads read it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::sys;

/// The lowest bits of a stamp: the number of a slot, below 64, or all of them for a shared entry.
const SLOT_BITS: u32 = 7;
const SLOT: u64 = (1 << SLOT_BITS) - 1;
const ONE: u64 = 1 << SLOT_BITS;
/// The unit of time in a stamp is 16 ns: stamps last for 73 years, and a tick has more units than a thread can make
/// calls in it.
const NANOSECOND_BITS: u32 = 4;

/// The lowest number of hits after which a reader updates the queue of entries.
const OFTEN: u64 = 64;
/// The highest number of hits after which a reader updates the queue of entries.
const RARELY: u64 = 4096;

/// The number of misses after which a reader checks what is due.
pub(super) const CHECK: u64 = 64;

/// The state of a slot. Only the thread in the slot writes it, with plain loads and stores.
pub(super) struct SlotRecency {
    /// The number of the slot.
    number: u64,
    stamp: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    /// The number of hits at which the reader helps the next time, and the distance to the time after that.
    help_at: AtomicU64,
    help_every: AtomicU64,
}

/// Returns the time of a stamp without the slot. It orders entries.
#[inline]
pub(super) fn time_of(stamp: u64) -> u64 {
    stamp >> SLOT_BITS
}

#[inline]
fn tick(nanoseconds: u64) -> u64 {
    (nanoseconds >> NANOSECOND_BITS) << SLOT_BITS
}

/// Makes an entry count as used at the end of a tick, unless it was used after that: the caller may have been
/// interrupted since it read the clock.
#[cold]
fn mark_shared(entry: &AtomicU64, before: u64, tick: u64) {
    let resolution = sys::coarse_resolution();
    // Less what adjustments of the clock can take from a tick, so that it does not reach into the next one.
    let end = (tick + self::tick(resolution - resolution / 64)) | SLOT;
    if before < end {
        entry.store(end, Relaxed);
    }
}

impl SlotRecency {
    pub(super) fn new(number: usize) -> SlotRecency {
        let [stamp, hits, misses, help_at, help_every] = [const { AtomicU64::new(0) }; 5];
        SlotRecency { number: number as u64, stamp, hits, misses, help_at, help_every }
    }

    #[inline]
    pub(super) fn number(&self) -> usize {
        self.number as usize
    }

    /// Stamps an entry that the thread in this slot uses now.
    #[inline(always)]
    pub(super) fn record_use(&self, entry: &AtomicU64, now: u64) {
        let (before, tick) = (entry.load(Relaxed), tick(now));
        if before >= tick && before & SLOT != self.number {
            if before & SLOT != SLOT {
                mark_shared(entry, before, tick);
            }
            return;
        }
        entry.store(self.next(tick), Relaxed);
    }

    /// Returns the stamp of an entry that the thread in this slot writes now. It is later than `newest`, the last
    /// one so far.
    #[inline]
    pub(super) fn stamp(&self, now: u64, newest: u64) -> u64 {
        self.next(tick(now).max((newest | SLOT) + 1))
    }

    #[inline(always)]
    fn next(&self, tick: u64) -> u64 {
        let time = (self.stamp.load(Relaxed) + ONE).max(tick);
        self.stamp.store(time, Relaxed);
        time | self.number
    }

    #[inline(always)]
    pub(super) fn count_hit(&self) {
        self.hits.store(self.hits.load(Relaxed) + 1, Relaxed);
    }

    /// Whether the reader should help to update the queue after the next hit.
    #[inline(always)]
    pub(super) fn is_to_help(&self) -> bool {
        self.hits.load(Relaxed) >= self.help_at.load(Relaxed)
    }

    /// Returns whether the reader should check what is due: reading the clock at each miss would cost too much.
    #[inline]
    pub(super) fn count_miss(&self) -> bool {
        let misses = self.misses.load(Relaxed) + 1;
        self.misses.store(misses, Relaxed);
        misses.is_multiple_of(CHECK)
    }

    /// Sets when this reader helps again: soon if it was needed.
    pub(super) fn helped(&self, was_needed: bool) {
        let before = self.help_every.load(Relaxed);
        let every = if was_needed { OFTEN } else { (before * 2).clamp(OFTEN, RARELY) };
        self.help_every.store(every, Relaxed);
        self.help_at.store(self.hits.load(Relaxed) + every, Relaxed);
    }

    /// Makes the stamps of this slot follow those of another one.
    pub(super) fn continue_from(&self, other: &SlotRecency) {
        self.stamp.store(self.stamp.load(Relaxed).max(other.stamp.load(Relaxed)), Relaxed);
    }

    pub(super) fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits.load(Relaxed), self.misses.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_of_one_slot_are_in_order() {
        let (reader, entry) = (SlotRecency::new(3), AtomicU64::new(0));
        let mut last = 0;
        for now in [1_000_000, 1_000_000, 1_000_050, 4_000_000, 4_000_000, 3_000_000, 8_000_000] {
            for _ in 0..100 {
                reader.record_use(&entry, now);
                assert!(entry.load(Relaxed) > last);
                last = entry.load(Relaxed);
            }
        }
    }

    #[test]
    fn delayed_reader_does_not_make_an_entry_older() {
        // The reader in slot 1 has read the clock, and is interrupted while others use the entry.
        let (readers, entry) = ([0, 1, 2].map(SlotRecency::new), AtomicU64::new(0));
        let delayed = 40_000_000;
        for now in [delayed, 80_000_000, 120_000_000] {
            readers[0].record_use(&entry, now);
        }
        let before = entry.load(Relaxed);
        readers[1].record_use(&entry, delayed);
        assert!(entry.load(Relaxed) >= before);
        readers[2].record_use(&entry, 120_000_000);
        readers[1].record_use(&entry, delayed);
        assert!(time_of(entry.load(Relaxed)) > 120_000_000 >> NANOSECOND_BITS);
    }

    #[test]
    fn shared_entry_is_written_twice_in_a_tick() {
        let (readers, entry) = ([0, 1, 2, 3].map(SlotRecency::new), AtomicU64::new(0));
        for now in [40_000_000, 80_000_000] {
            let mut writes = 0;
            for round in 0..1_000 {
                let before = entry.load(Relaxed);
                readers[round % 4].record_use(&entry, now);
                writes += usize::from(entry.load(Relaxed) != before);
            }
            assert_eq!(writes, 2);
            let time = time_of(entry.load(Relaxed));
            assert!(time > now >> NANOSECOND_BITS && time < (now + sys::coarse_resolution()) >> NANOSECOND_BITS);
        }
    }
}
