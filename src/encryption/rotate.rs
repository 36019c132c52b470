//! Key rotation.
//!
//! The order of the writes makes it safe to be killed at any moment: the old secret is on disk in the file of previous
//! secrets before the key file changes. Until then the old key is the newest; from then on both keys are in the
//! keyring.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::key_source::{self, KeyFile};
use crate::clock::Deadline;
use crate::error::{Error, Result, Source};
use crate::files;
use crate::log::{self, Level};
use crate::secret_memory::SecretBuffer;

/// Adds the secret in `path` to `previous`, then puts a new one into `path`.
pub(super) fn rotate(path: &Path, previous: &Path, strict: bool, deadline: Deadline) -> Result<()> {
    let write_failed = |error: Error| {
        error.with_source(Source::Encryption).map_message(|message| {
            format!("the key was not rotated: {message}; tokens made with the current key remain readable")
        })
    };
    // A symbolic link stays: the file that it points to is replaced.
    let target = fs::canonicalize(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => key_source::missing(path),
        _ => cannot_resolve(path, &error),
    })?;
    let lock = files::lock(&target, deadline).map_err(write_failed)?;
    let current = KeyFile::read(&target, strict)?.ok_or_else(|| key_source::missing(path))?;
    if let Some((target, text)) = with_previous(&current, previous, strict)? {
        files::replace(&target, &text, Some(current.owner)).map_err(write_failed)?;
    }
    files::replace_unsynced(&target, &*key_source::generate()?, Some(current.owner)).map_err(write_failed)?;
    // From here on the new key is in use: the key is rotated, whatever fails.
    let synced = files::sync_directory(&target);
    drop(lock);
    if let Err(error) = synced {
        log::emit(Level::Warn, "encryption", || error.message().to_owned());
    }
    Ok(())
}

/// The path of the file of previous secrets, and its contents with the current secret in front. `None` if it contains
/// the secret already, as after an interrupted rotation.
fn with_previous(current: &KeyFile, previous: &Path, strict: bool) -> Result<Option<(PathBuf, SecretBuffer)>> {
    let secret = current.secret()?;
    if secret.contains(&b'\n') {
        let message = "the key has several lines, but previous keys are stored one per line; add the key to \
                       `previous_keys` in the configuration and replace the key file by hand";
        return Err(key_source::bad_key(message));
    }
    let target = match fs::canonicalize(previous) {
        Ok(target) => target,
        Err(error) if error.kind() == ErrorKind::NotFound => files::path_to_create(previous)?,
        Err(error) => return Err(cannot_resolve(previous, &error)),
    };
    let file = KeyFile::read(&target, strict)?;
    let old = file.as_ref().map_or("", |file| file.text());
    if key_source::parse_lines(old)?.iter().any(|line| **line == *secret) {
        return Ok(None);
    }
    let mut text = SecretBuffer::with_capacity(secret.len() + 1 + old.len())?;
    text.push(&secret)?;
    text.push(b"\n")?;
    text.push(old.as_bytes())?;
    Ok(Some((target, text)))
}

fn cannot_resolve(path: &Path, error: &std::io::Error) -> Error {
    key_source::bad_key(Error::io("read", path, error).message()).with_detail(error.raw_os_error().unwrap_or(0))
}
