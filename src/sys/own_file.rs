//! Files that may be open while another thread forks: the child does not keep them.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Once;

use super::descriptors::Descriptors;
use crate::fork;

static OPEN: Descriptors = Descriptors::new();

/// An open file. A forked child closes its copy before it runs anything else, so locks of the file end with this
/// process, and no descriptor is left in the child.
pub(crate) struct OwnFile {
    file: ManuallyDrop<File>,
    generation: u32,
}

impl OwnFile {
    pub(crate) fn open(options: &OpenOptions, path: &Path) -> io::Result<OwnFile> {
        static AT_FORK: Once = Once::new();
        // Inside the gate, so that no fork falls between opening and adding.
        let _guard = fork::protect();
        AT_FORK.call_once(|| super::at_fork(nothing, nothing, close_inherited));
        let file = options.open(path)?;
        OPEN.add(file.as_raw_fd());
        Ok(OwnFile { file: ManuallyDrop::new(file), generation: fork::generation() })
    }

    /// Tries to lock one byte of the file, whether it has that byte or not; `false` if another open file has it locked.
    pub(crate) fn try_lock_byte(&self, at: u32) -> io::Result<bool> {
        match self.set_lock(libc::F_WRLCK, at) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn unlock_byte(&self, at: u32) {
        // Closing the file does the same.
        let _ = self.set_lock(libc::F_UNLCK, at);
    }

    fn set_lock(&self, kind: libc::c_int, at: u32) -> io::Result<()> {
        // SAFETY: the struct consists of numbers, for which zeros are a value; the system wants 0 as the process.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = kind as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        lock.l_start = libc::off_t::from(at);
        lock.l_len = 1;
        // SAFETY: the descriptor is open, and the system reads the lock during the call only.
        match unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Deref for OwnFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        let _guard = fork::protect();
        if self.generation != fork::generation() {
            // This is a child, which has closed it already.
            return;
        }
        OPEN.remove(self.file.as_raw_fd());
        // SAFETY: the file is not used again.
        unsafe { ManuallyDrop::drop(&mut self.file) };
    }
}

extern "C" fn nothing() {}

extern "C" fn close_inherited() {
    // SAFETY: only the thread that forked exists here, and an `OwnFile` that it has is neither closed nor used in a
    // child: none is held while a callback of the program runs.
    unsafe { OPEN.close_all() };
}
