//! The lookup of a key over all providers.
//!
//! Providers are queried in order, and the first value is the result. A provider that fails is skipped: a value of a
//! later provider is then marked as degraded, and if no provider has a value, the failure is the result, never
//! [`Status::NotFound`].
//!
//! Remote providers that follow each other form one [`RemoteGroup`], whose result is cached as a whole.

use std::sync::Arc;
use std::time::Duration;

use super::lookup_cache::CachedLookup;
use super::manager::{GetOptions, Manager};
use super::provider::{LookupLimits, SecretProvider};
use super::remote_group::{RemoteGroup, find, joined};
use super::secret::Secret;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::log::{self, Level};
use crate::redact;
use crate::share::TierTime;

/// How often a host looks at the cluster tier while its processes get values.
const TIER_INTERVAL: Duration = Duration::from_secs(1);

impl Manager {
    /// Looks `key` up in each provider in turn.
    pub(super) fn look_up(&self, key: &str, options: &GetOptions) -> Result<Secret> {
        self.look_up_any(&[key], options)
    }

    /// Looks all keys up in each provider in turn. Messages name the first key.
    pub(super) fn look_up_any(&self, keys: &[&str], options: &GetOptions) -> Result<Secret> {
        let _guard = fork::protect();
        let request = self.request(options.timeout, options.refresh);
        if !options.cached_only {
            self.changes.look_at_tier(TIER_INTERVAL, || TierTime::until(request.deadline()));
        }
        self.follow_host();
        let found = self.look_up_followed(keys, options, &request);
        match &found {
            // Not counted: it only means that nothing is cached. Bindings try a cached-only get before they block.
            Err(error) if options.cached_only && error.status() == Status::Unavailable => {}
            Err(error) => self.counts.add_failure(error),
            Ok(_) => {}
        }
        self.notify_watches();
        found
    }

    fn look_up_followed(&self, keys: &[&str], options: &GetOptions, request: &LookupLimits) -> Result<Secret> {
        let key = keys[0];
        let providers = self.providers();
        let (mut failure, mut not_queried): (Option<Error>, Vec<String>) = (None, Vec::new());
        let (mut rest, mut groups) = (&providers[..], 0);
        while let Some(first) = rest.first() {
            let remote = rest.iter().take_while(|provider| provider.is_remote()).count();
            let (part, behind) = rest.split_at(remote.max(1));
            rest = behind;
            let found = if remote == 0 {
                first_value(keys, |key| find(first, key, request))
            } else {
                let others_behind = behind.iter().any(|provider| provider.is_remote());
                let group = RemoteGroup { providers: part, number: groups, others_behind };
                groups += 1;
                match options.cached_only {
                    true => first_value(keys, |key| Ok(self.find_cached(&group, key, &mut not_queried))),
                    false => first_value(keys, |key| self.lookup_cache().find(&group, key, request)),
                }
            };
            match found {
                Ok(Some(mut secret)) => {
                    log::emit_with(Level::Debug, "secrets", |fields| {
                        fields.text("key", key);
                        fields.text("provider", secret.provider());
                        format!("{key:?} comes from provider {}", secret.provider())
                    });
                    secret.degraded |= failure.is_some() || !not_queried.is_empty();
                    redact::record(Some(key), &secret.value);
                    providers.count(&secret);
                    return Ok(secret);
                }
                Ok(None) => {}
                Err(error) => failure = Some(joined(failure, error)),
            }
        }
        Err(match failure {
            Some(error) => error.map_message(|message| format!("secret {key:?}: {message}")),
            None if !not_queried.is_empty() => not_cached(key, &not_queried),
            None => not_found(key, &providers),
        })
    }

    fn find_cached(&self, group: &RemoteGroup<'_>, key: &str, not_queried: &mut Vec<String>) -> Option<Secret> {
        match self.lookup_cache().find_cached(group, key) {
            CachedLookup::Found(secret) => Some(secret),
            CachedLookup::Missing => None,
            CachedLookup::Unknown(names) => {
                for name in names {
                    if !not_queried.contains(&name) {
                        not_queried.push(name);
                    }
                }
                None
            }
        }
    }
}

/// The value of the first key that has one; if none has, the first failure.
fn first_value(keys: &[&str], mut find: impl FnMut(&str) -> Result<Option<Secret>>) -> Result<Option<Secret>> {
    let mut failure = None;
    for key in keys {
        match find(key) {
            Ok(Some(mut secret)) => {
                secret.degraded |= failure.is_some();
                return Ok(Some(secret));
            }
            Ok(None) => {}
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(None), Err)
}

fn not_cached(key: &str, not_queried: &[String]) -> Error {
    let providers = not_queried.join(", ");
    let message = format!("secret {key:?} is not cached, and a cached-only call does not query {providers}");
    Error::new(Status::Unavailable, message)
}

fn not_found(key: &str, providers: &[Arc<dyn SecretProvider>]) -> Error {
    let serving = providers.iter().filter(|provider| provider.serves(key));
    let tried: Vec<String> = serving.map(|provider| format!("{} ({})", provider.name(), provider.place(key))).collect();
    let tried = if tried.is_empty() { "no providers".to_owned() } else { tried.join(", ") };
    Error::new(Status::NotFound, format!("secret {key:?} was not found; tried: {tried}"))
}
