//! Which thread this is, and which of a cache's flags it uses.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

static NEXT: AtomicU32 = AtomicU32::new(1);

thread_local! {
    static ME: Cell<Me> = const { Cell::new(Me { token: 0, slot: 0 }) };
}

/// The calling thread.
#[derive(Clone, Copy)]
pub(super) struct Me {
    /// Not 0, and different for each thread that lives.
    pub(super) token: u32,
    /// The flag that it uses, modulo their number. All caches have as many.
    pub(super) slot: u32,
}

#[inline]
pub(super) fn me() -> Me {
    let me = ME.get();
    if me.token == 0 { introduce() } else { me }
}

#[cold]
fn introduce() -> Me {
    let token = NEXT.fetch_add(1, Relaxed).max(1);
    let me = Me { token, slot: token };
    ME.set(me);
    me
}

/// Has this thread use another flag from now on.
pub(super) fn use_slot(slot: u32) {
    ME.set(Me { slot, ..me() });
}
