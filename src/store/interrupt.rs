//! Deadlines of SQLite statements: a statement that runs too long is interrupted, and a lock of another process is
//! awaited until the deadline.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::time::Duration;

use crate::clock::{Backoff, Deadline};
use crate::fork;

const BACKOFF: Backoff = Backoff::new(Duration::from_micros(100), Duration::from_millis(5));

thread_local! {
    /// The deadline of the statements of this thread.
    static DEADLINE: Cell<Option<Deadline>> = const { Cell::new(None) };
    /// Set while a commit or a rollback runs, which must not be interrupted.
    static IGNORE_DEADLINE: Cell<bool> = const { Cell::new(false) };
}

/// Sets the deadline of this thread's statements. Returns the previous one.
pub(super) fn set_deadline(deadline: Option<Deadline>) -> Option<Deadline> {
    DEADLINE.replace(deadline)
}

/// Runs `body`, whose statements end by themselves, without regard to the deadline.
pub(super) fn ignoring_deadline<T>(body: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            IGNORE_DEADLINE.set(self.0);
        }
    }
    let _restore = Restore(IGNORE_DEADLINE.replace(true));
    body()
}

/// Called by SQLite in the course of a statement. Returns whether to interrupt it: on a damaged database, a statement
/// may not end by itself. Waiting forks run here.
pub(super) extern "C" fn progress_handler(_: *mut c_void) -> c_int {
    fork::unprotected(|| ());
    (!IGNORE_DEADLINE.get() && DEADLINE.get().is_some_and(Deadline::has_passed)).into()
}

/// Called by SQLite while another process holds a lock, with the number of previous calls. Returns whether to try
/// again.
pub(super) fn busy_handler(tries: i32) -> bool {
    let Some(deadline) = DEADLINE.get() else { return false };
    let remaining = deadline.remaining();
    if remaining.is_zero() {
        return false;
    }
    let pause = BACKOFF.pause_after(tries.unsigned_abs());
    fork::unprotected(|| std::thread::sleep(pause.min(remaining)));
    true
}
