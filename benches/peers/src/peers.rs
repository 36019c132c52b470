//! The peers. Each is measured with its own hash and clock, and with those of the library.

use std::hash::BuildHasher;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::key::{Key, Name};
use crate::same::{Clock, TTL};

pub type Value = Arc<[u8]>;
type Item<C> = (<C as Clock>::Deadline, Value);

pub trait Hashes: BuildHasher + Clone + Default + Send + Sync + 'static {}
impl<T: BuildHasher + Clone + Default + Send + Sync + 'static> Hashes for T {}

/// A cache beside the library. What it lacks, its row lacks.
pub trait Peer: Sized + Send + Sync {
    const LOADS: bool = false;
    const REMOVES_PREFIXES: bool = true;
    /// `scans`: prefixes will be removed, which a peer may have to prepare for.
    fn new(capacity: usize, scans: bool) -> Self;
    /// Copies the value into the buffer, if it fits.
    fn get(&self, key: &[u8], buffer: &mut [u8]) -> Option<usize>;
    fn hold(&self, key: &[u8]) -> Option<Value>;
    fn set(&self, key: &[u8], value: &[u8]);
    fn load(&self, _: &[u8]) -> Option<Value> {
        None
    }
    fn delete(&self, key: &[u8]);
    fn clear(&self);
    fn remove_prefix(&self, _: &[u8]) {}
    fn stats(&self) -> u64;
}

#[inline]
fn copy(value: &[u8], buffer: &mut [u8]) -> Option<usize> {
    buffer.get_mut(..value.len())?.copy_from_slice(value);
    Some(value.len())
}

pub struct Moka<S, C: Clock>(moka::sync::Cache<Key, Item<C>, S>);

impl<S: Hashes, C: Clock> Peer for Moka<S, C> {
    const LOADS: bool = true;

    fn new(capacity: usize, scans: bool) -> Self {
        let mut builder = moka::sync::Cache::builder().max_capacity(capacity as u64);
        if C::BUILT_IN {
            builder = builder.time_to_live(TTL);
        }
        if scans {
            builder = builder.support_invalidation_closures();
        }
        Moka(builder.build_with_hasher(S::default()))
    }
    #[inline]
    fn get(&self, key: &[u8], buffer: &mut [u8]) -> Option<usize> {
        copy(&self.hold(key)?, buffer)
    }
    #[inline]
    fn hold(&self, key: &[u8]) -> Option<Value> {
        let (deadline, value) = self.0.get(Name::new(key))?;
        C::is_ahead(deadline).then_some(value)
    }
    #[inline]
    fn set(&self, key: &[u8], value: &[u8]) {
        self.0.insert(Key::new(key), (C::deadline(), value.into()));
    }
    #[inline]
    fn load(&self, key: &[u8]) -> Option<Value> {
        let (deadline, value) = self.0.get_with_by_ref(Name::new(key), || (C::deadline(), [].into()));
        C::is_ahead(deadline).then_some(value)
    }
    fn delete(&self, key: &[u8]) {
        self.0.invalidate(Name::new(key));
    }
    fn clear(&self) {
        self.0.invalidate_all();
    }
    fn remove_prefix(&self, prefix: &[u8]) {
        let prefix = prefix.to_vec();
        self.0.invalidate_entries_if(move |key, _| key.starts_with(&prefix)).expect("prepared for it");
        self.0.run_pending_tasks();
    }
    fn stats(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.entry_count()
    }
}

pub struct MiniMoka<S, C: Clock>(mini_moka::sync::Cache<Key, Item<C>, S>);

impl<S: Hashes, C: Clock> Peer for MiniMoka<S, C> {
    const REMOVES_PREFIXES: bool = false;

    fn new(capacity: usize, _: bool) -> Self {
        let mut builder = mini_moka::sync::Cache::builder().max_capacity(capacity as u64);
        if C::BUILT_IN {
            builder = builder.time_to_live(TTL);
        }
        MiniMoka(builder.build_with_hasher(S::default()))
    }
    #[inline]
    fn get(&self, key: &[u8], buffer: &mut [u8]) -> Option<usize> {
        copy(&self.hold(key)?, buffer)
    }
    #[inline]
    fn hold(&self, key: &[u8]) -> Option<Value> {
        let (deadline, value) = self.0.get(Name::new(key))?;
        C::is_ahead(deadline).then_some(value)
    }
    #[inline]
    fn set(&self, key: &[u8], value: &[u8]) {
        self.0.insert(Key::new(key), (C::deadline(), value.into()));
    }
    fn delete(&self, key: &[u8]) {
        self.0.invalidate(Name::new(key));
    }
    fn clear(&self) {
        self.0.invalidate_all();
    }
    fn stats(&self) -> u64 {
        mini_moka::sync::ConcurrentCacheExt::sync(&self.0);
        self.0.entry_count()
    }
}

pub struct Quick<S, C: Clock>(quick_cache::sync::Cache<Key, Item<C>, quick_cache::UnitWeighter, S>);

