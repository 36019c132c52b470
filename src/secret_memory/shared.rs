//! Reference-counted bytes on the heap, wiped when the last reference is dropped. They hold cached values, which may be
//! too many for the arena.

use std::alloc::{Layout, alloc, dealloc};
use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, compiler_fence};

use super::ref_count::RefCount;
use crate::error::{Error, Result, Status};

/// The header of each block, in front of the bytes. A block has exactly the required length.
#[repr(C)]
struct Header {
    references: RefCount,
    len: usize,
}

const HEADER: usize = size_of::<Header>();

/// Immutable bytes, shared by reference counting and wiped when the last reference is dropped. A NUL follows the last
/// byte, for C. `Debug` shows only the length.
pub struct SharedBytes(NonNull<Header>);

// SAFETY: the bytes are never written while there is a reference, and the reference count is atomic.
unsafe impl Send for SharedBytes {}
// SAFETY: as above.
unsafe impl Sync for SharedBytes {}

impl SharedBytes {
    /// Copies these bytes. The caller wipes the original.
    pub fn copy_from(bytes: &[u8]) -> Result<SharedBytes> {
        let no_memory = || Error::new(Status::NoMemory, format!("out of memory for a value of {} bytes", bytes.len()));
        let layout = layout(bytes.len()).ok_or_else(no_memory)?;
        // SAFETY: the layout includes the header, so its size is not zero.
        let block = NonNull::new(unsafe { alloc(layout) }).ok_or_else(no_memory)?.cast::<Header>();
        // SAFETY: the block is new, aligned for the header, and has room for it, the bytes and a NUL after them.
        unsafe {
            block.write(Header { references: RefCount::one(), len: bytes.len() });
            let start = block.cast::<u8>().add(HEADER);
            start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
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
    fn header(&self) -> &Header {
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
    Layout::from_size_align(len.checked_add(HEADER + 1)?, align_of::<Header>()).ok()
}

/// # Safety
/// `block` was allocated by [`SharedBytes::copy_from`] and is no longer used.
unsafe fn free(block: NonNull<Header>) {
    // SAFETY: the header is intact until the block is freed.
    let len = unsafe { block.as_ref() }.len;
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
        for len in [0, 1, 15, 16, 4096, 3_000_000] {
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
    fn debug_shows_no_value() {
        assert_eq!(format!("{:?}", SharedBytes::copy_from(b"r8_token").unwrap()), "SharedBytes(8 bytes)");
    }
}
