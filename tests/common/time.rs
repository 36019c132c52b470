//! Time in tests: waiting for what other threads and processes do, and a clock that a test sets forward.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen. It is there for what hangs: a busy machine needs a small part of it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until this is so.
#[track_caller]
pub fn soon(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The system's number of this thread.
pub fn thread_number() -> libc::pid_t {
    // SAFETY: it has no arguments and cannot fail.
    unsafe { libc::gettid() }
}

/// Waits until each of these threads of this process waits for a lock or a condition.
#[track_caller]
pub fn until_waiting(threads: &[libc::pid_t]) {
    let waits = |thread: &libc::pid_t| {
        let call = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).unwrap();
        call.split(' ').next().is_some_and(|number| number.parse() == Ok(libc::SYS_futex))
    };
    // Twice, as one could have been waiting for another one of them on its way.
    for _ in 0..2 {
        soon(|| threads.iter().all(waits));
        thread::sleep(Duration::from_millis(5));
    }
}

/// How far the clock that the library goes by is ahead of the machine's, in nanoseconds.
static AHEAD: AtomicU64 = AtomicU64::new(0);

/// Sets the library's clock forward, as if the machine had been suspended for this time.
pub fn advance(time: Duration) {
    AHEAD.fetch_add(u64::try_from(time.as_nanos()).unwrap(), SeqCst);
    // Caches notice a suspension within half a second.
    thread::sleep(Duration::from_millis(600));
}

/// What the C library has under this name, except that `CLOCK_BOOTTIME`, by which the library measures how old
/// something is, can be set forward. All other clocks are the machine's.
///
/// # Safety
/// `time` must be writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    // SAFETY: the caller guarantees that `time` is writable.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    if clock == libc::CLOCK_BOOTTIME && result == 0 {
        // SAFETY: as above, and the system has just written it.
        let time = unsafe { &mut *time };
        let ahead = AHEAD.load(SeqCst) + time.tv_nsec as u64;
        time.tv_sec += (ahead / 1_000_000_000) as libc::time_t;
        time.tv_nsec = (ahead % 1_000_000_000) as libc::c_long;
    }
    result as libc::c_int
}
