//! Makes `fork()` safe: a child never inherits a lock that another thread of its parent held.
//!
//! Every call that takes a lock is inside, which begins with [`enter`]; before a `fork()` the C library calls
//! [`prepare`], which keeps new calls out and waits until nobody is inside. So at the moment of the fork no lock of this
//! library is held by another thread, and the child can use all of them.
//!
//! A thread that waits for something outside this library (a callback, another process) does it in [`outside`], which
//! leaves for that time; no lock may be held there.
//!
//! Each thread has a slot of its own on a cache line of its own, where it writes whether it is inside. So callers do not
//! slow each other down, and entering takes one atomic exchange. A slot goes back when its thread ends.
//!
//! The slot also says whether the thread is reading what [`Published`](crate::sys::Published) holds: see [`read`].
//!
//! PauseReaders that guard themselves by other means are made known with [`register_readers`], and are stopped around the
//! fork once nobody is inside.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, fence};
use std::time::Duration;

use once_cell::race::OnceBox;
use parking_lot::Mutex;

use crate::sys;

/// States of a thread, in the lowest bits of its slot. The bits above count how often it left.
const IDLE: u64 = 0;
const PROTECTED: u64 = 1;
const READING: u64 = 2;
const STATE: u64 = 3;
const LEFT: u64 = 4;

/// How many slots are made at once. No slot is ever freed.
const SLOTS: usize = 64;

#[repr(align(128))]
struct Slot {
    /// Written by its thread alone.
    word: AtomicU64,
    is_taken: AtomicBool,
    /// Its thread is ending, and leaves the slot with the call.
    is_for_one_call: AtomicBool,
}

struct Slots {
    slots: [Slot; SLOTS],
    more: OnceBox<Slots>,
}

static ALL: Slots = Slots::new();
/// How many threads are in a `fork()` now; calls wait while it is not 0.
static FORKING: AtomicU32 = AtomicU32::new(0);
/// How many forks lie between this process and the one that loaded the library.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Callers that are not counted as inside. They never wait for anything while others wait for them.
pub(crate) trait PauseReaders: Send + Sync {
    /// Keeps callers out, and waits until all are.
    fn pause(&self);
    /// Lets them in again.
    fn resume(&self);
    /// The same in the child, where the threads of the parent do not exist, on whatever step they were.
    fn resume_in_child(&self);
}

static READERS: Mutex<Vec<Arc<dyn PauseReaders>>> = Mutex::new(Vec::new());
/// Set while a thread has the readers stopped: forks take turns, so that a child does not inherit another's stop.
static PAUSING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The slot of this thread; `None` before its first call, and between calls once the thread is ending.
    static SLOT: Cell<Option<&'static Slot>> = const { Cell::new(None) };
    static AT_EXIT: GiveBack = const { GiveBack };
    /// Whether this thread has the readers stopped.
    static PAUSED: Cell<bool> = const { Cell::new(false) };
}

// Registered when the library is loaded, before any thread of the program can use it.
sys::run_at_load!(at_load);

extern "C" fn at_load() {
    sys::at_fork(prepare, parent, child);
}

/// Being inside; ends when dropped. Nothing where the caller was inside already.
pub(crate) struct ForkGuard(Option<&'static Slot>);

/// Waits for a `fork()` under way, then keeps forks out until the returned guard is dropped. Calls may nest.
#[inline]
pub(crate) fn protect() -> ForkGuard {
    let slot = own_slot();
    match slot.state() {
        IDLE => {
            slot.enter_state(PROTECTED);
            ForkGuard(Some(slot))
        }
        _ => ForkGuard(None),
    }
}

impl Drop for ForkGuard {
    #[inline]
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.leave();
            slot.give_back_if_for_one_call();
        }
    }
}

