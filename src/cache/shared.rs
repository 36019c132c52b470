//! Shared access to the entries: readers, the lock, writers. All the unsafe code of the cache is here.
//!
//! Many threads read at the same time, each in a slot of its own (see `reader_slots.rs`). A writer takes the lock; with
//! it it may use the data that only writers use, while readers continue. Before it changes data that readers read it
//! drains the readers.

use std::alloc::{Layout, alloc_zeroed};
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::OnceLock;

use super::reader_slots::{ReaderSlot, ReaderSlots, Refused};
use super::recency::SlotRecency;
use super::thread;
use crate::fork;

/// Data `R` that many threads read and one writes, and data `W` that only writers use.
pub(super) struct Shared<R, W> {
    slots: Arc<ReaderSlots<SlotRecency>>,
    read: UnsafeCell<R>,
    write: Apart<UnsafeCell<W>>,
}

/// Aligned to cache lines of its own, so that writers do not disturb readers of the other data.
#[repr(align(128))]
struct Apart<T>(T);

// SAFETY: threads reach `R` together as `&R`, which `Sync` allows, or one alone as `&mut R`, which `Send` allows; `W`
// is reached by one thread at a time. Which it is, the slots and the lock decide: see the guards.
unsafe impl<R: Send + Sync, W: Send> Sync for Shared<R, W> {}

/// A reader in a slot.
pub(super) struct SlotGuard<'a, R, W> {
    shared: &'a Shared<R, W>,
    slot: &'a ReaderSlot<SlotRecency>,
}

/// The lock. Readers continue.
pub(super) struct UpgradableGuard<'a, R, W>(&'a Shared<R, W>);

/// Exclusive access to everything: the lock is held and no reader is in a slot.
pub(super) struct WriteGuard<'a, R, W>(&'a Shared<R, W>);

impl<R, W> Shared<R, W> {
    pub(super) fn new(read: R, write: W) -> Shared<R, W> {
        let slots = Arc::new(ReaderSlots::new(slot_count(), SlotRecency::new));
        fork::register_readers(slots.clone());
        Shared { slots, read: UnsafeCell::new(read), write: Apart(UnsafeCell::new(write)) }
    }

    /// Enters as a reader, for a short time. The thread must not use this data in another way meanwhile.
    #[inline(always)]
    pub(super) fn read(&self) -> SlotGuard<'_, R, W> {
        let number = thread::slot(self.slots.count());
        let slot = match self.slots.enter(number) {
            Ok(slot) => slot,
            Err(refused) => self.enter_slowly(number, refused),
        };
        SlotGuard { shared: self, slot }
    }

    #[cold]
    fn enter_slowly(&self, number: usize, mut refused: Refused) -> &ReaderSlot<SlotRecency> {
        if refused == Refused::Blocked {
            self.slots.wait_until_admitted();
            match self.slots.enter(number) {
                Ok(slot) => return slot,
                Err(again) => refused = again,
            }
        }
        // Either writers block the readers again and again; then this one waits for the lock, with which readers stay
        // admitted. Or another thread uses the slot; then this one moves to the next slot and stays there.
        let _locked = self.lock();
        if refused == Refused::Blocked
            && let Ok(slot) = self.slots.enter(number)
        {
            return slot;
        }
        loop {
            for step in 1..=self.slots.count() {
                let next = (number + step) & (self.slots.count() - 1);
                if let Ok(slot) = self.slots.enter(next) {
                    thread::use_slot(next);
                    // Keeps the order of use within this thread.
                    slot.data.continue_from(&self.slots.slot(number).data);
                    return slot;
                }
            }
            self.slots.wait_until_left(self.slots.slot(number));
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> UpgradableGuard<'_, R, W> {
        self.slots.lock();
        UpgradableGuard(self)
    }

    /// Takes the lock, unless another thread holds it or waits for it.
    pub(super) fn try_lock(&self) -> Option<UpgradableGuard<'_, R, W>> {
        self.slots.try_lock().then(|| UpgradableGuard(self))
    }
}

impl<R, W> Drop for Shared<R, W> {
    fn drop(&mut self) {
        fork::unregister_readers(&self.slots);
    }
}

impl<'a, R, W> SlotGuard<'a, R, W> {
    #[inline]
    pub(super) fn data(&self) -> &R {
        // SAFETY: while the slot is marked, no `&mut R` exists: that takes a `WriteGuard`, which exists only between
        // `ReaderSlots::drain_readers`, which returned after it saw no slot marked, and `ReaderSlots::admit_readers`. A
        // reader that marks its slot in between sees that readers are blocked and does not become a `SlotGuard`. What
        // the last writer did is visible: it admitted readers with a release that `ReaderSlots::enter` acquired.
        unsafe { &*self.shared.read.get() }
    }

    /// What belongs to the slot.
    #[inline(always)]
    pub(super) fn slot(&self) -> &'a SlotRecency {
        &self.slot.data
    }
}

impl<R, W> Drop for SlotGuard<'_, R, W> {
    #[inline(always)]
    fn drop(&mut self) {
        self.shared.slots.leave(self.slot);
    }
}

