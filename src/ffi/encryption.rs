//! Encryption of credentials.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::bytes::copy_into;
use super::{
    Out, config, free_handle, guard, guard_handle, guard_out, input, null, st_bytes, st_config, st_error, st_status,
};
use crate::encryption::Cipher;
use crate::error::Result;

/// The keys that encrypt credentials, in SimpleTuner's format: a Fernet token (<https://github.com/fernet/spec>),
/// encoded once more as URL-safe base64. Its key is derived from a secret with PBKDF2-HMAC-SHA256 and 100 000
/// iterations. A cipher may be used from any number of threads at once, and in the child of a `fork()`. Where a
/// function takes a cipher, NULL means the cipher of the process, which is opened on first use with the settings of the
/// environment, and is replaced by `st_cipher_reset`.
///
/// The newest key encrypts. It comes from `SIMPLETUNER_CREDENTIAL_KEY`, otherwise from `~/.simpletuner/credential.key`;
/// if there is neither, a new key is generated and saved there with mode 0600. Previous keys decrypt too. They come
/// from `SIMPLETUNER_CREDENTIAL_KEY_PREVIOUS` (one per line) and `~/.simpletuner/credential.key.previous`. Key files
/// are checked for changes at most once a second.
///
/// Every function that uses a cipher may return:
///
/// - `ST_BAD_KEY`: a key file is empty, unreadable or missing. It is never replaced.
/// - `ST_ACCESS_DENIED`: other users can read a key file, and `strict_permissions` is set. Without it, a warning is
///   logged.
pub struct st_cipher(Arc<Cipher>);

/// Opens a cipher. `config` may be NULL and is copied. Its settings `key`, `key_file`, `previous_keys` and `generate`
/// say where the keys come from; `timeout` limits the wait for other processes that write a key file, in seconds
/// (default 10). The keys are read now, and one is generated if there is none. Free the cipher with `st_cipher_free`.
///
/// `ST_CONFIG`: settings are mutually exclusive. `ST_IO`, `ST_READ_ONLY`, `ST_ACCESS_DENIED`: a new key cannot be
/// saved.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cipher_open(
    config: *const st_config,
    out: *mut *mut st_cipher,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for a pointer, and NULL or a configuration that no other thread changes
    // now.
    unsafe { guard_handle(out, error, || Ok(st_cipher(Arc::new(Cipher::open(&config::settings(config))?)))) }
}

/// Frees a cipher and wipes its keys. No other thread may be using it. NULL is allowed and does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cipher_free(cipher: *mut st_cipher) {
    // SAFETY: the caller gives back what `st_cipher_open` made, once.
    unsafe { free_handle(cipher) }
}

/// Replaces the cipher of the process with one that has these settings. With NULL, a new one is opened from the
/// environment on the next use. Calls in progress finish with the cipher that they started with. `config` is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cipher_reset(config: *const st_config, error: *mut st_error) -> st_status {
    // SAFETY: the caller gives NULL or a configuration that no other thread changes now.
    guard(error, || Cipher::reset_default(unsafe { config::optional_settings(config) }.as_ref()))
}

/// Encrypts up to 16 MiB of bytes under the newest key. `token` receives text in the form in which SimpleTuner stores
/// it. Free it with `st_bytes_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_encrypt(
    cipher: *const st_cipher,
    plaintext: *const c_void,
    plaintext_len: usize,
    token: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for an `st_bytes`, readable bytes of this length, and NULL or a live
    // cipher.
    unsafe {
        guard_out(token, "token", error, || {
            let plaintext = input("plaintext", plaintext, plaintext_len)?;
            self::cipher(cipher)?.encrypt(plaintext)
        })
    }
}

/// Like `st_encrypt`, but copies the token, without a NUL, into the caller's buffer of `capacity` bytes and its length
/// into `len`. With `buffer` NULL and `capacity` 0, only `len` is set; it depends on nothing but `plaintext_len`.
///
/// `ST_BUFFER_TOO_SMALL`: the token is longer than `capacity`. `len` receives the required length; the buffer is
/// unchanged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_encrypt_into(
    cipher: *const st_cipher,
    plaintext: *const c_void,
    plaintext_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a length.
        let len = unsafe { Out::new(len, "len") }?;
        // SAFETY: the caller gives readable bytes of this length, and NULL or a live cipher.
        let (plaintext, cipher) = unsafe { (input("plaintext", plaintext, plaintext_len)?, self::cipher(cipher)?) };
        if buffer.is_null() && capacity == 0 {
            len.set(Cipher::token_len(plaintext.len())?);
            return Ok(());
        }
        // SAFETY: the caller gives NULL or a buffer of this capacity.
        cipher.encrypt_with(plaintext, |token| unsafe { copy_into(token, buffer, capacity, &len) })?
    })
}

