//! A new key in place of the old one.
//!
//! The order is what makes it safe to be killed at any moment: the old secret is in the file of earlier ones, on the
//! disk, before the key file changes. Until then the old key is the newest; from then on both are known.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::key::{self, Read};
use crate::clock::Deadline;
use crate::error::{Error, Result, Source};
use crate::files;
use crate::secret_memory::SecretBuffer;

/// Puts a new secret into the file at `path`, after the old one went into `previous`.
pub(super) fn rotate(path: &Path, previous: &Path, strict: bool, deadline: Deadline) -> Result<()> {
    let write_failed = |error: Error| {
        error.with_source(Source::Credential).map_message(|message| {
            format!("the key was not rotated: {message}; tokens of the key so far stay readable")
        })
    };
    // A link stays a link: what it leads to is changed.
    let place = fs::canonicalize(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => key::gone(path),
        _ => key::bad_key(Error::io("look at", path, &error).message()).with_detail(error.raw_os_error().unwrap_or(0)),
    })?;
    let _lock = files::lock(&place, deadline).map_err(write_failed)?;
    let current = Read::file(&place, strict)?.ok_or_else(|| key::gone(path))?;
    if let Some((place, text)) = with_previous(&current, previous, strict)? {
        files::replace(&place, &text, Some(current.owner)).map_err(write_failed)?;
    }
    files::replace(&place, &*key::generate()?, Some(current.owner)).map_err(write_failed)
}

/// The file of earlier secrets with this one in front, and its place; `None` if the secret is in it already, as after a
/// rotation that was cut short.
fn with_previous(current: &Read, previous: &Path, strict: bool) -> Result<Option<(PathBuf, SecretBuffer)>> {
    let secret = current.secret()?;
    if secret.contains(&b'\n') {
        let message =
            "the key has several lines, and earlier keys are kept one a line: move it to previous_keys by hand";
        return Err(key::bad_key(message));
    }
    let place = match fs::canonicalize(previous) {
        Ok(place) => place,
        Err(error) if error.kind() == ErrorKind::NotFound => files::path_to_create(previous)?,
        Err(error) => return Err(key::bad_key(Error::io("look at", previous, &error).message())),
    };
    let before = Read::file(&place, strict)?;
    let before = before.as_ref().map_or("", |read| read.text());
    if key::lines(before)?.iter().any(|line| **line == *secret) {
        return Ok(None);
    }
    let mut text = SecretBuffer::with_capacity(secret.len() + 1 + before.len())?;
    text.push(&secret)?;
    text.push(b"\n")?;
    text.push(before.as_bytes())?;
    Ok(Some((place, text)))
}
