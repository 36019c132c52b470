//! The few system calls that std does not offer.

use std::time::Duration;

pub(crate) mod sqlite;

/// Time since the machine started, including the time it was suspended (`CLOCK_BOOTTIME`).
pub(crate) fn time_since_boot() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable timespec for the whole call. The clock exists on every Linux since 2.6.39,
    // so the call cannot fail; if it did, `time` would still hold its zeros.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
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
    // SAFETY: `time` is a valid, writable timespec for the whole call, and these clocks exist on every Linux.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The tick of the kernel in nanoseconds.
pub(crate) fn coarse_resolution() -> u64 {
    let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `tick` is a valid, writable timespec for the whole call.
    unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &mut tick) };
    tick.tv_sec as u64 * 1_000_000_000 + tick.tv_nsec as u64
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
