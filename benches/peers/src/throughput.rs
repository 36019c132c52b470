//! Reads and writes mixed, by one thread and by several.

use crate::measure::{Course, Effort, Timing, in_turns, operation};
use crate::report::{count, print_timings};
use crate::subjects::{Kind, Subject};
use crate::workload::{Key, Order, Sequences, fill, keys, run_item, share_found};

pub struct Plan {
    pub effort: Effort,
    pub threads: Vec<usize>,
    pub series: Vec<Series>,
}

pub struct Series {
    pub capacities: Vec<usize>,
    pub orders: Vec<Order>,
    /// The length of the values.
    pub value: usize,
}

const MIXES: [(&str, f64); 4] = [("100/0", 0.0), ("99.9/0.1", 0.001), ("99/1", 0.01), ("90/10", 0.1)];

pub fn run(plan: &Plan, kinds: &[Kind]) {
    println!("\nMixes: reads/writes, keys of 32 bytes; behind each peer, how many times slower than st_cache it is");
    for series in &plan.series {
        series.capacities.iter().for_each(|capacity| tables(plan, kinds, *capacity, series.value, &series.orders));
    }
}

/// Subjects that hold `keys` as far as they fit.
pub fn filled(kinds: &[Kind], capacity: usize, keys: &[Key], value: &[u8]) -> Vec<Subject> {
    kinds
        .iter()
        .map(|kind| {
            let subject = kind.make(capacity);
            fill(&subject, &keys[..capacity], value);
            subject
        })
        .collect()
}

fn tables(plan: &Plan, kinds: &[Kind], capacity: usize, len: usize, orders: &[Order]) {
    let (value, keys) = (vec![7; len], keys(capacity * 2));
    let columns: Vec<String> = MIXES.iter().map(|(name, _)| format!("{name}      ")).collect();
    let most = plan.threads.iter().max().copied().unwrap_or(1);
    for order in orders {
        // Sets of other keys leave an LRU of other content behind, so each order has subjects of its own.
        let subjects = filled(kinds, capacity, &keys, &value);
        let sequences = Sequences::new(*order, capacity);
        let sequences: Vec<Vec<Vec<u32>>> = MIXES
            .iter()
            .map(|(_, writes)| (0..most).map(|thread| sequences.make(*writes, 11 + thread as u64)).collect())
            .collect();
        let title = format!("{} entries, {}, {len} bytes", count(capacity), order.name());
        for threads in &plan.threads {
            let timings: Vec<Vec<Option<Timing>>> = sequences
                .iter()
                .map(|sequences| {
                    let timings = mix(plan.effort, *threads, &subjects, &keys, sequences, &value);
                    timings.into_iter().map(Some).collect()
                })
                .collect();
            print_timings(&title, kinds, *threads, &columns, &timings);
        }
        print_found(kinds, &subjects, &keys, &sequences[0][0]);
    }
}

/// Times one mix on all subjects.
pub fn mix(
    effort: Effort,
    threads: usize,
    subjects: &[Subject],
    keys: &[Key],
    sequences: &[Vec<u32>],
    value: &[u8],
) -> Vec<Timing> {
    let courses: Vec<Course> = subjects.iter().map(|_| Course::new(&sequences[..threads])).collect();
    in_turns(effort.rounds, subjects.len(), |which| {
        let subject = &subjects[which];
        operation(&courses[which], effort.slice, |item, buffer| {
            run_item(subject, keys, item, &mut buffer.value, value);
        })
    })
}

fn print_found(kinds: &[Kind], subjects: &[Subject], keys: &[Key], sequence: &[u32]) {
    let shares = kinds.iter().zip(subjects).map(|(kind, subject)| {
        let found = share_found(subject, keys, sequence) * 100.0;
        (found < 99.95).then(|| format!("{} {found:.1} %", kind.title()))
    });
    let shares: Vec<String> = shares.flatten().collect();
    if !shares.is_empty() {
        println!("  reads that find their key, where not all do: {}", shares.join("; "));
    }
}
