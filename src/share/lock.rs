//! The lock of a slot, held by the process that loads.
//!
//! It is an OFD lock on a byte of a file that stays empty. The system releases it when the process ends.
//! Processes with different keys lock different bytes, so that they do not wait for what they cannot read.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use ring::hmac;

use super::directory::ShareDirectory;
use crate::error::Result;
use crate::files;
use crate::fork_safe::CloseOnForkFile;
use crate::secret_memory::wipe_stack_below;

/// The maximum number of processes that load at the same time, each with a byte of the lock file. Because the earlier
/// ones may be stopped, a waiting call may load as the second one after half of its time, as the third one after half
/// of the rest, and so on.
const LOADERS: u32 = 8;
/// The depth of stack that is wiped after a key was used.
const STACK: usize = 8 << 10;

/// A lock on one byte of the lock file.
pub(super) struct SlotLock {
    file: CloseOnForkFile,
    pub(super) byte: u32,
}

impl SlotLock {
    /// Whether it is that of this process: a forked child does not have the lock of its parent.
    pub(super) fn is_open(&self) -> bool {
        self.file.is_open()
    }

    pub(super) fn unlock(&self) {
        self.file.unlock_byte(self.byte);
    }
}

/// Returns the first byte for processes whose keys are made from this. All users can see which bytes are locked, so it
/// says little about the secret.
pub(super) fn first_byte(material: &[u8]) -> u32 {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, material), b"st-secrets share lock");
    wipe_stack_below::<STACK>();
    u32::from(u16::from_le_bytes([tag.as_ref()[0], tag.as_ref()[1]])) * LOADERS
}

/// Takes one of this many locks from the first byte on; `None` if other processes have them.
pub(super) fn take(directory: &ShareDirectory, id: &str, first: u32, loaders: u32) -> Result<Option<SlotLock>> {
    let name = name(id);
    let path = directory.file(&name);
    let failed = |action, error| directory.error(action, &name, &error);
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    loop {
        let file = CloseOnForkFile::open(&options, &path).map_err(|error| failed("open", error))?;
        let mut free = None;
        for byte in first..first + loaders.min(LOADERS) {
            if file.try_lock_byte(byte).map_err(|error| failed("lock", error))? {
                free = Some(byte);
                break;
            }
        }
        match free {
            None => return Ok(None),
            // If the lock file was removed meanwhile, other processes lock a new one.
            Some(byte) if files::is_at(&file, &path) => return Ok(Some(SlotLock { file, byte })),
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
pub(super) fn is_taken(directory: &ShareDirectory, id: &str, first: u32) -> bool {
    let file = directory.open_file(&name(id), OpenOptions::new().read(true).write(true));
    file.is_ok_and(|file| file.is_some_and(|file| file.is_byte_locked(first).unwrap_or(false)))
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
