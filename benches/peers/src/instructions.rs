//! Counts the instructions of an operation, those of the vDSO included, by single-stepping a child with ptrace. Virtual
//! machines rarely have hardware counters, and this count does not move with what else the machine does.

use std::sync::Barrier;
use std::thread;

use crate::measure::Buffer;
use crate::operations::{Operation, hold_key};
use crate::report::{Table, count};
use crate::subjects::{Kind, Subject};
use crate::workload::{Key, fill, keys};

const CAPACITY: usize = 500;
const REPEATS: usize = 100;
const FEW_REPEATS: usize = 9;
/// The signal that marks where counting begins and where it ends.
const MARK: libc::c_int = libc::SIGUSR1;

#[derive(Clone, Copy)]
struct Reads {
    threads: usize,
    hits: usize,
}

pub fn run(kinds: &[Kind]) {
    let empty = counted(REPEATS, |_, mark| {
        mark();
        mark();
    });
    let empty = empty.iter().sum::<f64>() / empty.len() as f64;
    operations(kinds, empty);
    writes_after_reads(kinds, empty);
}

fn operations(kinds: &[Kind], empty: f64) {
    let columns: Vec<&str> = Operation::ALL.iter().map(|operation| operation.name()).collect();
    let title = format!("Instructions of one operation, {CAPACITY} entries, 64 bytes: mean of {REPEATS}");
    let mut table = Table::new(title, &columns);
    for kind in kinds {
        let cells = Operation::ALL.iter().map(|operation| {
            let counts = counted(REPEATS, |repeats, mark| one_by_one(*kind, *operation, repeats, mark));
            shown(counts.iter().sum::<f64>() / counts.len() as f64 - empty)
        });
        table.row(kind.title(), cells.collect());
    }
    table.print();
}

/// In the child: prepares a cache, then does the operation `repeats` times between two marks.
fn one_by_one(kind: Kind, operation: Operation, repeats: usize, mark: &dyn Fn()) {
    let (subject, keys) = prepared(kind);
    if !operation.applies(&subject) {
        return;
    }
    let (sequence, mut buffer, value) = (operation.sequence(CAPACITY), Buffer { value: [0; 1024] }, [7; 64]);
    if operation == Operation::HitHot {
        hold_key(&subject, &keys[0], &value);
    }
    let mut numbers = sequence.iter().cycle();
    // What is done once, by the first calls of a thread, is not counted.
    for number in numbers.by_ref().take(CAPACITY * 4) {
        operation.run(&subject, &keys[*number as usize], &mut buffer, &value);
    }
    for number in numbers.take(repeats) {
        let key = &keys[*number as usize];
        mark();
        operation.run(&subject, key, &mut buffer, &value);
        mark();
    }
}

fn writes_after_reads(kinds: &[Kind], empty: f64) {
    let reads = [0, 10, 100, 500, 2000].map(|hits| Reads { threads: 1, hits });
    let reads = [&reads[..], &[Reads { threads: 4, hits: 2000 }]].concat();
    let columns: Vec<String> = reads
        .iter()
        .map(|reads| match reads.threads {
            1 => format!("{} hits", count(reads.hits)),
            threads => format!("{threads} x {}", count(reads.hits)),
        })
        .collect();
    for operation in [Operation::Overwrite, Operation::Evict] {
        let title = format!(
            "Instructions of one {} after this many hits, by one thread or by 4; {CAPACITY} entries: median of {FEW_REPEATS}",
            if operation == Operation::Evict { "set with eviction" } else { "overwrite" },
        );
        let mut table = Table::new(title, &columns);
        for kind in kinds {
            let cells = reads.iter().map(|reads| {
                let mut counts =
                    counted(FEW_REPEATS, |repeats, mark| one_after_reads(*kind, operation, *reads, repeats, mark));
                shown(crate::measure::median(&mut counts) - empty)
            });
            table.row(kind.title(), cells.collect());
        }
        table.print();
    }
}

/// In the child: reads at full speed, then does one write between two marks; again and again.
fn one_after_reads(kind: Kind, operation: Operation, reads: Reads, repeats: usize, mark: &dyn Fn()) {
    let (subject, keys) = prepared(kind);
    let (sequence, value) = (operation.sequence(CAPACITY), [7; 64]);
    let hits = Operation::Hit.sequence(CAPACITY);
    let mut buffer = Buffer { value: [0; 1024] };
    let read = |from: usize, buffer: &mut Buffer| {
        for number in hits.iter().cycle().skip(from * 97).take(reads.hits) {
            std::hint::black_box(subject.get(&keys[*number as usize], &mut buffer.value));
        }
    };
    let (begin, end) = (Barrier::new(reads.threads), Barrier::new(reads.threads));
    thread::scope(|scope| {
        for thread in 1..reads.threads {
            let (begin, end, read) = (&begin, &end, &read);
            scope.spawn(move || {
                for _ in 0..=repeats {
                    begin.wait();
                    read(thread, &mut Buffer { value: [0; 1024] });
                    end.wait();
                }
            });
        }
        for (repeat, number) in sequence.iter().take(repeats + 1).enumerate() {
            begin.wait();
            read(repeat, &mut buffer);
            end.wait();
            let key = &keys[*number as usize];
            // The first one is not counted.
            if repeat > 0 {
                mark();
            }
            operation.run(&subject, key, &mut buffer, &value);
            if repeat > 0 {
                mark();
            }
        }
    });
}

fn prepared(kind: Kind) -> (Subject, Vec<Key>) {
    let (subject, keys) = (kind.new(CAPACITY), keys(CAPACITY * 2));
    fill(&subject, &keys[..CAPACITY], &[7; 64]);
    (subject, keys)
}

fn shown(instructions: f64) -> String {
    if instructions.is_nan() { "-".into() } else { count(instructions.round() as usize) }
}

/// The instructions between each two marks of `work`, which is run in a child.
fn counted(repeats: usize, work: impl Fn(usize, &dyn Fn())) -> Vec<f64> {
    // SAFETY: the process has one thread, so the child may do anything.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "cannot fork");
    if child == 0 {
        // SAFETY: plain system calls; only this thread is traced.
        unsafe {
            assert_eq!(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0), 0, "cannot be traced");
            let (process, thread) = (libc::getpid(), libc::gettid());
            let mark = || _ = libc::syscall(libc::SYS_tgkill, process, thread, MARK);
            work(repeats, &mark);
            libc::_exit(0);
        }
    }
    let mut counts = Vec::new();
    while resume(child, libc::PTRACE_CONT) == Some(MARK) {
        let mut steps = 0u64;
        loop {
            match resume(child, libc::PTRACE_SINGLESTEP) {
                Some(MARK) => break,
                Some(_) => steps += 1,
                None => panic!("the counted process ended between two marks"),
            }
        }
        counts.push(steps as f64);
    }
    counts
}

/// Lets the child go on, and waits until it stops: the signal, or `None` if it has ended well.
fn resume(child: libc::pid_t, how: libc::c_uint) -> Option<libc::c_int> {
    let mut status = 0;
    // SAFETY: the child is ours, and stopped, but for the first call, which then fails.
    unsafe {
        libc::ptrace(how, child, 0, 0);
        assert_eq!(libc::waitpid(child, &mut status, 0), child, "the child is gone");
    }
    if libc::WIFSTOPPED(status) {
        return Some(libc::WSTOPSIG(status));
    }
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the counted process failed: {status:#x}");
    None
}
