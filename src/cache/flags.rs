//! A door that many readers pass without meeting each other, and that one at a time can shut.
//!
//! Each reader raises a flag of its own, then looks whether the door is open. Who shuts the door does that first, then
//! waits until no flag is up. Both steps are sequentially consistent, so of a reader and a shutter at the same moment
//! at least one sees the other: never is a reader inside while somebody who has shut the door believes it empty.
//!
//! Nothing here is unsafe; what the protocol protects is in `shared.rs`. The model checker in `tests/model` runs this
//! very file.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, fence};
#[cfg(not(loom))]
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};

/// On lines of its own (processors fetch them in pairs), so that raising it disturbs nobody.
#[repr(align(128))]
struct Flag(AtomicU32);

/// The flags and the door.
pub(crate) struct Flags {
    /// How many have shut it; it is open at 0.
    shut: Flag,
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
        Flags { shut: flag(), flags: (0..count).map(|_| flag()).collect() }
    }

    pub(crate) fn count(&self) -> usize {
        self.flags.len()
    }

    /// Goes in under the flag with this number. `thread` is not 0 and different for each thread.
    #[inline]
    pub(crate) fn enter(&self, number: usize, thread: u32) -> Result<(), Refused> {
        let flag = &self.flags[number].0;
        if flag.compare_exchange(0, thread, SeqCst, Acquire).is_err() {
            return Err(Refused::Taken);
        }
        // The checker takes sequentially consistent accesses for weaker ones and knows the fence alone.
        #[cfg(loom)]
        fence(SeqCst);
        if self.shut.0.load(SeqCst) == 0 {
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

    /// Shuts the door and waits until all are out, except for `thread` itself.
    pub(crate) fn shut(&self, thread: u32) {
        self.shut.0.fetch_add(1, SeqCst);
        #[cfg(loom)]
        fence(SeqCst);
        for flag in &self.flags {
            wait_until(|| {
                let inside = flag.0.load(SeqCst);
                inside == 0 || inside == thread
            });
        }
    }

    /// Takes back one [`Flags::shut`].
    pub(crate) fn open(&self) {
        self.shut.0.fetch_sub(1, Release);
    }
}

/// Readers are out within some nanoseconds, unless one was interrupted: then its processor is the best help.
fn wait_until(done: impl Fn() -> bool) {
    #[cfg(not(loom))]
    for _ in 0..100 {
        if done() {
            return;
        }
        std::hint::spin_loop();
    }
    while !done() {
        #[cfg(loom)]
        loom::thread::yield_now();
        #[cfg(not(loom))]
        std::thread::yield_now();
    }
}
