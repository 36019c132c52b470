//! Counts the instructions of an operation, those of the vDSO included, by single-stepping a child with ptrace. Virtual
//! machines rarely have hardware counters, and this count does not move with what else the machine does.

use std::sync::Barrier;
use std::thread;

use crate::measure::{Buffer, median};
use crate::operations::{Operation, hold_key};
use crate::processors;
use crate::report::{Table, count};
use crate::subjects::{Kind, Subject};
use crate::workload::{Key, fill, keys};

const CAPACITY: usize = 500;
const REPEATS: usize = 40;
const FEW_REPEATS: usize = 3;
/// The signal that marks where counting begins and where it ends.
const MARK: libc::c_int = libc::SIGUSR1;

#[derive(Clone, Copy)]
struct Reads {
    threads: usize,
    hits: usize,
}

pub fn run(kinds: &[Kind]) {
    on_one_processor(|empty| {
        operations(kinds, empty);
        writes_after_reads(kinds, empty);
    });
}

/// Counts on one processor, because a step switches between this process and the child, which takes several times as
/// long between two. `work` gets what is counted for nothing.
pub fn on_one_processor<T>(work: impl FnOnce(f64) -> T) -> T {
    let everywhere = stay_on_this_processor();
    let empty = counted(REPEATS, |_, mark| {
        mark();
        mark();
    });
    let result = work(empty.iter().sum::<f64>() / empty.len() as f64);
    // SAFETY: these are the processors that this thread had before.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &everywhere) };
    result
}

/// Returns the processors on which this thread might run before.
fn stay_on_this_processor() -> libc::cpu_set_t {
    let before = processors::of_this_thread();
    // SAFETY: sets of processors are plain bits.
    unsafe {
        let mut this = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu() as usize, &mut this);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &this);
        before
    }
}

fn operations(kinds: &[Kind], empty: f64) {
    let columns: Vec<&str> = Operation::ALL.iter().map(|operation| operation.name()).collect();
    let title = format!("Instructions of one operation, {CAPACITY} entries, 64 bytes: mean (median) of {REPEATS}");
    let mut table = Table::new(title, &columns);
    for kind in kinds {
        let cells = Operation::ALL.iter().map(|operation| {
            let mut counts = counted(REPEATS, |repeats, mark| one_by_one(*kind, *operation, repeats, mark));
            if counts.is_empty() {
                return "-".into();
            }
            let mean = counts.iter().sum::<f64>() / counts.len() as f64;
            format!("{} ({})", shown(mean - empty), shown(median(&mut counts) - empty))
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
                shown(median(&mut counts) - empty)
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
    let (subject, keys) = (kind.make(CAPACITY), keys(CAPACITY * 2));
    fill(&subject, &keys[..CAPACITY], &[7; 64]);
    (subject, keys)
}

fn shown(instructions: f64) -> String {
    count(instructions.round() as usize)
}

/// The instructions between each two marks of `work`, which is run in a child.
pub fn counted(repeats: usize, work: impl Fn(usize, &dyn Fn())) -> Vec<f64> {
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
    let (mut counts, mut stop) = (Vec::new(), stop_of(child));
    while stop == Some(MARK) {
        let mut steps = 0u64;
        while resume(child, libc::PTRACE_SINGLESTEP).expect("a second mark") != MARK {
            steps += 1;
        }
        counts.push(steps as f64);
        stop = resume(child, libc::PTRACE_CONT);
    }
    counts
}

fn resume(child: libc::pid_t, how: libc::c_uint) -> Option<libc::c_int> {
    // SAFETY: the child is ours, and stopped. The signal that stopped it is not delivered.
    assert_eq!(unsafe { libc::ptrace(how, child, 0, 0) }, 0, "cannot let the counted process continue");
    stop_of(child)
}

/// Waits until the child stops: the signal, or `None` if it has ended well.
fn stop_of(child: libc::pid_t) -> Option<libc::c_int> {
    let mut status = 0;
    // SAFETY: a plain system call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child, "the counted process is gone");
    if libc::WIFSTOPPED(status) {
        return Some(libc::WSTOPSIG(status));
    }
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the counted process failed: {status:#x}");
    None
}
