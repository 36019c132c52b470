//! Log messages of threads that hold a connection. They are delivered once the thread holds none: the program's log
//! function may use the store, or fork.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;

use crate::log::{self, Level};

thread_local! {
    /// How many connections this thread holds.
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MESSAGES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Logs a message as soon as this thread holds no connection.
pub(super) fn log_later(level: Level, message: String) {
    if log::enabled(level) {
        // While the thread is ending, the message is dropped.
        let _ = MESSAGES.try_with(|messages| messages.borrow_mut().push((level, message)));
        deliver();
    }
}

fn deliver() {
    if HELD.get() > 0 {
        return;
    }
    for (level, message) in MESSAGES.try_with(RefCell::take).unwrap_or_default() {
        log::emit(level, "store", || message);
    }
}

/// Delays the log messages of this thread until it is dropped. It stays on its thread.
pub(super) struct LogDeferral(PhantomData<*const ()>);

impl LogDeferral {
    pub(super) fn begin() -> LogDeferral {
        HELD.set(HELD.get() + 1);
        LogDeferral(PhantomData)
    }
}

impl Drop for LogDeferral {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
        deliver();
    }
}
