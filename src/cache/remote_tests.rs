//! What happens between the change of a cache and that of its remote copy, which other tests cannot bring about.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A copy that looks a key up in the cache before it removes anything.
#[derive(Default)]
struct LateCopy {
    values: Mutex<HashMap<Vec<u8>, u64>>,
    cache: OnceLock<Weak<TtlCache<u64>>>,
    /// What the lookups returned.
    found: Mutex<Vec<Option<u64>>>,
}

impl RemoteCopy<u64> for Arc<LateCopy> {
    fn interval(&self) -> Duration {
        MINUTE
    }

    fn look(&self) -> Vec<Change> {
        Vec::new()
    }

    fn fetch(&self, _: &TtlCache<u64>, key: &[u8]) -> Option<RemoteEntry<u64>> {
        let value = self.values.lock().unwrap().get(key).map(|value| (*value, MINUTE, Duration::ZERO));
        Some(RemoteEntry { value, since: (1, 1) })
    }

    fn fill(&self, key: &[u8], value: &u64, _: Duration, _: (u64, u64)) {
        self.values.lock().unwrap().insert(key.to_vec(), *value);
    }

    fn takes(&self, _: &u64) -> bool {
        true
    }

    fn set(&self, key: &[u8], value: &u64, ttl: Duration) {
        self.fill(key, value, ttl, (1, 1));
    }

    fn remove(&self, change: Change) {
        let found = self.cache.get().and_then(Weak::upgrade).unwrap().get(b"key");
        self.found.lock().unwrap().push(found);
        match change {
            Change::Key(key) => drop(self.values.lock().unwrap().remove(&key)),
            Change::Prefix(prefix) => self.values.lock().unwrap().retain(|key, _| !key.starts_with(&prefix)),
        }
    }
}

fn with_copy() -> (Arc<TtlCache<u64>>, Arc<LateCopy>) {
    let copy = Arc::new(LateCopy::default());
    let cache = Arc::new(TtlCache::with_remote(CacheOptions::default(), Box::new(copy.clone())).unwrap());
    copy.cache.set(Arc::downgrade(&cache)).unwrap();
    (cache, copy)
}

#[test]
fn lookup_during_a_removal_does_not_bring_the_value_back() {
    type Way = fn(&TtlCache<u64>) -> bool;
    let ways: [Way; 3] =
        [|cache| cache.delete(b"key"), |cache| cache.invalidate_prefix(b"k") == 1, |cache| cache.clear() == 1];
    for remove in ways {
        let (cache, copy) = with_copy();
        cache.set(b"key", 1, None).unwrap();
        assert!(remove(&cache));
        assert_eq!(*copy.found.lock().unwrap(), [Some(1)]);
        assert_eq!(cache.get(b"key"), None);
    }
}

#[test]
fn lookup_does_not_replace_a_newer_value() {
    let (cache, copy) = with_copy();
    cache.set(b"key", 2, None).unwrap();
    copy.values.lock().unwrap().insert(b"key".to_vec(), 1);
    // As of a caller that found nothing before the value was set.
    assert_eq!(cache.fetch_missing(b"key", |_| true), Some(2));
    assert_eq!(cache.get(b"key"), Some(2));
}
