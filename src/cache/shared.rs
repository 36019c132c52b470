//! Who may look at the entries, and who may change them. All the unsafe code of the cache is here.
//!
//! Many read at once, without writing to memory that another reader writes to: each goes in under a flag of its own
//! (see `flags.rs`), and what it leaves behind goes to the list that belongs to that flag. A thread that changes
//! something takes the lock, shuts the door, and waits until all readers are out.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::OnceLock;

use super::flags::{Flags, Refused};
use super::thread;
use super::touches::Touches;
use crate::fork;

#[repr(align(128))]
struct List(UnsafeCell<Touches>);

/// Data that many read and one writes, with lists of what the readers used.
pub(super) struct Shared<T> {
    flags: Arc<Flags>,
    /// One for each flag.
    lists: Box<[List]>,
    data: UnsafeCell<T>,
}

// SAFETY: threads reach the data together as `&T`, which `T: Sync` allows, or one alone as `&mut T`, which `T: Send`
// allows; a list is reached by one thread at a time. Which it is, the flags and the lock decide: see the guards.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

/// A reader, inside under the flag `number`.
pub(super) struct Reading<'a, T> {
    shared: &'a Shared<T>,
    number: usize,
}

/// The right to be the next writer. Readers go on meanwhile.
pub(super) struct Locked<'a, T>(&'a Shared<T>);

/// The data, for this writer alone: the lock is held, the door is shut, and all readers are out.
pub(super) struct Writing<'a, T>(Locked<'a, T>);

impl<T> Shared<T> {
    pub(super) fn new(data: T) -> Shared<T> {
        let flags = Arc::new(Flags::new(flag_count()));
        let lists = (0..flags.count()).map(|_| List(UnsafeCell::default())).collect();
        fork::stop_around_forks(flags.clone());
        Shared { flags, lists, data: UnsafeCell::new(data) }
    }

    /// Goes in to read, for a short time; the thread must not use this data in another way meanwhile. `settle` takes
    /// over the lists should this thread have to go on with another one.
    #[inline]
    pub(super) fn read(&self, settle: impl FnMut(&mut T, &mut Touches)) -> Reading<'_, T> {
        let slot = thread::slot();
        let number = slot as usize & (self.lists.len() - 1);
        match self.flags.enter(number) {
            Ok(()) => Reading { shared: self, number },
            Err(refused) => self.read_slowly(slot, refused, settle),
        }
    }

    #[cold]
    fn read_slowly(&self, slot: u32, mut refused: Refused, settle: impl FnMut(&mut T, &mut Touches)) -> Reading<'_, T> {
        let number = slot as usize & (self.lists.len() - 1);
        if refused == Refused::Shut {
            self.flags.wait_until_open();
            match self.flags.enter(number) {
                Ok(()) => return Reading { shared: self, number },
                Err(again) => refused = again,
            }
        }
        if refused == Refused::Shut {
            // Writers shut the door again and again, so this one waits for its turn among them. With the lock held the
            // door stays open.
            let _locked = self.lock();
            if self.flags.enter(number).is_ok() {
                return Reading { shared: self, number };
            }
        }
        // Two threads share this flag, so this one moves to another, for good. What it has in the old list is put in
        // order first: the lists know no order between each other.
        let _locked = self.write(settle).done();
        loop {
            for slot in slot..slot + self.lists.len() as u32 {
                let number = slot as usize & (self.lists.len() - 1);
                if self.flags.enter(number).is_ok() {
                    thread::use_slot(number as u32);
                    return Reading { shared: self, number };
                }
            }
            self.flags.wait_until_out(number);
        }
    }

    pub(super) fn lock(&self) -> Locked<'_, T> {
        self.flags.lock();
        Locked(self)
    }

    /// The same, unless somebody is writing now.
    pub(super) fn try_lock(&self) -> Option<Locked<'_, T>> {
        self.flags.try_lock().then(|| Locked(self))
    }

    /// Keeps readers out and hands their lists to `settle` first.
    #[inline]
    pub(super) fn write(&self, settle: impl FnMut(&mut T, &mut Touches)) -> Writing<'_, T> {
        self.flags.lock_and_shut();
        Writing::begin(Locked(self), settle)
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        fork::forget(&self.flags);
    }
}

