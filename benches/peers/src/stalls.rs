//! How long readers and writers wait while another thread looks at all entries, or removes them.

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
    println!("\nLongest single get and set of one thread each, and the longest call of a third thread beside them, in");
    println!("milliseconds: median of {ROUNDS} rounds. In \"no call\" the third thread only spins, so what is longer than");
    println!("there is due to the cache.");
    let columns = Beside::ALL.map(|(_, name)| format!("{name}: get  set  call"));
    for capacity in CAPACITIES {
        let keys = keys(capacity);
        let mut table = Table::new(format!("{} entries", count(capacity)), &columns);
        for kind in kinds.iter().filter(|kind| kind.line != Line::OwnDefaults) {
            let cells = Beside::ALL.map(|(beside, _)| cell(kind, beside, &keys));
            table.row(kind.title(), cells.into());
        }
        table.print();
    }
}

fn cell(kind: &Kind, beside: Beside, keys: &[Key]) -> String {
    let subject = kind.new_for_scans(keys.len());
    if !beside.applies(&subject) {
        return "-".into();
    }
    let rounds: Vec<Longest> = (0..ROUNDS)
        .map(|round| {
            if round == 0 || matches!(beside, Beside::Clear | Beside::OnePercent) {
                fill(&subject, keys, &[7; 64]);
            }
            longest(&subject, beside, keys)
        })
        .collect();
    let of = |which: usize| median(&mut rounds.iter().map(|round| round[which]).collect::<Vec<_>>());
    let call = if beside == Beside::Nothing { "-".into() } else { format!("{:.1}", of(2)) };
    format!("{:.1} {:>6.1} {call:>6}", of(0), of(1))
}

fn longest(subject: &Subject, beside: Beside, keys: &[Key]) -> Longest {
    let sequence = Sequences::new(Order::Uniform, keys.len()).make(0.0, 9);
    let (start, stop) = (Barrier::new(3), AtomicBool::new(false));
    let waits = |work: &dyn Fn(&[u8])| {
        let mut longest = Duration::ZERO;
        start.wait();
        for number in sequence.iter().cycle() {
            let begun = Instant::now();
            work(&keys[*number as usize]);
            longest = longest.max(begun.elapsed());
            if stop.load(Relaxed) {
                break;
            }
        }
        longest.as_secs_f64() * 1000.0
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
        [reader.join().expect(ended), writer.join().expect(ended), call.as_secs_f64() * 1000.0]
    })
}

/// Calls it once or for a while, and returns the longest call.
fn call_beside(subject: &Subject, beside: Beside) -> Duration {
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
    let is_once = matches!(beside, Beside::Clear | Beside::OnePercent);
    if is_once {
        while begun.elapsed() < TIME / 4 {
            std::hint::spin_loop();
        }
    }
    loop {
        let called = Instant::now();
        match beside {
            Beside::Nothing => std::hint::spin_loop(),
            Beside::Clear => subject.clear(),
            Beside::NothingFound => subject.invalidate_prefix(b"nothing:"),
            Beside::OnePercent => subject.invalidate_prefix(b"group42:"),
            Beside::Stats => subject.stats(),
        }
        longest = longest.max(called.elapsed());
        if is_once || begun.elapsed() > TIME {
            return longest;
        }
    }
}
