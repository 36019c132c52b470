//! Storing values.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::fence;
use std::time::Duration;

use super::key::NewKey;
use super::load::Load;
use super::lru_queue::Oldest;
use super::shared::{Shared, move_out};
use super::store::{Deadlines, EntryStore, Freshness, Ledger};
use super::time::{self, NEVER};
use super::{Locked, TtlCache, release, release_in_place};
use crate::error::Result;
use crate::fork;

/// The number of entries that are moved in the queue before other writers get the lock.
const MOVES: usize = 512;

/// Writes a value into the first place and moves the value that it displaces into the second one.
pub(super) type WriteFunction<V> = fn(&mut Option<V>, V, &mut Option<V>);

/// Where a value is stored.
#[derive(Clone, Copy)]
enum Place {
    /// In the entry of its key.
    Same(u32),
    /// At an index that is not in the queue.
    New(u32),
    /// Too many entries have to be moved in the queue first.
    Unfinished,
    /// The value comes from an outdated load.
    Nowhere,
}

/// What is stored, but for the value.
struct Item<'a, V> {
    tag: u32,
    key: &'a [u8],
    from: Option<&'a Load<V>>,
    deadlines: Deadlines,
    now: u64,
}

impl<V: Clone + Send + Sync> TtlCache<V> {
    /// Stores a value for this long; `None` is the default of the cache, [`Duration::MAX`] never expires. The results
    /// of loads of this key that are in progress are not stored, and later callers do not wait for them.
    pub fn set(&self, key: &[u8], value: V, ttl: Option<Duration>) -> Result<()> {
        self.set_soft(key, value, ttl, None)
    }

    /// As [`TtlCache::set`]. After the time `soft` (`None`: the default of the cache) the value is stale: it is still
    /// served, but the next caller of [`TtlCache::get_or_load`] or [`TtlCache::acquire`] reloads it.
    pub fn set_soft(&self, key: &[u8], value: V, ttl: Option<Duration>, soft: Option<Duration>) -> Result<()> {
        let remote = self.remote.as_ref().map(|_| value.clone());
        self.store(key, (ttl, soft), None, |place, displaced| (self.write)(place, value, displaced))?;
        match remote {
            Some(value) => self.set_remote(key, || Ok(value), ttl),
            None => Ok(()),
        }
    }

    /// Stores a value, unless it comes from an outdated load. `write` writes it into the first place and moves the
    /// value that it displaces into the second one.
    #[inline]
    pub(super) fn store(
        &self,
        key: &[u8],
        (ttl, soft): (Option<Duration>, Option<Duration>),
        from: Option<&Load<V>>,
        write: impl FnOnce(&mut Option<V>, &mut Option<V>),
    ) -> Result<()> {
        let Some(shared) = &self.shared else {
            if from.is_none() {
                self.outdate_unheld(key);
            }
            return Ok(());
        };
        let new_key = NewKey::new(key)?;
        let (tag, now, about) = (self.hash.tag(key), self.clock.exact(), self.clock.about());
        let deadlines = self.deadlines(tag, now, ttl, soft);
        if now >= self.next_sweep.load(Relaxed) {
            self.sweep(shared);
        }
        let mut locked = self.lock_to_store(shared, key, from);
        let item = Item { tag, key, from, deadlines, now };
        let mut place = self.place_of(&mut locked, &item);
        if let Ok(Place::Unfinished) = place {
            (locked, place) = self.place_of_again(shared, locked, &item);
        }
        let place = match place {
            Ok(place @ (Place::Same(_) | Place::New(_))) => place,
            not_stored => {
                drop(locked);
                release(write);
                return not_stored.map(drop);
            }
        };
        let mut displaced = None;
        put(&mut locked, place, (tag, new_key), (|place: &mut _| write(place, &mut displaced), deadlines, about));
        drop(locked);
        release_in_place(&mut displaced);
        Ok(())
    }

    #[inline(always)]
    fn deadlines(&self, tag: u32, now: u64, ttl: Option<Duration>, soft: Option<Duration>) -> Deadlines {
        let mut ttl = ttl.map_or(self.default_ttl, time::nanoseconds);
        let mut soft = soft.map_or(self.soft_ttl, time::nanoseconds);
        if self.jitter > 0.0 {
            (ttl, soft) = self.jittered(tag, now, ttl, soft);
        }
        // A deadline that cannot be represented never passes.
        Deadlines { soft: now.saturating_add(soft), hard: now.saturating_add(ttl) }
    }

    #[cold]
    fn jittered(&self, tag: u32, now: u64, ttl: u64, soft: u64) -> (u64, u64) {
        // It only has to differ between entries and between calls.
        let random = (u64::from(tag) << 32 ^ now).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let part = 1.0 - self.jitter * (random as f64 / (1u64 << 24) as f64);
        let shortened = |time: u64| if time == NEVER { time } else { time.min((time as f64 * part) as u64) };
        (shortened(ttl), shortened(soft))
    }

