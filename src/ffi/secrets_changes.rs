//! Live changes: the generation, watches, listening, invalidation.

use std::ffi::{c_char, c_void};

use super::callback::CallbackContext;
use super::secrets::manager;
use super::{guard, guard_optional_out, guard_out, null, st_bytes, st_drop_fn, st_error, st_secrets, st_status, text};
use crate::clock;
use crate::error::{Error, Result};
use crate::secret_memory::SecretBytes;
use crate::secrets::Scope;

/// For `st_secrets_invalidate`: all processes on this host that share with this one. See the setting `share`.
pub const ST_SCOPE_HOST: u32 = 1;
/// For `st_secrets_invalidate`: all hosts of a cluster, which share through a tier. See the setting `share_url`.
pub const ST_SCOPE_CLUSTER: u32 = 2;

/// Called when something changed, with the generation (see `st_secrets_generation`). `key` has `key_len` bytes,
/// followed by a NUL; for a watch of all keys it is NULL. It is valid until the callback returns.
///
/// It is called on a thread of the program, within a get or `st_secrets_listen`, one call at a time, with no lock of
/// the library held. It may call the library. It must return, and must not throw.
pub type st_change_fn =
    Option<unsafe extern "C-unwind" fn(context: *mut c_void, key: *const c_char, key_len: usize, generation: u64)>;

/// Writes to `generation` a number that increases when anything that this manager serves changes: a document is loaded
/// with different contents or dropped, a file changes, another process invalidates something. It never decreases, and
/// may increase more than once for one change. If it is unchanged, no get of this process has noticed a change.
///
/// With the setting `share`, changes that other processes on the host publish count at once, without a get. All calls
/// but the first one only read memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_generation(
    secrets: *const st_secrets,
    generation: *mut u64,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller passes NULL or a pointer to a number, and NULL or a live manager.
    unsafe { guard_out(generation, "generation", error, || Ok(manager(secrets)?.generation())) }
}

/// Registers `changed`, which is called when the value of `key` changes; with NULL as the key, when anything changes.
/// The library has no thread of its own: the callback runs on a thread of the program, within a get that finds a change
/// or within `st_secrets_listen`. `id` (may be NULL) receives the number for `st_secrets_unwatch`.
///
/// Changes are relative to the value that is cached now or, if none is, to the one that the next check finds. A key
/// that gains or loses its value counts as changed. Only `st_secrets_listen` compares variables and the values of
/// custom providers.
///
/// The library takes ownership of `context`, even if the call fails. It calls `drop` (may be NULL) with it exactly
/// once: after `st_secrets_unwatch`, when the manager is freed, or when this call fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_watch(
    secrets: *const st_secrets,
    key: *const c_char,
    key_len: usize,
    changed: st_change_fn,
    drop: st_drop_fn,
    context: *mut c_void,
    id: *mut u64,
    error: *mut st_error,
) -> st_status {
    let context = CallbackContext::new(context, drop);
    let watch = || {
        let changed = changed.ok_or_else(|| null("changed"))?;
        // SAFETY: the caller passes NULL or readable text of this length, and NULL or a live manager.
        let (manager, key) = unsafe { (manager(secrets)?, optional_key(key, key_len)?) };
        manager.watch(key, move |key, generation| {
            let text = key.map(|key| [key.as_bytes(), b"\0"].concat());
            let pointer = text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr().cast());
            // SAFETY: the function belongs to this context and may be called on any thread, as the header says. The key
            // ends with a NUL and outlives the call.
            unsafe { changed(context.pointer(), pointer, key.map_or(0, str::len), generation) };
        })
    };
    // SAFETY: the caller passes NULL or a pointer to a number.
    unsafe { guard_optional_out(id, error, watch) }
}

/// Ends a watch. When the call returns, no new call of its callback begins; one that another thread has begun may still
/// be under way, and `drop` is called after it.
///
/// `ST_NOT_FOUND`: there is no watch of this number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_unwatch(secrets: *const st_secrets, id: u64, error: *mut st_error) -> st_status {
    guard(error, || {
        // SAFETY: the caller passes NULL or a live manager.
        let existed = unsafe { manager(secrets) }?.unwatch(id);
        let missing = || Error::new(crate::error::Status::NotFound, format!("there is no watch {id}"));
        existed.then_some(()).ok_or_else(missing)
    })
}

