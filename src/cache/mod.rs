//! A cache whose entries live for a time: exact in what it keeps, and read at about the speed of a lock that nobody
//! else takes.
//!
//! It never holds more than `max_size` entries, evicts exactly the least recently used one (reading counts as use), and
//! never shows an entry past its time. It keeps no thread: expired entries are cleared away by callers, a few at a time.
//! [`TtlCache::get_or_load`] loads a value once however many ask for it.
//!
//! A full cache evicts the least recently used entry even where another one has expired and was not cleared away yet.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst, fence};
use std::time::Duration;

mod builtin;
mod flags;
mod function_key;
mod key;
mod lease;
mod load;
mod options;
mod order;
mod shared;
mod stats;
mod store;
mod table;
mod thread;
mod time;
mod touches;
mod value;
mod waits;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

pub(crate) use builtin::is_built_in;
pub use builtin::{for_functions, invalidate_provider, invalidate_user, provider_config, user_permission};
pub use function_key::{Arg, function_key};
pub use lease::{Acquired, Lease, Loaded};
pub use options::Options;
pub use stats::Stats;
pub use value::{Copied, Object, Value};

use crate::clock;
use crate::error::{Error, Result};
use crate::fork;
use key::NewKey;
use load::{Load, Loads};
use shared::{Locked, Shared, Writing};
use store::{Deadlines, LARGEST, Life, Store};
use table::Tags;
use time::{Clock, NEVER};
use touches::{Limit, Touches};

/// How many entries one call looks at when expired ones are due to be cleared away.
const SWEEP: usize = 256;
/// How many entries a search by prefix looks at before others get a turn, and how many are removed at once.
const SCAN: usize = 65_536;
const REMOVE: usize = 512;

/// A cache from keys, which are any bytes, to values. It may be shared between threads, and used in a forked child.
///
/// A hit clones the value where it lies, and writers wait for that. So `V::clone` must be short, as that of an [`Arc`] or
/// a number is, and must not use the same cache: that would wait for itself without end.
///
/// [`Arc`]: std::sync::Arc
pub struct TtlCache<V> {
    default_ttl: Duration,
    max_size: usize,
    cleanup_interval: Duration,
    jitter: f64,
    soft_ttl: Duration,
    absent_ttl: Duration,
    limit: Limit,
    clock: Clock,
    tags: Tags,
    /// Nothing where the capacity is 0.
    shared: Option<Shared<Store<V>>>,
    /// Misses of a cache that holds nothing.
    misses: AtomicU64,
    /// When expired entries are due to be cleared away, and how far that has come; changed by who holds the lock.
    next_sweep: AtomicU64,
    swept: AtomicUsize,
    loads: Loads<V>,
}

/// Seconds as they come in over the C ABI: -1 is the cache's default (`None`), `INFINITY` is for ever, 0 is over at once.
pub fn ttl_from_seconds(seconds: f64) -> Result<Option<Duration>> {
    if seconds == -1.0 { Ok(None) } else { clock::seconds("ttl", seconds).map(Some) }
}

impl<V: Clone + Send + Sync> TtlCache<V> {
    /// An empty cache. See [`Options`] for what the arguments mean.
    pub fn new(default_ttl: Duration, max_size: usize, cleanup_interval: Duration) -> Result<TtlCache<V>> {
        TtlCache::with_options(Options { default_ttl, max_size, cleanup_interval, ..Options::default() })
    }

    /// An empty cache.
    pub fn with_options(options: Options) -> Result<TtlCache<V>> {
        TtlCache::with_clock(options, Clock::machine())
    }

    fn with_clock(options: Options, clock: Clock) -> Result<TtlCache<V>> {
        let Options { default_ttl, max_size, cleanup_interval, jitter, soft_ttl, absent_ttl } = options;
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
        let mut store = if max_size > 0 { Some(Store::new(max_size)?) } else { None };
        if let Some(store) = store.as_mut().filter(|_| soft_ttl < Duration::MAX) {
            store.reserve_soft()?;
        }
        Ok(TtlCache {
            default_ttl,
            max_size,
            cleanup_interval,
            jitter,
            soft_ttl,
            absent_ttl,
            limit: Limit::of(max_size),
            next_sweep: AtomicU64::new(clock.after(cleanup_interval)),
            clock,
            tags: Tags::new(),
            shared: store.map(Shared::new),
            misses: AtomicU64::new(0),
            swept: AtomicUsize::new(0),
            loads: Loads::new(),
        })
    }

    /// The value under this key, if there is one whose time is not over.
    pub fn get(&self, key: &[u8]) -> Option<V> {
        self.look_up(key, V::clone).map(|(value, _)| value)
    }

    /// The same, unless it should be loaded anew while it is still served.
    pub(crate) fn get_fresh(&self, key: &[u8]) -> Option<V> {
        self.look_up(key, V::clone).and_then(|(value, life)| (life == Life::Fresh).then_some(value))
    }

