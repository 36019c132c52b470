//! The loads of a cache that are under way, and who waits for them.
//!
//! Waiting happens outside the fork gate, so it uses std's lock and condition, which are one word of memory each:
//! parking_lot keeps its sleepers in a table shared by the whole process, which a forked child could inherit locked.
//! For the same reason a child never touches the lock of a load that its parent began.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex as StdMutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::fork;

/// Waits are cut into pieces of this length at most: std's clock stands still while the machine is suspended.
const NAP: Duration = Duration::from_secs(1);

/// One load: of one key, by one owner.
pub(super) struct Load<V> {
    pub(super) key: Box<[u8]>,
    id: u64,
    /// The thread that runs a callback for it; `None` where the owner may move between threads.
    owner: Option<ThreadId>,
    /// Which process began it, as in [`fork::generation`].
    generation: u32,
    /// When others may take it over.
    expires: Deadline,
    /// Set when its key was written or invalidated meanwhile: what it brings is old.
    outdated: AtomicBool,
    result: StdMutex<Ending<V>>,
    ended: Condvar,
}

/// How a load ended, `None` while it has not, and how many wait for that.
struct Ending<V> {
    result: Option<Result<V>>,
    waiting: usize,
}

/// What somebody who waited for a load gets.
pub(super) enum Waited<V> {
    Value(V),
    Failed(Error),
    /// The deadline passed.
    TooLong,
    /// The owner took too long: it is to be asked for again.
    Again,
}

/// What somebody who asks for a load of a key gets.
pub(super) enum Entered<V> {
    /// Nobody loads the key: the caller does.
    Owner(Arc<Load<V>>),
    /// Somebody does.
    Other(Arc<Load<V>>),
}

struct Map<V> {
    by_key: HashMap<Box<[u8]>, Arc<Load<V>>>,
    by_id: HashMap<u64, Arc<Load<V>>>,
    /// Which load each waiting thread waits for.
    waiting: HashMap<ThreadId, Arc<Load<V>>>,
}

pub(super) struct Loads<V> {
    /// So that a write takes no lock where nothing is loaded.
    underway: AtomicUsize,
    begun: AtomicU64,
    failed: AtomicU64,
    map: Mutex<Map<V>>,
}

impl<V> Load<V> {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn is_outdated(&self) -> bool {
        self.outdated.load(SeqCst)
    }

    /// Whether this very thread is in the middle of this load.
    pub(super) fn is_own(&self) -> bool {
        self.owner == Some(std::thread::current().id())
    }

    /// Whether its owner does not exist in this process, or took too long.
    fn is_void(&self) -> bool {
        self.expires.has_passed() || (self.generation != fork::generation() && !self.is_own())
    }

    fn end(&self, result: Result<V>) {
        if self.generation == fork::generation() {
            let mut ending = self.result.lock().unwrap_or_else(PoisonError::into_inner);
            ending.result = Some(result);
            // Without anybody who waits this would be a call to the system for nothing.
            if ending.waiting > 0 {
                self.ended.notify_all();
            }
        }
    }
}

impl<V: Clone> Loads<V> {
    /// Waits for a load to end; `None` if that waits, over any number of threads, for this very one. The caller holds
    /// no lock.
    pub(super) fn wait(&self, load: &Arc<Load<V>>, deadline: Deadline) -> Option<Waited<V>> {
        let me = std::thread::current().id();
        {
            let _inside = fork::enter();
            let mut map = self.map.lock();
            let mut next = Some(load);
            // The chain ends: nobody was let in who would have closed it to a ring.
            while let Some(owner) = next.and_then(|load| load.owner) {
                if owner == me {
                    return None;
                }
                next = map.waiting.get(&owner);
            }
            map.waiting.insert(me, load.clone());
        }
        let waited = load.wait(deadline);
        let _inside = fork::enter();
        // The caller holds the load too, so nothing of it is dropped here.
        self.map.lock().waiting.remove(&me);
        Some(waited)
    }
}

