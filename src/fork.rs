//! Makes `fork()` safe: a child never inherits a lock that another thread of its parent held.
//!
//! Every call that takes a lock is protected, which begins with [`protect`]. Before a `fork()` the C library calls
//! [`prepare`], which blocks new calls and waits until no thread is protected. So at the moment of the fork no other
//! thread holds a lock of this library, and the child can use all of them.
//!
//! A thread that waits for something outside this library (a callback, another process) does so in [`unprotected`],
//! which allows forks during that time. No lock may be held there.
//!
//! Each thread marks its state in a slot of its own, on a cache line of its own. So callers do not slow each other
//! down, and protecting a call takes one atomic exchange. A thread returns its slot when it ends.
//!
//! The slot also says whether the thread is reading a [`Published`](crate::fork_safe::Published) value: see [`read`].
//!
//! Readers with a lock of their own are registered with [`register_readers`]. They are paused around each fork, when no
//! thread is still protected.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, fence};
use std::time::Duration;

use once_cell::race::OnceBox;
use parking_lot::Mutex;

use crate::clock::Backoff;
use crate::sys;

/// States of a thread, in the lowest bits of its slot. The bits above count how often it became idle.
const IDLE: u64 = 0;
const PROTECTED: u64 = 1;
const READING: u64 = 2;
const STATE: u64 = 3;
const COUNT: u64 = 4;

/// The number of slots that are allocated at once. They are never freed.
const SLOTS: usize = 64;

#[repr(align(128))]
struct ThreadSlot {
    /// Written by its thread alone.
    word: AtomicU64,
    is_taken: AtomicBool,
    /// Its thread is ending and returns the slot after the call.
    is_for_one_call: AtomicBool,
}

struct Slots {
    slots: [ThreadSlot; SLOTS],
    more: OnceBox<Slots>,
}

static ALL: Slots = Slots::new();
/// The number of threads that are in a `fork()` now. Calls wait while it is not 0.
static FORKING: AtomicU32 = AtomicU32::new(0);
/// The number of forks between the process that loaded the library and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Readers that do not use [`protect`]. They never wait for anything while other threads wait for them.
pub(crate) trait PauseReaders: Send + Sync {
    /// Blocks new readers, and waits until no thread is reading.
    fn pause(&self);
    /// Admits readers again.
    fn resume(&self);
    /// As `resume`, in the child, where the threads of the parent do not exist, whatever they were doing.
    fn resume_in_child(&self);
}

static READERS: Mutex<Vec<Arc<dyn PauseReaders>>> = Mutex::new(Vec::new());
/// Set while a thread has paused the readers. Forks take turns, so that a child does not inherit the pause of another.
static PAUSING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The slot of this thread; `None` before its first call, and between calls when the thread is ending.
    static SLOT: Cell<Option<&'static ThreadSlot>> = const { Cell::new(None) };
    static AT_EXIT: ReturnSlot = const { ReturnSlot };
    /// Whether this thread has paused the readers.
    static PAUSED: Cell<bool> = const { Cell::new(false) };
    /// The locks that this thread holds. Counted in debug builds.
    static LOCKS: Cell<usize> = const { Cell::new(0) };
}

#[cfg(test)]
thread_local! {
    /// Whether this thread may hold locks only while it is protected. Off by default: unit tests call functions whose
    /// callers protect them.
    pub(crate) static IS_STRICT: Cell<bool> = const { Cell::new(false) };
}

// Registered when the library is loaded, before any thread of the program can use it.
sys::run_at_load!(at_load);

extern "C" fn at_load() {
    sys::at_fork(prepare, parent, child);
}

/// Protects its thread until it is dropped. Does nothing if the thread was protected already.
pub(crate) struct ForkGuard(Option<&'static ThreadSlot>);

/// Waits for a `fork()` under way, then blocks forks until the guard is dropped. Calls may nest.
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
            slot.return_if_for_one_call();
            if is_strict() {
                check_no_lock();
            }
        }
    }
}

