//! Caches: creating them; storing, looking up and removing entries.

use std::ffi::c_void;
use std::mem;
use std::ptr;
use std::time::Duration;

use super::bytes::{copy_if_fits, not_copied};
use super::callback::{CallbackContext, pointer_of};
use super::config::settings;
use super::{
    Out, guard, guard_handle, guard_look_up, guard_optional_out, guard_quietly, input, null, st_bytes, st_config,
    st_drop_fn, st_error, st_status,
};
use crate::cache::{self, Copied, Object, TtlCache, Value, ttl_from_seconds};
use crate::clock;
use crate::error::{Error, Result, Status};
use crate::secret_memory::SharedBytes;
use crate::share;

/// A cache of keys and values with a time to live (TTL). A cache can be used from any number of threads at once, and
/// in the child of a `fork()`. The library runs no thread for it.
///
/// A cache never holds more than `max_size` entries. A full cache evicts the least recently used entry; reads count
/// as use. The order of use is exact within a thread. Between threads it is exact to one tick of the kernel's coarse
/// clock (`clock_getres` of `CLOCK_MONOTONIC_COARSE`, usually 1 to 10 ms): an entry that several threads read within
/// one tick counts as used at the end of that tick.
///
/// An expired entry is not returned. Times are measured with `CLOCK_BOOTTIME`: setting the date does not change it,
/// and it advances while the machine is suspended. There are two exceptions. For 100 ms after the machine resumes,
/// entries that expired while it was suspended may still be returned. If the kernel updates its coarse clock more
/// than 100 ms late, as on an overloaded virtual machine, an entry may be returned for that much longer.
pub struct st_cache {
    _opaque: (),
}

/// A counted reference to an object in a cache. Free it with `st_object_free`. The caller owns the struct and must
/// not copy it.
#[repr(C)]
pub struct st_object {
    /// The stored pointer. NULL if this struct holds no object, or if NULL was stored.
    pub object: *mut c_void,
    /// Used by the library.
    pub owner: *mut c_void,
}

/// The state of a cache and its counters since it was created. The caller allocates the struct and initializes it
/// with `ST_CACHE_COUNTS_INIT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct st_cache_counts {
    /// The size of this struct in the caller's version of the header: `sizeof(st_cache_counts)`.
    pub size: u32,
    /// Zero.
    pub reserved: u32,
    /// The number of entries, including expired entries that have not been removed yet.
    pub entries: u64,
    /// The largest number of entries.
    pub max_size: u64,
    /// The number of expired entries that have not been removed yet.
    pub expired_count: u64,
    /// The time to live, in seconds, of an entry that is stored without one.
    pub default_ttl: f64,
    /// Lookups that returned a value or a cached absence.
    pub hits: u64,
    /// Lookups that found no entry.
    pub misses: u64,
    /// Entries that were removed before they expired, to make room.
    pub evictions: u64,
    /// Entries that were removed because they had expired.
    pub expirations: u64,
    /// Entries that were deleted before they expired.
    pub invalidations: u64,
    /// Loads that were started.
    pub loads: u64,
    /// Loads that ended without a value.
    pub load_failures: u64,
}

/// Creates a cache of at most `max_size` entries. A cache of size 0 stores nothing, but concurrent loads of one key
/// still share one load. Entries live for `default_ttl` seconds (`INFINITY`: they never expire; 0: they expire at
/// once). Expired entries are removed every `cleanup_interval` seconds (greater than 0; `INFINITY`: never), a few at a
/// time, by the calls that follow: by each that stores or finds an entry, and by some of those that find none. Free the
/// cache with `st_cache_free`.
///
/// `ST_NO_MEMORY`: there is not enough memory for `max_size` entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_new(
    default_ttl: f64,
    max_size: usize,
    cleanup_interval: f64,
    out: *mut *mut st_cache,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a pointer.
    unsafe {
        guard_handle(out.cast(), error, || {
            let ttl = clock::seconds("default_ttl", default_ttl)?;
            TtlCache::<Value>::new(ttl, max_size, clock::seconds("cleanup_interval", cleanup_interval)?)
        })
    }
}

