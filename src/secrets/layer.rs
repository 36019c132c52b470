//! What every layer of the chain can do.

use serde_json::{Map, Value};

use crate::bytes::SecretBytes;
use crate::clock::Deadline;
use crate::error::{Result, Source};

/// A value that a layer gave.
#[derive(Clone, Debug)]
pub struct Found {
    /// The value.
    pub value: SecretBytes,
    /// The layer's own name of this state of the value, where it has one.
    pub version: Option<String>,
}

/// How a layer is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// When the whole call has to be over.
    pub(crate) deadline: Deadline,
    /// Look at the source now, whatever is remembered.
    pub(crate) refresh: bool,
}

/// One place where secrets are looked for. No method is called with a lock held, and none returns with one.
pub(crate) trait Layer: Send + Sync {
    fn name(&self) -> &str;

    fn source(&self) -> Source;

    /// Whether asking it may take long; such a layer is not asked by a call that wants what is at hand.
    fn is_remote(&self) -> bool {
        false
    }

    /// The value of `key`, `None` if the layer works and has none.
    fn find(&self, key: &str, request: &Request) -> Result<Option<Found>>;

    /// Where `find` looks for this key, for the message that it is not there.
    fn place(&self, key: &str) -> String;

    /// Looks at its source now.
    fn refresh(&self, request: &Request) -> Result<()>;

    /// Forgets, and so wipes, what it remembers.
    fn forget(&self);

    /// Its settings and what it knows of its source, without asking it.
    fn describe(&self) -> Map<String, Value>;

    /// Asks its source whether it works.
    fn check(&self, request: &Request) -> Finding;
}

/// How a layer is doing.
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

/// A layer's state in words.
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
