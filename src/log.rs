//! Messages about what the library does, for whoever asks for them. It prints nothing itself.
//!
//! A message names providers, files and keys, never a value. The sink is called on the thread that made the call, with no
//! lock held, and may call the library; what the library would log during that is dropped.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use parking_lot::RwLock;

use crate::fork;

/// How important a message is. The numbers are those of `ST_LOG_…` in the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// Something that was asked for could not be done.
    Error = 1,
    /// Something works, but not as it should: a provider was skipped, a file is readable by others.
    Warn = 2,
    /// Something that changes what later calls see: a file was read again.
    Info = 3,
    /// Where a value was looked for.
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

/// Sends messages up to `max_level` to `sink` (level, part of the library, message) from now on, instead of to the one
/// before, which is dropped when no call to it is under way.
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

/// Whether anybody wants messages of this level.
pub(crate) fn enabled(level: Level) -> bool {
    level as i32 <= MAX_LEVEL.load(Ordering::Relaxed)
}

/// Hands one message to the sink. The caller holds no lock.
pub(crate) fn emit(level: Level, target: &str, message: impl FnOnce() -> String) {
    if !enabled(level) || IN_SINK.get() {
        return;
    }
    let _guard = fork::protect();
    let Some(sink) = SINK.read().clone() else { return };
    let message = message();
    fork::unprotected(|| {
        IN_SINK.set(true);
        // A sink that panics must not take the call down with it, nor may its message be printed by us.
        let _ = catch_unwind(AssertUnwindSafe(|| sink(level, target, &message)));
        IN_SINK.set(false);
        drop(sink);
    });
}
