//! Keeps credentials from load to load, and refreshes them before they expire.

use std::sync::Arc;
use std::time::Duration;

use super::context::{FetchContext, FetchedCredentials};
use super::provider::CredentialProvider;
use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::fork_safe::Mutex;
use crate::log::{self, Level};
use crate::secrets::aws::keys::AwsCredentials;
use crate::secrets::shared_login::{LoginRequest, SharedLogin, SharedLogins};

/// Credentials, and where they are from.
pub(in crate::secrets::aws) struct CachedCredentials {
    provider: CredentialProvider,
    fetched: FetchedCredentials,
}

impl CachedCredentials {
    pub(in crate::secrets::aws) fn credentials(&self) -> &AwsCredentials {
        &self.fetched.credentials
    }

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
    fn of(fetched: &FetchedCredentials) -> Refresh {
        Refresh::state(fetched.lifetime, fetched.age())
    }

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

/// The current credentials of a source. Those that are fetched are shared with other processes of this host.
pub(in crate::secrets::aws) struct CredentialCache {
    current: Mutex<Option<Arc<CachedCredentials>>>,
    logins: SharedLogins,
}

impl CredentialCache {
    pub(in crate::secrets::aws) fn new(logins: SharedLogins) -> CredentialCache {
        CredentialCache { current: Mutex::new(None), logins }
    }

    /// Returns the cached credentials of this provider while they are valid, else those of another process, else
    /// fetches new ones.
    pub(in crate::secrets::aws) fn get(
        &self,
        provider: CredentialProvider,
        context: &FetchContext<'_>,
    ) -> Result<Arc<CachedCredentials>> {
        let own = self.current.lock().clone().filter(|cached| cached.provider == provider);
        if let Some(own) = own.as_ref().filter(|own| is_fresh(&own.fetched)) {
            return Ok(own.clone());
        }
        let shared = self.logins.open(|| provider.identity(context));
        let is_newer = |other: &FetchedCredentials| own.as_ref().is_none_or(|own| other.age() < own.fetched.age());
        let cached = match shared.read().filter(is_newer) {
            Some(other) => Some(self.store(provider.clone(), other)),
            None => own,
        };
        let state = cached.as_ref().map_or(Refresh::Mandatory, |cached| Refresh::of(&cached.fetched));
        match (state, cached) {
            (Refresh::NotNeeded, Some(cached)) => Ok(cached),
            (Refresh::Advisory, Some(cached)) => {
                let context = FetchContext { deadline: Deadline::after(context.deadline.remaining() / 2), ..*context };
                let request = request(&context, None, &is_fresh);
                let fetched = shared.try_obtain(&request, || provider.fetch(&context).map(Some));
                Ok(match fetched {
                    Ok(fetched) => fetched.map_or(cached, |fetched| self.store(provider, fetched)),
                    Err(error) => keep(cached, &error),
                })
            }
            (_, cached) => match (self.fetch(&shared, provider, context, None), cached) {
                // If the metadata service of an instance fails, AWS extends the validity of its credentials.
                (Err(error), Some(cached)) if cached.provider.is_instance() => Ok(keep(cached, &error)),
                (fetched, _) => fetched,
            },
        }
    }

    /// Fetches credentials to replace those that AWS rejected; `None` if they are the same.
    pub(in crate::secrets::aws) fn replace(
        &self,
        rejected: &CachedCredentials,
        provider: CredentialProvider,
        context: &FetchContext<'_>,
    ) -> Result<Option<Arc<CachedCredentials>>> {
        let shared = self.logins.open(|| provider.identity(context));
        let fetched = self.fetch(&shared, provider, context, Some(rejected))?;
        Ok((fetched.credentials() != rejected.credentials()).then_some(fetched))
    }

    fn fetch(
        &self,
        shared: &SharedLogin,
        provider: CredentialProvider,
        context: &FetchContext<'_>,
        rejected: Option<&CachedCredentials>,
    ) -> Result<Arc<CachedCredentials>> {
        let replaces = |old: &CachedCredentials, fetched: &FetchedCredentials| {
            fetched.credentials != *old.credentials() && fetched.age() <= old.fetched.age()
        };
        let accepts = |fetched: &FetchedCredentials| {
            is_fresh(fetched) && rejected.is_none_or(|rejected| replaces(rejected, fetched))
        };
        let fetched = shared.obtain(&request(context, rejected, &accepts), || provider.fetch(context))?;
        Ok(self.store(provider, fetched))
    }

    fn store(&self, provider: CredentialProvider, fetched: FetchedCredentials) -> Arc<CachedCredentials> {
        log::emit(Level::Debug, "aws", || format!("credentials come from {}", provider.origin()));
        let cached = Arc::new(CachedCredentials { provider, fetched });
        *self.current.lock() = Some(cached.clone());
        cached
    }
}

fn is_fresh(fetched: &FetchedCredentials) -> bool {
    Refresh::of(fetched) == Refresh::NotNeeded
}

fn request<'a>(
    context: &FetchContext<'_>,
    rejected: Option<&CachedCredentials>,
    accepts: &'a dyn Fn(&FetchedCredentials) -> bool,
) -> LoginRequest<'a, FetchedCredentials> {
    LoginRequest { deadline: context.deadline, forced: context.forced, replaces: rejected.is_some(), accepts }
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
