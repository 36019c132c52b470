//! Every interleaving of readers, writers and forks at the cache's door: no reader is inside together with a writer,
//! and none sees half of what a writer did.
#![cfg(all(test, loom))]

#[path = "../../../src/cache/flags.rs"]
mod flags;
mod sys;

use flags::{Flags, Refused};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// Two halves that a writer changes one after the other. The checker fails where a read meets a write.
struct Data {
    flags: Flags,
    halves: (UnsafeCell<u32>, UnsafeCell<u32>),
    lists: Vec<UnsafeCell<u32>>,
}

// The checker itself watches over the cells.
unsafe impl Send for Data {}
unsafe impl Sync for Data {}

impl Data {
    fn new(flags: usize) -> Arc<Data> {
        let flags = Flags::new(flags);
        let lists = (0..flags.count()).map(|_| UnsafeCell::new(0)).collect();
        let halves = (UnsafeCell::new(0), UnsafeCell::new(0));
        Arc::new(Data { flags, halves, lists })
    }

    /// As `Shared::read` does it, but gives up where that would take the lock.
    fn read(&self, number: usize) -> Result<(u32, u32), Refused> {
        self.flags.enter(number)?;
        let seen = unsafe { (self.halves.0.with(|half| *half), self.halves.1.with(|half| *half)) };
        self.lists[number].with_mut(|list| unsafe { *list += 1 });
        self.flags.leave(number);
        Ok(seen)
    }

    /// The same, but waits as `Shared::read` does where the door is shut.
    fn read_at_last(&self, number: usize) -> (u32, u32) {
        if let Ok(seen) = self.read(number) {
            return seen;
        }
        self.flags.wait_until_open();
        if let Ok(seen) = self.read(number) {
            return seen;
        }
        self.flags.lock();
        let seen = self.read(number).unwrap();
        self.flags.unlock();
        seen
    }

    /// As `Shared::write` does it, or `Shared::lock` and then `Locked::write`.
    fn write(&self, in_two_steps: bool) -> u32 {
        if in_two_steps {
            self.flags.lock();
            // Others may read, but not write.
            assert_eq!(self.halves.0.with(|half| unsafe { *half }), self.halves.1.with(|half| unsafe { *half }));
            self.flags.shut();
        } else {
            self.flags.lock_and_shut();
        }
        let notes = self.lists.iter().map(|list| list.with_mut(|list| unsafe { std::mem::take(&mut *list) })).sum();
        self.halves.0.with_mut(|half| unsafe { *half += 1 });
        self.halves.1.with_mut(|half| unsafe { *half += 1 });
        if in_two_steps {
            self.flags.open();
        }
        self.flags.unlock();
        notes
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
fn readers_with_flags_of_their_own_and_a_writer() {
    check(|| {
        let data = Data::new(2);
        let readers = [0, 1].map(|number| {
            let data = data.clone();
            thread::spawn(move || assert_whole(data.read(number)))
        });
        let notes = data.write(true);
        let read: u32 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        // No note is lost: what this write did not find, the next does.
        assert_eq!(notes + data.write(false), read);
    });
}

#[test]
fn readers_that_share_a_flag() {
    check(|| {
        let data = Data::new(1);
        let other = {
            let data = data.clone();
            thread::spawn(move || assert_whole(data.read(0)) + assert_whole(data.read(0)))
        };
        let read = assert_whole(data.read(0)) + other.join().unwrap();
        assert_eq!(data.write(false), read);
    });
}

#[test]
fn a_reader_comes_in_after_the_writer() {
    check(|| {
        let data = Data::new(1);
        let writer = {
            let data = data.clone();
            thread::spawn(move || {
                data.write(true);
                data.write(false);
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
                data.flags.lock_and_shut();
                // At this moment the child is made: nobody may be inside.
                data.lists[0].with_mut(|_| ());
                data.halves.0.with_mut(|_| ());
                data.flags.unlock();
            })
        };
        data.write(true);
        forking.join().unwrap();
        assert_eq!(data.read(0), Ok((1, 1)));
    });
}

#[test]
fn waiting_writers_are_woken() {
    check(|| {
        let data = Data::new(0);
        let writers = [true, false].map(|in_two_steps| {
            let data = data.clone();
            thread::spawn(move || data.write(in_two_steps))
        });
        // Asks for its turn as soon as another has passed it.
        data.write(false);
        data.write(false);
        for writer in writers {
            writer.join().unwrap();
        }
        data.flags.lock();
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
                data.flags.lock_and_shut();
                data.flags.unlock();
            })
        };
        for _ in 0..2 {
            data.flags.lock();
            data.flags.unlock();
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
        data.write(true);
        data.write(false);
        reader.join().unwrap();
        assert_eq!(data.read(0), Ok((2, 2)));
    });
}
