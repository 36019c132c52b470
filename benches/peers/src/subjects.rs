//! What is measured: the library and its peers, each with a deadline per entry, and the floor.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::library::{Library, Ours};

pub type Key = [u8; 32];
const TTL: Duration = Duration::from_secs(300);

/// A cache, or what takes its place. A hit copies the value into the buffer.
pub trait Subject: Send + Sync {
    fn get(&self, key: &Key, number: usize, buffer: &mut [u8]) -> bool;
    fn set(&self, key: &Key, number: usize, value: &[u8]);
    fn invalidate_prefix(&self, prefix: &[u8]) -> usize;
}

impl Subject for Ours {
    fn get(&self, key: &Key, _: usize, buffer: &mut [u8]) -> bool {
        self.get_into(key, buffer)
    }
    fn set(&self, key: &Key, _: usize, value: &[u8]) {
        Ours::set(self, key, value);
    }
    fn invalidate_prefix(&self, prefix: &[u8]) -> usize {
        Ours::invalidate_prefix(self, prefix)
    }
}

/// Hash the key, take a lock that nobody else takes, copy the value.
///
/// The least that a cache of this many entries can do: the hash says which entry it is, the lock is a part of that
/// entry, as is the key, and the value of that key is in a place of its own. So a hit waits for the hash, then for the
/// entry's cache line, then for the value's, out of as many as there are keys. What no floor needs is left out: the key
/// is not compared, and nothing is searched; where two keys want the same place, a byte that is known beforehand says how
/// far away the other one stands.
struct Floor {
    hasher: foldhash::quality::RandomState,
    entries: Vec<Entry>,
    /// For each number of a key.
    moved: Vec<AtomicU8>,
}

#[repr(align(64))]
#[derive(Default)]
struct Entry(Mutex<Option<(Key, Box<[u8]>)>>);

impl Floor {
    fn new(capacity: usize) -> Floor {
        let moved = (0..capacity).map(|_| AtomicU8::new(0)).collect();
        // Places to spare, or else some key would have to stand far away.
        let entries = (0..(capacity * 2).next_power_of_two() + 256).map(|_| Entry::default()).collect();
        Floor { hasher: foldhash::quality::RandomState::default(), entries, moved }
    }

    #[inline]
    fn home(&self, key: &Key) -> usize {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish() as usize & ((self.entries.len() - 256).wrapping_sub(1))
    }
}

impl Subject for Floor {
    fn get(&self, key: &Key, number: usize, buffer: &mut [u8]) -> bool {
        let place = self.home(key) + usize::from(self.moved[number].load(Relaxed));
        match &*self.entries[place].0.lock() {
            Some((_, value)) => {
                buffer[..value.len()].copy_from_slice(value);
                true
            }
            None => false,
        }
    }
    fn set(&self, key: &Key, number: usize, value: &[u8]) {
        let home = self.home(key);
        for moved in 0..=u8::MAX {
            let mut entry = self.entries[home + usize::from(moved)].0.lock();
            if entry.as_ref().is_none_or(|(other, _)| other == key) {
                *entry = Some((*key, value.into()));
                self.moved[number].store(moved, Relaxed);
                return;
            }
        }
        panic!("no place for a key");
    }
    fn invalidate_prefix(&self, _: &[u8]) -> usize {
        0
    }
}

struct Moka(moka::sync::Cache<Key, Arc<[u8]>>);

impl Subject for Moka {
    fn get(&self, key: &Key, _: usize, buffer: &mut [u8]) -> bool {
        self.0.get(key).inspect(|value| buffer[..value.len()].copy_from_slice(value)).is_some()
    }
    fn set(&self, key: &Key, _: usize, value: &[u8]) {
        self.0.insert(*key, value.into());
    }
    fn invalidate_prefix(&self, prefix: &[u8]) -> usize {
        let prefix = prefix.to_vec();
        self.0.invalidate_entries_if(move |key, _| key.starts_with(&prefix)).unwrap();
        self.0.run_pending_tasks();
        1
    }
}

struct MiniMoka(mini_moka::sync::Cache<Key, Arc<[u8]>>);

impl Subject for MiniMoka {
    fn get(&self, key: &Key, _: usize, buffer: &mut [u8]) -> bool {
        self.0.get(key).inspect(|value| buffer[..value.len()].copy_from_slice(value)).is_some()
    }
    fn set(&self, key: &Key, _: usize, value: &[u8]) {
        self.0.insert(*key, value.into());
    }
    fn invalidate_prefix(&self, _: &[u8]) -> usize {
        0
    }
}

struct Quick(quick_cache::sync::Cache<Key, (Instant, Arc<[u8]>)>);

impl Subject for Quick {
    fn get(&self, key: &Key, _: usize, buffer: &mut [u8]) -> bool {
        match self.0.get(key) {
            Some((deadline, value)) if Instant::now() < deadline => {
                buffer[..value.len()].copy_from_slice(&value);
                true
            }
            _ => false,
        }
    }
    fn set(&self, key: &Key, _: usize, value: &[u8]) {
        self.0.insert(*key, (Instant::now() + TTL, value.into()));
    }
    fn invalidate_prefix(&self, prefix: &[u8]) -> usize {
        let before = self.0.len();
        self.0.retain(|key, _| !key.starts_with(prefix));
        before - self.0.len()
    }
}

struct Lru(Mutex<lru::LruCache<Key, (Instant, Box<[u8]>)>>);

impl Subject for Lru {
    fn get(&self, key: &Key, _: usize, buffer: &mut [u8]) -> bool {
        match self.0.lock().get(key) {
            Some((deadline, value)) if Instant::now() < *deadline => {
                buffer[..value.len()].copy_from_slice(value);
                true
            }
            _ => false,
        }
    }
    fn set(&self, key: &Key, _: usize, value: &[u8]) {
        let item = (Instant::now() + TTL, value.into());
        let _displaced = self.0.lock().push(*key, item);
    }
    fn invalidate_prefix(&self, prefix: &[u8]) -> usize {
        let mut cache = self.0.lock();
        let keys: Vec<Key> = cache.iter().map(|(key, _)| *key).filter(|key| key.starts_with(prefix)).collect();
        keys.iter().filter(|key| cache.pop(*key).is_some()).count()
    }
}

pub const NAMES: [&str; 6] = ["st_cache", "moka", "mini-moka", "quick_cache", "Mutex<lru>", "floor"];
pub const OURS: usize = 0;
pub const MOKA: usize = 1;
pub const MINI_MOKA: usize = 2;
pub const QUICK: usize = 3;
pub const LRU: usize = 4;
pub const FLOOR: usize = 5;

pub fn subject(which: usize, library: &'static Library, capacity: usize) -> Box<dyn Subject> {
    match which {
        OURS => Box::new(Ours::new(library, capacity)),
        MOKA => Box::new(Moka(
            moka::sync::Cache::builder()
                .max_capacity(capacity as u64)
                .time_to_live(TTL)
                .support_invalidation_closures()
                .build(),
        )),
        MINI_MOKA => Box::new(MiniMoka(
            mini_moka::sync::Cache::builder().max_capacity(capacity as u64).time_to_live(TTL).build(),
        )),
        QUICK => Box::new(Quick(quick_cache::sync::Cache::new(capacity))),
        LRU => Box::new(Lru(Mutex::new(lru::LruCache::new(capacity.try_into().unwrap())))),
        _ => Box::new(Floor::new(capacity)),
    }
}
