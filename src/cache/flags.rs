//! A door that many readers pass without meeting each other, and that one writer at a time can lock and shut.
//!
//! Each reader raises a flag of its own, then looks whether the door is open. A writer shuts the door first, then waits
//! until no flag is up. Both steps are sequentially consistent, so of a reader and a writer at the same moment at least
//! one sees the other: never is a reader inside while a writer that has shut the door believes it empty.
//!
//! Lock and door are one word, so that a write takes one atomic operation. Waiters spin for a moment, then sleep in the
//! kernel on that word. It is also all there is to a lock: a forked child has the word, and the kernel knows no waiters
//! there, so a wake-up meant for a thread of the parent is a call for nothing. (A table of sleeping threads, as
//! parking_lot has, would come along with the parent's threads in it.)
//!
//! A waiter that others have passed for [`PATIENCE`] asks for its turn: the next unlock leaves the lock to those that
//! were asleep. So a thread that locks again and again, as one that clears a large cache does, lets others through.
//!
//! Nothing here is unsafe; what the protocol protects is in `shared.rs`. The model checker in `tests/model` runs this
//! very file.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, fence};
#[cfg(not(loom))]
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::time::{Duration, Instant};

use crate::sys;

/// States of the door: a writer has the lock; readers may not come in either.
const LOCKED: u32 = 1;
const SHUT: u32 = 2;
/// Threads may be asleep: until they have the lock; until the door is open.
const WRITERS: u32 = 4;
const READERS: u32 = 8;
/// The lock, once it is free, is for those that have slept.
const DUE: u32 = 16;

/// The holder of the lock may be asleep until a reader is out.
const AWAITING: u32 = 32;
/// What the lock's holder has to take back.
const HELD: u32 = LOCKED | SHUT | AWAITING;

/// States of a flag: nobody uses it, or a reader is inside.
const DOWN: u32 = 0;
const UP: u32 = 1;

