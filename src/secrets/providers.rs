//! The providers of a manager, in their order.

use std::ops::Deref;
use std::sync::Arc;

use super::provider::SecretProvider;
use super::secret::Secret;
use super::stats::AnswerCounts;

/// The providers, each with its counters.
#[derive(Clone, Default)]
pub(super) struct Providers {
    list: Vec<Arc<dyn SecretProvider>>,
    counts: Vec<Arc<AnswerCounts>>,
}

impl Providers {
    pub(super) fn push(&mut self, provider: Arc<dyn SecretProvider>) {
        self.insert(self.list.len(), provider);
    }

    pub(super) fn insert(&mut self, position: usize, provider: Arc<dyn SecretProvider>) {
        self.counts.insert(position, Arc::new(AnswerCounts::new(self.list.len())));
        self.list.insert(position, provider);
    }

    /// Each provider with its counters.
    pub(super) fn counted(&self) -> impl Iterator<Item = (&Arc<dyn SecretProvider>, &AnswerCounts)> {
        self.list.iter().zip(self.counts.iter().map(|counts| &**counts))
    }

    /// Counts a get that the provider of the secret answered.
    pub(super) fn count(&self, secret: &Secret) {
        let name = secret.provider();
        if let Some((provider, counts)) = self.counted().find(|(provider, _)| provider.name() == name) {
            counts.add(secret, provider.is_remote());
        }
    }
}

impl Deref for Providers {
    type Target = [Arc<dyn SecretProvider>];

    fn deref(&self) -> &[Arc<dyn SecretProvider>] {
        &self.list
    }
}
