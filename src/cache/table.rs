//! A hash table from keys to entries: open addressing with linear probing, and a fixed size.
//!
//! It is at most half full, a small one at most a quarter, so searches are short. It is never rehashed, so no caller
//! pays for a resize. A removal shifts back the entries that follow (backward-shift deletion), so there are no
//! tombstones.

use std::hash::{BuildHasher, Hasher, RandomState};

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

use super::shared::zeros;

/// Hashes keys. Each cache has its own random seeds.
pub(super) enum KeyHasher {
    /// foldhash: colliding keys cannot be computed in advance, but the hash is not designed to hide its seeds from an
    /// attacker who measures a long-running process. The cost of colliding keys is bounded by the capacity.
    Fast(u64, SharedSeed),
    /// SipHash-1-3, for keys that untrusted users choose.
    Keyed(RandomState),
}

impl KeyHasher {
    pub(super) fn new(keyed: bool) -> KeyHasher {
        if keyed {
            return KeyHasher::Keyed(RandomState::new());
        }
        // If the system has no random numbers, addresses and the time are used.
        let random = || getrandom::u64().unwrap_or_else(|_| foldhash::fast::RandomState::default().hash_one(0u8));
        KeyHasher::Fast(random(), SharedSeed::from_u64(random()))
    }

    /// Returns the upper half of the hash of a key.
    #[inline(always)]
    pub(super) fn tag(&self, key: &[u8]) -> u32 {
        let hash = match self {
            KeyHasher::Fast(seed, shared) if is_usual(key) => {
                let mut hasher = FoldHasher::with_seed(*seed ^ key.len() as u64, shared);
                hasher.write(&key[..16]);
                hasher.write(&key[key.len() - 16..]);
                hasher.finish()
            }
            _ => self.hash(key),
        };
        (hash >> 32) as u32
    }

    /// Returns the hash of a key of another length, or the keyed hash.
    #[inline(never)]
    fn hash(&self, key: &[u8]) -> u64 {
        match self {
            KeyHasher::Fast(seed, shared) => {
                let mut hasher = FoldHasher::with_seed(*seed ^ key.len() as u64, shared);
                hasher.write(key);
                hasher.finish()
            }
            KeyHasher::Keyed(state) => {
                let mut hasher = state.build_hasher();
                hasher.write(key);
                hasher.finish()
            }
        }
    }
}

/// Whether the key has a usual length: two halves of 16 bytes, which overlap if it is shorter, are hashed and compared
/// in a few instructions.
#[inline(always)]
pub(super) fn is_usual(key: &[u8]) -> bool {
    (17..=32).contains(&key.len())
}

/// The tag of the key in the upper half, the index of the entry plus 1 in the lower half; 0 is empty.
type Bucket = u64;

/// Up to this capacity a quarter of the table is used, above it a half.
const ROOMY: usize = 2048;

pub(super) struct Table {
    buckets: Vec<Bucket>,
}

fn tag_of(bucket: Bucket) -> u32 {
    (bucket >> 32) as u32
}

fn index_of(bucket: Bucket) -> u32 {
    bucket as u32 - 1
}

impl Table {
    /// Creates a table for up to `capacity` entries; `None` if there is no memory for it.
    pub(super) fn new(capacity: usize) -> Option<Table> {
        // Small tables have spare room: if most searches end at the first position, few branches are mispredicted. In
        // large tables the room would cost more in cache misses than it saves.
        let places = if capacity <= ROOMY { 4 } else { 2 };
        let len = capacity.checked_mul(places)?.max(4);
        // The system provides zeros without touching a page: a large cache that stays nearly empty takes little memory.
        Some(Table { buckets: zeros(len)? })
    }

    /// Returns the first position for a tag. Tags are uniformly distributed, so it is the tag scaled to the size of
    /// the table. It depends on the tag alone, so a shift needs no keys.
    #[inline(always)]
    pub(super) fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.buckets.len() as u64) >> 32) as usize
    }

    /// Returns the tag and the index at a position, `None` if it is empty. A search for a tag begins at its home and
    /// ends at an empty position.
    #[inline(always)]
    pub(super) fn at(&self, at: usize) -> Option<(u32, u32)> {
        match self.buckets.get(at) {
            Some(bucket) if *bucket != 0 => Some((tag_of(*bucket), index_of(*bucket))),
            _ => None,
        }
    }

    #[inline(always)]
    pub(super) fn next(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() { 0 } else { at + 1 }
    }

    /// Inserts an index that is not in the table. There is room: the table is at least twice as large as the
    /// capacity.
    pub(super) fn insert(&mut self, tag: u32, index: u32) {
        let mut at = self.home(tag);
        while self.buckets[at] != 0 {
            at = self.next(at);
        }
        self.buckets[at] = u64::from(tag) << 32 | u64::from(index + 1);
    }

    /// Removes an index that is in the table under `tag`.
    pub(super) fn remove(&mut self, tag: u32, index: u32) {
        let bucket = u64::from(tag) << 32 | u64::from(index + 1);
        let mut gap = self.home(tag);
        while self.buckets[gap] != bucket {
            debug_assert!(self.buckets[gap] != 0, "the entry is in the table");
            gap = self.next(gap);
        }
        let mut at = self.next(gap);
        while self.buckets[at] != 0 {
            // The bucket at `at` may move into the gap unless its home is between the two.
            if self.distance(self.home(tag_of(self.buckets[at])), at) >= self.distance(gap, at) {
                self.buckets[gap] = self.buckets[at];
                gap = at;
            }
            at = self.next(at);
        }
        self.buckets[gap] = 0;
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.buckets.len() - from }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowded_tags_are_found_after_any_removal() {
        // Few distinct tags near the end of the table: long runs that wrap around.
        let tag = |index: u32| u32::MAX - (index % 7) * 0x0200_0000;
        let mut table = Table::new(64).unwrap();
        let mut present = [false; 64];
        let mut random = 1u32;
        for _ in 0..100_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let index = random >> 26;
            if present[index as usize] {
                table.remove(tag(index), index);
            } else {
                table.insert(tag(index), index);
            }
            present[index as usize] ^= true;
            let probe = (random >> 13) % 64;
            let mut at = table.home(tag(probe));
            let found = loop {
                match table.at(at) {
                    Some((_, index)) if index != probe => at = table.next(at),
                    found => break found,
                }
            };
            assert_eq!(found, present[probe as usize].then_some((tag(probe), probe)));
        }
    }
}
