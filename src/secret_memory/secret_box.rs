//! One value in secret memory.

use std::ops::Deref;
use std::ptr::NonNull;

use super::arena;
use crate::error::Result;

/// A box in secret memory: excluded from core files, and wiped when it is dropped.
pub(crate) struct SecretBox<T>(NonNull<T>);

// SAFETY: the box owns its value like `Box`, and the arena belongs to the whole process.
unsafe impl<T: Send> Send for SecretBox<T> {}
// SAFETY: as above; it hands out only shared references.
unsafe impl<T: Sync> Sync for SecretBox<T> {}

impl<T> SecretBox<T> {
    /// Moves the value into secret memory. The caller wipes the place where it was.
    pub(crate) fn new(value: T) -> Result<SecretBox<T>> {
        const { assert!(align_of::<T>() <= 64 && size_of::<T>() > 0) };
        let place = arena::allocate(size_of::<T>())?.cast::<T>();
        // SAFETY: the block is exclusively ours, long enough, and aligned to 64.
        unsafe { place.write(value) };
        Ok(SecretBox(place))
    }
}

impl<T> Deref for SecretBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the value lives as long as the box, which gives no mutable access to it.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for SecretBox<T> {
    fn drop(&mut self) {
        // SAFETY: the value is initialized and no longer used; its block was allocated with this size.
        unsafe {
            self.0.drop_in_place();
            arena::release(self.0.cast(), size_of::<T>());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn box_drops_its_value_once() {
        let counted = std::sync::Arc::new(());
        let boxed = SecretBox::new((counted.clone(), [7_u8; 9000])).unwrap();
        assert_eq!(boxed.1[8999], 7);
        assert_eq!(std::sync::Arc::strong_count(&counted), 2);
        drop(boxed);
        assert_eq!(std::sync::Arc::strong_count(&counted), 1);
    }
}
