//! Results in structs that begin with their size, which may be that of another version of the header.

use crate::error::{Error, Result};

/// The caller's struct. Its first field, a `u32`, is its size and stays as it is; the rest is zero from the start.
pub(crate) struct SizedOut<T> {
    place: *mut T,
    size: usize,
}

const SIZE_FIELD: usize = size_of::<u32>();

impl<T: Copy> SizedOut<T> {
    /// `name` is that of the size field, as in `info->size`.
    ///
    /// # Safety
    /// `place` is NULL or leads to at least as many bytes as the number in its first four says. `T` is a `repr(C)`
    /// struct that begins with a `u32` and is valid as all zeros.
    pub(crate) unsafe fn new(place: *mut T, name: &str, initializer: &str) -> Result<SizedOut<T>> {
        if place.is_null() {
            return Err(super::null(name.split("->").next().unwrap_or(name)));
        }
        // SAFETY: the caller promises that the first field is there.
        let given = unsafe { place.cast::<u32>().read() } as usize;
        if given < 2 * SIZE_FIELD {
            let message = format!("`{name}` is {given}; set the struct up with {initializer}");
            return Err(Error::invalid_argument(message));
        }
        let size = given.min(size_of::<T>());
        // SAFETY: `size` bytes are there by the caller's promise, and the first field is left alone.
        unsafe { place.cast::<u8>().add(SIZE_FIELD).write_bytes(0, size - SIZE_FIELD) };
        Ok(SizedOut { place, size })
    }

    /// Writes all but the size field, as much as the caller's version of the struct has.
    pub(crate) fn write(&self, value: &T) {
        let from = std::ptr::from_ref(value).cast::<u8>();
        // SAFETY: `size` bytes are there by the promise to `new` and are no more than the source has.
        unsafe {
            let to = self.place.cast::<u8>().add(SIZE_FIELD);
            std::ptr::copy_nonoverlapping(from.add(SIZE_FIELD), to, self.size - SIZE_FIELD);
        }
    }
}
