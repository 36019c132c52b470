//! Reference-counted bytes on the heap, wiped when the last reference is dropped. They hold cached values, which may be
//! too many for the arena.

use std::alloc::{Layout, alloc, dealloc};
use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, compiler_fence};

use super::ref_count::RefCount;
use super::{copy, spare};
use crate::error::{Error, Result, Status};

/// The header of each block, in front of the bytes. A block has exactly the required length, except that all blocks for
/// up to [`SHORT`] bytes have the same.
#[repr(C)]
struct SharedHeader {
    references: RefCount,
    len: usize,
}

const HEADER: usize = size_of::<SharedHeader>();
/// The bytes, between a header and a NUL, that fit into a block which a thread keeps.
const SHORT: usize = spare::LAYOUT.size() - HEADER - 1;

/// Immutable bytes, shared by reference counting and wiped when the last reference is dropped. A NUL follows the last
/// byte, for C. `Debug` shows only the length.
pub struct SharedBytes(NonNull<SharedHeader>);

// SAFETY: the bytes are never written while there is a reference, and the reference count is atomic.
unsafe impl Send for SharedBytes {}
// SAFETY: as above.
unsafe impl Sync for SharedBytes {}

impl SharedBytes {
    /// Copies these bytes. The caller wipes the original.
    #[inline]
    pub fn copy_from(bytes: &[u8]) -> Result<SharedBytes> {
        let Some(block) = allocate(bytes.len()) else { return Err(no_memory(bytes.len())) };
        // SAFETY: the block is exclusively ours, aligned for the header, and has room for it, the bytes and a NUL after
        // them.
        unsafe {
            block.write(SharedHeader { references: RefCount::one(), len: bytes.len() });
            let start = block.cast::<u8>().add(HEADER);
            copy(bytes, start.as_ptr());
            start.add(bytes.len()).write(0);
        }
        Ok(SharedBytes(block))
    }

    /// Converts the reference into a pointer. [`SharedBytes::from_raw`] converts it back.
    pub(crate) fn into_raw(self) -> NonNull<u8> {
        let raw = self.0.cast();
        std::mem::forget(self);
        raw
    }

    /// Converts a pointer back into the reference.
    ///
    /// # Safety
    /// `raw` came from [`SharedBytes::into_raw`], and has not been converted back since.
    pub(crate) unsafe fn from_raw(raw: NonNull<u8>) -> SharedBytes {
        SharedBytes(raw.cast())
    }

