//! The cache of provider configuration, and the detection of writes by other processes.
//!
//! The built-in cache has one entry per provider name, so it can serve only one database: that of the process's store.
//! Every other store has a cache of its own.
//!
//! Every commit, by any process, changes the header of the WAL index. A get checks that header if the last check was
//! some time ago. If it has changed, everything loaded since the last change is removed from the cache.

use std::collections::HashSet;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst,
};
use std::time::Duration;

use crate::cache::{self, TtlCache, Value};
use crate::clock::Deadline;
use crate::error::Result;
use crate::fork_safe::Mutex;
use crate::secret_memory::SharedBytes;
use crate::store::database::Database;
use crate::store::pool::{self, PoolEntry, WalIndexHeader};
use crate::sys;

const TTL: Duration = Duration::from_secs(300);
const CAPACITY: usize = 100;
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);
/// How long the database is assumed to be unchanged, in nanoseconds.
const RECHECK_INTERVAL: u64 = 400_000_000;

/// The maximum length of a provider's name, in bytes.
pub(super) const MAX_NAME: usize = 128;
const PREFIX: &[u8] = b"provider:";
const SUFFIX: &[u8] = b":config";
const MAX_KEY: usize = PREFIX.len() + MAX_NAME + SUFFIX.len();

/// How often this process has written provider configuration, to any database. After a write, every cache checks its
/// database at the next get, so that a write through another store of this process is seen at once.
static LOCAL_WRITES: AtomicU64 = AtomicU64::new(0);

/// The cache key of a provider's configuration, on the stack.
pub(super) struct ConfigKey {
    bytes: [u8; MAX_KEY],
    len: usize,
}

impl ConfigKey {
    /// The key of this provider. Empty if the name is too long.
    #[inline]
    pub(super) fn of(provider: &str) -> ConfigKey {
        let mut key = ConfigKey { bytes: [0; MAX_KEY], len: 0 };
        if provider.len() <= MAX_NAME {
            for part in [PREFIX, provider.as_bytes(), SUFFIX] {
                key.bytes[key.len..key.len + part.len()].copy_from_slice(part);
                key.len += part.len();
            }
        }
        key
    }
}

impl Deref for ConfigKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

pub(in crate::store) struct ProviderCache {
    entries: CachedConfigs,
    /// When the database was last checked for changes, on the coarse clock; 0 is never.
    checked_at: AtomicU64,
    /// The value of `LOCAL_WRITES` then.
    local_writes: AtomicU64,
    watch: Mutex<FileWatch>,
}

enum CachedConfigs {
    /// The built-in cache, while this is the cache of the process's store.
    BuiltIn {
        is_current: AtomicBool,
    },
    Own(Box<TtlCache<Value>>),
}

/// What is watched for changes.
struct FileWatch {
    entry: Option<Arc<PoolEntry>>,
    header: WalIndexHeader,
    /// The providers loaded since the last change.
    loaded: HashSet<String>,
}

/// The result of a check.
enum FileChange {
    Unchanged,
    /// With the new header.
    Changed(WalIndexHeader),
    /// Unknown until the database has been opened.
    Unknown,
}

impl ProviderCache {
    /// The cache of the process's store.
    pub(in crate::store) fn built_in() -> ProviderCache {
        ProviderCache::with(CachedConfigs::BuiltIn { is_current: AtomicBool::new(true) })
    }

    /// The cache of any other store.
    pub(in crate::store) fn own() -> Result<ProviderCache> {
        Ok(ProviderCache::with(CachedConfigs::Own(Box::new(TtlCache::new(TTL, CAPACITY, CLEANUP_INTERVAL)?))))
    }

    fn with(entries: CachedConfigs) -> ProviderCache {
        let watch = FileWatch { entry: None, header: WalIndexHeader::default(), loaded: HashSet::new() };
        ProviderCache {
            entries,
            checked_at: AtomicU64::new(0),
            local_writes: AtomicU64::new(0),
            watch: Mutex::new(watch),
        }
    }

    /// Gives up the built-in cache, because the process gets another store. Nothing is cached from now on. The caller
    /// holds no lock.
    pub(in crate::store) fn release_built_in(&self) {
        if let CachedConfigs::BuiltIn { is_current } = &self.entries {
            // A load that ends later sees this and is not stored; what was stored, or is about to be, is removed here.
            is_current.store(false, SeqCst);
            if let Ok(cache) = cache::provider_config() {
                cache.invalidate_prefix(PREFIX);
            }
        }
    }

