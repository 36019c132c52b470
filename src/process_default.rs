//! The instance of a type that the whole process shares.

use std::sync::Arc;

use crate::error::Result;
use crate::fork::{self, PublishedGuard};
use crate::fork_safe::{Published, RwLock, RwLockWriteGuard};

/// An instance that is opened on first use and can be replaced. References to the old instance remain valid.
pub(crate) struct ProcessDefault<T> {
    current: RwLock<Option<Arc<T>>>,
    /// The same, readable without a lock. It is replaced with the lock of `current` held.
    published: Published<T>,
}

impl<T> ProcessDefault<T> {
    pub(crate) const fn new() -> ProcessDefault<T> {
        ProcessDefault { current: RwLock::new(None), published: Published::empty() }
    }

    /// Returns the instance, if there is one.
    pub(crate) fn get(&self) -> Option<Arc<T>> {
        let _guard = fork::protect();
        self.current.read().clone()
    }

    /// Returns the instance. If there is none, it is opened with `open`, without a lock held: of several threads that
    /// do so at once, all get the same instance.
    pub(crate) fn get_or_open(&self, open: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let _guard = fork::protect();
        if let Some(instance) = self.get() {
            return Ok(instance);
        }
        let new = Arc::new(open()?);
        let mut current = self.current.write();
        let instance = current.get_or_insert_with(|| new.clone()).clone();
        // Another thread may have published this instance already.
        let published = self.published.replace(Some(instance.clone()));
        drop(current);
        // After the lock is released: if another thread was first, this drops the new instance.
        drop((new, published));
        Ok(instance)
    }

    /// Returns the instance without a lock, if there is one.
    #[inline]
    pub(crate) fn peek<'r>(&'r self, reading: &'r PublishedGuard) -> Option<&'r T> {
        self.published.get(reading)
    }

    /// Replaces the instance, and returns the old one. With `None`, one is opened on next use.
    pub(crate) fn replace(&self, new: Option<Arc<T>>) -> Option<Arc<T>> {
        let _guard = fork::protect();
        self.replace_locked(self.current.write(), new)
    }

    /// Replaces the instance if it is still `expected`. Returns `false` if another thread has replaced it.
    pub(crate) fn replace_if(&self, expected: Option<&Arc<T>>, new: Option<Arc<T>>) -> bool {
        let _guard = fork::protect();
        let current = self.current.write();
        let is_expected = current.as_ref().map(Arc::as_ptr) == expected.map(Arc::as_ptr);
        if is_expected {
            drop(self.replace_locked(current, new));
        }
        is_expected
    }

    /// Releases the lock, and returns the old instance.
    fn replace_locked(&self, mut current: RwLockWriteGuard<'_, Option<Arc<T>>>, new: Option<Arc<T>>) -> Option<Arc<T>> {
        let published = self.published.replace(new.clone());
        let old = std::mem::replace(&mut *current, new);
        drop(current);
        drop(published);
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_or_open_opens_once_and_replace_keeps_old_references() {
        let shared = ProcessDefault::new();
        assert!(shared.get().is_none());
        let first = shared.get_or_open(|| Ok(1)).unwrap();
        assert!(Arc::ptr_eq(&first, &shared.get_or_open(|| unreachable!()).unwrap()));
        assert_eq!(shared.peek(&fork::read().unwrap()), Some(&1));
        let replaced = shared.replace(Some(Arc::new(2))).unwrap();
        assert!(Arc::ptr_eq(&first, &replaced));
        assert_eq!((*first, shared.get().as_deref(), shared.peek(&fork::read().unwrap())), (1, Some(&2), Some(&2)));
        assert!(!shared.replace_if(Some(&first), None));
        assert!(shared.replace_if(shared.get().as_ref(), None));
        assert!(shared.get().is_none() && shared.peek(&fork::read().unwrap()).is_none());
        assert_eq!(*shared.get_or_open(|| Ok(3)).unwrap(), 3);
    }
}
