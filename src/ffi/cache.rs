//! Caches: storing, looking up, invalidating.

use std::ffi::{c_char, c_void};
use std::mem;
use std::ptr;
use std::time::Duration;

use super::bytes::{copy_if_fits, not_copied};
use super::callback::Context;
use super::config::settings;
use super::{
    Out, guard, guard_look_up, guard_quietly, input, null, st_bytes, st_config, st_drop_fn, st_error, st_status, text,
};
use crate::cache::{self, Copied, Object, TtlCache, Value, ttl_from_seconds};
use crate::clock;
use crate::error::{Error, Result, Status};
use crate::secret_memory::SharedBytes;

/// A cache whose entries live for a time. It keeps no thread. It may be used from any number of threads at once, and in
/// the child of a `fork()`.
///
/// It never holds more than its capacity, and evicts the least recently used entry; reading counts as use. The order is
/// exact within a thread. Between threads it is exact to a tick of the kernel's coarse clock (`clock_getres` of
/// `CLOCK_MONOTONIC_COARSE`, mostly 1 to 10 ms): an entry that several threads read within a tick counts as used at its
/// end.
///
/// An entry whose time is over is not found any more. Times are of `CLOCK_BOOTTIME`, which setting the date does not
/// change and which goes on while the machine sleeps. There are two exceptions: for 100 ms after the machine has slept,
/// entries that expired meanwhile may still be found; and where the kernel updates its coarse clock more than 100 ms
/// late, as on an overloaded virtual machine, an entry may be found for as much longer.
pub struct st_cache {
    _opaque: (),
}

/// An object that the library hands out: a counted reference. Give it back with `st_object_free`. The struct itself
/// belongs to the caller and is not to be copied.
#[repr(C)]
pub struct st_object {
    /// What was stored; NULL if this holds nothing (or NULL was stored).
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
    /// Seconds that an entry lives unless it is stored with another time.
    pub default_ttl: f64,
    /// Reads that found a value, or that it is remembered that there is none.
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

/// Makes a cache of at most `max_size` entries (0 holds nothing and still loads once) that live for `default_ttl` seconds
/// (`INFINITY`: forever; 0: over at once), clearing expired ones away every `cleanup_interval` seconds (above 0;
/// `INFINITY`: never), a few in each call that comes then. Free it with `st_cache_free`.
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
        let ttl = clock::seconds("default_ttl", default_ttl)?;
        let interval = clock::seconds("cleanup_interval", cleanup_interval)?;
        let cache: TtlCache<Value> = TtlCache::new(ttl, max_size, interval)?;
        out.set(Box::into_raw(Box::new(cache)).cast());
        Ok(())
    })
}

/// Makes a cache as `st_cache_new` does, with settings: the keys `default_ttl`, `max_size`, `cleanup_interval`,
/// `soft_ttl`, `ttl_jitter`, `absent_ttl` and `keyed_hash` of `config`, which is copied and may be NULL for every default.
/// `keyed_hash` (default `false`) is for caches whose keys are chosen by strangers: SipHash-1-3 instead of a faster hash
/// that does not hide its seed from somebody who measures many calls. Free the cache with `st_cache_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_open(
    config: *const st_config,
    out: *mut *mut st_cache,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a pointer.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the caller gives NULL or a configuration that no other thread changes now.
        let options = cache::Options::from(&unsafe { settings(config) });
        let cache: TtlCache<Value> = TtlCache::with_options(options)?;
        out.set(Box::into_raw(Box::new(cache)).cast());
        Ok(())
    })
}

/// Frees a cache with all that it holds; what callers hold of it stays. No other thread may be using it. The `drop`
/// functions of its objects are called before it goes and may use it; what they store in it is dropped too. NULL and the
/// built-in caches are fine, and stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_free(cache: *mut st_cache) {
    guard_quietly(|| {
        let cache = cache.cast::<TtlCache<Value>>();
        if cache.is_null() || cache::is_built_in(cache) {
            return;
        }
        // SAFETY: the caller gives back what `st_cache_new` or `st_cache_open` made; it is live here, and shared with the
        // objects that are dropped.
        unsafe { &*cache }.drain();
        // SAFETY: as above, and nobody uses it any more.
        drop(unsafe { Box::from_raw(cache) });
    });
}

/// Stores a copy of `value_len` bytes under `key`, which is any bytes, for `ttl` seconds (`ST_TTL_DEFAULT`: the cache's;
/// `INFINITY`: forever; 0: over at once). A load of this key that is under way is not stored any more, and callers that
/// ask from now on do not wait for it.
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

