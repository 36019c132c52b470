//! The entries, their table and their order: everything that one writer changes at a time and many readers read.

use super::key::{Key, NewKey, PREFIX};
use super::order::Order;
use super::table::Table;
use super::time::Clock;
use crate::error::{Error, Result, Status};

/// Indices have 32 bits, and the table has twice as many places as the cache.
pub(super) const LARGEST: usize = 1 << 31;

/// One entry, in one cache line where the value takes up to 16 bytes.
#[repr(align(64))]
pub(super) struct Entry<V> {
    key: Key,
    /// `None` where the index is free.
    value: Option<V>,
    /// When a reader has to look closer: the soft deadline if there is one, else the hard one.
    until: u64,
}

/// What is left of an entry's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    Fresh,
    /// Past its soft deadline: still good, but somebody should load it again.
    Stale,
    Over,
}

/// When an entry ends, and from when on it should be refreshed.
#[derive(Clone, Copy)]
pub(super) struct Deadlines {
    pub(super) soft: Option<u64>,
    pub(super) hard: u64,
}

/// What happened so far. The names are those of [`Stats`](super::Stats).
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) evictions: u64,
    pub(super) expirations: u64,
    pub(super) invalidations: u64,
}

pub(super) struct Store<V> {
    capacity: usize,
    len: usize,
    table: Table,
    pub(super) order: Order,
    entries: Vec<Entry<V>>,
    /// The beginnings of all keys side by side, so that a search by prefix reads little memory.
    prefixes: Vec<[u8; PREFIX]>,
    /// The tags of all keys, so that a removal need not hash the key again.
    tags: Vec<u32>,
    /// The hard deadlines of the entries that also have a soft one, 0 for others; as long as it has to be for these.
    hard: Vec<u64>,
    pub(super) counts: Counts,
}

impl<V> Store<V> {
    /// `capacity` is at least 1.
    pub(super) fn new(capacity: usize) -> Result<Store<V>> {
        let no_memory = || no_memory(capacity);
        let mut entries = Vec::new();
        let (mut prefixes, mut tags) = (Vec::new(), Vec::new());
        // All room is reserved now, so nothing is ever moved; pages that are not used take no memory.
        entries.try_reserve_exact(capacity).map_err(|_| no_memory())?;
        prefixes.try_reserve_exact(capacity).map_err(|_| no_memory())?;
        tags.try_reserve_exact(capacity).map_err(|_| no_memory())?;
        Ok(Store {
            capacity,
            len: 0,
            table: Table::new(capacity).ok_or_else(no_memory)?,
            order: Order::new(capacity).ok_or_else(no_memory)?,
            entries,
            prefixes,
            tags,
            hard: Vec::new(),
            counts: Counts::default(),
        })
    }