/// Decrypts a token made with any of the keys, in the form in which SimpleTuner stores it or as a bare Fernet token.
/// White space in it is ignored, and so is its age. Free `plaintext` with `st_bytes_free`, which wipes it.
///
/// `ST_BAD_TOKEN`: the token is damaged, or was made with a key that is not available; the two cases are not
/// distinguished.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_decrypt(
    cipher: *const st_cipher,
    token: *const c_char,
    token_len: usize,
    plaintext: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller gives NULL or a place for an `st_bytes`, readable bytes of this length, and NULL or a live
    // cipher.
    unsafe {
        guard_out(plaintext, "plaintext", error, || {
            let token = token_bytes("token", token, token_len)?;
            self::cipher(cipher)?.decrypt(token)
        })
    }
}

/// Like `st_decrypt`, but copies the plaintext, without a NUL, into the caller's buffer of `capacity` bytes and its
/// length into `len`. With `buffer` NULL and `capacity` 0, only `len` is set. The caller wipes the buffer. This is the
/// fastest way to decrypt many rows; a buffer as long as the token is always large enough.
///
/// `ST_BUFFER_TOO_SMALL`: the plaintext is longer than `capacity`. `len` receives the required length; the buffer is
/// unchanged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_decrypt_into(
    cipher: *const st_cipher,
    token: *const c_char,
    token_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a length.
        let len = unsafe { Out::new(len, "len") }?;
        // SAFETY: the caller gives readable bytes of this length, and NULL or a live cipher.
        let (token, cipher) = unsafe { (token_bytes("token", token, token_len)?, self::cipher(cipher)?) };
        // SAFETY: the caller gives NULL or a buffer of this capacity.
        cipher.decrypt_with(token, |plaintext| unsafe { copy_into(plaintext, buffer, capacity, &len) })?
    })
}

/// Generates a new key in the key file, after saving the old one in the file of previous keys (`.previous`), so that
/// existing tokens remain readable. Both files are replaced atomically: no key is lost, even if the process is killed
/// at any moment. Other processes pick up the new key within a second. SimpleTuner reads only `credential.key`:
/// re-encrypt what it has to read.
///
/// `ST_READ_ONLY`: the key comes from a variable or from the setting `key`, or the file cannot be written to.
/// `ST_BUSY`: another process kept the key file locked until the timeout.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_rotate_key(cipher: *const st_cipher, error: *mut st_error) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a live cipher.
        unsafe { self::cipher(cipher) }?.rotate_key()
    })
}

/// Re-encrypts a token under the newest key. `out` receives the new token in the form in which SimpleTuner stores it,
/// to be freed with `st_bytes_free`. If the token is already in this form and under this key, it is returned unchanged.
/// `changed` (may be NULL) receives whether the tokens differ. Errors are as for `st_decrypt`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_reencrypt(
    cipher: *const st_cipher,
    token: *const c_char,
    token_len: usize,
    out: *mut st_bytes,
    changed: *mut bool,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or places for an `st_bytes` and a bool.
        let (out, changed) = unsafe { (Out::new(out, "out"), Out::optional(changed)) };
        let out = out?;
        // SAFETY: the caller gives readable bytes of this length, and NULL or a live cipher.
        let (token, cipher) = unsafe { (token_bytes("token", token, token_len)?, self::cipher(cipher)?) };
        let new = cipher.reencrypt(token)?;
        if let Some(changed) = changed {
            changed.set(new.changed);
        }
        out.set(new.token.into());
        Ok(())
    })
}

/// The cipher behind a handle. NULL means the cipher of the process.
///
/// # Safety
/// `cipher` is NULL or a live cipher.
pub(super) unsafe fn cipher(cipher: *const st_cipher) -> Result<Arc<Cipher>> {
    // SAFETY: passed on.
    match unsafe { cipher.as_ref() } {
        Some(cipher) => Ok(cipher.0.clone()),
        None => Cipher::default_instance(),
    }
}

/// The bytes of a token. They need not be UTF-8: other bytes are a bad token.
///
/// # Safety
/// As for [`input`].
unsafe fn token_bytes<'a>(name: &str, data: *const c_char, len: usize) -> Result<&'a [u8]> {
    if data.is_null() {
        return Err(null(name));
    }
    // SAFETY: passed on.
    unsafe { input(name, data.cast(), len) }
}
