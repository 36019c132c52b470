//! A remote provider that nothing was configured for: it has no secret, and says what it would need.

use serde_json::{Map, Value, json};

use super::names::Names;
use super::peek::{Known, Peeked};
use super::provider::{Finding, Held, Provider, Request, State};
use crate::clock::Tick;
use crate::error::{Result, Source};
use crate::fork::Reading;

pub(crate) struct Unconfigured {
    pub(crate) name: &'static str,
    pub(crate) source: Source,
    pub(crate) lack: Lack,
}

/// What is missing, and where to give it.
#[derive(Debug)]
pub(crate) struct Lack {
    pub(crate) why: String,
    /// Something was set, so that somebody wants this provider: a secret that is not found is told why it was not asked.
    pub(crate) is_wanted: bool,
}

impl Provider for Unconfigured {
    fn name(&self) -> &str {
        self.name
    }

    fn source(&self) -> Source {
        self.source
    }

    fn find(&self, _: &str, _: &Request) -> Result<Option<Held>> {
        Ok(None)
    }

    fn peek(&self, _: &str, _: &Reading, _: Tick, _: &mut dyn FnMut(Peeked<'_>)) -> Known {
        Known::Absent
    }

    fn place(&self, _: &str) -> String {
        if self.lack.is_wanted { self.reason() } else { "not configured".to_owned() }
    }

    fn describe(&self) -> Map<String, Value> {
        Map::from_iter([("configured".to_owned(), json!(false))])
    }

    fn names(&self, _: &Request) -> Option<Names> {
        Some(Names::default())
    }

    fn check(&self, _: &Request) -> Finding {
        Finding::new(State::Absent, self.reason())
    }
}

impl Unconfigured {
    fn reason(&self) -> String {
        format!("not configured: {}", self.lack.why)
    }
}
