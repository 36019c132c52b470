//! Caches: storing, finding, forgetting.

use std::ffi::{c_char, c_void};

use super::bytes::copy_into;
use super::callback::Context;
use super::{Out, guard, guard_look_up, guard_quietly, input, null, st_bytes, st_drop_fn, st_error, st_status, text};
use crate::cache::{self, Object, TtlCache, Value, ttl_from_seconds};
use crate::clock;
use crate::error::{Error, Result, Status};

/// A cache from keys to values, both any bytes; a value can also be an object of the program. It never holds more than
/// its size, evicts exactly the least recently used entry (reading counts as use), and never shows an entry past its
/// time. It may be used from any number of threads at once, and in the child of a `fork()`, which has what was cached.
///
/// Values stay valid after their entry was evicted or replaced and after the cache was freed.
#[allow(dead_code)]
pub struct st_cache(TtlCache<Value>);

/// An object that came out of a cache. The struct itself belongs to the caller and is not to be copied; free it with
/// `st_object_free`.
#[repr(C)]
pub struct st_object {
    /// What was stored; NULL if this holds nothing.
    pub object: *mut c_void,
    /// For the library.
    pub owner: *mut c_void,
}

/// The state of a cache, and what happened to it since it was made. The caller allocates it and sets it up with
/// `ST_CACHE_COUNTS_INIT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct st_cache_counts {
    /// The size of this struct in the caller's version of the header: `sizeof(st_cache_counts)`.
    pub size: u32,
    /// Zero.
    pub reserved: u32,
    /// Entries that are held, with those that have expired and were not cleared away yet.
    pub entries: u64,
    /// Entries that are held at most.
    pub max_size: u64,
    /// Entries that are held but have expired.
    pub expired_count: u64,
    /// Seconds that an entry lives unless it is stored with another time; `INFINITY` is for ever.
    pub default_ttl: f64,
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Entries that had to make room before their time was over.
    pub evictions: u64,
    /// Entries that went because their time was over.
    pub expirations: u64,
    /// Entries that were deleted before their time was over.
    pub invalidations: u64,
    /// Loads that were begun.
    pub loads: u64,
    /// Loads that ended without a value.
    pub load_failures: u64,
}

/// Makes a cache of at most `max_size` entries (0: it holds nothing). An entry lives for `default_ttl` seconds unless it
/// is stored with another time; `INFINITY` is for ever, 0 is expired at once. Every `cleanup_interval` seconds (`INFINITY`:
/// never) expired entries are cleared away, by callers, some at a time. Free it with `st_cache_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_new(
    default_ttl: f64,
    max_size: usize,
    cleanup_interval: f64,
    out: *mut *mut st_cache,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a pointer.
        let out = unsafe { Out::new(out, "out") }?;
        let default_ttl = clock::seconds("default_ttl", default_ttl)?;
        let cache =
            TtlCache::<Value>::new(default_ttl, max_size, clock::seconds("cleanup_interval", cleanup_interval)?)?;
        out.set(Box::into_raw(Box::new(cache)).cast());
        Ok(())
    })
}

/// Frees a cache. No other thread may be using it. NULL, and the caches that every process has, are fine and stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_free(cache: *mut st_cache) {
    guard_quietly(|| {
        let built_in = [cache::provider_config(), cache::user_permission()];
        if !cache.is_null() && !built_in.iter().any(|built_in| std::ptr::addr_eq(*built_in, cache)) {
            // SAFETY: the caller gives back what `st_cache_new` made, once.
            drop(unsafe { Box::from_raw(cache.cast::<TtlCache<Value>>()) });
        }
    });
}

/// The cache behind a handle.
///
/// # Safety
/// `cache` is NULL, or what `st_cache_new` or the functions for built-in caches gave, and is not freed during the call.
#[inline]
pub(super) unsafe fn cache<'a>(cache: *const st_cache) -> Result<&'a TtlCache<Value>> {
    // SAFETY: such a handle is a pointer to a `TtlCache<Value>`.
    unsafe { cache.cast::<TtlCache<Value>>().as_ref() }.ok_or_else(|| null("cache"))
}

/// Stores a copy of `value` for `ttl` seconds; `ST_TTL_DEFAULT` is the cache's default, `INFINITY` for ever. A load of
/// this key that is under way is not stored any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_set(
    cache: *const st_cache,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    ttl: f64,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives a live cache and readable bytes of these lengths.
        let (cache, key, value) =
            unsafe { (self::cache(cache)?, input("key", key, key_len)?, input("value", value, value_len)?) };
        cache.set(key, Value::copy_from(value)?, ttl_from_seconds(ttl)?)
    })
}