/// Waits until the generation differs from `since`, or until `timeout` seconds have passed (0: does not wait;
/// `INFINITY`: no limit), and writes it to `generation`. If the result equals `since`, nothing changed. A program that
/// passes the result of each call to the next one misses no change.
///
/// The call blocks its thread and does the work of the watches there: once a second it checks files and watched keys,
/// and it reloads documents that are due. If several processes share a document, one of them reloads it and wakes the
/// others. Callbacks of watches are called before the call returns. A signal does not end the wait: use a short
/// `timeout` if it has to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_listen(
    secrets: *const st_secrets,
    since: u64,
    timeout: f64,
    generation: *mut u64,
    error: *mut st_error,
) -> st_status {
    let listen = || {
        let timeout = clock::seconds("timeout", timeout)?;
        // SAFETY: the caller passes NULL or a live manager.
        unsafe { manager(secrets) }?.listen(since, timeout)
    };
    // SAFETY: the caller passes NULL or a pointer to a number.
    unsafe { guard_out(generation, "generation", error, listen) }
}

/// Drops the cached values of all processes in `scope`. Returns when all of them have confirmed it, or after `timeout`
/// seconds (`INFINITY`: no limit). `key` is the key that changed, or NULL for all keys. At present everything is
/// dropped in both cases, because documents are loaded as a whole.
///
/// `report` receives the result as JSON, which the caller frees with `st_bytes_free`: `{"scope": "host", "confirmed":
/// [1201, 1202], "silent": [1203], "complete": true}`, with process IDs. In a process that confirmed, no get that
/// begins after this call returns an older value. With `ST_SCOPE_HOST`, an idle process counts as confirmed, because
/// its next call begins by checking the shared memory. A silent process is stopped, possibly in the middle of a get
/// that returns an older value when the process continues. The call succeeds even if processes are silent: check
/// `silent`. `complete` is false if the host has had more processes than the list can hold (4088).
///
/// With `ST_SCOPE_CLUSTER`, `confirmed` and `silent` are arrays of host names. A host confirms when one of its
/// processes calls a get or `st_secrets_listen`. The call waits for each host that has made such a call within the last
/// 15 seconds, until it confirms or makes no call for 15 seconds. To confirm promptly, a host that makes few gets calls
/// `st_secrets_listen` in a loop. A host without a call for 15 seconds is listed as silent without waiting for it;
/// after 60 seconds it is not listed. In both cases its next get checks the tier first.
///
/// `ST_CONFIG`: with `ST_SCOPE_HOST`, the setting `share` is off; with `ST_SCOPE_CLUSTER`, there is no `share_url`.
/// `ST_UNAVAILABLE`, `ST_TIMEOUT`, `ST_ACCESS_DENIED` or `ST_PROTOCOL`: the tier failed. `ST_ACCESS_DENIED` or `ST_IO`:
/// the directory of the share cannot be used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_secrets_invalidate(
    secrets: *const st_secrets,
    key: *const c_char,
    key_len: usize,
    scope: u32,
    timeout: f64,
    report: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    let invalidate = || {
        let (scope, timeout) = (scope_of(scope)?, clock::seconds("timeout", timeout)?);
        // SAFETY: the caller passes NULL or readable text of this length, and NULL or a live manager.
        let (manager, key) = unsafe { (manager(secrets)?, optional_key(key, key_len)?) };
        SecretBytes::copy_from(manager.invalidate(key, scope, timeout)?.as_bytes())
    };
    // SAFETY: the caller passes NULL or a pointer to an `st_bytes`.
    unsafe { guard_out(report, "report", error, invalidate) }
}

fn scope_of(scope: u32) -> Result<Scope> {
    match scope {
        ST_SCOPE_HOST => Ok(Scope::Host),
        ST_SCOPE_CLUSTER => Ok(Scope::Cluster),
        _ => Err(Error::invalid_argument(format!("`scope` is {scope}; it must be one of ST_SCOPE_…"))),
    }
}

/// Returns a key; `None` for NULL.
///
/// # Safety
/// As for `text`.
unsafe fn optional_key<'a>(key: *const c_char, key_len: usize) -> Result<Option<&'a str>> {
    // SAFETY: the caller's promise.
    (!key.is_null()).then(|| unsafe { text("key", key, key_len) }).transpose()
}
