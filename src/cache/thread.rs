//! The reader slot of each thread.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::sys::thread_words::{self, Word};

static NEXT: AtomicU32 = AtomicU32::new(0);

const ONE_ROUND: usize = 1024;

/// The number of the calling thread's slot, modulo the number of slots, which is a power of two below [`ONE_ROUND`].
/// All caches have as many.
#[inline(always)]
pub(super) fn slot() -> usize {
    // The word is 0 before the first use.
    match thread_words::get(Word::CacheSlot) {
        0 => first_slot(),
        word => word as usize,
    }
}

#[cold]
fn first_slot() -> usize {
    let slot = NEXT.fetch_add(1, Relaxed) as usize % ONE_ROUND;
    use_slot(slot);
    slot
}

/// Makes this thread use another slot from now on.
pub(super) fn use_slot(slot: usize) {
    thread_words::set(Word::CacheSlot, (slot + ONE_ROUND) as u64);
}
