//! What remote providers had, remembered per key for `cache_ttl`, so that a value in a lower provider does not need the providers
//! before it asked again and again. That there is none is remembered by each provider itself, as are stale values: a provider
//! hands out what it has while another call asks its source.
//!
//! Remote providers that stand next to each other in the order are one run of the chain, which is asked as a whole; the first
//! value in it is what is remembered. A value that is found behind a provider that failed is kept for `miss_ttl`; a stale
//! one, and a failure, not at all. A value from a document goes with the document.
//!
//! A get that finds its value in a document which counts does not come here: see `peek.rs`.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use super::provider::{Origin, Provider, Request};
use super::secret::Secret;
use crate::cache::TtlCache;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::log::{self, Level};

pub(super) const CLEANUP: Duration = Duration::from_secs(60);
/// How many answers are remembered at most.
pub(super) const CAPACITY: usize = 1000;

pub(super) struct Memory {
    answers: TtlCache<Answer>,
    cleared: AtomicU64,
    pub(super) times: Times,
}

/// How long what providers answer is remembered.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) cache_ttl: Duration,
    pub(super) miss_ttl: Duration,
    /// How long, after its time, an answer serves while its source is out.
    pub(super) max_stale: Duration,
    /// The longest rest of a source that fails, unless its loads time out.
    pub(super) max_backoff: Duration,
}

impl Times {
    /// Those of the configuration.
    pub(super) fn of(config: &Config) -> Times {
        Times {
            cache_ttl: config.time("cache_ttl", Duration::from_secs(300)),
            miss_ttl: config.time("miss_ttl", Duration::from_secs(5)),
            max_stale: config.time("max_stale", Duration::from_secs(3600)),
            max_backoff: config.time("max_backoff", Duration::from_secs(15)),
        }
    }
}

/// A secret that a run of remote providers had.
#[derive(Clone)]
struct Answer {
    secret: Secret,
    /// How often all was forgotten before the providers were asked.
    cleared: u64,
}

/// Remote providers next to each other.
pub(super) struct Run<'a> {
    pub(super) providers: &'a [Arc<dyn Provider>],
    /// How many runs go before it.
    pub(super) number: usize,
    /// Whether remote providers come behind it.
    pub(super) others_behind: bool,
}

/// What a run says to a call that asks nobody.
pub(super) enum AtHand {
    Found(Secret),
    None,
    /// These providers may not be asked by such a call.
    NotAsked(Vec<String>),
}

impl Memory {
    pub(super) fn new(times: Times) -> Result<Memory> {
        Ok(Memory { answers: TtlCache::new(times.cache_ttl, CAPACITY, CLEANUP)?, cleared: AtomicU64::new(0), times })
    }

    /// What the run answers to this key, remembered or asked for now; the error is that of its first provider that failed,
    /// where none has the key.
    pub(super) fn ask(&self, run: &Run<'_>, key: &str, request: &Request) -> Result<Option<Secret>> {
        let entry = entry(run, key);
        if !request.refresh
            && let Some(answer) = self.answers.get_fresh(&entry).filter(|answer| self.counts(answer))
        {
            return Ok(Some(answer.secret));
        }
        let cleared = self.cleared.load(SeqCst);
        let answer = walk(run, key, request);
        match &answer {
            Ok(Some(secret)) => self.remember(&entry, secret.clone(), cleared)?,
            // What was remembered is not so any more, or was by providers that now fail.
            Ok(None) | Err(_) => drop(self.answers.delete(&entry)),
        }
        answer
    }

    /// What is remembered, and what providers have at hand.
    pub(super) fn at_hand(&self, run: &Run<'_>, key: &str) -> AtHand {
        if let Some(answer) = self.answers.get(&entry(run, key)).filter(|answer| self.counts(answer)) {
            return AtHand::Found(answer.secret);
        }
        let mut not_asked = Vec::new();
        for provider in run.providers {
            match provider.at_hand(key) {
                Some(Some(held)) => {
                    return AtHand::Found(Secret { held, provider: provider.clone(), degraded: !not_asked.is_empty() });
                }
                Some(None) => {}
                None => not_asked.push(provider.name().to_owned()),
            }
        }
        if not_asked.is_empty() { AtHand::None } else { AtHand::NotAsked(not_asked) }
    }

    pub(super) fn clear(&self) {
        // First, so that no answer of before counts that is stored after.
        self.cleared.fetch_add(1, SeqCst);
        self.answers.clear();
    }

    pub(super) fn size(&self) -> usize {
        self.answers.stats().size
    }

    fn counts(&self, answer: &Answer) -> bool {
        answer.cleared == self.cleared.load(SeqCst)
            && !answer.secret.held.origin.as_ref().is_some_and(|origin| origin.is_superseded())
    }

    fn remember(&self, entry: &[u8], mut secret: Secret, cleared: u64) -> Result<()> {
        let Secret { held, degraded, .. } = &mut secret;
        let Some(origin) = held.origin.as_mut().filter(|_| !held.stale) else {
            self.answers.delete(entry);
            return Ok(());
        };
        held.cached = true;
        let age = origin.asked.elapsed();
        let mut ttl = origin.ttl.saturating_sub(age);
        let mut soft = origin.soft.map(|soft| soft.saturating_sub(age));
        if *degraded {
            (ttl, soft) = (ttl.min(self.times.miss_ttl), None);
            *origin = Arc::new(Origin { ttl: age.saturating_add(ttl), ..Origin::clone(origin) });
        }
        self.answers.set_soft(entry, Answer { secret, cleared }, Some(ttl), soft)
    }
}

/// Asks the providers of a run one after the other.
fn walk(run: &Run<'_>, key: &str, request: &Request) -> Result<Option<Secret>> {
    let mut failure: Option<Error> = None;
    for (at, provider) in run.providers.iter().enumerate() {
        let share = request.share(run.others_behind || at + 1 < run.providers.len());
        match provider.find(key, &share) {
            Ok(Some(held)) => {
                return Ok(Some(Secret { held, provider: provider.clone(), degraded: failure.is_some() }));
            }
            Ok(None) => {}
            Err(error) => {
                let error = failed(&**provider, key, error);
                failure = Some(first_of(failure, error));
            }
        }
    }
    failure.map_or(Ok(None), Err)
}

/// A provider's failure as what a caller sees; the log is told.
pub(super) fn failed(provider: &dyn Provider, key: &str, error: Error) -> Error {
    log::emit(Level::Warn, "secrets", || format!("{key:?}: the provider {} failed: {error}", provider.name()));
    error
        .with_source(provider.source())
        .map_message(|message| format!("the provider {} failed: {message}", provider.name()))
}

/// The failure that a caller sees where several providers failed: the first, which tells of the others.
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
