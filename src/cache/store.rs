//! The entries and their hash table, which readers read, and the ledger, which only writers use.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::key::{Key, NewKey, PREFIX};
use super::lru_queue::LruQueue;
use super::shared::move_out;
use super::table::{Table, is_usual};
use super::time::{self, Clock};
use crate::error::{Error, Result, Status};

/// Indices have 31 bits.
pub(super) const LARGEST: usize = (1 << 31) - 1;

/// One entry: two adjacent cache lines if a value takes up to 72 bytes.
#[repr(align(128))]
pub(super) struct CacheEntry<V> {
    /// When a reader must check further: the soft deadline if there is one, else the hard deadline.
    deadline: u64,
    /// The last use, see `recency.rs`.
    pub(super) stamp: AtomicU64,
    key: Key,
    /// `None` if the index is free.
    value: Option<V>,
}

/// Whether an entry may be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Freshness {
    Fresh,
    /// Past its soft deadline: still served, but a caller should reload it.
    Stale,
    Expired,
}

/// When an entry becomes stale, and when it expires. There is no soft deadline if it is not before the hard one.
#[derive(Clone, Copy)]
pub(super) struct Deadlines {
    pub(super) soft: u64,
    pub(super) hard: u64,
}

impl Deadlines {
    #[inline(always)]
    pub(super) fn has_soft(self) -> bool {
        self.soft < self.hard
    }
}

/// The counters. The names are those of [`Stats`](super::Stats).
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) evictions: u64,
    pub(super) expirations: u64,
    pub(super) invalidations: u64,
}

/// What readers read.
pub(super) struct EntryStore<V> {
    table: Table,
    entries: Vec<CacheEntry<V>>,
    /// The hard deadlines of the entries that also have a soft one, 0 for others; only as long as these need.
    hard: Vec<u64>,
}

/// What only writers use.
pub(super) struct Ledger {
    capacity: usize,
    len: usize,
    pub(super) queue: LruQueue,
    /// The first bytes of all keys side by side, so that a search by prefix reads little memory.
    prefixes: Vec<[u8; PREFIX]>,
    /// The hashes of all keys, so that a removal does not hash the key again.
    tags: Vec<u32>,
    pub(super) counts: Counts,
    /// The stamp of the entry that was written last.
    pub(super) newest: u64,
    /// The index up to which expired entries have been removed.
    pub(super) swept: usize,
    /// The slot of the reader that updated the queue last.
    pub(super) helper: usize,
}

impl<V> EntryStore<V> {
    /// Creates an empty store and its ledger. `capacity` is at least 1. `with_soft` reserves room for soft deadlines.
    pub(super) fn new(capacity: usize, with_soft: bool) -> Result<(EntryStore<V>, Ledger)> {
        let no_memory = || no_memory(capacity);
        let mut entries = Vec::new();
        let (mut prefixes, mut tags) = (Vec::new(), Vec::new());
        // All room is reserved now, so that nothing is ever moved. Pages that are not used take no memory.
        entries.try_reserve_exact(capacity).map_err(|_| no_memory())?;
        prefixes.try_reserve_exact(capacity).map_err(|_| no_memory())?;
        tags.try_reserve_exact(capacity).map_err(|_| no_memory())?;
        let mut store = EntryStore { table: Table::new(capacity).ok_or_else(no_memory)?, entries, hard: Vec::new() };
        if with_soft {
            store.reserve_soft(capacity)?;
        }
        let queue = LruQueue::new(capacity).ok_or_else(no_memory)?;
        let counts = Counts::default();
        Ok((store, Ledger { capacity, len: 0, queue, prefixes, tags, counts, newest: 0, swept: 0, helper: usize::MAX }))
    }

    /// Reserves the room that [`EntryStore::put_value`] needs for soft deadlines.
    pub(super) fn reserve_soft(&mut self, capacity: usize) -> Result<()> {
        self.hard.try_reserve_exact(capacity - self.hard.len()).map_err(|_| no_memory(capacity))
    }

    /// Whether soft deadlines were ever stored.
    pub(super) fn has_soft(&self) -> bool {
        self.hard.capacity() > 0
    }

