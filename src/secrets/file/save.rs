//! Changing a secrets file: one writer at a time, and readers get the whole old file or the whole new one.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::document::{EntryChange, FileFormat, MAX_SIZE};
use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::files::{self, LoosePermissions};

/// Makes `change` in the file at `path`. For a new entry it creates the file and its directory if they do not exist.
/// Returns `false` if there is nothing to delete. Called while forks are allowed.
pub(super) fn change(
    path: &Path,
    key: &str,
    change: &EntryChange<'_>,
    strict: bool,
    deadline: Deadline,
) -> Result<bool> {
    // A link stays a link: its target is changed.
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => match change {
            EntryChange::Delete => return Ok(false),
            EntryChange::Set(_) => files::path_to_create(path)?,
        },
        Err(error) => return Err(super::directory::metadata_error(path, &error)),
    };
    let _lock = files::lock(&path, deadline)?;
    let current = match files::read(&path, MAX_SIZE) {
        Ok(contents) => Some(contents),
        Err(_) if !path.exists() => None,
        Err(error) => return Err(error),
    };
    if let Some(contents) = current.as_ref().filter(|_| strict)
        && let Some(loose_permissions) = LoosePermissions::of(&path, &contents.metadata)
    {
        return Err(loose_permissions.refusal());
    }
    let format = FileFormat::of(&path);
    let before: &[u8] = match &current {
        // An empty text is a new document, but an existing empty file may be invalid.
        Some(contents) if contents.bytes.is_empty() => {
            format.parse(b"", deadline).map_err(|problem| problem.in_file(&path))?;
            b""
        }
        Some(contents) => &contents.bytes,
        None => b"",
    };
    if current.is_none() && matches!(change, EntryChange::Delete) {
        return Ok(false);
    }
    let Some(after) = change.apply(format, before, key, deadline).map_err(|problem| problem.in_file(&path))? else {
        return Ok(false);
    };
    if after.len() > MAX_SIZE {
        let message = format!("{} would become larger than {MAX_SIZE} bytes", path.display());
        return Err(Error::invalid_argument(message));
    }
    let owner = current.as_ref().map(|contents| (contents.metadata.uid(), contents.metadata.gid()));
    files::replace(&path, after.as_bytes(), owner)?;
    Ok(true)
}