/// Lets its thread read what is [published](crate::fork_safe::Published), and protects it, until dropped. A thread that
/// replaces what is published waits for all readers, so reading must be short, and must not wait or replace anything.
pub(crate) struct PublishedGuard(&'static ThreadSlot, PhantomData<*const ()>);

/// The number of different results of [`PublishedGuard::slot`].
pub(crate) const SLOT_NUMBERS: usize = 2 * SLOTS;

/// The number of a slot: below [`SLOTS`], that of one of the first slots, which one thread uses at a time; other slots
/// share the rest.
#[derive(Clone, Copy)]
pub(crate) struct SlotNumber(usize);

impl SlotNumber {
    /// It is below [`SLOT_NUMBERS`].
    #[inline]
    pub(crate) fn number(self) -> usize {
        self.0 % SLOT_NUMBERS
    }

    /// Whether no other thread has this number now.
    #[inline]
    pub(crate) fn is_exclusive(self) -> bool {
        self.0 < SLOTS
    }
}

impl PublishedGuard {
    /// The slot of this thread.
    #[inline]
    pub(crate) fn slot(&self) -> SlotNumber {
        let (own, first) = (std::ptr::from_ref(self.0).addr(), ALL.slots.as_ptr().addr());
        let distance = own.wrapping_sub(first) / size_of::<ThreadSlot>();
        SlotNumber(if distance < SLOTS { distance } else { SLOTS + distance % SLOTS })
    }
}

/// Begins to read. Returns `None` if this thread is protected or reading already.
#[inline]
pub(crate) fn read() -> Option<PublishedGuard> {
    let slot = own_slot();
    if slot.state() != IDLE {
        return None;
    }
    slot.enter_state(READING);
    Some(PublishedGuard(slot, PhantomData))
}

impl Drop for PublishedGuard {
    #[inline]
    fn drop(&mut self) {
        self.0.leave();
        self.0.return_if_for_one_call();
    }
}

/// Waits until each thread that is reading now has finished. The caller is not reading.
pub(crate) fn wait_for_readers() {
    // Orders the publication before the check of the slots, as the exchange in `enter_state` orders the state of a
    // reader before its read of what is published: at least one of the two threads sees the other.
    fence(SeqCst);
    debug_assert!(SLOT.get().is_none_or(|slot| slot.state() != READING), "it would wait for itself");
    for slot in ALL.iter() {
        let word = slot.word.load(SeqCst);
        if word & STATE == READING {
            wait_until(|| slot.word.load(Acquire) != word);
        }
    }
}

/// Runs `body` unprotected, because it may take long or call into the library. The caller holds no lock.
pub(crate) fn unprotected<T>(body: impl FnOnce() -> T) -> T {
    struct Reenter(&'static ThreadSlot, bool);
    impl Drop for Reenter {
        fn drop(&mut self) {
            self.0.is_for_one_call.store(self.1, Relaxed);
            self.0.enter_state(PROTECTED);
        }
    }
    check_no_lock();
    let Some(slot) = SLOT.get().filter(|slot| slot.state() != IDLE) else { return body() };
    // A nested call in `body` must not return the slot.
    let _reenter = Reenter(slot, slot.is_for_one_call.swap(false, Relaxed));
    slot.leave();
    body()
}

/// Checks that this thread may take a lock, and counts it. Called by the locks of [`fork_safe`](crate::fork_safe). That
/// of a cache needs no protection, because each fork takes it: see [`PauseReaders`].
#[cfg(debug_assertions)]
pub(crate) fn lock_taken() {
    assert!(is_protected() || !is_strict(), "a thread that is not protected from forks takes a lock");
    LOCKS.set(LOCKS.get() + 1);
}

/// Reverts [`lock_taken`].
#[cfg(debug_assertions)]
pub(crate) fn lock_released() {
    LOCKS.set(LOCKS.get() - 1);
}

#[inline]
fn is_strict() -> bool {
    #[cfg(test)]
    return IS_STRICT.get();
    #[cfg(not(test))]
    true
}

/// Checks in debug builds that this thread holds no lock, because its protection ends.
#[inline]
fn check_no_lock() {
    debug_assert!(LOCKS.get() == 0 || std::thread::panicking(), "the protection from forks ends with a lock held");
}

/// Pauses these readers around every fork from now on.
pub(crate) fn register_readers(readers: Arc<dyn PauseReaders>) {
    let _guard = protect();
    READERS.lock().push(readers);
}

/// Reverts [`register_readers`].
pub(crate) fn unregister_readers<R: PauseReaders>(readers: &Arc<R>) {
    let _guard = protect();
    READERS.lock().retain(|other| !std::ptr::addr_eq(Arc::as_ptr(other), Arc::as_ptr(readers)));
}

/// Returns a number that differs between a process and its forked children.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(SeqCst)
}

impl ThreadSlot {
    const fn new() -> ThreadSlot {
        ThreadSlot {
            word: AtomicU64::new(IDLE),
            is_taken: AtomicBool::new(false),
            is_for_one_call: AtomicBool::new(false),
        }
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
        self.word.store((word & !STATE).wrapping_add(COUNT), Release);
    }

    #[inline]
    fn return_if_for_one_call(&self) {
        if self.is_for_one_call.load(Relaxed) {
            self.return_slot();
        }
    }

    #[cold]
    fn return_slot(&self) {
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
        Slots { slots: [const { ThreadSlot::new() }; SLOTS], more: OnceBox::new() }
    }

    fn iter(&self) -> impl Iterator<Item = &ThreadSlot> {
        std::iter::successors(Some(self), |slots| slots.more.get()).flat_map(|slots| &slots.slots)
    }
}

#[inline]
fn own_slot() -> &'static ThreadSlot {
    match SLOT.get() {
        Some(slot) => slot,
        None => take_slot(),
    }
}

