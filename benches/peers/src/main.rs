//! Measures the cache beside its peers, in one run. Ratios count; single times move with the machine.

mod library;
mod subjects;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use library::{Library, Ours};
use subjects::*;

/// Short turns and many of them: what disturbs the machine disturbs some of them, and the best one counts.
const SLICE: Duration = Duration::from_millis(20);
const ROUNDS: usize = 20;
/// For what takes its time by itself.
const FEW_ROUNDS: usize = 3;

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % end as u64) as usize
    }
}

fn key(number: usize) -> Key {
    // The first eight bytes name a group of one hundredth of the keys.
    let text = format!("group{:02}:{:08}-a-key-of-32-byt", number % 100, number);
    text.as_bytes()[..32].try_into().unwrap()
}

fn uniform(end: usize, seed: u64) -> Vec<u32> {
    let mut random = Random(seed | 1);
    (0..1 << 17).map(|_| random.below(end) as u32).collect()
}

/// Ranks with the frequencies of Zipf's law, exponent 1.
fn zipf(end: usize, seed: u64) -> Vec<u32> {
    let mut sums: Vec<f64> = Vec::with_capacity(end);
    for rank in 1..=end {
        sums.push(sums.last().unwrap_or(&0.0) + 1.0 / rank as f64);
    }
    let (total, mut random) = (sums[end - 1], Random(seed | 1));
    let draw = |random: &mut Random| random.below(1 << 30) as f64 / (1u64 << 30) as f64 * total;
    (0..1 << 17).map(|_| sums.partition_point(|sum| *sum < draw(&mut random)).min(end - 1) as u32).collect()
}

/// Nanoseconds for one operation, over all threads together. `work` does the operation for a number of its sequence.
fn measure(threads: usize, sequences: &[Vec<u32>], work: impl Fn(usize, &mut [u8]) + Sync) -> f64 {
    let (start, stop) = (Barrier::new(threads + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                let (start, stop, sequence, work) = (&start, &stop, &sequences[number][..], &work);
                scope.spawn(move || {
                    let (mut buffer, mut done, mut at) = (vec![0; 65_536], 0u64, 0);
                    // Once through, so that the processor's caches hold this subject and not the one before.
                    sequence.iter().for_each(|number| work(*number as usize, &mut buffer));
                    start.wait();
                    let begun = Instant::now();
                    while !stop.load(Relaxed) {
                        for _ in 0..256 {
                            work(sequence[at] as usize, &mut buffer);
                            at = (at + 1) & (sequence.len() - 1);
                        }
                        done += 256;
                    }
                    done as f64 / begun.elapsed().as_nanos() as f64
                })
            })
            .collect();
        start.wait();
        thread::sleep(SLICE);
        stop.store(true, Relaxed);
        1.0 / workers.into_iter().map(|worker| worker.join().unwrap()).sum::<f64>()
    })
}

/// The best of several rounds, in which the subjects take turns.
fn best(rounds: usize, count: usize, mut one: impl FnMut(usize) -> f64) -> Vec<f64> {
    let mut best = vec![f64::INFINITY; count];
    for _ in 0..rounds {
        for (which, best) in best.iter_mut().enumerate() {
            *best = best.min(one(which));
        }
    }
    best
}

fn show(what: &str, times: &[f64]) {
    print!("{what:44}");
    for time in times {
        print!(" {time:11.1}");
    }
    println!();
}

fn fill(subject: &dyn Subject, keys: &[Key], value: &[u8]) {
    // Twice: some peers admit a key only when they see it again.
    for _ in 0..2 {
        keys.iter().enumerate().for_each(|(number, key)| subject.set(key, number, value));
    }
}

struct Bench {
    library: &'static Library,
    threads: Vec<usize>,
}

