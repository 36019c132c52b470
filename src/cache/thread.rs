//! The reader slot of each thread.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::sys::thread_word;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The number of the calling thread's slot, modulo the number of slots. All caches have as many.
#[inline(always)]
pub(super) fn slot() -> u32 {
    // The word is one more than the number; 0 before the first use.
    match thread_word::get() {
        0 => first_slot(),
        word => word - 1,
    }
}

#[cold]
fn first_slot() -> u32 {
    let slot = NEXT.fetch_add(1, Relaxed) % 1024;
    use_slot(slot);
    slot
}

/// Makes this thread use another slot from now on.
pub(super) fn use_slot(slot: u32) {
    thread_word::set(slot + 1);
}
