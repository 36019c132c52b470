//! One operation a row, by one thread.

use crate::measure::{Buffer, Course, Effort, Timing, in_turns, operation};
use crate::report::{count, print_timings};
use crate::subjects::{Kind, Subject};
use crate::throughput::filled;
use crate::workload::{Key, Order, Sequences, keys, permutation};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    HitHot,
    Hit,
    Hold,
    Miss,
    Overwrite,
    Evict,
    Load,
}

impl Operation {
    pub const ALL: [Operation; 7] = [
        Operation::HitHot,
        Operation::Hit,
        Operation::Hold,
        Operation::Miss,
        Operation::Overwrite,
        Operation::Evict,
        Operation::Load,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Operation::HitHot => "hit, one key",
            Operation::Hit => "hit",
            Operation::Hold => "get, free",
            Operation::Miss => "miss",
            Operation::Overwrite => "overwrite",
            Operation::Evict => "set, evict",
            Operation::Load => "load that hits",
        }
    }

    pub fn applies(self, subject: &Subject) -> bool {
        self != Operation::Load || subject.loads()
    }

    /// Numbers of keys, of which those below `capacity` are held.
    pub fn sequence(self, capacity: usize) -> Vec<u32> {
        match self {
            Operation::HitHot => vec![0; 1 << 14],
            // First those that are not held, then those that had to go for them: an LRU evicts an entry each time.
            Operation::Evict => [permutation(capacity, capacity * 2), permutation(0, capacity)].concat(),
            Operation::Miss => permutation(capacity, capacity * 2),
            _ => Sequences::new(Order::Uniform, capacity).make(0.0, 3),
        }
    }

    #[inline(always)]
    pub fn run(self, subject: &Subject, key: &[u8], buffer: &mut Buffer, value: &[u8]) {
        match self {
            Operation::HitHot | Operation::Hit | Operation::Miss => {
                std::hint::black_box(subject.get(key, &mut buffer.value));
            }
            Operation::Hold => _ = std::hint::black_box(subject.hold(key)),
            Operation::Load => _ = std::hint::black_box(subject.load(key)),
            Operation::Overwrite | Operation::Evict => subject.set(key, value),
        }
    }
}

/// A peer that is not an LRU cache may have evicted just the key that is to be hot.
pub fn hold_key(subject: &Subject, key: &Key, value: &[u8]) {
    let mut buffer = Buffer { value: [0; 1024] };
    let held = (0..1000).any(|_| {
        subject.set(key, value);
        subject.get(key, &mut buffer.value).is_some()
    });
    assert!(held, "the hot key is not held");
}

pub fn run(effort: Effort, kinds: &[Kind], capacities: &[usize]) {
    println!("\nOperations: keys of 32 bytes in random order, values of 64 bytes");
    let columns: Vec<String> = Operation::ALL.iter().map(|operation| format!("{}      ", operation.name())).collect();
    for capacity in capacities {
        let (value, keys) = ([7; 64], keys(capacity * 2));
        let subjects = filled(kinds, *capacity, &keys, &value);
        let mut timings = Vec::new();
        // Evictions come last, as they leave other keys behind.
        let order = |operation: &&Operation| **operation == Operation::Evict;
        let all = Operation::ALL.iter().filter(|operation| !order(operation));
        for operation in all.chain(Operation::ALL.iter().filter(order)) {
            timings.push((*operation, timed(*operation, effort, &subjects, &keys, &value, *capacity)));
        }
        let timings: Vec<Vec<Option<Timing>>> = Operation::ALL
            .iter()
            .filter_map(|operation| timings.iter().find(|(timed, _)| timed == operation).map(|(_, row)| row.clone()))
            .collect();
        print_timings(&format!("{} entries", count(*capacity)), kinds, 1, &columns, &timings);
    }
}

fn timed(
    kind: Operation,
    effort: Effort,
    subjects: &[Subject],
    keys: &[Key],
    value: &[u8],
    capacity: usize,
) -> Vec<Option<Timing>> {
    if kind == Operation::HitHot {
        subjects.iter().for_each(|subject| hold_key(subject, &keys[0], value));
    }
    let sequences = [kind.sequence(capacity)];
    let courses: Vec<Course> = subjects.iter().map(|_| Course::new(&sequences)).collect();
    let time = |which: usize| {
        let subject = &subjects[which];
        if !kind.applies(subject) {
            return f64::NAN;
        }
        // Each operation has a loop of its own, without a branch on which it is.
        macro_rules! each {
            ($($name:ident)*) => {
                match kind {
                    $(Operation::$name => operation(&courses[which], effort.slice, |number, buffer| {
                        Operation::$name.run(subject, &keys[number as usize], buffer, value);
                    }),)*
                }
            };
        }
        each!(HitHot Hit Hold Miss Overwrite Evict Load)
    };
    let timings = in_turns(effort.rounds, subjects.len(), time);
    timings.into_iter().map(|timing| (!timing.time.is_nan()).then_some(timing)).collect()
}
