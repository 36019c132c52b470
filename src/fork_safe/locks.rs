//! Locks that keep the rule of [`fork`](crate::fork): they are only held by a thread that is protected.
//!
//! In debug builds, and so in the integration tests, each lock checks that its thread is protected. In them and in unit
//! tests, `fork` checks that no lock is held where the protection ends. In release builds these are the locks of
//! `parking_lot`.

#[cfg(not(debug_assertions))]
pub(crate) use parking_lot::{Mutex, RwLock, RwLockWriteGuard};

#[cfg(debug_assertions)]
pub(crate) use checked::{Mutex, RwLock, RwLockWriteGuard};

#[cfg(debug_assertions)]
mod checked {
    use parking_lot::lock_api;

    use crate::fork;

    pub(crate) type Mutex<T> = lock_api::Mutex<Checked<parking_lot::RawMutex>, T>;
    pub(crate) type RwLock<T> = lock_api::RwLock<Checked<parking_lot::RawRwLock>, T>;
    pub(crate) type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, Checked<parking_lot::RawRwLock>, T>;

    pub(crate) struct Checked<R>(R);

    fn counted(is_locked: bool) -> bool {
        if is_locked {
            fork::lock_taken();
        }
        is_locked
    }

    // SAFETY: the lock inside excludes the others; this only counts.
    unsafe impl lock_api::RawMutex for Checked<parking_lot::RawMutex> {
        const INIT: Self = Checked(parking_lot::RawMutex::INIT);
        type GuardMarker = lock_api::GuardNoSend;

        fn lock(&self) {
            fork::lock_taken();
            self.0.lock();
        }

        fn try_lock(&self) -> bool {
            counted(self.0.try_lock())
        }

        unsafe fn unlock(&self) {
            // SAFETY: the caller holds the lock.
            unsafe { self.0.unlock() };
            fork::lock_released();
        }
    }

    // SAFETY: as above.
    unsafe impl lock_api::RawRwLock for Checked<parking_lot::RawRwLock> {
        const INIT: Self = Checked(parking_lot::RawRwLock::INIT);
        type GuardMarker = lock_api::GuardNoSend;

        fn lock_shared(&self) {
            fork::lock_taken();
            self.0.lock_shared();
        }

        fn try_lock_shared(&self) -> bool {
            counted(self.0.try_lock_shared())
        }

        unsafe fn unlock_shared(&self) {
            // SAFETY: the caller holds the lock.
            unsafe { self.0.unlock_shared() };
            fork::lock_released();
        }

        fn lock_exclusive(&self) {
            fork::lock_taken();
            self.0.lock_exclusive();
        }

        fn try_lock_exclusive(&self) -> bool {
            counted(self.0.try_lock_exclusive())
        }

        unsafe fn unlock_exclusive(&self) {
            // SAFETY: the caller holds the lock.
            unsafe { self.0.unlock_exclusive() };
            fork::lock_released();
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::fork;

    fn panics(body: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(body)).is_err()
    }

    #[test]
    fn lock_outside_the_protection_panics() {
        fork::IS_STRICT.set(true);
        let (mutex, lock) = (Mutex::new(0), RwLock::new(0));
        assert!(panics(|| drop(mutex.lock())));
        assert!(panics(|| drop(lock.read())));
        assert!(panics(|| drop(lock.write())));
        let _guard = fork::protect();
        drop((mutex.lock(), lock.read()));
        drop(lock.write());
        assert!(panics(|| fork::unprotected(|| drop(mutex.lock()))));
    }

    #[test]
    fn lock_held_where_the_protection_ends_panics() {
        fork::IS_STRICT.set(true);
        let mutex = Mutex::new(0);
        let guard = fork::protect();
        let locked = mutex.lock();
        assert!(panics(|| fork::unprotected(|| ())));
        assert!(panics(move || drop(guard)));
        drop(locked);
        let _guard = fork::protect();
        fork::unprotected(|| ());
    }
}
