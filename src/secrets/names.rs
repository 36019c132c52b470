//! The names of the secrets of providers.

use std::sync::Arc;
use std::time::Duration;

use super::manager::Manager;
use super::provider::{Names, SecretProvider};
use crate::error::Error;
use crate::fork;

/// The names of the secrets of one provider, without their values.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProviderNames {
    /// The name of the provider.
    pub provider: String,
    /// In alphabetical order; `None` if the provider cannot list them, like `env` and custom providers.
    pub names: Option<Vec<String>>,
    /// Why names may be missing.
    pub error: Option<Error>,
}

impl Manager {
    /// Returns the names of the secrets of each provider, in the order of the providers. Cached documents of AWS and
    /// Vault are used as by [`Manager::get`]. `timeout` is that of the whole call.
    pub fn names(&self, timeout: Option<Duration>) -> Vec<ProviderNames> {
        let _guard = fork::protect();
        let request = self.request(timeout, false);
        let providers = self.providers();
        let names_of = |(at, provider): (usize, &Arc<dyn SecretProvider>)| {
            let others_behind = providers[at + 1..].iter().any(|other| other.is_remote());
            let listed = match provider.is_remote() {
                true => provider.names(&request.share(others_behind)),
                false => provider.names(&request),
            };
            let (names, error) = match listed {
                None => (None, None),
                Some(Names { mut names, error }) => {
                    names.sort_unstable();
                    (Some(names), error.map(|error| error.with_source(provider.source())))
                }
            };
            ProviderNames { provider: provider.name().to_owned(), names, error }
        };
        providers.iter().enumerate().map(names_of).collect()
    }
}
