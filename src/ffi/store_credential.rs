//! Stored credentials.

use std::ffi::{c_char, c_void};

use super::encryption::{cipher, st_cipher};
use super::secrets::{manager, st_secrets};
use super::store::{document, optional_text, st_store, with};
use super::{Out, check_flags, guard, guard_optional_out, guard_out, input, st_bytes, st_error, st_status, text};
use crate::error::Result;

/// `st_credential_source` found no credential.
pub const ST_CREDENTIAL_NONE: i32 = 0;
/// `st_credential_resolve` found the user's own credential.
pub const ST_CREDENTIAL_USER: i32 = 1;
/// `st_credential_resolve` found the secret that all users share.
pub const ST_CREDENTIAL_GLOBAL: i32 = 2;

/// For `st_credentials_reencrypt`: also encrypts credentials that are stored as plain text.
pub const ST_REENCRYPT_PLAIN: u32 = 1;

/// Receives the number of processed credentials and their total. If it returns `false`, the re-encryption stops and
/// nothing is changed.
///
/// It is called on the calling thread, while the database is locked for other writers and with no lock of the library
/// held. It may call the library, except for functions that need the same database file, through any store: those of
/// credentials and, if both are in one file, uncached provider configuration and hardware prices. Such a call returns
/// `ST_BUSY`. It must not throw.
pub type st_progress_fn = Option<unsafe extern "C-unwind" fn(context: *mut c_void, done: u64, total: u64) -> bool>;

/// Stores a credential of a user, encrypted under the newest key. Replaces an existing credential of this name. If
/// `cipher` is NULL, the cipher of the process is used. `value` has 1 byte to 1 MiB; `provider` and `name` have 1 to
/// 255 bytes and no control characters. `id` (may be NULL) receives the id of the credential, which it keeps when it is
/// replaced; an inactive one becomes active.
///
/// `ST_INVALID_ARGUMENT`: the database has a table of users that does not contain this one. Errors of the cipher are as
/// for `st_encrypt`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_credential_set(
    store: *const st_store,
    cipher: *const st_cipher,
    user_id: i64,
    provider: *const c_char,
    provider_len: usize,
    name: *const c_char,
    name_len: usize,
    value: *const c_void,
    value_len: usize,
    id: *mut i64,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number, readable text and bytes of these lengths, and NULL or a
    // live cipher and store.
    unsafe {
        guard_optional_out(id, error, || {
            let (provider, name) = (text("provider", provider, provider_len)?, text("name", name, name_len)?);
            let (value, cipher) = (input("value", value, value_len)?, self::cipher(cipher)?);
            with(store, |store| store.credential_set(&cipher, user_id, provider, name, value))
        })
    }
}

/// Reads the value of a user's active credential, whether it is encrypted or, as SimpleTuner stores it, plain text. The
/// use is recorded in the audit trail, and `last_used_at` is updated, so the databases must be writable. Free `value`
/// with `st_bytes_free`, which wipes it.
///
/// `ST_NOT_FOUND`: the user has no active credential of this name. `ST_BAD_TOKEN`: as for `st_decrypt`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_credential_get(
    store: *const st_store,
    cipher: *const st_cipher,
    user_id: i64,
    provider: *const c_char,
    provider_len: usize,
    name: *const c_char,
    name_len: usize,
    value: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for an `st_bytes`, readable text of these lengths, and NULL or a live
    // cipher and
    // store.
    unsafe {
        guard_out(value, "value", error, || {
            let (provider, name) = (text("provider", provider, provider_len)?, text("name", name, name_len)?);
            let cipher = self::cipher(cipher)?;
            with(store, |store| store.credential_get(&cipher, user_id, provider, name))
        })
    }
}

/// Removes a credential of a user. If there is none, the call succeeds. `existed` (may be NULL) receives whether there
/// was one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_credential_delete(
    store: *const st_store,
    user_id: i64,
    provider: *const c_char,
    provider_len: usize,
    name: *const c_char,
    name_len: usize,
    existed: *mut bool,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a bool, readable text of these lengths, and NULL or a live store.
    unsafe {
        guard_optional_out(existed, error, || {
            let (provider, name) = (text("provider", provider, provider_len)?, text("name", name, name_len)?);
            with(store, |store| store.credential_delete(user_id, provider, name))
        })
    }
}

