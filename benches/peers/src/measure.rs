//! Times an operation on several subjects in turn.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
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

/// The sequence of each thread, and how far a subject has come in it. It continues there in its next turn, as otherwise
/// it would ask for few of many keys.
pub struct Course<'a> {
    sequences: &'a [Vec<u32>],
    reached: Vec<AtomicUsize>,
}

impl<'a> Course<'a> {
    pub fn new(sequences: &'a [Vec<u32>]) -> Course<'a> {
        Course { sequences, reached: sequences.iter().map(|_| AtomicUsize::new(0)).collect() }
    }

    fn runner<W: Fn(u32, &mut Buffer)>(&self, thread: usize, work: W) -> Runner<'_, W> {
        let (sequence, reached) = (&self.sequences[thread], &self.reached[thread]);
        Runner { sequence, reached, at: reached.load(Relaxed), buffer: Buffer { value: [0; VALUE_MAX] }, work }
    }
}

struct Runner<'a, W> {
    sequence: &'a [u32],
    reached: &'a AtomicUsize,
    at: usize,
    buffer: Buffer,
    work: W,
}

impl<W: Fn(u32, &mut Buffer)> Runner<'_, W> {
    #[inline(always)]
    fn batch(&mut self) {
        for _ in 0..BATCH {
            (self.work)(self.sequence[self.at], &mut self.buffer);
            self.at = if self.at + 1 == self.sequence.len() { 0 } else { self.at + 1 };
        }
    }
}

impl<W> Drop for Runner<'_, W> {
    fn drop(&mut self) {
        self.reached.store(self.at, Relaxed);
    }
}

/// Nanoseconds for one operation: of its own processor time for one thread, else of time over all threads together.
pub fn operation(course: &Course, slice: Duration, work: impl Fn(u32, &mut Buffer) + Sync) -> f64 {
    if course.sequences.len() == 1 { alone(course, slice, work) } else { together(course, slice * LONGER, work) }
}

/// Threads that other programs may interrupt need longer turns.
const LONGER: u32 = 3;

/// What one thread does never waits, so its processor time is what counts, and other programs hardly do.
fn alone(course: &Course, slice: Duration, work: impl Fn(u32, &mut Buffer)) -> f64 {
    let mut runner = course.runner(0, work);
    let mut batches = |count: usize| {
        let begun = nanoseconds(libc::CLOCK_THREAD_CPUTIME_ID);
        (0..count).for_each(|_| runner.batch());
        nanoseconds(libc::CLOCK_THREAD_CPUTIME_ID) - begun
    };
    // A third of the time to warm up, so that the processor's caches hold this subject and not the one before.
    let (mut warm, mut spent) = (0, 0);
    while spent < slice.as_nanos() as u64 / 3 {
        warm += 4;
        spent += batches(4);
    }
    let count = (warm as f64 * slice.as_nanos() as f64 / spent as f64).ceil() as usize;
    batches(count) as f64 / (count * BATCH) as f64
}

fn together(course: &Course, slice: Duration, work: impl Fn(u32, &mut Buffer) + Sync) -> f64 {
    let (start, stop) = (Barrier::new(course.sequences.len() + 1), AtomicBool::new(false));
    let one_thread = |thread: usize| {
        let mut runner = course.runner(thread, &work);
        let begun = Instant::now();
        while begun.elapsed() < slice / 6 {
            runner.batch();
        }
        start.wait();
        let (begun, mut done) = (Instant::now(), 0u64);
        loop {
            runner.batch();
            done += BATCH as u64;
            if stop.load(Relaxed) {
                break (begun, done);
            }
        }
    };
    thread::scope(|scope| {
        let one_thread = &one_thread;
        let workers: Vec<_> =
            (0..course.sequences.len()).map(|thread| scope.spawn(move || one_thread(thread))).collect();
        start.wait();
        thread::sleep(slice);
        let stopped = Instant::now();
        stop.store(true, Relaxed);
        let done: Vec<(Instant, u64)> =
            workers.into_iter().map(|worker| worker.join().expect("a worker ends")).collect();
        // One time for all: a thread that gets a processor late has done less in it.
        let begun = done.iter().map(|(begun, _)| *begun).min().expect("there are threads");
        let operations: u64 = done.iter().map(|(_, done)| done).sum();
        stopped.saturating_duration_since(begun).as_nanos() as f64 / operations as f64
    })
}