/// Creates a cache as `st_cache_new` does, from the keys `default_ttl`, `max_size`, `cleanup_interval`, `soft_ttl`,
/// `ttl_jitter`, `absent_ttl`, `tier`, `tier_name`, `tier_interval` and `keyed_hash` of `config`. `config` is copied;
/// NULL selects every default. Set `keyed_hash` (default `false`) if untrusted users choose the keys: the cache then
/// uses SipHash-1-3. The default hash is faster, but an attacker who can time many calls may find keys that collide.
/// Free the cache with `st_cache_free`.
///
/// With `tier`, a server has an encrypted copy of the bytes in the cache, which other processes use. Before a load, and
/// when a lookup finds nothing in the process, the server is queried. A call that stores or removes a value does so on
/// the server too. Other processes stop returning the older value after at most `tier_interval` (default 1 s) plus the
/// time of one exchange with the server, at most 0.5 s. No call fails because the server fails: the cache then works
/// without the server, and tries it again after 1 to 15 s. Objects stay in the process. Each of these calls may take as
/// long as an exchange. See `docs/tier.md`.
///
/// `ST_CONFIG`: a setting of the tier is invalid.
///
/// `ST_NO_MEMORY`: there is not enough memory for `max_size` entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_open(
    config: *const st_config,
    out: *mut *mut st_cache,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a pointer, and NULL or a configuration that no other thread changes
    // now.
    unsafe { guard_handle(out.cast(), error, || share::open_cache(&settings(config))) }
}

/// Frees a cache and its entries. No other thread may be using it. Values that callers hold stay valid. The `drop`
/// functions of its objects are called before the cache is freed and may use it; what they store in it is dropped
/// too. NULL and the built-in caches are ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_free(cache: *mut st_cache) {
    guard_quietly(|| {
        let cache = cache.cast::<TtlCache<Value>>();
        if cache.is_null() || cache::is_built_in(cache) {
            return;
        }
        // SAFETY: the caller gives back what `st_cache_new` or `st_cache_open` made; it is live here, and shared with
        // the callbacks and the objects that are dropped.
        let live = unsafe { &*cache };
        live.end_registered_loads();
        live.drain();
        // SAFETY: as above, and nothing uses it after this.
        drop(unsafe { Box::from_raw(cache) });
    });
}

/// Stores a copy of `value_len` bytes under `key`, which can be any bytes, for `ttl` seconds (`ST_TTL_DEFAULT`: the
/// default of the cache; `INFINITY`: never expires; 0: expires at once). The result of a load of this key that is in
/// progress is not stored, and later callers do not wait for that load.
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
        // SAFETY: the caller gives readable bytes of these lengths, and a live cache.
        let (cache, key, value) = unsafe { (live(cache)?, key_of(key, key_len)?, input("value", value, value_len)?) };
        cache.set_bytes(key, value, ttl_from_seconds(ttl)?)
    })
}

/// Stores an object of the program. `ttl` is as for `st_cache_set`. The cache always takes ownership: it calls `drop`
/// (may be NULL) with `object` exactly once, with no lock held, when the last reference is freed or when this call
/// fails.
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
    let object = CallbackContext::new(object, drop);
    guard(error, || {
        // SAFETY: the caller gives readable bytes of this length, and a live cache.
        let (cache, key) = unsafe { (live(cache)?, key_of(key, key_len)?) };
        cache.set(key, Value::Object(Object::new(object)), ttl_from_seconds(ttl)?)
    })
}

/// Returns the bytes under `key` in `out`. Free them with `st_bytes_free`.
///
/// `ST_NOT_FOUND`: there is no entry, or it has expired; no message is written. `ST_WRONG_TYPE`: the value is an
/// object.
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
        // SAFETY: the caller gives readable bytes of this length, and a live cache.
        let (cache, key) = unsafe { (live(cache)?, key_of(key, key_len)?) };
        let Some(bytes) = cache.get_bytes(key)? else { return Ok(false) };
        out.set(bytes.into());
        Ok(true)
    })
}

/// Copies the bytes under `key` into `buffer`, without a terminating NUL, and writes their number to `len`. `(NULL,
/// 0)` as the buffer returns the number only.
///
/// `ST_NOT_FOUND` and `ST_WRONG_TYPE`: as for `st_cache_get`. `ST_BUFFER_TOO_SMALL`: `len` is the size that is
/// needed; the buffer is unchanged.
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
        // SAFETY: the caller gives NULL or a place for a length.
        let len = unsafe { Out::new(len, "len") }?;
        // SAFETY: the caller gives readable bytes of this length, and a live cache.
        let (cache, key) = unsafe { (live(cache)?, key_of(key, key_len)?) };
        // SAFETY: the caller gives NULL or a buffer of this capacity.
        let copied = cache.copy_with(key, |bytes| match unsafe { copy_if_fits(bytes, buffer, capacity) } {
            true => Copied::Whole(bytes.len()),
            false => Copied::TooLong(bytes.len()),
        });
        match copied {
            Copied::Whole(copied) => len.set(copied),
            Copied::Missing => return Ok(false),
            Copied::TooLong(needed) => not_copied(needed, buffer.is_null(), capacity, &len)?,
            Copied::NotBytes => return Err(not_bytes()),
        }
        Ok(true)
    })
}

#[cold]
fn not_bytes() -> Error {
    Error::new(Status::WrongType, "the value under this key is an object, not bytes")
}

