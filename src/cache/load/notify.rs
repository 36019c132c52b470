//! Functions that are called when a load ends, for callers that do not block a thread.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::{Load, Loads};
use crate::cache::release;
use crate::error::{Error, Result, Status};
use crate::fork;

/// Called once with the result of a load.
pub(in crate::cache) type Notify<V> = Box<dyn FnOnce(&Result<V>) + Send>;

/// The functions to call for a load that has ended, by the numbers of their registrations, and its result.
pub(super) struct Notifications<V> {
    functions: Vec<(u64, Notify<V>)>,
    result: Result<V>,
}

/// The result of registering a function.
pub(in crate::cache) enum Registered<V> {
    /// It will be called. The number cancels the registration.
    Yes(u64),
    /// The load has ended, and the function is not called. The caller drops it, outside of all locks.
    Ended(Result<V>, Notify<V>),
    /// The owner took too long; the caller should ask for the load again.
    Again(Notify<V>),
}

impl<V> Notifications<V> {
    /// Returns them if there are any. The result is evaluated only then.
    pub(super) fn new(
        functions: Vec<(u64, Notify<V>)>,
        result: impl FnOnce() -> Result<V>,
    ) -> Option<Notifications<V>> {
        if functions.is_empty() { None } else { Some(Notifications { functions, result: result() }) }
    }

    /// Calls them, outside the fork guard. The caller holds no lock.
    fn send(self) {
        let Notifications { functions, result } = self;
        fork::unprotected(|| {
            for (_, notify) in functions {
                // The others are called even if one panics. The message of the panic can contain a secret.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| notify(&result))) {
                    release(panic);
                }
            }
        });
    }
}

impl<V: Clone> Load<V> {
    /// Returns the functions to call because another caller has taken the load over.
    pub(super) fn close(&self) -> Option<Notifications<V>> {
        if self.generation != fork::generation() {
            return None;
        }
        let mut ending = self.ending();
        ending.is_closed = true;
        let functions = mem::take(&mut ending.functions);
        Notifications::new(functions, || Err(Error::new(Status::Abandoned, "the load took longer than its lease")))
    }

    /// Whether it has ended without this function, which is returned; or adds the function.
    fn add(&self, number: u64, notify: Notify<V>) -> Registered<V> {
        let mut ending = self.ending();
        match &ending.result {
            Some(result) => Registered::Ended(result.clone(), notify),
            None if ending.is_closed => Registered::Again(notify),
            None => {
                ending.functions.push((number, notify));
                self.registered.fetch_add(1, SeqCst);
                Registered::Yes(number)
            }
        }
    }

    /// Removes a function. Returns `None` if it is being called or was called.
    fn remove(&self, number: u64) -> Option<Notify<V>> {
        if self.generation != fork::generation() {
            return None;
        }
        let mut ending = self.ending();
        let at = ending.functions.iter().position(|(other, _)| *other == number)?;
        self.registered.fetch_sub(1, SeqCst);
        Some(ending.functions.swap_remove(at).1)
    }
}

impl<V: Clone> Loads<V> {
    /// Registers a function to be called when this load ends.
    pub(in crate::cache) fn register(&self, load: &Arc<Load<V>>, notify: Notify<V>) -> Registered<V> {
        let _guard = fork::protect();
        let mut map = self.map.lock();
        map.last_id += 1;
        let number = map.last_id;
        let registered = load.add(number, notify);
        if let Registered::Yes(number) = registered {
            map.by_registration.insert(number, load.clone());
        }
        registered
    }

    /// Cancels a registration. Returns whether its function will not be called and was not called.
    pub(in crate::cache) fn cancel(&self, registration: u64) -> bool {
        let removed = {
            let _guard = fork::protect();
            let load = self.map.lock().by_registration.remove(&registration);
            load.and_then(|load| load.remove(registration))
        };
        // Dropped here, outside of all locks.
        removed.is_some()
    }

    /// Calls the functions of a load that has ended. The caller holds no lock.
    pub(super) fn notify(&self, notifications: Option<Notifications<V>>) {
        let Some(notifications) = notifications else { return };
        {
            let _guard = fork::protect();
            let mut map = self.map.lock();
            for (number, _) in &notifications.functions {
                map.by_registration.remove(number);
            }
        }
        notifications.send();
    }

    /// Ends all loads that have registered functions, because the cache is being freed.
    pub(in crate::cache) fn end_registered(&self) {
        // The functions may register others.
        loop {
            let loads = self.with_registered();
            if loads.is_empty() {
                return;
            }
            for load in loads {
                self.end(&load, Err(Error::new(Status::Abandoned, "the cache was freed")));
            }
        }
    }

    /// Returns the loads of this process that have registered functions.
    fn with_registered(&self) -> Vec<Arc<Load<V>>> {
        let _guard = fork::protect();
        let map = self.map.lock();
        let is_own = |load: &&Arc<Load<V>>| load.generation == fork::generation() && map.by_id.contains_key(&load.id);
        map.by_registration.values().filter(is_own).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use super::*;
    use crate::cache::load::Claimed;
    use crate::clock::Deadline;

    #[test]
    fn load_that_was_discarded_takes_no_more_functions() {
        let loads = Loads::<u64>::new();
        let Claimed::Own(old) = loads.claim(b"key", None, Deadline::after(Duration::ZERO)) else { panic!() };
        // A caller joined the load, and has not registered yet when another one takes the key over.
        let Claimed::Own(_) = loads.claim(b"key", None, Deadline::after(Duration::MAX)) else { panic!() };
        assert!(matches!(loads.register(&old, Box::new(|_| ())), Registered::Again(_)));
    }

    #[test]
    fn function_of_a_load_that_has_ended_is_dropped_outside_of_all_locks() {
        struct Captured(Arc<Loads<u64>>, Arc<Load<u64>>, Arc<AtomicBool>);
        impl Drop for Captured {
            fn drop(&mut self) {
                self.2.store(self.0.map.try_lock().is_some() && self.1.result.try_lock().is_ok(), SeqCst);
            }
        }
        let (loads, is_unlocked) = (Arc::new(Loads::<u64>::new()), Arc::new(AtomicBool::new(false)));
        let Claimed::Own(load) = loads.claim(b"key", None, Deadline::after(Duration::MAX)) else { panic!() };
        // A caller joined the load, and registers after its end.
        assert!(loads.end(&load, Ok(1)));
        let captured = Captured(loads.clone(), load.clone(), is_unlocked.clone());
        let registered = loads.register(&load, Box::new(move |_| drop(captured)));
        assert!(matches!(registered, Registered::Ended(..)));
        drop(registered);
        assert!(is_unlocked.load(SeqCst));
    }
}
