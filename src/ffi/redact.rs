//! Redaction of text.

use std::ffi::{c_char, c_void};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::store::optional_text;
use super::{
    Out, config, free_handle, guard, guard_handle, guard_optional_out, guard_out, input, null, st_bytes, st_config,
    st_error, st_status,
};
use crate::error::{Error, Result};
use crate::redact::{Redactor, Stream};
use crate::secret_memory::SharedBytes;

/// Replaces values in text. Any number of threads may use it at once, as may the child of a `fork()`. Wherever a
/// function takes a redactor, NULL means the redactor of the process, which has the values of secrets, credentials and
/// decrypted tokens that the library returns: see `st_redactor_start`.
///
/// A value is found verbatim; escaped as in JSON, in Python's `repr`, or for a shell; percent-encoded; in hexadecimal;
/// in base64 and base64url, whatever is encoded in front of it and behind it, also in lines of 76 characters; and in
/// UTF-16LE. If a value has several lines, each line is found too.
///
/// Not found are: values shorter than `redact_min`; values that are transformed otherwise, such as compressed or
/// encrypted ones; values with other text in between, such as control codes of a terminal or line breaks.
pub struct st_redactor(Arc<Redactor>);

/// Redacts one text, which arrives in pieces. One thread at a time may use it.
pub struct st_redact_stream(Stream<'static>);

/// Opens a redactor that has no value yet. `config` may be NULL; its settings are `redact_min` and `redact_with`. The
/// caller frees the redactor with `st_redactor_free`.
///
/// `ST_CONFIG`: a setting is invalid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_redactor_open(
    config: *const st_config,
    out: *mut *mut st_redactor,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller passes NULL or a pointer to a pointer, and NULL or a configuration that no other thread
    // changes now.
    unsafe { guard_handle(out, error, || Ok(st_redactor(Arc::new(Redactor::open(&config::settings(config))?)))) }
}

/// Frees a redactor. No other thread may be using it. Its streams remain valid. Freeing NULL does nothing: the redactor
/// of the process is not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_redactor_free(redactor: *mut st_redactor) {
    // SAFETY: the caller frees, once, what `st_redactor_open` returned.
    unsafe { free_handle(redactor) }
}

/// Opens the redactor of the process. From now on, a call that redacts replaces each value that `st_secrets_get`,
/// `st_credential_get`, `st_credential_resolve`, `st_decrypt` and their variants returned before it. If such a value
/// cannot be stored for lack of memory, it is still returned, and the next call that redacts logs an error.
///
/// `config` is as for `st_redactor_open`. Without this call, the redactor is opened with default settings when NULL is
/// first passed as a redactor. It remains open until the process ends. Call this at the start of the program: values
/// that were returned before are not replaced.
///
/// `ST_CONFIG`: a setting is invalid, or the redactor is open with other settings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_redactor_start(config: *const st_config, error: *mut st_error) -> st_status {
    // SAFETY: the caller passes NULL or a configuration that no other thread changes now.
    guard(error, || Redactor::open_default(&unsafe { config::settings(config) }))
}

/// Adds a value, which is replaced from now on. `name` is what `redact_with` can show; NULL with length 0 for none.
/// `added` (may be NULL) receives whether the value has at least `redact_min` bytes; a shorter one is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_redactor_add(
    redactor: *const st_redactor,
    name: *const c_char,
    name_len: usize,
    value: *const c_void,
    value_len: usize,
    added: *mut bool,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller passes NULL or a pointer to a bool, NULL or readable text and bytes of these lengths, and NULL
    // or a live redactor.
    unsafe {
        guard_optional_out(added, error, || {
            let (name, value) = (optional_text("name", name, name_len)?, input("value", value, value_len)?);
            let redactor = self::redactor(redactor)?;
            match name {
                Some(name) => redactor.add_named(name, value),
                None => Ok(redactor.add([value])? == 1),
            }
        })
    }
}

/// Returns a text with every value replaced. It need not be UTF-8. The caller frees `out` with `st_bytes_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_redact(
    redactor: *const st_redactor,
    text: *const c_void,
    len: usize,
    out: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller passes NULL or a pointer to an `st_bytes`, readable bytes of this length, and NULL or a live
    // redactor.
    unsafe {
        guard_out(out, "out", error, || {
            let text = input("text", text, len)?;
            SharedBytes::copy_from(&self::redactor(redactor)?.redact(text))
        })
    }
}

