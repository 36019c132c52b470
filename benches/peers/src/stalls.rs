//! How long readers and writers wait while another thread looks at all entries, or removes them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::library;
use crate::measure::median;
use crate::report::{Table, count};
use crate::subjects::{Kind, Line, Subject, VALUE_MAX};
use crate::workload::{Key, Order, Sequences, fill, keys};

const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_millis(200);
/// The time to live of entries that expire while they are looked at, in seconds for each of them: all can be stored
/// before the first expires.
const SHORT_TTL: f64 = 4e-6;

/// What the other thread does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Set,
    SetAfterReads,
    Delete,
    Load,
    NothingFound,
    OnePercent,
    Stats,
    Clear,
    Cleanup,
}

impl Beside {
    const ALL: [(Beside, &str); 10] = [
        (Beside::Nothing, "no call"),
        (Beside::Set, "set that evicts, repeated"),
        (Beside::SetAfterReads, "set that evicts, repeated, after two threads have read all entries"),
        (Beside::Delete, "delete, repeated"),
        (Beside::Load, "get_or_load of absent keys, repeated"),
        (Beside::NothingFound, "prefix, none found, repeated"),
        (Beside::OnePercent, "prefix, 1 % found, once"),
        (Beside::Stats, "stats, repeated"),
        (Beside::Clear, "clear, once"),
        (Beside::Cleanup, "get, repeated, while all entries are expired and removed"),
    ];

    fn applies(self, kind: &Kind, subject: &Subject) -> bool {
        match self {
            Beside::NothingFound | Beside::OnePercent => subject.invalidates_prefixes(),
            Beside::Load => subject.loads(),
            // Peers with deadlines of their own check them elsewhere, and the others do not remove what has expired.
            Beside::Cleanup => kind.line == Line::Library,
            _ => true,
        }
    }

    fn is_once(self) -> bool {
        matches!(self, Beside::Clear | Beside::OnePercent)
    }

    /// Whether it leaves other entries behind than it found.
    fn changes(self) -> bool {
        !matches!(self, Beside::Nothing | Beside::NothingFound | Beside::Stats)
    }
}

/// Milliseconds: the longest get, the longest set, the longest call beside them.
type Longest = [f64; 3];

pub fn run(kinds: &[Kind], capacity: usize) {
    println!(
        "\nStalls: the longest single get and set of a thread that alternates between them, and the longest call of"
    );
    println!(
        "another thread beside them, in milliseconds, less the time for which either of them waited for a processor;"
    );
    println!(
        "median of {ROUNDS} rounds. In \"no call\" the other thread only spins: what is longer than there is the cache's."
    );
    // Twice as many as there are entries, for calls that store others.
    let keys = keys(capacity * 2);
    let title = |name: &str| format!("{} entries, beside: {name}", count(capacity));
    let columns = ["longest get", "longest set", "longest call"];
    let mut tables: Vec<Table> = Beside::ALL.iter().map(|(_, name)| Table::new(title(name), &columns)).collect();
    for kind in kinds.iter().filter(|kind| kind.line != Line::OwnDefaults) {
        let subject = kind.make_for_scans(capacity);
        fill(&subject, &keys[..capacity], &[7; 64]);
        for ((beside, _), table) in Beside::ALL.iter().zip(&mut tables) {
            table.row(kind.title(), row(kind, &subject, *beside, &keys));
        }
    }
    tables.iter().for_each(Table::print);
}

fn row(kind: &Kind, subject: &Subject, beside: Beside, keys: &[Key]) -> Vec<String> {
    if !beside.applies(kind, subject) {
        return vec!["-".into(); 3];
    }
    let held = &keys[..keys.len() / 2];
    let one_round = || match beside {
        Beside::Cleanup => {
            let ttl = SHORT_TTL * held.len() as f64;
            let subject = library::cache_with(held.len(), ttl, ttl);
            held.iter().for_each(|key| subject.set(key, &[7; 64]));
            thread::sleep(Duration::from_secs_f64(ttl));
            longest(&subject, beside, keys)
        }
        _ => {
            if beside == Beside::SetAfterReads {
                read_all(subject, held);
            }
            let longest = longest(subject, beside, keys);
            if beside.changes() {
                held.iter().for_each(|key| subject.set(key, &[7; 64]));
            }
            longest
        }
    };
    let rounds: Vec<Longest> = (0..ROUNDS).map(|_| one_round()).collect();
    (0..3)
        .map(|which| format!("{:.2}", median(&mut rounds.iter().map(|round| round[which]).collect::<Vec<_>>())))
        .collect()
}

fn read_all(subject: &Subject, held: &[Key]) {
    let read = || {
        for key in held {
            std::hint::black_box(subject.get(key, &mut [0; VALUE_MAX]));
        }
    };
    thread::scope(|scope| {
        scope.spawn(read);
        read();
    });
}

