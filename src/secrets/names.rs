//! The names of the secrets that providers hold.

use std::sync::Arc;
use std::time::Duration;

use super::manager::Manager;
use super::provider::Provider;
use crate::error::Error;
use crate::fork;

/// The names of the secrets that one provider holds; never a value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProviderNames {
    /// The name of the provider.
    pub provider: String,
    /// In alphabetical order; `None` if the provider cannot list them, as `env` and providers of the program.
    pub names: Option<Vec<String>>,
    /// Why names may be missing.
    pub error: Option<Error>,
}

/// What a provider answers. With an error there may be more names than these.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) names: Vec<String>,
    pub(crate) error: Option<Error>,
}

impl Manager {
    /// The names of the secrets that each provider holds, in the order of the providers. What is remembered of AWS and
    /// Vault serves as for [`Manager::get`]; `timeout` is over everything.
    pub fn names(&self, timeout: Option<Duration>) -> Vec<ProviderNames> {
        let _inside = fork::enter();
        let request = self.request(timeout, false);
        let providers = self.providers();
        let names_of = |(at, provider): (usize, &Arc<dyn Provider>)| {
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
