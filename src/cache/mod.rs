//! A cache with a time to live (TTL) and exact LRU eviction, whose readers share no cache line that they write.
//!
//! It never holds more than `max_size` entries and evicts the least recently used one. Reads count as use. The order of
//! use is exact within a thread, and between threads to one tick of the kernel's coarse clock (4 ms on most machines).
//! Expired entries are never returned. The cache has no thread of its own: calls remove expired entries, a few at a
//! time. [`TtlCache::get_or_load`] loads a value once for all concurrent callers.
//!
//! A full cache evicts the least recently used entry even if another one has expired and has not been removed yet.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

mod builtin;
mod function_key;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod key;
mod lease;
mod load;
mod lru_queue;
mod options;
mod reader_slots;
mod recency;
mod remote;
mod remove;
mod shared;
mod stats;
mod store;
mod table;
mod thread;
mod time;
mod value;
mod waits;
mod write;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod remote_tests;
#[cfg(test)]
mod sweep_tests;
#[cfg(test)]
mod tests;

pub(crate) use builtin::is_built_in;
pub use builtin::{for_functions, invalidate_provider, invalidate_user, provider_config, user_permission};
pub use function_key::{Arg, function_key, packed_function_key};
pub use lease::{Acquired, Lease, Loaded};
pub use options::CacheOptions;
pub(crate) use remote::{Change, RemoteCopy, RemoteEntry};
pub use stats::Stats;
pub use value::{Copied, Object, ShortBytes, Value};

use crate::clock;
use crate::error::{Error, Result};
use crate::fork;
use load::Loads;
use recency::SlotRecency;
use shared::{Shared, UpgradableGuard};
use store::{EntryStore, Freshness, LARGEST, Ledger};
use table::KeyHasher;
use time::Clock;
use write::WriteFunction;

/// The number of entries that a helping reader moves in the queue.
const HELP: usize = 32;

/// The lock of the entries, with what only writers use.
type Locked<'a, V> = UpgradableGuard<'a, EntryStore<V>, Ledger>;

/// A cache from keys, which can be any bytes, to values. It can be shared between threads and used in a forked child.
///
/// A hit clones the value while writers wait. So `V::clone` must be short, as for an [`Arc`] or a number, and must
/// not use a cache: it would wait for itself, or deadlock with a fork.
///
/// [`Arc`]: std::sync::Arc
pub struct TtlCache<V> {
    /// `None` if the capacity is 0.
    shared: Option<Shared<EntryStore<V>, Ledger>>,
    hash: KeyHasher,
    clock: Clock,
    /// The earlier one of `next_sweep` and `next_look`, which lookups compare.
    due: AtomicU64,
    /// When expired entries are removed the next time; written with the lock held.
    next_sweep: AtomicU64,
    /// In nanoseconds; [`time::NEVER`] for never. So is `soft_ttl`.
    default_ttl: u64,
    soft_ttl: u64,
    max_size: usize,
    cleanup_interval: Duration,
    jitter: f64,
    absent_ttl: Duration,
    /// Misses of a cache with capacity 0.
    misses: AtomicU64,
    loads: Loads<V>,
    /// When changes of other processes are asked for; [`time::NEVER`] without a remote copy.
    next_look: AtomicU64,
    remote: Option<Box<dyn RemoteCopy<V>>>,
    write: WriteFunction<V>,
}

/// Converts seconds as the C ABI passes them: -1 is the default of the cache (`None`), `INFINITY` never expires, 0
/// expires at once.
#[inline]
pub fn ttl_from_seconds(seconds: f64) -> Result<Option<Duration>> {
    if seconds == -1.0 { Ok(None) } else { clock::seconds("ttl", seconds).map(Some) }
}

impl<V: Clone + Send + Sync + 'static> TtlCache<V> {
    /// Creates an empty cache. See [`CacheOptions`] for the arguments.
    pub fn new(default_ttl: Duration, max_size: usize, cleanup_interval: Duration) -> Result<TtlCache<V>> {
        TtlCache::with_options(CacheOptions { default_ttl, max_size, cleanup_interval, ..CacheOptions::default() })
    }

    /// Creates an empty cache.
    pub fn with_options(options: CacheOptions) -> Result<TtlCache<V>> {
        TtlCache::with_clock(options, Clock::Machine)
    }

    fn with_clock(options: CacheOptions, clock: Clock) -> Result<TtlCache<V>> {
        let CacheOptions { default_ttl, max_size, cleanup_interval, jitter, soft_ttl, absent_ttl, keyed_hash } =
            options;
        if max_size > LARGEST {
            return Err(Error::invalid_argument(format!("`max_size` is {max_size}; it can be {LARGEST} at most")));
        }
        if !(0.0..=1.0).contains(&jitter) {
            return Err(Error::invalid_argument(format!("`jitter` is {jitter}; it must be between 0 and 1")));
        }
        if cleanup_interval.is_zero() {
            return Err(Error::invalid_argument(
                "`cleanup_interval` is 0 seconds; it must be above 0, or infinite for never",
            ));
        }
        let shared = match max_size {
            0 => None,
            _ => {
                let (store, ledger) = EntryStore::new(max_size, soft_ttl < Duration::MAX)?;
                Some(Shared::new(store, ledger))
            }
        };
        Ok(TtlCache {
            shared,
            hash: KeyHasher::new(keyed_hash),
            due: AtomicU64::new(clock.after(cleanup_interval)),
            next_sweep: AtomicU64::new(clock.after(cleanup_interval)),
            clock,
            default_ttl: time::nanoseconds(default_ttl),
            soft_ttl: time::nanoseconds(soft_ttl),
            max_size,
            cleanup_interval,
            jitter,
            absent_ttl,
            misses: AtomicU64::new(0),
            loads: Loads::new(),
            next_look: AtomicU64::new(time::NEVER),
            remote: None,
            write: value::write_function(),
        })
    }
}

