//! A shared value with lock-free reads (RCU): readers write only to their own slot and count no references.

use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

use crate::fork::{self, PublishedGuard};

/// A value that any number of threads can read with a [`PublishedGuard`], and that any thread can replace.
pub(crate) struct Published<T> {
    /// NULL, or a result of `Arc::into_raw`.
    current: AtomicPtr<T>,
    owned: PhantomData<Arc<T>>,
}

impl<T> Published<T> {
    pub(crate) const fn empty() -> Published<T> {
        Published { current: AtomicPtr::new(ptr::null_mut()), owned: PhantomData }
    }

    pub(crate) fn new(value: Option<Arc<T>>) -> Published<T> {
        Published { current: AtomicPtr::new(into_raw(value)), owned: PhantomData }
    }

    /// The current value, as long as the guard lives.
    #[inline]
    pub(crate) fn get<'r>(&'r self, _: &'r PublishedGuard) -> Option<&'r T> {
        // SAFETY: the pointer is NULL or a reference of this object. `replace` releases it only after every thread that
        // was reading at that time has ended its read: see `fork::wait_for_readers`. This thread reads for `'r`, and
        // loads the pointer after it started to.
        unsafe { self.current.load(SeqCst).as_ref() }
    }

    /// Replaces the current value. Returns the previous one, which no reader uses any longer.
    pub(crate) fn replace(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
        let before = self.current.swap(into_raw(value), SeqCst);
        if before.is_null() {
            return None;
        }
        fork::wait_for_readers();
        // SAFETY: the pointer came from `Arc::into_raw`, and the exchange removed it for this call only.
        Some(unsafe { Arc::from_raw(before) })
    }
}

impl<T> Drop for Published<T> {
    fn drop(&mut self) {
        let current = *self.current.get_mut();
        if !current.is_null() {
            // SAFETY: as in `replace`; this object is exclusively ours, so nothing reads it.
            drop(unsafe { Arc::from_raw(current) });
        }
    }
}

fn into_raw<T>(value: Option<Arc<T>>) -> *mut T {
    value.map_or(ptr::null_mut(), |value| Arc::into_raw(value).cast_mut())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn replace_waits_for_readers_of_the_old_value() {
        let published = Arc::new(Published::new(Some(Arc::new(1))));
        let (begun, is_reading) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let shared = published.clone();
        let reader = thread::spawn(move || {
            let reading = fork::read().unwrap();
            let value = shared.get(&reading).unwrap();
            begun.send(()).unwrap();
            may_end.recv().unwrap();
            *value
        });
        is_reading.recv().unwrap();
        let writer = thread::spawn(move || (published.replace(Some(Arc::new(2))), published.replace(None)));
        thread::sleep(Duration::from_millis(20));
        assert!(!writer.is_finished());
        end.send(()).unwrap();
        assert_eq!(reader.join().unwrap(), 1);
        assert_eq!(writer.join().unwrap(), (Some(Arc::new(1)), Some(Arc::new(2))));
    }

    /// Counts its live instances. Its value becomes invalid when it is dropped.
    struct Counted(u64, Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0 = 0;
            self.1.fetch_sub(1, SeqCst);
        }
    }

    #[test]
    fn concurrent_readers_see_only_live_values() {
        let (count, stop) = (Arc::new(AtomicUsize::new(0)), AtomicBool::new(false));
        let published = Published::new(None);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(SeqCst) {
                        let reading = fork::read().unwrap();
                        assert!(published.get(&reading).is_none_or(|counted: &Counted| counted.0 == 7));
                    }
                });
            }
            let writers = [(); 2].map(|()| {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        count.fetch_add(1, SeqCst);
                        drop(published.replace(Some(Arc::new(Counted(7, count.clone())))));
                    }
                })
            });
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            stop.store(true, SeqCst);
        });
        assert_eq!(count.load(SeqCst), 1);
        drop(published);
        assert_eq!(count.load(SeqCst), 0);
    }
}
