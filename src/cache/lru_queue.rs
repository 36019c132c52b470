//! The entries in the order of their last use, updated only as far as an eviction needs.
//!
//! A read changes the stamp of an entry and nothing here. The queue orders each entry by the stamp that it had when it
//! was inserted. Stamps only grow, so an entry is never behind its correct position. The first entry of the queue whose
//! stamp has not changed is therefore the least recently used one; the entries before it are moved to their positions.
//!
//! The queue is a radix heap (Ahuja, Mehlhorn, Orlin and Tarjan, J. ACM 1990; much like the hierarchical timing wheels
//! of Varghese and Lauck, SOSP 1987): a bucket of a key is given by the highest digit, of 6 bits, in which the key
//! differs from the time up to which the queue has been emptied. Insertion and removal take constant time. On its way
//! to the front an entry is moved at most once per digit, in practice once or twice.

use super::recency::time_of;

const NONE: u32 = u32::MAX;
/// Set in `previous` of the first entry of a bucket; the other bits are the number of the bucket.
const FIRST: u32 = 1 << 31;

const DIGIT: u32 = 6;
/// Times have 57 bits.
const LEVELS: usize = 10;
const SLOTS: usize = 1 << DIGIT;
/// The bucket of entries that are moved before anything else.
const PENDING: usize = LEVELS * SLOTS;

/// The number of entries whose stamps are read at once.
const BATCH: usize = 16;

#[derive(Clone, Copy)]
struct Link {
    /// Also links the free indices.
    next: u32,
    previous: u32,
}

pub(super) struct LruQueue {
    links: Vec<Link>,
    free: u32,
    /// A lower bound of all times in the queue.
    base: u64,
    /// The levels, and the buckets of each level, that hold entries.
    levels: u32,
    occupied: [u64; LEVELS],
    first: [u32; PENDING + 1],
}

/// The least recently used entry, or the fact that more entries had to be moved than the caller allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Oldest {
    Found(u32),
    Unfinished,
}

impl LruQueue {
    /// Creates a queue; `None` if there is no memory for this many entries.
    pub(super) fn new(capacity: usize) -> Option<LruQueue> {
        let mut links = Vec::new();
        links.try_reserve_exact(capacity).ok()?;
        let (occupied, first) = ([0; LEVELS], [NONE; PENDING + 1]);
        Some(LruQueue { links, free: NONE, base: 0, levels: 0, occupied, first })
    }

    /// Returns an index that is not in use: a freed one, or else the next number. It is not in the queue yet.
    pub(super) fn allocate(&mut self) -> u32 {
        let index = self.free;
        if index == NONE {
            self.links.push(Link { next: NONE, previous: NONE });
            return (self.links.len() - 1) as u32;
        }
        self.free = self.links[index as usize].next;
        index
    }

    /// Frees an index that is not in the queue.
    pub(super) fn release(&mut self, index: u32) {
        self.links[index as usize].next = self.free;
        self.free = index;
    }

    /// Inserts an index that is not in the queue, ordered by its stamp.
    #[inline]
    pub(super) fn insert(&mut self, index: u32, stamp: u64) {
        let time = time_of(stamp).max(self.base);
        let level = ((time ^ self.base) | 1).ilog2() / DIGIT;
        let slot = (time >> (level * DIGIT)) as usize % SLOTS;
        let bucket = level as usize * SLOTS + slot;
        let next = std::mem::replace(&mut self.first[bucket], index);
        if next == NONE {
            self.occupied[level as usize] |= 1 << slot;
            self.levels |= 1 << level;
        } else {
            self.links[next as usize].previous = index;
        }
        self.links[index as usize] = Link { next, previous: FIRST | bucket as u32 };
    }

    /// Removes an index.
    pub(super) fn remove(&mut self, index: u32) {
        let Link { next, previous } = self.links[index as usize];
        if next != NONE {
            self.links[next as usize].previous = previous;
        }
        if previous & FIRST == 0 {
            self.links[previous as usize].next = next;
            return;
        }
        let bucket = (previous & !FIRST) as usize;
        self.first[bucket] = next;
        if next == NONE && bucket != PENDING {
            self.mark_empty(bucket / SLOTS, bucket % SLOTS);
        }
    }

