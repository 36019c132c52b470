//! A subject that answers wrongly is not measured.

use crate::measure::Buffer;
use crate::subjects::Kind;
use crate::workload::{Key, key};

fn value(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number * 31 + at * 7) as u8).collect()
}

pub fn run(kinds: &[Kind]) {
    kinds.iter().for_each(check);
}

fn check(kind: &Kind) {
    let (subject, name) = (kind.make_for_scans(10_000), kind.title());
    let mut buffer = Buffer { value: [0; 1024] };
    let mut found = |key: &Key| subject.get(key, &mut buffer.value).map(|len| buffer.value[..len].to_vec());
    let keys: Vec<Key> = (0..200).map(key).collect();
    // The second time it is an overwrite.
    for len in [64, 1024] {
        keys.iter().enumerate().for_each(|(number, key)| subject.set(key, &value(number, len)));
        for (number, key) in keys.iter().enumerate() {
            assert!(found(key) == Some(value(number, len)), "{name} returns another value");
            assert!(subject.hold(key) && (!subject.loads() || subject.load(key)), "{name} does not hold the value");
        }
    }
    assert!(found(&key(200)).is_none() && !subject.hold(&key(200)), "{name} finds what is not there");
    if subject.invalidates_prefixes() {
        subject.invalidate_prefix(b"group42:");
        let left = keys.iter().filter(|key| found(key).is_some()).count();
        assert_eq!(left, 198, "{name} removes other keys than those with the prefix");
    }
    subject.delete(&keys[0]);
    assert!(found(&keys[0]).is_none(), "{name} finds what was deleted");
    subject.stats();
    subject.clear();
    assert!(keys.iter().all(|key| found(key).is_none()), "{name} is not empty after clear");
}