impl<S: Hashes, C: Clock> Peer for Quick<S, C> {
    const LOADS: bool = true;

    fn new(capacity: usize, _: bool) -> Self {
        let lifecycle = quick_cache::sync::DefaultLifecycle::default();
        let weight = capacity as u64;
        Quick(quick_cache::sync::Cache::with(capacity, weight, quick_cache::UnitWeighter, S::default(), lifecycle))
    }
    #[inline]
    fn get(&self, key: &[u8], buffer: &mut [u8]) -> Option<usize> {
        copy(&self.hold(key)?, buffer)
    }
    #[inline]
    fn hold(&self, key: &[u8]) -> Option<Value> {
        let (deadline, value) = self.0.get(Name::new(key))?;
        C::is_ahead(deadline).then_some(value)
    }
    #[inline]
    fn set(&self, key: &[u8], value: &[u8]) {
        self.0.insert(Key::new(key), (C::deadline(), value.into()));
    }
    #[inline]
    fn load(&self, key: &[u8]) -> Option<Value> {
        let (deadline, value) = self.0.get_or_insert_with(Name::new(key), || Err(())).ok()?;
        C::is_ahead(deadline).then_some(value)
    }
    fn delete(&self, key: &[u8]) {
        self.0.remove(Name::new(key));
    }
    fn clear(&self) {
        self.0.clear();
    }
    fn remove_prefix(&self, prefix: &[u8]) {
        self.0.retain(|key, _| !key.starts_with(prefix));
    }
    fn stats(&self) -> u64 {
        self.0.len() as u64
    }
}

/// The memory tier of foyer, which is the youngest of the peers. It has no deadlines.
pub struct Foyer<S: Hashes, C: Clock>(foyer_memory::Cache<Key, Item<C>, S>);

impl<S: Hashes, C: Clock> Peer for Foyer<S, C> {
    const REMOVES_PREFIXES: bool = false;

    fn new(capacity: usize, _: bool) -> Self {
        // Its shards, eight by default, divide the capacity. More of them than entries would hold nothing.
        Foyer(foyer_memory::CacheBuilder::new(capacity).with_hash_builder(S::default()).build())
    }
    #[inline]
    fn get(&self, key: &[u8], buffer: &mut [u8]) -> Option<usize> {
        let entry = self.0.get(Name::new(key))?;
        let (deadline, value) = entry.value();
        if C::is_ahead(*deadline) { copy(value, buffer) } else { None }
    }
    #[inline]
    fn hold(&self, key: &[u8]) -> Option<Value> {
        let entry = self.0.get(Name::new(key))?;
        let (deadline, value) = entry.value();
        C::is_ahead(*deadline).then(|| value.clone())
    }
    #[inline]
    fn set(&self, key: &[u8], value: &[u8]) {
        self.0.insert(Key::new(key), (C::deadline(), value.into()));
    }
    fn delete(&self, key: &[u8]) {
        self.0.remove(Name::new(key));
    }
    fn clear(&self) {
        self.0.clear();
    }
    fn stats(&self) -> u64 {
        self.0.usage() as u64
    }
}

pub struct Lru<S, C: Clock>(Mutex<lru::LruCache<Key, Item<C>, S>>);

impl<S: Hashes, C: Clock> Peer for Lru<S, C> {
    fn new(capacity: usize, _: bool) -> Self {
        let capacity = capacity.try_into().expect("above 0");
        Lru(Mutex::new(lru::LruCache::with_hasher(capacity, S::default())))
    }
    #[inline]
    fn get(&self, key: &[u8], buffer: &mut [u8]) -> Option<usize> {
        match self.0.lock().get(Name::new(key)) {
            Some((deadline, value)) if C::is_ahead(*deadline) => copy(value, buffer),
            _ => None,
        }
    }
    #[inline]
    fn hold(&self, key: &[u8]) -> Option<Value> {
        match self.0.lock().get(Name::new(key)) {
            Some((deadline, value)) if C::is_ahead(*deadline) => Some(value.clone()),
            _ => None,
        }
    }
    #[inline]
    fn set(&self, key: &[u8], value: &[u8]) {
        let item = (C::deadline(), value.into());
        // What it displaces is dropped after the lock.
        let _displaced = self.0.lock().push(Key::new(key), item);
    }
    fn delete(&self, key: &[u8]) {
        // As in `set`.
        let _removed = self.0.lock().pop(Name::new(key));
    }
    fn clear(&self) {
        self.0.lock().clear();
    }
    fn remove_prefix(&self, prefix: &[u8]) {
        let mut cache = self.0.lock();
        let found: Vec<Key> = cache.iter().map(|(key, _)| key).filter(|key| key.starts_with(prefix)).cloned().collect();
        found.iter().for_each(|key| _ = cache.pop(key));
    }
    fn stats(&self) -> u64 {
        let cache = self.0.lock();
        cache.iter().filter(|(_, (deadline, _))| C::is_ahead(*deadline)).count() as u64
    }
}
