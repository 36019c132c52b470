//! Short values leave nothing in memory when they leave the cache.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::time::Duration;

use st_secrets::cache::{Object, TtlCache, Value};

const LONG: Duration = Duration::from_secs(1_000);
/// What is looked for differs from it in these bits, so that this test itself does not hold it.
const MASK: u8 = 0x5a;

fn masked() -> Vec<u8> {
    (0..60u8).map(|place| place.wrapping_mul(37) ^ 0xc3).collect()
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

#[test]
fn value_that_leaves_the_cache_leaves_nothing() {
    type Cache = TtlCache<Value>;
    type Way = (&'static str, fn(&Cache));
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
        let mut secret = masked();
        secret.iter_mut().for_each(|byte| *byte ^= MASK);
        cache.set_bytes(b"key", &secret, None).unwrap();
        secret.fill(0);
        std::hint::black_box(&secret);
        assert_eq!(occurrences(), 1, "{name}");
        leave(&cache);
        assert_eq!(occurrences(), 0, "{name}");
    }
}
