//! Keeps credentials from load to load, and refreshes them before they expire.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::context::{Context, Fetched};
use super::provider::CredentialProvider;
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result};
use crate::log::{self, Level};
use crate::secrets::aws::keys::AwsCredentials;

/// Credentials with their lifetime.
pub(in crate::secrets::aws) struct CachedCredentials {
    provider: CredentialProvider,
    pub(in crate::secrets::aws) credentials: AwsCredentials,
    fetched_at: Instant,
    lifetime: Option<Duration>,
}

impl CachedCredentials {
    /// Returns where the credentials are from, for messages.
    pub(in crate::secrets::aws) fn origin(&self) -> &str {
        self.provider.origin()
    }
}

/// Whether credentials need a refresh, in the terms of botocore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresh {
    NotNeeded,
    /// A refresh is attempted; if it fails, the credentials are still used.
    Advisory,
    /// The credentials are about to expire.
    Mandatory,
}

impl Refresh {
    /// Returns the state of credentials with this lifetime at this age.
    fn state(lifetime: Option<Duration>, age: Duration) -> Refresh {
        let Some(lifetime) = lifetime else { return Refresh::NotNeeded };
        let left = lifetime.saturating_sub(age);
        if left <= (lifetime / 10).min(Duration::from_secs(5 * 60)) {
            Refresh::Mandatory
        } else if left <= (lifetime / 3).min(Duration::from_secs(15 * 60)) {
            Refresh::Advisory
        } else {
            Refresh::NotNeeded
        }
    }
}

/// The current credentials of a source.
#[derive(Default)]
pub(in crate::secrets::aws) struct CredentialCache(Mutex<Option<Arc<CachedCredentials>>>);

impl CredentialCache {
    /// Returns the cached credentials of this provider while they are valid, else fetches new ones.
    pub(in crate::secrets::aws) fn get(
        &self,
        provider: CredentialProvider,
        context: &Context<'_>,
    ) -> Result<Arc<CachedCredentials>> {
        let cached = self.0.lock().clone().filter(|cached| cached.provider == provider);
        let Some(cached) = cached else { return self.fetch(provider, context) };
        match Refresh::state(cached.lifetime, cached.fetched_at.elapsed()) {
            Refresh::NotNeeded => Ok(cached),
            Refresh::Advisory => {
                let half = Deadline::after(context.deadline.remaining() / 2);
                let fetched = self.fetch(provider, &Context { deadline: half, ..*context });
                Ok(fetched.unwrap_or_else(|error| keep(cached, &error)))
            }
            Refresh::Mandatory => match self.fetch(provider, context) {
                // If the metadata service of an instance fails, AWS extends the validity of its credentials.
                Err(error) if cached.provider.is_instance() => Ok(keep(cached, &error)),
                fetched => fetched,
            },
        }
    }

    /// Fetches credentials to replace those that AWS rejected; `None` if they are the same.
    pub(in crate::secrets::aws) fn replace(
        &self,
        rejected: &CachedCredentials,
        provider: CredentialProvider,
        context: &Context<'_>,
    ) -> Result<Option<Arc<CachedCredentials>>> {
        let fetched = self.fetch(provider, context)?;
        Ok((fetched.credentials != rejected.credentials).then_some(fetched))
    }

    fn fetch(&self, provider: CredentialProvider, context: &Context<'_>) -> Result<Arc<CachedCredentials>> {
        let Fetched { credentials, lifetime } = provider.fetch(context)?;
        log::emit(Level::Debug, "aws", || format!("credentials come from {}", provider.origin()));
        let cached = Arc::new(CachedCredentials { provider, credentials, fetched_at: Instant::now(), lifetime });
        *self.0.lock() = Some(cached.clone());
        Ok(cached)
    }
}

fn keep(cached: Arc<CachedCredentials>, error: &Error) -> Arc<CachedCredentials> {
    log::emit(Level::Warn, "aws", || format!("cannot refresh credentials, so the old ones are still used: {error}"));
    cached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refresh_is_due_in_time_however_short_the_lifetime() {
        let seconds = Duration::from_secs;
        for (lifetime, age, expected) in [
            (None, seconds(1_000_000), Refresh::NotNeeded),
            (Some(seconds(60)), seconds(39), Refresh::NotNeeded),
            (Some(seconds(60)), seconds(41), Refresh::Advisory),
            (Some(seconds(60)), seconds(54), Refresh::Mandatory),
            (Some(seconds(3600)), seconds(2699), Refresh::NotNeeded),
            (Some(seconds(3600)), seconds(2700), Refresh::Advisory),
            (Some(seconds(3600)), seconds(3299), Refresh::Advisory),
            (Some(seconds(3600)), seconds(3300), Refresh::Mandatory),
            (Some(seconds(43_200)), seconds(42_000), Refresh::NotNeeded),
            (Some(seconds(43_200)), seconds(42_300), Refresh::Advisory),
            (Some(seconds(0)), seconds(0), Refresh::Mandatory),
        ] {
            assert_eq!(Refresh::state(lifetime, age), expected, "{lifetime:?} after {age:?}");
        }
    }
}