impl<V: Clone> Load<V> {
    /// Waits outside the gate.
    fn wait(&self, deadline: Deadline) -> Waited<V> {
        fork::outside(|| {
            let mut ending = self.result.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                match &ending.result {
                    Some(Ok(value)) => return Waited::Value(value.clone()),
                    Some(Err(error)) => return Waited::Failed(error.clone()),
                    None if deadline.has_passed() => return Waited::TooLong,
                    None if self.expires.has_passed() => return Waited::Again,
                    None => {}
                }
                let nap = NAP.min(deadline.remaining()).min(self.expires.remaining());
                ending.waiting += 1;
                ending = self.ended.wait_timeout(ending, nap).unwrap_or_else(PoisonError::into_inner).0;
                ending.waiting -= 1;
            }
        })
    }
}

impl<V> Loads<V> {
    pub(super) fn new() -> Loads<V> {
        Loads {
            underway: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            map: Mutex::new(Map { by_key: HashMap::new(), by_id: HashMap::new(), waiting: HashMap::new() }),
        }
    }

    /// How many were begun, and how many of them ended without a value.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.begun.load(Relaxed), self.failed.load(Relaxed))
    }

    /// The load of this key: a new one of the caller's own, or the one under way. `published` is asked, with loads
    /// kept from ending, whether a value has come in the meantime; then there is nothing to load.
    pub(super) fn enter<T>(
        &self,
        key: &[u8],
        owner: Option<ThreadId>,
        expires: Deadline,
        published: impl FnOnce() -> Option<T>,
    ) -> std::result::Result<Entered<V>, T> {
        let _inside = fork::enter();
        let mut map = self.map.lock();
        if let Some(load) = map.by_key.get(key) {
            if !load.is_void() {
                return Ok(Entered::Other(load.clone()));
            }
            let load = load.clone();
            self.remove(&mut map, &load);
            load.outdated.store(true, SeqCst);
            self.failed.fetch_add(1, Relaxed);
        }
        if let Some(value) = published() {
            return Err(value);
        }
        let load = Arc::new(Load {
            key: key.into(),
            id: self.begun.fetch_add(1, Relaxed) + 1,
            owner,
            generation: fork::generation(),
            expires,
            outdated: AtomicBool::new(false),
            result: StdMutex::new(Ending { result: None, waiting: 0 }),
            ended: Condvar::new(),
        });
        self.underway.fetch_add(1, SeqCst);
        map.by_key.insert(key.into(), load.clone());
        map.by_id.insert(load.id, load.clone());
        Ok(Entered::Owner(load))
    }

    /// The load with this number, unless it has ended or was taken over.
    pub(super) fn find(&self, id: u64) -> Result<Arc<Load<V>>> {
        if self.underway.load(SeqCst) > 0 {
            let _inside = fork::enter();
            // One that was begun before a fork is the parent's to end.
            if let Some(load) = self.map.lock().by_id.get(&id).filter(|load| load.generation == fork::generation()) {
                return Ok(load.clone());
            }
        }
        Err(Error::new(Status::Abandoned, format!("lease {id} has ended, or others took it over")))
    }

    /// Ends a load; `false` if it had ended already or was taken over. The result, and what waiters do not take of it,
    /// is dropped by the caller's `load`, outside of all locks.
    pub(super) fn end(&self, load: &Arc<Load<V>>, result: Result<V>) -> bool {
        let failed = result.is_err();
        let ended = {
            let _inside = fork::enter();
            let mut map = self.map.lock();
            self.remove(&mut map, load)
        };
        if ended && failed {
            self.failed.fetch_add(1, Relaxed);
        }
        if ended {
            load.end(result);
        }
        ended
    }

    fn remove(&self, map: &mut Map<V>, load: &Arc<Load<V>>) -> bool {
        let removed = map.by_id.remove(&load.id).is_some();
        if removed {
            map.by_key.remove(&load.key);
            self.underway.fetch_sub(1, SeqCst);
        }
        removed
    }

    /// What the loads of these keys bring is not to be stored any more.
    pub(super) fn outdate(&self, is_meant: impl Fn(&[u8]) -> bool) {
        if self.underway.load(SeqCst) == 0 {
            return;
        }
        let _inside = fork::enter();
        for load in self.map.lock().by_key.values().filter(|load| is_meant(&load.key)) {
            load.outdated.store(true, SeqCst);
        }
    }
}
