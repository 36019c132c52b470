//! The gate that makes `fork()` safe: a child never inherits a lock that another thread of its parent held.
//!
//! Every call that takes a lock holds the gate open with [`enter`]; before a `fork()` the C library calls
//! [`prepare`], which shuts the gate and waits until nobody is inside. So at the moment of the fork no lock of this
//! library is held by anybody, and the child can use all of them.
//!
//! Whoever waits for something outside this library (a callback, another process) does it in [`outside`], which leaves
//! the gate for that time; no lock may be held there.
//!
//! Readers that are too fast even for that guard themselves by other means; these are made known with [`stop_around_forks`], and
//! are stopped around the fork once the gate is shut.
//!
//! Each thread counts itself in on one of a few counters on cache lines of their own, so that callers on different
//! cores do not slow each other down.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;

use crate::sys;

const COUNTERS: usize = 16;

#[repr(align(128))]
struct Counter(AtomicU32);

/// How many calls are inside, spread over the threads.
static INSIDE: [Counter; COUNTERS] = [const { Counter(AtomicU32::new(0)) }; COUNTERS];
/// How many threads are in a `fork()` now; the gate is shut while it is not 0.
static FORKING: AtomicU32 = AtomicU32::new(0);
/// How many forks lie between this process and the one that loaded the library.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static NEXT_COUNTER: AtomicUsize = AtomicUsize::new(0);

/// Callers outside the gate. They never wait for anything while others wait for them.
pub(crate) trait Readers: Send + Sync {
    /// Keeps callers out, and waits until all are.
    fn stop(&self);
    /// Lets them in again.
    fn go_on(&self);
    /// The same in the child, where the threads of the parent do not exist, on whatever step they were.
    fn go_on_in_child(&self);
}

static READERS: Mutex<Vec<Arc<dyn Readers>>> = Mutex::new(Vec::new());
/// Set while a thread has the readers stopped: forks take turns, so that a child does not inherit another's stop.
static STOPPING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// How often this thread is inside: calls nest.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// The counter of this thread, plus 1; 0 before the first call.
    static COUNTER: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread has the readers stopped.
    static STOPPED: Cell<bool> = const { Cell::new(false) };
}

// Registered when the library is loaded, before any thread of the program can use it.
sys::run_at_load!(at_load);

extern "C" fn at_load() {
    sys::at_fork(prepare, parent, child);
}

/// Being inside; ends when dropped.
pub(crate) struct Inside(());

/// Waits for a `fork()` under way, then keeps forks out until the returned guard is dropped. Calls may nest.
pub(crate) fn enter() -> Inside {
    DEPTH.with(|depth| {
        if depth.get() == 0 {
            count_in();
        }
        depth.set(depth.get() + 1);
    });
    Inside(())
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.with(|depth| {
            depth.set(depth.get() - 1);
            if depth.get() == 0 {
                counter().fetch_sub(1, SeqCst);
            }
        });
    }
}

/// Runs `body` outside the gate, for what may take long or call back into the library. The caller holds no lock.
pub(crate) fn outside<T>(body: impl FnOnce() -> T) -> T {
    struct Return(u32);
    impl Drop for Return {
        fn drop(&mut self) {
            count_in();
            DEPTH.set(self.0);
        }
    }
    if DEPTH.get() == 0 {
        return body();
    }
    let _return = Return(DEPTH.replace(0));
    counter().fetch_sub(1, SeqCst);
    body()
}

/// Has these readers stopped around every fork from now on.
pub(crate) fn stop_around_forks(readers: Arc<dyn Readers>) {
    let _inside = enter();
    READERS.lock().push(readers);
}

/// Takes back [`stop_around_forks`].
pub(crate) fn forget<R: Readers>(readers: &Arc<R>) {
    let _inside = enter();
    READERS.lock().retain(|other| !std::ptr::addr_eq(Arc::as_ptr(other), Arc::as_ptr(readers)));
}

/// A number that differs between a process and its forked children.
pub(crate) fn generation() -> u32 {
    GENERATION.load(SeqCst)
}

fn counter() -> &'static AtomicU32 {
    COUNTER.with(|mine| {
        if mine.get() == 0 {
            mine.set(NEXT_COUNTER.fetch_add(1, SeqCst) % COUNTERS + 1);
        }
        &INSIDE[mine.get() - 1].0
    })
}

fn count_in() {
    let counter = counter();
    loop {
        counter.fetch_add(1, SeqCst);
        if FORKING.load(SeqCst) == 0 {
            return;
        }
        counter.fetch_sub(1, SeqCst);
        wait_until(|| FORKING.load(SeqCst) == 0);
    }
}

/// Forks and calls are both short: a few turns of giving way nearly always suffice.
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

extern "C" fn prepare() {
    FORKING.fetch_add(1, SeqCst);
    // A thread that forks from inside (out of a signal handler, say) does not wait for itself.
    let own: u32 = (DEPTH.get() > 0).into();
    wait_until(|| INSIDE.iter().map(|counter| counter.0.load(SeqCst)).sum::<u32>() <= own);
    // Whoever forks from inside may hold what others wait for in their forks, so it neither waits for them nor stops
    // readers, and its child may find one that never ends.
    if own == 0 {
        stop_readers();
    }
}

extern "C" fn parent() {
    let_readers_go_on(|readers| readers.go_on());
    FORKING.fetch_sub(1, SeqCst);
}

fn stop_readers() {
    wait_until(|| !STOPPING.swap(true, SeqCst));
    // The gate is shut, so nobody else has the list.
    READERS.lock().iter().for_each(|readers| readers.stop());
    STOPPED.set(true);
}

fn let_readers_go_on(go_on: impl Fn(&dyn Readers)) {
    if STOPPED.replace(false) {
        READERS.lock().iter().for_each(|readers| go_on(&**readers));
        STOPPING.store(false, SeqCst);
    }
}

/// Only the forking thread exists here: what others had counted is void.
extern "C" fn child() {
    for counter in &INSIDE {
        counter.0.store(0, SeqCst);
    }
    if DEPTH.get() > 0 {
        counter().store(1, SeqCst);
    }
    GENERATION.fetch_add(1, SeqCst);
    let_readers_go_on(|readers| readers.go_on_in_child());
    FORKING.store(0, SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_nest_and_leave() {
        let outer = enter();
        let inner = enter();
        assert_eq!(DEPTH.get(), 2);
        outside(|| {
            assert_eq!(DEPTH.get(), 0);
            let _callback = enter();
            assert_eq!(DEPTH.get(), 1);
        });
        assert_eq!(DEPTH.get(), 2);
        drop(inner);
        drop(outer);
        assert_eq!(DEPTH.get(), 0);
    }

    #[test]
    fn a_shut_gate_keeps_callers_out_until_it_opens() {
        std::thread::spawn(|| {
            prepare();
            let caller = std::thread::spawn(|| drop(enter()));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!caller.is_finished());
            parent();
            caller.join().unwrap();
        })
        .join()
        .unwrap();
    }
}
