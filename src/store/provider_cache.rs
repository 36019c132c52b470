//! The cache in front of provider configuration, and how writes of other processes are noticed.
//!
//! The built-in cache has one entry for a provider's name, so it serves one database at a time: the first that is used.
//! Others of the same process have caches of the same kind for themselves.
//!
//! Every commit changes the header of the write-ahead log's shared memory, whoever makes it. On a get, that header is
//! looked at when the last look was some time ago; if it changed, what was loaded since is forgotten.

use std::collections::HashSet;
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{
    AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use super::database::Database;
use super::slot::{self, Header, Slot};
use crate::cache::{self, TtlCache, Value};
use crate::clock::Deadline;
use crate::error::Result;
use crate::secret_memory::SharedBytes;
use crate::{fork, sys};

const TTL: Duration = Duration::from_secs(300);
const CAPACITY: usize = 100;
const CLEANUP: Duration = Duration::from_secs(60);
/// How long nothing is taken to have changed, in nanoseconds.
const LOOK_INTERVAL: u64 = 400_000_000;

/// The longest name of a provider, in bytes.
pub(super) const MAX_NAME: usize = 128;
const BEFORE: &[u8] = b"provider:";
const BEHIND: &[u8] = b":config";
const MAX_KEY: usize = BEFORE.len() + MAX_NAME + BEHIND.len();

/// Which database has the built-in cache; 0 is none. A number is never given twice.
static OWNER: AtomicUsize = AtomicUsize::new(0);
/// When changes of that database were last looked for; 0 is never.
static OWNER_LOOKED: AtomicU64 = AtomicU64::new(0);
/// What `WRITES` was then.
static OWNER_WRITES: AtomicU64 = AtomicU64::new(0);
static NEXT_NUMBER: AtomicUsize = AtomicUsize::new(1);
/// How often this process has changed a configuration, in whatever database and through whatever handle.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// The key of a provider's configuration, without a block of the heap.
pub(super) struct Key {
    bytes: [u8; MAX_KEY],
    len: usize,
}

impl Key {
    /// That of a name which is too long is empty.
    #[inline]
    pub(super) fn of(provider: &str) -> Key {
        let mut key = Key { bytes: [0; MAX_KEY], len: 0 };
        if provider.len() <= MAX_NAME {
            for part in [BEFORE, provider.as_bytes(), BEHIND] {
                key.bytes[key.len..key.len + part.len()].copy_from_slice(part);
                key.len += part.len();
            }
        }
        key
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

pub(super) struct ProviderCache {
    number: usize,
    own: OnceLock<TtlCache<Value>>,
    /// When changes were last looked for, on the coarse clock.
    looked: AtomicU64,
    /// What `WRITES` was then.
    writes: AtomicU64,
    watch: Mutex<Watch>,
}

/// What is watched for changes.
struct Watch {
    slot: Option<Arc<Slot>>,
    header: Header,
    /// The providers that were loaded since the last change.
    loaded: HashSet<String>,
}

/// What a look found.
enum Seen {
    Unchanged,
    /// With the new header.
    Changed(Header),
    /// It cannot be told: the database has to be opened first.
    Unknown,
}

impl ProviderCache {
    pub(super) fn new() -> ProviderCache {
        ProviderCache {
            number: NEXT_NUMBER.fetch_add(1, Relaxed),
            own: OnceLock::new(),
            looked: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            watch: Mutex::new(Watch { slot: None, header: Header::default(), loaded: HashSet::new() }),
        }
    }

    /// A number that is this one's alone.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The cached configuration, if nothing has to be looked at first.
    #[inline]
    pub(super) fn get(&self, key: &Key) -> Option<SharedBytes> {
        if !self.is_fresh() {
            return None;
        }
        self.cache().get_bytes(key).ok()?
    }

    /// The same for whoever has the number alone, and only where that one has the built-in cache.
    #[inline]
    pub(super) fn get_of(number: usize, key: &Key) -> Option<SharedBytes> {
        if number == 0 || OWNER.load(SeqCst) != number || !is_fresh(&OWNER_LOOKED, &OWNER_WRITES) {
            return None;
        }
        let config = cache::provider_config().get_bytes(key).ok()?;
        // While it was looked up, the cache may have gone to another database.
        if OWNER.load(SeqCst) == number { config } else { None }
    }

    #[inline]
    pub(super) fn cache(&self) -> &TtlCache<Value> {
        match OWNER.load(SeqCst) == self.number {
            true => cache::provider_config(),
            false => self.claim(),
        }
    }

    #[cold]
    fn claim(&self) -> &TtlCache<Value> {
        if OWNER.compare_exchange(0, self.number, SeqCst, SeqCst).is_ok() {
            OWNER_WRITES.store(self.writes.load(Acquire), Release);
            OWNER_LOOKED.store(self.looked.load(Relaxed), Relaxed);
            return cache::provider_config();
        }
        // Inside the gate, so that no child is forked while it is being made.
        let _guard = fork::protect();
        self.own.get_or_init(|| TtlCache::new(TTL, CAPACITY, CLEANUP).expect("memory for some hundred entries"))
    }

    #[inline]
    fn is_fresh(&self) -> bool {
        is_fresh(&self.looked, &self.writes)
    }

    /// A provider's configuration was changed: forgets all about it, and has every cache of this process look.
    pub(super) fn changed(&self, provider: &str) {
        self.invalidate(provider);
        WRITES.fetch_add(1, Release);
    }

    /// Forgets all about a provider.
    pub(super) fn invalidate(&self, provider: &str) {
        match OWNER.load(SeqCst) == self.number {
            true => drop(cache::invalidate_provider(provider)),
            false => drop(self.cache().invalidate_prefix(format!("provider:{provider}:").as_bytes())),
        }
    }

    /// A provider is about to be loaded.
    pub(super) fn note(&self, provider: &str) {
        let mut watch = self.watch.lock();
        if !watch.loaded.contains(provider) {
            watch.loaded.insert(provider.to_owned());
        }
    }

    /// Forgets what others may have changed. The caller is inside the gate and holds no lock.
    pub(super) fn look(&self, jobs: &Database, deadline: Deadline) -> Result<()> {
        let now = sys::coarse_time_awake();
        // Before the look: what is written during it is looked for again.
        let writes = WRITES.load(Acquire);
        if self.is_fresh() {
            return Ok(());
        }
        let seen = self.watch.lock().look(jobs.path())?;
        match seen {
            Seen::Unchanged => {}
            Seen::Changed(header) => {
                self.forget();
                self.watch.lock().header = header;
            }
            Seen::Unknown => self.open(jobs, deadline)?,
        }
        self.writes.store(writes, Release);
        self.looked.store(now, Relaxed);
        if OWNER.load(SeqCst) == self.number {
            OWNER_WRITES.store(writes, Release);
            OWNER_LOOKED.store(now, Relaxed);
        }
        Ok(())
    }

    fn forget(&self) {
        let names = std::mem::take(&mut self.watch.lock().loaded);
        names.iter().for_each(|name| self.invalidate(name));
    }

    /// Begins to watch, with a connection of this process's own, which keeps the log in its place.
    fn open(&self, jobs: &Database, deadline: Deadline) -> Result<()> {
        let open = jobs.read(deadline)?;
        if let Some(open) = &open {
            // The first read makes the shared memory.
            open.first("SELECT 1 FROM provider_config LIMIT 1", [], |_| Ok(()))?;
        }
        let slot = open.map(|open| open.taken.slot.clone());
        let header = slot.as_ref().and_then(|slot| slot.log_header());
        let is_same = {
            let watch = self.watch.lock();
            let identity = |slot: &Option<Arc<Slot>>| slot.as_ref().map(|slot| slot.identity);
            header.is_some_and(|header| header == watch.header) && identity(&slot) == identity(&watch.slot)
        };
        if !is_same {
            self.forget();
        }
        let mut watch = self.watch.lock();
        watch.header = header.unwrap_or_default();
        watch.slot = slot.filter(|_| header.is_some());
        Ok(())
    }
}

#[inline]
fn is_fresh(looked: &AtomicU64, writes: &AtomicU64) -> bool {
    writes.load(Acquire) == WRITES.load(Acquire)
        && sys::coarse_time_awake().saturating_sub(looked.load(Relaxed)) < LOOK_INTERVAL
}

impl Watch {
    /// It waits for nobody.
    fn look(&self, path: &Path) -> Result<Seen> {
        let Some(slot) = self.slot.as_ref().filter(|slot| slot.is_current()) else { return Ok(Seen::Unknown) };
        if slot::identity(path)? != Some(slot.identity) {
            return Ok(Seen::Unknown);
        }
        Ok(match slot.log_header() {
            Some(header) if header == self.header => Seen::Unchanged,
            Some(header) => Seen::Changed(header),
            None => Seen::Unknown,
        })
    }
}

impl Drop for ProviderCache {
    fn drop(&mut self) {
        let _guard = fork::protect();
        self.forget();
        if OWNER.load(SeqCst) == self.number {
            OWNER_LOOKED.store(0, Relaxed);
            OWNER.store(0, SeqCst);
        }
    }
}
