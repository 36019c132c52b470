//! How throughput grows with the number of threads, counted instead of timed, so that it needs no machine with as many
//! processors: the library finds 64 processors, and after this many threads have used the cache, the instructions
//! of a hit, an overwrite and a set that evicts are counted.
//!
//! The rate of a mix is computed from these. Hits do not disturb each other. A write is taken to stop all other threads
//! for its whole length, although it blocks readers only while it changes the entry. In the second figure, each write
//! also fetches the cache lines of the other threads' slots, and each of those threads then fetches two lines back; the
//! cost of that is timed between two processors of this machine.

use std::hint::black_box;
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::thread;
use std::time::Instant;

use crate::instructions::{counted, on_one_processor};
use crate::measure::{Buffer, Course, Effort, median, operation};
use crate::operations::Operation;
use crate::processors;
use crate::report::{Table, count};
use crate::subjects::{Kind, Subject};
use crate::workload::{Key, fill, keys};

/// As many as the library has slots for.
const MOST: usize = 64;
const THREADS: [usize; 5] = [1, 2, 4, 16, MOST];
const CAPACITIES: [usize; 5] = [100, 500, 2048, 100_000, 1_000_000];
const REPEATS: usize = 40;
const HITS: usize = 2000;
/// Shares of writes.
const MIXES: [(&str, f64); 3] = [("100/0", 0.0), ("99.9/0.1", 0.001), ("99/1", 0.01)];

/// Set in the process that is to find other processors than there are.
const VARIABLE: &str = "ST_BENCH_SIMULATED_PROCESSORS";

/// The library looks at the number of processors once, and nothing else is to be measured with a wrong one.
pub fn run_in_a_process_of_its_own() {
    let program = std::env::current_exe().expect("the program has a file");
    let status =
        Command::new(program).args(std::env::args().skip(1)).env(VARIABLE, "1").status().expect("the program starts");
    assert!(status.success(), "the process that counts growth fails");
}

/// Whether this is that process.
pub fn is_wanted_here() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

pub fn run(effort: Effort, library: &Kind, quick: bool) {
    println!(
        "\nGrowth: rate of one of so many threads that read/write, as a part of that of one thread alone, from counted"
    );
    println!(
        "instructions / with the transfer of cache lines too. At 1.00, throughput grows as the number of threads."
    );
    let lines = Lines::measured();
    println!("Fetching 1 / 16 / 64 cache lines that another processor wrote: {lines} ns");
    for capacity in CAPACITIES.into_iter().filter(|capacity| !quick || *capacity == 500) {
        let columns = ["hit", "overwrite", "set, evict"].map(str::to_owned).into_iter();
        let columns: Vec<String> = columns.chain(MIXES.map(|(name, _)| name.to_owned())).collect();
        let mut table = Table::new(format!("{} entries: instructions, and growth", count(capacity)), &columns);
        let alone = Costs::of(library, 1, capacity);
        let per_nanosecond = alone.hit / time_of_hit(effort, library, capacity);
        for threads in THREADS {
            let costs = Costs::of(library, threads, capacity);
            let numbers = [costs.hit, costs.overwrite, costs.evict].map(|cost| count(cost.round() as usize));
            let rates = MIXES.map(|(_, writes)| {
                let [counted, with_lines] = [0.0, per_nanosecond].map(|per_nanosecond| {
                    alone.time(writes, 1, |_| 0.0) / costs.time(writes, threads, |many| lines.of(many) * per_nanosecond)
                });
                format!("{counted:.2} / {with_lines:.2}")
            });
            table.row(threads.to_string(), numbers.into_iter().chain(rates).collect());
        }
        table.print();
    }
}

/// Instructions after hits by a number of threads.
struct Costs {
    hit: f64,
    overwrite: f64,
    evict: f64,
}

impl Costs {
    const OPERATIONS: [Operation; 3] = [Operation::Hit, Operation::Overwrite, Operation::Evict];

    /// Counts after hits by so many threads, each in a slot of its own.
    fn of(library: &Kind, threads: usize, capacity: usize) -> Costs {
        on_one_processor(|empty| {
            let counts = counted(REPEATS, |repeats, mark| {
                let (subject, keys) = used(library, threads, capacity);
                Costs::OPERATIONS.iter().for_each(|operation| repeat(*operation, &subject, &keys, repeats, mark));
            });
            let cost = |of: usize| median(&mut counts[of * REPEATS..][..REPEATS].to_vec()) - empty;
            Costs { hit: cost(0), overwrite: cost(1), evict: cost(2) }
        })
    }

