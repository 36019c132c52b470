//! The allocator of the C library: the system's, but it wipes every block before freeing it, so that no temporary copy
//! of a secret, such as a parser's, remains in freed memory. Of a large block, it discards the pages instead.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{Ordering, compiler_fence};

use crate::sys;

/// From this size on, the pages of a block are discarded. Overwriting them would make all of them resident, and most of
/// a large block may never have been used, as in a cache.
const DISCARDED: usize = 1 << 20;

struct Wiping;

#[global_allocator]
static ALLOCATOR: Wiping = Wiping;

// SAFETY: all calls are passed to the system's allocator with unchanged layouts; in addition, blocks are overwritten
// after their owner has given them up.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives up a block of this size that the system's allocator made for this layout.
        unsafe {
            wipe(block, layout.size());
            System.dealloc(block, layout);
        }
    }

    // No `realloc`: the default one allocates, copies and frees, and so wipes the old block. The system's would leave a
    // copy there when it moves the block.
}

/// Overwrites a block that is about to be freed.
///
/// # Safety
/// The block has this size, comes from the system's allocator, and its owner has given it up.
unsafe fn wipe(block: *mut u8, size: usize) {
    let discarded = match size < DISCARDED {
        true => 0..0,
        // SAFETY: the caller guarantees it; the allocators of C libraries use private anonymous memory.
        false => unsafe { sys::discard_pages(block, size) },
    };
    // SAFETY: both parts are within the block.
    unsafe {
        block.write_bytes(0, discarded.start);
        block.add(discarded.end).write_bytes(0, size - discarded.end);
    }
    // Keeps the compiler from removing writes to memory that is about to be freed.
    std::hint::black_box(block);
    compiler_fence(Ordering::SeqCst);
}
