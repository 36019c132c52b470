//! Many threads on one cache: no torn or foreign value, never more entries than fit, exact counts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use st_secrets::cache::{Copied, TtlCache, Value};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(36_000);

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// A value of some length that names its key throughout.
fn value(key: u64, random: &mut Random) -> Vec<u8> {
    let words = 1 + random.below(40) as usize;
    let stamp = random.below(u64::MAX);
    let mut value = Vec::new();
    for word in 0..words as u64 {
        value.extend((stamp ^ key.wrapping_mul(word + 1)).to_le_bytes());
    }
    value.extend((stamp ^ key).to_le_bytes());
    value
}

fn check(key: u64, value: &[u8]) {
    let words: Vec<_> = value.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    let (last, words) = words.split_last().unwrap();
    for (index, word) in words.iter().enumerate() {
        assert_eq!(word ^ key.wrapping_mul(index as u64 + 1), last ^ key, "a value is torn, or of another key");
    }
}

fn one_thread(cache: &TtlCache<Value>, capacity: usize, seed: u64, gets: &AtomicU64) {
    let mut random = Random(seed);
    let mut buffer = [0; 400];
    let keys = capacity as u64 * 3 / 2 + 2;
    for step in 0..60_000 {
        let key = random.below(keys);
        let name = key.to_string().into_bytes();
        match random.below(100) {
            0..50 => {
                gets.fetch_add(1, Relaxed);
                if let Copied::Whole(len) = cache.get_into(&name, &mut buffer) {
                    check(key, &buffer[..len]);
                }
            }
            50..70 => {
                gets.fetch_add(1, Relaxed);
                if let Some(value) = cache.get(&name) {
                    check(key, &value.into_bytes().unwrap());
                }
            }
            70..80 => {
                gets.fetch_add(1, Relaxed);
                let load = |_| Value::copy_from(&value(key, &mut Random(seed + step)));
                check(key, &cache.get_or_load(&name, LONG, load).unwrap().into_bytes().unwrap());
            }
            80..95 => {
                let ttl = (random.below(20) == 0).then(|| Duration::from_micros(random.below(2_000)));
                cache.set(&name, Value::copy_from(&value(key, &mut random)).unwrap(), ttl).unwrap();
            }
            95..98 => drop(cache.delete(&name)),
            98 => drop(cache.invalidate_prefix(&name)),
            _ => assert!(cache.stats().size <= capacity),
        }
    }
}

#[test]
fn values_stay_whole_and_the_capacity_holds() {
    for capacity in [1, 2, 10, 100, 500, 5_000] {
        let cache = TtlCache::new(LONG, capacity, Duration::from_millis(1)).unwrap();
        let gets = AtomicU64::new(0);
        thread::scope(|scope| {
            for seed in 1..=8 {
                let (cache, gets) = (&cache, &gets);
                scope.spawn(move || one_thread(cache, capacity, seed * 77, gets));
            }
        });
        // The last of the short-lived ones expire.
        thread::sleep(Duration::from_millis(200));
        let stats = cache.stats();
        assert_eq!(stats.hits + stats.misses, gets.load(Relaxed), "no hit or miss is lost");
        assert_eq!(cache.clear(), stats.size - stats.expired_count);
    }
}

#[test]
fn what_one_thread_used_last_is_evicted_last() {
    // Readers of other keys run beside; a thread's own order must hold among its own keys.
    let cache = TtlCache::new(LONG, 300, LONG).unwrap();
    for key in 0..200 {
        cache.set(format!("noise:{key}").as_bytes(), 0u64, None).unwrap();
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    for key in 0..200 {
                        assert!(cache.get(format!("noise:{key}").as_bytes()).is_some());
                    }
                }
            });
        }
        let mut random = Random(5);
        for round in 0..300 {
            for key in 0..50 {
                cache.set(format!("own:{round}:{key}").as_bytes(), 1, None).unwrap();
            }
            let used: Vec<_> = (0..50).filter(|_| random.below(2) == 0).collect();
            for key in &used {
                assert!(cache.get(format!("own:{round}:{key}").as_bytes()).is_some());
            }
            // 100 own entries fit beside the noise: the last round's 50, used or not, and these.
            for key in 0..100 - used.len() {
                cache.set(format!("fill:{round}:{key}").as_bytes(), 1, None).unwrap();
                for key in 0..200 {
                    cache.get(format!("noise:{key}").as_bytes());
                }
            }
            for key in &used {
                assert!(cache.get(format!("own:{round}:{key}").as_bytes()).is_some(), "round {round}, key {key}");
            }
        }
        stop.store(true, Relaxed);
    });
}