/// ReadGuard what is [published](crate::sys::Published), and inside; ends when dropped. Who replaces it waits for that: it
/// must be short, wait for nothing and replace nothing.
pub(crate) struct ReadGuard(&'static Slot, PhantomData<*const ()>);

/// Begins to read; `None` if this thread is inside already.
#[inline]
pub(crate) fn read() -> Option<ReadGuard> {
    let slot = own_slot();
    if slot.state() != IDLE {
        return None;
    }
    slot.enter_state(READING);
    Some(ReadGuard(slot, PhantomData))
}

impl Drop for ReadGuard {
    #[inline]
    fn drop(&mut self) {
        self.0.leave();
        self.0.give_back_if_for_one_call();
    }
}

/// Waits until each thread that reads now has ended that once. The caller is not reading.
pub(crate) fn wait_for_readers() {
    // Orders what the caller published before the look at the slots, as the exchange in `enter_state` orders a reader's
    // state before its look at what is published: of the two at least one sees the other.
    fence(SeqCst);
    debug_assert!(SLOT.get().is_none_or(|slot| slot.state() != READING), "it would wait for itself");
    for slot in ALL.iter() {
        let word = slot.word.load(SeqCst);
        if word & STATE == READING {
            wait_until(|| slot.word.load(Acquire) != word);
        }
    }
}

/// Runs `body` outside, for what may take long or call back into the library. The caller holds no lock.
pub(crate) fn unprotected<T>(body: impl FnOnce() -> T) -> T {
    struct Return(&'static Slot, bool);
    impl Drop for Return {
        fn drop(&mut self) {
            self.0.is_for_one_call.store(self.1, Relaxed);
            self.0.enter_state(PROTECTED);
        }
    }
    let Some(slot) = SLOT.get().filter(|slot| slot.state() != IDLE) else { return body() };
    // A call from within `body` must not give the slot back.
    let _return = Return(slot, slot.is_for_one_call.swap(false, Relaxed));
    slot.leave();
    body()
}

/// Has these readers stopped around every fork from now on.
pub(crate) fn register_readers(readers: Arc<dyn PauseReaders>) {
    let _guard = protect();
    READERS.lock().push(readers);
}

/// Takes back [`register_readers`].
pub(crate) fn unregister_readers<R: PauseReaders>(readers: &Arc<R>) {
    let _guard = protect();
    READERS.lock().retain(|other| !std::ptr::addr_eq(Arc::as_ptr(other), Arc::as_ptr(readers)));
}

/// A number that differs between a process and its forked children.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(SeqCst)
}

impl Slot {
    const fn new() -> Slot {
        Slot { word: AtomicU64::new(IDLE), is_taken: AtomicBool::new(false), is_for_one_call: AtomicBool::new(false) }
    }

    #[inline]
    fn state(&self) -> u64 {
        self.word.load(Relaxed) & STATE
    }

    #[inline]
    fn enter_state(&self, state: u64) {
        let word = self.word.load(Relaxed);
        self.word.swap(word | state, SeqCst);
        if FORKING.load(SeqCst) != 0 {
            self.enter_after_fork(state);
        }
    }

    #[cold]
    fn enter_after_fork(&self, state: u64) {
        while FORKING.load(SeqCst) != 0 {
            self.leave();
            wait_until(|| FORKING.load(SeqCst) == 0);
            self.word.fetch_or(state, SeqCst);
        }
    }

    #[inline]
    fn leave(&self) {
        let word = self.word.load(Relaxed);
        self.word.store((word & !STATE).wrapping_add(LEFT), Release);
    }

    #[inline]
    fn give_back_if_for_one_call(&self) {
        if self.is_for_one_call.load(Relaxed) {
            self.give_back();
        }
    }

    #[cold]
    fn give_back(&self) {
        SLOT.set(None);
        self.is_for_one_call.store(false, Relaxed);
        if self.state() != IDLE {
            self.leave();
        }
        self.is_taken.store(false, Release);
    }
}

impl Slots {
    const fn new() -> Slots {
        Slots { slots: [const { Slot::new() }; SLOTS], more: OnceBox::new() }
    }

    fn iter(&self) -> impl Iterator<Item = &Slot> {
        std::iter::successors(Some(self), |slots| slots.more.get()).flat_map(|slots| &slots.slots)
    }
}

#[inline]
fn own_slot() -> &'static Slot {
    match SLOT.get() {
        Some(slot) => slot,
        None => take_slot(),
    }
}

#[cold]
fn take_slot() -> &'static Slot {
    let is_free = |slot: &&Slot| !slot.is_taken.load(Relaxed) && !slot.is_taken.swap(true, Acquire);
    let mut slots = &ALL;
    let slot = loop {
        if let Some(slot) = slots.slots.iter().find(is_free) {
            break slot;
        }
        slots = slots.more.get_or_init(|| Box::new(Slots::new()));
    };
    // A fork that did not see these slots is seen by the thread, before it is inside.
    fence(SeqCst);
    SLOT.set(Some(slot));
    // This thread is ending, and nothing more is run at its end.
    if AT_EXIT.try_with(|_| ()).is_err() {
        slot.is_for_one_call.store(true, Relaxed);
    }
    slot
}

/// Gives the slot back when its thread ends.
struct GiveBack;

impl Drop for GiveBack {
    fn drop(&mut self) {
        if let Some(slot) = SLOT.get() {
            slot.give_back();
        }
    }
}

/// Forks, calls and reading are all short: a few turns of giving way nearly always suffice.
fn wait_until(done: impl Fn() -> bool) {
    for _ in 0..64 {
        if done() {
            return;
        }
        std::thread::yield_now();
    }
    while !done() {
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// The slots of other threads.
fn others() -> impl Iterator<Item = &'static Slot> {
    let own = SLOT.get().map(std::ptr::from_ref);
    ALL.iter().filter(move |slot| own != Some(std::ptr::from_ref(*slot)))
}

fn is_protected() -> bool {
    SLOT.get().is_some_and(|slot| slot.state() != IDLE)
}

extern "C" fn prepare() {
    FORKING.fetch_add(1, SeqCst);
    fence(SeqCst);
    for slot in others() {
        wait_until(|| slot.word.load(SeqCst) & STATE == IDLE);
    }
    // A thread that forks from inside (out of a signal handler, say) does not wait for itself. It may hold what others
    // wait for in their forks, so it neither waits for them nor stops readers, and its child may find one that never
    // ends.
    if !is_protected() {
        pause_readers();
    }
}

extern "C" fn parent() {
    resume_readers(|readers| readers.resume());
    FORKING.fetch_sub(1, SeqCst);
}

fn pause_readers() {
    wait_until(|| !PAUSING.swap(true, SeqCst));
    // Nobody is inside, so nobody else has the list.
    READERS.lock().iter().for_each(|readers| readers.pause());
    PAUSED.set(true);
}

fn resume_readers(resume: impl Fn(&dyn PauseReaders)) {
    if PAUSED.replace(false) {
        READERS.lock().iter().for_each(|readers| resume(&**readers));
        PAUSING.store(false, SeqCst);
    }
}

/// Only the forking thread exists here: the others have left, and do not come back for their slots.
extern "C" fn child() {
    for slot in others() {
        slot.word.store(IDLE, SeqCst);
        slot.is_for_one_call.store(false, SeqCst);
        slot.is_taken.store(false, SeqCst);
    }
    GENERATION.fetch_add(1, SeqCst);
    resume_readers(|readers| readers.resume_in_child());
    FORKING.store(0, SeqCst);
}

#[cfg(test)]
mod tests;
