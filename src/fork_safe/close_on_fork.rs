//! Files that are closed in forked children, like those opened with `O_CLOFORK` of POSIX.1-2024, which Linux lacks.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Once;

use super::descriptors::DescriptorSet;
use crate::fork;
use crate::sys;

static OPEN: DescriptorSet = DescriptorSet::new();

/// An open file that belongs to this process only: a forked child closes its copy before it runs anything else. So
/// locks on the file end with this process, and no descriptor leaks into the child.
pub(crate) struct CloseOnForkFile {
    file: ManuallyDrop<File>,
    generation: u32,
}

impl CloseOnForkFile {
    pub(crate) fn open(options: &OpenOptions, path: &Path) -> io::Result<CloseOnForkFile> {
        static AT_FORK: Once = Once::new();
        // Fork-protected, so that no fork happens between opening the file and adding its descriptor.
        let _guard = fork::protect();
        AT_FORK.call_once(|| sys::at_fork(nothing, nothing, close_inherited));
        let file = options.open(path)?;
        OPEN.add(file.as_raw_fd());
        Ok(CloseOnForkFile { file: ManuallyDrop::new(file), generation: fork::generation() })
    }

    /// Tries to lock one byte of the file, which may lie beyond its end. Returns `false` if another open file has
    /// locked it.
    pub(crate) fn try_lock_byte(&self, at: u32) -> io::Result<bool> {
        match self.set_lock(libc::F_WRLCK as libc::c_short, at) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether another open file has locked this byte.
    pub(crate) fn is_byte_locked(&self, at: u32) -> io::Result<bool> {
        let mut lock = byte_lock(libc::F_WRLCK as libc::c_short, at);
        // SAFETY: the descriptor is open, and `lock` is writable during the call.
        match unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) } {
            0 => Ok(lock.l_type != libc::F_UNLCK as libc::c_short),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Whether this process opened it: a forked child has closed its copy.
    pub(crate) fn is_open(&self) -> bool {
        self.generation == fork::generation()
    }

    pub(crate) fn unlock_byte(&self, at: u32) {
        // If this fails, closing the file unlocks it.
        let _ = self.set_lock(libc::F_UNLCK as libc::c_short, at);
    }

    fn set_lock(&self, kind: libc::c_short, at: u32) -> io::Result<()> {
        let lock = byte_lock(kind, at);
        // SAFETY: the descriptor is open, and the system only reads the lock during the call.
        match unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// A lock on one byte, as `fcntl` takes it.
fn byte_lock(kind: libc::c_short, at: u32) -> libc::flock {
    // SAFETY: the struct consists of integers, for which zero is valid; the system requires 0 as the process id.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = libc::off_t::from(at);
    lock.l_len = 1;
    lock
}

impl Deref for CloseOnForkFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for CloseOnForkFile {
    fn drop(&mut self) {
        let _guard = fork::protect();
        if !self.is_open() {
            // This is a child, which has already closed the file.
            return;
        }
        OPEN.remove(self.file.as_raw_fd());
        // SAFETY: the file is not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.file) };
    }
}

extern "C" fn nothing() {}

extern "C" fn close_inherited() {
    // SAFETY: only the forking thread exists here. It may hold a `CloseOnForkFile` only if a log sink of the program
    // forks; code that logs while it holds one checks `is_open` before it uses it again.
    unsafe { OPEN.close_all() };
}
