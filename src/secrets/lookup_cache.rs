//! The cache of values that remote providers returned, by key, for `cache_ttl`. A value found in a later provider is
//! cached for as long as the providers before it have cached that they have none, and then costs no call to them. Each
//! provider keeps stale values itself: it returns what it has while another call loads from its source.
//!
//! A value that was found behind a provider that failed is cached for `miss_ttl`. Stale values and failures are not
//! cached. A value from a document expires with the document.
//!
//! A get that finds its value in a valid document does not come here: see `peek.rs`.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use super::provider::LookupLimits;
use super::remote_group::RemoteGroup;
use super::secret::{Secret, SecretInfo};
use crate::cache::TtlCache;
use crate::config::Config;
use crate::error::Result;

/// How often expired entries are removed.
pub(super) const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);
/// The maximum number of cached values.
pub(super) const CAPACITY: usize = 1000;

pub(super) struct LookupCache {
    /// Each with the generation in which it was requested.
    secrets: TtlCache<(Secret, u64)>,
    /// How often the cache was cleared.
    generation: AtomicU64,
    pub(super) times: CacheTimes,
}

/// How long answers of providers are cached.
#[derive(Clone, Copy)]
pub(super) struct CacheTimes {
    pub(super) cache_ttl: Duration,
    pub(super) miss_ttl: Duration,
    /// How long an expired answer is still used while its source fails.
    pub(super) max_stale: Duration,
    /// The longest back-off of a source that fails, unless its loads time out.
    pub(super) max_backoff: Duration,
}

impl CacheTimes {
    /// Those of the configuration.
    pub(super) fn of(config: &Config) -> CacheTimes {
        CacheTimes {
            cache_ttl: config.time("cache_ttl", Duration::from_secs(300)),
            miss_ttl: config.time("miss_ttl", Duration::from_secs(5)),
            max_stale: config.time("max_stale", Duration::from_secs(3600)),
            max_backoff: config.time("max_backoff", Duration::from_secs(15)),
        }
    }
}

/// The result of a cache-only lookup.
pub(super) enum CachedLookup {
    Found(Secret),
    /// Each provider has cached that it has no value.
    Missing,
    /// These providers have nothing cached and were not queried.
    Unknown(Vec<String>),
}

impl LookupCache {
    pub(super) fn new(times: CacheTimes) -> Result<LookupCache> {
        let secrets = TtlCache::new(times.cache_ttl, CAPACITY, CLEANUP_INTERVAL)?;
        Ok(LookupCache { secrets, generation: AtomicU64::new(0), times })
    }

    /// The value of `key`, cached or looked up now. If no provider of the group has it, the error is that of the first
    /// provider that failed.
    pub(super) fn find(&self, group: &RemoteGroup<'_>, key: &str, request: &LookupLimits) -> Result<Option<Secret>> {
        let entry = entry_key(group, key);
        if !request.refresh
            && let Some((secret, _)) = self.secrets.get_fresh(&entry).filter(|cached| self.is_valid(cached))
        {
            return Ok(Some(secret));
        }
        let generation = self.generation.load(SeqCst);
        let found = group.find(key, request);
        match &found {
            Ok(Some((secret, absence))) => self.insert(&entry, secret.clone(), *absence, generation)?,
            // The cached value is gone, or came from providers that fail now.
            Ok(None) | Err(_) => drop(self.secrets.delete(&entry)),
        }
        Ok(found?.map(|(secret, _)| secret))
    }

    /// The value of `key`, if this cache or a provider of the group has it cached.
    pub(super) fn find_cached(&self, group: &RemoteGroup<'_>, key: &str) -> CachedLookup {
        if let Some((secret, _)) = self.secrets.get(&entry_key(group, key)).filter(|cached| self.is_valid(cached)) {
            return CachedLookup::Found(secret);
        }
        let mut unknown = Vec::new();
        for provider in group.providers {
            match provider.cached(key) {
                Some(Some(secret)) => {
                    let secret = secret.with_provider(provider.id());
                    return CachedLookup::Found(Secret { degraded: !unknown.is_empty(), ..secret });
                }
                Some(None) => {}
                None => unknown.push(provider.name().to_owned()),
            }
        }
        if unknown.is_empty() { CachedLookup::Missing } else { CachedLookup::Unknown(unknown) }
    }

    pub(super) fn clear(&self) {
        // First, so that a value of a lookup under way is invalid even if it is inserted later.
        self.generation.fetch_add(1, SeqCst);
        self.secrets.clear();
    }

    pub(super) fn size(&self) -> usize {
        self.secrets.stats().size
    }

    fn is_valid(&self, (secret, generation): &(Secret, u64)) -> bool {
        *generation == self.generation.load(SeqCst) && !secret.info.as_ref().is_some_and(|info| info.is_superseded())
    }

    /// Caches a value, at most for the time `absence`.
    fn insert(&self, entry: &[u8], mut secret: Secret, absence: Duration, generation: u64) -> Result<()> {
        let Some(info) = secret.info.as_mut().filter(|_| !secret.stale) else {
            self.secrets.delete(entry);
            return Ok(());
        };
        let age = info.age();
        let mut ttl = info.ttl().saturating_sub(age);
        let mut refresh_after = info.refresh_after.map(|time| time.saturating_sub(age));
        if secret.degraded {
            (ttl, refresh_after) = (ttl.min(self.times.miss_ttl), None);
            *info = Arc::new(SecretInfo { ttl: Some(age.saturating_add(ttl)), ..SecretInfo::clone(info) });
        }
        secret.cached = true;
        self.secrets.set_soft(entry, (secret, generation), Some(ttl.min(absence)), refresh_after)
    }
}

/// A name cannot hold a NUL, so no two groups share an entry.
fn entry_key<'k>(group: &RemoteGroup<'_>, key: &'k str) -> Cow<'k, [u8]> {
    match group.number {
        0 => Cow::Borrowed(key.as_bytes()),
        number => Cow::Owned([key.as_bytes(), b"\0", number.to_string().as_bytes()].concat()),
    }
}
