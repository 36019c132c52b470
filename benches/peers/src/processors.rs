//! The processors of the machine, or simulated ones: how many the library finds decides how many readers it prepares
//! for.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static SIMULATED: AtomicUsize = AtomicUsize::new(0);

/// Makes the library find this many processors from now on.
pub fn simulate(count: usize) {
    SIMULATED.store(count, Relaxed);
}

/// The processors on which this thread may run.
pub fn of_this_thread() -> libc::cpu_set_t {
    // SAFETY: sets of processors are plain bits, and the set is ours.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let found = libc::syscall(libc::SYS_sched_getaffinity, 0, size_of::<libc::cpu_set_t>(), &raw mut set);
        assert!(found > 0, "the kernel returns where a thread may run");
        set
    }
}

/// Replaces the function of the C library in this process.
///
/// # Safety
///
/// `set` has room for `size` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sched_getaffinity(thread: libc::pid_t, size: usize, set: *mut libc::cpu_set_t) -> libc::c_int {
    // SAFETY: the caller says so; the kernel writes no more than `size` bytes, and those that it leaves become 0.
    unsafe {
        set.cast::<u8>().write_bytes(0, size);
        let simulated = SIMULATED.load(Relaxed);
        if simulated == 0 {
            return libc::syscall(libc::SYS_sched_getaffinity, thread, size, set).min(0) as libc::c_int;
        }
        for processor in 0..simulated.min(size * 8) {
            *set.cast::<u8>().add(processor / 8) |= 1 << (processor % 8);
        }
        0
    }
}