/// Makes a credential of a user inactive: it remains in the list, and is found again after the next
/// `st_credential_set`. If there is none, the call succeeds. `existed` (may be NULL) receives whether there was one,
/// active or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_credential_deactivate(
    store: *const st_store,
    user_id: i64,
    provider: *const c_char,
    provider_len: usize,
    name: *const c_char,
    name_len: usize,
    existed: *mut bool,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a bool, readable text of these lengths, and NULL or a live store.
    unsafe {
        guard_optional_out(existed, error, || {
            let (provider, name) = (text("provider", provider, provider_len)?, text("name", name, name_len)?);
            with(store, |store| store.credential_deactivate(user_id, provider, name))
        })
    }
}

/// Records the use of an active credential whose value the program has from an earlier call, and updates
/// `last_used_at`. `st_credential_get` and `st_credential_resolve` do this themselves. If there is no active credential
/// of this name, the call succeeds and changes nothing. `existed` (may be NULL) receives whether there is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_credential_mark_used(
    store: *const st_store,
    user_id: i64,
    provider: *const c_char,
    provider_len: usize,
    name: *const c_char,
    name_len: usize,
    existed: *mut bool,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a bool, readable text of these lengths, and NULL or a live store.
    unsafe {
        guard_optional_out(existed, error, || {
            let (provider, name) = (text("provider", provider, provider_len)?, text("name", name, name_len)?);
            with(store, |store| store.credential_mark_used(user_id, provider, name))
        })
    }
}

/// Returns in `exists` whether a user has an active credential of this name. Its value is not decrypted, nothing is
/// recorded, and no database is created.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_credential_exists(
    store: *const st_store,
    user_id: i64,
    provider: *const c_char,
    provider_len: usize,
    name: *const c_char,
    name_len: usize,
    exists: *mut bool,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a bool, readable text of these lengths, and NULL or a live store.
    unsafe {
        guard_out(exists, "exists", error, || {
            let (provider, name) = (text("provider", provider, provider_len)?, text("name", name, name_len)?);
            with(store, |store| store.credential_exists(user_id, provider, name))
        })
    }
}

/// Lists credentials without their values: a JSON array of objects with `id`, `user_id`, `provider`, `name`,
/// `created_at`, `updated_at`, `last_used_at`, `is_active` and `encrypted`. A negative `user_id` selects all users;
/// NULL with length 0 as `provider` selects all providers. Free `json` with `st_bytes_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_credential_list(
    store: *const st_store,
    user_id: i64,
    provider: *const c_char,
    provider_len: usize,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for an `st_bytes`, NULL or readable text of this length, and NULL or a
    // live store.
    unsafe {
        guard_out(json, "json", error, || {
            let provider = optional_text("provider", provider, provider_len)?;
            document(&with(store, |store| store.credential_list(user(user_id), provider))?)
        })
    }
}

/// Finds a credential for a user: the user's own active credential, as `st_credential_get` does, otherwise the secret
/// `global_key` of the manager `secrets` (NULL: the manager of the process). A negative `user_id` means no user; NULL
/// with length 0 as `global_key` means that there is no secret that all users share. `source` (may be NULL) receives
/// which one it is, `ST_CREDENTIAL_…`. Free `value` with `st_bytes_free`, which wipes it.
///
/// `ST_NOT_FOUND`: neither exists. If the user's own credential exists but cannot be decrypted, the call fails; the
/// global secret is not used instead.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_credential_resolve(
    store: *const st_store,
    cipher: *const st_cipher,
    secrets: *const st_secrets,
    user_id: i64,
    provider: *const c_char,
    provider_len: usize,
    name: *const c_char,
    name_len: usize,
    global_key: *const c_char,
    global_key_len: usize,
    source: *mut i32,
    value: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or places for a number and an `st_bytes`.
        let (source, out) = unsafe { (Out::optional(source), Out::new(value, "value")) };
        let out = out?;
        // SAFETY: the caller gives readable text of these lengths, and NULL or a live cipher and manager.
        let (provider, name, key, cipher, manager) = unsafe {
            (
                text("provider", provider, provider_len)?,
                text("name", name, name_len)?,
                optional_text("global_key", global_key, global_key_len)?,
                self::cipher(cipher)?,
                self::manager(secrets)?,
            )
        };
        let user_id = user(user_id);
        // SAFETY: the caller gives NULL or a live store.
        let resolved =
            unsafe { with(store, |store| store.credential_resolve(&cipher, &manager, user_id, provider, name, key)) }?;
        if let Some(source) = source {
            source.set(resolved.origin as i32);
        }
        out.set(resolved.value.into());
        Ok(())
    })
}

