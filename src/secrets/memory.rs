//! What layers that may take long answered, remembered for a time: values for `cache_ttl`, "I have none" for
//! `miss_ttl`. Failures are not remembered. However many callers ask a layer for one key, it is asked once.

use std::time::Duration;

use super::layer::{Found, Layer, Request};
use crate::cache::{Loaded, TtlCache};
use crate::clock::Instant;
use crate::config::Config;
use crate::error::Result;

const CACHE_TTL: Duration = Duration::from_secs(300);
const MISS_TTL: Duration = Duration::from_secs(5);
const CLEANUP: Duration = Duration::from_secs(60);
/// How many answers are remembered at most.
const CAPACITY: usize = 1000;

pub(super) struct Memory {
    answers: TtlCache<Answer>,
    pub(super) cache_ttl: Duration,
    pub(super) miss_ttl: Duration,
}

/// What a layer answered, and when.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) found: Option<Found>,
    pub(super) asked: Instant,
    pub(super) ttl: Duration,
}

impl Memory {
    pub(super) fn open(config: &Config) -> Result<Memory> {
        let (cache_ttl, miss_ttl) = (config.time("cache_ttl", CACHE_TTL), config.time("miss_ttl", MISS_TTL));
        Ok(Memory { answers: TtlCache::new(cache_ttl, CAPACITY, CLEANUP)?, cache_ttl, miss_ttl })
    }

    /// What is remembered of this layer's answer.
    pub(super) fn recall(&self, layer: &dyn Layer, key: &str) -> Option<Answer> {
        self.answers.get(&entry(layer, key))
    }

    /// The layer's answer, remembered or asked for now, and whether it was remembered.
    pub(super) fn ask(&self, layer: &dyn Layer, key: &str, request: &Request) -> Result<(Answer, bool)> {
        let entry = entry(layer, key);
        if request.refresh {
            self.answers.delete(&entry);
        }
        let mut remembered = true;
        let answer = self.answers.get_or_load(&entry, request.deadline.remaining(), |_| {
            remembered = false;
            let asked = Instant::now();
            let found = layer.find(key, request)?;
            let ttl = match &found {
                Some(found) => found.ttl.unwrap_or(self.cache_ttl),
                None => self.miss_ttl,
            };
            Ok(Loaded { value: Answer { found, asked, ttl }, ttl: Some(ttl), soft: None })
        })?;
        Ok((answer, remembered))
    }

    pub(super) fn clear(&self) {
        self.answers.clear();
    }

    pub(super) fn size(&self) -> usize {
        self.answers.stats().size
    }
}

/// A name cannot hold a NUL, so no two pairs have the same entry.
fn entry(layer: &dyn Layer, key: &str) -> Vec<u8> {
    [layer.name().as_bytes(), b"\0", key.as_bytes()].concat()
}
