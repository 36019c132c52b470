//! One value in secret memory.

use std::ops::Deref;
use std::ptr::NonNull;

use super::arena;
use crate::error::Result;

/// A value that lies where secrets lie: out of core files, and wiped when it is dropped.
pub(crate) struct SecretBox<T>(NonNull<T>);

// SAFETY: the box owns its value as `Box` does, and the arena is of the whole process.
unsafe impl<T: Send> Send for SecretBox<T> {}
// SAFETY: as above; it hands out shared references alone.
unsafe impl<T: Sync> Sync for SecretBox<T> {}

impl<T> SecretBox<T> {
    /// Moves the value there. The place where it was is the caller's to wipe.
    pub(crate) fn new(value: T) -> Result<SecretBox<T>> {
        const { assert!(align_of::<T>() <= 64 && size_of::<T>() > 0) };
        let place = arena::allocate(size_of::<T>())?.cast::<T>();
        // SAFETY: the block is ours, long enough, and aligned to 64.
        unsafe { place.write(value) };
        Ok(SecretBox(place))
    }
}

impl<T> Deref for SecretBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the value lives as long as the box, which never hands out a way to change it.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for SecretBox<T> {
    fn drop(&mut self) {
        // SAFETY: the value is there and nobody uses it any more; its block was allocated with this size.
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
    fn a_value_is_dropped_once_and_its_place_wiped() {
        let counted = std::sync::Arc::new(());
        let boxed = SecretBox::new((counted.clone(), [7_u8; 9000])).unwrap();
        assert_eq!(boxed.1[8999], 7);
        assert_eq!(std::sync::Arc::strong_count(&counted), 2);
        drop(boxed);
        assert_eq!(std::sync::Arc::strong_count(&counted), 1);
    }
}