    /// Returns one more than the highest index that was ever in use.
    pub(super) fn indices(&self) -> usize {
        self.entries.len()
    }

    #[inline(always)]
    pub(super) fn find(&self, tag: u32, key: &[u8]) -> Option<u32> {
        self.find_entry(tag, key).map(|(index, _)| index)
    }

    /// Returns the index and the entry of a key.
    #[inline(always)]
    pub(super) fn find_entry(&self, tag: u32, key: &[u8]) -> Option<(u32, &CacheEntry<V>)> {
        if is_usual(key) { self.find_with(tag, key, Key::is_usual) } else { self.find_unusual(tag, key) }
    }

    #[inline(never)]
    fn find_unusual(&self, tag: u32, key: &[u8]) -> Option<(u32, &CacheEntry<V>)> {
        self.find_with(tag, key, |own, key| own.bytes() == key)
    }

    /// Searches without a check that could panic, which would make every caller prepare for that.
    #[inline(always)]
    fn find_with(&self, tag: u32, key: &[u8], is_equal: impl Fn(&Key, &[u8]) -> bool) -> Option<(u32, &CacheEntry<V>)> {
        let mut at = self.table.home(tag);
        loop {
            let (other, index) = self.table.at(at)?;
            if other == tag
                && let Some(entry) = self.entries.get(index as usize)
                && is_equal(&entry.key, key)
            {
                return Some((index, entry));
            }
            at = self.table.next(at);
        }
    }

    #[inline]
    pub(super) fn entry(&self, index: u32) -> &CacheEntry<V> {
        &self.entries[index as usize]
    }

    #[inline]
    pub(super) fn stamp(&self, index: u32) -> u64 {
        self.entries[index as usize].stamp.load(Relaxed)
    }

    #[inline]
    pub(super) fn freshness(&self, index: u32, clock: &Clock, about: u64) -> Freshness {
        self.entry(index).freshness(self, index, clock, about)
    }

    /// Whether there is an expired entry at this index.
    fn is_expired(&self, index: u32, clock: &Clock, about: u64) -> bool {
        self.entry(index).value.is_some() && self.freshness(index, clock, about) == Freshness::Expired
    }

    /// Returns the key at an index, unless the index is free.
    pub(super) fn key(&self, index: u32) -> Option<&[u8]> {
        let entry = self.entry(index);
        entry.value.is_some().then(|| entry.key.bytes())
    }