    fn mark_empty(&mut self, level: usize, slot: usize) {
        self.occupied[level] &= !(1 << slot);
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// Returns the least recently used entry, which stays in the queue. `moves` is the number of entries that may be
    /// moved to find it, and is decremented. The queue is not empty.
    pub(super) fn oldest(&mut self, moves: &mut usize, stamp_of: impl Fn(u32) -> u64) -> Oldest {
        loop {
            while self.first[PENDING] != NONE {
                if !self.move_pending(moves, &stamp_of) {
                    return Oldest::Unfinished;
                }
            }
            let level = self.levels.trailing_zeros();
            let slot = u64::from(self.occupied[level as usize].trailing_zeros());
            let bucket = level as usize * SLOTS + slot as usize;
            let above = self.base >> (DIGIT * level) >> DIGIT;
            let start = ((above << DIGIT) | slot) << (DIGIT * level);
            let index = self.first[bucket];
            let is_alone = level == 0 || self.links[index as usize].next == NONE;
            if is_alone && time_of(stamp_of(index)) >> (DIGIT * level) <= start >> (DIGIT * level) {
                return Oldest::Found(index);
            }
            self.base = start;
            if level == 0 {
                if !self.move_first(bucket, moves, &stamp_of) {
                    return Oldest::Unfinished;
                }
                continue;
            }
            self.first[PENDING] = std::mem::replace(&mut self.first[bucket], NONE);
            self.links[index as usize].previous = FIRST | PENDING as u32;
            self.mark_empty(level as usize, slot as usize);
        }
    }

    /// Moves the first of the pending entries to where their stamps belong, unless no move is left. The stamps are read
    /// before any entry is moved, so that the processor waits for several of them at the same time.
    fn move_pending(&mut self, moves: &mut usize, stamp_of: impl Fn(u32) -> u64) -> bool {
        if *moves == 0 {
            return false;
        }
        let (mut batch, mut count, mut index) = ([(NONE, 0); BATCH], 0, self.first[PENDING]);
        while index != NONE && count < BATCH.min(*moves) {
            batch[count] = (index, stamp_of(index));
            index = self.links[index as usize].next;
            count += 1;
        }
        *moves -= count;
        self.first[PENDING] = index;
        if index != NONE {
            self.links[index as usize].previous = FIRST | PENDING as u32;
        }
        for (index, stamp) in &batch[..count] {
            self.insert(*index, *stamp);
        }
        true
    }

    /// Moves the first entry of a bucket to where its stamp belongs, unless no move is left.
    fn move_first(&mut self, bucket: usize, moves: &mut usize, stamp_of: impl Fn(u32) -> u64) -> bool {
        if *moves == 0 {
            return false;
        }
        *moves -= 1;
        let index = self.first[bucket];
        self.remove(index);
        self.insert(index, stamp_of(index));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::model_tests::Random;
    use super::*;

    #[test]
    fn oldest_is_the_smallest_stamp_after_any_changes() {
        for seed in 0..40 {
            let mut random = Random(seed * 77 + 1);
            let count = 1 + random.below(300) as u32;
            let range = 1 << random.below(50);
            let mut queue = LruQueue::new(count as usize).unwrap();
            let mut stamps = vec![None; count as usize];
            let mut now = 1 + random.below(range);
            for _ in 0..3_000 {
                now += random.below(range / 64 + 2);
                let stamp = now << 7;
                let index = random.below(count.into()) as usize;
                match (random.below(4), stamps[index]) {
                    (_, None) if stamps.iter().filter(|stamp| stamp.is_some()).count() < count as usize => {
                        let index = queue.allocate();
                        queue.insert(index, stamp);
                        assert!(stamps[index as usize].replace(stamp).is_none());
                    }
                    (0, Some(_)) => {
                        queue.remove(index as u32);
                        queue.release(index as u32);
                        stamps[index] = None;
                    }
                    _ => stamps[index] = stamps[index].map(|_| stamp),
                }
                let Some(least) = stamps.iter().flatten().min() else { continue };
                let mut moves = random.below(40) as usize;
                match queue.oldest(&mut moves, |index| stamps[index as usize].unwrap()) {
                    Oldest::Found(index) => assert_eq!(stamps[index as usize].as_ref(), Some(least)),
                    Oldest::Unfinished => assert_eq!(moves, 0),
                }
            }
        }
    }

    #[test]
    fn entries_used_in_turn_are_moved_a_few_times_each() {
        const ENTRIES: u64 = 10_000;
        let mut queue = LruQueue::new(ENTRIES as usize).unwrap();
        let mut stamps: Vec<u64> = (1..=ENTRIES).map(|time| time << 7).collect();
        (0..ENTRIES as u32).for_each(|index| assert_eq!(queue.allocate(), index));
        (0..ENTRIES as u32).for_each(|index| queue.insert(index, stamps[index as usize]));
        let mut moved = 0;
        for time in ENTRIES + 1..ENTRIES * 10 {
            let mut moves = usize::MAX;
            let Oldest::Found(index) = queue.oldest(&mut moves, |index| stamps[index as usize]) else { panic!() };
            moved += usize::MAX - moves;
            stamps[index as usize] = time << 7;
            queue.remove(index);
            queue.insert(index, time << 7);
        }
        assert!(moved < 4 * 9 * ENTRIES as usize, "{moved}");
    }
}