impl Bench {
    fn gets(&self, what: &str, capacity: usize, len: usize, hot: bool) {
        let keys: Vec<Key> = (0..capacity).map(key).collect();
        let all: Vec<_> = (0..NAMES.len()).map(|which| subject(which, self.library, capacity)).collect();
        all.iter().for_each(|subject| fill(&**subject, &keys, &vec![7; len]));
        let end = if hot { 1 } else { capacity };
        if hot {
            // A peer whose parts fill unevenly may have thrown just this key out, and a miss asks for no time.
            for subject in &all {
                let held = (0..100).any(|_| {
                    subject.set(&keys[0], 0, &vec![7; len]);
                    subject.get(&keys[0], 0, &mut [0; 2048])
                });
                assert!(held, "the hot key is not held");
            }
        }
        let sequences: Vec<_> =
            (1..=64).map(|seed| uniform(end, seed * 7_919)).take(self.threads[self.threads.len() - 1]).collect();
        let mut single = Vec::new();
        for threads in &self.threads {
            let times = best(ROUNDS, all.len(), |which| {
                measure(*threads, &sequences, |number, buffer| {
                    std::hint::black_box(all[which].get(&keys[number], number, buffer));
                })
            });
            show(&format!("{what}, {threads} thread(s)"), &times);
            if *threads == 1 {
                println!("    {:.2} times the floor", times[OURS] / times[FLOOR]);
                single = times.clone();
            }
            let faster = |peer: usize| times[peer] / times[OURS];
            println!(
                "    faster than moka {:.1}, mini-moka {:.1}, quick_cache {:.1}, Mutex<lru> {:.1} times; {:.2} times one thread",
                faster(MOKA),
                faster(MINI_MOKA),
                faster(QUICK),
                faster(LRU),
                single[OURS] / times[OURS],
            );
        }
    }

    fn misses(&self, capacity: usize) {
        let keys: Vec<Key> = (0..capacity * 2).map(key).collect();
        let all: Vec<_> = (0..FLOOR).map(|which| subject(which, self.library, capacity)).collect();
        all.iter().for_each(|subject| fill(&**subject, &keys[..capacity], &[7; 64]));
        let sequences = [uniform(capacity, 5)];
        let times = best(ROUNDS, all.len(), |which| {
            measure(1, &sequences, |number, buffer| {
                std::hint::black_box(all[which].get(&keys[capacity + number], number, buffer));
            })
        });
        show(&format!("get miss, {capacity}"), &times);
    }

    /// Sets over `spread` times as many keys as fit.
    fn sets(&self, what: &str, capacity: usize, spread: usize) {
        let keys: Vec<Key> = (0..capacity * spread).map(key).collect();
        let all: Vec<_> = (0..FLOOR).map(|which| subject(which, self.library, capacity)).collect();
        all.iter().for_each(|subject| fill(&**subject, &keys[..capacity], &[7; 64]));
        let sequences: Vec<_> = (1..=2).map(|seed| uniform(keys.len(), seed)).collect();
        for threads in self.threads.iter().take(2) {
            let times = best(ROUNDS, all.len(), |which| {
                measure(*threads, &sequences, |number, _| all[which].set(&keys[number], number, &[7; 64]))
            });
            show(&format!("{what}, {capacity}, {threads} thread(s)"), &times);
            println!("    {:.2} times Mutex<lru>", times[OURS] / times[LRU]);
        }
    }

    fn mixed(&self, reads: usize, capacity: usize) {
        let keys: Vec<Key> = (0..capacity * 2).map(key).collect();
        let all: Vec<_> = (0..FLOOR).map(|which| subject(which, self.library, capacity)).collect();
        all.iter().for_each(|subject| fill(&**subject, &keys[..capacity], &[7; 64]));
        let sequences: Vec<_> = (1..=2).map(|seed| zipf(keys.len(), seed * 31)).collect();
        for threads in self.threads.iter().take(2) {
            let times = best(ROUNDS, all.len(), |which| {
                measure(*threads, &sequences, |number, buffer| {
                    // Counts its turns behind the place for the value.
                    let turn = u32::from_le_bytes(buffer[2040..2044].try_into().unwrap()).wrapping_add(1);
                    buffer[2040..2044].copy_from_slice(&turn.to_le_bytes());
                    if turn as usize % 100 < reads {
                        std::hint::black_box(all[which].get(&keys[number], number, buffer));
                    } else {
                        all[which].set(&keys[number], number, &[7; 64]);
                    }
                })
            });
            show(&format!("Zipf {reads}/{}, {capacity}, {threads} thread(s)", 100 - reads), &times);
            println!("    faster than quick_cache {:.1} times", times[QUICK] / times[OURS]);
        }
    }

    fn stall(&self, capacity: usize) {
        let keys: Vec<Key> = (0..capacity * 2).map(key).collect();
        let times = best(FEW_ROUNDS, FLOOR, |which| {
            let subject = subject(which, self.library, capacity);
            let mut longest = 0u128;
            for (number, key) in keys.iter().enumerate() {
                let begun = Instant::now();
                subject.set(key, number, &[7; 64]);
                longest = longest.max(begun.elapsed().as_nanos());
            }
            longest as f64
        });
        show(&format!("largest stall of a set, {capacity}"), &times);
        println!("    {:.3} times Mutex<lru>", times[OURS] / times[LRU]);
    }

