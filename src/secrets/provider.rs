//! What every provider of the chain can do.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Map, Value};

use super::names::Names;
use super::peek::{Known, Peeked};
use crate::bytes::SecretBytes;
use crate::clock::{Deadline, Instant, Tick};
use crate::error::{Result, Source};
use crate::fork::Reading;

/// A value that a provider of the program gives.
#[derive(Clone, Debug)]
pub struct Found {
    /// The value.
    pub value: SecretBytes,
    /// The provider's own name of this state of the value, where it has one.
    pub version: Option<String>,
    /// How long it may be remembered; `cache_ttl` of the configuration if the provider does not say.
    pub ttl: Option<Duration>,
}

impl Found {
    /// A value of which nothing else is known.
    pub fn new(value: SecretBytes) -> Found {
        Found { value, version: None, ttl: None }
    }
}

/// A value as a provider holds it.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) value: SecretBytes,
    /// Its time is over, or a refresh that was asked for failed.
    pub(crate) stale: bool,
    /// It was asked for by an earlier call.
    pub(crate) cached: bool,
    /// `None` for providers that are asked on every get.
    pub(crate) origin: Option<Arc<Origin>>,
}

/// Where a remembered answer is from, and how long it counts.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The provider's own name of this state of the value.
    pub(crate) version: Option<Arc<str>>,
    /// When its source was asked.
    pub(crate) asked: Instant,
    /// How long it counts from then on.
    pub(crate) ttl: Duration,
    /// From which age on one caller asks again while the others still get it.
    pub(crate) soft: Option<Duration>,
    /// Set once the document that it is from is no longer that of its provider.
    pub(crate) superseded: Option<Arc<AtomicBool>>,
}

impl Origin {
    pub(crate) fn of(asked: Instant, ttl: Duration) -> Origin {
        Origin { version: None, asked, ttl, soft: None, superseded: None }
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded.as_ref().is_some_and(|superseded| superseded.load(Relaxed))
    }
}

impl Held {
    /// A value that is not remembered.
    pub(crate) fn now(value: SecretBytes) -> Held {
        Held { value, stale: false, cached: false, origin: None }
    }
}

/// How a provider is asked.
#[derive(Debug)]
pub(crate) struct Request {
    begun: Tick,
    timeout: Duration,
    deadline: OnceCell<Deadline>,
    /// Look at the source now, whatever is remembered.
    pub(crate) refresh: bool,
}

impl Request {
    /// One that begins now and has this much time.
    pub(crate) fn new(timeout: Duration, refresh: bool) -> Request {
        Request { begun: Tick::now(), timeout, deadline: OnceCell::new(), refresh }
    }

    /// When the whole call has to be over. Most calls never ask: they find their value at hand, and the exact time costs
    /// more than the rest of that.
    pub(crate) fn deadline(&self) -> Deadline {
        *self.deadline.get_or_init(|| Deadline::after(self.timeout.saturating_sub(self.begun.elapsed())))
    }

    /// The share of a remote provider: half of the time that remains where another one waits behind it.
    pub(crate) fn share(&self, others_behind: bool) -> Request {
        let remaining = self.deadline().remaining();
        match others_behind && remaining < Duration::MAX {
            true => Request::new(remaining / 2, self.refresh),
            false => Request { deadline: self.deadline.clone(), ..*self },
        }
    }
}

/// One place where secrets are looked for. No method is called with a lock held, and none returns with one.
pub(crate) trait Provider: Send + Sync {
    fn name(&self) -> &str;

    fn source(&self) -> Source;

    /// Whether asking it may take long. What such a provider answers is remembered, and a call that wants what is at hand
    /// does not ask it.
    fn is_remote(&self) -> bool {
        false
    }

    /// The value of `key`, `None` if the provider works and has none.
    fn find(&self, key: &str, request: &Request) -> Result<Option<Held>>;

    /// Hands the value of `key` to `take` where it is, if [`Provider::find`] would return it without looking at its source.
    /// Every get begins here, so it is short and writes to no memory that other threads write to. `now` is the current
    /// time.
    fn peek(&self, _key: &str, _reading: &Reading, _now: Tick, _take: &mut dyn FnMut(Peeked<'_>)) -> Known {
        Known::Unknown
    }

    /// What a remote provider knows of `key` without asking anybody; `None` if that is nothing.
    fn at_hand(&self, _key: &str) -> Option<Option<Held>> {
        None
    }

    /// Where `find` looks for this key, for the message that it is not there.
    fn place(&self, key: &str) -> String;

    /// Looks at its source now.
    fn refresh(&self, _: &Request) -> Result<()> {
        Ok(())
    }

    /// Forgets, and so wipes, what it remembers itself.
    fn forget(&self) {}

    /// Its settings and what it knows of its source, without asking it.
    fn describe(&self) -> Map<String, Value>;

    /// The names of the secrets that it holds; `None` if it cannot list them.
    fn names(&self, _: &Request) -> Option<Names> {
        None
    }

    /// Asks its source whether it works.
    fn check(&self, request: &Request) -> Finding;
}

/// How a provider is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Ok,
    /// There is nothing to ask: no file, no setting.
    Absent,
    /// It works, but something should be mended.
    Warning,
    Failed,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Absent => "absent",
            State::Warning => "warning",
            State::Failed => "failed",
        }
    }
}

/// A provider's state in words.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) state: State,
    pub(crate) detail: String,
    /// What to do about it, if anything.
    pub(crate) advice: Option<String>,
}

impl Finding {
    pub(crate) fn new(state: State, detail: impl Into<String>) -> Finding {
        Finding { state, detail: detail.into(), advice: None }
    }

    pub(crate) fn with_advice(mut self, advice: impl Into<String>) -> Finding {
        self.advice = Some(advice.into());
        self
    }
}