/// Stores an object, as `st_cache_set` does with bytes. `object` is taken over in any case: `drop` (may be NULL) is
/// called with it once, when the last holder lets go of it or when this call fails, on any thread, with no lock held.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_set_object(
    cache: *const st_cache,
    key: *const c_void,
    key_len: usize,
    object: *mut c_void,
    drop: st_drop_fn,
    ttl: f64,
    error: *mut st_error,
) -> st_status {
    let object = Context::new(object, drop);
    guard(error, || {
        // SAFETY: the caller gives a live cache and readable bytes of this length.
        let (cache, key) = unsafe { (self::cache(cache)?, input("key", key, key_len)?) };
        cache.set(key, Value::Object(Object::new(object)), ttl_from_seconds(ttl)?)
    })
}

/// Finds the value of `key`. On success `out` holds it until `st_bytes_free`.
///
/// `ST_NOT_FOUND`: there is none whose time is not over; no message is written. `ST_WRONG_TYPE`: it is an object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_get(
    cache: *const st_cache,
    key: *const c_void,
    key_len: usize,
    out: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard_look_up(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the caller gives a live cache and readable bytes of this length.
        let (cache, key) = unsafe { (self::cache(cache)?, input("key", key, key_len)?) };
        let Some(value) = cache.get(key) else { return Ok(false) };
        out.set(value.into_bytes()?.into());
        Ok(true)
    })
}

/// The same, copied to `buffer`, with its length in `len`; `(NULL, 0)` asks for the length alone. Up to about 1 KiB this
/// is cheaper than `st_cache_get`.
///
/// `ST_BUFFER_TOO_SMALL`: nothing was copied, and `len` says how long the value is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_get_into(
    cache: *const st_cache,
    key: *const c_void,
    key_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
    error: *mut st_error,
) -> st_status {
    guard_look_up(error, || {
        // SAFETY: the caller gives NULL or a place for a number.
        let len = unsafe { Out::new(len, "len") }?;
        // SAFETY: the caller gives a live cache and readable bytes of this length.
        let (cache, key) = unsafe { (self::cache(cache)?, input("key", key, key_len)?) };
        // SAFETY: the caller gives NULL or a buffer of this capacity.
        match cache.with_bytes(key, |bytes| unsafe { copy_into(bytes, buffer, capacity, &len) }) {
            Some(Some(copied)) => copied.map(|()| true),
            Some(None) => Err(Error::new(Status::WrongType, "the value under this key is an object")),
            None => Ok(false),
        }
    })
}