#[cold]
fn take_slot() -> &'static ThreadSlot {
    let is_free = |slot: &&ThreadSlot| !slot.is_taken.load(Relaxed) && !slot.is_taken.swap(true, Acquire);
    let mut slots = &ALL;
    let slot = loop {
        if let Some(slot) = slots.slots.iter().find(is_free) {
            break slot;
        }
        slots = slots.more.get_or_init(|| Box::new(Slots::new()));
    };
    // If a fork does not see these slots, this thread sees the fork before it is protected.
    fence(SeqCst);
    SLOT.set(Some(slot));
    // This thread is ending, and no more destructors run for it.
    if AT_EXIT.try_with(|_| ()).is_err() {
        slot.is_for_one_call.store(true, Relaxed);
    }
    slot
}

/// Returns the slot when its thread ends.
struct ReturnSlot;

impl Drop for ReturnSlot {
    fn drop(&mut self) {
        if let Some(slot) = SLOT.get() {
            slot.return_slot();
        }
    }
}

/// Forks, calls and reads are short: yielding a few times nearly always suffices.
fn wait_until(done: impl Fn() -> bool) {
    let pause = Duration::from_micros(100);
    let mut backoff = Backoff::new(pause, pause).after_yields(64);
    while !done() {
        backoff.wait(Duration::MAX);
    }
}

/// Returns the slots of other threads.
fn others() -> impl Iterator<Item = &'static ThreadSlot> {
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
    // A thread that forks while it is protected (from a signal handler, for example) does not wait for itself. It may
    // hold a lock that other forking threads wait for, so it neither waits for them nor pauses readers, and its child
    // may inherit a reader that never finishes.
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
    // No thread is protected, so no other thread holds the lock of the list.
    READERS.lock().iter().for_each(|readers| readers.pause());
    PAUSED.set(true);
}

fn resume_readers(resume: impl Fn(&dyn PauseReaders)) {
    if PAUSED.replace(false) {
        READERS.lock().iter().for_each(|readers| resume(&**readers));
        PAUSING.store(false, SeqCst);
    }
}

/// Only the forking thread exists in the child. The other threads do not return their slots.
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
