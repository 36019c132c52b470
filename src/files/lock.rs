//! A fair lock between the writers of a file.
//!
//! The lock is `flock` on a lock file. A writer first takes the queue lock, a lock on one byte of the same file, and
//! keeps it until it has the `flock`. So a writer that has just finished cannot overtake one that waits.

use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;
use std::time::Duration;

use super::{directory_of, sibling};
use crate::clock::{Backoff, Deadline};
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::fork_safe::CloseOnForkFile;

/// The byte of the queue lock. The lock file is and stays empty.
const QUEUE: u32 = 1;
/// The time between two attempts of a writer that waits.
const PAUSE: Duration = Duration::from_micros(500);

/// Excludes other writers until it is dropped.
pub(crate) struct FileLock(CloseOnForkFile);

/// Waits until no other writer holds the lock of the file at `path`, and takes it. The empty lock file is never
/// removed: otherwise two writers could hold locks on two files of the same name.
pub(crate) fn lock(path: &Path, deadline: Deadline) -> Result<FileLock> {
    let lock_path = sibling(path, ".lock");
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    loop {
        let file = CloseOnForkFile::open(&options, &lock_path)
            .map_err(|error| Error::io("create the lock file", &lock_path, &error))?;
        give_to_owner_of(path, &file);
        let lock = wait_turn(file, &lock_path, deadline)?;
        match lock {
            None => {
                let message = format!("{} is being changed by another process; try again", path.display());
                return Err(Error::new(Status::Busy, message).with_retryable(true));
            }
            // If the lock file was removed meanwhile, other writers lock a new one.
            Some(lock) if is_at(&lock.0, &lock_path) => return Ok(lock),
            Some(_) => {}
        }
    }
}

/// Returns the lock, or `None` when the deadline passes.
fn wait_turn(file: CloseOnForkFile, lock_path: &Path, deadline: Deadline) -> Result<Option<FileLock>> {
    let failed = |error| Error::io("lock", lock_path, &error);
    let (mut is_next, mut backoff) = (false, Backoff::new(PAUSE, PAUSE));
    loop {
        is_next = is_next || file.try_lock_byte(QUEUE).map_err(failed)?;
        if is_next {
            match file.try_lock() {
                Ok(()) => {
                    file.unlock_byte(QUEUE);
                    return Ok(Some(FileLock(file)));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        if deadline.has_passed() {
            return Ok(None);
        }
        fork::unprotected(|| backoff.wait(deadline.remaining()));
    }
}

/// Whether this is the file at the path, not one that was there before.
pub(crate) fn is_at(file: &CloseOnForkFile, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(locked), Ok(there)) => (locked.dev(), locked.ino()) == (there.dev(), there.ino()),
        (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
        (Err(_), _) => true,
    }
}

/// Gives a lock file that root creates for a user's file to that user, who could not open it otherwise.
fn give_to_owner_of(path: &Path, lock: &CloseOnForkFile) {
    let directory = directory_of(path);
    let owner =
        fs::metadata(path).or_else(|_| fs::metadata(directory)).map(|metadata| (metadata.uid(), metadata.gid()));
    if let (Ok((user, group)), Ok(metadata)) = (owner, lock.metadata())
        && metadata.uid() != user
    {
        // Other users may not do this, and need not: the lock file is theirs.
        let _ = fchown(&**lock, Some(user), Some(group));
    }
}