/// Finds the object stored under `key`. On success `out` holds it until `st_object_free`.
///
/// `ST_NOT_FOUND`: there is none whose time is not over; no message is written. `ST_WRONG_TYPE`: the value is bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_get_object(
    cache: *const st_cache,
    key: *const c_void,
    key_len: usize,
    out: *mut st_object,
    error: *mut st_error,
) -> st_status {
    guard_look_up(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_object`.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the caller gives a live cache and readable bytes of this length.
        let (cache, key) = unsafe { (self::cache(cache)?, input("key", key, key_len)?) };
        let Some(value) = cache.get(key) else { return Ok(false) };
        let held = value.into_object()?;
        let object = held
            .downcast_ref::<Context>()
            .ok_or_else(|| Error::new(Status::WrongType, "the object under this key was not stored from C"))?;
        out.set(st_object { object: object.pointer(), owner: Box::into_raw(Box::new(held.clone())).cast() });
        Ok(true)
    })
}

/// Lets go of an object and zeroes the struct. NULL, or one that holds nothing, is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_object_free(object: *mut st_object) {
    guard_quietly(|| {
        // SAFETY: the caller gives NULL or an `st_object` of its own.
        let Some(object) = (unsafe { object.as_mut() }) else { return };
        let owner = std::mem::replace(&mut object.owner, std::ptr::null_mut());
        object.object = std::ptr::null_mut();
        if !owner.is_null() {
            // SAFETY: `owner` came from `st_cache_get_object`, and the zeroes above make sure that it is taken once.
            drop(unsafe { Box::from_raw(owner.cast::<Object>()) });
        }
    });
}

/// Removes an entry. `existed` (may be NULL) tells whether there was one whose time was not over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_delete(
    cache: *const st_cache,
    key: *const c_void,
    key_len: usize,
    existed: *mut bool,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a bool.
        let existed = unsafe { Out::optional(existed) };
        // SAFETY: the caller gives a live cache and readable bytes of this length.
        let deleted = unsafe { self::cache(cache)?.delete(input("key", key, key_len)?) };
        if let Some(existed) = existed {
            existed.set(deleted);
        }
        Ok(())
    })
}

/// Removes all entries. `count` (may be NULL) tells how many there were whose time was not over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_clear(cache: *const st_cache, count: *mut usize, error: *mut st_error) -> st_status {
    // SAFETY: the arguments are this function's own, under the same conditions.
    unsafe { forget(count, error, || Ok(self::cache(cache)?.clear())) }
}

/// Removes the entries whose keys begin with `prefix`. `count` (may be NULL) tells how many there were whose time was
/// not over. Loads of such keys that are under way are not stored any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_invalidate_prefix(
    cache: *const st_cache,
    prefix: *const c_void,
    prefix_len: usize,
    count: *mut usize,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives a live cache and readable bytes of this length, and NULL or a place for a number.
    unsafe {
        let invalidate = || Ok(self::cache(cache)?.invalidate_prefix(input("prefix", prefix, prefix_len)?));
        forget(count, error, invalidate)
    }
}

/// Forgets what `st_cache_provider_config` holds about a provider: the keys that begin with `provider:NAME:`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_invalidate_provider(
    provider: *const c_char,
    len: usize,
    count: *mut usize,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives readable text of this length, and NULL or a place for a number.
    unsafe { forget(count, error, || Ok(cache::invalidate_provider(text("provider", provider, len)?))) }
}

/// Forgets what `st_cache_user_permission` holds about a user: the keys that begin with `user:ID:`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_invalidate_user(user_id: i64, count: *mut usize, error: *mut st_error) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number.
    unsafe { forget(count, error, || Ok(cache::invalidate_user(user_id))) }
}

/// # Safety
/// `count` is NULL or a place for a number.
unsafe fn forget(count: *mut usize, error: *mut st_error, body: impl FnOnce() -> Result<usize>) -> st_status {
    guard(error, || {
        // SAFETY: the caller's promise.
        let count = unsafe { Out::optional(count) };
        let removed = body()?;
        if let Some(count) = count {
            count.set(removed);
        }
        Ok(())
    })
}

/// Writes the state of the cache to `out`, as much of it as `out->size` says. It looks at every entry.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_stats(
    cache: *const st_cache,
    out: *mut st_cache_counts,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or counts of which at least `size` bytes are there, and a live cache.
        let size = unsafe { out.as_ref() }.ok_or_else(|| null("out"))?.size;
        // SAFETY: as above.
        let stats = unsafe { self::cache(cache) }?.stats();
        let counts = st_cache_counts {
            size,
            reserved: 0,
            entries: stats.size as u64,
            max_size: stats.max_size as u64,
            expired_count: stats.expired_count as u64,
            default_ttl: if stats.default_ttl == std::time::Duration::MAX {
                f64::INFINITY
            } else {
                stats.default_ttl.as_secs_f64()
            },
            hits: stats.hits,
            misses: stats.misses,
            evictions: stats.evictions,
            expirations: stats.expirations,
            invalidations: stats.invalidations,
            loads: stats.loads,
            load_failures: stats.load_failures,
        };
        let size = (size as usize).min(size_of::<st_cache_counts>());
        // SAFETY: `size` bytes are there by the caller's promise and are no more than the source has.
        unsafe { std::ptr::copy_nonoverlapping((&raw const counts).cast::<u8>(), out.cast::<u8>(), size) };
        Ok(())
    })
}

/// The cache for provider configuration, under keys like `provider:replicate:config`: 100 entries, 300 seconds. It is
/// the process's own and needs no `st_cache_free`. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn st_cache_provider_config() -> *const st_cache {
    std::ptr::from_ref(cache::provider_config()).cast()
}

/// The cache for permissions of users, under keys like `user:123:permissions`: 500 entries, 60 seconds. It is the
/// process's own and needs no `st_cache_free`. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn st_cache_user_permission() -> *const st_cache {
    std::ptr::from_ref(cache::user_permission()).cast()
}