/// Reads from a file descriptor until its end, and writes the text with every value replaced to another one. Text that
/// may be the beginning of a value is held back until more is read or 50 ms pass, so a value that is written in parts
/// with longer pauses is not found. The descriptors may be non-blocking; neither is closed.
///
/// `ST_IO`: reading or writing failed; `detail` is `errno`, `EPIPE` if the reader of `to` is gone. The system then also
/// sends SIGPIPE, which ends a program that does not ignore it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_redact_copy(
    redactor: *const st_redactor,
    from: i32,
    to: i32,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        if from < 0 || to < 0 {
            let (name, number) = if from < 0 { ("from", from) } else { ("to", to) };
            return Err(Error::invalid_argument(format!("`{name}` is {number}, which is not a file descriptor")));
        }
        // SAFETY: the caller passes NULL or a live redactor, and file descriptors that stay open during the call.
        unsafe { self::redactor(redactor)?.copy(BorrowedFd::borrow_raw(from), BorrowedFd::borrow_raw(to)) }
    })
}

/// Starts the redaction of a text that arrives in pieces. The result is the same however the text is divided. The
/// caller frees the stream with `st_redact_stream_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_redact_stream_open(
    redactor: *const st_redactor,
    out: *mut *mut st_redact_stream,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller passes NULL or a pointer to a pointer, and NULL or a live redactor.
    unsafe { guard_handle(out, error, || Ok(st_redact_stream(self::redactor(redactor)?.into_stream()))) }
}

/// Frees a stream, and discards what it holds back: call `st_redact_stream_flush` first. Freeing NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_redact_stream_free(stream: *mut st_redact_stream) {
    // SAFETY: the caller frees, once, what `st_redact_stream_open` returned.
    unsafe { free_handle(stream) }
}

/// Takes the next piece of the text. `out` receives the redacted text up to what may be the beginning of a value, which
/// is held back; it may be empty. The caller frees it with `st_bytes_free`. `held` (may be NULL) receives the number of
/// bytes that are held back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_redact_stream_write(
    stream: *mut st_redact_stream,
    text: *const c_void,
    len: usize,
    out: *mut st_bytes,
    held: *mut usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller passes NULL or pointers to an `st_bytes` and a number.
        let (out, held) = unsafe { (Out::new(out, "out"), Out::optional(held)) };
        let out = out?;
        // SAFETY: the caller passes readable bytes of this length, and a stream that no other thread uses now.
        let (text, stream) = unsafe { (input("text", text, len)?, stream.as_mut().ok_or_else(|| null("stream"))?) };
        let mut redacted = Vec::with_capacity(text.len());
        stream.0.write(text, &mut redacted);
        out.set(SharedBytes::copy_from(&redacted)?.into());
        if let Some(held) = held {
            held.set(stream.0.held());
        }
        Ok(())
    })
}

/// Returns the text that is held back. Call it at the end of the text, or when no text has arrived for a while; a value
/// whose remaining part arrives later is then not found. The stream can be used for more text. The caller frees `out`
/// with `st_bytes_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_redact_stream_flush(
    stream: *mut st_redact_stream,
    out: *mut st_bytes,
    error: *mut st_error,
) -> st_status {
    // SAFETY: the caller passes NULL or a pointer to an `st_bytes`, and a stream that no other thread uses now.
    unsafe {
        guard_out(out, "out", error, || {
            let stream = stream.as_mut().ok_or_else(|| null("stream"))?;
            let mut redacted = Vec::new();
            stream.0.flush(&mut redacted);
            SharedBytes::copy_from(&redacted)
        })
    }
}

/// Returns the redactor of a handle; that of the process for NULL.
///
/// # Safety
/// `redactor` is NULL or a live redactor.
unsafe fn redactor(redactor: *const st_redactor) -> Result<Arc<Redactor>> {
    // SAFETY: the caller's promise.
    match unsafe { redactor.as_ref() } {
        Some(redactor) => Ok(redactor.0.clone()),
        None => Redactor::default_instance(),
    }
}
