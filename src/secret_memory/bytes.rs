//! Secret bytes: reference-counted memory that is wiped when the last reference is dropped.

use std::fmt;
use std::io::{self, Read};
use std::ops::Deref;
use std::ptr::NonNull;

use super::arena;
use super::ref_count::RefCount;
use crate::error::{Error, Result, Status};

/// The header of each block, in front of the bytes.
#[repr(C)]
struct BlockHeader {
    references: RefCount,
    /// How many bytes are in use.
    len: usize,
    /// How many bytes fit, not counting the header and the final NUL.
    capacity: usize,
}

const HEADER: usize = size_of::<BlockHeader>();

/// Immutable bytes that are excluded from core files and wiped when the last reference is dropped. Clones share the
/// bytes, which is cheap. A NUL follows the last byte, for C.
///
/// `Debug` shows only the length.
pub struct SecretBytes(NonNull<BlockHeader>);

// SAFETY: the bytes are never written after construction, and the reference count is atomic.
unsafe impl Send for SecretBytes {}
// SAFETY: as above.
unsafe impl Sync for SecretBytes {}

impl SecretBytes {
    /// Copies these bytes. The caller wipes the original.
    pub fn copy_from(bytes: &[u8]) -> Result<SecretBytes> {
        let mut buffer = SecretBuffer::with_capacity(bytes.len())?;
        buffer.push(bytes)?;
        Ok(buffer.freeze())
    }

    /// Converts the reference into a pointer. [`SecretBytes::from_raw`] converts it back.
    pub(crate) fn into_raw(self) -> *mut u8 {
        let raw = self.0.as_ptr().cast();
        std::mem::forget(self);
        raw
    }

    /// Converts a pointer back into the reference.
    ///
    /// # Safety
    /// `raw` came from [`SecretBytes::into_raw`], and has not been converted back since.
    pub(crate) unsafe fn from_raw(raw: NonNull<u8>) -> SecretBytes {
        SecretBytes(raw.cast())
    }

    fn header(&self) -> &BlockHeader {
        // SAFETY: the block lives as long as any reference to it, and its header is only read.
        unsafe { self.0.as_ref() }
    }
}

