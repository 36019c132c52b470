//! Encrypting credentials that are stored.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::bytes::copy_into;
use super::{Out, config, guard, guard_quietly, input, null, st_bytes, st_config, st_error, st_status};
use crate::encryption::Cipher;
use crate::error::Result;

/// Keys with which credentials are encrypted, in the format of SimpleTuner. It may be used from any number of threads at
/// once, and in the child of a `fork()`. Where a function takes one, NULL stands for the cipher of the whole process,
/// which is made on first use and replaced by `st_cipher_reset`.
///
/// The newest key encrypts: `SIMPLETUNER_CREDENTIAL_KEY`, else that in `~/.simpletuner/credential.key`, else a new one
/// that is saved there with mode 0600. Earlier ones, from `SIMPLETUNER_CREDENTIAL_KEY_PREVIOUS` (one a line) and
/// `~/.simpletuner/credential.key.previous`, decrypt too. Key files are looked at again at most once a second.
///
/// Any function that uses one may return `ST_BAD_KEY`: a key file is empty, unreadable or gone. It is never replaced.
/// `ST_ACCESS_DENIED`: others can read a key file, and `strict_permissions` is set; else the log is warned.
pub struct st_cipher(Arc<Cipher>);

/// Opens a cipher. `config` may be NULL and is copied; its keys `key`, `key_file`, `previous_keys` and `generate` say
/// where keys come from. Keys are read, and made where there are none, now. Free the cipher with `st_cipher_free`.
///
/// `ST_CONFIG`: settings that exclude each other; `ST_IO`, `ST_READ_ONLY`, `ST_ACCESS_DENIED`: a new key cannot be saved.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cipher_open(
    config: *const st_config,
    out: *mut *mut st_cipher,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a pointer.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the caller gives NULL or a configuration that no other thread changes now.
        let cipher = Cipher::open(&unsafe { config::settings(config) })?;
        out.set(Box::into_raw(Box::new(st_cipher(Arc::new(cipher)))));
        Ok(())
    })
}

/// Frees a cipher and wipes its keys. No other thread may be using it. NULL is fine and leaves the cipher of the process
/// alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cipher_free(cipher: *mut st_cipher) {
    guard_quietly(|| {
        if !cipher.is_null() {
            // SAFETY: the caller gives back what `st_cipher_open` made, once.
            drop(unsafe { Box::from_raw(cipher) });
        }
    });
}

/// Replaces the cipher of the whole process by one with these settings or, with NULL, by a new one on its next use.
/// Calls under way end with the one they began with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_cipher_reset(config: *const st_config, error: *mut st_error) -> st_status {
    guard(error, || match config.is_null() {
        true => Cipher::reset_default(None),
        // SAFETY: the caller gives a configuration that no other thread changes now.
        false => Cipher::reset_default(Some(&unsafe { config::settings(config) })),
    })
}

/// Encrypts any bytes, up to 16 MiB, under the newest key. `token` is text, as SimpleTuner stores it, until
/// `st_bytes_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_encrypt(
    cipher: *const st_cipher,
    plaintext: *const c_void,
    plaintext_len: usize,
    token: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(token, "token") }?;
        // SAFETY: the caller gives readable bytes of this length, and NULL or a live cipher.
        let (plaintext, cipher) = unsafe { (input("plaintext", plaintext, plaintext_len)?, self::cipher(cipher)?) };
        out.set(cipher.encrypt(plaintext)?.into());
        Ok(())
    })
}

/// As `st_encrypt`, but copies the token into the caller's buffer, without a NUL, and writes its length to `len`.
/// `(NULL, 0)` asks for the length alone, which follows from that of the plain text.
///
/// `ST_BUFFER_TOO_SMALL`: the token is longer than `capacity`; `len` has the length that is needed, the buffer is as it
/// was.
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

/// Decrypts a token under any of the keys, in the form in which SimpleTuner stores it or as a bare Fernet token; white
/// space in it does not count, nor does its age. `plaintext` holds the bytes until `st_bytes_free`, which wipes them.
///
/// `ST_BAD_TOKEN`: the token is damaged, or was made with a key that is not at hand; which of the two is not told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_decrypt(
    cipher: *const st_cipher,
    token: *const c_char,
    token_len: usize,
    plaintext: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for an `st_bytes`.
        let out = unsafe { Out::new(plaintext, "plaintext") }?;
        // SAFETY: the caller gives readable bytes of this length, and NULL or a live cipher.
        let (token, cipher) = unsafe { (given("token", token, token_len)?, self::cipher(cipher)?) };
        out.set(cipher.decrypt(token)?.into());
        Ok(())
    })
}

/// As `st_decrypt`, but copies the plain text into the caller's buffer, without a NUL, and writes its length to `len`.
/// `(NULL, 0)` asks for the length alone. The copy is the caller's to wipe. For many rows this is the cheapest way: a
/// buffer of the token's own length is always large enough.
///
/// `ST_BUFFER_TOO_SMALL`: the plain text is longer than `capacity`; `len` has the length that is needed, the buffer is as
/// it was.
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
        let (token, cipher) = unsafe { (given("token", token, token_len)?, self::cipher(cipher)?) };
        // SAFETY: the caller gives NULL or a buffer of this capacity.
        cipher.decrypt_with(token, |plaintext| unsafe { copy_into(plaintext, buffer, capacity, &len) })?
    })
}

/// Puts a new key into the key file, after the old one went into the file of earlier keys (`.previous`), so that what it
/// encrypted stays readable. Both files are replaced as a whole: killed at any moment, no key is lost. Other processes
/// take the new key up within a second. SimpleTuner reads `credential.key` alone: re-encrypt what it has to read.
///
/// `ST_READ_ONLY`: the key comes from a variable or from `key`, or the place cannot be written to; `ST_BUSY`: another
/// process did not finish in time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_rotate_key(cipher: *const st_cipher, error: *mut st_error) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a live cipher.
        unsafe { self::cipher(cipher) }?.rotate_key()
    })
}

/// Makes of a token one under the newest key, in the form in which SimpleTuner stores it. `changed` (may be NULL) tells
/// whether it differs from the one that was given, which may have been that already. Errors are as for `st_decrypt`.
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
        let (token, cipher) = unsafe { (given("token", token, token_len)?, self::cipher(cipher)?) };
        let new = cipher.reencrypt(token)?;
        if let Some(changed) = changed {
            changed.set(new.changed);
        }
        out.set(new.token.into());
        Ok(())
    })
}

/// The cipher behind a handle; NULL is that of the process.
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

/// The bytes of a token, which need not be UTF-8: one that is not is a bad token.
///
/// # Safety
/// As for [`input`].
unsafe fn given<'a>(name: &str, data: *const c_char, len: usize) -> Result<&'a [u8]> {
    if data.is_null() {
        return Err(null(name));
    }
    // SAFETY: passed on.
    unsafe { input(name, data.cast(), len) }
}
