//! Whether secrets are read with BatchGetSecretValue, or one by one with GetSecretValue.
//!
//! AWS allows 100 batch calls a second and 10 000 single ones, for each account and region. So single calls serve a
//! burst of processes better, and batch calls save requests only where there are many secrets.

use std::time::Duration;

use crate::clock::Instant;
use crate::fork_safe::Mutex;

/// Up to this number of secrets are read one by one.
const MAX_SINGLE: usize = 5;
/// How long batch calls are not tried after one was throttled: the burst may last as long as its job, but a process
/// that outlives it should not make many times as many requests for days. A burst of 10 000 processes tries again with
/// its next refresh, within some four minutes: 40 calls a second.
const THROTTLED_PAUSE: Duration = Duration::from_secs(3600);

/// What earlier batch calls of a source have shown.
#[derive(Default)]
pub(super) struct BatchCalls(Mutex<BatchState>);

#[derive(Clone, Copy, Default)]
enum BatchState {
    #[default]
    Allowed,
    /// AWS denies them, or does not support them.
    Denied,
    Throttled(Instant),
}

impl BatchCalls {
    /// Whether this number of secrets should be read with a batch call.
    pub(super) fn are_useful(&self, count: usize) -> bool {
        count > MAX_SINGLE
            && match *self.0.lock() {
                BatchState::Allowed => true,
                BatchState::Denied => false,
                BatchState::Throttled(at) => at.elapsed() >= THROTTLED_PAUSE,
            }
    }

    /// Records that AWS denies or does not support them.
    pub(super) fn deny(&self) {
        *self.0.lock() = BatchState::Denied;
    }

    /// Records that one was throttled.
    pub(super) fn throttle(&self) {
        *self.0.lock() = BatchState::Throttled(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_secrets_are_read_one_by_one() {
        let calls = BatchCalls::default();
        assert_eq!([1, 2, 5, 6, 40].map(|count| calls.are_useful(count)), [false, false, false, true, true]);
    }

    #[test]
    fn throttled_batch_is_tried_again_after_an_hour() {
        let calls = BatchCalls::default();
        calls.throttle();
        assert!(!calls.are_useful(20));
        *calls.0.lock() = BatchState::Throttled(Instant::now().before(THROTTLED_PAUSE));
        assert!(calls.are_useful(20));
        calls.deny();
        assert!(!calls.are_useful(20));
    }
}