impl Deref for SecretBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` initialized bytes follow the header in the same block, and are not written while it is
        // referenced.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<u8>().add(HEADER), self.header().len) }
    }
}

impl Clone for SecretBytes {
    fn clone(&self) -> SecretBytes {
        self.header().references.increment();
        SecretBytes(self.0)
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        if self.header().references.decrement() {
            // SAFETY: this was the last reference, and all uses of the block happened before.
            unsafe { free(self.0) };
        }
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.len())
    }
}

/// A growable buffer for secret bytes. They are wiped when it is dropped.
pub(crate) struct SecretBuffer(NonNull<BlockHeader>);

impl SecretBuffer {
    pub(crate) fn with_capacity(capacity: usize) -> Result<SecretBuffer> {
        let size = block_size(capacity)?;
        let block = arena::allocate(size)?.cast::<BlockHeader>();
        // SAFETY: the block is exclusively ours, aligned to 64 and at least as long as the header.
        unsafe { block.write(BlockHeader { references: RefCount::one(), len: 0, capacity }) };
        Ok(SecretBuffer(block))
    }

    /// Appends bytes, moving to a larger block if necessary.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.reserve(bytes.len())?;
        self.spare()[..bytes.len()].copy_from_slice(bytes);
        self.grow_by(bytes.len());
        Ok(())
    }

    /// Appends the rest of `from`. Returns `false` if the buffer then exceeds `limit` bytes; reading stops there.
    pub(crate) fn read_to_end(&mut self, from: &mut impl Read, limit: usize) -> io::Result<bool> {
        loop {
            self.reserve(4096).map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
            match from.read(self.spare()) {
                Ok(0) => return Ok(true),
                Ok(count) => self.grow_by(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.len() > limit {
                return Ok(false);
            }
        }
    }

    /// Shortens the buffer. The removed bytes are wiped with the rest.
    pub(crate) fn truncate(&mut self, len: usize) {
        let len = len.min(self.len());
        // SAFETY: the buffer is exclusively ours.
        unsafe { self.0.as_mut() }.len = len;
    }

    /// The bytes, to change them in place.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        // SAFETY: `len` initialized bytes follow the header, and the buffer is exclusively ours.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr().cast::<u8>().add(HEADER), len) }
    }

    /// Converts the buffer into immutable, shareable bytes.
    pub(crate) fn freeze(mut self) -> SecretBytes {
        let len = self.len();
        let spare = self.0.as_ptr().cast::<u8>();
        // SAFETY: the block has one byte more than the capacity after the header, for this NUL.
        unsafe { spare.add(HEADER + len).write(0) };
        let bytes = SecretBytes(self.0);
        self.0 = NonNull::dangling();
        std::mem::forget(self);
        bytes
    }

    fn reserve(&mut self, more: usize) -> Result<()> {
        let needed = self.len().checked_add(more).ok_or_else(too_large)?;
        if needed <= self.capacity() {
            return Ok(());
        }
        let mut larger = SecretBuffer::with_capacity(needed.max(self.capacity() * 2))?;
        larger.spare()[..self.len()].copy_from_slice(self);
        larger.grow_by(self.len());
        *self = larger;
        Ok(())
    }

    fn spare(&mut self) -> &mut [u8] {
        let (len, capacity) = (self.len(), self.capacity());
        // SAFETY: the block has `capacity` bytes after the header, all initialized (new blocks are zero), and the
        // buffer is exclusively ours.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr().cast::<u8>().add(HEADER + len), capacity - len) }
    }

    fn grow_by(&mut self, count: usize) {
        debug_assert!(count <= self.capacity() - self.len());
        // SAFETY: the buffer is exclusively ours.
        unsafe { self.0.as_mut() }.len += count;
    }

    fn capacity(&self) -> usize {
        // SAFETY: the block is ours and starts with a header.
        unsafe { self.0.as_ref() }.capacity
    }
}

impl Deref for SecretBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: as in `SecretBytes`; the borrow prevents changes.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<u8>().add(HEADER), self.0.as_ref().len) }
    }
}

impl Drop for SecretBuffer {
    fn drop(&mut self) {
        // SAFETY: the buffer held the only pointer to the block.
        unsafe { free(self.0) };
    }
}

fn block_size(capacity: usize) -> Result<usize> {
    capacity.checked_add(HEADER + 1).filter(|size| *size <= isize::MAX as usize).ok_or_else(too_large)
}

fn too_large() -> Error {
    Error::new(Status::NoMemory, "out of memory: the value is too large")
}

/// # Safety
/// `block` was allocated by [`SecretBuffer::with_capacity`] and is no longer used.
unsafe fn free(block: NonNull<BlockHeader>) {
    // SAFETY: the header is intact until the block is released.
    let size = unsafe { block.as_ref() }.capacity + HEADER + 1;
    // SAFETY: `allocate` returned the block for this size, and by the caller's promise it is no longer used.
    unsafe { arena::release(block.cast(), size) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_bytes_that_end_with_a_nul() {
        let bytes = SecretBytes::copy_from(b"r8_token").unwrap();
        let again = bytes.clone();
        assert_eq!(bytes.as_ptr(), again.as_ptr());
        drop(bytes);
        assert_eq!(&*again, b"r8_token");
        // SAFETY: one NUL follows the last byte.
        assert_eq!(unsafe { *again.as_ptr().add(again.len()) }, 0);
    }

    #[test]
    fn debug_shows_no_value() {
        let bytes = SecretBytes::copy_from(b"r8_token").unwrap();
        assert_eq!(format!("{bytes:?}"), "SecretBytes(8 bytes)");
    }

    #[test]
    fn freed_block_is_wiped_and_reused() {
        // A size that no other test uses, so that none takes the block in between.
        let secret = vec![b'x'; 15_000];
        let bytes = SecretBytes::copy_from(&secret).unwrap();
        let place = bytes.as_ptr();
        drop(bytes);
        let again = SecretBuffer::with_capacity(15_000).unwrap();
        assert_eq!(again.0.as_ptr().cast::<u8>().wrapping_add(HEADER).cast_const(), place);
        // SAFETY: the block is in use again, 15 000 bytes long and initialized.
        let left = unsafe { std::slice::from_raw_parts(place, 15_000) };
        assert!(left.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn bytes_of_every_size_keep_their_contents() {
        let mut kept = Vec::new();
        for len in [0, 1, 39, 40, 41, 1000, 16_000, 16_360, 16_384, 70_000, 3_000_000] {
            for fill in 0..20u8 {
                kept.push((len, fill, SecretBytes::copy_from(&vec![fill; len]).unwrap()));
            }
        }
        for (len, fill, bytes) in kept {
            assert_eq!(bytes.len(), len);
            assert!(bytes.iter().all(|byte| *byte == fill));
        }
    }

    #[test]
    fn read_to_end_stops_at_the_limit() {
        let mut buffer = SecretBuffer::with_capacity(1).unwrap();
        assert!(buffer.read_to_end(&mut &[b'a'; 9000][..], 9000).unwrap());
        assert_eq!(buffer.len(), 9000);
        let mut buffer = SecretBuffer::with_capacity(1).unwrap();
        assert!(!buffer.read_to_end(&mut &[b'a'; 9000][..], 8999).unwrap());
    }
}