/// Returns in `source` where `st_credential_resolve` would find a credential: `ST_CREDENTIAL_USER`,
/// `ST_CREDENTIAL_GLOBAL`, or `ST_CREDENTIAL_NONE`. The arguments are the same. The user's own credential is neither
/// decrypted nor recorded as used; the secret is looked up as `st_secrets_get` does, whose errors are returned, except
/// `ST_NOT_FOUND`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_credential_source(
    store: *const st_store,
    secrets: *const st_secrets,
    user_id: i64,
    provider: *const c_char,
    provider_len: usize,
    name: *const c_char,
    name_len: usize,
    global_key: *const c_char,
    global_key_len: usize,
    source: *mut i32,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a number, readable text of these lengths, and NULL or a live manager
    // and
    // store.
    unsafe {
        guard_out(source, "source", error, || {
            let (provider, name) = (text("provider", provider, provider_len)?, text("name", name, name_len)?);
            let key = optional_text("global_key", global_key, global_key_len)?;
            let (manager, user_id) = (self::manager(secrets)?, user(user_id));
            let origin = with(store, |store| store.credential_source(&manager, user_id, provider, name, key))?;
            Ok(origin.map_or(ST_CREDENTIAL_NONE, |origin| origin as i32))
        })
    }
}

/// Generates a new key, as `st_rotate_key` does, and re-encrypts every stored credential under it. If that fails or is
/// interrupted, all credentials remain readable, and `st_credentials_reencrypt` completes the rotation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_credentials_rotate(
    store: *const st_store,
    cipher: *const st_cipher,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a live cipher.
        let cipher = unsafe { self::cipher(cipher) }?;
        // SAFETY: the caller gives NULL or a live store.
        unsafe { with(store, |store| store.credentials_rotate(&cipher, |_, _| true).map(drop)) }
    })
}

/// Re-encrypts every stored credential under the newest key, in one transaction: on an error, none is changed. May be
/// repeated.
///
/// `flags` is 0 or `ST_REENCRYPT_PLAIN`, with which plain text is encrypted too. SimpleTuner itself, which reads the
/// column verbatim, then finds a token there. `progress` (may be NULL) is called with `context` before each credential
/// and at the end. `report` (may be NULL) receives a JSON object, to be freed with `st_bytes_free`, of `total`,
/// `reencrypted`, `unchanged`, `migrated` (plain text that is now encrypted), `plain` (plain text, or empty, left
/// unchanged) and `unreadable` (an array of the ids that no available key decrypts; they were left unchanged).
///
/// `ST_ABANDONED`: `progress` returned `false`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_credentials_reencrypt(
    store: *const st_store,
    cipher: *const st_cipher,
    flags: u32,
    progress: st_progress_fn,
    context: *mut c_void,
    report: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::optional(report) };
        let plain = plain(flags)?;
        // SAFETY: the caller gives NULL or a live cipher.
        let cipher = unsafe { self::cipher(cipher) }?;
        let progress = |done, total| match progress {
            // SAFETY: the function goes with this context, and is called on the caller's own thread.
            Some(progress) => unsafe { progress(context, done, total) },
            None => true,
        };
        // SAFETY: the caller gives NULL or a live store.
        let done = unsafe { with(store, |store| store.credentials_reencrypt(&cipher, plain, progress)) }?;
        out.map_or(Ok(()), |out| document(&done.to_json()).map(|json| out.set(json)))
    })
}

fn plain(flags: u32) -> Result<bool> {
    check_flags(flags, ST_REENCRYPT_PLAIN)?;
    Ok(flags & ST_REENCRYPT_PLAIN != 0)
}

/// A negative number means none.
fn user(user_id: i64) -> Option<i64> {
    (user_id >= 0).then_some(user_id)
}
