//! What layers that may take long answered, remembered per key: values for `cache_ttl`, "none has it" for `miss_ttl`.
//!
//! Remote layers that stand next to each other in the order are one run of the chain: it is asked as a whole, once
//! however many callers want the key, and the first value in it is what is remembered. A value that is found behind a
//! layer that failed is kept for `miss_ttl`; a stale one, and a failure, not at all.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::layer::{Layer, Origin, Request};
use super::secret::Secret;
use crate::cache::{Loaded, TtlCache};
use crate::clock::Instant;
use crate::config::Config;
use crate::error::{Error, Result, Status};
use crate::log::{self, Level};

const CLEANUP: Duration = Duration::from_secs(60);
/// How many answers are remembered at most.
const CAPACITY: usize = 1000;

pub(super) struct Memory {
    answers: TtlCache<Answer>,
    pub(super) times: Times,
}

/// How long what layers answer is remembered.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) cache_ttl: Duration,
    pub(super) miss_ttl: Duration,
    /// How long, after its time, an answer serves while its source is out.
    pub(super) max_stale: Duration,
    /// The longest rest of a source that fails.
    pub(super) max_backoff: Duration,
    /// A load that ends for want of time says nothing about its source, if it had less than this.
    pub(super) fair: Duration,
}

impl Times {
    /// Those of the configuration; `timeout` is what a call usually has.
    pub(super) fn of(config: &Config, timeout: Duration) -> Times {
        Times {
            cache_ttl: config.time("cache_ttl", Duration::from_secs(300)),
            miss_ttl: config.time("miss_ttl", Duration::from_secs(5)),
            max_stale: config.time("max_stale", Duration::from_secs(3600)),
            max_backoff: config.time("max_backoff", Duration::from_secs(15)),
            fair: (timeout / 4).min(Duration::from_secs(1)),
        }
    }
}

/// What a run of remote layers answered: a secret, or that none of them has it.
#[derive(Clone)]
struct Answer(Option<Secret>);

impl Answer {
    /// Whether the document that it is from has changed or is gone.
    fn is_superseded(&self) -> bool {
        self.0.as_ref().and_then(|secret| secret.held.origin.as_ref()).is_some_and(|origin| origin.is_superseded())
    }
}

/// Remote layers next to each other.
pub(super) struct Run<'a> {
    pub(super) layers: &'a [Arc<dyn Layer>],
    /// How many runs go before it.
    pub(super) number: usize,
    /// Whether remote layers come behind it.
    pub(super) others_behind: bool,
}

/// What a run says to a call that asks nobody.
pub(super) enum AtHand {
    Found(Secret),
    None,
    /// These layers may not be asked by such a call.
    NotAsked(Vec<String>),
}

impl Memory {
    pub(super) fn new(times: Times) -> Result<Memory> {
        Ok(Memory { answers: TtlCache::new(times.cache_ttl, CAPACITY, CLEANUP)?, times })
    }

    /// What the run answers to this key, remembered or asked for now; the error is that of its first layer that failed,
    /// where none has the key.
    pub(super) fn ask(&self, run: &Run<'_>, key: &str, request: &Request) -> Result<Option<Secret>> {
        let entry = entry(run, key);
        if request.refresh {
            self.answers.delete(&entry);
            let secret = walk(run, key, request)?;
            let Loaded { value, ttl, soft } = self.remember(secret.clone());
            self.answers.set_soft(&entry, value, ttl, soft)?;
            return Ok(secret);
        }
        if let Some(answer) = self.answers.get_fresh(&entry).filter(|answer| !answer.is_superseded()) {
            return Ok(answer.0);
        }
        loop {
            let mut own = None;
            let answer = self.answers.get_or_load(&entry, request.deadline.remaining(), |_| {
                let secret = walk(run, key, request);
                own = Some(secret.clone());
                secret.map(|secret| self.remember(secret))
            });
            return match (own, answer) {
                (Some(Ok(secret)), _) => Ok(secret),
                (None, Ok(answer)) if answer.is_superseded() => {
                    self.answers.delete(&entry);
                    continue;
                }
                (_, Ok(answer)) => Ok(answer.0),
                // Whoever asked, for all who wait, may have had less time than we have.
                (None, Err(error)) if error.status() == Status::Timeout && !request.deadline.has_passed() => continue,
                (_, Err(error)) => Err(error),
            };
        }
    }

