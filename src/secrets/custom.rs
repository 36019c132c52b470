//! A layer that the program itself provides.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::layer::{Finding, Found, Held, Layer, Origin, Request, State};
use super::memory::{CAPACITY, CLEANUP, Times};
use crate::cache::{Loaded, TtlCache};
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Source, Status};
use crate::fork;

/// Answers with the value of a key, or `None`, within the given time.
pub(crate) type Ask = Box<dyn Fn(&str, Duration) -> Result<Option<Found>> + Send + Sync>;

pub(crate) struct CustomLayer {
    name: String,
    ask: Ask,
    /// Its answers, also that it has none. However many callers want one, it is asked once.
    answers: TtlCache<Option<Held>>,
    times: Times,
}

impl CustomLayer {
    pub(super) fn new(name: &str, ask: Ask, times: Times) -> Result<CustomLayer> {
        let answers = TtlCache::new(times.cache_ttl, CAPACITY, CLEANUP)?;
        Ok(CustomLayer { name: name.to_owned(), ask, answers, times })
    }

    fn ask(&self, key: &str, deadline: Deadline) -> Result<Option<Held>> {
        let remaining = deadline.remaining();
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
            let ttl = ttl.unwrap_or(self.times.cache_ttl);
            let origin = Origin { version: version.map(Arc::from), ..Origin::of(asked, ttl) };
            Held { origin: Some(Arc::new(origin)), ..Held::now(value) }
        }))
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
        if request.refresh {
            self.answers.delete(key.as_bytes());
        }
        loop {
            let mut own = None;
            let answer = self.answers.get_or_load(key.as_bytes(), request.deadline().wait(), |_| {
                let answer = self.ask(key, request.deadline());
                own = Some(answer.clone());
                let mut held = answer?;
                let mut ttl = self.times.miss_ttl;
                if let Some(held) = &mut held {
                    held.cached = true;
                    ttl = held.origin.as_ref().map_or(Duration::ZERO, |origin| origin.ttl);
                }
                Ok(Loaded { value: held, ttl: Some(ttl), soft: None })
            });
            return match (own, answer) {
                (Some(own), _) => own,
                // Whoever asked, for all who wait, may have had less time than we have.
                (None, Err(error)) if error.status() == Status::Timeout && !request.deadline().has_passed() => continue,
                (None, answer) => answer,
            };
        }
    }

    fn at_hand(&self, key: &str) -> Option<Option<Held>> {
        self.answers.get(key.as_bytes())
    }

    fn refresh(&self, _: &Request) -> Result<()> {
        self.forget();
        Ok(())
    }

    fn forget(&self) {
        self.answers.clear();
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
