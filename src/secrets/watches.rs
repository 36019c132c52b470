//! The callbacks of a manager that are called when something changed.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};

use foldhash::quality::RandomState;

use crate::fork;
use crate::fork_safe::Mutex;

pub(super) type WatchCallback = Box<dyn Fn(Option<&str>, u64) + Send + Sync>;

pub(super) struct Watches {
    pub(super) list: Mutex<Vec<Arc<Watch>>>,
    pub(super) count: AtomicUsize,
    pub(super) last_id: AtomicU64,
    /// The generation at the last check.
    pub(super) checked: AtomicU64,
    /// 0, or the process generation plus one while a thread checks. A forked child does not have that thread.
    checking: AtomicU32,
    pub(super) hasher: RandomState,
}

pub(super) struct Watch {
    pub(super) id: u64,
    /// `None` for all keys.
    pub(super) key: Option<Box<str>>,
    pub(super) callback: WatchCallback,
    pub(super) seen: Mutex<Seen>,
    /// Set when the watch is removed: a check that is running may still have it in its list.
    pub(super) is_removed: AtomicBool,
}

impl Watch {
    pub(super) fn new(id: u64, key: Option<&str>, callback: WatchCallback, seen: Seen) -> Watch {
        Watch { id, key: key.map(Into::into), callback, seen: Mutex::new(seen), is_removed: AtomicBool::new(false) }
    }
}

/// What was last seen of a watched key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Unknown,
    Absent,
    /// The hash of its value, with a random key.
    Value(u64),
    /// For all keys: the generation.
    Generation(u64),
}

impl Watches {
    pub(super) fn new() -> Watches {
        Watches {
            list: Mutex::default(),
            count: AtomicUsize::new(0),
            last_id: AtomicU64::new(0),
            checked: AtomicU64::new(0),
            checking: AtomicU32::new(0),
            hasher: RandomState::default(),
        }
    }

    /// Begins a check, unless another thread is checking, or this one in a callback.
    pub(super) fn begin(&self) -> Option<Checking<'_>> {
        let (own, checking) = (fork::generation().wrapping_add(1), self.checking.load(Acquire));
        let is_free = checking != own && self.checking.compare_exchange(checking, own, Acquire, Relaxed).is_ok();
        is_free.then_some(Checking(self))
    }
}

pub(super) struct Checking<'a>(&'a Watches);

impl Drop for Checking<'_> {
    fn drop(&mut self) {
        self.0.checking.store(0, Release);
    }
}
