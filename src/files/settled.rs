//! Reading files that another program may be writing.

use std::thread;

use super::SETTLE_TIME;
use crate::clock::Deadline;
use crate::fork;

const MAX_READS: u32 = 6;

/// Calls `read` until it returns what `is_whole` accepts, a few times at most. Before each further call it gives the
/// writer some time to finish; it makes none if `is_new` denies that the file was changed just now (see
/// [`is_new`](super::is_new)), or after the deadline. Sleeps outside the fork gate, so the caller holds no lock.
pub(crate) fn read_settled<T>(
    is_new: impl Fn() -> bool,
    deadline: Deadline,
    read: impl Fn() -> T,
    mut is_whole: impl FnMut(&T) -> bool,
) -> T {
    let mut value = read();
    for _ in 1..MAX_READS {
        if is_whole(&value) || !is_new() || deadline.has_passed() {
            break;
        }
        fork::unprotected(|| thread::sleep(SETTLE_TIME.min(deadline.remaining())));
        value = read();
    }
    value
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    fn reads(is_new: bool, deadline: Deadline, whole_at: u32) -> (u32, u32) {
        let reads = Cell::new(0);
        let read = || {
            reads.set(reads.get() + 1);
            reads.get()
        };
        let value = read_settled(|| is_new, deadline, read, |value| *value == whole_at);
        (value, reads.get())
    }

    #[test]
    fn read_settled_reads_until_the_file_is_whole() {
        let later = Deadline::after(Duration::MAX);
        assert_eq!(reads(true, later, 1), (1, 1));
        assert_eq!(reads(true, later, 3), (3, 3));
        assert_eq!(reads(true, later, 100), (MAX_READS, MAX_READS));
    }

    #[test]
    fn read_settled_reads_an_old_file_or_after_the_deadline_once() {
        assert_eq!(reads(false, Deadline::after(Duration::MAX), 100), (1, 1));
        assert_eq!(reads(true, Deadline::after(Duration::ZERO), 100), (1, 1));
    }
}
