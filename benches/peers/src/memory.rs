//! Resident memory, measured in a child of its own for each subject.

use std::io::Read;
use std::os::fd::FromRawFd;

use crate::report::{Table, count};
use crate::subjects::Kind;
use crate::workload::key;

const ENTRIES: usize = 100_000;
const LENGTHS: [usize; 2] = [64, 1024];

pub fn run(kinds: &[Kind]) {
    let title = format!("Resident bytes of an entry beside its key (32) and value, {} entries", count(ENTRIES));
    let mut table = Table::new(title, &LENGTHS.map(|len| format!("value {len}")));
    for kind in kinds {
        let cells = LENGTHS.map(|len| format!("{:.1}", in_child(|| of_entry(kind, len))));
        table.row(kind.title(), cells.into());
    }
    table.print();

    let title = format!("KiB resident more than before the cache was made, {} entries of 64 bytes", count(ENTRIES));
    let mut table = Table::new(title, &["empty", "full", "after clear"]);
    for kind in kinds {
        let cells = (0..3).map(|state| count(in_child(|| in_state(kind, state) / 1024.0).max(0.0) as usize));
        table.row(kind.title(), cells.collect());
    }
    table.print();
}

fn of_entry(kind: &Kind, len: usize) -> f64 {
    let before = resident();
    let subject = kind.make(ENTRIES);
    let value = vec![7; len];
    (0..ENTRIES).for_each(|number| subject.set(&key(number), &value));
    // A peer that does its housekeeping later does it here.
    subject.stats();
    let found = (0..ENTRIES).filter(|number| subject.get(&key(*number), &mut [0; 1024]).is_some()).count();
    (resident() - before) / found as f64 - 32.0 - len as f64
}

/// What the cache takes when it is empty (0), full (1), cleared (2).
fn in_state(kind: &Kind, state: usize) -> f64 {
    let before = resident();
    let subject = kind.make(ENTRIES);
    if state > 0 {
        (0..ENTRIES).for_each(|number| subject.set(&key(number), &[7; 64]));
        subject.stats();
    }
    if state > 1 {
        subject.clear();
        subject.stats();
    }
    resident() - before
}

fn resident() -> f64 {
    // SAFETY: plain calls of the C library.
    let page = unsafe {
        libc::malloc_trim(0);
        libc::sysconf(libc::_SC_PAGESIZE)
    };
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc is there");
    let pages: f64 = statm.split(' ').nth(1).expect("a second number").parse().expect("a number");
    pages * page as f64
}

fn in_child(work: impl FnOnce() -> f64) -> f64 {
    let mut ends = [0; 2];
    // SAFETY: the process has one thread, so the child may do anything; the ends are used once.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0, "no pipe");
        libc::malloc_trim(0);
        let child = libc::fork();
        assert!(child >= 0, "cannot fork");
        if child == 0 {
            let result = work().to_le_bytes();
            libc::write(ends[1], result.as_ptr().cast(), result.len());
            libc::_exit(0);
        }
        libc::close(ends[1]);
        let mut result = [0; 8];
        std::fs::File::from_raw_fd(ends[0]).read_exact(&mut result).expect("the child measures");
        libc::waitpid(child, &mut 0, 0);
        f64::from_le_bytes(result)
    }
}
