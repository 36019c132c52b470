//! A file of the share that is mapped into memory.

use std::fs::{self, OpenOptions};
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::directory::ShareDirectory;
use super::lock;
use crate::clock::CoarseInstant;
use crate::error::{Error, Result, Status};
use crate::sys::{FileHeader, SharedFields, SharedMemory};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// How often a process checks that the file still has its name.
const NAME_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A mapped file. It is never changed but through its fields.
pub(super) struct Mapped<T: SharedFields> {
    memory: SharedMemory<T>,
    pub(super) boot: [u8; 16],
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
    /// Until when its name need not be checked, in nanoseconds of [`CoarseInstant`].
    checked_until: AtomicU64,
    has_lost_name: AtomicBool,
}

/// Why a file cannot be used.
enum MapError {
    /// It is damaged, or of another boot. It can be replaced.
    Invalid(String),
    Failed(Error),
}

impl From<Error> for MapError {
    fn from(error: Error) -> MapError {
        MapError::Failed(error)
    }
}

impl<T: SharedFields> Mapped<T> {
    /// Opens the file `<id>.<ending>`, and creates or replaces it if there is none that can be used. `path` is that of
    /// the directory, and `lock` the byte of `<id>.lock` that a process holds while it replaces the file.
    pub(super) fn open_or_replace(
        directory: &ShareDirectory,
        path: &Path,
        (id, ending): (&str, &str),
        magic: &[u8; 8],
        lock: u32,
    ) -> Result<Mapped<T>> {
        let name = format!("{id}.{ending}");
        let why = match Mapped::open(directory, path, &name, magic) {
            Ok(page) => return Ok(page),
            Err(MapError::Failed(error)) => return Err(error),
            Err(MapError::Invalid(why)) => why,
        };
        let refused = |why: &str| Error::new(Status::Corrupt, format!("{why}; remove the file"));
        let Some(_lock) = lock::take(directory, id, lock, 1)? else { return Err(refused(&why)) };
        // Another process may have replaced it before this one had the lock.
        for _ in 0..2 {
            match Mapped::open(directory, path, &name, magic) {
                Err(MapError::Invalid(_)) => directory.remove(&name),
                Err(MapError::Failed(error)) => return Err(error),
                Ok(page) => return Ok(page),
            }
        }
        Err(refused(&why))
    }

    /// Opens the file of this name, and creates it if there is none.
    fn open(directory: &ShareDirectory, path: &Path, name: &str, magic: &[u8; 8]) -> Result<Mapped<T>, MapError> {
        let boot = boot_id()?;
        let mut options = OpenOptions::new();
        let file = match directory.open_file(name, options.read(true).write(true))? {
            Some(file) => file,
            None => {
                let mut contents = vec![0; T::SIZE];
                contents[..8].copy_from_slice(magic);
                contents[8..size_of::<FileHeader>()].copy_from_slice(&boot);
                // Its memory is allocated now: a hole in a full file system would be a SIGBUS later.
                directory.create(name, &contents)?;
                directory.open_file(name, &mut options)?.ok_or_else(|| vanished(path, name))?
            }
        };
        let path = path.join(name);
        let invalid = |why: &str| MapError::Invalid(format!("{} {why}", path.display()));
        let metadata = file.metadata().map_err(|error| Error::io("read the metadata of", &path, &error))?;
        if metadata.size() != T::SIZE as u64 || metadata.blocks() * 512 < T::SIZE as u64 {
            return Err(invalid("is damaged: it has another size"));
        }
        let memory = SharedMemory::<T>::map(&file).map_err(|error| Error::io("map", &path, &error))?;
        let header = memory.header();
        let found = [&header.magic, &header.boot[0], &header.boot[1]].map(|word| word.load(Relaxed).to_ne_bytes());
        if found.as_flattened() != [&magic[..], &boot].concat() {
            return Err(invalid("is damaged or from an earlier boot"));
        }
        let file = (metadata.dev(), metadata.ino());
        let (checked_until, has_lost_name) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Mapped { memory, boot, path, file, checked_until, has_lost_name })
    }

    #[cfg(test)]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file still has its name; checked once a second.
    #[inline]
    pub(super) fn has_name(&self, now: CoarseInstant) -> bool {
        self.was_checked(now) || self.check_name(now)
    }

    /// Whether its name was checked within the last second.
    #[inline]
    pub(super) fn was_checked(&self, now: CoarseInstant) -> bool {
        now.nanoseconds() < self.checked_until.load(Relaxed)
    }

    /// Device and inode.
    pub(super) fn file(&self) -> (u64, u64) {
        self.file
    }

    #[cold]
    pub(super) fn check_name(&self, now: CoarseInstant) -> bool {
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
}

impl<T: SharedFields> Deref for Mapped<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.memory
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
