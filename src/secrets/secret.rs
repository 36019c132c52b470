//! A secret that was found, with its origin.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::provider::{Held, Origin, Provider};
use crate::error::Source;
use crate::secret_memory::SecretBytes;

/// A secret with its origin.
#[derive(Clone)]
pub struct Secret {
    pub(super) held: Held,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) degraded: bool,
}

impl Secret {
    /// The bytes of the secret.
    pub fn value(&self) -> &SecretBytes {
        &self.held.value
    }

    /// The same bytes, taken out.
    pub fn into_value(self) -> SecretBytes {
        self.held.value
    }

    /// The name of the provider that had it.
    pub fn provider(&self) -> &str {
        self.provider.name()
    }

    /// The kind of the provider that had it.
    pub fn source(&self) -> Source {
        self.provider.source()
    }

    /// The provider's own name of this version of the secret, where it has one.
    pub fn version(&self) -> Option<&str> {
        self.held.origin.as_ref().and_then(|origin| origin.version.as_deref())
    }

    /// Whether the value comes from memory.
    pub fn is_cached(&self) -> bool {
        self.held.cached
    }

    /// Whether the value is older than `cache_ttl`, or could not be refreshed as was asked for: the provider does not answer
    /// now, or another call is asking it.
    pub fn is_stale(&self) -> bool {
        self.held.stale
    }

    /// The time since the provider was asked; zero for providers that are asked on every get.
    pub fn age(&self) -> Duration {
        self.held.origin.as_ref().map_or(Duration::ZERO, |origin| origin.asked.elapsed())
    }

    /// The time until the provider is asked again; zero for providers that are asked on every get, and for stale values.
    pub fn expires_in(&self) -> Duration {
        let left = |origin: &Arc<Origin>| origin.ttl.saturating_sub(origin.asked.elapsed());
        self.held.origin.as_ref().filter(|_| !self.held.stale).map_or(Duration::ZERO, left)
    }

    /// Whether a provider that goes before this one failed, so that the value may not be the one that counts.
    pub fn is_degraded(&self) -> bool {
        self.degraded
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("provider", &self.provider()).field("value", self.value()).finish()
    }
}
