//! Short values leave nothing in memory when they leave the cache.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::time::Duration;

use st_secrets::cache::{Acquired, Lease, Object, TtlCache, Value};
use st_secrets::{Error, Status};

const LONG: Duration = Duration::from_secs(1_000);
/// What is looked for differs from it in these bits, so that this test itself does not hold it.
const MASK: u8 = 0x5a;

/// As long as a short value can be. Somewhat shorter ones are copied in registers, which an unoptimized build keeps on
/// the stack.
fn masked() -> Vec<u8> {
    (0..70u8).map(|place| place.wrapping_mul(37) ^ 0xc3).collect()
}

/// How often the end of the secret is in the memory of this process. The beginning may be overwritten by something
/// else.
fn occurrences() -> usize {
    // Always at one place, so that it is not found itself.
    static CHUNK: Mutex<[u8; 1 << 16]> = Mutex::new([0; 1 << 16]);
    let mut chunk = CHUNK.lock().unwrap();
    let own = chunk.as_ptr_range();
    let (own, wanted) = (own.start as u64..own.end as u64, &masked()[30..]);
    let memory = File::open("/proc/self/mem").unwrap();
    let mut count = 0;
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [mut at, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        while at < to {
            let len = chunk.len().min((to - at) as usize);
            if memory.read_exact_at(&mut chunk[..len], at).is_err() {
                break;
            }
            let is_it =
                |(_, bytes): &(usize, &[u8])| bytes.iter().zip(wanted).all(|(some, other)| *some == other ^ MASK);
            let found = chunk[..len].windows(wanted.len()).enumerate().filter(is_it);
            count += found.filter(|(place, _)| !own.contains(&(at + *place as u64))).count();
            at += if at + len as u64 == to { len } else { len - wanted.len() + 1 } as u64;
        }
    }
    count
}

type Cache = TtlCache<Value>;
type Way = (&'static str, fn(&Cache));

/// Only one test at a time has the secret in memory.
static ALONE: Mutex<()> = Mutex::new(());

/// Calls `take` with the secret, and wipes it.
fn with_secret<T>(take: impl FnOnce(&[u8]) -> T) -> T {
    let mut secret = masked();
    secret.iter_mut().for_each(|byte| *byte ^= MASK);
    let taken = take(&secret);
    secret.fill(0);
    std::hint::black_box(&secret);
    taken
}

fn loaded() -> Value {
    with_secret(|secret| Value::copy_from(secret).unwrap())
}

fn lead(cache: &Cache) -> (Lease<'_, Value>, Option<Value>) {
    match cache.acquire(b"key", Duration::ZERO, Duration::MAX).unwrap() {
        Acquired::Lead(lease, old) => (lease, old),
        _ => panic!("there is a value, or another load"),
    }
}

#[test]
fn loaded_value_leaves_nothing() {
    let _alone = ALONE.lock();
    let ways: [Way; 6] = [
        ("load", |cache| drop(cache.get_or_load(b"key", LONG, |_| Ok(loaded())).unwrap())),
        ("lease", |cache| lead(cache).0.finish(loaded()).unwrap()),
        ("number", |cache| cache.load_finish(lead(cache).0.into_number(), loaded()).unwrap()),
        ("notified", |cache| {
            let (lease, _) = lead(cache);
            cache
                .acquire_or_notify(b"key", Duration::MAX, |result| drop(result.clone().unwrap().into_bytes()))
                .unwrap();
            lease.finish(loaded()).unwrap();
        }),
        ("hit", |cache| {
            with_secret(|secret| cache.set_bytes(b"key", secret, None)).unwrap();
            assert!(matches!(cache.acquire(b"key", Duration::ZERO, LONG).unwrap(), Acquired::Hit(_)));
            assert_eq!(cache.get(b"key").unwrap().into_bytes().unwrap().len(), 70);
        }),
        ("failed reload", |cache| {
            cache.set_soft(b"key", loaded(), None, Some(Duration::ZERO)).unwrap();
            let (lease, old) = lead(cache);
            assert!(old.is_some());
            lease.fail(Error::new(Status::Unavailable, "down"));
        }),
    ];
    for (name, load) in ways {
        let cache = Cache::new(LONG, 1, LONG).unwrap();
        load(&cache);
        assert_eq!(occurrences(), 1, "{name}");
        assert!(cache.delete(b"key"));
        assert_eq!(occurrences(), 0, "{name}");
    }
}

#[test]
fn value_that_leaves_the_cache_leaves_nothing() {
    let _alone = ALONE.lock();
    let ways: [Way; 9] = [
        ("delete", |cache| assert!(cache.delete(b"key"))),
        ("prefix", |cache| assert_eq!(cache.invalidate_prefix(b"k"), 1)),
        ("clear", |cache| assert_eq!(cache.clear(), 1)),
        ("shorter", |cache| cache.set_bytes(b"key", &[1; 20], None).unwrap()),
        ("longer", |cache| cache.set_bytes(b"key", &[1; 100], None).unwrap()),
        ("object", |cache| cache.set(b"key", Value::Object(Object::new(1)), None).unwrap()),
        ("eviction", |cache| cache.set_bytes(b"other", &[1; 20], None).unwrap()),
        ("eviction for a longer one", |cache| cache.set_bytes(b"other", &[1; 100], None).unwrap()),
        ("load", |cache| {
            cache.delete(b"other");
            cache.get_or_load(b"other", LONG, |_| Value::copy_from(&[1; 100])).unwrap();
        }),
    ];
    for (name, leave) in ways {
        let cache = Cache::new(LONG, 1, LONG).unwrap();
        with_secret(|secret| cache.set_bytes(b"key", secret, None)).unwrap();
        assert_eq!(occurrences(), 1, "{name}");
        leave(&cache);
        assert_eq!(occurrences(), 0, "{name}");
    }
}