#[test]
fn all_entries_go_at_once() {
    let cache = TtlCache::new(LONG, 50_000, LONG).unwrap();
    let keys: Vec<_> = (0..50_000u32).map(u32::to_le_bytes).collect();
    for _ in 0..5 {
        keys.iter().for_each(|key| cache.set(key, 1u64, None).unwrap());
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen_empty = false;
                while !done.load(Relaxed) {
                    for key in keys.iter().step_by(97) {
                        let found = cache.get(key).is_some();
                        assert!(!(found && seen_empty), "an entry is left after another one went");
                        seen_empty |= !found;
                    }
                }
            });
            thread::sleep(Duration::from_millis(2));
            assert_eq!(cache.clear(), 50_000);
            done.store(true, Relaxed);
            reader.join().unwrap();
        });
    }
}

/// Reads one key, on this thread or another, and then waits until the clock of the order of use has moved on.
fn use_in_turn(cache: &TtlCache<u64>, key: u32, on_another_thread: bool) {
    let read = || assert!(cache.get(&key.to_le_bytes()).is_some());
    match on_another_thread {
        true => thread::scope(|scope| drop(scope.spawn(read))),
        false => read(),
    }
    // Longer than the longest tick of a kernel (`CONFIG_HZ=100`).
    thread::sleep(Duration::from_millis(25));
}

#[test]
fn order_of_use_between_threads_is_that_of_their_ticks() {
    // Each read on a thread of its own; by two threads that strictly take turns; all on this one.
    for threads in 0..3 {
        let cache = TtlCache::new(LONG, 20, LONG).unwrap();
        for key in 0..20u32 {
            cache.set(&key.to_le_bytes(), 1, None).unwrap();
        }
        let mut random = Random(threads + 3);
        let mut used: Vec<u32> = (0..20).collect();
        for place in (1..20).rev() {
            used.swap(place, random.below(place as u64 + 1) as usize);
        }
        for (turn, key) in used.iter().enumerate() {
            use_in_turn(&cache, *key, threads == 0 || (threads == 1 && turn % 2 == 0));
        }
        for (place, key) in used.iter().enumerate() {
            cache.set(format!("new:{place}").as_bytes(), 1, None).unwrap();
            assert!(cache.get(&key.to_le_bytes()).is_none(), "{threads}: {key} was used the longest ago");
        }
    }
}

#[test]
fn entry_that_many_threads_use_outlasts_a_flood_of_new_ones() {
    let cache = TtlCache::new(LONG, 500, LONG).unwrap();
    cache.set(b"popular", 1u64, None).unwrap();
    let stop = AtomicBool::new(false);
    let misses: u64 = thread::scope(|scope| {
        let readers = [(); 3].map(|()| {
            scope.spawn(|| {
                let mut misses = 0;
                while !stop.load(Relaxed) {
                    if cache.get(b"popular").is_none() {
                        misses += 1;
                        cache.set(b"popular", 1, None).unwrap();
                    }
                }
                misses
            })
        });
        let mut misses = 0;
        for key in 0..200_000u32 {
            cache.set(&key.to_le_bytes(), 1, None).unwrap();
            // So that it is used even where the readers are interrupted.
            misses += u64::from(cache.get(b"popular").is_none());
        }
        stop.store(true, Relaxed);
        misses + readers.into_iter().map(|reader| reader.join().unwrap()).sum::<u64>()
    });
    assert_eq!(misses, 0);
}
