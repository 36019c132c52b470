//! The allocator of the C library: the system's, but every block is wiped before it is freed, so that no copy of a
//! secret that a parser made on its way is left behind in freed memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{Ordering, compiler_fence};

struct Wiping;

#[global_allocator]
static ALLOCATOR: Wiping = Wiping;

// SAFETY: every block comes from and goes back to the system's allocator with the layout it was asked for; between the
// two this type only overwrites a block that its owner has given up.
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
            // Keeps the compiler from dropping writes to memory that is about to be freed.
            std::hint::black_box(block);
            compiler_fence(Ordering::SeqCst);
            System.dealloc(block, layout);
        }
    }

    // No `realloc`: the default allocates, copies and frees, and so wipes the old place. The system's would leave a
    // copy there when it moves the block.
}
