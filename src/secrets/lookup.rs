//! The lookup of a key over all providers.
//!
//! Providers are queried in order, and the first value is the result. A provider that fails is skipped: a value of a
//! later provider is then marked as degraded, and if no provider has a value, the failure is the result, never
//! [`Status::NotFound`].
//!
//! Remote providers that follow each other form one [`RemoteGroup`], whose result is cached as a whole.

use std::sync::Arc;

use super::lookup_cache::CachedLookup;
use super::manager::{Manager, Options};
use super::provider::{Request, SecretProvider};
use super::secret::Secret;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::log::{self, Level};
use crate::redact;

/// Remote providers that follow each other.
pub(super) struct RemoteGroup<'a> {
    pub(super) providers: &'a [Arc<dyn SecretProvider>],
    /// How many groups precede it.
    pub(super) number: usize,
    /// Whether more remote providers follow.
    pub(super) others_behind: bool,
}

impl Manager {
    /// Looks `key` up in each provider in turn.
    pub(super) fn look_up(&self, key: &str, options: &Options) -> Result<Secret> {
        self.look_up_any(&[key], options)
    }

    /// Looks all keys up in each provider in turn. Messages name the first key.
    pub(super) fn look_up_any(&self, keys: &[&str], options: &Options) -> Result<Secret> {
        let _guard = fork::protect();
        let key = keys[0];
        let request = self.request(options.timeout, options.refresh);
        let providers = self.providers();
        let (mut failure, mut not_queried): (Option<Error>, Vec<String>) = (None, Vec::new());
        let (mut rest, mut groups) = (&providers[..], 0);
        while let Some(first) = rest.first() {
            let remote = rest.iter().take_while(|provider| provider.is_remote()).count();
            let (part, behind) = rest.split_at(remote.max(1));
            rest = behind;
            let found = if remote == 0 {
                first_value(keys, |key| find(first, key, &request))
            } else {
                let others_behind = behind.iter().any(|provider| provider.is_remote());
                let group = RemoteGroup { providers: part, number: groups, others_behind };
                groups += 1;
                match options.cached_only {
                    true => first_value(keys, |key| Ok(self.find_cached(&group, key, &mut not_queried))),
                    false => first_value(keys, |key| self.lookup_cache().find(&group, key, &request)),
                }
            };
            match found {
                Ok(Some(mut secret)) => {
                    log::emit(Level::Debug, "secrets", || format!("{key:?} comes from provider {}", secret.provider()));
                    secret.degraded |= failure.is_some() || !not_queried.is_empty();
                    redact::record(Some(key), &secret.value);
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

/// Looks `key` up in the providers of a group, without the cache.
pub(super) fn lookup(group: &RemoteGroup<'_>, key: &str, request: &Request) -> Result<Option<Secret>> {
    let mut failure: Option<Error> = None;
    for (at, provider) in group.providers.iter().enumerate() {
        let share = request.share(group.others_behind || at + 1 < group.providers.len());
        match find(provider, key, &share) {
            Ok(Some(secret)) => return Ok(Some(Secret { degraded: failure.is_some(), ..secret })),
            Ok(None) => {}
            Err(error) => failure = Some(joined(failure, error)),
        }
    }
    failure.map_or(Ok(None), Err)
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

/// The provider's answer. A failure names the provider and is logged.
fn find(provider: &Arc<dyn SecretProvider>, key: &str, request: &Request) -> Result<Option<Secret>> {
    match provider.find(key, request) {
        Ok(secret) => Ok(secret.map(|secret| secret.with_provider(provider))),
        Err(error) => {
            log::emit(Level::Warn, "secrets", || format!("{key:?}: the provider {} failed: {error}", provider.name()));
            Err(at_provider(&**provider, error))
        }
    }
}

/// The same error with the provider's name in its message.
pub(super) fn at_provider(provider: &dyn SecretProvider, error: Error) -> Error {
    error
        .with_source(provider.source())
        .map_message(|message| format!("the provider {} failed: {message}", provider.name()))
}

/// The failure of several providers: the first one, with the messages of the others.
fn joined(first: Option<Error>, next: Error) -> Error {
    match first {
        Some(first) => first.map_message(|message| format!("{message}; and {}", next.message())),
        None => next,
    }
}

fn not_cached(key: &str, not_queried: &[String]) -> Error {
    let providers = not_queried.join(", ");
    let message = format!("secret {key:?} is not cached, and a cached-only call does not query {providers}");
    Error::new(Status::Unavailable, message)
}

fn not_found(key: &str, providers: &[Arc<dyn SecretProvider>]) -> Error {
    let tried: Vec<String> =
        providers.iter().map(|provider| format!("{} ({})", provider.name(), provider.place(key))).collect();
    let tried = if tried.is_empty() { "no providers".to_owned() } else { tried.join(", ") };
    Error::new(Status::NotFound, format!("secret {key:?} was not found; tried: {tried}"))
}
