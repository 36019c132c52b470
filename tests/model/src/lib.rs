//! Every interleaving of readers, writers and forks at the cache's lock: no reader is inside together with a writer
//! that has drained the readers, and none sees half of what a writer did.
#![cfg(all(test, loom))]

#[path = "../../../src/cache/reader_slots.rs"]
mod reader_slots;
mod sys;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use reader_slots::{ReaderSlots, Refused};

/// What belongs to a slot: how often it was read in.
struct Reads(UnsafeCell<u32>);

impl Default for Reads {
    fn default() -> Reads {
        Reads(UnsafeCell::new(0))
    }
}

/// Two halves that a writer changes one after the other. The checker fails where a read meets a write.
struct Data {
    slots: ReaderSlots<Reads>,
    halves: (UnsafeCell<u32>, UnsafeCell<u32>),
    /// Used with the lock alone.
    ledger: UnsafeCell<u32>,
}

// The checker itself watches over the cells.
unsafe impl Send for Data {}
unsafe impl Sync for Data {}

impl Data {
    fn new(slots: usize) -> Arc<Data> {
        let halves = (UnsafeCell::new(0), UnsafeCell::new(0));
        Arc::new(Data { slots: ReaderSlots::new(slots, |_| Reads::default()), halves, ledger: UnsafeCell::new(0) })
    }

    /// As `Shared::read` does it, but gives up where that would take the lock.
    fn read(&self, number: usize) -> Result<(u32, u32), Refused> {
        let slot = self.slots.enter(number)?;
        let seen = unsafe { (self.halves.0.with(|half| *half), self.halves.1.with(|half| *half)) };
        slot.data.0.with_mut(|reads| unsafe { *reads += 1 });
        self.slots.leave(slot);
        Ok(seen)
    }

    /// The same, but waits as `Shared::read` does where readers are blocked.
    fn read_at_last(&self, number: usize) -> (u32, u32) {
        if let Ok(seen) = self.read(number) {
            return seen;
        }
        self.slots.wait_until_admitted();
        if let Ok(seen) = self.read(number) {
            return seen;
        }
        self.slots.lock();
        let seen = self.read(number).unwrap();
        self.slots.unlock();
        seen
    }

    /// As `Shared::lock` and `UpgradableGuard::upgrade` do it; how often the slots were read in so far.
    fn write(&self) -> u32 {
        self.slots.lock();
        self.ledger.with_mut(|ledger| unsafe { *ledger += 1 });
        // Others may read, but not write.
        assert_eq!(self.halves.0.with(|half| unsafe { *half }), self.halves.1.with(|half| unsafe { *half }));
        self.slots.drain_readers();
        let slots = (0..self.slots.count()).map(|number| self.slots.slot(number));
        let reads = slots.map(|slot| slot.data.0.with(|reads| unsafe { *reads })).sum();
        self.halves.0.with_mut(|half| unsafe { *half += 1 });
        self.halves.1.with_mut(|half| unsafe { *half += 1 });
        self.slots.admit_readers();
        self.ledger.with_mut(|ledger| unsafe { *ledger += 1 });
        self.slots.unlock();
        reads
    }
}

/// Every interleaving in which threads are interrupted three times at most; more of that takes hours and, says the
/// literature, finds next to nothing.
fn check(model: impl Fn() + Send + Sync + 'static) {
    check_deeply(3, model);
}

/// Every interleaving with this many interruptions at most.
fn check_deeply(interruptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(interruptions);
    builder.max_branches = 20_000;
    builder.check(model);
}

fn assert_whole(seen: Result<(u32, u32), Refused>) -> u32 {
    if let Ok((first, second)) = seen {
        assert_eq!(first, second);
    }
    seen.is_ok().into()
}

#[test]
fn readers_in_slots_of_their_own_and_a_writer() {
    check(|| {
        let data = Data::new(2);
        let readers = [0, 1].map(|number| {
            let data = data.clone();
            thread::spawn(move || assert_whole(data.read(number)))
        });
        let some = data.write();
        let read: u32 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(some <= read && data.write() == read);
    });
}

#[test]
fn readers_that_share_a_slot() {
    check(|| {
        let data = Data::new(1);
        let other = {
            let data = data.clone();
            thread::spawn(move || assert_whole(data.read(0)) + assert_whole(data.read(0)))
        };
        let read = assert_whole(data.read(0)) + other.join().unwrap();
        assert_eq!(data.write(), read);
    });
}

#[test]
fn a_reader_comes_in_after_the_writer() {
    check(|| {
        let data = Data::new(1);
        let writer = {
            let data = data.clone();
            thread::spawn(move || {
                data.write();
                data.write();
            })
        };
        assert_whole(data.read(0));
        writer.join().unwrap();
        assert_eq!(data.read(0), Ok((2, 2)));
    });
}

#[test]
fn a_writer_and_a_stop_for_a_fork() {
    check(|| {
        let data = Data::new(1);
        let forking = {
            let data = data.clone();
            thread::spawn(move || {
                data.slots.lock();
                data.slots.drain_readers();
                // At this moment the child is made: no thread may be inside.
                data.slots.slot(0).data.0.with_mut(|_| ());
                data.halves.0.with_mut(|_| ());
                data.slots.admit_readers();
                data.slots.unlock();
            })
        };
        data.write();
        forking.join().unwrap();
        assert_eq!(data.read(0), Ok((1, 1)));
    });
}

#[test]
fn waiting_writers_are_woken() {
    check(|| {
        let data = Data::new(0);
        let writers = [(); 2].map(|()| {
            let data = data.clone();
            thread::spawn(move || data.write())
        });
        // Asks for its turn as soon as another has passed it.
        data.write();
        data.write();
        for writer in writers {
            writer.join().unwrap();
        }
        data.slots.lock();
        assert_eq!(data.halves.0.with(|half| unsafe { *half }), 4);
    });
}

#[test]
fn a_writer_that_asks_for_its_turn_is_woken() {
    // That it asks takes some interruptions, and that it does so while the lock is given back some more.
    check_deeply(6, || {
        let data = Data::new(0);
        let writer = {
            let data = data.clone();
            thread::spawn(move || {
                data.slots.lock();
                data.slots.unlock();
            })
        };
        for _ in 0..2 {
            data.slots.lock();
            data.slots.unlock();
        }
        writer.join().unwrap();
    });
}

#[test]
fn waiting_readers_are_woken() {
    check(|| {
        let data = Data::new(1);
        let reader = {
            let data = data.clone();
            thread::spawn(move || {
                let (first, second) = data.read_at_last(0);
                assert_eq!(first, second);
            })
        };
        data.write();
        data.write();
        reader.join().unwrap();
        assert_eq!(data.read(0), Ok((2, 2)));
    });
}