    /// Reserves the room that [`Store::insert`] needs for soft deadlines.
    pub(super) fn reserve_soft(&mut self) -> Result<()> {
        let missing = self.capacity - self.hard.len();
        self.hard.try_reserve_exact(missing).map_err(|_| no_memory(self.capacity))
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One more than the highest index that was ever in use.
    pub(super) fn indices(&self) -> usize {
        self.entries.len()
    }

    #[inline(always)]
    pub(super) fn find(&self, tag: u32, key: &[u8]) -> Option<u32> {
        self.table.find(tag, |index| self.entries[index as usize].key.is(key))
    }

    /// The value at an index that is in use.
    #[inline]
    pub(super) fn value(&self, index: u32) -> Option<&V> {
        self.entries[index as usize].value.as_ref()
    }

    #[inline(always)]
    pub(super) fn life(&self, index: u32, clock: &Clock, about: u64) -> Life {
        if clock.is_ahead(self.entries[index as usize].until, about) {
            return Life::Fresh;
        }
        match self.hard.get(index as usize) {
            Some(hard) if clock.is_ahead(*hard, about) => Life::Stale,
            _ => Life::Over,
        }
    }

    /// The key at an index, unless that is free.
    pub(super) fn key(&self, index: u32) -> Option<&[u8]> {
        let entry = &self.entries[index as usize];
        entry.value.is_some().then(|| entry.key.bytes())
    }

    /// Stores a value; what it displaces is returned, to be dropped outside the lock. If there is a soft deadline, room
    /// for it was reserved.
    pub(super) fn insert(
        &mut self,
        (tag, key): (u32, NewKey<'_>),
        value: V,
        deadlines: Deadlines,
        (clock, now): (&Clock, u64),
    ) -> Option<V> {
        let index = match self.find(tag, key.bytes) {
            Some(index) => {
                if self.life(index, clock, now) == Life::Over {
                    self.counts.expirations += 1;
                }
                self.order.touch(index);
                index
            }
            None => {
                let index = self.make_room(clock, now);
                self.put(index, tag, key);
                index
            }
        };
        let entry = &mut self.entries[index as usize];
        let displaced = entry.value.replace(value);
        entry.until = deadlines.soft.unwrap_or(deadlines.hard);
        self.set_hard(index, deadlines);
        displaced
    }

    /// An index for a new entry, now the newest: a free one, or where the cache is full that of the least recently used
    /// entry, which keeps its value for the moment.
    fn make_room(&mut self, clock: &Clock, now: u64) -> u32 {
        let Some(oldest) = self.order.oldest().filter(|_| self.len == self.capacity) else {
            self.len += 1;
            return self.order.add();
        };
        match self.life(oldest, clock, now) {
            Life::Over => self.counts.expirations += 1,
            _ => self.counts.evictions += 1,
        }
        self.table.remove(self.tags[oldest as usize], oldest);
        self.order.touch(oldest);
        oldest
    }

    fn put(&mut self, index: u32, tag: u32, key: NewKey<'_>) {
        let prefix = key.prefix();
        if index as usize == self.entries.len() {
            self.entries.push(Entry { key: Key::EMPTY, value: None, until: 0 });
            self.prefixes.push(prefix);
            self.tags.push(tag);
        } else {
            self.prefixes[index as usize] = prefix;
            self.tags[index as usize] = tag;
        }
        self.entries[index as usize].key.set(key);
        self.table.insert(tag, index);
    }

    /// Takes out the entry at an index that is in use. The value is returned, to be dropped outside the lock.
    pub(super) fn remove(&mut self, index: u32) -> Option<V> {
        let entry = &mut self.entries[index as usize];
        let value = entry.value.take();
        self.table.remove(self.tags[index as usize], index);
        entry.key = Key::EMPTY;
        self.prefixes[index as usize] = [0; PREFIX];
        self.order.remove(index);
        self.len -= 1;
        value
    }

    /// Has a stale entry count as fresh until then, or to its end if that comes first.
    pub(super) fn postpone(&mut self, index: u32, until: u64) {
        let hard = self.hard.get(index as usize).copied().unwrap_or(0);
        self.entries[index as usize].until = until.min(hard);
    }

    fn set_hard(&mut self, index: u32, deadlines: Deadlines) {
        if deadlines.soft.is_some() && self.hard.len() <= index as usize {
            self.hard.resize(index as usize + 1, 0);
        }
        if let Some(hard) = self.hard.get_mut(index as usize) {
            *hard = if deadlines.soft.is_some() { deadlines.hard } else { 0 };
        }
    }

    /// The indices from `from` up to `to` whose keys begin with `prefix`, at most `limit` of them, and where to go on.
    pub(super) fn indices_with_prefix(&self, prefix: &[u8], from: usize, to: usize, limit: usize) -> (Vec<u32>, usize) {
        let len = prefix.len().min(PREFIX);
        let (mut wanted, mut mask) = ([0; PREFIX], [0; PREFIX]);
        wanted[..len].copy_from_slice(&prefix[..len]);
        mask[..len].fill(0xff);
        let (wanted, mask) = (u128::from_ne_bytes(wanted), u128::from_ne_bytes(mask));
        let mut found = Vec::new();
        for index in from..to.min(self.prefixes.len()) {
            if u128::from_ne_bytes(self.prefixes[index]) & mask == wanted
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

    /// The indices in a range whose entries are over.
    pub(super) fn indices_over(&self, from: usize, to: usize, clock: &Clock, now: u64) -> Vec<u32> {
        (from..to.min(self.entries.len()))
            .map(|index| index as u32)
            .filter(|index| self.value(*index).is_some() && self.life(*index, clock, now) == Life::Over)
            .collect()
    }

    pub(super) fn count_over(&self, clock: &Clock, now: u64) -> usize {
        let over =
            |index: &usize| self.entries[*index].value.is_some() && self.life(*index as u32, clock, now) == Life::Over;
        (0..self.entries.len()).filter(over).count()
    }
}

fn no_memory(capacity: usize) -> Error {
    Error::new(Status::NoMemory, format!("no memory for a cache of {capacity} entries"))
}
