//! The page of a slot: what changes in it is seen by all processes at once.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::time::Duration;

use super::directory::ShareDirectory;
use super::mapped::Mapped;
use crate::clock::{CoarseInstant, Instant};
use crate::error::Result;
use crate::sys::{self, PageFields};

const MAGIC: &[u8; 8] = b"STPAGE01";

/// How long all processes load for themselves after a document could not be written.
const UNSHARED_TIME: Duration = Duration::from_secs(1);

/// The mapped page. It is never changed but through its fields.
pub(super) struct Page {
    file: Mapped<PageFields>,
    has_tier: bool,
}

impl Page {
    /// Opens the page of a slot, and creates or replaces it if there is none that can be used. `path` is that of the
    /// directory, and `lock` the first byte of the slot's locks.
    pub(super) fn open_or_replace(
        directory: &ShareDirectory,
        path: &Path,
        id: &str,
        lock: u32,
        has_tier: bool,
    ) -> Result<Page> {
        Mapped::open_or_replace(directory, path, (id, "page"), MAGIC, lock).map(|file| Page { file, has_tier })
    }

    /// As [`has_name`](Page::has_name), except that with a cluster tier it returns `false` once a second, when the name
    /// is checked. That get then also reads the revision of the tier; the others stay on the fast path.
    #[inline]
    fn is_checked(&self, now: CoarseInstant) -> bool {
        self.file.was_checked(now) || (self.file.check_name(now) && !self.has_tier)
    }

    pub(super) fn sequence(&self) -> u64 {
        self.file.sequence.load(Acquire)
    }

    pub(super) fn note_sequence(&self, sequence: u64) {
        self.file.sequence.fetch_max(sequence, Release);
    }

    pub(super) fn invalidated_at(&self) -> Instant {
        Instant::after_boot(Duration::from_nanos(self.file.invalidated_at.load(Acquire)))
    }

    pub(super) fn note_invalidation(&self) {
        self.file.invalidated_at.store(Instant::now().since_boot().as_nanos() as u64, Release);
    }

    /// Which login published the document.
    pub(super) fn publisher(&self) -> &AtomicU64 {
        &self.file.publisher
    }

    pub(super) fn boot(&self) -> [u8; 16] {
        self.file.boot
    }

    /// Whether the file still has its name; checked once a second.
    #[inline]
    pub(super) fn has_name(&self, now: CoarseInstant) -> bool {
        self.file.has_name(now)
    }

    pub(super) fn generation(&self) -> u32 {
        self.file.generation.load(Acquire)
    }

    pub(super) fn revision(&self) -> u64 {
        self.file.revision.load(Acquire)
    }

    /// Reports new files to all processes, and wakes those that wait.
    pub(super) fn next_generation(&self) -> u32 {
        let before = self.file.generation.fetch_add(1, Release);
        self.wake();
        before.wrapping_add(1)
    }

    /// Invalidates everything that was requested before.
    pub(super) fn next_revision(&self) -> u64 {
        self.file.revision.fetch_add(1, Release).wrapping_add(1)
    }

    pub(super) fn wake(&self) {
        sys::futex_wake_shared(&self.file.generation);
    }

    /// Waits until the generation is another one, or this time is over.
    pub(super) fn wait(&self, generation: u32, time: Duration) {
        sys::futex_wait_shared(&self.file.generation, generation, time);
    }

    /// The process that loads; 0 if there is none, or it was killed before it loaded something.
    pub(super) fn loader(&self) -> &AtomicU32 {
        &self.file.loader
    }

    /// Whether what was loaded could not be written a moment ago, so that all processes load without waiting.
    pub(super) fn is_unshared(&self) -> bool {
        let until = Instant::after_boot(Duration::from_nanos(self.file.unshared_until.load(Relaxed)));
        let left = until.since(Instant::now());
        // A longer time is that of a damaged page.
        !left.is_zero() && left <= UNSHARED_TIME
    }

    /// Whether this process looks for changes at the source now: one does in each interval.
    pub(super) fn take_watch(&self, interval: Duration) -> bool {
        let (last, now) = (self.file.watched_at.load(Relaxed), Instant::now().since_boot().as_nanos() as u64);
        // A time in the future is that of a damaged page.
        let is_due = now.checked_sub(last).is_none_or(|age| u128::from(age) >= interval.as_nanos());
        is_due && self.file.watched_at.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }

    pub(super) fn set_unshared(&self) {
        let until = Instant::now().after(UNSHARED_TIME);
        self.file.unshared_until.store(until.since_boot().as_nanos() as u64, Relaxed);
    }
}

/// The state of a page under which something was taken from it.
pub(crate) struct Stamp {
    page: Arc<Page>,
    /// The generation, or [`DETACHED`].
    generation: AtomicU64,
    revision: u64,
}

/// What was taken counts whatever happens to the page.
const DETACHED: u64 = u64::MAX;

impl Stamp {
    pub(super) fn of(page: &Arc<Page>) -> Stamp {
        Stamp::new(page, page.generation(), page.revision())
    }

    pub(super) fn new(page: &Arc<Page>, generation: u32, revision: u64) -> Stamp {
        Stamp { page: page.clone(), generation: AtomicU64::new(generation.into()), revision }
    }

    /// Whether nothing was published or invalidated since.
    #[inline]
    pub(crate) fn is_current(&self, now: CoarseInstant) -> bool {
        let (page, generation) = (&self.page, self.generation.load(Relaxed));
        (generation == u64::from(page.generation()) && page.revision() == self.revision && page.is_checked(now))
            || generation == DETACHED
    }

    /// Whether nothing was invalidated since.
    pub(crate) fn is_valid(&self) -> bool {
        self.page.revision() == self.revision
    }

    /// Keeps what was taken, although something was published since.
    pub(crate) fn follow(&self, newer: &Stamp) {
        match Arc::ptr_eq(&self.page, &newer.page) {
            true => self.generation.store(newer.generation.load(Relaxed), Relaxed),
            false => self.detach(),
        }
    }

    /// Keeps what was taken whatever happens to the page: it is no longer the page of other processes.
    pub(crate) fn detach(&self) {
        self.generation.store(DETACHED, Relaxed);
    }

    pub(super) fn is_of(&self, page: &Arc<Page>) -> bool {
        Arc::ptr_eq(&self.page, page)
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Relaxed) as u32
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stamp").field("generation", &self.generation).field("revision", &self.revision).finish()
    }
}
