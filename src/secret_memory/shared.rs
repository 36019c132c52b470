//! Bytes that are shared by counting and wiped when the last holder lets go, on the ordinary heap: for what is cached
//! in numbers that the arena of secrets is not made for.

use std::alloc::{Layout, alloc, dealloc};
use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, compiler_fence};

use crate::error::{Error, Result, Status};

/// What stands before the bytes of each block. A block has exactly the length that they need.
#[repr(C)]
struct Header {
    references: AtomicUsize,
    len: usize,
}

const HEADER: usize = size_of::<Header>();

/// Bytes that any number of holders share. They cannot be changed; one NUL follows the last, for C. `Debug` shows the
/// length alone.
pub struct SharedBytes(NonNull<Header>);

// SAFETY: the bytes are never written between construction and the end of the last reference, and the counter is
// atomic.
unsafe impl Send for SharedBytes {}
// SAFETY: as above.
unsafe impl Sync for SharedBytes {}

impl SharedBytes {
    /// A copy of these bytes. The original is the caller's to wipe.
    pub fn copy_from(bytes: &[u8]) -> Result<SharedBytes> {
        let no_memory = || Error::new(Status::NoMemory, format!("no memory for a value of {} bytes", bytes.len()));
        let layout = layout(bytes.len()).ok_or_else(no_memory)?;
        // SAFETY: the layout is never empty: the header is part of it.
        let block = NonNull::new(unsafe { alloc(layout) }).ok_or_else(no_memory)?.cast::<Header>();
        // SAFETY: the block is new, aligned for the header, and has room for it, the bytes and one NUL behind it.
        unsafe {
            block.write(Header { references: AtomicUsize::new(1), len: bytes.len() });
            let start = block.cast::<u8>().add(HEADER);
            start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
            start.add(bytes.len()).write(0);
        }
        Ok(SharedBytes(block))
    }

    /// Gives the reference away as a pointer; [`SharedBytes::from_raw`] takes it back.
    pub(crate) fn into_raw(self) -> NonNull<u8> {
        let raw = self.0.cast();
        std::mem::forget(self);
        raw
    }

    /// The reference that was given away.
    ///
    /// # Safety
    /// `raw` came from [`SharedBytes::into_raw`], and its reference was not taken back since.
    pub(crate) unsafe fn from_raw(raw: NonNull<u8>) -> SharedBytes {
        SharedBytes(raw.cast())
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the block lives as long as a reference to it does, and its header is only read.
        unsafe { self.0.as_ref() }
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes follow the header in the same block, and nobody writes them while it is
        // referenced.
        unsafe { std::slice::from_raw_parts(self.0.cast::<u8>().add(HEADER).as_ptr(), self.header().len) }
    }
}

impl Clone for SharedBytes {
    #[inline]
    fn clone(&self) -> SharedBytes {
        let before = self.header().references.fetch_add(1, Ordering::Relaxed);
        // A counter that wraps would free the bytes under somebody's eyes. No program holds that many references.
        if before > usize::MAX / 2 {
            std::process::abort();
        }
        SharedBytes(self.0)
    }
}

impl Drop for SharedBytes {
    #[inline]
    fn drop(&mut self) {
        // A holder who is alone stays so, as references are made from references: no need to count down then, which
        // would cost as much as freeing.
        let references = &self.header().references;
        // No fence acquires: ThreadSanitizer does not know it.
        if references.load(Ordering::Acquire) == 1 || references.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: that was the last reference, and all others are done with the block (acquire above).
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
/// `block` was made by [`SharedBytes::copy_from`] and is used by nobody any more.
unsafe fn free(block: NonNull<Header>) {
    // SAFETY: the header is intact until the block is freed.
    let len = unsafe { block.as_ref() }.len;
    let Some(layout) = layout(len) else { return };
    // SAFETY: `len` bytes that are ours alone follow the header, and the block was allocated with this layout, which
    // follows from the length alone.
    unsafe {
        // The wiping allocator would do it a second time.
        if cfg!(not(feature = "wiping-allocator")) {
            block.cast::<u8>().add(HEADER).write_bytes(0, len);
            // Keeps the compiler from dropping writes to memory that is about to be freed; byte by byte, as the crate
            // zeroize does it, this would cost more than all the rest.
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
    fn bytes_are_shared_and_end_with_a_nul() {
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