    /// Hands the value to `take` where it lies. `take` must be short, and must not call this cache.
    #[inline]
    fn look_up<R>(&self, key: &[u8], take: impl FnOnce(&V) -> R) -> Option<(R, Life)> {
        let Some(shared) = &self.shared else {
            self.misses.fetch_add(1, Relaxed);
            return None;
        };
        let tag = self.tags.of(key);
        let about = self.clock.about();
        if about >= self.next_sweep.load(Relaxed) {
            self.sweep(shared);
        }
        let mut reading = shared.read(|store, touches| self.settle(store, touches));
        let (store, touches) = reading.parts();
        let Some(index) = store.find(tag, key) else {
            touches.misses += 1;
            return None;
        };
        let life = store.life(index, &self.clock, about);
        let Some(value) = store.value(index).filter(|_| life != Life::Over) else {
            touches.misses += 1;
            return None;
        };
        let has_room = touches.hit(index, self.limit);
        let taken = take(value);
        drop(reading);
        if !has_room {
            drop(self.write(shared));
        }
        Some((taken, life))
    }

    /// The same without counting as use, hit or miss.
    fn peek(&self, key: &[u8]) -> Option<(V, Life)> {
        let about = self.clock.about();
        let mut reading = self.shared.as_ref()?.read(|store, touches| self.settle(store, touches));
        let (store, _) = reading.parts();
        let index = store.find(self.tags.of(key), key)?;
        let life = store.life(index, &self.clock, about);
        if life == Life::Over { None } else { Some((store.value(index)?.clone(), life)) }
    }

    /// The same with the lock, so that a load which was claimed before sees what writers did that did not see it.
    fn peek_in_turn(&self, key: &[u8]) -> Option<(V, Life)> {
        let store = self.shared.as_ref()?.lock();
        let index = store.find(self.tags.of(key), key)?;
        let life = store.life(index, &self.clock, self.clock.about());
        if life == Life::Over { None } else { Some((store.value(index)?.clone(), life)) }
    }

    /// Stores a value for this long; `None` is the default time, [`Duration::MAX`] forever. Loads of this key that
    /// are under way are not stored any more, and callers that ask from now on do not wait for them.
    pub fn set(&self, key: &[u8], value: V, ttl: Option<Duration>) -> Result<()> {
        self.set_soft(key, value, ttl, None)
    }

    /// The same; after the time `soft` (`None`: the cache's) the value is still served, but the next caller of [`TtlCache::get_or_load`] or
    /// [`TtlCache::acquire`] is the one to load it again.
    pub fn set_soft(&self, key: &[u8], value: V, ttl: Option<Duration>, soft: Option<Duration>) -> Result<()> {
        self.store(key, value, ttl, soft, None)
    }

    /// Stores a value, unless it comes from a load that is outdated.
    fn store(
        &self,
        key: &[u8],
        value: V,
        ttl: Option<Duration>,
        soft: Option<Duration>,
        from: Option<&Load<V>>,
    ) -> Result<()> {
        let Some(shared) = &self.shared else {
            if from.is_none() {
                self.outdate_unheld(key);
            }
            return Ok(());
        };
        let new_key = NewKey::new(key)?;
        let tag = self.tags.of(key);
        let now = self.clock.exact();
        let deadlines = self.deadlines(tag, now, ttl, soft);
        if now >= self.next_sweep.load(Relaxed) {
            self.sweep(shared);
        }
        let mut store = match from {
            None => self.write_outdating(shared, key),
            Some(_) => self.write(shared),
        };
        let reserved = if deadlines.soft.is_some() { store.reserve_soft() } else { Ok(()) };
        if reserved.is_err() || from.is_some_and(Load::is_outdated) {
            drop(store);
            release(value);
            return reserved;
        }
        let displaced = store.insert((tag, new_key), value, deadlines, (&self.clock, now));
        drop(store);
        release(displaced);
        Ok(())
    }

    fn deadlines(&self, tag: u32, now: u64, ttl: Option<Duration>, soft: Option<Duration>) -> Deadlines {
        let mut part = 1.0;
        if self.jitter > 0.0 {
            // Differs from entry to entry and from time to time; nothing more is asked of it.
            let random = (u64::from(tag) << 32 ^ now).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            part -= self.jitter * (random as f64 / (1u64 << 24) as f64);
        }
        let after = |time: Duration| match time {
            Duration::MAX => NEVER,
            _ if part < 1.0 => now.saturating_add(time::nanoseconds(time.mul_f64(part))),
            _ => now.saturating_add(time::nanoseconds(time)),
        };
        let hard = after(ttl.unwrap_or(self.default_ttl));
        let soft = after(soft.unwrap_or(self.soft_ttl));
        Deadlines { soft: (soft < hard).then_some(soft), hard }
    }

