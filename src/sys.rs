//! The few system calls that std does not offer.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

mod descriptors;
mod environment;
pub(crate) mod own_file;
mod published;
mod registers;
pub(crate) mod sqlite;
pub(crate) mod thread_word;

pub(crate) use environment::with_variable;
pub(crate) use published::Published;
pub(crate) use registers::clear_vector_registers;

/// Time since the machine started, including the time it was suspended (`CLOCK_BOOTTIME`).
pub(crate) fn time_since_boot() -> Duration {
    Duration::from_nanos(nanoseconds_since_boot())
}

/// The same in nanoseconds.
#[inline]
pub(crate) fn nanoseconds_since_boot() -> u64 {
    nanoseconds(libc::CLOCK_BOOTTIME)
}

/// Time since the machine started, without the time it was suspended, in nanoseconds (`CLOCK_MONOTONIC`).
pub(crate) fn time_awake() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC)
}

/// The same as of the last tick of the kernel (`CLOCK_MONOTONIC_COARSE`): a fifth of the price.
#[inline]
pub(crate) fn coarse_time_awake() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC_COARSE)
}

#[inline]
fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable timespec for the whole call. These clocks exist on every Linux since 2.6.39, so
    // the call cannot fail; if it did, `time` would still hold its zeros.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The tick of the kernel in nanoseconds: the step of [`coarse_time_awake`].
pub(crate) fn coarse_resolution() -> u64 {
    let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `tick` is a valid, writable timespec for the whole call.
    unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &mut tick) };
    tick.tv_sec as u64 * 1_000_000_000 + tick.tv_nsec as u64
}

/// What a file is waited for.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Readable = libc::POLLIN as isize,
    Writable = libc::POLLOUT as isize,
}

/// The longest wait in one piece. The kernel may stretch a wait by a thousandth, for a process that was made "nice" by a
/// two-hundredth: of this, at most 25 ms.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Waits until this can be done with the file, or it was closed, or the time has passed. May return earlier too, as when a
/// signal came: callers try, and wait again for the time that is left.
pub(crate) fn wait(file: BorrowedFd<'_>, until: Until, timeout: Duration) -> io::Result<()> {
    poll([Some(file)], until, timeout).map(|_| ())
}

/// Waits until one of the pipes has something to read or was closed, or the time has passed; or returns earlier too, as
/// [`wait`] does.
pub(crate) fn wait_readable(pipes: [Option<BorrowedFd<'_>>; 2], timeout: Duration) -> io::Result<[bool; 2]> {
    poll(pipes, Until::Readable, timeout)
}

fn poll<const N: usize>(files: [Option<BorrowedFd<'_>>; N], until: Until, timeout: Duration) -> io::Result<[bool; N]> {
    let mut polled = files.map(|file| libc::pollfd {
        // poll passes over what is negative.
        fd: file.map_or(-1, |file| file.as_raw_fd()),
        events: until as libc::c_short,
        revents: 0,
    });
    // Rounded up, so that nobody turns in circles through the last millisecond.
    let milliseconds = timeout.min(LONGEST_WAIT).as_millis() as libc::c_int + 1;
    // SAFETY: `polled` is a valid array of that many entries for the whole call, and the borrows keep the files open.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, milliseconds) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok([false; N]) } else { Err(error) };
    }
    Ok(polled.map(|one| one.revents != 0))
}

/// Kills the process group that this child leads. The caller has not waited for the child yet, so the number is its.
pub(crate) fn kill_group(leader: u32) {
    let Ok(leader) = libc::pid_t::try_from(leader) else { return };
    // SAFETY: kill reads its two numbers alone. A group that has ended by itself is no failure.
    unsafe { libc::kill(-leader, libc::SIGKILL) };
}

/// Kills this process, a descendant of a child that nobody has waited for yet.
pub(crate) fn kill_process(process: u32) {
    let Ok(process) = libc::pid_t::try_from(process) else { return };
    if process > 1 {
        // SAFETY: kill reads its two numbers alone. A process that has ended by itself is no failure.
        unsafe { libc::kill(process, libc::SIGKILL) };
    }
}

/// Has the C library run these functions around every `fork()` of the process: before it, then after it in the parent
/// and in the child.
pub(crate) fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) {
    // SAFETY: the three are functions of this library, which is never unloaded (`-z nodelete` for the shared one),
    // so the pointers that the C library keeps stay valid until the process ends. They take no arguments and do not
    // unwind, as `extern "C"` functions cannot. Its only failure is lack of memory at start-up; then forked children
    // behave as they would without this library's care.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
}

/// Runs `body` with all signals blocked for this thread, and so for the threads that it starts.
pub(crate) fn with_signals_blocked<T>(body: impl FnOnce() -> T) -> T {
    struct Restore(libc::sigset_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the set was filled in by the system, and the old mask is not asked for.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
        }
    }
    // SAFETY: a set of signals is a plain array of bits, for which zeros are a value.
    let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    // SAFETY: both sets are valid and writable for the whole calls, which fail for bad arguments alone.
    unsafe {
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
    }
    let _restore = Restore(before);
    body()
}

/// Sleeps while `word` is `expected`, until [`futex_wake`] wakes a class of sleepers that shares a bit with this one.
/// Whether it was woken: `false` if the word differs, or a signal came.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, class: u32) -> bool {
    futex(word, libc::FUTEX_WAIT_BITSET, expected, class, std::ptr::null()) == 0
}

/// As [`futex_wait`], for this time at most.
pub(crate) fn futex_wait_for(word: &AtomicU32, expected: u32, class: u32, time: Duration) {
    let end = Duration::from_nanos(time_awake()).saturating_add(time);
    let end = libc::timespec { tv_sec: end.as_secs() as libc::time_t, tv_nsec: end.subsec_nanos() as libc::c_long };
    futex(word, libc::FUTEX_WAIT_BITSET, expected, class, &end);
}

/// Wakes up to `count` of the threads of these classes that sleep on `word`, the first to sleep first. How many it woke.
pub(crate) fn futex_wake(word: &AtomicU32, class: u32, count: u32) -> usize {
    let count = count.min(i32::MAX as u32);
    usize::try_from(futex(word, libc::FUTEX_WAKE_BITSET, count, class, std::ptr::null())).unwrap_or(0)
}

fn futex(word: &AtomicU32, operation: libc::c_int, value: u32, class: u32, end: *const libc::timespec) -> libc::c_long {
    let operation = operation | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: `word` is a valid, aligned word of 32 bits for the whole call, which the kernel reads atomically; `end` is
    // NULL or a valid time. These two operations do not use the second word.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, end, std::ptr::null::<u32>(), class) }
}

/// Has the loader run an `extern "C" fn()` when the library is loaded, before `main`.
macro_rules! run_at_load {
    ($function:ident) => {
        #[used]
        // SAFETY: `.init_array` holds pointers to C functions, which the loader calls once each; this is one.
        #[unsafe(link_section = ".init_array")]
        static RUN_AT_LOAD: extern "C" fn() = $function;
    };
}
pub(crate) use run_at_load;
