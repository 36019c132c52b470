//! One writer of a file at a time, each in its turn.
//!
//! The lock is that of the whole lock file (`flock`). Before a writer tries it, it gets the right to be next: a lock on
//! one byte of the same file, which it keeps until it has the other. So a writer that has just finished cannot overtake
//! the one that waits, however often it comes back.

use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;
use std::time::Duration;

use super::{beside, directory_of};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::sys::own_file::OwnFile;

/// The byte whose lock is the right to be next. Files of this name are empty, and stay so.
const NEXT: u32 = 1;
/// How often a writer that waits tries again. It sleeps outside the fork gate.
const PAUSE: Duration = Duration::from_micros(500);

/// Keeps other writers out until it is dropped.
pub(crate) struct Lock(OwnFile);

/// Waits until no other writer of the file at `path` is at work. The empty lock file stays: removing it would let two
/// writers hold locks on two files of the same name.
pub(crate) fn lock(path: &Path, deadline: Deadline) -> Result<Lock> {
    let lock_path = beside(path, ".lock");
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    loop {
        let file =
            OwnFile::open(&options, &lock_path).map_err(|error| Error::io("create the lock", &lock_path, &error))?;
        give_to_owner_of(path, &file);
        let lock = wait_turn(file, &lock_path, deadline)?;
        match lock {
            None => {
                let message = format!("{} is being changed by another process; try again", path.display());
                return Err(Error::new(Status::Busy, message).with_retryable(true));
            }
            // Somebody may have removed the lock file meanwhile: others lock a new one.
            Some(lock) if is_at(&lock.0, &lock_path) => return Ok(lock),
            Some(_) => {}
        }
    }
}

/// The lock; `None` if it was not to be had in time.
fn wait_turn(file: OwnFile, lock_path: &Path, deadline: Deadline) -> Result<Option<Lock>> {
    let failed = |error| Error::io("lock", lock_path, &error);
    let mut is_next = false;
    loop {
        is_next = is_next || file.try_lock_byte(NEXT).map_err(failed)?;
        if is_next {
            match file.try_lock() {
                Ok(()) => {
                    file.unlock_byte(NEXT);
                    return Ok(Some(Lock(file)));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        if deadline.has_passed() {
            return Ok(None);
        }
        fork::unprotected(|| std::thread::sleep(PAUSE.min(deadline.remaining())));
    }
}

fn is_at(file: &OwnFile, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(locked), Ok(there)) => (locked.dev(), locked.ino()) == (there.dev(), there.ino()),
        (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
        (Err(_), _) => true,
    }
}

/// What root creates beside a user's file has to be that user's, who could not lock it otherwise.
fn give_to_owner_of(path: &Path, lock: &OwnFile) {
    let directory = directory_of(path);
    let owner =
        fs::metadata(path).or_else(|_| fs::metadata(directory)).map(|metadata| (metadata.uid(), metadata.gid()));
    if let (Ok((user, group)), Ok(metadata)) = (owner, lock.metadata())
        && metadata.uid() != user
    {
        // Others than root may not do this, and need not: the lock is theirs.
        let _ = fchown(&**lock, Some(user), Some(group));
    }
}
