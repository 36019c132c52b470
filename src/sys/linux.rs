//! System calls that only Linux has, and their types there.

use std::ffi::{CString, c_int, c_void};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::time_awake;

/// A clock that includes the time suspended.
pub(super) const BOOT: libc::clockid_t = libc::CLOCK_BOOTTIME;
/// One that does not.
pub(super) const AWAKE: libc::clockid_t = libc::CLOCK_MONOTONIC;
/// The same as of the last tick.
pub(super) const COARSE: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;
/// The longest path of a socket in the file system, in bytes; a NUL follows it.
pub(crate) const MAX_SOCKET_PATH: usize = 107;
/// The device `/dev/null`.
pub(crate) const NULL_DEVICE: u64 = libc::makedev(1, 3);
/// The flag of a file without a name, in a directory that is opened.
pub(crate) const UNNAMED_FILE: c_int = libc::O_TMPFILE;

/// The longest value of an extended attribute, in bytes.
const MAX_ATTRIBUTE: usize = 64 << 10;

/// Returns the POSIX access list of a file in the form of the extended attribute; `None` if it has none.
pub(crate) fn access_list(path: &Path) -> Option<Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut list = vec![0; MAX_ATTRIBUTE];
    let name = c"system.posix_acl_access";
    // SAFETY: both texts end with a NUL, and the list has as many bytes as its length says.
    let len = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), list.as_mut_ptr().cast(), list.len()) };
    list.truncate(usize::try_from(len).ok()?);
    Some(list)
}

/// Returns a new socket, in non-blocking mode and closed on exec.
pub(super) fn unix_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the call accesses no memory.
    match unsafe { libc::socket(libc::AF_UNIX, kind, 0) } {
        socket if socket < 0 => Err(io::Error::last_os_error()),
        // SAFETY: the descriptor is new, and nothing else closes it.
        socket => Ok(unsafe { OwnedFd::from_raw_fd(socket) }),
    }
}

/// The `errno` of this thread.
pub(crate) fn errno() -> *mut c_int {
    // SAFETY: the call has no arguments and cannot fail.
    unsafe { libc::__errno_location() }
}

/// Makes forked children not inherit a mapping.
///
/// # Safety
/// The range is a mapping of the caller, which its children do not use.
pub(crate) unsafe fn keep_from_children(start: *mut c_void, len: usize) {
    // SAFETY: the caller guarantees it. If it fails, the children inherit the mapping.
    unsafe { libc::madvise(start, len, libc::MADV_DONTFORK) };
}

/// Leaves a mapping out of core files. It does not change the contents.
///
/// # Safety
/// The range is a mapping of the caller.
pub(crate) unsafe fn keep_from_core_files(start: *mut c_void, len: usize) {
    // SAFETY: the caller guarantees it.
    unsafe { libc::madvise(start, len, libc::MADV_DONTDUMP) };
}

/// Discards the whole pages of a block: they become zeros and take no memory. Returns the offsets of what was
/// discarded, which is empty if the system refuses.
///
/// # Safety
/// The block is in private anonymous memory, and its contents are no longer used.
#[cfg(feature = "wiping-allocator")]
pub(crate) unsafe fn discard_pages(block: *mut u8, size: usize) -> std::ops::Range<usize> {
    // SAFETY: sysconf with this name only reads a system constant.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(usize::MAX);
    let from = (page - block as usize % page) % page;
    let Some(len) = size.checked_sub(from).map(|rest| rest / page * page) else { return 0..0 };
    // SAFETY: the pages are within the block, which the caller gave up. Locked memory is refused.
    match unsafe { libc::madvise(block.wrapping_add(from).cast(), len, libc::MADV_DONTNEED) } {
        0 => from..from + len,
        _ => 0..0,
    }
}

/// Returns the size of a block of the C library's allocator, in bytes.
///
/// # Safety
/// The block was allocated there and not freed.
#[cfg(feature = "wiping-allocator")]
pub(crate) unsafe fn usable_size(block: *mut c_void) -> usize {
    // SAFETY: the caller guarantees it.
    unsafe { libc::malloc_usable_size(block) }
}

/// Sleeps while `word` is `expected`, until [`futex_wake`] wakes a class that shares a bit with this one. Returns
/// whether the thread was woken: `false` if the word differs, or on a signal.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, class: u32) -> bool {
    futex(word, libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG, expected, class, None) == 0
}

/// Like [`futex_wait`], but at most for this time.
pub(crate) fn futex_wait_for(word: &AtomicU32, expected: u32, class: u32, time: Duration) {
    futex(word, libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG, expected, class, Some(time));
}

/// Wakes up to `count` threads of these classes that sleep on `word`, in the order in which they went to sleep. Returns
/// how many it woke.
pub(crate) fn futex_wake(word: &AtomicU32, class: u32, count: u32) -> usize {
    let count = count.min(i32::MAX as u32);
    let woken = futex(word, libc::FUTEX_WAKE_BITSET | libc::FUTEX_PRIVATE_FLAG, count, class, None);
    usize::try_from(woken).unwrap_or(0)
}

/// Like [`futex_wait_for`], for a word in [`SharedMemory`](super::SharedMemory), until [`futex_wake_shared`].
pub(crate) fn futex_wait_shared(word: &AtomicU32, expected: u32, time: Duration) {
    futex(word, libc::FUTEX_WAIT_BITSET, expected, u32::MAX, Some(time));
}

/// Wakes all threads of all processes that sleep on a word in [`SharedMemory`](super::SharedMemory).
pub(crate) fn futex_wake_shared(word: &AtomicU32) {
    futex(word, libc::FUTEX_WAKE_BITSET, i32::MAX as u32, u32::MAX, None);
}

fn futex(word: &AtomicU32, operation: libc::c_int, value: u32, class: u32, time: Option<Duration>) -> libc::c_long {
    let end = time.map(|time| {
        let end = Duration::from_nanos(time_awake()).saturating_add(time);
        libc::timespec { tv_sec: end.as_secs() as libc::time_t, tv_nsec: end.subsec_nanos() as libc::c_long }
    });
    let end = end.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `word` is a valid, aligned 32-bit word for the duration of the call, which the kernel reads atomically;
    // `end` is NULL or a valid time. Neither operation uses the second word.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, end, std::ptr::null::<u32>(), class) }
}
