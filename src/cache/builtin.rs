//! The process-wide caches, and caches for the results of functions.

use std::sync::OnceLock;
use std::time::Duration;

use super::{TtlCache, Value};
use crate::error::Result;
use crate::fork;

const CLEANUP: Duration = Duration::from_secs(60);

static PROVIDER_CONFIG: OnceLock<TtlCache<Value>> = OnceLock::new();
static USER_PERMISSION: OnceLock<TtlCache<Value>> = OnceLock::new();

/// Returns the cache for provider configuration, with keys such as `provider:replicate:config`: 100 entries, 5 minutes.
pub fn provider_config() -> Result<&'static TtlCache<Value>> {
    get(&PROVIDER_CONFIG, Duration::from_secs(300), 100)
}

/// Returns the cache for user permissions, with keys such as `user:123:permissions`: 500 entries, 1 minute.
pub fn user_permission() -> Result<&'static TtlCache<Value>> {
    get(&USER_PERMISSION, Duration::from_secs(60), 500)
}

/// Removes everything that is cached about a provider, and returns the number of entries.
pub fn invalidate_provider(name: &str) -> Result<usize> {
    Ok(provider_config()?.invalidate_prefix(format!("provider:{name}:").as_bytes()))
}

/// Removes everything that is cached about a user, and returns the number of entries.
pub fn invalidate_user(id: i64) -> Result<usize> {
    Ok(user_permission()?.invalidate_prefix(format!("user:{id}:").as_bytes()))
}

/// Creates a cache for the results of a function: 1000 entries, 1 minute. Make its keys with
/// [`function_key()`](super::function_key()).
pub fn for_functions<V: Clone + Send + Sync + 'static>() -> Result<TtlCache<V>> {
    TtlCache::new(Duration::from_secs(60), 1000, CLEANUP)
}

/// Whether this is one of the process-wide caches. The address is only compared.
pub(crate) fn is_built_in(cache: *const TtlCache<Value>) -> bool {
    [&PROVIDER_CONFIG, &USER_PERMISSION].iter().any(|own| own.get().is_some_and(|own| std::ptr::eq(own, cache)))
}

fn get(cache: &'static OnceLock<TtlCache<Value>>, ttl: Duration, max_size: usize) -> Result<&'static TtlCache<Value>> {
    if let Some(cache) = cache.get() {
        return Ok(cache);
    }
    // Protected, so that no child is forked during the initialization.
    let _guard = fork::protect();
    let new = TtlCache::new(ttl, max_size, CLEANUP)?;
    Ok(cache.get_or_init(|| new))
}
