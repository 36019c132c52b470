//! Output structs that begin with their size, which may be that of another version of the header.

use crate::error::{Error, Result};

/// An output struct. Its first field, a `u32`, is its size and is not changed. The rest is zeroed first.
pub(crate) struct SizedOut<T> {
    place: *mut T,
    size: usize,
}

const SIZE_FIELD: usize = size_of::<u32>();

impl<T: Copy> SizedOut<T> {
    /// `name` is the size field, as in `info->size`.
    ///
    /// # Safety
    /// `place` is NULL or points to a struct of at least as many bytes as its first field states. `T` is a `repr(C)`
    /// struct that begins with a `u32`, and is valid as all zeros.
    pub(crate) unsafe fn new(place: *mut T, name: &str, initializer: &str) -> Result<SizedOut<T>> {
        if place.is_null() {
            return Err(super::null(name.split("->").next().unwrap_or(name)));
        }
        // SAFETY: by the caller's promise the first field can be read.
        let given = unsafe { place.cast::<u32>().read() } as usize;
        if given < 2 * SIZE_FIELD {
            let message = format!("`{name}` is {given}; initialize the struct with {initializer}");
            return Err(Error::invalid_argument(message));
        }
        let size = given.min(size_of::<T>());
        // SAFETY: by the caller's promise the struct has `size` bytes. The first field is not changed.
        unsafe { place.cast::<u8>().add(SIZE_FIELD).write_bytes(0, size - SIZE_FIELD) };
        Ok(SizedOut { place, size })
    }

    /// Writes all fields of the caller's version of the struct, except its size.
    pub(crate) fn write(&self, value: &T) {
        let from = std::ptr::from_ref(value).cast::<u8>();
        // SAFETY: the struct has `size` bytes by the promise to `new`, and the source has at least as many.
        unsafe {
            let to = self.place.cast::<u8>().add(SIZE_FIELD);
            std::ptr::copy_nonoverlapping(from.add(SIZE_FIELD), to, self.size - SIZE_FIELD);
        }
    }
}