/// Stores an object of the program's own, with times as for `st_cache_set`. It is taken over in any case: `drop` (may be
/// NULL) is called with it once, with no lock held, when nobody holds it any more or when this call fails.
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
        // SAFETY: the caller gives readable bytes of this length, and a live cache.
        let (cache, key) = unsafe { (live(cache)?, key_of(key, key_len)?) };
        cache.set(key, Value::Object(Object::new(object)), ttl_from_seconds(ttl)?)
    })
}

/// Finds the bytes under `key`. On success `out` holds them until `st_bytes_free`.
///
/// `ST_NOT_FOUND`: there is no entry, or its time is over; no message is written. `ST_WRONG_TYPE`: it is an object.
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

/// As `st_cache_get`, but copies the bytes into the caller's buffer, without a NUL, and writes their number to `len`.
/// `(NULL, 0)` asks for the number alone.
///
/// `ST_BUFFER_TOO_SMALL`: `len` has the number that is needed; the buffer is as it was.
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

/// Finds the object under `key`. On success `out` holds it until `st_object_free`.
///
/// `ST_NOT_FOUND`: there is no entry, or its time is over; no message is written. `ST_WRONG_TYPE`: it is bytes.
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
        let pointer = object.downcast_ref::<Context>().map_or(ptr::null_mut(), Context::pointer);
        out.set(st_object { object: pointer, owner: Box::into_raw(Box::new(object)).cast() });
        Ok(true)
    })
}

/// Gives an object back and zeroes the struct. NULL, or one that holds nothing, is fine. If nobody else holds the object,
/// its `drop` is called before this returns.
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

/// Removes an entry. `existed` (may be NULL) says whether there was one whose time was not over; that there was none is
/// not a failure. A load of this key that is under way is not stored any more, and callers that ask from now on do not
/// wait for it: what they get was loaded after this call began.
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
        // SAFETY: the caller gives readable bytes of this length, and a live cache.
        let deleted = unsafe { live(cache)?.delete(key_of(key, key_len)?) };
        if let Some(existed) = existed {
            existed.set(deleted);
        }
        Ok(())
    })
}

/// Removes all entries at once and gives their memory back. `count` (may be NULL) says how many of them were not over
/// yet. Loads are treated as by `st_cache_delete`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_clear(cache: *const st_cache, count: *mut usize, error: *mut st_error) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number, and a live cache.
    guard(error, || unsafe { counted(count, || Ok(live(cache)?.clear())) })
}

/// Removes the entries whose keys begin with these bytes; none (NULL, 0) is `st_cache_clear`. `count` and loads are as
/// for that. Other callers see the entries go part by part, and what they store meanwhile may stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_invalidate_prefix(
    cache: *const st_cache,
    prefix: *const c_void,
    prefix_len: usize,
    count: *mut usize,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number, readable bytes of this length, and a live cache.
    guard(error, || unsafe {
        counted(count, || Ok(live(cache)?.invalidate_prefix(input("prefix", prefix, prefix_len)?)))
    })
}

/// Reports the state of a cache. All numbers are of one moment, save `expired_count`: entries that have expired are
/// counted one by one after that, some milliseconds for a million, and other callers go on meanwhile.
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

/// The process's cache for provider configuration, under keys like `provider:replicate:config`: 300 s, 100 entries. Never
/// NULL, not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn st_cache_provider_config() -> *const st_cache {
    ptr::from_ref(cache::provider_config()).cast()
}

/// The process's cache for permissions of users, under keys like `user:123:permissions`: 60 s, 500 entries. Never NULL,
/// not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn st_cache_user_permission() -> *const st_cache {
    ptr::from_ref(cache::user_permission()).cast()
}

/// Forgets all that the built-in cache holds about a provider: the keys that begin with `provider:{provider}:`. `count`
/// as for `st_cache_clear`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_invalidate_provider(
    provider: *const c_char,
    len: usize,
    count: *mut usize,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number, and readable text of this length.
    guard(error, || unsafe { counted(count, || Ok(cache::invalidate_provider(text("provider", provider, len)?))) })
}

/// Forgets all that the built-in cache holds about a user: the keys that begin with `user:{user_id}:`. `count` as for
/// `st_cache_clear`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cache_invalidate_user(user_id: i64, count: *mut usize, error: *mut st_error) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number.
    guard(error, || unsafe { counted(count, || Ok(cache::invalidate_user(user_id))) })
}

/// The cache behind a handle.
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

/// # Safety
/// `count` is NULL or a place for a number.
unsafe fn counted(count: *mut usize, remove: impl FnOnce() -> Result<usize>) -> Result<()> {
    // SAFETY: passed on.
    let count = unsafe { Out::optional(count) };
    let removed = remove()?;
    if let Some(count) = count {
        count.set(removed);
    }
    Ok(())
}

/// What a value is for C, if it is bytes.
pub(super) fn bytes_of(value: Value) -> Option<SharedBytes> {
    value.into_bytes().ok()
}
