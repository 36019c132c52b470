//! The order of concurrent reads of a file.

/// Numbers reads in the order in which they begin, so that the result of a late one does not replace a newer result.
#[derive(Default)]
pub(in crate::secrets) struct ReadOrder {
    begun: u64,
    oldest_valid: u64,
}

impl ReadOrder {
    /// Returns the number of a read that begins now.
    pub(in crate::secrets) fn begin(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    /// The number of the next read.
    pub(super) fn next(&self) -> u64 {
        self.begun + 1
    }

    /// The number of the oldest read whose result counts.
    pub(super) fn oldest_valid(&self) -> u64 {
        self.oldest_valid
    }

    /// Makes the results of all reads that have begun invalid: the file was changed, or the cache was cleared.
    pub(in crate::secrets) fn invalidate(&mut self) {
        self.oldest_valid = self.next();
    }

    pub(in crate::secrets) fn is_valid(&self, number: u64) -> bool {
        number >= self.oldest_valid
    }

    /// Whether the result of this read may replace that of the read `latest`.
    pub(in crate::secrets) fn may_replace(&self, number: u64, latest: Option<u64>) -> bool {
        self.is_valid(number) && latest.is_none_or(|latest| latest < number)
    }
}
