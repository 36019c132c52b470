//! The allocator of the C library: the system's, but it wipes every block before freeing it, so that no temporary copy
//! of a secret, such as a parser's, remains in freed memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{Ordering, compiler_fence};

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
            block.write_bytes(0, layout.size());
            // Keeps the compiler from removing writes to memory that is about to be freed.
            std::hint::black_box(block);
            compiler_fence(Ordering::SeqCst);
            System.dealloc(block, layout);
        }
    }

    // No `realloc`: the default one allocates, copies and frees, and so wipes the old block. The system's would leave a
    // copy there when it moves the block.
}
