//! Deadlock detection: which thread waits for which load, across all caches of the process.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::ThreadId;

use crate::fork;
use crate::fork_safe::Mutex;

/// The part of a load that does not depend on the type of its value.
pub(super) struct Work {
    /// The thread that runs a callback for it; `None` where the owner may move between threads.
    pub(super) owner: Option<ThreadId>,
    pub(super) ended: AtomicBool,
}

/// The load that each waiting thread waits for, in the process with this generation.
#[derive(Default)]
struct Waits {
    generation: u32,
    by_thread: HashMap<ThreadId, Arc<Work>>,
}

static WAITS: Mutex<Option<Waits>> = Mutex::new(None);

/// Registers the calling thread as waiting until it is dropped.
pub(super) struct Waiting(ThreadId);

/// Registers that the calling thread waits for a load. `None` if that load waits, across any number of threads, for the
/// calling thread. The caller holds no lock.
pub(super) fn begin(work: &Arc<Work>) -> Option<Waiting> {
    let me = std::thread::current().id();
    let _guard = fork::protect();
    let mut waits = WAITS.lock();
    let waits = waits.get_or_insert_default();
    if waits.generation != fork::generation() {
        // The threads of the parent do not exist here.
        *waits = Waits { generation: fork::generation(), by_thread: HashMap::new() };
    }
    let mut next = Some(work);
    // The chain is finite: no thread was registered that would have closed a cycle. A thread whose load has ended no
    // longer waits, even if it has not been scheduled since.
    while let Some(owner) = next.filter(|work| !work.ended.load(SeqCst)).and_then(|work| work.owner) {
        if owner == me {
            return None;
        }
        next = waits.by_thread.get(&owner);
    }
    waits.by_thread.insert(me, work.clone());
    Some(Waiting(me))
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _guard = fork::protect();
        if let Some(waits) = WAITS.lock().as_mut() {
            waits.by_thread.remove(&self.0);
        }
    }
}
