//! Bytes on their way out.

use std::ffi::c_void;
use std::mem;
use std::ptr::{self, NonNull};

use super::{Out, guard, guard_quietly, null, st_error, st_status};
use crate::error::{Error, Result, Status};
use crate::secret_memory::{SecretBytes, SharedBytes};

/// Bytes that the library hands out: a counted reference to memory that cannot be changed, is kept out of core files,
/// and is wiped when its last reference goes. One NUL follows the last byte. They stay valid until `st_bytes_free`,
/// whatever becomes of the handle they came from, and may be read from any thread.
///
/// The struct itself belongs to the caller and is not to be copied: a copy is not a reference. Take further references
/// with `st_bytes_clone`.
#[repr(C)]
pub struct st_bytes {
    /// The first byte; NULL if this holds nothing.
    pub data: *const u8,
    /// How many bytes there are, without the NUL.
    pub len: usize,
    /// For the library.
    pub owner: *mut c_void,
}

impl From<SecretBytes> for st_bytes {
    fn from(bytes: SecretBytes) -> st_bytes {
        let (data, len) = (bytes.as_ptr(), bytes.len());
        st_bytes { data, len, owner: bytes.into_raw().cast() }
    }
}

impl From<SharedBytes> for st_bytes {
    #[inline]
    fn from(bytes: SharedBytes) -> st_bytes {
        let (data, len) = (bytes.as_ptr(), bytes.len());
        st_bytes { data, len, owner: bytes.into_raw().as_ptr().map_addr(|address| address | SHARED).cast() }
    }
}

/// Set in an owner that is of the heap, not of the arena for secrets. Both kinds of block are aligned to 8 at least.
const SHARED: usize = 1;

/// What an owner stands for.
enum Owner {
    Secret(SecretBytes),
    Shared(SharedBytes),
}

impl Owner {
    /// # Safety
    /// `raw` is the owner of an `st_bytes`, and this takes its reference over.
    unsafe fn take(raw: NonNull<c_void>) -> Owner {
        if raw.addr().get() & SHARED == 0 {
            // SAFETY: an address without the bit was made from `SecretBytes`.
            return Owner::Secret(unsafe { SecretBytes::from_raw(raw.cast()) });
        }
        let block = raw.as_ptr().map_addr(|address| address & !SHARED);
        // SAFETY: an address with the bit was made from `SharedBytes`, whose block is not at 0.
        Owner::Shared(unsafe { SharedBytes::from_raw(NonNull::new_unchecked(block).cast()) })
    }
}

/// Takes another reference to the same bytes and writes it to `out`, which then needs an `st_bytes_free` of its own.
/// `bytes` must hold some, and `out` must be another place.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_bytes_clone(bytes: *const st_bytes, out: *mut st_bytes, error: *mut st_error) -> st_status {
    guard(error, || {
        if ptr::eq(bytes, out) && !out.is_null() {
            return Err(Error::invalid_argument("`out` is `bytes` itself"));
        }
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the caller gives NULL or an `st_bytes` that nobody changes during the call.
        let bytes = unsafe { bytes.as_ref() }.ok_or_else(|| null("bytes"))?;
        let owner = NonNull::new(bytes.owner).ok_or_else(|| Error::invalid_argument("`bytes` holds nothing"))?;
        // SAFETY: `owner` is a reference that the caller still has; taking it back and giving it away again leaves the
        // count as it was.
        out.set(match &*mem::ManuallyDrop::new(unsafe { Owner::take(owner) }) {
            Owner::Secret(bytes) => bytes.clone().into(),
            Owner::Shared(bytes) => bytes.clone().into(),
        });
        Ok(())
    })
}

/// Gives a reference back and zeroes the struct. The only way to free an `st_bytes`. NULL, or one that holds nothing
/// (because its call failed, or because it was freed before), is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_bytes_free(bytes: *mut st_bytes) {
    guard_quietly(|| {
        // SAFETY: the caller gives NULL or an `st_bytes` of its own.
        let Some(bytes) = (unsafe { bytes.as_mut() }) else { return };
        let owner = mem::replace(&mut bytes.owner, ptr::null_mut());
        bytes.data = ptr::null();
        bytes.len = 0;
        if let Some(owner) = NonNull::new(owner) {
            // SAFETY: `owner` came from `into_raw`, and the zeroes above make sure that it is taken back only once.
            drop(unsafe { Owner::take(owner) });
        }
    });
}

