//! Memory that processes share through a file in memory.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

/// What a file that is mapped begins with.
#[repr(C)]
pub(crate) struct FileHeader {
    pub(crate) magic: AtomicU64,
    pub(crate) boot: [AtomicU64; 2],
}

/// The contents of a mapped file.
///
/// # Safety
/// The type is `repr(C)`, begins with a [`FileHeader`], consists of atomics, is not longer than [`SharedFields::SIZE`],
/// and is aligned to at most a page.
pub(crate) unsafe trait SharedFields {
    /// The size of the file, in bytes.
    const SIZE: usize;
}

/// The fields of the page of a slot; those that each get reads are in the first cache line. Every bit
/// pattern is a valid value.
#[repr(C)]
pub(crate) struct PageFields {
    pub(crate) header: FileHeader,
    pub(crate) generation: AtomicU32,
    pub(crate) loader: AtomicU32,
    pub(crate) revision: AtomicU64,
    pub(crate) unshared_until: AtomicU64,
    pub(crate) watched_at: AtomicU64,
    /// The highest number of a document of the cluster tier that was used.
    pub(crate) sequence: AtomicU64,
    /// When the document was last invalidated, in nanoseconds since the start of the machine.
    pub(crate) invalidated_at: AtomicU64,
    /// Which login published the document; 0 if the key of the files depends on it.
    pub(crate) publisher: AtomicU64,
}

// SAFETY: the header is followed by atomics, with 80 bytes in all.
unsafe impl SharedFields for PageFields {
    const SIZE: usize = 4096;
}

/// How many managers the processes of a host can list.
pub(crate) const MEMBERS: usize = 4088;

/// The fields that all processes of a directory share. Every bit pattern is a valid value.
#[repr(C)]
pub(crate) struct HostFields {
    pub(crate) header: FileHeader,
    pub(crate) changes: AtomicU64,
    pub(crate) revision: AtomicU64,
    pub(crate) revised_at: AtomicU64,
    /// Changes with each change, for those that wait.
    pub(crate) word: AtomicU32,
    /// How many managers found no place in the list.
    pub(crate) unlisted: AtomicU32,
    /// When a process of this host last invalidated everything.
    pub(crate) invalidated_at: AtomicU64,
    pub(crate) tier: TierFields,
    pub(crate) members: [HostMember; MEMBERS],
}

/// What the processes of a host know of the cluster tier. Times are in nanoseconds since the start of the machine.
#[repr(C)]
pub(crate) struct TierFields {
    /// The highest revision that was seen; it never decreases.
    pub(crate) revision: AtomicU64,
    /// The revision that this host has confirmed.
    pub(crate) confirmed: AtomicU64,
    /// When the host last dropped everything because of a revision.
    pub(crate) revised_at: AtomicU64,
    /// When a process last looked at the revision.
    pub(crate) looked_at: AtomicU64,
    /// Until when no process uses the tier.
    pub(crate) rest_until: AtomicU64,
    /// The number of consecutive failures.
    pub(crate) failures: AtomicU64,
    pub(crate) reserved: [AtomicU64; 2],
}

/// One manager of a process.
#[repr(C)]
pub(crate) struct HostMember {
    /// The process: 22 bits of its number, 18 of its image, 24 of its start time; 0 if the place is free.
    pub(crate) process: AtomicU64,
    /// The revision that it has followed.
    pub(crate) followed: AtomicU64,
}

// SAFETY: the header is followed by atomics: 128 bytes, and 16 for each member.
unsafe impl SharedFields for HostFields {
    const SIZE: usize = 128 + 16 * MEMBERS;
}

const _: () = assert!(size_of::<HostFields>() == HostFields::SIZE && size_of::<PageFields>() <= PageFields::SIZE);

/// The mapped contents of a file. A forked child keeps the mapping.
pub(crate) struct SharedMemory<T: SharedFields>(NonNull<T>);

// SAFETY: all fields are atomics, and the mapping may be used and removed by any thread.
unsafe impl<T: SharedFields> Send for SharedMemory<T> {}
// SAFETY: as above.
unsafe impl<T: SharedFields> Sync for SharedMemory<T> {}

impl<T: SharedFields> SharedMemory<T> {
    /// Maps the file. Its pages are allocated. If another program truncates the file later, an access ends with
    /// SIGBUS, as with any shared memory.
    pub(crate) fn map(file: &File) -> io::Result<SharedMemory<T>> {
        let size = T::SIZE;
        if file.metadata()?.len() != size as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it does not have {size} bytes")));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: this is a new mapping at an address that the system chooses; the descriptor is open.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), size, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        match NonNull::new(address.cast()) {
            Some(fields) if address != libc::MAP_FAILED => Ok(SharedMemory(fields)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// What the file begins with.
    pub(crate) fn header(&self) -> &FileHeader {
        // SAFETY: every implementation of the trait begins with a header, in the layout of C, and the memory is mapped
        // as long as this object lives.
        unsafe { self.0.cast().as_ref() }
    }
}

impl<T: SharedFields> Deref for SharedMemory<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the memory is mapped as long as this object lives, is aligned, and is not shorter than the fields,
        // which are atomics, so other threads and processes may write to them.
        unsafe { self.0.as_ref() }
    }
}

impl<T: SharedFields> Drop for SharedMemory<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is this object's, and no reference to it is left.
        unsafe { libc::munmap(self.0.as_ptr().cast(), T::SIZE) };
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
