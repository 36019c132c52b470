//! What the second line of each peer shares with the library: its hash, and its clock (src/cache/time.rs).

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::time::{Duration, Instant};

/// The hash of src/cache/table.rs.
#[derive(Clone, Default)]
pub struct SameHasher(foldhash::quality::RandomState);

pub struct Halves<'a>(foldhash::quality::FoldHasher<'a>);

impl BuildHasher for SameHasher {
    type Hasher = Halves<'static>;
    #[inline]
    fn build_hasher(&self) -> Halves<'static> {
        Halves(self.0.build_hasher())
    }
}

impl Hasher for Halves<'_> {
    #[inline]
    fn write(&mut self, key: &[u8]) {
        match (key.first_chunk::<16>(), key.last_chunk::<16>()) {
            (Some(first), Some(last)) if (17..=32).contains(&key.len()) => {
                self.0.write(first);
                self.0.write(last);
            }
            _ => self.0.write(key),
        }
    }
    #[inline]
    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

pub const TTL: Duration = Duration::from_secs(300);

/// Where a peer takes its deadlines from.
pub trait Clock: Send + Sync + 'static {
    /// Whether the peer has deadlines of its own, and uses them.
    const BUILT_IN: bool;
    type Deadline: Copy + Send + Sync + 'static;
    fn deadline() -> Self::Deadline;
    fn is_ahead(deadline: Self::Deadline) -> bool;
}

/// The deadline that the peer checks by itself.
pub struct BuiltIn;

impl Clock for BuiltIn {
    const BUILT_IN: bool = true;
    type Deadline = ();
    fn deadline() {}
    #[inline]
    fn is_ahead(_: ()) -> bool {
        true
    }
}

/// What a Rust program writes around a cache without deadlines.
pub struct Std;

impl Clock for Std {
    const BUILT_IN: bool = false;
    type Deadline = Instant;
    #[inline]
    fn deadline() -> Instant {
        Instant::now() + TTL
    }
    #[inline]
    fn is_ahead(deadline: Instant) -> bool {
        Instant::now() < deadline
    }
}

/// Written by the precise clock, compared with the coarse one; the precise one decides where the deadline is near.
pub struct Hybrid;

/// How far the coarse clock may lag.
const LAG: u64 = 100_000_000;
const REMEASURE: u64 = 100_000_000;
static SUSPENDED: AtomicU64 = AtomicU64::new(0);
static SUSPENDED_UNTIL: AtomicU64 = AtomicU64::new(0);

impl Clock for Hybrid {
    const BUILT_IN: bool = false;
    type Deadline = u64;
    #[inline]
    fn deadline() -> u64 {
        nanoseconds(libc::CLOCK_BOOTTIME) + TTL.as_nanos() as u64
    }
    #[inline]
    fn is_ahead(deadline: u64) -> bool {
        let awake = nanoseconds(libc::CLOCK_MONOTONIC_COARSE);
        let suspended =
            if awake < SUSPENDED_UNTIL.load(Acquire) { SUSPENDED.load(Relaxed) } else { measure_suspension(awake) };
        let about = awake + suspended;
        deadline > about && (deadline - about > LAG || deadline > nanoseconds(libc::CLOCK_BOOTTIME))
    }
}

#[cold]
fn measure_suspension(awake: u64) -> u64 {
    let since_boot = nanoseconds(libc::CLOCK_BOOTTIME);
    SUSPENDED.fetch_max(since_boot.saturating_sub(nanoseconds(libc::CLOCK_MONOTONIC)), Relaxed);
    SUSPENDED_UNTIL.store(awake + REMEASURE, Release);
    SUSPENDED.load(Relaxed)
}

#[inline]
pub fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the place is ours.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
