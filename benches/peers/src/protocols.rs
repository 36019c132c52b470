//! What a reader does before and after it reads, by itself: the slot of the library beside what else keeps writers from
//! freeing what is read. Nothing writes meanwhile.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering::*};

use seize::Guard;

use crate::instructions::{counted, on_one_processor};
use crate::measure::{Course, Effort, in_turns, median, operation};
use crate::report::Table;

const REPEATS: usize = 40;

trait Protocol: Sync {
    fn read(&self) -> u64;
}

/// The protocol of src/cache/reader_slots.rs, with a slot for each of the threads.
struct Slots {
    blocked: AtomicU32,
    slots: [Slot; 64],
    next: AtomicUsize,
    data: u64,
}

#[repr(align(128))]
struct Slot(AtomicU32);

thread_local! {
    static NUMBER: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
}

impl Protocol for Slots {
    #[inline(always)]
    fn read(&self) -> u64 {
        if NUMBER.get() == usize::MAX {
            NUMBER.set(self.next.fetch_add(1, Relaxed) % self.slots.len());
        }
        let slot = &self.slots[NUMBER.get()].0;
        if slot.compare_exchange(0, 1, SeqCst, Relaxed).is_err() || self.blocked.load(SeqCst) != 0 {
            return 0;
        }
        let data = black_box(self.data);
        slot.store(0, Release);
        data + u64::from(self.blocked.load(Relaxed))
    }
}

/// No protocol.
struct Nothing(u64);

impl Protocol for Nothing {
    #[inline(always)]
    fn read(&self) -> u64 {
        black_box(self.0)
    }
}

impl Protocol for parking_lot::Mutex<u64> {
    #[inline(always)]
    fn read(&self) -> u64 {
        black_box(*self.lock())
    }
}

impl Protocol for parking_lot::RwLock<u64> {
    #[inline(always)]
    fn read(&self) -> u64 {
        black_box(*self.read())
    }
}

impl Protocol for crossbeam_epoch::Atomic<u64> {
    #[inline(always)]
    fn read(&self) -> u64 {
        let guard = crossbeam_epoch::pin();
        // SAFETY: the number is never freed.
        black_box(unsafe { *self.load(Acquire, &guard).deref() })
    }
}

struct Seize(seize::Collector, AtomicPtr<u64>);

impl Protocol for Seize {
    #[inline(always)]
    fn read(&self) -> u64 {
        let guard = self.0.enter();
        // SAFETY: the number is never freed.
        black_box(unsafe { *guard.protect(&self.1, Acquire) })
    }
}

type Timer = Box<dyn Fn(&Course, Effort) -> f64>;

/// A protocol, with a loop of its own.
struct Row {
    name: &'static str,
    once: Box<dyn Fn()>,
    time: Timer,
}

fn row<P: Protocol + Send + 'static>(name: &'static str, protocol: P) -> Row {
    let protocol = Arc::new(protocol);
    let again = protocol.clone();
    let time =
        move |course: &Course, effort: Effort| operation(course, effort.slice, |_, _| _ = black_box(again.read()));
    Row { name, once: Box::new(move || _ = black_box(protocol.read())), time: Box::new(time) }
}

fn rows() -> Vec<Row> {
    let slots = std::array::from_fn(|_| Slot(AtomicU32::new(0)));
    let slots = Slots { blocked: AtomicU32::new(0), slots, next: AtomicUsize::new(0), data: 5 };
    // Never freed, as long as readers may read it.
    let data = AtomicPtr::new(Box::into_raw(Box::new(5)));
    vec![
        row("nothing", Nothing(5)),
        row("a slot of its own", slots),
        row("crossbeam-epoch", crossbeam_epoch::Atomic::new(5)),
        row("seize", Seize(seize::Collector::new(), data)),
        row("parking_lot::RwLock", parking_lot::RwLock::new(5)),
        row("parking_lot::Mutex", parking_lot::Mutex::new(5)),
    ]
}

pub fn run(effort: Effort, threads: &[usize]) {
    let rows = rows();
    let instructions: Vec<f64> = on_one_processor(|empty| {
        let count = |row: &Row| {
            let mut counts = counted(REPEATS, |repeats, mark| {
                (row.once)();
                for _ in 0..repeats {
                    mark();
                    (row.once)();
                    mark();
                }
            });
            median(&mut counts) - empty
        };
        rows.iter().map(count).collect()
    });
    let columns: Vec<String> = threads.iter().map(|threads| format!("{threads} threads, ns")).collect();
    let columns = [vec!["instructions".to_owned()], columns].concat();
    let title =
        "What a reader does before and after it reads: instructions, and nanoseconds for each read of all threads";
    let mut table = Table::new(title, &columns);
    let times: Vec<Vec<f64>> = threads
        .iter()
        .map(|threads| {
            let sequences = vec![vec![0]; *threads];
            let course = Course::new(&sequences);
            let timings = in_turns(effort.rounds, rows.len(), |which| (rows[which].time)(&course, effort));
            timings.iter().map(|timing| timing.time).collect()
        })
        .collect();
    for (which, row) in rows.iter().enumerate() {
        let times = times.iter().map(|times| format!("{:.1}", times[which]));
        let cells = [format!("{:.0}", instructions[which])].into_iter().chain(times);
        table.row(row.name, cells.collect());
    }
    table.print();
}