    /// What is remembered, and what layers have at hand.
    pub(super) fn at_hand(&self, run: &Run<'_>, key: &str) -> AtHand {
        if let Some(answer) = self.answers.get(&entry(run, key)).filter(|answer| !answer.is_superseded()) {
            return answer.0.map_or(AtHand::None, AtHand::Found);
        }
        let mut not_asked = Vec::new();
        for layer in run.layers {
            match layer.at_hand(key) {
                Some(Some(held)) => {
                    return AtHand::Found(Secret { held, layer: layer.clone(), degraded: !not_asked.is_empty() });
                }
                Some(None) => {}
                None => not_asked.push(layer.name().to_owned()),
            }
        }
        if not_asked.is_empty() { AtHand::None } else { AtHand::NotAsked(not_asked) }
    }

    pub(super) fn clear(&self) {
        self.answers.clear();
    }

    pub(super) fn size(&self) -> usize {
        self.answers.stats().size
    }

    /// What to keep of an answer, and for how long.
    fn remember(&self, mut secret: Option<Secret>) -> Loaded<Answer> {
        let (mut ttl, mut soft) = (self.times.miss_ttl, None);
        if let Some(Secret { held, degraded, .. }) = &mut secret {
            held.cached = true;
            let new = || Arc::new(Origin::of(Instant::now(), self.times.cache_ttl));
            let origin = held.origin.get_or_insert_with(new);
            let age = origin.asked.elapsed();
            ttl = if held.stale { Duration::ZERO } else { origin.ttl.saturating_sub(age) };
            soft = origin.soft.map(|soft| soft.saturating_sub(age));
            if *degraded {
                (ttl, soft) = (ttl.min(self.times.miss_ttl), None);
                *origin = Arc::new(Origin { ttl: age.saturating_add(ttl), ..Origin::clone(origin) });
            }
        }
        Loaded { value: Answer(secret), ttl: Some(ttl), soft }
    }
}

/// Asks the layers of a run one after the other.
fn walk(run: &Run<'_>, key: &str, request: &Request) -> Result<Option<Secret>> {
    let mut failure: Option<Error> = None;
    for (at, layer) in run.layers.iter().enumerate() {
        let share = request.share(run.others_behind || at + 1 < run.layers.len());
        match layer.find(key, &share) {
            Ok(Some(held)) => return Ok(Some(Secret { held, layer: layer.clone(), degraded: failure.is_some() })),
            Ok(None) => {}
            Err(error) => {
                let error = failed(&**layer, key, error);
                failure = Some(first_of(failure, error));
            }
        }
    }
    failure.map_or(Ok(None), Err)
}

/// A layer's failure as what a caller sees; the log is told.
pub(super) fn failed(layer: &dyn Layer, key: &str, error: Error) -> Error {
    log::emit(Level::Warn, "secrets", || format!("{key:?}: the layer {} failed: {error}", layer.name()));
    error.with_source(layer.source()).map_message(|message| format!("the layer {} failed: {message}", layer.name()))
}

/// The failure that a caller sees where several layers failed: the first, which tells of the others.
pub(super) fn first_of(first: Option<Error>, next: Error) -> Error {
    match first {
        Some(first) => first.map_message(|message| format!("{message}; and {}", next.message())),
        None => next,
    }
}

/// A name cannot hold a NUL, so no two runs have the same entry.
fn entry<'k>(run: &Run<'_>, key: &'k str) -> Cow<'k, [u8]> {
    match run.number {
        0 => Cow::Borrowed(key.as_bytes()),
        number => Cow::Owned([key.as_bytes(), b"\0", number.to_string().as_bytes()].concat()),
    }
}
