//! A reader-writer lock with one slot per reader, so that readers never write to a cache line that another reader uses.
//!
//! Such locks are known as distributed or "big-reader" locks (BRAVO: Dice and Kogan, USENIX ATC 2019). Each reader
//! marks a slot of its own, then checks whether readers are blocked. A writer blocks readers first, then waits until no
//! slot is marked. Both steps are sequentially consistent, so at least one of a concurrent reader and writer sees the
//! other: a reader never reads while a writer that has drained the readers writes.
//!
//! Writers exclude each other with a lock word on a cache line of its own, so that a thread which holds the lock to
//! read or to prepare a change does not disturb readers. Waiting threads spin briefly, then sleep in the kernel
//! (futex). The words are the whole state of the lock. A forked child inherits them, and the kernel has no waiters for
//! the child, so a wake-up meant for a thread of the parent has no effect. (A table of sleeping threads, as parking_lot
//! has, would be inherited with the threads of the parent in it.)
//!
//! A writer that others have overtaken for [`PATIENCE`] asks for its turn: each unlock then reserves the lock for the
//! threads that have asked, in the order in which they asked. So threads that lock again and again let others through.
//!
//! Nothing here is unsafe; the data that the protocol protects is in `shared.rs`. The model checker in `tests/model`
//! runs this file.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, fence};
#[cfg(not(loom))]
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::time::{Duration, Instant};

use crate::sys;

/// Bits of the lock word: a writer holds the lock; threads may be sleeping until they get it.
const LOCKED: u32 = 1;
const WAITING: u32 = 2;
/// When the lock is released it is reserved for the threads that asked for their turn. They sleep in a futex class of
/// their own, with this number, and count among the waiting threads.
const DUE: u32 = 4;

/// Bits of the state: readers are blocked; readers may be sleeping until they are admitted; the writer may be sleeping
/// until a reader leaves.
const BLOCKED: u32 = 1;
const ASLEEP: u32 = 2;
const DRAINING: u32 = 4;

/// States of a slot: no thread has used it yet, no thread uses it, a reader is in it.
const UNUSED: u32 = 0;
const FREE: u32 = 1;
const READING: u32 = 2;

/// The highest number of slots. The model checker cannot track as many.
pub(crate) const MOST_SLOTS: usize = if cfg!(loom) { 4 } else { 64 };

/// How often a waiting thread checks before it sleeps. What it waits for takes some nanoseconds, unless a thread was
/// interrupted; then the processor is better left to that thread.
const SPINS: u32 = if cfg!(loom) { 0 } else { 100 };
/// How long other threads may overtake a writer.
const PATIENCE: Duration = if cfg!(loom) { Duration::ZERO } else { Duration::from_micros(500) };
/// The longest sleep until a reader has left. A reader does not order its leaving and its check of the state, which
/// would cost it a fence; so a thread that goes to sleep within the same nanoseconds can miss the wake-up.
const NAP: Duration = Duration::from_millis(1);

/// Aligned to cache lines of its own (processors fetch them in pairs), so that its reader disturbs no other thread.
#[repr(align(128))]
pub(crate) struct ReaderSlot<T> {
    state: AtomicU32,
    pub(crate) data: T,
}

#[repr(align(128))]
struct LockWord(AtomicU32);

/// The slots, each with a `T` for the reader in it, and the lock of the writers.
#[repr(align(128))]
pub(crate) struct ReaderSlots<T> {
    state: AtomicU32,
    /// One more than the highest number of a slot that was ever used.
    used: AtomicU32,
    /// How many of the slots readers may use.
    count: usize,
    /// Part of this struct and as many for each cache, so that a reader finds its slot without reading anything first.
    slots: [ReaderSlot<T>; MOST_SLOTS],
    lock: LockWord,
}

/// Why a reader could not enter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// A writer has blocked the readers.
    Blocked,
    /// Another thread uses this slot.
    Taken,
}

impl<T> ReaderSlots<T> {
    /// `count` is between 1 and [`MOST_SLOTS`]. `data` makes the data of a slot with this number.
    pub(crate) fn new(count: usize, data: impl Fn(usize) -> T) -> ReaderSlots<T> {
        let slot = |number| ReaderSlot { state: AtomicU32::new(UNUSED), data: data(number) };
        ReaderSlots {
            state: AtomicU32::new(0),
            used: AtomicU32::new(0),
            count: count.min(MOST_SLOTS),
            slots: std::array::from_fn(slot),
            lock: LockWord(AtomicU32::new(0)),
        }
    }

    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Returns a slot. A reader in it may be using its data at the same time.
    #[inline(always)]
    pub(crate) fn slot(&self, number: usize) -> &ReaderSlot<T> {
        // The remainder replaces a check that could panic; numbers are smaller.
        &self.slots[number % MOST_SLOTS]
    }

    /// Enters as a reader in this slot.
    #[inline(always)]
    pub(crate) fn enter(&self, number: usize) -> Result<&ReaderSlot<T>, Refused> {
        let slot = self.slot(number);
        match slot.state.compare_exchange(FREE, READING, SeqCst, Relaxed) {
            Ok(_) => self.check_admitted(slot),
            Err(state) => self.enter_slowly(number, state),
        }
    }