/// Copies bytes into the caller's buffer and writes their number to `len`; `(NULL, 0)` asks for the number alone.
///
/// # Safety
/// `buffer` is NULL or leads to `capacity` writable bytes.
#[inline(always)]
pub(super) unsafe fn copy_into(bytes: &[u8], buffer: *mut c_void, capacity: usize, len: &Out<usize>) -> Result<()> {
    // SAFETY: passed on.
    if unsafe { !copy_if_fits(bytes, buffer, capacity) } {
        return not_copied(bytes.len(), buffer.is_null(), capacity, len);
    }
    len.set(bytes.len());
    Ok(())
}

/// Copies bytes into the caller's buffer; `false` if it is NULL or they do not fit.
///
/// # Safety
/// As for [`copy_into`].
#[inline(always)]
pub(super) unsafe fn copy_if_fits(bytes: &[u8], buffer: *mut c_void, capacity: usize) -> bool {
    if buffer.is_null() || bytes.len() > capacity || isize::try_from(capacity).is_err() {
        return false;
    }
    // SAFETY: the caller promises room for `capacity` bytes, and no more than that are copied. The source may be a
    // variable of the environment, and so any memory of the program.
    unsafe { copy(bytes, buffer.cast()) };
    true
}

/// Copies bytes, which may overlap with their copy. Of the usual lengths two or four parts that may overlap are loaded and
/// then stored: a few instructions, where a copy of any length would be a call.
///
/// # Safety
/// There is room for all bytes at `to`.
#[inline(always)]
unsafe fn copy(bytes: &[u8], to: *mut u8) {
    type Part = [u8; 16];
    let (from, len) = (bytes.as_ptr(), bytes.len());
    // SAFETY: each part begins and ends within the bytes, and so does its copy. Parts need no alignment.
    unsafe {
        let load = |at: usize| from.add(at).cast::<Part>().read_unaligned();
        let store = |at: usize, part: Part| to.add(at).cast::<Part>().write_unaligned(part);
        match len {
            16..=32 => {
                let (first, last) = (load(0), load(len - 16));
                store(0, first);
                store(len - 16, last);
            }
            33..=64 => {
                let parts = (load(0), load(16), load(len - 32), load(len - 16));
                store(0, parts.0);
                store(16, parts.1);
                store(len - 32, parts.2);
                store(len - 16, parts.3);
            }
            _ => ptr::copy(from, to, len),
        }
    }
}

/// What becomes of a copy that cannot be made, or was not asked for.
#[cold]
pub(super) fn not_copied(size: usize, no_buffer: bool, capacity: usize, len: &Out<usize>) -> Result<()> {
    if no_buffer && capacity > 0 {
        return Err(null("buffer"));
    }
    if isize::try_from(capacity).is_err() {
        return Err(Error::invalid_argument(format!("`capacity` is {capacity}, more than there is memory")));
    }
    len.set(size);
    if no_buffer {
        return Ok(());
    }
    Err(Error::new(Status::BufferTooSmall, format!("the buffer has {capacity} bytes; {size} are needed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_are_copied_whole() {
        let bytes: Vec<u8> = (0..=255).collect();
        for len in 0..=bytes.len() {
            let mut buffer = [0; 300];
            // SAFETY: the buffer is longer than the bytes.
            assert!(unsafe { copy_if_fits(&bytes[..len], buffer.as_mut_ptr().cast(), len) });
            assert_eq!(buffer[..len], bytes[..len]);
            assert!(buffer[len..].iter().all(|byte| *byte == 0), "{len}");
            // SAFETY: nothing is copied.
            assert!(len == 0 || unsafe { !copy_if_fits(&bytes[..len], buffer.as_mut_ptr().cast(), len - 1) });
        }
    }

    #[test]
    fn bytes_may_overlap_with_their_copy() {
        for (len, shift) in [(16, 3), (20, 7), (40, 1), (64, 63), (100, 50)] {
            let mut bytes: Vec<u8> = (0..200).collect();
            let start = bytes.as_mut_ptr();
            // SAFETY: both ranges are within the vector, which nobody else uses meanwhile.
            unsafe { copy(std::slice::from_raw_parts(start, len), start.add(shift)) };
            assert!((0..len).all(|at| usize::from(bytes[at + shift]) == at), "{len} by {shift}");
        }
    }
}
