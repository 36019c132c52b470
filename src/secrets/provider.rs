//! The interface of all providers.

use std::cell::OnceCell;
use std::time::Duration;

use serde_json::{Map, Value};

use super::secret::{ProviderId, Secret};
use super::stats::LoadCounts;
use crate::clock::{CoarseInstant, Deadline, Instant};
use crate::error::{Error, Result, Source, Status};
use crate::fork::PublishedGuard;
use crate::secret_memory::SecretBytes;

/// The limits of one lookup.
#[derive(Debug)]
pub(crate) struct LookupLimits {
    started: CoarseInstant,
    timeout: Duration,
    deadline: OnceCell<Deadline>,
    /// Query the source now, whatever is cached.
    pub(crate) refresh: bool,
}

impl LookupLimits {
    /// A request that starts now.
    pub(crate) fn new(timeout: Duration, refresh: bool) -> LookupLimits {
        LookupLimits { started: CoarseInstant::now(), timeout, deadline: OnceCell::new(), refresh }
    }

    /// When the whole call must be complete. It is computed on first use: most calls find their value cached, and
    /// reading the exact clock costs more than the rest of such a call.
    pub(crate) fn deadline(&self) -> Deadline {
        *self.deadline.get_or_init(|| Deadline::after(self.timeout.saturating_sub(self.started.elapsed())))
    }

    /// The request to one remote provider. It has half of the remaining time if other remote providers follow.
    pub(crate) fn share(&self, others_behind: bool) -> LookupLimits {
        let remaining = self.deadline().remaining();
        match others_behind && remaining < Duration::MAX {
            true => LookupLimits::new(remaining / 2, self.refresh),
            false => LookupLimits { deadline: self.deadline.clone(), ..*self },
        }
    }
}

/// A provider of secrets. No method is called with a lock held, and none returns with one.
pub(crate) trait SecretProvider: Send + Sync {
    fn id(&self) -> &ProviderId;

    fn name(&self) -> &str {
        self.id().name()
    }

    fn source(&self) -> Source {
        self.id().source()
    }

    /// Whether a query may take long. Answers of such a provider are cached, and a cached-only call does not query it.
    fn is_remote(&self) -> bool {
        false
    }

    /// Whether it might have this key.
    fn serves(&self, _key: &str) -> bool {
        true
    }

    /// Returns the value of `key`; `None` if the provider works and has no value.
    fn find(&self, key: &str, request: &LookupLimits) -> Result<Option<Secret>>;

