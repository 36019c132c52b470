//! Values that the library returned and that a redactor will know at its next use.
//!
//! Recording must cost little, as it is part of every get: a value that was recorded before is recognized by its hash,
//! without a lock. Its forms are computed by the next call that redacts.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

use foldhash::quality::RandomState;
use once_cell::race::OnceBox;

use super::{Redactor, value};
use crate::fork;
use crate::fork_safe::Mutex;
use crate::log::{self, Level};
use crate::secret_memory::SecretBytes;

/// How many hashes are recognized without a lock. A power of two.
const RECENT: usize = 4096;

/// The values that were recorded. Nothing is allocated before the first.
#[derive(Default)]
pub(super) struct Recorded {
    hasher: RandomState,
    /// Hashes of values that are recorded, each at the place that it determines; 0 at a free place.
    recent: OnceBox<[AtomicU64; RECENT]>,
    /// Whether `queue` has values, or did not have room for one.
    is_pending: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// The hashes of all values that were recorded.
    known: HashSet<u64, RandomState>,
    /// Those of which the index has no patterns yet.
    pending: VecDeque<Pending>,
    /// How many were removed from the front of `pending`.
    removed: u64,
    /// How many values could not be recorded.
    lost: usize,
}

#[derive(Clone)]
struct Pending {
    name: Option<Box<str>>,
    value: SecretBytes,
}

impl Recorded {
    #[inline]
    pub(super) fn is_pending(&self) -> bool {
        self.is_pending.load(Acquire)
    }
}

impl Redactor {
    /// Records a value: all calls that begin later replace it. It takes little time, logs nothing, and can be called
    /// while [reading](fork::read).
    pub(super) fn record(&self, name: Option<&str>, value: &[u8]) {
        if value.len() < self.options.shortest {
            return;
        }
        let recorded = &self.recorded;
        // 0 is a free place.
        let hash = recorded.hasher.hash_one(value).max(1);
        let recent = recorded.recent.get_or_init(|| Box::new([const { AtomicU64::new(0) }; RECENT]));
        let place = &recent[hash as usize % RECENT];
        // A thread that reads the hash also reads that the value is pending, or that the index has it.
        if place.load(Acquire) == hash {
            return;
        }
        let _guard = fork::protect();
        let mut queue = recorded.queue.lock();
        if queue.known.contains(&hash) {
            place.store(hash, Release);
            return;
        }
        let copy = SecretBytes::copy_from(value);
        recorded.is_pending.store(true, Release);
        match copy {
            Ok(value) => {
                queue.known.insert(hash);
                queue.pending.push_back(Pending { name: name.map(Into::into), value });
                place.store(hash, Release);
            }
            Err(_) => queue.lost += 1,
        }
    }

    /// Adds the values that were recorded so far. Several threads may do so at once, so none waits for another.
    #[cold]
    pub(super) fn add_recorded(&self) {
        let (pending, end, lost) = {
            let _guard = fork::protect();
            let mut queue = self.recorded.queue.lock();
            let end = queue.removed + queue.pending.len() as u64;
            (queue.pending.clone(), end, std::mem::take(&mut queue.lost))
        };
        let (mut patterns, mut failed) = (Vec::new(), lost);
        for Pending { name, value } in &pending {
            match value::patterns(name.as_deref(), value, self.options.shortest) {
                Ok(new) => patterns.extend(new),
                Err(_) => failed += 1,
            }
        }
        self.add_patterns(patterns);
        {
            let _guard = fork::protect();
            let mut queue = self.recorded.queue.lock();
            let done = end.saturating_sub(queue.removed) as usize;
            queue.pending.drain(..done);
            queue.removed += done as u64;
            if queue.pending.is_empty() && queue.lost == 0 {
                self.recorded.is_pending.store(false, Release);
            }
        }
        if failed > 0 {
            log::emit(Level::Error, "redact", || format!("out of memory: {failed} values will not be redacted"));
        }
    }
}
