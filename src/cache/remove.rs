//! Removing entries.

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

use super::shared::Shared;
use super::store::{EntryStore, Freshness, Ledger};
use super::time::NEVER;
use super::{Change, Locked, TtlCache, release};

/// The number of entries that one call checks when expired entries are due to be removed.
pub(super) const SWEEP: usize = 256;
/// The number of entries that a search checks before it lets other callers through.
pub(super) const SCAN: usize = 16_384;
/// The number of entries that are removed while readers wait.
const REMOVE: usize = 32;

impl<V: Clone + Send + Sync> TtlCache<V> {
    /// Removes an entry, and returns whether there was one that had not expired. The result of a load of this key
    /// that is in progress is not stored, and later callers do not wait for that load.
    pub fn delete(&self, key: &[u8]) -> bool {
        let existed = self.delete_local(key);
        if self.remove_remote(|| Change::Key(key.to_vec())) {
            self.delete_local(key);
        }
        existed
    }

    pub(super) fn delete_local(&self, key: &[u8]) -> bool {
        let Some(shared) = &self.shared else {
            self.outdate_unheld(key);
            return false;
        };
        let mut locked = self.lock_to_store(shared, key, None);
        let Some(index) = locked.parts().0.find(self.hash.tag(key), key) else { return false };
        let (removed, existed) = self.invalidate(&mut locked, &[index]);
        drop(locked);
        release(removed);
        existed == 1
    }

    /// Removes all entries, and returns how many of them had not expired.
    pub fn clear(&self) -> usize {
        let existed = self.clear_local();
        if self.remove_remote(|| Change::Prefix(Vec::new())) {
            self.clear_local();
        }
        existed
    }

    fn clear_local(&self) -> usize {
        self.loads.outdate_prefix(b"");
        let Some(shared) = &self.shared else { return 0 };
        let with_soft = self.soft_ttl < NEVER;
        let Ok((mut store, mut ledger)) = EntryStore::new(self.max_size, with_soft) else {
            // No memory for a second store.
            return self.remove_prefix(shared, b"");
        };
        let mut locked = shared.lock();
        {
            let mut writer = locked.upgrade();
            let (now_store, now_ledger) = writer.parts();
            std::mem::swap(now_store, &mut store);
            std::mem::swap(now_ledger, &mut ledger);
        }
        locked.parts().1.counts = ledger.counts;
        drop(locked);
        let now = self.clock.exact();
        let expired = store.count_expired(0, store.indices(), &self.clock, now);
        let existed = ledger.len() - expired;
        let mut locked = shared.lock();
        let counts = &mut locked.parts().1.counts;
        counts.expirations += expired as u64;
        counts.invalidations += existed as u64;
        drop(locked);
        release(store);
        existed
    }

    /// Removes the entries whose keys begin with these bytes, and returns how many of them had not expired. It runs
    /// in steps: other callers can see some of the entries removed before others. The results of loads of such keys
    /// that are in progress are not stored, and later callers do not wait for those loads.
    pub fn invalidate_prefix(&self, prefix: &[u8]) -> usize {
        let existed = self.invalidate_local(prefix);
        if self.remove_remote(|| Change::Prefix(prefix.to_vec())) {
            self.invalidate_local(prefix);
        }
        existed
    }

    pub(super) fn invalidate_local(&self, prefix: &[u8]) -> usize {
        if prefix.is_empty() {
            return self.clear_local();
        }
        self.loads.outdate_prefix(prefix);
        self.shared.as_ref().map_or(0, |shared| self.remove_prefix(shared, prefix))
    }

    fn remove_prefix(&self, shared: &Shared<EntryStore<V>, Ledger>, prefix: &[u8]) -> usize {
        let (mut count, mut from, mut ended) = (0, 0, false);
        while !ended {
            let mut locked = shared.lock();
            let (store, ledger) = locked.parts();
            let (found, next) = store.indices_with_prefix(ledger, prefix, from, from + SCAN, REMOVE);
            ended = next >= store.indices();
            from = next;
            let (removed, existed) = self.invalidate(&mut locked, &found);
            count += existed;
            drop(locked);
            release(removed);
        }
        count
    }

    /// Removes entries until the cache is empty, including those that values store while they are dropped.
    pub(crate) fn drain(&self) {
        let Some(shared) = &self.shared else { return };
        while shared.lock().parts().1.len() > 0 {
            self.clear_local();
        }
    }

    /// Removes these entries, and returns how many had not expired. The caller drops the values outside the lock.
    pub(super) fn invalidate(&self, locked: &mut Locked<'_, V>, indices: &[u32]) -> (Vec<Option<V>>, usize) {
        let (store, ledger) = locked.parts();
        let about = self.clock.about();
        let is_live = |index: &&u32| store.freshness(**index, &self.clock, about) != Freshness::Expired;
        let existed = indices.iter().filter(is_live).count();
        ledger.counts.invalidations += existed as u64;
        ledger.counts.expirations += (indices.len() - existed) as u64;
        let mut removed = places(indices.len());
        take_out(locked, indices, &mut removed);
        (removed, existed)
    }

    /// Removes expired entries in one part of the cache. The next call continues with the next part, until the whole
    /// cache is checked.
    #[cold]
    pub(super) fn sweep(&self, shared: &Shared<EntryStore<V>, Ledger>) {
        let Some(_sweeping) = Sweeping::begin() else { return };
        let now = self.clock.exact();
        let Some(mut locked) = shared.try_lock() else { return };
        if now < self.next_sweep.load(Relaxed) {
            return;
        }
        let (store, ledger) = locked.parts();
        let (found, next) = store.indices_expired(ledger.swept, ledger.swept + SWEEP, (&self.clock, now));
        ledger.swept = next;
        if next >= store.indices() {
            ledger.swept = 0;
            self.next_sweep.store(self.clock.after(self.cleanup_interval), Relaxed);
        }
        ledger.counts.expirations += found.len() as u64;
        let mut removed = places(found.len());
        for (part, places) in found.chunks(REMOVE).zip(removed.chunks_mut(REMOVE)) {
            take_out(&mut locked, part, places);
        }
        drop(locked);
        release(removed);
    }
}

thread_local! {
    static IS_SWEEPING: Cell<bool> = const { Cell::new(false) };
}

/// A sweep by this thread. The values that it drops may use a cache, and would otherwise start another sweep each, one
/// within the other.
struct Sweeping;

impl Sweeping {
    fn begin() -> Option<Sweeping> {
        (!IS_SWEEPING.replace(true)).then(|| Sweeping)
    }
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        IS_SWEEPING.set(false);
    }
}

/// Returns room for values that are removed.
fn places<V>(count: usize) -> Vec<Option<V>> {
    let mut places = Vec::new();
    places.resize_with(count, || None);
    places
}

/// Removes these entries, of which there are few. The caller drops the values outside the lock.
fn take_out<V>(locked: &mut Locked<'_, V>, indices: &[u32], places: &mut [Option<V>]) {
    if indices.is_empty() {
        return;
    }
    let mut writer = locked.upgrade();
    let (store, ledger) = writer.parts();
    for (index, place) in indices.iter().zip(places) {
        store.remove(ledger, *index, place);
    }
}