    #[cold]
    fn reserve_soft(&self, locked: &mut Locked<'_, V>) -> Result<()> {
        locked.upgrade().parts().0.reserve_soft(self.max_size)
    }

    /// Returns where a value of this key is stored.
    #[inline(always)]
    fn place_of(&self, locked: &mut Locked<'_, V>, item: &Item<'_, V>) -> Result<Place> {
        if item.from.is_some_and(Load::is_outdated) {
            return Ok(Place::Nowhere);
        }
        if item.deadlines.has_soft() && !locked.parts().0.has_soft() {
            self.reserve_soft(locked)?;
        }
        let (store, ledger) = locked.parts();
        let Some((index, entry)) = store.find_entry(item.tag, item.key) else {
            return Ok(self.new_place(store, ledger, item.now));
        };
        if entry.freshness(store, index, &self.clock, item.now) == Freshness::Expired {
            ledger.counts.expirations += 1;
        }
        Ok(Place::Same(index))
    }

    /// Does the same until it is finished. In between, other writers get the lock, and may change what was seen.
    #[cold]
    fn place_of_again<'a>(
        &self,
        shared: &'a Shared<EntryStore<V>, Ledger>,
        mut locked: Locked<'a, V>,
        item: &Item<'_, V>,
    ) -> (Locked<'a, V>, Result<Place>) {
        loop {
            drop(locked);
            locked = self.lock_to_store(shared, item.key, item.from);
            match self.place_of(&mut locked, item) {
                Ok(Place::Unfinished) => {}
                finished => return (locked, finished),
            }
        }
    }

    #[inline(never)]
    fn new_place(&self, store: &EntryStore<V>, ledger: &mut Ledger, now: u64) -> Place {
        if !ledger.is_full() {
            return Place::New(ledger.queue.allocate());
        }
        let mut moves = MOVES;
        let Oldest::Found(index) = ledger.queue.oldest(&mut moves, |index| store.stamp(index)) else {
            return Place::Unfinished;
        };
        match store.freshness(index, &self.clock, now) {
            Freshness::Expired => ledger.counts.expirations += 1,
            _ => ledger.counts.evictions += 1,
        }
        ledger.queue.remove(index);
        Place::New(index)
    }

    /// Takes the lock. A value that does not come from a load outdates the load of its key: it is newer than the
    /// result of that load.
    #[inline(always)]
    pub(super) fn lock_to_store<'a>(
        &self,
        shared: &'a Shared<EntryStore<V>, Ledger>,
        key: &[u8],
        from: Option<&Load<V>>,
    ) -> Locked<'a, V> {
        let locked = shared.lock();
        // A load that starts now waits for this lock before it reads anything.
        if from.is_some() || !self.loads.any() {
            return locked;
        }
        drop(locked);
        self.lock_and_outdate(shared, key)
    }

    #[cold]
    fn lock_and_outdate<'a>(&self, shared: &'a Shared<EntryStore<V>, Ledger>, key: &[u8]) -> Locked<'a, V> {
        // The fork guard comes before the lock: a fork waits for the guards, then takes the lock.
        let _guard = fork::protect();
        let locked = shared.lock();
        self.loads.outdate_key(key);
        locked
    }

    /// Outdates the load of a key in a cache with capacity 0.
    pub(super) fn outdate_unheld(&self, key: &[u8]) {
        fence(SeqCst);
        if self.loads.any() {
            let _guard = fork::protect();
            self.loads.outdate_key(key);
        }
    }
}

/// Stores a value and moves the one that it displaces out.
pub(super) fn replace<V>(place: &mut Option<V>, value: V, displaced: &mut Option<V>) {
    move_out(place, displaced);
    *place = Some(value);
}

/// Stores a value at its place.
#[inline(always)]
fn put<V>(
    locked: &mut Locked<'_, V>,
    place: Place,
    key: (u32, NewKey<'_>),
    (write, deadlines, about): (impl FnOnce(&mut Option<V>), Deadlines, u64),
) {
    let mut writer = locked.upgrade();
    let reader = writer.slot();
    let (store, ledger) = writer.parts();
    let stamp = reader.stamp(about, ledger.newest);
    ledger.newest = stamp;
    let (index, is_new) = match place {
        Place::Same(index) => (index, false),
        Place::New(index) => (index, true),
        Place::Unfinished | Place::Nowhere => return,
    };
    if is_new {
        store.put_key(ledger, index, key);
    }
    store.put_value(index, write, deadlines, stamp);
    drop(writer);
    if is_new {
        locked.parts().1.queue.insert(index, stamp);
    }
}
