//! A freed block that each thread keeps for its next short value.
//!
//! A program that takes a short value, uses it and frees it gets the same block each time, without the allocator. The
//! block is freed when the thread ends.

use std::alloc::{Layout, dealloc};
use std::ptr::{self, NonNull};

use crate::sys::thread_words::{self, Word};

/// States of the thread's word. Any other value is the address of a block.
const UNUSED: u64 = 0;
const EMPTY: u64 = 1;
/// The thread is ending.
const CLOSED: u64 = 2;

/// The layout of a block: up to 71 bytes, a header of 16 bytes and a NUL.
pub(super) const LAYOUT: Layout = Layout::new::<[u64; 11]>();

thread_local! {
    static AT_EXIT: FreeSpare = const { FreeSpare };
}

/// Returns the block of this thread, if there is one. It was allocated with [`LAYOUT`].
#[inline(always)]
pub(super) fn take() -> Option<NonNull<u8>> {
    let word = thread_words::get(Word::SpareBlock);
    if word <= CLOSED {
        return None;
    }
    thread_words::set(Word::SpareBlock, EMPTY);
    NonNull::new(ptr::with_exposed_provenance_mut(word as usize))
}

/// Keeps a wiped block for this thread. Returns `false` if it has one already; then the caller frees the block.
///
/// # Safety
/// The block was allocated with [`LAYOUT`] and is no longer used.
#[inline(always)]
pub(super) unsafe fn put(block: NonNull<u8>) -> bool {
    if thread_words::get(Word::SpareBlock) != EMPTY && !is_first() {
        return false;
    }
    thread_words::set(Word::SpareBlock, block.as_ptr().expose_provenance() as u64);
    true
}

/// Whether this is the first block of the thread, which it frees when it ends.
#[cold]
fn is_first() -> bool {
    thread_words::get(Word::SpareBlock) == UNUSED && AT_EXIT.try_with(|_| ()).is_ok()
}

struct FreeSpare;

impl Drop for FreeSpare {
    fn drop(&mut self) {
        if let Some(block) = take() {
            // SAFETY: the thread owned the block, which was allocated with this layout.
            unsafe { dealloc(block.as_ptr(), LAYOUT) };
        }
        thread_words::set(Word::SpareBlock, CLOSED);
    }
}
