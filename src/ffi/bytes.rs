//! Bytes as results.

use std::ffi::c_void;
use std::mem;
use std::ptr::{self, NonNull};

use super::{Out, guard, guard_quietly, null, st_error, st_status};
use crate::error::{Error, Result, Status};
use crate::secret_memory::{SecretBytes, SharedBytes, copy};

/// Bytes that the library returns: a counted reference to immutable memory, which is excluded from core dumps and wiped
/// when its last reference is freed. A NUL follows the last byte. The bytes are valid until `st_bytes_free`, even after
/// the handle that they came from was freed. Any thread may read, clone, and free them.
///
/// The caller allocates the struct, and frees the reference with `st_bytes_free`. The struct must not be copied: a copy
/// is not another reference. `st_bytes_clone` makes one.
#[repr(C)]
pub struct st_bytes {
    /// The first byte; NULL if the struct holds no bytes.
    pub data: *const u8,
    /// The number of bytes, without the NUL.
    pub len: usize,
    /// Reserved for the library.
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

/// Set in an owner whose bytes are on the heap, not in the arena for secrets. Both kinds of block are aligned to at
/// least 8 bytes.
const SHARED: usize = 1;

/// The reference that an owner represents.
enum Owner {
    Secret(SecretBytes),
    Shared(SharedBytes),
}

impl Owner {
    /// # Safety
    /// `raw` is the owner of an `st_bytes`. The result takes ownership of its reference.
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

/// Writes another reference to the same bytes to `out`. The caller frees both references, each with `st_bytes_free`.
///
/// `ST_INVALID_ARGUMENT`: `bytes` holds no bytes, or `out` is `bytes` itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_bytes_clone(bytes: *const st_bytes, out: *mut st_bytes, error: *mut st_error) -> st_status {
    guard(error, || {
        if ptr::eq(bytes, out) && !out.is_null() {
            return Err(Error::invalid_argument("`out` is `bytes` itself"));
        }
        // SAFETY: the caller passes NULL or a pointer to an `st_bytes`.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the caller passes NULL or an `st_bytes` that no thread changes during the call.
        let bytes = unsafe { bytes.as_ref() }.ok_or_else(|| null("bytes"))?;
        let owner = NonNull::new(bytes.owner).ok_or_else(|| Error::invalid_argument("`bytes` holds no bytes"))?;
        // SAFETY: `owner` is a reference that the caller keeps: `ManuallyDrop` leaves its count unchanged.
        out.set(match &*mem::ManuallyDrop::new(unsafe { Owner::take(owner) }) {
            Owner::Secret(bytes) => bytes.clone().into(),
            Owner::Shared(bytes) => bytes.clone().into(),
        });
        Ok(())
    })
}

/// Frees a reference and zeroes the struct. Freeing NULL, or a struct that holds no bytes because its call failed or
/// because it was freed before, does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_bytes_free(bytes: *mut st_bytes) {
    guard_quietly(|| {
        // SAFETY: the caller passes NULL or an `st_bytes` of its own.
        let Some(bytes) = (unsafe { bytes.as_mut() }) else { return };
        let owner = mem::replace(&mut bytes.owner, ptr::null_mut());
        bytes.data = ptr::null();
        bytes.len = 0;
        if let Some(owner) = NonNull::new(owner) {
            // SAFETY: `owner` came from `into_raw`, and the zeroes above ensure that it is freed only once.
            drop(unsafe { Owner::take(owner) });
        }
    });
}

/// Copies bytes into the caller's buffer and writes their number to `len`. With `(NULL, 0)` as the buffer it only
/// writes the number.
///
/// # Safety
/// `buffer` is NULL or points to `capacity` writable bytes.
#[inline(always)]
pub(super) unsafe fn copy_into(bytes: &[u8], buffer: *mut c_void, capacity: usize, len: &Out<usize>) -> Result<()> {
    // SAFETY: the caller's promise.
    if unsafe { !copy_if_fits(bytes, buffer, capacity) } {
        return not_copied(bytes.len(), buffer.is_null(), capacity, len);
    }
    len.set(bytes.len());
    Ok(())
}

/// Copies bytes into the caller's buffer. Returns `false` if it is NULL or too small.
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

/// The result when bytes do not fit, or only their number is wanted.
#[cold]
pub(super) fn not_copied(size: usize, no_buffer: bool, capacity: usize, len: &Out<usize>) -> Result<()> {
    if no_buffer && capacity > 0 {
        return Err(null("buffer"));
    }
    if isize::try_from(capacity).is_err() {
        return Err(Error::invalid_argument(format!("`capacity` is {capacity}, more than the address space")));
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
    fn copy_if_fits_copies_all_lengths() {
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
}
