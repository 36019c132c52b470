//! A remote layer that nothing was configured for: it has no secret, and says what it would need.

use serde_json::{Map, Value, json};

use super::layer::{Finding, Held, Layer, Request, State};
use crate::error::{Result, Source};

pub(crate) struct Unconfigured {
    pub(crate) name: &'static str,
    pub(crate) source: Source,
    /// What is missing, and where to give it.
    pub(crate) why: String,
}

impl Layer for Unconfigured {
    fn name(&self) -> &str {
        self.name
    }

    fn source(&self) -> Source {
        self.source
    }

    fn find(&self, _: &str, _: &Request) -> Result<Option<Held>> {
        Ok(None)
    }

    fn place(&self, _: &str) -> String {
        "not configured".to_owned()
    }

    fn describe(&self) -> Map<String, Value> {
        Map::from_iter([("configured".to_owned(), json!(false))])
    }

    fn check(&self, _: &Request) -> Finding {
        Finding::new(State::Absent, format!("not configured: {}", self.why))
    }
}
