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
//! A waiter that others have passed for [`PATIENCE`] asks for its turn: each unlock leaves the lock to those that have
//! asked, the first to ask first, and to nobody else. So threads that lock again and again, as one that clears a large
//! cache does, let others through, however many they are.
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
/// The lock, once it is free, is for those that have asked for their turn. They sleep in a class of their own, with this
/// number, and count among the writers too.
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
            if self.sleep(word, READERS, READERS) && since.elapsed() >= PATIENCE {
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

    /// As [`Flags::unlock`], in a child that was forked meanwhile. A reader of the parent may just have raised its flag,
    /// to find the door shut; it does not exist here, so nobody would lower it.
    pub(crate) fn unlock_in_child(&self) {
        self.flags.iter().for_each(|flag| flag.0.store(DOWN, Relaxed));
        self.unlock();
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
        if word & DUE != 0 {
            if sys::futex_wake(&self.door.0, DUE, 1) > 0 {
                return;
            }
            // None of those that asked sleeps, so nobody would take what is kept for them. One that has gone to sleep
            // since then did so before the bit was cleared, or not at all.
            self.door.0.fetch_and(!DUE, Release);
        }
        if word & WRITERS != 0 {
            sys::futex_wake(&self.door.0, WRITERS | DUE, 1);
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
        let (mut slept, mut is_its_turn) = (false, false);
        loop {
            let word = self.door.0.load(Relaxed);
            if word & LOCKED == 0 && (is_its_turn || word & DUE == 0) {
                // One that was woken does not know whether it was alone, nor whether others have asked too.
                let sleepers = word & (WRITERS | READERS | DUE) | if slept { WRITERS } else { 0 };
                if self.door.0.compare_exchange(word, state | sleepers, SeqCst, Relaxed).is_ok() {
                    return;
                }
                continue;
            }
            let asks = slept && since.elapsed() >= PATIENCE;
            let (bits, class) = if asks { (WRITERS | DUE, DUE) } else { (WRITERS, WRITERS) };
            if self.sleep(word, bits, class) {
                (slept, is_its_turn) = (true, asks);
            }
        }
    }

    /// Sleeps in this class while the door is in the state `word`, with these bits added. Whether it was woken; else the
    /// caller has to look again.
    fn sleep(&self, word: u32, bits: u32, class: u32) -> bool {
        let wanted = word | bits;
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

#[cfg(all(test, not(loom)))]
impl Flags {
    /// The first step of [`Flags::enter`].
    pub(crate) fn raise(&self, number: usize) {
        self.flags[number].0.store(UP, SeqCst);
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
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// The system's number of this thread.
    fn thread_number() -> String {
        std::fs::read_link("/proc/thread-self").unwrap().file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// Waits until the door is in this state, and this thread is asleep.
    fn wait_until_asleep(flags: &Flags, state: u32, thread: &str) {
        let asleep = || {
            let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
        };
        let start = Instant::now();
        while flags.door.0.load(SeqCst) != state || !asleep() {
            assert!(start.elapsed() < Duration::from_secs(60), "the door is {}", flags.door.0.load(SeqCst));
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The lock; given back even by a test that fails, so that the others end.
    struct Held<'a>(&'a Flags);

    fn hold(flags: &Flags) -> Held<'_> {
        flags.lock();
        Held(flags)
    }

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.unlock();
        }
    }

    /// What sleepers notice of an unlock after which the same thread has the lock again at once.
    fn pass(flags: &Flags) {
        flags.door.0.store(LOCKED, SeqCst);
        assert_eq!(sys::futex_wake(&flags.door.0, WRITERS | DUE, 1), 1);
    }

    #[test]
    fn a_waiter_that_was_passed_for_long_is_the_next() {
        for _ in 0..10 {
            let flags = Flags::new(4);
            let (begin, begun) = mpsc::channel();
            let (enter, entered) = mpsc::channel();
            let wait = |name, begin: mpsc::Sender<_>, enter: mpsc::Sender<_>| {
                begin.send(thread_number()).unwrap();
                flags.lock_and_shut();
                enter.send(name).unwrap();
                flags.unlock();
            };
            thread::scope(|scope| {
                let held = hold(&flags);
                let [passed, _] = ["passed", "other"].map(|name| {
                    let (begin, enter) = (begin.clone(), enter.clone());
                    scope.spawn(move || wait(name, begin, enter));
                    let number = begun.recv().unwrap();
                    wait_until_asleep(&flags, LOCKED | WRITERS, &number);
                    number
                });
                // Now the other one is the first to sleep, and the one that was passed has asked.
                thread::sleep(PATIENCE * 2);
                pass(&flags);
                wait_until_asleep(&flags, LOCKED | WRITERS | DUE, &passed);
                drop(held);
                let _held = hold(&flags);
                assert_eq!(entered.try_recv(), Ok("passed"));
            });
            assert_eq!(entered.try_recv(), Ok("other"));
            flags.lock();
            flags.unlock();
            assert_eq!(flags.door.0.load(SeqCst), 0);
        }
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
