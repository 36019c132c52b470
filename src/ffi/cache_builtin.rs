//! Caches: those that every process has.

use std::ffi::c_char;
use std::ptr;

use super::{guard_optional_out, guard_quietly, st_cache, st_error, st_status, text};
use crate::cache::{self, TtlCache, Value};
use crate::error::Result;

/// Returns the process-wide cache for provider configuration, with keys such as `provider:replicate:config`: 100
/// entries, 300 seconds. The result must not be freed. NULL if it cannot be allocated.
#[unsafe(no_mangle)]
pub extern "C" fn st_cache_provider_config() -> *const st_cache {
    built_in(cache::provider_config)
}

/// Returns the process-wide cache for user permissions, with keys such as `user:123:permissions`: 500 entries, 60
/// seconds. The result must not be freed. NULL if it cannot be allocated.
#[unsafe(no_mangle)]
pub extern "C" fn st_cache_user_permission() -> *const st_cache {
    built_in(cache::user_permission)
}

/// In a guard, so that a failed allocation is an answer.
fn built_in(get: fn() -> Result<&'static TtlCache<Value>>) -> *const st_cache {
    let mut built_in = ptr::null();
    guard_quietly(|| built_in = get().map_or(ptr::null(), ptr::from_ref));
    built_in.cast()
}

/// Removes everything that the built-in cache holds about a provider: the keys that begin with
/// `provider:{provider}:`. `count` is as for `st_cache_clear`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_invalidate_provider(
    provider: *const c_char,
    len: usize,
    count: *mut usize,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number, and readable text of this length.
    unsafe { guard_optional_out(count, error, || cache::invalidate_provider(text("provider", provider, len)?)) }
}

/// Removes everything that the built-in cache holds about a user: the keys that begin with `user:{user_id}:`. `count`
/// is as for `st_cache_clear`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_invalidate_user(user_id: i64, count: *mut usize, error: *mut st_error) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number.
    unsafe { guard_optional_out(count, error, || cache::invalidate_user(user_id)) }
}