/// How often a waiter looks before it sleeps. What it waits for is done within some nanoseconds, unless a thread was
/// interrupted: then that thread's processor is the best help.
const SPINS: u32 = if cfg!(loom) { 0 } else { 100 };
/// How long others may pass a waiter.
const PATIENCE: Duration = if cfg!(loom) { Duration::ZERO } else { Duration::from_micros(500) };
/// The longest sleep until a reader is out. A reader does not order its leaving and its look at the door, which would
/// cost each of them a fence; so a wake-up can be missed, by a thread that goes to sleep within the same nanoseconds.
const NAP: Duration = Duration::from_millis(1);

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
        if self.flags[number].0.compare_exchange(DOWN, UP, SeqCst, Relaxed).is_err() {
            return Err(Refused::Taken);
        }
        // The checker takes sequentially consistent accesses for weaker ones and knows the fence alone.
        #[cfg(loom)]
        fence(SeqCst);
        if self.door.0.load(SeqCst) & SHUT == 0 {
            return Ok(());
        }
        self.leave(number);
        Err(Refused::Shut)
    }

    /// Goes out again.
    #[inline]
    pub(crate) fn leave(&self, number: usize) {
        let flag = &self.flags[number].0;
        flag.store(DOWN, Release);
        if self.door.0.load(Relaxed) & AWAITING != 0 {
            sys::futex_wake(flag, WRITERS, 1);
        }
    }

    /// Returns when the door was seen open, or when a reader has waited so long that it should take the lock, with which
    /// the door stays open.
    pub(crate) fn wait_until_open(&self) {
        let is_open = || self.door.0.load(Relaxed) & SHUT == 0;
        if spin_until(is_open) {
            return;
        }
        let since = Instant::now();
        loop {
            let word = self.door.0.load(Relaxed);
            if word & SHUT == 0 {
                return;
            }
            if self.sleep(word, READERS, 0) && since.elapsed() >= PATIENCE {
                return;
            }
        }
    }

    /// Takes the lock. Readers go on.
    pub(crate) fn lock(&self) {
        self.take(LOCKED);
    }

    /// The same, unless another thread has it or waits for it.
    pub(crate) fn try_lock(&self) -> bool {
        self.door.0.compare_exchange(0, LOCKED, SeqCst, Relaxed).is_ok()
    }

    /// Takes the lock, shuts the door, and waits until all readers are out.
    #[inline]
    pub(crate) fn lock_and_shut(&self) {
        self.take(LOCKED | SHUT);
        self.wait_until_empty();
    }

    /// Shuts the door with the lock held, and waits until all readers are out.
    pub(crate) fn shut(&self) {
        self.door.0.fetch_or(SHUT, SeqCst);
        self.wait_until_empty();
    }

    /// Opens the door and keeps the lock.
    pub(crate) fn open(&self) {
        if self.door.0.fetch_and(!(SHUT | AWAITING | READERS), Release) & READERS != 0 {
            sys::futex_wake(&self.door.0, READERS, u32::MAX);
        }
    }

    /// Gives the lock back, with the door open.
    #[inline]
    pub(crate) fn unlock(&self) {
        let held = self.door.0.load(Relaxed) & HELD;
        if self.door.0.compare_exchange(held, 0, Release, Relaxed).is_err() {
            self.unlock_and_wake();
        }
    }

    /// Bits that say that threads sleep are cleared before these are woken, so a thread that goes to sleep meanwhile
    /// either sets its bit again or finds the word changed.
    #[cold]
    fn unlock_and_wake(&self) {
        let mut word = self.door.0.load(Relaxed);
        loop {
            let rest = if word & DUE == 0 { 0 } else { DUE | WRITERS };
            match self.door.0.compare_exchange(word, rest, Release, Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        if word & READERS != 0 {
            sys::futex_wake(&self.door.0, READERS, u32::MAX);
        }
        if word & WRITERS == 0 {
            return;
        }
        let woken = sys::futex_wake(&self.door.0, WRITERS, 1);
        if word & DUE != 0 && woken == 0 {
            // Nobody slept, so nobody would take what is kept for sleepers. One that has gone to sleep since then did
            // so before the bit was cleared, or not at all.
            self.door.0.fetch_and(!DUE, Release);
            sys::futex_wake(&self.door.0, WRITERS, 1);
        }
    }

    #[inline]
    fn take(&self, state: u32) {
        if self.door.0.compare_exchange(0, state, SeqCst, Relaxed).is_err() {
            self.take_slowly(state);
        }
    }

    #[cold]
    fn take_slowly(&self, state: u32) {
        // Looks before it tries, so as not to take the line away from the thread that has the lock.
        spin_until(|| self.door.0.load(Relaxed) & (LOCKED | WRITERS) != LOCKED);
        let since = Instant::now();
        let mut slept = false;
        loop {
            let word = self.door.0.load(Relaxed);
            if word & LOCKED == 0 && (slept || word & DUE == 0) {
                // One that was woken does not know whether it was alone.
                let sleepers = word & (WRITERS | READERS) | if slept { WRITERS } else { 0 };
                if self.door.0.compare_exchange(word, state | sleepers, SeqCst, Relaxed).is_ok() {
                    return;
                }
                continue;
            }
            let due = if slept && since.elapsed() >= PATIENCE { DUE } else { 0 };
            slept |= self.sleep(word, WRITERS, due);
        }
    }

    /// Sleeps while the door is in the state `word`, with these bits added. Whether it was woken; else the caller has to
    /// look again.
    fn sleep(&self, word: u32, class: u32, due: u32) -> bool {
        let wanted = word | class | due;
        let is_set = word == wanted || self.door.0.compare_exchange(word, wanted, Relaxed, Relaxed).is_ok();
        is_set && sys::futex_wait(&self.door.0, wanted, class)
    }

    #[inline]
    fn wait_until_empty(&self) {
        #[cfg(loom)]
        fence(SeqCst);
        for number in 0..self.flags.len() {
            if self.flags[number].0.load(SeqCst) != DOWN {
                self.wait_until_out(number);
            }
        }
    }

    /// Returns when nobody was seen inside under this flag. The caller has the lock.
    #[cold]
    pub(crate) fn wait_until_out(&self, number: usize) {
        let flag = &self.flags[number].0;
        if spin_until(|| flag.load(SeqCst) == DOWN) {
            return;
        }
        self.door.0.fetch_or(AWAITING, SeqCst);
        while flag.load(SeqCst) != DOWN {
            sys::futex_wait_for(flag, UP, WRITERS, NAP);
        }
    }
}

fn spin_until(done: impl Fn() -> bool) -> bool {
    for _ in 0..SPINS {
        if done() {
            return true;
        }
        std::hint::spin_loop();
    }
    done()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn a_waiter_that_asked_for_its_turn_has_it() {
        let (flags, others_turn) = (Flags::new(4), AtomicBool::new(false));
        std::thread::scope(|scope| {
            flags.lock();
            scope.spawn(|| {
                flags.lock_and_shut();
                others_turn.store(true, SeqCst);
                flags.unlock();
            });
            // However often this thread takes the lock before the other has asked, then it does not.
            let mut asked = false;
            while !others_turn.load(SeqCst) {
                assert!(!asked, "the lock was taken out of turn");
                asked = flags.door.0.load(SeqCst) & DUE != 0;
                flags.unlock();
                flags.lock();
            }
            flags.unlock();
        });
        assert_eq!(flags.door.0.load(SeqCst), 0);
    }

    #[test]
    fn what_is_kept_for_sleepers_is_free_where_there_are_none() {
        // As in a forked child, whose parent had them.
        let flags = Flags::new(4);
        flags.lock_and_shut();
        flags.door.0.fetch_or(DUE | WRITERS | READERS, SeqCst);
        flags.unlock();
        flags.lock_and_shut();
        flags.unlock();
        assert!(flags.try_lock());
    }
}
