//! The loads of a cache that are in progress, and the threads that wait for them (single flight).
//!
//! Threads wait outside the fork guard, so they use std's mutex and condition variable, which are one word of memory
//! each. parking_lot keeps sleeping threads in a table of the process, which a forked child could inherit locked. For
//! the same reason a child never uses the mutex of a load that its parent started.
//!
//! A load becomes outdated when its key is written or invalidated. The callers that wait for it already get its result,
//! which is not stored; the next caller starts another load.
//!
//! A caller that does not block a thread registers a function, which is called when the load ends. The functions are
//! kept with the result, and a child does not call those of its parent.
//!
//! Lock order: the entries of the cache first, then the map of loads, then the result of a load.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst, fence};
use std::sync::{Arc, Condvar, Mutex as StdMutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use super::waits::{self, Work};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::fork_safe::Mutex;
use notify::Notifications;
pub(super) use notify::{Notify, Registered};

mod notify;

/// The longest single wait. The clock of std's condition variables stops while the machine is suspended.
const NAP: Duration = Duration::from_secs(1);
/// The number of loads in progress above which abandoned ones are searched for.
const FEW: usize = 64;

/// One load of one key by one owner.
pub(super) struct Load<V> {
    pub(super) key: Box<[u8]>,
    id: u64,
    work: Arc<Work>,
    /// The process that started it, see [`fork::generation`].
    generation: u32,
    /// When other callers may take over.
    expires: Deadline,
    /// Set when the key is written or invalidated during the load: the result must not be stored.
    outdated: AtomicBool,
    /// The numbers of the remote copy when the load began.
    pub(super) since: [AtomicU64; 2],
    /// Whether this process or the remote copy had an old value, which the load replaces.
    has_old: AtomicBool,
    /// Set if its owner only looked the key up: callers that joined ask again if there was nothing.
    is_look_up: AtomicBool,
    /// The number of registered functions.
    registered: AtomicUsize,
    result: StdMutex<Ending<V>>,
    ended: Condvar,
}

/// The result, `None` while the load is in progress, the number of threads that wait for it, and the functions to call.
struct Ending<V> {
    result: Option<Result<V>>,
    waiting: usize,
    functions: Vec<(u64, Notify<V>)>,
    /// Another caller has taken the load over.
    is_closed: bool,
}

/// The result of waiting for a load.
pub(super) enum Waited<V> {
    Value(V),
    Failed(Error),
    /// The deadline of the caller passed.
    TooLong,
    /// The owner took too long; the caller should ask for the load again.
    Again,
}

/// The result of asking for the load of a key.
pub(super) enum Claimed<V> {
    /// A new load, owned by the caller.
    Own(Arc<Load<V>>),
    /// The load in progress.
    Other(Arc<Load<V>>),
}

struct Map<V> {
    /// Those that a caller may join.
    by_key: HashMap<Box<[u8]>, Arc<Load<V>>>,
    /// Outdated loads in progress for whose key there is a newer one.
    displaced: Vec<Arc<Load<V>>>,
    /// All of them.
    by_id: HashMap<u64, Arc<Load<V>>>,
    /// The load of each registration.
    by_registration: HashMap<u64, Arc<Load<V>>>,
    last_id: u64,
    /// The number of loads at which abandoned ones are searched for.
    sweep_at: usize,
    begun: u64,
    failed: u64,
}

pub(super) struct Loads<V> {
    /// So that a write takes no lock where nothing is loaded.
    underway: AtomicUsize,
    map: Mutex<Map<V>>,
}

impl<V> Load<V> {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn is_outdated(&self) -> bool {
        self.outdated.load(SeqCst)
    }

    pub(super) fn has_old(&self) -> bool {
        self.has_old.load(SeqCst)
    }

    pub(super) fn set_has_old(&self) {
        self.has_old.store(true, SeqCst);
    }

    /// Whether the calling thread is executing this load.
    pub(super) fn is_own(&self) -> bool {
        self.work.owner == Some(std::thread::current().id())
    }

    /// Whether its owner does not exist in this process, or took too long.
    fn is_void(&self) -> bool {
        self.expires.has_passed() || (self.generation != fork::generation() && !self.is_own())
    }

    /// Whether callers may still join it. A load that asks for its own key must not start another one, which would
    /// recurse without end.
    fn is_open(&self) -> bool {
        !self.is_void() && (!self.is_outdated() || self.is_own())
    }

    fn ending(&self) -> MutexGuard<'_, Ending<V>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Clone> Load<V> {
    /// Ends it. Returns the functions to call, if there are any.
    fn end(&self, result: Result<V>) -> Option<Notifications<V>> {
        self.work.ended.store(true, SeqCst);
        if self.generation != fork::generation() {
            return None;
        }
        let mut ending = self.ending();
        let functions = mem::take(&mut ending.functions);
        let notifications = Notifications::new(functions, || result.clone());
        ending.result = Some(result);
        // Without a waiter this would be a needless system call.
        if ending.waiting > 0 {
            self.ended.notify_all();
        }
        notifications
    }

    /// Waits for its end. `None` if it waits, across any number of threads, for the calling thread. The caller holds
    /// no lock.
    pub(super) fn wait(&self, deadline: Deadline) -> Option<Waited<V>> {
        let _waiting = waits::begin(&self.work)?;
        Some(fork::unprotected(|| {
            let mut ending = self.ending();
            loop {
                match &ending.result {
                    Some(Ok(value)) => return Waited::Value(value.clone()),
                    Some(Err(_)) if self.is_look_up.load(SeqCst) => return Waited::Again,
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
        }))
    }
}

impl<V> Map<V> {
    fn remove(&mut self, load: &Arc<Load<V>>) -> bool {
        let removed = self.by_id.remove(&load.id).is_some();
        self.displaced.retain(|other| !Arc::ptr_eq(other, load));
        if removed && self.by_key.get(&load.key).is_some_and(|other| Arc::ptr_eq(other, load)) {
            self.by_key.remove(&load.key);
        }
        removed
    }

    /// Removes a load that was abandoned.
    fn discard(&mut self, load: &Arc<Load<V>>) {
        load.outdated.store(true, SeqCst);
        // A caller that has joined it and not registered yet must ask again. In a forked child, a thread of the parent
        // may hold the lock.
        if load.generation == fork::generation() {
            load.ending().is_closed = true;
        }
        self.remove(load);
        self.failed += 1;
    }

    /// Removes the abandoned loads. One with registered functions is left to the next caller that asks for its key,
    /// because this call may be in the middle of another one, where none can be called.
    fn sweep(&mut self) {
        let is_registered = |load: &Load<V>| load.registered.load(SeqCst) > 0 && load.generation == fork::generation();
        let void: Vec<_> = self.by_id.values().filter(|load| load.is_void() && !is_registered(load)).cloned().collect();
        for load in void {
            self.discard(&load);
        }
        self.sweep_at = FEW.max(self.by_id.len() * 2);
    }
}

impl<V: Clone> Loads<V> {
    pub(super) fn new() -> Loads<V> {
        let map = Map {
            by_key: HashMap::new(),
            displaced: Vec::new(),
            by_id: HashMap::new(),
            by_registration: HashMap::new(),
            last_id: 0,
            sweep_at: FEW,
            begun: 0,
            failed: 0,
        };
        Loads { underway: AtomicUsize::new(0), map: Mutex::new(map) }
    }

    /// Returns the number of loads that were started, and of those that failed. The caller is inside the fork guard.
    pub(super) fn counts(&self) -> (u64, u64) {
        let map = self.map.lock();
        (map.begun, map.failed)
    }

    /// Returns the load of this key: the one in progress, or a new one owned by the caller. The owner then checks
    /// whether a value was stored in the meantime, and calls [`Loads::begin`] or [`Loads::end`]. The caller holds no
    /// lock.
    pub(super) fn claim(&self, key: &[u8], owner: Option<ThreadId>, expires: Deadline) -> Claimed<V> {
        loop {
            match self.try_claim(key, owner, expires) {
                Ok(claimed) => return claimed,
                Err(discarded) => self.notify(discarded.close()),
            }
        }
    }

    /// As [`Loads::claim`]. The error is an abandoned load that was discarded; the caller calls its functions.
    fn try_claim(
        &self,
        key: &[u8],
        owner: Option<ThreadId>,
        expires: Deadline,
    ) -> std::result::Result<Claimed<V>, Arc<Load<V>>> {
        let _guard = fork::protect();
        let mut map = self.map.lock();
        let late = map.displaced.iter().find(|load| *load.key == *key && load.is_void()).cloned();
        if let Some(load) = late {
            map.discard(&load);
            self.underway.store(map.by_id.len(), SeqCst);
            return Err(load);
        }
        if let Some(load) = map.by_key.get(key) {
            if load.is_open() {
                return Ok(Claimed::Other(load.clone()));
            }
            if load.is_void() {
                let load = load.clone();
                map.discard(&load);
                if load.registered.load(SeqCst) > 0 {
                    self.underway.store(map.by_id.len(), SeqCst);
                    return Err(load);
                }
            }
        }
        if map.by_id.len() >= map.sweep_at {
            map.sweep();
        }
        map.last_id += 1;
        let load = Arc::new(Load {
            key: key.into(),
            id: map.last_id,
            work: Arc::new(Work { owner, ended: AtomicBool::new(false) }),
            generation: fork::generation(),
            expires,
            outdated: AtomicBool::new(false),
            since: [const { AtomicU64::new(0) }; 2],
            has_old: AtomicBool::new(false),
            is_look_up: AtomicBool::new(false),
            registered: AtomicUsize::new(0),
            result: StdMutex::new(Ending { result: None, waiting: 0, functions: Vec::new(), is_closed: false }),
            ended: Condvar::new(),
        });
        if let Some(older) = map.by_key.insert(key.into(), load.clone()) {
            map.displaced.push(older);
        }
        map.by_id.insert(load.id, load.clone());
        self.underway.store(map.by_id.len(), SeqCst);
        // The load reads after this fence: it sees the write of any writer that does not see the load.
        fence(SeqCst);
        Ok(Claimed::Own(load))
    }

    /// Counts a load that starts.
    pub(super) fn begin(&self) {
        let _guard = fork::protect();
        self.map.lock().begun += 1;
    }

    /// Returns the load with this number, unless it has ended or was taken over.
    pub(super) fn find(&self, id: u64) -> Result<Arc<Load<V>>> {
        if self.any() {
            let _guard = fork::protect();
            // The parent ends the loads that it started before a fork.
            if let Some(load) = self.map.lock().by_id.get(&id).filter(|load| load.generation == fork::generation()) {
                return Ok(load.clone());
            }
        }
        Err(Error::new(Status::Abandoned, format!("lease {id} has ended or expired")))
    }

    /// Ends a load. Returns `false` if it had ended already or was taken over. Results that no waiter takes are
    /// dropped by the caller's `load`, outside of all locks.
    pub(super) fn end(&self, load: &Arc<Load<V>>, result: Result<V>) -> bool {
        let ended = {
            let _guard = fork::protect();
            let mut map = self.map.lock();
            let removed = map.remove(load);
            map.failed += u64::from(removed && result.is_err() && !load.is_look_up.load(SeqCst));
            self.underway.store(map.by_id.len(), SeqCst);
            removed
        };
        if ended {
            self.notify(load.end(result));
        }
        ended
    }

    /// Ends a load whose owner only looked the key up.
    pub(super) fn end_look_up(&self, load: &Arc<Load<V>>, result: Result<V>) {
        load.is_look_up.store(true, SeqCst);
        self.end(load, result);
    }

    /// Whether loads are in progress. A load that this call does not see will see all that the caller did before, if
    /// the caller took the lock of the entries in between, as the owner of each load does, or executed a fence.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.underway.load(SeqCst) > 0
    }

    /// Marks the load of this key as outdated: its result is not stored, and new callers do not join it. The caller
    /// is inside the fork guard.
    pub(super) fn outdate_key(&self, key: &[u8]) {
        if let Some(load) = self.map.lock().by_key.get(key) {
            load.outdated.store(true, SeqCst);
        }
    }

    /// Does the same for all keys that begin with these bytes. It can be called anywhere.
    pub(super) fn outdate_prefix(&self, prefix: &[u8]) {
        fence(SeqCst);
        if !self.any() {
            return;
        }
        let _guard = fork::protect();
        let mut map = self.map.lock();
        map.sweep();
        self.underway.store(map.by_id.len(), SeqCst);
        for load in map.by_key.values().filter(|load| load.key.starts_with(prefix)) {
            load.outdated.store(true, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(loads: &Loads<u64>, key: &[u8], lease_ttl: Duration) -> Arc<Load<u64>> {
        match loads.claim(key, None, Deadline::after(lease_ttl)) {
            Claimed::Own(load) => load,
            Claimed::Other(_) => panic!("another load of the key is under way"),
        }
    }

    #[test]
    fn abandoned_leases_are_swept() {
        let loads = Loads::new();
        for number in 0..10_000u32 {
            claim(&loads, &number.to_le_bytes(), Duration::ZERO);
            assert!(loads.map.lock().by_id.len() <= FEW);
        }
        let kept = claim(&loads, b"kept", Duration::MAX);
        loads.outdate_prefix(b"none");
        let map = loads.map.lock();
        assert_eq!((map.by_id.len(), map.by_key.len(), map.failed), (1, 1, 10_000));
        assert!(!kept.is_outdated() && loads.underway.load(SeqCst) == 1);
    }

    #[test]
    fn sweep_interval_grows_with_live_loads() {
        let loads = Loads::new();
        for number in 0..1_000u32 {
            claim(&loads, &number.to_le_bytes(), Duration::MAX);
        }
        let map = loads.map.lock();
        assert!(map.by_id.len() == 1_000 && map.sweep_at == 1_024 && map.failed == 0);
    }

    #[test]
    fn an_outdated_load_is_left_to_those_that_wait() {
        let loads = Loads::new();
        let old = claim(&loads, b"key", Duration::MAX);
        loads.outdate_key(b"key");
        let new = claim(&loads, b"key", Duration::MAX);
        assert!(old.is_outdated() && !new.is_outdated());
        // Its end does not take the new one out.
        assert!(loads.end(&old, Ok(1)));
        assert!(
            matches!(loads.claim(b"key", None, Deadline::after(Duration::MAX)), Claimed::Other(load) if Arc::ptr_eq(&load, &new))
        );
        assert!(loads.end(&new, Ok(2)) && !loads.any());
    }
}