    /// Passes the value of `key` to `take`, in place, if [`SecretProvider::find`] would return it without a query to
    /// the source. Every get begins here, so it is short and writes to no memory that other threads write to. `now` is
    /// the current time.
    fn peek(
        &self,
        _key: &str,
        _reading: &PublishedGuard,
        _now: CoarseInstant,
        _take: &mut dyn FnMut(Peeked<'_>),
    ) -> Known {
        Known::Unknown
    }

    /// The cached answer of a remote provider for `key`: the value, or that there is none. `None` if nothing is cached.
    fn cached(&self, _key: &str) -> Option<Option<Secret>> {
        None
    }

    /// How long it remains cached that a remote provider has no value of `key`, which `find` has just returned.
    fn absence(&self, _key: &str) -> Duration {
        Duration::MAX
    }

    /// Where `find` looks for this key, for the message that it was not found.
    fn place(&self, key: &str) -> String;

    /// Queries the source now.
    fn refresh(&self, _: &LookupLimits) -> Result<()> {
        Ok(())
    }

    /// Loads what it would load for a get, unless that is cached.
    fn prefetch(&self, _: &LookupLimits) -> Result<()> {
        Ok(())
    }

    /// Returns what it shares with other processes of this host, without a query; `None` if that is nothing.
    fn describe_share(&self) -> Option<Map<String, Value>> {
        None
    }

    /// Gives a key a new value, or removes it, in the source. Returns whether it had one. What is cached is replaced.
    fn write(&self, _key: &str, _value: Option<&str>, _: &LookupLimits) -> Result<bool> {
        Err(Error::new(Status::ReadOnly, format!("the provider {} is read-only", self.name())))
    }

    /// Drops, and so wipes, the values that the provider itself has cached.
    fn clear_cache(&self) {}

    /// Drops what was requested before this time: another process has invalidated it.
    fn drop_older(&self, _time: Instant) {
        self.clear_cache();
    }

    /// Gives back what it holds at the server, before the manager is dropped.
    fn close(&self, _: Deadline) {}

    /// Looks for changes of its source, for a call that listens. What it finds is noted. It is called about once a
    /// second.
    fn look(&self, _: &LookupLimits) {}

    /// Asks its source whether it has changed, for a call that listens, if it is the turn of this process. If so, what
    /// all processes and hosts have of it is outdated. A failure is logged.
    fn has_changed(&self, _: &LookupLimits) -> bool {
        false
    }

    /// Called when a change has been announced to all processes and hosts.
    fn note_announced(&self, _: &LookupLimits) {}

    /// Returns what its loads have taken; `None` if it loads nothing.
    fn loads(&self) -> Option<&LoadCounts> {
        None
    }

    /// Returns its settings and what is known of its source, without a query.
    fn describe(&self) -> Map<String, Value>;

    /// Returns the names of its secrets; `None` if it cannot list them.
    fn names(&self, _: &LookupLimits) -> Option<Names> {
        None
    }

    /// Checks whether its source works.
    fn check(&self, request: &LookupLimits) -> Health;
}

/// What a provider can say about a key without waiting, locking, or a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It has a value, and has passed it on.
    Found,
    /// It has no value.
    Absent,
    /// [`SecretProvider::find`] has to be called.
    Unknown,
}

/// A value that is passed on in place.
pub(crate) enum Peeked<'a> {
    /// It is in memory of the program: the environment.
    Foreign(&'a [u8]),
    /// It is from a provider that is read on every get.
    Local(&'a SecretBytes),
    /// It is cached. The function returns it with its version and age.
    Cached(&'a SecretBytes, &'a dyn Fn() -> Secret),
}

impl Peeked<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Peeked::Foreign(bytes) => bytes,
            Peeked::Local(bytes) | Peeked::Cached(bytes, _) => bytes,
        }
    }

    pub(super) fn to_bytes(&self) -> Result<SecretBytes> {
        match *self {
            Peeked::Foreign(bytes) => SecretBytes::copy_from(bytes),
            Peeked::Local(bytes) | Peeked::Cached(bytes, _) => Ok(bytes.clone()),
        }
    }

    pub(super) fn to_secret(&self) -> Result<Secret> {
        match *self {
            Peeked::Cached(_, secret) => Ok(secret()),
            Peeked::Foreign(_) | Peeked::Local(_) => self.to_bytes().map(Secret::new),
        }
    }
}

/// The names that a provider returns. With an error, names may be missing.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) names: Vec<String>,
    pub(crate) error: Option<Error>,
}

/// The state of a provider, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HealthState {
    Ok,
    /// There is no source to query: no file, no setting.
    Absent,
    /// It works, but something should be fixed.
    Warning,
    Failed,
}

impl HealthState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            HealthState::Ok => "ok",
            HealthState::Absent => "absent",
            HealthState::Warning => "warning",
            HealthState::Failed => "failed",
        }
    }
}

/// The result of checking a provider.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) state: HealthState,
    pub(crate) detail: String,
    /// What to do about it, if anything.
    pub(crate) advice: Option<String>,
}

impl Health {
    pub(crate) fn new(state: HealthState, detail: impl Into<String>) -> Health {
        Health { state, detail: detail.into(), advice: None }
    }

    pub(crate) fn with_advice(mut self, advice: impl Into<String>) -> Health {
        self.advice = Some(advice.into());
        self
    }
}
