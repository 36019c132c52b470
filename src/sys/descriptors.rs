//! Sets of file descriptors that a forked child closes, so that what its parent has locked ends with the parent.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// One bit for each descriptor. Higher ones have no place in it.
pub(crate) struct Descriptors([AtomicU64; 1024]);

impl Descriptors {
    pub(crate) const fn new() -> Descriptors {
        Descriptors([const { AtomicU64::new(0) }; 1024])
    }

    /// Whether there is a place for this number.
    pub(crate) fn may_have(&self, fd: c_int) -> bool {
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

    pub(crate) fn has(&self, fd: c_int) -> bool {
        self.bit(fd).is_some_and(|(word, bit)| word.load(SeqCst) & bit != 0)
    }

    /// Closes all of them, in a forked child.
    ///
    /// # Safety
    /// Nothing in this process uses them any more.
    pub(crate) unsafe fn close_all(&self) {
        for (word, bits) in self.0.iter().enumerate() {
            let mut bits = bits.swap(0, SeqCst);
            while bits != 0 {
                let fd = word as c_int * 64 + bits.trailing_zeros() as c_int;
                // SAFETY: the descriptor is open, as it is removed before it is closed, and by the caller's promise
                // nothing uses it.
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
