//! A reference count.

use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) struct RefCount(AtomicUsize);

impl RefCount {
    pub(super) fn one() -> RefCount {
        RefCount(AtomicUsize::new(1))
    }

    #[inline]
    pub(super) fn increment(&self) {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        // An overflow would cause a use-after-free. No program holds that many references.
        if before > usize::MAX / 2 {
            std::process::abort();
        }
    }

    /// Returns whether this was the last reference. If so, every use through other references happened before.
    #[inline]
    pub(super) fn decrement(&self) -> bool {
        // A sole holder remains the sole holder, because references are made from references, and need not decrement,
        // which would cost as much as freeing. Not a fence: ThreadSanitizer does not support fences.
        self.0.load(Ordering::Acquire) == 1 || self.0.fetch_sub(1, Ordering::AcqRel) == 1
    }
}
