//! The same for macOS. It compiles and is not tested.
//!
//! Nothing is shared with other processes there: no file system is in memory, so the share refuses every directory.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Acquire;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot_core::{DEFAULT_UNPARK_TOKEN, FilterOp, ParkResult, ParkToken};

/// A clock that includes the time suspended.
pub(super) const BOOT: libc::clockid_t = libc::CLOCK_MONOTONIC;
/// One that does not.
pub(super) const AWAKE: libc::clockid_t = libc::CLOCK_UPTIME_RAW;
/// The same: the coarse clock of macOS lags by an unknown time.
pub(super) const COARSE: libc::clockid_t = libc::CLOCK_UPTIME_RAW;
/// The longest path of a socket in the file system, in bytes; a NUL follows it.
pub(crate) const MAX_SOCKET_PATH: usize = 103;
/// The device `/dev/null`.
pub(crate) const NULL_DEVICE: u64 = libc::makedev(3, 2) as u64;
/// There are no files without a name: opening a directory fails.
pub(crate) const UNNAMED_FILE: c_int = 0;
/// The pause between two looks at a word that other processes change.
const SHARED_PAUSE: Duration = Duration::from_millis(5);

/// Returns `None`: on macOS, access lists do not affect the mode of a file.
pub(crate) fn access_list(_path: &Path) -> Option<Vec<u8>> {
    None
}

/// Returns a new socket, in non-blocking mode and closed on exec.
pub(super) fn unix_socket() -> io::Result<OwnedFd> {
    // SAFETY: the call accesses no memory.
    let socket = match unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0) } {
        socket if socket < 0 => return Err(io::Error::last_os_error()),
        // SAFETY: the descriptor is new, and nothing else closes it.
        socket => unsafe { OwnedFd::from_raw_fd(socket) },
    };
    for (command, flag) in [(libc::F_SETFD, libc::FD_CLOEXEC), (libc::F_SETFL, libc::O_NONBLOCK)] {
        // SAFETY: the descriptor is open, and these commands access no memory.
        if unsafe { libc::fcntl(socket.as_raw_fd(), command, flag) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(socket)
}

/// The `errno` of this thread.
pub(crate) fn errno() -> *mut c_int {
    // SAFETY: the call has no arguments and cannot fail.
    unsafe { libc::__error() }
}

/// Makes forked children not inherit a mapping.
///
/// # Safety
/// The range is a mapping of the caller, which its children do not use.
pub(crate) unsafe fn keep_from_children(start: *mut c_void, len: usize) {
    // SAFETY: the caller guarantees it. If it fails, the children inherit the mapping.
    unsafe { libc::minherit(start, len, libc::VM_INHERIT_NONE as c_int) };
}

/// Does nothing: macOS has no such advice, and writes no core files by default.
///
/// # Safety
/// The range is a mapping of the caller.
pub(crate) unsafe fn keep_from_core_files(_start: *mut c_void, _len: usize) {}

/// Does nothing: no advice of macOS makes sure that the contents are gone.
///
/// # Safety
/// None.
#[cfg(feature = "wiping-allocator")]
pub(crate) unsafe fn discard_pages(_block: *mut u8, _size: usize) -> std::ops::Range<usize> {
    0..0
}

/// Returns the size of a block of the C library's allocator, in bytes.
///
/// # Safety
/// The block was allocated there and not freed.
#[cfg(feature = "wiping-allocator")]
pub(crate) unsafe fn usable_size(block: *mut c_void) -> usize {
    // SAFETY: the caller guarantees it.
    unsafe { libc::malloc_size(block) }
}

/// Sleeps while `word` is `expected`, until [`futex_wake`] wakes a class that shares a bit with this one. Returns
/// whether the thread was woken: `false` if the word differs.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, class: u32) -> bool {
    park(word, expected, class, None)
}

/// Like [`futex_wait`], but at most for this time.
pub(crate) fn futex_wait_for(word: &AtomicU32, expected: u32, class: u32, time: Duration) {
    park(word, expected, class, Instant::now().checked_add(time));
}

fn park(word: &AtomicU32, expected: u32, class: u32, until: Option<Instant>) -> bool {
    let is_expected = || word.load(Acquire) == expected;
    // SAFETY: only waits of this module use the address of a word of this library as a key. The functions do not park,
    // and cannot unwind.
    let result = unsafe {
        parking_lot_core::park(word.as_ptr() as usize, is_expected, || {}, |_, _| {}, ParkToken(class as usize), until)
    };
    matches!(result, ParkResult::Unparked(_))
}

/// Wakes up to `count` threads of these classes that sleep on `word`, in the order in which they went to sleep. Returns
/// how many it woke.
pub(crate) fn futex_wake(word: &AtomicU32, class: u32, count: u32) -> usize {
    let mut left = count;
    let filter = |token: ParkToken| match left {
        0 => FilterOp::Stop,
        _ if token.0 & class as usize == 0 => FilterOp::Skip,
        _ => {
            left -= 1;
            FilterOp::Unpark
        }
    };
    // SAFETY: as in `park`.
    let result = unsafe { parking_lot_core::unpark_filter(word.as_ptr() as usize, filter, |_| DEFAULT_UNPARK_TOKEN) };
    result.unparked_threads
}

/// Like [`futex_wait_for`], for a word in [`SharedMemory`](super::SharedMemory), until [`futex_wake_shared`].
pub(crate) fn futex_wait_shared(word: &AtomicU32, expected: u32, time: Duration) {
    let begun = Instant::now();
    while word.load(Acquire) == expected {
        let left = time.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return;
        }
        thread::sleep(SHARED_PAUSE.min(left));
    }
}

/// Does nothing: those that wait poll the word.
pub(crate) fn futex_wake_shared(_word: &AtomicU32) {}