    /// Instructions that pass for one operation of one thread. `lines` returns the cost of fetching cache lines.
    fn time(&self, writes: f64, threads: usize, lines: impl Fn(usize) -> f64) -> f64 {
        let others = threads - 1;
        let write = self.overwrite + lines(others);
        let back = if others == 0 { 0.0 } else { lines(2) };
        (1.0 - writes) * self.hit + writes * write + others as f64 * writes * (write + back)
    }
}

/// In the child: does an operation as often without marks, then with them.
fn repeat(operation: Operation, subject: &Subject, keys: &[Key], repeats: usize, mark: &dyn Fn()) {
    let capacity = keys.len() / 2;
    let (sequence, mut buffer, value) = (operation.sequence(capacity), Buffer { value: [0; 1024] }, [7; 64]);
    for (at, number) in sequence.iter().take(repeats * 2).enumerate() {
        if at >= repeats {
            mark();
        }
        operation.run(subject, &keys[*number as usize], &mut buffer, &value);
        if at >= repeats {
            mark();
        }
    }
}

fn used(library: &Kind, threads: usize, capacity: usize) -> (Subject, Vec<Key>) {
    let (subject, keys) = (library.make(capacity), keys(capacity * 2));
    fill(&subject, &keys[..capacity], &[7; 64]);
    let hits = Operation::Hit.sequence(capacity);
    let all_there = Barrier::new(threads);
    let read = |thread: usize| {
        all_there.wait();
        let mut buffer = Buffer { value: [0; 1024] };
        for number in hits.iter().cycle().skip(thread * 97).take(HITS) {
            black_box(subject.get(&keys[*number as usize], &mut buffer.value));
        }
        all_there.wait();
    };
    thread::scope(|scope| {
        for thread in 1..threads {
            let read = &read;
            scope.spawn(move || read(thread));
        }
        read(0);
    });
    (subject, keys)
}

/// In nanoseconds, on one thread of this machine.
fn time_of_hit(effort: Effort, library: &Kind, capacity: usize) -> f64 {
    let (subject, keys) = used(library, 1, capacity);
    let sequences = [Operation::Hit.sequence(capacity)];
    let course = Course::new(&sequences);
    let mut times: Vec<f64> = (0..effort.rounds)
        .map(|_| {
            operation(&course, effort.slice, |number, buffer| {
                black_box(subject.get(&keys[number as usize], &mut buffer.value));
            })
        })
        .collect();
    median(&mut times)
}

/// A cache line, and the one beside it, which processors fetch along.
#[repr(align(128))]
struct Line(AtomicU64);

/// Nanoseconds to read lines, by number, that another processor has written.
struct Lines([f64; MOST]);

impl Lines {
    const ROUNDS: usize = 2000;

    fn measured() -> Lines {
        let mut times = [0.0; MOST];
        for (at, time) in times.iter_mut().enumerate() {
            *time = if matches!(at + 1, 1 | 2 | 4 | 16 | MOST) { Lines::time(at + 1) } else { f64::NAN };
        }
        Lines(times)
    }

    fn of(&self, lines: usize) -> f64 {
        match lines {
            0 => 0.0,
            // Between two that were timed, in proportion.
            _ => {
                let timed = |at: &usize| !self.0[*at - 1].is_nan();
                let below = (1..=lines).rev().find(timed).expect("one line was timed");
                let above = (lines..=MOST).find(timed).expect("most lines were timed");
                let part = if above == below { 0.0 } else { (lines - below) as f64 / (above - below) as f64 };
                self.0[below - 1] + part * (self.0[above - 1] - self.0[below - 1])
            }
        }
    }

    /// Two threads take turns: one writes the lines, the other one reads them. The median leaves out the rounds in
    /// which one was interrupted.
    fn time(lines: usize) -> f64 {
        let memory: Vec<Line> = (0..lines).map(|_| Line(AtomicU64::new(0))).collect();
        let turn = AtomicUsize::new(0);
        let wait_for = |at: usize| {
            while turn.load(Acquire) != at {
                std::hint::spin_loop();
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..Lines::ROUNDS {
                    wait_for(round * 2);
                    memory.iter().for_each(|line| line.0.store(round as u64, Relaxed));
                    turn.store(round * 2 + 1, Release);
                }
            });
            let mut times: Vec<f64> = (0..Lines::ROUNDS)
                .map(|round| {
                    wait_for(round * 2 + 1);
                    let begun = Instant::now();
                    black_box(memory.iter().map(|line| line.0.load(Acquire)).sum::<u64>());
                    let time = begun.elapsed().as_nanos() as f64;
                    turn.store(round * 2 + 2, Release);
                    time
                })
                .collect();
            median(&mut times)
        })
    }
}

impl std::fmt::Display for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} / {:.0} / {:.0}", self.of(1), self.of(16), self.of(MOST))
    }
}

/// Makes the library find the most processors for which it has slots.
pub fn simulate_processors() {
    processors::simulate(MOST);
}