impl<T> Reading<'_, T> {
    /// The data, and the list for this reader's notes.
    #[inline]
    pub(super) fn parts(&mut self) -> (&T, &mut Touches) {
        // SAFETY: while the flag is up, nobody has a `&mut T`: that takes a `Writing`, which exists only between
        // `Flags::shut` or
        // `Flags::lock_and_shut`, which returned after it saw every flag down, and `Flags::open` or `Flags::unlock`. A reader that raises its flag
        // in between sees the door shut and does not become a `Reading`. What the last writer did is visible: it
        // opened the door with a release that `Flags::enter` acquired.
        let data = unsafe { &*self.shared.data.get() };
        // SAFETY: the list belongs to this flag. Whoever holds the flag (`enter` gives it to one thread at a time, and
        // a release and an acquire order one after the other) is alone with it, and writers, who use all lists, are
        // kept out as above. `&mut self` keeps this reader from borrowing it twice.
        let touches = unsafe { &mut *self.shared.lists[self.number].0.get() };
        (data, touches)
    }
}

impl<T> Drop for Reading<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.shared.flags.leave(self.number);
    }
}

impl<'a, T> Locked<'a, T> {
    /// Goes on as [`Shared::write`] does.
    pub(super) fn write(self, settle: impl FnMut(&mut T, &mut Touches)) -> Writing<'a, T> {
        self.0.flags.shut();
        Writing::begin(self, settle)
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: a `&mut T` takes a `Writing`, which takes the lock, which this guard holds; the one made of this very
        // guard has swallowed it.
        unsafe { &*self.0.data.get() }
    }
}

impl<T> Drop for Locked<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.flags.unlock();
    }
}

impl<'a, T> Writing<'a, T> {
    /// The door is shut with this lock, and all readers are out.
    #[inline]
    fn begin(locked: Locked<'a, T>, mut settle: impl FnMut(&mut T, &mut Touches)) -> Writing<'a, T> {
        let shared = locked.0;
        let mut writing = Writing(locked);
        for list in &shared.lists {
            // SAFETY: the door is shut and all readers are out, and the lock keeps other writers away, so nobody else
            // has this list; the borrow ends before the next.
            let touches = unsafe { &mut *list.0.get() };
            if !touches.is_empty() {
                settle(&mut writing, touches);
            }
        }
        writing
    }

    /// Lets readers in again.
    pub(super) fn done(self) -> Locked<'a, T> {
        self.0.0.flags.open();
        self.0
    }
}

impl<T> Deref for Writing<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Writing<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: all readers are out (see `Writing`), the lock keeps other writers and holders of a `Locked` away, and
        // `&mut self` keeps this writer from borrowing it twice.
        unsafe { &mut *self.0.0.data.get() }
    }
}

/// Twice as many as there are processors, so that threads rarely meet at one; a power of two between 4 and 64.
fn flag_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    // Inside the gate, so that no child is forked while it is being counted.
    let _inside = fork::enter();
    *COUNT.get_or_init(|| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        (processors * 2).next_power_of_two().clamp(4, 64)
    })
}

impl fork::Readers for Flags {
    fn stop(&self) {
        self.lock_and_shut();
    }

    fn go_on(&self) {
        self.unlock();
    }

    fn go_on_in_child(&self) {
        self.unlock_in_child();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that raises its flag when the door is shut, and is interrupted until the fork is over.
    struct Interrupted(Arc<Flags>);

    impl fork::Readers for Interrupted {
        fn stop(&self) {
            self.0.raise(2);
        }

        fn go_on(&self) {
            self.0.leave(2);
        }

        fn go_on_in_child(&self) {}
    }

    #[test]
    fn a_child_does_not_wait_for_a_reader_of_its_parent() {
        let shared = Shared::new(());
        let reader = Arc::new(Interrupted(shared.flags.clone()));
        // Those that were made known first are stopped first.
        fork::stop_around_forks(reader.clone());
        // SAFETY: the child looks at one flag and ends, without running anything of the parent's.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = i32::from(shared.flags.enter(2).is_err());
            // SAFETY: ends this process at once.
            unsafe { libc::_exit(code) };
        }
        fork::forget(&reader);
        let mut status = 0;
        // SAFETY: `child` is a child of this process that was not waited for yet, and `status` is writable.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 0));
        assert_eq!(shared.flags.enter(2), Ok(()));
    }
}
