//! A page of memory that processes share through a file in memory.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// The size of the file, in bytes.
pub(crate) const PAGE_SIZE: usize = 4096;
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

/// The fields at the beginning of the page, all in one cache line. Every bit pattern is a valid value.
#[repr(C)]
pub(crate) struct PageFields {
    pub(crate) magic: AtomicU64,
    pub(crate) boot: [AtomicU64; 2],
    pub(crate) generation: AtomicU32,
    pub(crate) loader: AtomicU32,
    pub(crate) revision: AtomicU64,
    pub(crate) unshared_until: AtomicU64,
}

/// A mapped page. A forked child keeps the mapping.
pub(crate) struct SharedPage(NonNull<PageFields>);

// SAFETY: all fields are atomics, and the mapping may be used and removed by any thread.
unsafe impl Send for SharedPage {}
// SAFETY: as above.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// Maps the file. Its pages are allocated. If another program truncates the file later, an access ends with
    /// SIGBUS, as with any shared memory.
    pub(crate) fn map(file: &File) -> io::Result<SharedPage> {
        if file.metadata()?.len() != PAGE_SIZE as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it does not have {PAGE_SIZE} bytes")));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: this is a new mapping at an address that the system chooses; the descriptor is open.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), PAGE_SIZE, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        match NonNull::new(address.cast()) {
            Some(fields) if address != libc::MAP_FAILED => Ok(SharedPage(fields)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Deref for SharedPage {
    type Target = PageFields;

    fn deref(&self) -> &PageFields {
        // SAFETY: the page is mapped as long as this object lives, is aligned, and is longer than the fields, which are
        // atomics, so other threads and processes may write to them.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: the mapping is this object's, and no reference to it is left.
        unsafe { libc::munmap(self.0.as_ptr().cast(), PAGE_SIZE) };
    }
}

/// Whether a file or directory is in memory: on tmpfs or ramfs.
pub(crate) fn is_in_memory(file: &File) -> io::Result<bool> {
    // SAFETY: the struct consists of integers, for which zero is valid.
    let mut status: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and `status` is writable for the duration of the call.
    if unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut status) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // The type of the field differs between platforms.
    Ok([TMPFS, RAMFS].contains(&(status.f_type as u64 & 0xffff_ffff)))
}

/// Gives a file that was opened with `O_TMPFILE` its name. It is an error if the name is in use.
pub(crate) fn name_file(file: &File, path: &Path) -> io::Result<()> {
    let unnamed = format!("/proc/self/fd/{}\0", file.as_raw_fd());
    let name = [path.as_os_str().as_bytes(), b"\0"].concat();
    let (directory, follow) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
    // SAFETY: both paths end with a NUL and live for the duration of the call.
    match unsafe { libc::linkat(directory, unnamed.as_ptr().cast(), directory, name.as_ptr().cast(), follow) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The effective user id of this process.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: the call has no arguments and cannot fail.
    unsafe { libc::geteuid() }
}
