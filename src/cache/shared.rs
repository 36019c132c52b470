//! Who may look at the entries, and who may change them.

use std::ops::{Deref, DerefMut};

use parking_lot::{Mutex, MutexGuard};

use super::touches::Touches;
use crate::fork::{self, Inside};

/// Data that many read and one writes, with lists of what the readers used.
pub(super) struct Shared<T> {
    inner: Mutex<(T, Touches)>,
}

/// The right to be the next writer. Readers go on meanwhile.
pub(super) struct Locked<'a, T> {
    inner: MutexGuard<'a, (T, Touches)>,
    _inside: Inside,
}

/// The data, for this writer alone.
pub(super) struct Writing<'a, T>(Locked<'a, T>);

impl<T> Shared<T> {
    pub(super) fn new(data: T) -> Shared<T> {
        Shared { inner: Mutex::new((data, Touches::default())) }
    }

    /// Reads. `look` must be short, must not panic and must not call this cache.
    pub(super) fn read<R>(&self, look: impl FnOnce(&T, &mut Touches) -> R) -> R {
        let _inside = fork::enter();
        let mut inner = self.inner.lock();
        let (data, touches) = &mut *inner;
        look(data, touches)
    }

    pub(super) fn lock(&self) -> Locked<'_, T> {
        let inside = fork::enter();
        Locked { inner: self.inner.lock(), _inside: inside }
    }

    /// The same, unless somebody is writing now.
    pub(super) fn try_lock(&self) -> Option<Locked<'_, T>> {
        let inside = fork::enter();
        Some(Locked { inner: self.inner.try_lock()?, _inside: inside })
    }
}

impl<'a, T> Locked<'a, T> {
    /// Keeps readers out and hands their lists to `apply` first.
    pub(super) fn write(mut self, mut apply: impl FnMut(&mut T, &mut Touches)) -> Writing<'a, T> {
        let (data, touches) = &mut *self.inner;
        apply(data, touches);
        Writing(self)
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner.0
    }
}

impl<'a, T> Writing<'a, T> {
    /// Lets readers in again.
    pub(super) fn done(self) -> Locked<'a, T> {
        self.0
    }
}

impl<T> Deref for Writing<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.inner.0
    }
}

impl<T> DerefMut for Writing<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0.inner.0
    }
}