impl<V: Clone + Send + Sync> TtlCache<V> {
    /// Returns the value under this key, if there is one that has not expired.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<V> {
        match self.look_up(key, V::clone) {
            Some((value, _)) => Some(value),
            None => self.fetch_missing(key, |_| true),
        }
    }

    /// Returns the value under this key, if there is one that is neither expired nor stale.
    #[inline]
    pub(crate) fn get_fresh(&self, key: &[u8]) -> Option<V> {
        self.look_up(key, V::clone).and_then(|(value, freshness)| (freshness == Freshness::Fresh).then_some(value))
    }

    /// Passes the value in its place to `take`, which must be short and must not use this cache.
    #[inline(always)]
    fn look_up<R>(&self, key: &[u8], take: impl FnOnce(&V) -> R) -> Option<(R, Freshness)> {
        let Some(shared) = &self.shared else {
            self.misses.fetch_add(1, Relaxed);
            return None;
        };
        let tag = self.hash.tag(key);
        let guard = shared.read();
        let store = guard.data();
        let reader = guard.slot();
        let Some((index, entry)) = store.find_entry(tag, key) else {
            if reader.count_miss() {
                drop(guard);
                self.sweep_if_due(shared);
            }
            return None;
        };
        let about = self.clock.about();
        let freshness = entry.freshness(store, index, &self.clock, about);
        let (taken, is_to_help) = match entry.value() {
            Some(value) if freshness != Freshness::Expired => {
                let is_to_help = reader.is_to_help();
                reader.count_hit();
                reader.record_use(&entry.stamp, about);
                (Some((take(value), freshness)), is_to_help)
            }
            _ => {
                reader.count_miss();
                (None, false)
            }
        };
        drop(guard);
        if (is_to_help || about >= self.due.load(Relaxed)) && self.maintain(shared, key, reader, is_to_help) {
            return None;
        }
        taken
    }

    /// Looks a key up without counting a use, a hit or a miss.
    fn peek(&self, key: &[u8]) -> Option<(V, Freshness)> {
        let about = self.clock.about();
        let guard = self.shared.as_ref()?.read();
        self.peek_in(guard.data(), key, about)
    }

    /// Does the same with the lock held, so that a load which was claimed before sees the writes of writers that did
    /// not see the load.
    fn peek_locked(&self, key: &[u8]) -> Option<(V, Freshness)> {
        let mut locked = self.shared.as_ref()?.lock();
        self.peek_in(locked.parts().0, key, self.clock.about())
    }

    fn peek_in(&self, store: &EntryStore<V>, key: &[u8], about: u64) -> Option<(V, Freshness)> {
        let (index, entry) = store.find_entry(self.hash.tag(key), key)?;
        let freshness = entry.freshness(store, index, &self.clock, about);
        if freshness == Freshness::Expired { None } else { Some((entry.value()?.clone(), freshness)) }
    }

    /// Does what is due in a lookup. Returns whether another process has changed the key.
    #[cold]
    fn maintain(
        &self,
        shared: &Shared<EntryStore<V>, Ledger>,
        key: &[u8],
        reader: &SlotRecency,
        is_to_help: bool,
    ) -> bool {
        if is_to_help {
            self.help(shared, reader);
        }
        let about = self.clock.about();
        if about >= self.next_sweep.load(Relaxed) {
            self.sweep(shared);
        }
        let has_changed = about >= self.next_look.load(Relaxed) && self.look(key);
        self.update_due();
        has_changed
    }

    /// Does what is due after misses, which do not read the clock.
    #[cold]
    fn sweep_if_due(&self, shared: &Shared<EntryStore<V>, Ledger>) {
        if self.clock.about() >= self.next_sweep.load(Relaxed) {
            self.sweep(shared);
            self.update_due();
        }
    }

    /// Both times only become later. So what is made of earlier ones is too early, and a lookup corrects it.
    fn update_due(&self) {
        self.due.store(self.next_sweep.load(Relaxed).min(self.next_look.load(Relaxed)), Relaxed);
    }

    /// Updates the queue of entries a little, so that an eviction after many hits has less to do. If several threads
    /// hit, none of them helps: they would move the memory of the queue between their cores.
    fn help(&self, shared: &Shared<EntryStore<V>, Ledger>, reader: &SlotRecency) {
        let mut moves = HELP;
        let mut was_last = false;
        if let Some(mut locked) = shared.try_lock() {
            let (store, ledger) = locked.parts();
            was_last = std::mem::replace(&mut ledger.helper, reader.number()) == reader.number();
            if ledger.is_full() {
                ledger.queue.oldest(&mut moves, |index| store.stamp(index));
            }
        }
        reader.helped(was_last && moves < HELP);
    }
}

/// Drops values of the cache, which may take long or call the library: with no lock held, outside the fork guard.
fn release<T>(values: T) {
    if std::mem::needs_drop::<T>() {
        fork::unprotected(|| drop(values));
    }
}

/// Does the same for a value that is not moved, as a moved-from copy would not be wiped.
#[inline]
fn release_in_place<T>(value: &mut Option<T>) {
    if value.is_some() && std::mem::needs_drop::<T>() {
        fork::unprotected(|| *value = None);
    }
}