    #[inline(always)]
    fn check_admitted<'a>(&self, slot: &'a ReaderSlot<T>) -> Result<&'a ReaderSlot<T>, Refused> {
        // The model checker treats sequentially consistent accesses as weaker ones; it supports the fence.
        #[cfg(loom)]
        fence(SeqCst);
        if self.state.load(SeqCst) & BLOCKED == 0 {
            return Ok(slot);
        }
        self.leave(slot);
        Err(Refused::Blocked)
    }

    #[cold]
    fn enter_slowly(&self, number: usize, state: u32) -> Result<&ReaderSlot<T>, Refused> {
        if state == READING {
            return Err(Refused::Taken);
        }
        // Before the slot is marked, so that a writer which does not see this has its block seen by this reader.
        self.used.fetch_max(number as u32 + 1, SeqCst);
        let slot = self.slot(number);
        let marked = slot.state.compare_exchange(UNUSED, READING, SeqCst, Relaxed).is_ok()
            || slot.state.compare_exchange(FREE, READING, SeqCst, Relaxed).is_ok();
        if marked { self.check_admitted(slot) } else { Err(Refused::Taken) }
    }

    /// Leaves the slot.
    #[inline(always)]
    pub(crate) fn leave(&self, slot: &ReaderSlot<T>) {
        slot.state.store(FREE, Release);
        if self.state.load(Relaxed) & DRAINING != 0 {
            wake_writer(slot);
        }
    }

    /// Returns when readers are admitted, or when the reader has waited so long that it should take the lock, with
    /// which readers stay admitted.
    pub(crate) fn wait_until_admitted(&self) {
        let is_admitted = || self.state.load(Relaxed) & BLOCKED == 0;
        if spin_until(is_admitted) {
            return;
        }
        let since = Instant::now();
        loop {
            let state = self.state.load(Relaxed);
            if state & BLOCKED == 0 {
                return;
            }
            if sleep(&self.state, state, ASLEEP, 1) && since.elapsed() >= PATIENCE {
                return;
            }
        }
    }

    /// Takes the lock. Readers continue.
    #[inline]
    pub(crate) fn lock(&self) {
        if self.lock.0.compare_exchange(0, LOCKED, SeqCst, Relaxed).is_err() {
            self.lock_slowly();
        }
    }

    /// Takes the lock, unless another thread holds it or waits for it.
    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        self.lock.0.load(Relaxed) == 0 && self.lock.0.compare_exchange(0, LOCKED, SeqCst, Relaxed).is_ok()
    }

    /// Releases the lock. Readers are admitted.
    #[inline]
    pub(crate) fn unlock(&self) {
        if self.lock.0.compare_exchange(LOCKED, 0, Release, Relaxed).is_err() {
            self.unlock_and_wake();
        }
    }

    /// Blocks readers, with the lock held, and waits until no slot is in use.
    #[inline]
    pub(crate) fn drain_readers(&self) {
        self.state.fetch_or(BLOCKED, SeqCst);
        #[cfg(loom)]
        fence(SeqCst);
        let used = self.used.load(SeqCst) as usize;
        for slot in self.slots.get(..used).unwrap_or(&self.slots) {
            if slot.state.load(SeqCst) == READING {
                self.wait_until_left(slot);
            }
        }
    }

    /// Admits readers and keeps the lock.
    #[inline]
    pub(crate) fn admit_readers(&self) {
        if self.state.swap(0, Release) & ASLEEP != 0 {
            sys::futex_wake(&self.state, 1, u32::MAX);
        }
    }

    /// Frees the slots in a child that was forked with the readers drained. A reader of the parent may just have
    /// marked its slot, before seeing that it is blocked. It does not exist in the child, so no thread would free the
    /// slot.
    pub(crate) fn free_slots_in_child(&self) {
        for slot in &self.slots {
            if slot.state.load(Relaxed) == READING {
                slot.state.store(FREE, Relaxed);
            }
        }
    }

    /// The bits of sleeping threads are cleared before these are woken, so a thread that goes to sleep meanwhile either
    /// sets its bit again or finds the word changed.
    #[cold]
    fn unlock_and_wake(&self) {
        let mut word = self.lock.0.load(Relaxed);
        loop {
            let rest = if word & DUE == 0 { 0 } else { DUE | WAITING };
            match self.lock.0.compare_exchange(word, rest, Release, Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        if word & DUE != 0 {
            if sys::futex_wake(&self.lock.0, DUE, 1) > 0 {
                return;
            }
            // None of the threads that asked sleeps, so none would take the reserved lock. A thread that has gone to
            // sleep since then did so before the bit was cleared, or not at all.
            self.lock.0.fetch_and(!DUE, Release);
        }
        if word & WAITING != 0 {
            sys::futex_wake(&self.lock.0, WAITING | DUE, 1);
        }
    }

    #[cold]
    fn lock_slowly(&self) {
        // Reads before it tries, to leave the cache line with the thread that holds the lock.
        spin_until(|| self.lock.0.load(Relaxed) & (LOCKED | WAITING) != LOCKED);
        let since = Instant::now();
        let (mut slept, mut is_its_turn) = (false, false);
        loop {
            let word = self.lock.0.load(Relaxed);
            if word & LOCKED == 0 && (is_its_turn || word & DUE == 0) {
                // A thread that was woken cannot know whether it was the only one, nor whether others have asked too.
                let sleepers = word & (WAITING | DUE) | if slept { WAITING } else { 0 };
                if self.lock.0.compare_exchange(word, LOCKED | sleepers, SeqCst, Relaxed).is_ok() {
                    return;
                }
                continue;
            }
            let asks = slept && since.elapsed() >= PATIENCE;
            let (bits, class) = if asks { (WAITING | DUE, DUE) } else { (WAITING, WAITING) };
            if sleep(&self.lock.0, word, bits, class) {
                (slept, is_its_turn) = (true, asks);
            }
        }
    }

    /// Returns when no reader was seen in this slot. The caller holds the lock.
    #[cold]
    pub(crate) fn wait_until_left(&self, slot: &ReaderSlot<T>) {
        let slot = &slot.state;
        if spin_until(|| slot.load(SeqCst) != READING) {
            return;
        }
        self.state.fetch_or(DRAINING, SeqCst);
        while slot.load(SeqCst) == READING {
            sys::futex_wait_for(slot, READING, 1, NAP);
        }
        self.state.fetch_and(!DRAINING, Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
impl<T> ReaderSlots<T> {
    /// Does the first step of [`ReaderSlots::enter`].
    pub(crate) fn mark(&self, number: usize) {
        self.used.fetch_max(number as u32 + 1, SeqCst);
        self.slots[number].state.store(READING, SeqCst);
    }
}

#[cold]
fn wake_writer<T>(slot: &ReaderSlot<T>) {
    sys::futex_wake(&slot.state, 1, 1);
}

/// Sets these bits and sleeps while `word` is unchanged. Returns whether the thread was woken; if not, the caller
/// checks the word again.
fn sleep(word: &AtomicU32, seen: u32, bits: u32, class: u32) -> bool {
    let wanted = seen | bits;
    let is_set = seen == wanted || word.compare_exchange(seen, wanted, Relaxed, Relaxed).is_ok();
    is_set && sys::futex_wait(word, wanted, class)
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

    /// Waits until the lock word has this value, and this thread is asleep.
    fn wait_until_asleep(slots: &ReaderSlots<()>, state: u32, thread: &str) {
        let asleep = || {
            let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
        };
        let start = Instant::now();
        while slots.lock.0.load(SeqCst) != state || !asleep() {
            assert!(start.elapsed() < Duration::from_secs(60), "the lock word is {}", slots.lock.0.load(SeqCst));
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The lock; given back even by a test that fails, so that the others end.
    struct Held<'a>(&'a ReaderSlots<()>);

    fn hold(slots: &ReaderSlots<()>) -> Held<'_> {
        slots.lock();
        Held(slots)
    }

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.unlock();
        }
    }

    /// What sleepers notice of an unlock after which the same thread has the lock again at once.
    fn pass(slots: &ReaderSlots<()>) {
        slots.lock.0.store(LOCKED, SeqCst);
        assert_eq!(sys::futex_wake(&slots.lock.0, WAITING | DUE, 1), 1);
    }

    #[test]
    fn writer_overtaken_for_long_is_next() {
        for _ in 0..10 {
            let slots = ReaderSlots::<()>::new(4, |_| ());
            let (begin, begun) = mpsc::channel();
            let (enter, entered) = mpsc::channel();
            let wait = |name, begin: mpsc::Sender<_>, enter: mpsc::Sender<_>| {
                begin.send(thread_number()).unwrap();
                slots.lock();
                enter.send(name).unwrap();
                slots.unlock();
            };
            thread::scope(|scope| {
                let held = hold(&slots);
                let [passed, _] = ["passed", "other"].map(|name| {
                    let (begin, enter) = (begin.clone(), enter.clone());
                    scope.spawn(move || wait(name, begin, enter));
                    let number = begun.recv().unwrap();
                    wait_until_asleep(&slots, LOCKED | WAITING, &number);
                    number
                });
                // Now the other one is the first to sleep, and the one that was passed has asked.
                thread::sleep(PATIENCE * 2);
                pass(&slots);
                wait_until_asleep(&slots, LOCKED | WAITING | DUE, &passed);
                drop(held);
                let _held = hold(&slots);
                assert_eq!(entered.try_recv(), Ok("passed"));
            });
            assert_eq!(entered.try_recv(), Ok("other"));
            slots.lock();
            slots.unlock();
            assert_eq!(slots.lock.0.load(SeqCst), 0);
        }
    }

    #[test]
    fn lock_kept_for_sleepers_is_free_without_any() {
        // As in a forked child, whose parent had them.
        let slots = ReaderSlots::<()>::new(4, |_| ());
        slots.lock();
        slots.lock.0.fetch_or(DUE | WAITING, SeqCst);
        slots.unlock();
        slots.lock();
        slots.unlock();
        assert!(slots.try_lock());
    }
}
