//! Times an operation on several subjects in turn.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::same::nanoseconds;
use crate::subjects::VALUE_MAX;

const BATCH: usize = 256;

pub struct Buffer {
    pub value: [u8; VALUE_MAX],
}

/// How long, and how often: subjects take turns, so that what disturbs the machine disturbs all of them.
#[derive(Clone, Copy)]
pub struct Effort {
    pub slice: Duration,
    pub rounds: usize,
}

/// The median of a subject's times, and the median of the ratios to the first subject in the same round.
#[derive(Clone, Copy)]
pub struct Timing {
    pub time: f64,
    pub ratio: f64,
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => (values[len / 2 - 1] + values[len / 2]) / 2.0,
    }
}

/// Times `count` subjects in turns; `one` times the subject of this number once.
pub fn in_turns(rounds: usize, count: usize, mut one: impl FnMut(usize) -> f64) -> Vec<Timing> {
    let mut times = vec![Vec::new(); count];
    for _ in 0..rounds {
        (0..count).for_each(|which| times[which].push(one(which)));
    }
    let first = times[0].clone();
    times
        .iter()
        .map(|times| {
            let mut ratios: Vec<f64> = times.iter().zip(&first).map(|(time, first)| time / first).collect();
            Timing { time: median(&mut times.clone()), ratio: median(&mut ratios) }
        })
        .collect()
}

/// Nanoseconds for one operation: of its own processor time for one thread, else of time over all threads together.
pub fn operation(
    threads: usize,
    sequences: &[Vec<u32>],
    slice: Duration,
    work: impl Fn(u32, &mut Buffer) + Sync,
) -> f64 {
    if threads == 1 { alone(&sequences[0], slice, work) } else { together(&sequences[..threads], slice, work) }
}

/// What one thread does never waits, so its processor time is what counts, and other programs hardly do.
fn alone(sequence: &[u32], slice: Duration, work: impl Fn(u32, &mut Buffer)) -> f64 {
    let mut buffer = Buffer { value: [0; VALUE_MAX] };
    let (mut at, mut spent) = (0, 0);
    let mut batches = |count: usize| {
        let begun = nanoseconds(libc::CLOCK_THREAD_CPUTIME_ID);
        for _ in 0..count * BATCH {
            work(sequence[at], &mut buffer);
            at = if at + 1 == sequence.len() { 0 } else { at + 1 };
        }
        nanoseconds(libc::CLOCK_THREAD_CPUTIME_ID) - begun
    };
    // A third of the time to warm up, so that the processor's caches hold this subject and not the one before.
    let mut warm = 0;
    while spent < slice.as_nanos() as u64 / 3 {
        warm += 4;
        spent += batches(4);
    }
    let count = (warm as f64 * slice.as_nanos() as f64 / spent as f64).ceil() as usize;
    batches(count) as f64 / (count * BATCH) as f64
}

/// Threads that other programs may interrupt need longer turns.
const LONGER: u32 = 3;

fn together(sequences: &[Vec<u32>], slice: Duration, work: impl Fn(u32, &mut Buffer) + Sync) -> f64 {
    let slice = slice * LONGER;
    let (start, stop) = (Barrier::new(sequences.len() + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        let workers: Vec<_> = sequences
            .iter()
            .map(|sequence| {
                let (start, stop, work) = (&start, &stop, &work);
                scope.spawn(move || {
                    let mut buffer = Buffer { value: [0; VALUE_MAX] };
                    let (mut at, mut done) = (0, 0u64);
                    let mut batch = || {
                        for _ in 0..BATCH {
                            work(sequence[at], &mut buffer);
                            at = if at + 1 == sequence.len() { 0 } else { at + 1 };
                        }
                    };
                    let begun = Instant::now();
                    while begun.elapsed() < slice / 6 {
                        batch();
                    }
                    start.wait();
                    let begun = Instant::now();
                    loop {
                        batch();
                        done += BATCH as u64;
                        if stop.load(Relaxed) {
                            break done as f64 / begun.elapsed().as_nanos() as f64;
                        }
                    }
                })
            })
            .collect();
        start.wait();
        thread::sleep(slice);
        stop.store(true, Relaxed);
        1.0 / workers.into_iter().map(|worker| worker.join().expect("a worker ends")).sum::<f64>()
    })
}