    /// Puts a key at an index that is free or whose entry is evicted. [`EntryStore::put_value`] follows.
    #[inline(never)]
    pub(super) fn put_key(&mut self, ledger: &mut Ledger, index: u32, (tag, key): (u32, NewKey<'_>)) {
        let prefix = key.prefix();
        if index as usize == self.entries.len() {
            self.push_entry();
            ledger.prefixes.push(prefix);
            ledger.tags.push(tag);
            ledger.len += 1;
        } else {
            if self.entries[index as usize].value.is_some() {
                self.table.remove(ledger.tags[index as usize], index);
            } else {
                ledger.len += 1;
            }
            ledger.prefixes[index as usize] = prefix;
            ledger.tags[index as usize] = tag;
        }
        self.entries[index as usize].key.set(key);
        self.table.insert(tag, index);
    }

    #[inline(never)]
    fn push_entry(&mut self) {
        self.entries.push(CacheEntry { deadline: 0, stamp: AtomicU64::new(0), key: Key::EMPTY, value: None });
    }

    /// Puts a value under the key of an entry. `write` changes the value in its place and moves out the value that it
    /// displaces, to be dropped outside the lock. If there is a soft deadline, room for it was reserved.
    #[inline(always)]
    pub(super) fn put_value(
        &mut self,
        index: u32,
        write: impl FnOnce(&mut Option<V>),
        deadlines: Deadlines,
        stamp: u64,
    ) {
        let entry = &mut self.entries[index as usize];
        write(&mut entry.value);
        *entry.stamp.get_mut() = stamp;
        entry.deadline = deadlines.soft.min(deadlines.hard);
        if deadlines.has_soft() || !self.hard.is_empty() {
            self.set_hard(index, deadlines);
        }
    }

    #[cold]
    fn set_hard(&mut self, index: u32, deadlines: Deadlines) {
        if deadlines.has_soft() && self.hard.len() <= index as usize {
            self.hard.resize(index as usize + 1, 0);
        }
        if let Some(hard) = self.hard.get_mut(index as usize) {
            *hard = if deadlines.has_soft() { deadlines.hard } else { 0 };
        }
    }

    /// Removes the entry at an index that is in use. The caller drops the value outside the lock.
    pub(super) fn remove(&mut self, ledger: &mut Ledger, index: u32, value: &mut Option<V>) {
        let entry = &mut self.entries[index as usize];
        move_out(&mut entry.value, value);
        self.table.remove(ledger.tags[index as usize], index);
        entry.key = Key::EMPTY;
        ledger.prefixes[index as usize] = [0; PREFIX];
        ledger.queue.remove(index);
        ledger.queue.release(index);
        ledger.len -= 1;
    }

    /// Makes a stale entry fresh until then, or until its hard deadline if that is earlier.
    pub(super) fn postpone(&mut self, index: u32, until: u64) {
        let hard = self.hard.get(index as usize).copied().unwrap_or(0);
        self.entries[index as usize].deadline = until.min(hard);
    }

    /// Returns the indices from `from` up to `to` whose keys begin with `prefix`, at most `limit` of them, and the
    /// index to continue from.
    pub(super) fn indices_with_prefix(
        &self,
        ledger: &Ledger,
        prefix: &[u8],
        from: usize,
        to: usize,
        limit: usize,
    ) -> (Vec<u32>, usize) {
        let len = prefix.len().min(PREFIX);
        let (mut wanted, mut mask) = ([0; PREFIX], [0; PREFIX]);
        wanted[..len].copy_from_slice(&prefix[..len]);
        mask[..len].fill(0xff);
        let (wanted, mask) = (u128::from_ne_bytes(wanted), u128::from_ne_bytes(mask));
        let mut found = Vec::new();
        for index in from..to.min(ledger.prefixes.len()) {
            if u128::from_ne_bytes(ledger.prefixes[index]) & mask == wanted
                && self.key(index as u32).is_some_and(|key| key.starts_with(prefix))
            {
                found.push(index as u32);
                if found.len() == limit {
                    return (found, index + 1);
                }
            }
        }
        (found, to)
    }

    /// Returns the indices from `from` up to `to` whose entries have expired, and the index to continue from.
    pub(super) fn indices_expired(&self, from: usize, to: usize, (clock, now): (&Clock, u64)) -> (Vec<u32>, usize) {
        let indices = (from..to.min(self.entries.len())).map(|index| index as u32);
        (indices.filter(|index| self.is_expired(*index, clock, now)).collect(), to)
    }

    /// Returns the number of expired entries from `from` up to `to`.
    pub(super) fn count_expired(&self, from: usize, to: usize, clock: &Clock, now: u64) -> usize {
        (from..to.min(self.entries.len())).filter(|index| self.is_expired(*index as u32, clock, now)).count()
    }
}

impl<V> CacheEntry<V> {
    #[inline]
    pub(super) fn value(&self) -> Option<&V> {
        self.value.as_ref()
    }

    /// `index` is that of this entry in `store`.
    #[inline(always)]
    pub(super) fn freshness(&self, store: &EntryStore<V>, index: u32, clock: &Clock, about: u64) -> Freshness {
        if time::is_far_ahead(self.deadline, about) {
            return Freshness::Fresh;
        }
        self.freshness_near_deadline(store, index, clock, about)
    }

    #[cold]
    fn freshness_near_deadline(&self, store: &EntryStore<V>, index: u32, clock: &Clock, about: u64) -> Freshness {
        if clock.is_ahead(self.deadline, about) {
            return Freshness::Fresh;
        }
        match store.hard.get(index as usize) {
            Some(hard) if clock.is_ahead(*hard, about) => Freshness::Stale,
            _ => Freshness::Expired,
        }
    }
}

impl Ledger {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == self.capacity
    }
}

fn no_memory(capacity: usize) -> Error {
    Error::new(Status::NoMemory, format!("no memory for a cache of {capacity} entries"))
}
