//! Queries of providers: one, or a group of remote providers that follow each other.

use std::sync::Arc;
use std::time::Duration;

use super::provider::{LookupLimits, SecretProvider};
use super::secret::Secret;
use crate::error::{Error, Result};
use crate::log::{self, Level};

/// Remote providers that follow each other.
pub(super) struct RemoteGroup<'a> {
    pub(super) providers: &'a [Arc<dyn SecretProvider>],
    /// How many groups precede it.
    pub(super) number: usize,
    /// Whether more remote providers follow.
    pub(super) others_behind: bool,
}

impl RemoteGroup<'_> {
    /// Looks `key` up in the providers, without the cache. Returns the value, and how long it remains cached that the
    /// providers before have none.
    pub(super) fn find(&self, key: &str, request: &LookupLimits) -> Result<Option<(Secret, Duration)>> {
        let (mut failure, mut absence): (Option<Error>, _) = (None, Duration::MAX);
        for (at, provider) in self.providers.iter().enumerate() {
            if !provider.serves(key) {
                continue;
            }
            let others_behind = self.providers[at + 1..].iter().any(|other| other.serves(key));
            let share = request.share(self.others_behind || others_behind);
            match find(provider, key, &share) {
                Ok(Some(secret)) => {
                    return Ok(Some((Secret { degraded: failure.is_some(), ..secret }, absence)));
                }
                Ok(None) => absence = absence.min(provider.absence(key)),
                Err(error) => failure = Some(joined(failure, error)),
            }
        }
        failure.map_or(Ok(None), Err)
    }
}

/// The provider's answer. A failure names the provider and is logged.
pub(super) fn find(provider: &Arc<dyn SecretProvider>, key: &str, request: &LookupLimits) -> Result<Option<Secret>> {
    match provider.find(key, request) {
        Ok(secret) => Ok(secret.map(|secret| secret.with_provider(provider.id()))),
        Err(error) => {
            log::emit_with(Level::Warn, "secrets", |fields| {
                fields.text("key", key);
                fields.text("provider", provider.name());
                fields.error(&error);
                format!("{key:?}: the provider {} failed: {error}", provider.name())
            });
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
pub(super) fn joined(first: Option<Error>, next: Error) -> Error {
    match first {
        Some(first) => first.map_message(|message| format!("{message}; and {}", next.message())),
        None => next,
    }
}