    fn prefix(&self, capacity: usize) {
        let keys: Vec<Key> = (0..capacity).map(key).collect();
        let times = best(FEW_ROUNDS, FLOOR, |which| {
            if which == MINI_MOKA {
                return f64::NAN;
            }
            let subject = subject(which, self.library, capacity);
            fill(&*subject, &keys, &[7; 64]);
            let begun = Instant::now();
            assert!(subject.invalidate_prefix(b"group42:") > 0);
            begun.elapsed().as_nanos() as f64
        });
        show(&format!("prefix invalidation, 1 % of {capacity}"), &times);
        println!("    {:.2} times Mutex<lru>", times[OURS] / times[LRU]);
    }

    fn counted_bytes(&self) {
        for len in [64, 1024, 16_384, 65_536] {
            let (cache, keys): (_, Vec<Key>) = (Ours::new(self.library, 500), (0..100).map(key).collect());
            keys.iter().for_each(|key| cache.set(key, &vec![7; len]));
            let sequences = [uniform(100, 3)];
            let times = best(ROUNDS, 3, |which| {
                measure(1, &sequences, |number, buffer| match which {
                    0 => drop(cache.get_into(&keys[number], buffer)),
                    1 => drop(cache.get_bytes(&keys[number])),
                    _ => drop(cache.get_or_load(&keys[number])),
                })
            });
            println!(
                "{len:6} bytes: get_into {:.1}, get and free {:.1}, get_or_load and free {:.1}",
                times[0], times[1], times[2]
            );
        }
    }

    fn memory(&self, capacity: usize) {
        let used = || {
            let info = unsafe { libc::mallinfo2() };
            info.uordblks + info.hblkhd
        };
        for len in [64, 1024] {
            let before = used();
            let cache = Ours::new(self.library, capacity);
            (0..capacity).for_each(|number| cache.set(&key(number), &vec![7; len]));
            let after = used();
            println!(
                "memory per entry, {capacity} of 32 + {len} bytes: {:.1} more than key and value",
                (after - before) as f64 / capacity as f64 - 32.0 - len as f64
            );
        }
    }
}

fn main() {
    let path = std::env::args().nth(1).unwrap_or_else(|| "build/lib/libst_secrets.so".into());
    let library = Library::open(&path);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = [1, 2, 4, 8, 16].into_iter().filter(|count| *count <= processors.max(2)).collect();
    let bench = Bench { library, threads };
    println!("nanoseconds for one operation, over all threads together; the best of {ROUNDS} rounds");
    let sequences = [uniform(1, 1)];
    let empty =
        best(ROUNDS, 1, |_| measure(1, &sequences, |_, _| _ = std::hint::black_box(unsafe { (library.empty)() })));
    println!("an empty call through the C ABI: {:.1}", empty[0]);
    print!("{:44}", "");
    NAMES.iter().for_each(|name| print!(" {name:>11}"));
    println!();
    // A second argument picks one of the groups.
    let picked = std::env::args().nth(2);
    let wanted = |group: &str| picked.as_deref().is_none_or(|picked| picked == group);
    if wanted("hits") {
        bench.gets("get hit, 100, 64 B", 100, 64, false);
        bench.gets("get hit, 500, 64 B", 500, 64, false);
        bench.gets("get hit, 500, 1 KiB", 500, 1024, false);
        bench.gets("get hit, 500, one hot key", 500, 64, true);
    }
    if wanted("large") {
        bench.gets("get hit, 100 000, 64 B", 100_000, 64, false);
    }
    if wanted("misses") {
        bench.misses(500);
        bench.misses(100_000);
    }
    if wanted("sets") {
        bench.sets("overwrite", 500, 1);
        bench.sets("set with eviction", 500, 4);
        bench.sets("set with eviction", 100_000, 4);
    }
    if wanted("mixed") {
        bench.mixed(90, 500);
        bench.mixed(99, 500);
        bench.mixed(99, 100_000);
    }
    if wanted("rest") {
        bench.stall(100_000);
        bench.prefix(100_000);
        bench.counted_bytes();
        bench.memory(100_000);
    }
}
