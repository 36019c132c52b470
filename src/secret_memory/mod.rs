//! Secret bytes: counted references to memory that is wiped when the last one goes.

use std::fmt;
use std::io::{self, Read};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result, Status};
use crate::sys;

#[cfg(feature = "wiping-allocator")]
mod allocator;
pub(crate) mod arena;
mod secret_box;
mod shared;

pub(crate) use secret_box::SecretBox;
pub use shared::SharedBytes;

/// What stands before the bytes of each block.
#[repr(C)]
struct Header {
    references: AtomicUsize,
    /// How many bytes are in use.
    len: usize,
    /// How many bytes fit, without the header and the final NUL.
    capacity: usize,
}

const HEADER: usize = size_of::<Header>();

/// Bytes that are kept out of core files and wiped when the last reference to them is dropped. Cloning is cheap and
/// shares them; they cannot be changed. One NUL follows the last byte, for C.
///
/// `Debug` shows the length alone.
pub struct SecretBytes(NonNull<Header>);

// SAFETY: the bytes are never written after construction, and the counter is atomic.
unsafe impl Send for SecretBytes {}
// SAFETY: as above.
unsafe impl Sync for SecretBytes {}

impl SecretBytes {
    /// A copy of these bytes. The original is the caller's to wipe.
    pub fn copy_from(bytes: &[u8]) -> Result<SecretBytes> {
        let mut buffer = SecretBuffer::with_capacity(bytes.len())?;
        buffer.push(bytes)?;
        Ok(buffer.freeze())
    }

    /// Gives the reference away as a pointer; [`SecretBytes::from_raw`] takes it back.
    pub(crate) fn into_raw(self) -> *mut u8 {
        let raw = self.0.as_ptr().cast();
        std::mem::forget(self);
        raw
    }

    /// The reference that was given away.
    ///
    /// # Safety
    /// `raw` came from [`SecretBytes::into_raw`], and its reference was not taken back since.
    pub(crate) unsafe fn from_raw(raw: NonNull<u8>) -> SecretBytes {
        SecretBytes(raw.cast())
    }

    fn header(&self) -> &Header {
        // SAFETY: the block lives as long as a reference to it does, and its header is only read.
        unsafe { self.0.as_ref() }
    }
}

impl Deref for SecretBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes follow the header in the same block, and nobody writes them while it is
        // referenced.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<u8>().add(HEADER), self.header().len) }
    }
}

impl Clone for SecretBytes {
    fn clone(&self) -> SecretBytes {
        let before = self.header().references.fetch_add(1, Ordering::Relaxed);
        // A counter that wraps would free the bytes under somebody's eyes. No program holds that many references.
        if before > usize::MAX / 2 {
            std::process::abort();
        }
        SecretBytes(self.0)
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        if self.header().references.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: that was the last reference, and all others are done with the block (acquire above).
            unsafe { free(self.0) };
        }
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.len())
    }
}

/// Secret bytes while they are being put together. Dropping it wipes them.
pub(crate) struct SecretBuffer(NonNull<Header>);

impl SecretBuffer {
    pub(crate) fn with_capacity(capacity: usize) -> Result<SecretBuffer> {
        let size = block_size(capacity)?;
        let block = arena::allocate(size)?.cast::<Header>();
        // SAFETY: the block is ours, aligned to 64 and at least as long as the header.
        unsafe { block.write(Header { references: AtomicUsize::new(1), len: 0, capacity }) };
        Ok(SecretBuffer(block))
    }

