//! Which of a cache's flags a thread uses.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

static NEXT: AtomicU32 = AtomicU32::new(0);

const NONE: u32 = u32::MAX;

thread_local! {
    static SLOT: Cell<u32> = const { Cell::new(NONE) };
}

/// The number of the calling thread's flag, modulo the number of flags. All caches have as many.
#[inline]
pub(super) fn slot() -> u32 {
    let slot = SLOT.get();
    if slot == NONE { first_slot() } else { slot }
}

#[cold]
fn first_slot() -> u32 {
    let slot = NEXT.fetch_add(1, Relaxed) % 1024;
    SLOT.set(slot);
    slot
}

/// Has this thread use another flag from now on.
pub(super) fn use_slot(slot: u32) {
    SLOT.set(slot);
}
