//! A door that many readers pass without meeting each other, and that one writer at a time can lock and shut.
//!
//! Each reader raises a flag of its own, then looks whether the door is open. Who shuts the door does that first, then
//! waits until no flag is up. Both steps are sequentially consistent, so of a reader and a shutter at the same moment
//! at least one sees the other: never is a reader inside while somebody who has shut the door believes it empty.
//!
//! Lock and door are one word, so that a write takes one atomic operation. Who waits for it turns and then gives way,
//! and stands in no queue: a forked child would inherit a queue of threads that it does not have.
//!
//! Nothing here is unsafe; what the protocol protects is in `shared.rs`. The model checker in `tests/model` runs this
//! very file.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, fence};
#[cfg(not(loom))]
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

/// States of the door: somebody has the lock; nobody may come in either.
const LOCKED: u32 = 1;
const SHUT: u32 = 2;

/// On lines of its own (processors fetch them in pairs), so that raising it disturbs nobody.
#[repr(align(128))]
struct Flag(AtomicU32);

/// The flags and the door.
pub(crate) struct Flags {
    door: Flag,
    flags: Box<[Flag]>,
}

/// Why a reader did not come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// The door is shut.
    Shut,
    /// Another thread uses this flag.
    Taken,
}

impl Flags {
    pub(crate) fn new(count: usize) -> Flags {
        let flag = || Flag(AtomicU32::new(0));
        Flags { door: flag(), flags: (0..count).map(|_| flag()).collect() }
    }

    pub(crate) fn count(&self) -> usize {
        self.flags.len()
    }

    /// Goes in under the flag with this number.
    #[inline]
    pub(crate) fn enter(&self, number: usize) -> Result<(), Refused> {
        let flag = &self.flags[number].0;
        if flag.compare_exchange(0, 1, SeqCst, Relaxed).is_err() {
            return Err(Refused::Taken);
        }
        // The checker takes sequentially consistent accesses for weaker ones and knows the fence alone.
        #[cfg(loom)]
        fence(SeqCst);
        if self.door.0.load(SeqCst) & SHUT == 0 {
            return Ok(());
        }
        flag.store(0, Release);
        Err(Refused::Shut)
    }

    /// Goes out again.
    #[inline]
    pub(crate) fn leave(&self, number: usize) {
        self.flags[number].0.store(0, Release);
    }

    /// Returns when the door was seen open.
    pub(crate) fn wait_until_open(&self) {
        wait_until(|| self.door.0.load(Relaxed) & SHUT == 0);
    }

    /// Takes the lock. Readers go on.
    pub(crate) fn lock(&self) {
        self.take(LOCKED);
    }

    /// The same, unless somebody has it.
    pub(crate) fn try_lock(&self) -> bool {
        self.door.0.compare_exchange(0, LOCKED, Acquire, Relaxed).is_ok()
    }

    /// Takes the lock, shuts the door, and waits until all readers are out.
    #[inline]
    pub(crate) fn lock_and_shut(&self) {
        self.take(LOCKED | SHUT);
        self.wait_until_empty();
    }

    /// Shuts the door with the lock held, and waits until all readers are out.
    pub(crate) fn shut(&self) {
        self.door.0.swap(LOCKED | SHUT, SeqCst);
        self.wait_until_empty();
    }

    /// Opens the door and keeps the lock.
    pub(crate) fn open(&self) {
        self.door.0.store(LOCKED, Release);
    }

    /// Gives the lock back, with the door open.
    #[inline]
    pub(crate) fn unlock(&self) {
        self.door.0.store(0, Release);
    }

    #[inline]
    fn take(&self, state: u32) {
        if self.door.0.compare_exchange(0, state, SeqCst, Relaxed).is_err() {
            // Looks before it tries, so as not to take the line away from the one who has the lock.
            wait_until(|| {
                self.door.0.load(Relaxed) == 0 && self.door.0.compare_exchange(0, state, SeqCst, Relaxed).is_ok()
            });
        }
    }

    #[inline]
    fn wait_until_empty(&self) {
        #[cfg(loom)]
        fence(SeqCst);
        for flag in &self.flags {
            if flag.0.load(SeqCst) != 0 {
                wait_until(|| flag.0.load(SeqCst) == 0);
            }
        }
    }
}

/// Whoever is waited for is done within some nanoseconds, unless it was interrupted: then its processor is the best
/// help.
#[cold]
fn wait_until(done: impl Fn() -> bool) {
    #[cfg(loom)]
    while !done() {
        loom::thread::yield_now();
    }
    #[cfg(not(loom))]
    for turn in 0.. {
        if done() {
            return;
        }
        match turn {
            0..100 => std::hint::spin_loop(),
            100..1000 => std::thread::yield_now(),
            _ => std::thread::sleep(std::time::Duration::from_micros(50)),
        }
    }
}
