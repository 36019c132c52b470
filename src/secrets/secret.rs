//! A secret and where it came from.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::clock::{CoarseInstant, Instant};
use crate::error::Source;
use crate::secret_memory::SecretBytes;
use crate::share::Stamp;

/// A secret, with the provider it came from and its age.
///
/// [`Manager::get`](crate::Manager::get) returns one. A [custom provider](crate::Manager::add_provider) makes one with
/// [`Secret::new`].
#[derive(Clone)]
pub struct Secret {
    pub(super) value: SecretBytes,
    /// `None` for providers that are read on every get.
    pub(super) info: Option<Arc<SecretInfo>>,
    /// The provider that returned it. The lookup sets it.
    pub(super) provider: Option<ProviderId>,
    pub(super) cached: bool,
    pub(super) stale: bool,
    pub(super) degraded: bool,
    /// Whether another process loaded it.
    pub(super) shared: bool,
}

/// The name and the kind of a provider.
#[derive(Clone, Debug)]
pub(crate) struct ProviderId {
    name: ProviderName,
    source: Source,
}

#[derive(Clone, Debug)]
enum ProviderName {
    Builtin(&'static str),
    Configured(Arc<str>),
}

impl ProviderId {
    pub(crate) const fn builtin(name: &'static str, source: Source) -> ProviderId {
        ProviderId { name: ProviderName::Builtin(name), source }
    }

    /// That of a provider whose name the program chooses.
    pub(crate) fn named(name: &str, source: Source) -> ProviderId {
        ProviderId { name: ProviderName::Configured(name.into()), source }
    }

    pub(crate) fn name(&self) -> &str {
        match &self.name {
            ProviderName::Builtin(name) => name,
            ProviderName::Configured(name) => name,
        }
    }

    pub(crate) fn source(&self) -> Source {
        self.source
    }
}

/// The version of a value, and how long it is valid.
#[derive(Clone, Debug)]
pub(super) struct SecretInfo {
    /// The provider's own name of this version of the value.
    pub(super) version: Option<Arc<str>>,
    /// When the request for it began.
    pub(super) requested_at: Instant,
    /// How long it is valid, counted from the request. `None`: for `cache_ttl`.
    pub(super) ttl: Option<Duration>,
    /// The age from which one caller refreshes it while the others still get it.
    pub(super) refresh_after: Option<Duration>,
    /// Whether a newer answer of the provider has replaced it.
    pub(super) superseded: Option<Arc<Superseded>>,
    /// Whether it has a lease, which ends with `ttl`.
    pub(super) is_leased: bool,
}

/// Whether a newer answer has replaced one.
#[derive(Debug, Default)]
pub(super) struct Superseded {
    is_set: AtomicBool,
    /// If it is shared with other processes, which may have a newer one.
    stamp: Option<Arc<Stamp>>,
}

impl Superseded {
    pub(super) fn new(stamp: Option<Arc<Stamp>>) -> Superseded {
        Superseded { is_set: AtomicBool::new(false), stamp }
    }

    pub(super) fn set(&self) {
        self.is_set.store(true, Relaxed);
    }

    fn get(&self) -> bool {
        let is_outdated = |stamp: &Arc<Stamp>| !stamp.is_current(CoarseInstant::now());
        self.is_set.load(Relaxed) || self.stamp.as_ref().is_some_and(is_outdated)
    }
}

impl SecretInfo {
    /// That of a value without a version.
    pub(super) fn new(requested_at: Instant, ttl: Option<Duration>) -> SecretInfo {
        SecretInfo { version: None, requested_at, ttl, refresh_after: None, superseded: None, is_leased: false }
    }

    pub(super) fn age(&self) -> Duration {
        self.requested_at.elapsed()
    }

    pub(super) fn ttl(&self) -> Duration {
        self.ttl.unwrap_or_default()
    }

    pub(super) fn is_expired(&self) -> bool {
        self.age() >= self.ttl()
    }

    pub(super) fn is_superseded(&self) -> bool {
        self.superseded.as_ref().is_some_and(|superseded| superseded.get())
    }

    /// Keeps later calls from using the value from a cache.
    pub(super) fn supersede(&self) {
        if let Some(superseded) = &self.superseded {
            superseded.set();
        }
    }
}

impl Secret {
    /// A value without version or TTL.
    pub fn new(value: SecretBytes) -> Secret {
        Secret { value, info: None, provider: None, cached: false, stale: false, degraded: false, shared: false }
    }

    /// The same secret with the provider's own name of its version.
    pub fn with_version(mut self, version: &str) -> Secret {
        self.info_mut().version = Some(version.into());
        self
    }

    /// The same secret with a time to live; `cache_ttl` of the configuration applies without one.
    pub fn with_ttl(mut self, ttl: Duration) -> Secret {
        self.info_mut().ttl = Some(ttl);
        self
    }

    fn info_mut(&mut self) -> &mut SecretInfo {
        Arc::make_mut(self.info.get_or_insert_with(|| Arc::new(SecretInfo::new(Instant::now(), None))))
    }

    /// The same secret, returned by this provider.
    pub(super) fn with_provider(mut self, provider: &ProviderId) -> Secret {
        self.provider = Some(provider.clone());
        self
    }

    /// The bytes of the secret.
    pub fn value(&self) -> &SecretBytes {
        &self.value
    }

    /// Consumes the secret and returns its bytes.
    pub fn into_value(self) -> SecretBytes {
        self.value
    }

    /// The name of the provider that returned it; empty if it did not come from a lookup.
    pub fn provider(&self) -> &str {
        self.provider.as_ref().map_or("", ProviderId::name)
    }

    /// The kind of the provider that returned it.
    pub fn source(&self) -> Source {
        self.provider.as_ref().map_or(Source::None, ProviderId::source)
    }

    /// The provider's own name of this version of the secret, if it has one.
    pub fn version(&self) -> Option<&str> {
        self.info.as_ref().and_then(|info| info.version.as_deref())
    }

    /// Whether the value was cached by an earlier call.
    pub fn is_cached(&self) -> bool {
        self.cached
    }

    /// Whether the value is older than `cache_ttl`, or the refresh that was requested failed: the provider is
    /// unavailable, or another call is loading from it.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// The time since the request to the provider; zero for providers that are read on every get.
    pub fn age(&self) -> Duration {
        self.info.as_ref().map_or(Duration::ZERO, |info| info.age())
    }

    /// The time until the value expires; zero for stale values and for providers that are read on every get.
    pub fn expires_in(&self) -> Duration {
        let remaining = |info: &Arc<SecretInfo>| info.ttl().saturating_sub(info.age());
        self.info.as_ref().filter(|_| !self.stale).map_or(Duration::ZERO, remaining)
    }

    /// Whether another process of this host loaded the value; see the setting `share`.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether the value has a lease: the server revokes it at the end of [`Secret::expires_in`], and every call gets
    /// another value then.
    pub fn is_leased(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.is_leased)
    }

    /// Whether a provider of higher precedence failed, so that it may have another value.
    pub fn is_degraded(&self) -> bool {
        self.degraded
    }
}

/// Omits the value.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("provider", &self.provider()).field("value", &self.value).finish()
    }
}
