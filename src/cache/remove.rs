//! Removing entries.

use std::sync::atomic::Ordering::Relaxed;

use super::shared::Shared;
use super::store::{Freshness, Ledger, Store};
use super::{Locked, TtlCache, release};

/// How many entries one call looks at when expired ones are due to be cleared away.
pub(super) const SWEEP: usize = 256;
/// How many entries a search looks at before others get a turn, and how many are removed while readers wait.
pub(super) const SCAN: usize = 16_384;
const REMOVE: usize = 32;

impl<V: Clone + Send + Sync> TtlCache<V> {
    /// Removes an entry; whether there was one whose time was not over. A load of this key that is under way is not
    /// stored any more, and callers that ask from now on do not wait for it.
    pub fn delete(&self, key: &[u8]) -> bool {
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

    /// Removes all entries at once; how many of them were not over yet.
    pub fn clear(&self) -> usize {
        self.loads.outdate_prefix(b"");
        let Some(shared) = &self.shared else { return 0 };
        let with_soft = self.soft_ttl < std::time::Duration::MAX;
        let Ok((mut store, mut ledger)) = Store::new(self.max_size, with_soft) else {
            // There is no memory for a second store.
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

    /// Removes the entries whose keys begin with these bytes; how many of them were not over yet. Others see them go part
    /// by part. Loads of such keys that are under way are not stored any more, and callers that ask from now on do not
    /// wait for them.
    pub fn invalidate_prefix(&self, prefix: &[u8]) -> usize {
        if prefix.is_empty() {
            return self.clear();
        }
        self.loads.outdate_prefix(prefix);
        self.shared.as_ref().map_or(0, |shared| self.remove_prefix(shared, prefix))
    }

    fn remove_prefix(&self, shared: &Shared<Store<V>, Ledger>, prefix: &[u8]) -> usize {
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

    /// Removes entries until there is none left, so also those that the values store while they are dropped.
    pub(crate) fn drain(&self) {
        let Some(shared) = &self.shared else { return };
        while shared.lock().parts().1.len() > 0 {
            self.clear();
        }
    }

    /// Takes out these entries; how many were not over yet. The values are to be dropped outside the lock.
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

    /// Clears away expired entries: a part of the cache, the next call the next part, until all of it has been seen.
    #[cold]
    pub(super) fn sweep(&self, shared: &Shared<Store<V>, Ledger>) {
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

/// Places for values that are taken out.
fn places<V>(count: usize) -> Vec<Option<V>> {
    let mut places = Vec::new();
    places.resize_with(count, || None);
    places
}

/// Takes out these entries, of which there are few. The values are to be dropped outside the lock.
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