impl<'a, R, W> UpgradableGuard<'a, R, W> {
    #[inline]
    pub(super) fn parts(&mut self) -> (&R, &mut W) {
        // SAFETY: a `&mut R` takes a `WriteGuard`, which takes the lock, which this guard holds, and borrows this
        // guard.
        let read = unsafe { &*self.0.read.get() };
        // SAFETY: `W` is only used with the lock, which this guard holds, and `&mut self` keeps it from being borrowed
        // twice.
        let write = unsafe { &mut *self.0.write.0.get() };
        (read, write)
    }

    /// Drains the readers, until the returned guard is dropped.
    #[inline]
    pub(super) fn upgrade(&mut self) -> WriteGuard<'_, R, W> {
        self.0.slots.drain_readers();
        WriteGuard(self.0)
    }
}

impl<R, W> Drop for UpgradableGuard<'_, R, W> {
    #[inline]
    fn drop(&mut self) {
        self.0.slots.unlock();
    }
}

impl<'a, R, W> WriteGuard<'a, R, W> {
    #[inline]
    pub(super) fn parts(&mut self) -> (&mut R, &mut W) {
        // SAFETY: no reader is inside (see `SlotGuard::data`), the lock keeps other writers away, the guard of the lock
        // is borrowed, and `&mut self` keeps this one from borrowing either twice.
        unsafe { (&mut *self.0.read.get(), &mut *self.0.write.0.get()) }
    }

    /// What belongs to the slot of this thread. No reader is in it.
    #[inline]
    pub(super) fn slot(&self) -> &'a SlotRecency {
        let slots = &self.0.slots;
        &slots.slot(thread::slot(slots.count())).data
    }
}

impl<R, W> WriteGuard<'_, R, W> {
    /// Returns the sums over all slots, none of which has a reader in it.
    pub(super) fn hits_and_misses(&self) -> (u64, u64) {
        let slots = (0..self.0.slots.count()).map(|number| self.0.slots.slot(number).data.hits_and_misses());
        slots.fold((0, 0), |sum, slot| (sum.0 + slot.0, sum.1 + slot.1))
    }
}

impl<R, W> Drop for WriteGuard<'_, R, W> {
    #[inline]
    fn drop(&mut self) {
        self.0.slots.admit_readers();
    }
}

/// Allocates this many zeros, at least 1; `None` if there is no memory. (`vec!` would abort.)
pub(super) fn zeros(len: usize) -> Option<Vec<u64>> {
    let layout = Layout::array::<u64>(len).ok()?;
    // SAFETY: the layout is not empty.
    let zeros = NonNull::new(unsafe { alloc_zeroed(layout) })?;
    // SAFETY: the block is new, comes from the allocator of `Vec` with the layout of `len` words, and zeros are words.
    Some(unsafe { Vec::from_raw_parts(zeros.as_ptr().cast(), len, len) })
}

/// Moves a value out of its place and wipes the place. No copy is left on the stack.
pub(super) fn move_out<T>(place: &mut Option<T>, to: &mut Option<T>) {
    *to = None;
    // SAFETY: both are valid and differ, as they are borrowed for writing. `to` holds `None`, which needs no drop, and
    // takes the value over; what is left in `place` is no longer used as a value, and in the end it holds `None`.
    unsafe {
        std::ptr::copy_nonoverlapping(place, to, 1);
        std::ptr::from_mut(place).write_bytes(0, 1);
        std::ptr::from_mut(place).write(None);
    }
}

/// Returns twice the number of processors, so that threads rarely share a slot: a power of two between 4 and 64.
fn slot_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    // Inside the fork guard, so that no child is forked during the initialization.
    let _guard = fork::protect();
    *COUNT.get_or_init(|| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        (processors * 2).next_power_of_two().clamp(4, 64)
    })
}

impl fork::PauseReaders for ReaderSlots<SlotRecency> {
    fn pause(&self) {
        self.lock();
        self.drain_readers();
    }

    fn resume(&self) {
        self.admit_readers();
        self.unlock();
    }

    fn resume_in_child(&self) {
        self.free_slots_in_child();
        self.resume();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that marks its slot when readers are blocked, and is interrupted until the fork is over.
    struct Interrupted(Arc<ReaderSlots<SlotRecency>>);

    impl fork::PauseReaders for Interrupted {
        fn pause(&self) {
            self.0.mark(2);
        }

        fn resume(&self) {
            self.0.leave(self.0.slot(2));
        }

        fn resume_in_child(&self) {}
    }

    #[test]
    fn child_does_not_wait_for_reader_of_parent() {
        let shared = Shared::new((), ());
        let reader = Arc::new(Interrupted(shared.slots.clone()));
        // Those that were registered first are stopped first.
        fork::register_readers(reader.clone());
        // SAFETY: the child looks at one slot and ends, without running anything of the parent's.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = i32::from(shared.slots.enter(2).is_err());
            // SAFETY: ends this process at once.
            unsafe { libc::_exit(code) };
        }
        fork::unregister_readers(&reader);
        let mut status = 0;
        // SAFETY: `child` is a child of this process that was not waited for yet, and `status` is writable.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 0));
        assert!(shared.slots.enter(2).is_ok());
    }
}
