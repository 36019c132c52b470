//! How long readers and writers wait while another thread looks at all entries, or removes them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::measure::median;
use crate::report::{Table, count};
use crate::subjects::{Kind, Line, Subject, VALUE_MAX};
use crate::workload::{Key, Order, Sequences, fill, keys};

const CAPACITIES: [usize; 2] = [100_000, 1_000_000];
const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Clear,
    NothingFound,
    OnePercent,
    Stats,
}

impl Beside {
    const ALL: [(Beside, &str); 5] = [
        (Beside::Nothing, "no call"),
        (Beside::Stats, "stats, repeated"),
        (Beside::NothingFound, "prefix, none found, repeated"),
        (Beside::OnePercent, "prefix, 1 % found, once"),
        (Beside::Clear, "clear, once"),
    ];

    fn applies(self, subject: &Subject) -> bool {
        !matches!(self, Beside::NothingFound | Beside::OnePercent) || subject.invalidates_prefixes()
    }
}

/// Milliseconds: the longest get, the longest set, the longest call beside them.
type Longest = [f64; 3];

pub fn run(kinds: &[Kind]) {
    println!(
        "\nStalls: the longest single get and set of one thread each, and the longest call of a third thread beside them,"
    );
    println!(
        "in milliseconds, less the time for which the thread itself waited for a processor; median of {ROUNDS} rounds. In"
    );
    println!("\"no call\" the third thread only spins: what is longer than there is due to the cache.");
    for capacity in CAPACITIES {
        let keys = keys(capacity);
        for (beside, name) in Beside::ALL {
            let title = format!("{} entries, beside: {name}", count(capacity));
            let mut table = Table::new(title, &["longest get", "longest set", "longest call"]);
            for kind in kinds.iter().filter(|kind| kind.line != Line::OwnDefaults) {
                table.row(kind.title(), row(kind, beside, &keys));
            }
            table.print();
        }
    }
}

fn row(kind: &Kind, beside: Beside, keys: &[Key]) -> Vec<String> {
    let subject = kind.make_for_scans(keys.len());
    if !beside.applies(&subject) {
        return vec!["-".into(); 3];
    }
    let rounds: Vec<Longest> = (0..ROUNDS)
        .map(|round| {
            if round == 0 || matches!(beside, Beside::Clear | Beside::OnePercent) {
                fill(&subject, keys, &[7; 64]);
            }
            longest(&subject, beside, keys)
        })
        .collect();
    (0..3)
        .map(|which| format!("{:.2}", median(&mut rounds.iter().map(|round| round[which]).collect::<Vec<_>>())))
        .collect()
}

fn longest(subject: &Subject, beside: Beside, keys: &[Key]) -> Longest {
    let sequence = Sequences::new(Order::Uniform, keys.len()).make(0.0, 9);
    let (start, stop) = (Barrier::new(3), AtomicBool::new(false));
    let waits = |work: &dyn Fn(&[u8])| {
        let mut waits = Waits::new();
        start.wait();
        for number in sequence.iter().cycle() {
            waits.time(|| work(&keys[*number as usize]));
            if stop.load(Relaxed) {
                break;
            }
        }
        waits.longest
    };
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            waits(&|key| {
                std::hint::black_box(subject.get(key, &mut [0; VALUE_MAX]));
            })
        });
        let writer = scope.spawn(|| waits(&|key| subject.set(key, &[7; 64])));
        start.wait();
        let call = call_beside(subject, beside);
        stop.store(true, Relaxed);
        let ended = "the thread ends";
        [reader.join().expect(ended), writer.join().expect(ended), call].map(|time| time.as_secs_f64() * 1000.0)
    })
}

/// The longest of a thread's waits.
struct Waits {
    longest: Duration,
    /// `/proc/thread-self/schedstat`, whose second number is the time for which the thread waited for a processor.
    statistics: File,
    delay: Duration,
    count: u32,
}

impl Waits {
    fn new() -> Waits {
        let statistics = File::open("/proc/thread-self/schedstat").expect("the kernel has schedstat");
        Waits { longest: Duration::ZERO, statistics, delay: Duration::ZERO, count: 0 }
    }

    fn read_delay(&self) -> Duration {
        let mut text = [0; 64];
        let len = self.statistics.read_at(&mut text, 0).expect("it can be read");
        let text = std::str::from_utf8(&text[..len]).expect("it is text");
        Duration::from_nanos(text.split(' ').nth(1).and_then(|number| number.parse().ok()).expect("a second number"))
    }

    #[inline(always)]
    fn time(&mut self, work: impl FnOnce()) {
        // Now and then, as it takes longer than the work itself.
        if self.count.is_multiple_of(16) {
            self.delay = self.read_delay();
        }
        self.count = self.count.wrapping_add(1);
        let begun = Instant::now();
        work();
        let taken = begun.elapsed();
        if taken > self.longest {
            let delay = self.read_delay();
            self.longest = self.longest.max(taken.saturating_sub(delay - self.delay));
            self.delay = delay;
        }
    }
}

/// Calls it once or for a while, and returns the longest call.
fn call_beside(subject: &Subject, beside: Beside) -> Duration {
    let (begun, mut waits) = (Instant::now(), Waits::new());
    let is_once = matches!(beside, Beside::Clear | Beside::OnePercent);
    if is_once {
        thread::sleep(TIME / 4);
    }
    loop {
        waits.time(|| match beside {
            Beside::Nothing => std::hint::spin_loop(),
            Beside::Clear => subject.clear(),
            Beside::NothingFound => subject.invalidate_prefix(b"nothing:"),
            Beside::OnePercent => subject.invalidate_prefix(b"group42:"),
            Beside::Stats => subject.stats(),
        });
        if begun.elapsed() > TIME {
            return waits.longest;
        }
        if is_once {
            // What follows from it, such as freed memory, may stall others later.
            thread::sleep(TIME - TIME / 4);
            return waits.longest;
        }
    }
}
