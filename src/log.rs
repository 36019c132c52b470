//! Logging. The library passes its log messages to a sink of the program and prints nothing itself.
//!
//! A message names providers, files and keys, but never contains a value. The sink is called on the thread whose call
//! is being logged, with no lock held. It may call the library; messages that the library would log meanwhile are
//! dropped.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::fork;
use crate::fork_safe::RwLock;

/// The level of a message. The numbers are those of `ST_LOG_…` in the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// An operation failed.
    Error = 1,
    /// Something is wrong but was worked around: a provider was skipped, a file is readable by other users.
    Warn = 2,
    /// Something changed that later calls see: a file was read again.
    Info = 3,
    /// Which provider a value came from.
    Debug = 4,
    /// Everything else.
    Trace = 5,
}

type Sink = Arc<dyn Fn(Level, &str, &str) + Send + Sync>;

static MAX_LEVEL: AtomicI32 = AtomicI32::new(0);
static SINK: RwLock<Option<Sink>> = RwLock::new(None);

thread_local! {
    static IN_SINK: Cell<bool> = const { Cell::new(false) };
}

/// Sets the sink, which from now on receives the messages up to `max_level`: level, part of the library, and text. The
/// earlier sink is dropped when no call of it is under way.
pub fn set(max_level: Level, sink: impl Fn(Level, &str, &str) + Send + Sync + 'static) {
    replace(max_level as i32, Some(Arc::new(sink)));
}

/// Stops logging and drops the sink.
pub fn clear() {
    replace(0, None);
}

fn replace(max_level: i32, sink: Option<Sink>) {
    let _guard = fork::protect();
    MAX_LEVEL.store(max_level, Ordering::Relaxed);
    let before = std::mem::replace(&mut *SINK.write(), sink);
    fork::unprotected(|| drop(before));
}

/// Whether messages of this level are logged.
pub(crate) fn enabled(level: Level) -> bool {
    level as i32 <= MAX_LEVEL.load(Ordering::Relaxed)
}

/// Passes a message to the sink. The caller holds no lock.
pub(crate) fn emit(level: Level, target: &str, message: impl FnOnce() -> String) {
    if !enabled(level) || IN_SINK.get() {
        return;
    }
    let _guard = fork::protect();
    let Some(sink) = SINK.read().clone() else { return };
    let message = message();
    fork::unprotected(|| {
        IN_SINK.set(true);
        // A panic of the sink must not fail the call, nor be printed by the library.
        let _ = catch_unwind(AssertUnwindSafe(|| sink(level, target, &message)));
        IN_SINK.set(false);
        drop(sink);
    });
}
