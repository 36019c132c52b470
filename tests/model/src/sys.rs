//! The calls to the system that the lock makes, for the checker: a thread is woken only by `futex_wake`, so that a
//! wake-up that is missed leaves a thread asleep, which the checker reports.

use std::time::Duration;

use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::sync::{Condvar, Mutex};

struct Sleeper {
    number: usize,
    word: usize,
    class: u32,
    woken: bool,
}

/// Those that sleep, the first to sleep first, and the number of the next.
#[derive(Default)]
struct Asleep {
    sleepers: Vec<Sleeper>,
    next: usize,
}

loom::lazy_static! {
    static ref ASLEEP: (Mutex<Asleep>, Condvar) = (Mutex::new(Asleep::default()), Condvar::new());
}

pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, class: u32) -> bool {
    let (asleep, changed) = (&ASLEEP.0, &ASLEEP.1);
    let mut asleep = asleep.lock().unwrap();
    if word.load(Relaxed) != expected {
        return false;
    }
    let number = asleep.next;
    asleep.next += 1;
    asleep.sleepers.push(Sleeper { number, word: address(word), class, woken: false });
    loop {
        asleep = changed.wait(asleep).unwrap();
        if let Some(at) = asleep.sleepers.iter().position(|sleeper| sleeper.number == number && sleeper.woken) {
            asleep.sleepers.remove(at);
            return true;
        }
    }
}

/// Its time may be over at once.
pub(crate) fn futex_wait_for(_: &AtomicU32, _: u32, _: u32, _: Duration) {
    loom::thread::yield_now();
}

pub(crate) fn futex_wake(word: &AtomicU32, class: u32, count: u32) -> usize {
    let mut asleep = ASLEEP.0.lock().unwrap();
    let is_meant = |sleeper: &&mut Sleeper| sleeper.word == address(word) && sleeper.class & class != 0 && !sleeper.woken;
    let mut woken = 0;
    for sleeper in asleep.sleepers.iter_mut().filter(is_meant).take(count as usize) {
        sleeper.woken = true;
        woken += 1;
    }
    if woken > 0 {
        ASLEEP.1.notify_all();
    }
    woken
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word).addr()
}