fn longest(subject: &Subject, beside: Beside, keys: &[Key]) -> Longest {
    let (held, others) = keys.split_at(keys.len() / 2);
    let sequence = Sequences::new(Order::Uniform, held.len()).make(0.0, 9);
    let stop = AtomicBool::new(false);
    // Each thread needs the number of the other one.
    let ((to_user, from_caller), (to_caller, from_user)) = (mpsc::channel(), mpsc::channel());
    thread::scope(|scope| {
        let (sequence, stop) = (&sequence, &stop);
        let user = scope.spawn(move || {
            to_caller.send(this_thread()).expect("the caller waits");
            let delays = Delays::of([this_thread(), from_caller.recv().expect("the caller sends its number")]);
            let (mut gets, mut sets) = (Waits::new(&delays), Waits::new(&delays));
            for number in sequence.iter().cycle() {
                let key = &held[*number as usize];
                gets.time(|| _ = std::hint::black_box(subject.get(key, &mut [0; VALUE_MAX])));
                sets.time(|| subject.set(key, &[7; 64]));
                if stop.load(Relaxed) {
                    break;
                }
            }
            [gets.longest, sets.longest]
        });
        to_user.send(this_thread()).expect("the user waits");
        let delays = Delays::of([this_thread(), from_user.recv().expect("the user sends its number")]);
        let call = call_beside(subject, beside, (held, others), &delays);
        stop.store(true, Relaxed);
        let [get, set] = user.join().expect("the thread ends");
        [get, set, call].map(|time| time.as_secs_f64() * 1000.0)
    })
}

fn this_thread() -> i32 {
    // SAFETY: a plain system call.
    unsafe { libc::gettid() }
}

/// How long two threads have waited for a processor: a thread that waits for the other one also waits while that is
/// interrupted.
struct Delays([File; 2]);

impl Delays {
    fn of(threads: [i32; 2]) -> Delays {
        // The second number in such a file is the time for which the thread was ready but did not run.
        let open = |thread| File::open(format!("/proc/self/task/{thread}/schedstat"));
        Delays(threads.map(|thread| open(thread).expect("the kernel has schedstat")))
    }

    fn read(&self) -> Duration {
        let of = |file: &File| {
            let mut text = [0; 64];
            let len = file.read_at(&mut text, 0).expect("it can be read");
            let text = std::str::from_utf8(&text[..len]).expect("it is text");
            text.split(' ').nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a second number")
        };
        Duration::from_nanos(self.0.iter().map(of).sum())
    }
}

/// The longest of a thread's waits.
struct Waits<'a> {
    longest: Duration,
    delays: &'a Delays,
    delay: Duration,
    count: u32,
}

impl Waits<'_> {
    fn new(delays: &Delays) -> Waits<'_> {
        Waits { longest: Duration::ZERO, delays, delay: Duration::ZERO, count: 0 }
    }

    #[inline(always)]
    fn time(&mut self, work: impl FnOnce()) {
        // Now and then, as it takes longer than the work itself.
        if self.count.is_multiple_of(16) {
            self.delay = self.delays.read();
        }
        self.count = self.count.wrapping_add(1);
        let begun = Instant::now();
        work();
        let taken = begun.elapsed();
        if taken > self.longest {
            let delay = self.delays.read();
            self.longest = self.longest.max(taken.saturating_sub(delay.saturating_sub(self.delay)));
            self.delay = delay;
        }
    }
}

/// Calls it once or for a while, and returns the longest call.
fn call_beside(subject: &Subject, beside: Beside, (held, others): (&[Key], &[Key]), delays: &Delays) -> Duration {
    let (begun, mut waits, next) = (Instant::now(), Waits::new(delays), AtomicUsize::new(0));
    let next_of = |keys: &[Key]| keys[next.fetch_add(1, Relaxed) % keys.len()];
    if beside.is_once() {
        thread::sleep(TIME / 4);
    }
    loop {
        waits.time(|| match beside {
            Beside::Nothing => std::hint::spin_loop(),
            Beside::Set | Beside::SetAfterReads => subject.set(&next_of(others), &[7; 64]),
            Beside::Delete => subject.delete(&next_of(held)),
            Beside::Load => subject.load_new(&next_of(others)),
            Beside::NothingFound => subject.invalidate_prefix(b"nothing:"),
            Beside::OnePercent => subject.invalidate_prefix(b"group42:"),
            Beside::Stats => subject.stats(),
            Beside::Clear => subject.clear(),
            Beside::Cleanup => _ = subject.get(&next_of(others), &mut [0; VALUE_MAX]),
        });
        if begun.elapsed() > TIME {
            return waits.longest;
        }
        if beside.is_once() {
            // What follows from it, such as freed memory, may stall others later.
            thread::sleep(TIME - TIME / 4);
            return waits.longest;
        }
    }
}
