//! The reader slot of each thread.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::reader_slots::MOST_SLOTS;
use crate::sys::thread_words::{self, Word};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Returns the number of the calling thread's slot, which is below `count`. All caches have as many slots.
#[inline(always)]
pub(super) fn slot(count: usize) -> usize {
    // The word is 0 before the first use.
    match thread_words::get(Word::CacheSlot) {
        0 => first_slot(count),
        word => word as usize % MOST_SLOTS,
    }
}

#[cold]
fn first_slot(count: usize) -> usize {
    let slot = NEXT.fetch_add(1, Relaxed) as usize % count;
    use_slot(slot);
    slot
}

/// Makes this thread use another slot from now on.
pub(super) fn use_slot(slot: usize) {
    thread_words::set(Word::CacheSlot, (slot + MOST_SLOTS) as u64);
}