    /// Removes an entry; whether there was one whose time was not over. A load of this key that is under way is not
    /// stored any more, and callers that ask from now on do not wait for it.
    pub fn delete(&self, key: &[u8]) -> bool {
        let Some(shared) = &self.shared else {
            self.outdate_unheld(key);
            return false;
        };
        let mut store = self.write_outdating(shared, key);
        let Some(index) = store.find(self.tags.of(key), key) else { return false };
        let (value, existed) = self.invalidate(&mut store, index);
        drop(store);
        release(value);
        existed
    }

    /// Removes all entries; how many of them were not over yet. Others see them go part by part, and what they store
    /// meanwhile may stay.
    pub fn clear(&self) -> usize {
        self.invalidate_prefix(b"")
    }

    /// Removes the entries whose keys begin with these bytes; how many of them were not over yet. Loads of such keys
    /// that are under way are not stored any more, and callers that ask from now on do not wait for them.
    pub fn invalidate_prefix(&self, prefix: &[u8]) -> usize {
        self.loads.outdate_prefix(prefix);
        let Some(shared) = &self.shared else { return 0 };
        let (mut count, mut from, mut ended) = (0, 0, false);
        while !ended {
            let store = shared.lock();
            let (found, next) = store.indices_with_prefix(prefix, from, from + SCAN, REMOVE);
            ended = next >= store.indices();
            from = next;
            if found.is_empty() {
                continue;
            }
            let mut store = self.raise(store);
            let mut removed = Vec::with_capacity(found.len());
            for index in found {
                let (value, existed) = self.invalidate(&mut store, index);
                removed.push(value);
                count += usize::from(existed);
            }
            drop(store);
            release(removed);
        }
        count
    }

    /// Removes entries until there is none left, so also those that the values store while they are dropped.
    pub(crate) fn drain(&self) {
        let Some(shared) = &self.shared else { return };
        while shared.lock().len() > 0 {
            self.clear();
        }
    }

    fn invalidate(&self, store: &mut Store<V>, index: u32) -> (Option<V>, bool) {
        let existed = store.life(index, &self.clock, self.clock.about()) != Life::Over;
        match existed {
            true => store.counts.invalidations += 1,
            false => store.counts.expirations += 1,
        }
        (store.remove(index), existed)
    }

    /// Clears away expired entries: a part of the cache, the next call the next part, until all of it has been seen.
    #[cold]
    fn sweep(&self, shared: &Shared<Store<V>>) {
        let now = self.clock.exact();
        let Some(store) = shared.try_lock() else { return };
        if now < self.next_sweep.load(Relaxed) {
            return;
        }
        let from = self.swept.load(Relaxed);
        let over = store.indices_over(from, from + SWEEP, &self.clock, now);
        if from + SWEEP >= store.indices() {
            self.swept.store(0, Relaxed);
            self.next_sweep.store(self.clock.after(self.cleanup_interval), Relaxed);
        } else {
            self.swept.store(from + SWEEP, Relaxed);
        }
        if over.is_empty() {
            return;
        }
        let mut store = self.raise(store);
        store.counts.expirations += over.len() as u64;
        let removed: Vec<_> = over.into_iter().map(|index| store.remove(index)).collect();
        drop(store);
        release(removed);
    }

    fn write<'a>(&self, shared: &'a Shared<Store<V>>) -> Writing<'a, Store<V>> {
        shared.write(|store, touches| self.settle(store, touches))
    }

    /// Becomes the writer, with the load of this key outdated: of what it brings and what the caller writes, the latter is
    /// the newer in any case.
    #[inline]
    fn write_outdating<'a>(&self, shared: &'a Shared<Store<V>>, key: &[u8]) -> Writing<'a, Store<V>> {
        if !self.loads.any() {
            let store = self.write(shared);
            // A load that begins now waits for this lock before it reads anything.
            if !self.loads.any() {
                return store;
            }
        }
        // The gate comes before the lock: a fork shuts the one and then takes the other.
        let _inside = fork::enter();
        let store = shared.lock();
        self.loads.outdate_key(key);
        self.raise(store)
    }

    /// The same for a cache that holds nothing.
    fn outdate_unheld(&self, key: &[u8]) {
        fence(SeqCst);
        if self.loads.any() {
            let _inside = fork::enter();
            self.loads.outdate_key(key);
        }
    }

    /// Becomes the writer, with the order of use up to date.
    fn raise<'a>(&self, locked: Locked<'a, Store<V>>) -> Writing<'a, Store<V>> {
        locked.write(|store, touches| self.settle(store, touches))
    }

    /// Brings what a reader noted into the order of use.
    fn settle(&self, store: &mut Store<V>, touches: &mut Touches) {
        store.counts.hits += std::mem::take(&mut touches.hits);
        store.counts.misses += std::mem::take(&mut touches.misses);
        touches.take(self.limit, |index| store.order.touch(index));
    }
}

/// Drops what came out of a cache where it may take long or call the library again: with no lock, outside the gate.
fn release<T>(values: T) {
    if std::mem::needs_drop::<T>() {
        fork::outside(|| drop(values));
    }
}
