//! System calls that std does not provide.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

mod environment;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
mod registers;
mod shared_page;
pub(crate) mod thread_words;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "macos")]
use macos as platform;

pub(crate) use environment::{with_variable, with_variable_or_file};
pub(crate) use platform::{
    MAX_SOCKET_PATH, NULL_DEVICE, UNNAMED_FILE, access_list, errno, futex_wait, futex_wait_for, futex_wait_shared,
    futex_wake, futex_wake_shared, keep_from_children, keep_from_core_files,
};
#[cfg(feature = "wiping-allocator")]
pub(crate) use platform::{discard_pages, usable_size};
pub(crate) use registers::clear_vector_registers;
pub(crate) use shared_page::{
    FileHeader, HostFields, HostMember, MEMBERS, PageFields, SharedFields, SharedMemory, effective_user, is_in_memory,
    name_file,
};

/// The time since the machine started, including time suspended (`CLOCK_BOOTTIME` of Linux).
pub(crate) fn time_since_boot() -> Duration {
    Duration::from_nanos(nanoseconds_since_boot())
}

/// The same in nanoseconds.
#[inline]
pub(crate) fn nanoseconds_since_boot() -> u64 {
    nanoseconds(platform::BOOT)
}

/// The time since the machine started, excluding time suspended, in nanoseconds (`CLOCK_MONOTONIC` of Linux).
pub(crate) fn time_awake() -> u64 {
    nanoseconds(platform::AWAKE)
}

/// The same as of the kernel's last tick (`CLOCK_MONOTONIC_COARSE` of Linux), which is about five times as fast.
#[inline]
pub(crate) fn coarse_time_awake() -> u64 {
    nanoseconds(platform::COARSE)
}

#[inline]
fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable timespec for the duration of the call. These clocks exist since Linux 2.6.39,
    // so the call cannot fail; if it did, `time` would remain zero.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The resolution of [`coarse_time_awake`] in nanoseconds: the kernel's tick.
pub(crate) fn coarse_resolution() -> u64 {
    let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `tick` is a valid, writable timespec for the duration of the call.
    unsafe { libc::clock_getres(platform::COARSE, &mut tick) };
    tick.tv_sec as u64 * 1_000_000_000 + tick.tv_nsec as u64
}

/// What to wait for.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Readable = libc::POLLIN as isize,
    Writable = libc::POLLOUT as isize,
}

/// The longest wait in one piece. The kernel may extend a wait by 0.1 %, or by 0.5 % for a process with a positive nice
/// value: at most 25 ms of this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Waits until the file is ready or closed, or until the timeout. May return early, for example on a signal: callers
/// try again and then wait for the remaining time.
pub(crate) fn wait(file: BorrowedFd<'_>, until: Until, timeout: Duration) -> io::Result<()> {
    match poll([Some(file)], until, timeout) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// Waits until one of the pipes is readable or closed, or until the timeout; a long one may end early. Returns which
/// pipes are ready. A signal is the error [`io::ErrorKind::Interrupted`].
pub(crate) fn wait_readable(pipes: [Option<BorrowedFd<'_>>; 2], timeout: Duration) -> io::Result<[bool; 2]> {
    poll(pipes, Until::Readable, timeout)
}

fn poll<const N: usize>(files: [Option<BorrowedFd<'_>>; N], until: Until, timeout: Duration) -> io::Result<[bool; N]> {
    let mut polled = files.map(|file| libc::pollfd {
        // poll ignores negative descriptors.
        fd: file.map_or(-1, |file| file.as_raw_fd()),
        events: until as libc::c_short,
        revents: 0,
    });
    // Rounded up, so that callers do not spin through the last millisecond.
    let milliseconds = timeout.min(LONGEST_WAIT).as_millis() as libc::c_int + 1;
    // SAFETY: `polled` is a valid array of this length for the duration of the call, and the borrows keep the files
    // open.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, milliseconds) };
    if ready < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(polled.map(|one| one.revents != 0))
}

/// Connects to a socket in the file system, in non-blocking mode and without waiting: if the server has too many
/// connections that it did not accept yet, that is an error.
pub(crate) fn connect_unix(path: &Path) -> io::Result<OwnedFd> {
    // SAFETY: an address consists of numbers, for which zero is a valid value.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() > MAX_SOCKET_PATH {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is too long"));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let socket = platform::unix_socket()?;
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: `address` is a valid address of this length for the duration of the call.
    match unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) } {
        0 => Ok(socket),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Kills the process group led by this child. The caller has not reaped the child yet, so its id is not reused.
pub(crate) fn kill_group(leader: u32) {
    let Ok(leader) = libc::pid_t::try_from(leader) else { return };
    // SAFETY: kill accesses no memory. It is not an error if the group has ended.
    unsafe { libc::kill(-leader, libc::SIGKILL) };
}

/// Kills this process, a descendant of a child that has not been reaped yet.
pub(crate) fn kill_process(process: u32) {
    let Ok(process) = libc::pid_t::try_from(process) else { return };
    if process > 1 {
        // SAFETY: kill accesses no memory. It is not an error if the process has ended.
        unsafe { libc::kill(process, libc::SIGKILL) };
    }
}

/// Whether a child is still running. If it has ended, it is reaped.
pub(crate) fn is_child_running(process: u32) -> bool {
    let Ok(process) = libc::pid_t::try_from(process) else { return false };
    // SAFETY: no status is requested, so the call accesses no memory.
    process > 0 && unsafe { libc::waitpid(process, std::ptr::null_mut(), libc::WNOHANG) } == 0
}

/// Registers functions that the C library runs around every `fork()` of the process: before it, and after it in the
/// parent and in the child.
pub(crate) fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) {
    // SAFETY: the functions belong to this library, which is never unloaded (the shared library is linked with
    // `-z nodelete`), so the pointers stay valid until the process ends. They take no arguments and cannot unwind. The
    // call can only fail for lack of memory; then forked children are not protected.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
}

/// Registers a function that the C library runs when the process exits, in the thread that calls `exit`. Other threads
/// may still run, and the function must not wait for them.
pub(crate) fn at_exit(function: extern "C" fn()) {
    // SAFETY: the function belongs to this library, which is never unloaded, so the pointer stays valid. It takes no
    // argument and cannot unwind. The call can only fail for lack of memory; then the function does not run.
    unsafe { libc::atexit(function) };
}

/// Runs `body` with all signals blocked for this thread, and thus for threads that it starts.
pub(crate) fn with_signals_blocked<T>(body: impl FnOnce() -> T) -> T {
    struct Restore(libc::sigset_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the set was filled in by the system, and the old mask is not requested.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
        }
    }
    // SAFETY: a signal set is an array of bits, for which all zeros is a valid value.
    let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    // SAFETY: both sets are valid and writable for the duration of the calls, which only fail for invalid arguments.
    unsafe {
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
    }
    let _restore = Restore(before);
    body()
}

/// Makes the loader run an `extern "C" fn()` when the library is loaded, before `main`.
macro_rules! run_at_load {
    ($function:ident) => {
        #[used]
        // SAFETY: the section contains pointers to C functions, each of which the loader calls once; this is one.
        #[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
        #[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
        static RUN_AT_LOAD: extern "C" fn() = $function;
    };
}
pub(crate) use run_at_load;
