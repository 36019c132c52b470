//! Stored credentials.

use std::ffi::{c_char, c_void};

use super::encryption::{cipher, st_cipher};
use super::secrets::{manager, st_secrets};
use super::store::{document, optional_text, st_store, with};
use super::{Out, guard, input, st_bytes, st_error, st_status, text};
use crate::error::{Error, Result};

/// From `st_credential_resolve`: the credential is the user's own.
pub const ST_CREDENTIAL_USER: i32 = 1;
/// From `st_credential_resolve`: the credential is the secret that all users share.
pub const ST_CREDENTIAL_GLOBAL: i32 = 2;

/// For `st_credentials_reencrypt`: encrypt plain text too.
pub const ST_REENCRYPT_PLAIN: u32 = 1;

/// Is told how many of how many credentials are done; `false` stops it all, and nothing is changed. It is called on the
/// calling thread while the database is locked for other writers, with no lock of the library held. It may use the
/// library, but nothing in the same database file, through whatever store: neither credentials nor, where both are in one
/// file, provider configuration and hardware prices that are not cached. Such a call gets `ST_BUSY`.
pub type st_progress_fn = Option<unsafe extern "C-unwind" fn(context: *mut c_void, done: u64, total: u64) -> bool>;

/// Stores a credential of a user, encrypted under the newest key, in place of the one of this name, if there is one.
/// NULL as the cipher is that of the process. `value` is 1 byte to 1 MiB.
///
/// `ST_INVALID_ARGUMENT`: there is a table of users, and this one is not in it. Errors of the cipher are as for
/// `st_encrypt`.
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
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives readable text and bytes of these lengths, and NULL or a live cipher.
        let (provider, name, value, cipher) = unsafe {
            (
                text("provider", provider, provider_len)?,
                text("name", name, name_len)?,
                input("value", value, value_len)?,
                self::cipher(cipher)?,
            )
        };
        // SAFETY: the caller gives NULL or a live store.
        unsafe { with(store, |store| store.credential_set(&cipher, user_id, provider, name, value)) }
    })
}

/// Reads the value of a user's active credential, encrypted or, as SimpleTuner leaves it, plain. The use is recorded, and
/// its time is noted in `last_used_at`. `value` holds the bytes until `st_bytes_free`, which wipes them.
///
/// `ST_NOT_FOUND`: the user has none of this name; `ST_BAD_TOKEN`: as for `st_decrypt`.
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
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(value, "value") }?;
        // SAFETY: the caller gives readable text of these lengths, and NULL or a live cipher.
        let (provider, name, cipher) = unsafe {
            (text("provider", provider, provider_len)?, text("name", name, name_len)?, self::cipher(cipher)?)
        };
        // SAFETY: the caller gives NULL or a live store.
        out.set(unsafe { with(store, |store| store.credential_get(&cipher, user_id, provider, name)) }?.into());
        Ok(())
    })
}

/// Removes a credential of a user. `existed` (may be NULL) tells whether there was one; that there was none is no failure.
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
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a bool.
        let existed = unsafe { Out::optional(existed) };
        // SAFETY: the caller gives readable text of these lengths.
        let (provider, name) = unsafe { (text("provider", provider, provider_len)?, text("name", name, name_len)?) };
        // SAFETY: the caller gives NULL or a live store.
        let deleted = unsafe { with(store, |store| store.credential_delete(user_id, provider, name)) }?;
        if let Some(existed) = existed {
            existed.set(deleted);
        }
        Ok(())
    })
}

/// Lists credentials without their values: those of a user (a negative `user_id`: of all) and a provider (NULL with 0: of
/// all), as a JSON array of objects with `id`, `user_id`, `provider`, `name`, `created_at`, `updated_at`, `last_used_at`,
/// `is_active` and `encrypted`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_credential_list(
    store: *const st_store,
    user_id: i64,
    provider: *const c_char,
    provider_len: usize,
    json: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(json, "json") }?;
        // SAFETY: the caller gives NULL or readable text of this length.
        let provider = unsafe { optional_text("provider", provider, provider_len) }?;
        let user_id = (user_id >= 0).then_some(user_id);
        // SAFETY: the caller gives NULL or a live store.
        out.set(document(&unsafe { with(store, |store| store.credential_list(user_id, provider)) }?)?);
        Ok(())
    })
}

/// Finds a credential for a user: the user's own active one, as `st_credential_get` does, else the secret `global_key` of
/// the chain `secrets` (NULL: that of the process). `source` (may be NULL) tells which, `ST_CREDENTIAL_…`.
///
/// If the user's own is there but cannot be decrypted, that is the error; the global one does not take its place.
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
                text("global_key", global_key, global_key_len)?,
                self::cipher(cipher)?,
                self::manager(secrets)?,
            )
        };
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

/// Puts a new key in place of the newest one, as `st_rotate_key` does, and brings every stored credential under it. If
/// that fails or is cut short, all of them stay readable, and `st_credentials_reencrypt` does the rest.
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
        unsafe { with(store, |store| store.credentials_rotate(&cipher).map(drop)) }
    })
}

/// Brings every stored credential under the newest key, in one transaction: all or, with an error, none. It may be
/// repeated. With `ST_REENCRYPT_PLAIN` plain text is encrypted too; SimpleTuner itself, which reads the column as it is,
/// then finds a token in its place.
///
/// `progress` (may be NULL) is called with `context` as it goes. `report` (may be NULL) is a JSON object of `total`,
/// `reencrypted`, `unchanged`, `migrated`, `plain` (left as they are) and `unreadable` (an array: the numbers of those
/// whose key is not at hand, which are left as they are too).
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
    let unknown = flags & !ST_REENCRYPT_PLAIN;
    if unknown != 0 {
        return Err(Error::invalid_argument(format!("`flags` has bits that mean nothing: {unknown:#x}")));
    }
    Ok(flags & ST_REENCRYPT_PLAIN != 0)
}
