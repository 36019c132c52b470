//! A layer that the program itself provides.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::layer::{Finding, Found, Held, Layer, Origin, Request, State};
use crate::clock::Instant;
use crate::error::{Error, Result, Source, Status};
use crate::fork;

/// Answers with the value of a key, or `None`, within the given time.
pub(crate) type Ask = Box<dyn Fn(&str, Duration) -> Result<Option<Found>> + Send + Sync>;

pub(crate) struct CustomLayer {
    name: String,
    ask: Ask,
    /// How long its answers count where it does not say.
    ttl: Duration,
}

impl CustomLayer {
    pub(crate) fn new(name: &str, ask: Ask, ttl: Duration) -> CustomLayer {
        CustomLayer { name: name.to_owned(), ask, ttl }
    }
}

impl Layer for CustomLayer {
    fn name(&self) -> &str {
        &self.name
    }

    fn source(&self) -> Source {
        Source::Custom
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn find(&self, key: &str, request: &Request) -> Result<Option<Held>> {
        let remaining = request.deadline.remaining();
        if remaining.is_zero() {
            return Err(Error::new(Status::Timeout, "no time was left to ask it").with_retryable(true));
        }
        let asked = Instant::now();
        // What it panicked with may hold a secret; it is neither shown nor dropped, as dropping might panic again.
        let answer = fork::outside(|| catch_unwind(AssertUnwindSafe(|| (self.ask)(key, remaining))));
        let found = answer.unwrap_or_else(|panic| {
            std::mem::forget(panic);
            Err(Error::new(Status::Panic, "its callback panicked"))
        })?;
        Ok(found.map(|Found { value, version, ttl }| {
            let origin = Origin { version: version.map(Arc::from), ..Origin::of(asked, ttl.unwrap_or(self.ttl)) };
            Held { origin: Some(Arc::new(origin)), ..Held::now(value) }
        }))
    }

    fn place(&self, _: &str) -> String {
        "asked, has none".to_owned()
    }

    fn describe(&self) -> Map<String, Value> {
        Map::new()
    }

    fn check(&self, _: &Request) -> Finding {
        Finding::new(State::Ok, "a layer of this program")
    }
}
