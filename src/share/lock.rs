//! The lock of a slot, which the process holds that loads.
//!
//! It is an OFD lock on a byte of a file that is and stays empty. The system releases it when the process ends.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use super::directory::Directory;
use crate::error::Result;
use crate::files;
use crate::fork_safe::CloseOnForkFile;

/// How many processes may load at the same time. The second one may after half of its time, the third one after half of
/// the rest, and so on: those before them may be stopped. Each has a byte of the lock file.
const LOADERS: u32 = 8;

/// A lock on one byte of the lock file.
pub(super) struct Lock {
    file: CloseOnForkFile,
    pub(super) byte: u32,
}

impl Lock {
    /// Whether it is that of this process: a forked child does not have the lock of its parent.
    pub(super) fn is_open(&self) -> bool {
        self.file.is_open()
    }

    pub(super) fn unlock(&self) {
        self.file.unlock_byte(self.byte);
    }
}

/// Takes one of the first locks of a slot; `None` if other processes have them.
pub(super) fn take(directory: &Directory, id: &str, loaders: u32) -> Result<Option<Lock>> {
    let name = name(id);
    let path = directory.file(&name);
    let failed = |action, error| directory.error(action, &name, &error);
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    loop {
        let file = CloseOnForkFile::open(&options, &path).map_err(|error| failed("open", error))?;
        let mut free = None;
        for byte in 0..loaders.min(LOADERS) {
            if file.try_lock_byte(byte).map_err(|error| failed("lock", error))? {
                free = Some(byte);
                break;
            }
        }
        match free {
            None => return Ok(None),
            // If the lock file was removed meanwhile, other processes lock a new one.
            Some(byte) if files::is_at(&file, &path) => return Ok(Some(Lock { file, byte })),
            Some(_) => {}
        }
    }
}

/// How many processes may load when this much of the time of a call is left: one more after each half of the rest.
pub(super) fn loaders(time: Duration, left: Duration) -> u32 {
    match time.as_nanos().checked_div(left.as_nanos()) {
        Some(ratio) => (1 + ratio.max(1).ilog2()).min(LOADERS),
        None => LOADERS,
    }
}

/// Whether a process has the first lock.
pub(super) fn is_taken(directory: &Directory, id: &str) -> bool {
    let file = directory.open_file(&name(id), OpenOptions::new().read(true).write(true));
    file.is_ok_and(|file| file.is_some_and(|file| file.is_byte_locked(0).unwrap_or(false)))
}

fn name(id: &str) -> String {
    format!("{id}.lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_process_may_load_after_each_half_of_the_time() {
        let seconds = Duration::from_secs;
        let after = |left| loaders(seconds(64), seconds(left));
        assert_eq!([64, 33, 32, 17, 16, 8, 1, 0].map(after), [1, 1, 2, 2, 3, 4, 7, LOADERS]);
    }
}
