//! The page of a slot: what changes in it is seen by all processes at once.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::time::Duration;

use super::directory::Directory;
use super::lock;
use crate::clock::{CoarseInstant, Instant};
use crate::error::{Error, Result, Status};
use crate::sys::{self, PAGE_SIZE, SharedPage};

const MAGIC: &[u8; 8] = b"STPAGE01";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// How often a process checks that the page still has its name.
const NAME_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long all processes load for themselves after a document could not be written.
const UNSHARED_TIME: Duration = Duration::from_secs(1);

/// The mapped page. It is never changed but through its fields.
pub(super) struct Page {
    memory: SharedPage,
    pub(super) boot: [u8; 16],
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
    /// Until when its name need not be checked, in nanoseconds of [`CoarseInstant`].
    checked_until: AtomicU64,
    has_lost_name: AtomicBool,
}

/// Why a page cannot be used.
enum PageError {
    /// It is damaged, or of another boot. It can be replaced.
    Invalid(String),
    Failed(Error),
}

impl From<Error> for PageError {
    fn from(error: Error) -> PageError {
        PageError::Failed(error)
    }
}

impl Page {
    /// Opens the page of a slot, and creates or replaces it if there is none that can be used. `path` is that of the
    /// directory, and `lock` the first byte of the slot's locks.
    pub(super) fn open_or_replace(directory: &Directory, path: &Path, id: &str, lock: u32) -> Result<Page> {
        let name = format!("{id}.page");
        let why = match Page::open(directory, path, &name) {
            Ok(page) => return Ok(page),
            Err(PageError::Failed(error)) => return Err(error),
            Err(PageError::Invalid(why)) => why,
        };
        let refused = |why: &str| Error::new(Status::Corrupt, format!("{why}; remove the file"));
        let Some(_lock) = lock::take(directory, id, lock, 1)? else { return Err(refused(&why)) };
        // Another process may have replaced it before this one had the lock.
        for _ in 0..2 {
            match Page::open(directory, path, &name) {
                Err(PageError::Invalid(_)) => directory.remove(&name),
                Err(PageError::Failed(error)) => return Err(error),
                Ok(page) => return Ok(page),
            }
        }
        Err(refused(&why))
    }

    /// Opens the page of this name, and creates it if there is none.
    fn open(directory: &Directory, path: &Path, name: &str) -> Result<Page, PageError> {
        let boot = boot_id()?;
        let mut contents = [0; PAGE_SIZE];
        contents[..8].copy_from_slice(MAGIC);
        contents[8..24].copy_from_slice(&boot);
        let mut options = OpenOptions::new();
        let file = match directory.open_file(name, options.read(true).write(true))? {
            Some(file) => file,
            None => {
                // Its memory is allocated now: a hole in a full file system would be a SIGBUS later.
                directory.create(name, &contents)?;
                directory.open_file(name, &mut options)?.ok_or_else(|| vanished(path, name))?
            }
        };
        let path = path.join(name);
        let invalid = |why: &str| PageError::Invalid(format!("{} {why}", path.display()));
        let metadata = file.metadata().map_err(|error| Error::io("read the metadata of", &path, &error))?;
        if metadata.size() != PAGE_SIZE as u64 || metadata.blocks() * 512 < PAGE_SIZE as u64 {
            return Err(invalid("is damaged: it has another size"));
        }
        let memory = SharedPage::map(&file).map_err(|error| Error::io("map", &path, &error))?;
        let found = [&memory.magic, &memory.boot[0], &memory.boot[1]].map(|word| word.load(Relaxed).to_ne_bytes());
        if found.as_flattened() != &contents[..24] {
            return Err(invalid("is damaged or from an earlier boot"));
        }
        let file = (metadata.dev(), metadata.ino());
        let (checked_until, has_lost_name) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Page { memory, boot, path, file, checked_until, has_lost_name })
    }

    /// Whether the file still has its name; checked once a second.
    #[inline]
    pub(super) fn has_name(&self, now: CoarseInstant) -> bool {
        now.nanoseconds() < self.checked_until.load(Relaxed) || self.check_name(now)
    }

    #[cold]
    fn check_name(&self, now: CoarseInstant) -> bool {
        let there = fs::symlink_metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        if there.is_ok_and(|there| there == self.file) && !self.has_lost_name.load(Relaxed) {
            let until = now.nanoseconds() + NAME_CHECK_INTERVAL.as_nanos() as u64;
            self.checked_until.store(until, Relaxed);
            return true;
        }
        self.has_lost_name.store(true, Relaxed);
        self.checked_until.store(0, Relaxed);
        false
    }

    pub(super) fn generation(&self) -> u32 {
        self.memory.generation.load(Acquire)
    }

    pub(super) fn revision(&self) -> u64 {
        self.memory.revision.load(Acquire)
    }

    /// Reports new files to all processes, and wakes those that wait.
    pub(super) fn next_generation(&self) -> u32 {
        let before = self.memory.generation.fetch_add(1, Release);
        self.wake();
        before.wrapping_add(1)
    }

    /// Invalidates everything that was requested before.
    pub(super) fn next_revision(&self) -> u64 {
        self.memory.revision.fetch_add(1, Release).wrapping_add(1)
    }

    pub(super) fn wake(&self) {
        sys::futex_wake_shared(&self.memory.generation);
    }

    /// Waits until the generation is another one, or this time is over.
    pub(super) fn wait(&self, generation: u32, time: Duration) {
        sys::futex_wait_shared(&self.memory.generation, generation, time);
    }

    /// The process that loads; 0 if there is none, or it was killed before it loaded something.
    pub(super) fn loader(&self) -> &AtomicU32 {
        &self.memory.loader
    }

    /// Whether what was loaded could not be written a moment ago, so that all processes load without waiting.
    pub(super) fn is_unshared(&self) -> bool {
        let until = Instant::after_boot(Duration::from_nanos(self.memory.unshared_until.load(Relaxed)));
        let left = until.since(Instant::now());
        // A longer time is that of a damaged page.
        !left.is_zero() && left <= UNSHARED_TIME
    }

    pub(super) fn set_unshared(&self) {
        let until = Instant::now().after(UNSHARED_TIME);
        self.memory.unshared_until.store(until.since_boot().as_nanos() as u64, Relaxed);
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
        (generation == u64::from(page.generation()) && page.revision() == self.revision && page.has_name(now))
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

    /// Keeps what was taken whatever happens to the page: it is not that of other processes any more.
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

fn vanished(path: &Path, name: &str) -> Error {
    Error::new(Status::Io, format!("{} was removed while it was created", path.join(name).display()))
}

/// Returns the boot id of the machine.
fn boot_id() -> Result<[u8; 16]> {
    let text = fs::read_to_string(BOOT_ID).map_err(|error| Error::io("read", Path::new(BOOT_ID), &error))?;
    let digits: Vec<u8> = text.bytes().filter_map(|byte| char::from(byte).to_digit(16)).map(|one| one as u8).collect();
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().map_err(|_| Error::new(Status::Io, format!("{BOOT_ID} does not have a boot id")))
}