    /// The cached entries. `None` if the process has another store by now, or the built-in cache cannot be allocated.
    #[inline]
    pub(super) fn entries(&self) -> Option<&TtlCache<Value>> {
        match &self.entries {
            CachedConfigs::Own(cache) => Some(cache),
            CachedConfigs::BuiltIn { is_current } if is_current.load(SeqCst) => cache::provider_config().ok(),
            CachedConfigs::BuiltIn { .. } => None,
        }
    }

    /// The cached configuration, unless the database has to be checked first.
    #[inline]
    pub(super) fn get(&self, key: &ConfigKey) -> Option<SharedBytes> {
        if !self.is_fresh() {
            return None;
        }
        let config = self.entries()?.get_bytes(key).ok()??;
        // During the lookup the built-in cache may have passed to another store.
        self.entries().map(|_| config)
    }

    /// Whether the database need not be checked for changes.
    #[inline]
    pub(super) fn is_fresh(&self) -> bool {
        self.local_writes.load(Acquire) == LOCAL_WRITES.load(Acquire)
            && sys::coarse_time_awake().saturating_sub(self.checked_at.load(Relaxed)) < RECHECK_INTERVAL
    }

    /// Removes everything cached about a provider whose configuration has changed, and makes every cache of this
    /// process check its database.
    pub(super) fn changed(&self, provider: &str) {
        self.invalidate(provider);
        LOCAL_WRITES.fetch_add(1, Release);
    }

    /// Removes everything cached about a provider.
    pub(in crate::store) fn invalidate(&self, provider: &str) {
        if let Some(entries) = self.entries() {
            entries.invalidate_prefix(format!("provider:{provider}:").as_bytes());
        }
    }

    /// Called before a provider's configuration is loaded.
    pub(super) fn note_load(&self, provider: &str) {
        let mut watch = self.watch.lock();
        if !watch.loaded.contains(provider) {
            watch.loaded.insert(provider.to_owned());
        }
    }

    /// Checks the database for changes, and removes what may be out of date. The caller is fork-protected and holds no
    /// lock.
    pub(super) fn check(&self, jobs: &Database, deadline: Deadline) -> Result<()> {
        let now = sys::coarse_time_awake();
        // Read before the check: a write during the check leads to another one.
        let local_writes = LOCAL_WRITES.load(Acquire);
        if self.is_fresh() {
            return Ok(());
        }
        let change = self.watch.lock().check(jobs.path())?;
        match change {
            FileChange::Unchanged => {}
            FileChange::Changed(header) => {
                self.invalidate_loaded();
                self.watch.lock().header = header;
            }
            FileChange::Unknown => self.open(jobs, deadline)?,
        }
        self.local_writes.store(local_writes, Release);
        self.checked_at.store(now, Relaxed);
        Ok(())
    }

    fn invalidate_loaded(&self) {
        let names = std::mem::take(&mut self.watch.lock().loaded);
        names.iter().for_each(|name| self.invalidate(name));
    }

    /// Starts to watch the database. The open connection of this process keeps the WAL index in place.
    fn open(&self, jobs: &Database, deadline: Deadline) -> Result<()> {
        let db = jobs.read(deadline)?;
        if let Some(db) = &db {
            // The first read creates the WAL index.
            db.first("SELECT 1 FROM provider_config LIMIT 1", [], |_| Ok(()))?;
        }
        let entry = db.map(|db| db.guard.entry.clone());
        let header = entry.as_ref().and_then(|entry| entry.wal_index_header());
        let is_same = {
            let watch = self.watch.lock();
            let id = |entry: &Option<Arc<PoolEntry>>| entry.as_ref().map(|entry| entry.id);
            header.is_some_and(|header| header == watch.header) && id(&entry) == id(&watch.entry)
        };
        if !is_same {
            self.invalidate_loaded();
        }
        let mut watch = self.watch.lock();
        watch.header = header.unwrap_or_default();
        watch.entry = entry.filter(|_| header.is_some());
        Ok(())
    }
}

impl FileWatch {
    /// Compares the header. Never waits.
    fn check(&self, path: &Path) -> Result<FileChange> {
        let Some(entry) = self.entry.as_ref().filter(|entry| entry.is_own()) else { return Ok(FileChange::Unknown) };
        if pool::file_id(path)? != Some(entry.id) {
            return Ok(FileChange::Unknown);
        }
        Ok(match entry.wal_index_header() {
            Some(header) if header == self.header => FileChange::Unchanged,
            Some(header) => FileChange::Changed(header),
            None => FileChange::Unknown,
        })
    }
}
