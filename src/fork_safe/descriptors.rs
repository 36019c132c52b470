//! Sets of file descriptors that a forked child closes, so that its parent's locks end with the parent.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A set of file descriptors below 65536, one bit each.
pub(crate) struct DescriptorSet([AtomicU64; 1024]);

impl DescriptorSet {
    pub(crate) const fn new() -> DescriptorSet {
        DescriptorSet([const { AtomicU64::new(0) }; 1024])
    }

    /// Whether the descriptor is small enough for the set.
    pub(crate) fn can_contain(&self, fd: c_int) -> bool {
        self.bit(fd).is_some()
    }

    pub(crate) fn add(&self, fd: c_int) {
        if let Some((word, bit)) = self.bit(fd) {
            word.fetch_or(bit, SeqCst);
        }
    }

    pub(crate) fn remove(&self, fd: c_int) {
        if let Some((word, bit)) = self.bit(fd) {
            word.fetch_and(!bit, SeqCst);
        }
    }

    pub(crate) fn contains(&self, fd: c_int) -> bool {
        self.bit(fd).is_some_and(|(word, bit)| word.load(SeqCst) & bit != 0)
    }

    /// Closes all descriptors in the set. Called in a forked child.
    ///
    /// # Safety
    /// No code of this process uses these descriptors any longer.
    pub(crate) unsafe fn close_all(&self) {
        for (word, bits) in self.0.iter().enumerate() {
            let mut bits = bits.swap(0, SeqCst);
            while bits != 0 {
                let fd = word as c_int * 64 + bits.trailing_zeros() as c_int;
                // SAFETY: the descriptor is open, because descriptors are removed before they are closed, and by the
                // caller's promise it is no longer used.
                unsafe { libc::close(fd) };
                bits &= bits - 1;
            }
        }
    }

    fn bit(&self, fd: c_int) -> Option<(&AtomicU64, u64)> {
        let fd = usize::try_from(fd).ok()?;
        Some((self.0.get(fd / 64)?, 1 << (fd % 64)))
    }
}
