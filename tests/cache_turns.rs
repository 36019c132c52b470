//! Threads that wait for each other in a cache: all have their turn, and waiting costs no processor time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use st_secrets::cache::TtlCache;

const MINUTE: Duration = Duration::from_secs(60);

fn filled(entries: u32) -> TtlCache<u32> {
    let cache = TtlCache::new(MINUTE * 60, entries as usize, Duration::MAX).unwrap();
    for number in 0..entries {
        cache.set(&number.to_le_bytes(), number, None).unwrap();
    }
    cache
}

#[test]
fn a_set_is_not_passed_without_end() {
    let cache = filled(30_000);
    let repeated: [&(dyn Fn() + Sync); 2] = [&|| _ = cache.stats(), &|| _ = cache.invalidate_prefix(b"none of these")];
    for call in repeated {
        let (stop, calls) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(SeqCst) {
                        call();
                        calls.fetch_add(1, SeqCst);
                    }
                });
            }
            for number in 0..25u32 {
                // The other threads are in the middle of their calls. That each set ends is all that can be said here:
                // how many calls pass depends on how the system shares out the processors.
                let before = calls.load(SeqCst);
                while calls.load(SeqCst) == before {
                    thread::yield_now();
                }
                cache.set(&number.to_le_bytes(), number, None).unwrap();
            }
            stop.store(true, SeqCst);
        });
    }
}

/// A value whose clone, which a reader makes inside the cache, takes until it is released.
struct Held<'a>(&'a (Mutex<State>, Condvar));

#[derive(PartialEq)]
enum State {
    Free,
    Hold,
    Holding,
}

impl Clone for Held<'_> {
    fn clone(&self) -> Self {
        let mut state = self.0.0.lock().unwrap();
        if *state == State::Hold {
            *state = State::Holding;
            self.0.1.notify_all();
            drop(self.0.1.wait_while(state, |state| *state == State::Holding).unwrap());
        }
        Held(self.0)
    }
}

fn processor_time() -> Duration {
    // SAFETY: a usage is plain numbers, for which zeros are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid and writable for the whole call.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) }, 0);
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

#[test]
fn waiting_costs_no_processor_time() {
    const HELD: Duration = Duration::from_secs(2);
    let state: &'static (Mutex<State>, Condvar) = Box::leak(Box::new((Mutex::new(State::Free), Condvar::new())));
    let cache = TtlCache::new(MINUTE * 60, 100, Duration::MAX).unwrap();
    cache.set(b"held", Held(state), None).unwrap();
    *state.0.lock().unwrap() = State::Hold;
    let spent: Duration = thread::scope(|scope| {
        let reader = scope.spawn(|| _ = cache.get(b"held"));
        drop(state.1.wait_while(state.0.lock().unwrap(), |state| *state == State::Hold).unwrap());
        // A reader is inside. The first of the writers waits for it, all others for that writer.
        let cache = &cache;
        let waiting: Vec<_> = (0..16)
            .map(|number| {
                scope.spawn(move || {
                    let before = processor_time();
                    match number % 2 {
                        0 => cache.set(b"other", Held(state), None).unwrap(),
                        _ => drop(cache.get(b"none")),
                    }
                    processor_time() - before
                })
            })
            .collect();
        thread::sleep(HELD);
        *state.0.lock().unwrap() = State::Free;
        state.1.notify_all();
        reader.join().unwrap();
        waiting.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // One that turns in circles spends most of it; these look up once a millisecond at most.
    assert!(spent < HELD / 4, "16 threads spent {spent:?} on waiting for {HELD:?}");
}