    /// Appends, moving to a larger block where necessary.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.reserve(bytes.len())?;
        self.spare()[..bytes.len()].copy_from_slice(bytes);
        self.grow_by(bytes.len());
        Ok(())
    }

    /// Appends all that `from` still has, up to `limit` bytes; `false` means that there was more.
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

    /// Shortens it; what is cut off is wiped with the rest.
    pub(crate) fn truncate(&mut self, len: usize) {
        let len = len.min(self.len());
        // SAFETY: the buffer is ours alone.
        unsafe { self.0.as_mut() }.len = len;
    }

    /// Makes it unchangeable and shareable.
    pub(crate) fn freeze(mut self) -> SecretBytes {
        let len = self.len();
        let spare = self.0.as_ptr().cast::<u8>();
        // SAFETY: one byte more than the capacity was allocated behind the header, for this NUL.
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
        // SAFETY: the block holds `capacity` bytes behind the header, all initialised (blocks begin as zeros), and the
        // buffer is ours alone.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr().cast::<u8>().add(HEADER + len), capacity - len) }
    }

    fn grow_by(&mut self, count: usize) {
        debug_assert!(count <= self.capacity() - self.len());
        // SAFETY: the buffer is ours alone.
        unsafe { self.0.as_mut() }.len += count;
    }

    fn capacity(&self) -> usize {
        // SAFETY: the block is ours and begins with a header.
        unsafe { self.0.as_ref() }.capacity
    }
}

impl Deref for SecretBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: as in `SecretBytes`; the borrow keeps it from being changed meanwhile.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<u8>().add(HEADER), self.0.as_ref().len) }
    }
}

impl Drop for SecretBuffer {
    fn drop(&mut self) {
        // SAFETY: the buffer was the only one that knew the block.
        unsafe { free(self.0) };
    }
}

fn block_size(capacity: usize) -> Result<usize> {
    capacity.checked_add(HEADER + 1).filter(|size| *size <= isize::MAX as usize).ok_or_else(too_large)
}

fn too_large() -> Error {
    Error::new(Status::NoMemory, "the value is larger than any memory")
}

/// # Safety
/// `block` was made by [`SecretBuffer::with_capacity`] and is used by nobody any more.
unsafe fn free(block: NonNull<Header>) {
    // SAFETY: the header is intact until the block is released.
    let size = unsafe { block.as_ref() }.capacity + HEADER + 1;
    // SAFETY: `allocate` gave the block for this size, and the caller promises that nobody uses it.
    unsafe { arena::release(block.cast(), size) };
}

/// Overwrites what ciphers left on the stack: round keys, blocks of plain text.
pub(crate) fn wipe_stack() {
    wipe_stack_below::<4096>();
}

/// Overwrites this much of the stack below the caller's frame, where calls that have ended left what they worked with.
/// Vector registers are cleared too: `memcpy` leaves text in them, and the dynamic linker saves them on the caller's stack
/// when it binds a function at its first call.
#[inline(never)]
pub(crate) fn wipe_stack_below<const SIZE: usize>() {
    let mut space = [0_u8; SIZE];
    std::hint::black_box(&mut space);
    sys::clear_vector_registers();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shared_and_end_with_a_nul() {
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
    fn a_freed_block_is_wiped_and_used_again() {
        // A size of its own, so that no other test takes the block in between.
        let secret = vec![b'x'; 15_000];
        let bytes = SecretBytes::copy_from(&secret).unwrap();
        let place = bytes.as_ptr();
        drop(bytes);
        let again = SecretBuffer::with_capacity(15_000).unwrap();
        assert_eq!(again.0.as_ptr().cast::<u8>().wrapping_add(HEADER).cast_const(), place);
        // SAFETY: the block is in use again, 15 000 bytes long and initialised.
        let left = unsafe { std::slice::from_raw_parts(place, 15_000) };
        assert!(left.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn blocks_of_every_size_hold_what_was_written() {
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
    fn a_buffer_reads_up_to_its_limit() {
        let mut buffer = SecretBuffer::with_capacity(1).unwrap();
        assert!(buffer.read_to_end(&mut &[b'a'; 9000][..], 9000).unwrap());
        assert_eq!(buffer.len(), 9000);
        let mut buffer = SecretBuffer::with_capacity(1).unwrap();
        assert!(!buffer.read_to_end(&mut &[b'a'; 9000][..], 8999).unwrap());
    }
}