/// Returns a reference to the object under `key` in `out`. Free it with `st_object_free`.
///
/// `ST_NOT_FOUND`: there is no entry, or it has expired; no message is written. `ST_WRONG_TYPE`: the value is bytes.
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
        // SAFETY: the caller gives readable bytes of this length, and a live cache.
        let (cache, key) = unsafe { (live(cache)?, key_of(key, key_len)?) };
        let Some(value) = cache.get(key).filter(Value::is_present) else { return Ok(false) };
        let object = value.into_object()?;
        out.set(st_object { object: pointer_of(&object), owner: Box::into_raw(Box::new(object)).cast() });
        Ok(true)
    })
}

/// Frees a reference to an object and zeroes the struct. If it is the last reference, `drop` is called before this
/// function returns. NULL, and a struct that holds no object, are ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_object_free(object: *mut st_object) {
    guard_quietly(|| {
        // SAFETY: the caller gives NULL or an `st_object` of its own.
        let Some(object) = (unsafe { object.as_mut() }) else { return };
        object.object = ptr::null_mut();
        let owner = mem::replace(&mut object.owner, ptr::null_mut());
        if !owner.is_null() {
            // SAFETY: `st_cache_get_object` made it, and the zeroes above make sure that it is taken back only once.
            drop(unsafe { Box::from_raw(owner.cast::<Object>()) });
        }
    });
}

/// Removes an entry. `existed` (may be NULL) reports whether there was an entry that had not expired; a missing entry
/// is not an error. The result of a load of this key that is in progress is not stored. Callers that ask from now on
/// do not wait for that load; they get a value that was loaded after this call began.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_delete(
    cache: *const st_cache,
    key: *const c_void,
    key_len: usize,
    existed: *mut bool,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a bool, readable bytes of this length, and a live cache.
    unsafe { guard_optional_out(existed, error, || Ok(live(cache)?.delete(key_of(key, key_len)?))) }
}

/// Removes all entries and returns their memory to the system. `count` (may be NULL) is the number of removed entries
/// that had not expired. Loads are treated as by `st_cache_delete`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_clear(cache: *const st_cache, count: *mut usize, error: *mut st_error) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number, and a live cache.
    unsafe { guard_optional_out(count, error, || Ok(live(cache)?.clear())) }
}

/// Removes the entries whose keys begin with these bytes. An empty prefix (NULL, 0) is `st_cache_clear`. `count` and
/// loads are as for `st_cache_clear`. The search runs in steps: other callers can see some of the entries removed
/// before others, and entries that they store meanwhile may stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_invalidate_prefix(
    cache: *const st_cache,
    prefix: *const c_void,
    prefix_len: usize,
    count: *mut usize,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number, readable bytes of this length, and a live cache.
    unsafe {
        guard_optional_out(count, error, || Ok(live(cache)?.invalidate_prefix(input("prefix", prefix, prefix_len)?)))
    }
}

/// Reports the state of a cache. All numbers are from one moment except `expired_count`: expired entries are counted
/// after that, one by one (some milliseconds for a million entries), while other callers continue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_stats(
    cache: *const st_cache,
    out: *mut st_cache_counts,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a struct of the size that it says.
        let out = unsafe { super::sized::SizedOut::new(out, "out->size", "ST_CACHE_COUNTS_INIT") }?;
        // SAFETY: the caller gives a live cache.
        let stats = unsafe { live(cache) }?.stats();
        let seconds = |time: Duration| if time == Duration::MAX { f64::INFINITY } else { time.as_secs_f64() };
        out.write(&st_cache_counts {
            size: 0,
            reserved: 0,
            entries: stats.size as u64,
            max_size: stats.max_size as u64,
            expired_count: stats.expired_count as u64,
            default_ttl: seconds(stats.default_ttl),
            hits: stats.hits,
            misses: stats.misses,
            evictions: stats.evictions,
            expirations: stats.expirations,
            invalidations: stats.invalidations,
            loads: stats.loads,
            load_failures: stats.load_failures,
        });
        Ok(())
    })
}

/// Returns the cache behind a handle.
///
/// # Safety
/// `cache` is NULL or a live cache.
#[inline]
pub(super) unsafe fn live<'a>(cache: *const st_cache) -> Result<&'a TtlCache<Value>> {
    // SAFETY: a handle is a pointer to this type, given out as an opaque one.
    unsafe { cache.cast::<TtlCache<Value>>().as_ref() }.ok_or_else(|| null("cache"))
}

/// # Safety
/// As for [`input`].
#[inline]
pub(super) unsafe fn key_of<'a>(key: *const c_void, len: usize) -> Result<&'a [u8]> {
    // SAFETY: passed on.
    unsafe { input("key", key, len) }
}

/// Returns the bytes of a value, if it is bytes.
pub(super) fn bytes_of(value: Value) -> Option<SharedBytes> {
    value.into_bytes().ok()
}