    #[inline]
    fn header(&self) -> &SharedHeader {
        // SAFETY: the block lives as long as any reference to it, and its header is only read.
        unsafe { self.0.as_ref() }
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` initialized bytes follow the header in the same block, and are not written while it is
        // referenced.
        unsafe { std::slice::from_raw_parts(self.0.cast::<u8>().add(HEADER).as_ptr(), self.header().len) }
    }
}

impl Clone for SharedBytes {
    #[inline]
    fn clone(&self) -> SharedBytes {
        self.header().references.increment();
        SharedBytes(self.0)
    }
}

impl Drop for SharedBytes {
    #[inline]
    fn drop(&mut self) {
        if self.header().references.decrement() {
            // SAFETY: this was the last reference, and all uses of the block happened before.
            unsafe { free(self.0) };
        }
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({} bytes)", self.len())
    }
}

fn layout(len: usize) -> Option<Layout> {
    if len <= SHORT {
        return Some(spare::LAYOUT);
    }
    Layout::from_size_align(len.checked_add(HEADER + 1)?, align_of::<SharedHeader>()).ok()
}

#[inline(always)]
fn allocate(len: usize) -> Option<NonNull<SharedHeader>> {
    if len <= SHORT
        && let Some(block) = spare::take()
    {
        return Some(block.cast());
    }
    allocate_new(len)
}

#[inline(never)]
fn allocate_new(len: usize) -> Option<NonNull<SharedHeader>> {
    // SAFETY: the layout includes the header, so its size is not zero.
    NonNull::new(unsafe { alloc(layout(len)?) }).map(NonNull::cast)
}

#[cold]
fn no_memory(len: usize) -> Error {
    Error::new(Status::NoMemory, format!("out of memory for a value of {len} bytes"))
}

/// # Safety
/// `block` was allocated by [`SharedBytes::copy_from`] and is no longer used.
#[inline(always)]
unsafe fn free(block: NonNull<SharedHeader>) {
    // SAFETY: the header is intact until the block is freed.
    let len = unsafe { block.as_ref() }.len;
    if len <= SHORT {
        // SAFETY: the block has this layout, and is exclusively ours.
        unsafe {
            block.cast::<u8>().add(HEADER).write_bytes(0, SHORT + 1);
            if spare::put(block.cast()) {
                return;
            }
        }
    }
    // SAFETY: as above, for any length.
    unsafe { free_block(block, len) };
}

/// # Safety
/// As for [`free`]; `len` is the length in the header.
#[inline(never)]
unsafe fn free_block(block: NonNull<SharedHeader>, len: usize) {
    let Some(layout) = layout(len) else { return };
    // SAFETY: `len` bytes that are exclusively ours follow the header, and the block was allocated with this layout,
    // which depends only on the length.
    unsafe {
        // The wiping allocator would wipe it a second time.
        if cfg!(not(feature = "wiping-allocator")) {
            block.cast::<u8>().add(HEADER).write_bytes(0, len);
            // Keeps the compiler from removing writes to memory that is about to be freed. Wiping byte by byte, as the
            // crate zeroize does, would cost more than everything else here.
            std::hint::black_box(block);
            compiler_fence(Ordering::SeqCst);
        }
        dealloc(block.cast().as_ptr(), layout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_bytes_that_end_with_a_nul() {
        for len in [0, 1, 15, 16, 71, 72, 4096, 3_000_000] {
            let bytes = SharedBytes::copy_from(&vec![7; len]).unwrap();
            let again = bytes.clone();
            assert_eq!(bytes.as_ptr(), again.as_ptr());
            drop(bytes);
            assert_eq!(&*again, vec![7; len]);
            // SAFETY: one NUL follows the last byte.
            assert_eq!(unsafe { *again.as_ptr().add(again.len()) }, 0);
        }
    }

    #[test]
    fn thread_keeps_one_wiped_block() {
        std::thread::spawn(|| {
            let values = [7, 8].map(|byte| SharedBytes::copy_from(&[byte; 64]).unwrap());
            let block = values[0].as_ptr();
            // The second one is freed.
            drop(values);
            // SAFETY: the block belongs to this thread, which keeps it.
            assert!(unsafe { std::slice::from_raw_parts(block, 64) }.iter().all(|byte| *byte == 0));
            let [again, other] = [1, 2].map(|len| SharedBytes::copy_from(&[9; 2][..len]).unwrap());
            assert_eq!((again.as_ptr(), &*again), (block, &[9][..]));
            assert_eq!(*other, [9; 2]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn block_may_be_freed_while_the_thread_ends() {
        struct Late(std::cell::RefCell<Option<SharedBytes>>);
        impl Drop for Late {
            fn drop(&mut self) {
                drop(SharedBytes::copy_from(b"after").unwrap());
            }
        }
        thread_local!(static LATE: Late = const { Late(std::cell::RefCell::new(None)) });
        std::thread::spawn(|| {
            // Registered before the block of this thread, so it is destroyed after it.
            LATE.with(|late| late.0.replace(Some(SharedBytes::copy_from(b"value").unwrap())));
            drop(SharedBytes::copy_from(b"kept").unwrap());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn debug_shows_no_value() {
        assert_eq!(format!("{:?}", SharedBytes::copy_from(b"r8_token").unwrap()), "SharedBytes(8 bytes)");
    }
}
