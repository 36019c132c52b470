//! Changing a secrets file: one writer at a time, and either the old file or the new one, whole, at every instant.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::document::{Change, Format, MAX_SIZE};
use super::read::{self, Exposure};
use crate::clock::Deadline;
use crate::error::{Error, Result, Source, Status};
use crate::fork;

/// Makes `change` in the file at `path`, creating it and its folder for a new entry where they are missing. `false`
/// means that there was nothing to delete.
pub(super) fn change(path: &Path, key: &str, change: &Change<'_>, strict: bool, deadline: Deadline) -> Result<bool> {
    // A link stays a link: what it leads to is changed.
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => match change {
            Change::Delete => return Ok(false),
            Change::Set(_) => missing(path)?,
        },
        Err(error) => return Err(super::look_error(path, &error)),
    };
    let _lock = lock(&path, deadline)?;
    let current = match read::read(&path, MAX_SIZE) {
        Ok(contents) => Some(contents),
        Err(_) if !path.exists() => None,
        Err(error) => return Err(error),
    };
    if let Some(contents) = current.as_ref().filter(|_| strict)
        && let Some(exposure) = Exposure::of(&path, &contents.metadata)
    {
        return Err(exposure.refusal());
    }
    let format = Format::of(&path);
    let before: &[u8] = match &current {
        // An empty text is a new document; a file that is there and empty is a broken one.
        Some(contents) if contents.bytes.is_empty() => {
            format.parse(b"").map_err(|problem| problem.in_file(&path))?;
            b""
        }
        Some(contents) => &contents.bytes,
        None => b"",
    };
    if current.is_none() && matches!(change, Change::Delete) {
        return Ok(false);
    }
    let Some(after) = change.apply(format, before, key).map_err(|problem| problem.in_file(&path))? else {
        return Ok(false);
    };
    if after.len() > MAX_SIZE {
        let message = format!("{} would become larger than {MAX_SIZE} bytes", path.display());
        return Err(Error::invalid_argument(message).with_source(Source::File));
    }
    let owner = current.as_ref().map(|contents| (contents.metadata.uid(), contents.metadata.gid()));
    replace(&path, after.as_bytes(), owner)?;
    Ok(true)
}

/// The place of a file that is to be created; its folder is there afterwards.
fn missing(path: &Path) -> Result<PathBuf> {
    // A link to a file that is not there yet: the file is created where it points.
    if let Ok(target) = fs::read_link(path) {
        return Ok(path.parent().unwrap_or(Path::new("/")).join(target));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .and_then(|()| fs::canonicalize(folder))
        .map_err(|error| failed("create the folder", folder, &error))
        .map(|folder| folder.join(path.file_name().unwrap_or_default()))
}

/// Keeps other writers out until it is dropped. The empty lock file stays: removing it would let two writers hold
/// locks on two files of the same name.
fn lock(path: &Path, deadline: Deadline) -> Result<File> {
    let lock_path = beside(path, ".lock");
    let mut pause = Duration::from_micros(200);
    loop {
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&lock_path)
            .map_err(|error| failed("create the lock", &lock_path, &error))?;
        give_to_owner_of(path, &file);
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &lock_path, &error)),
            Err(TryLockError::WouldBlock) => {}
        }
        // Closed while waiting: a child forked meanwhile would keep the lock of a parent that died.
        drop(file);
        if deadline.has_passed() {
            let message = format!("{} is being changed by another process; try again", path.display());
            return Err(Error::new(Status::Busy, message).with_source(Source::File).with_retryable(true));
        }
        fork::outside(|| std::thread::sleep(pause.min(deadline.remaining())));
        pause = (pause * 2).min(Duration::from_millis(3));
    }
}

/// What root creates beside a user's file has to be that user's, who could not lock it otherwise.
fn give_to_owner_of(path: &Path, lock: &File) {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let owner = fs::metadata(path).or_else(|_| fs::metadata(folder)).map(|metadata| (metadata.uid(), metadata.gid()));
    if let (Ok((user, group)), Ok(metadata)) = (owner, lock.metadata())
        && metadata.uid() != user
    {
        // Others than root may not do this, and need not: the lock is theirs.
        let _ = fchown(lock, Some(user), Some(group));
    }
}

/// Writes a new file beside the old one and moves it into place. It has mode 0600 from its first byte.
fn replace(path: &Path, contents: &[u8], owner: Option<(u32, u32)>) -> Result<()> {
    let new_path = beside(path, ".tmp");
    // A writer that was killed may have left one; the lock makes sure that nobody is writing it.
    match fs::remove_file(&new_path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &new_path, &error)),
        _ => {}
    }
    let written = write_new(&new_path, contents, owner)
        .map_err(|error| failed("write", &new_path, &error))
        .and_then(|()| fs::rename(&new_path, path).map_err(|error| failed("replace", path, &error)));
    if written.is_err() {
        let _ = fs::remove_file(&new_path);
        return written;
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed("sync", folder, &error))
}

fn write_new(path: &Path, contents: &[u8], owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // A strict umask may have taken away the owner's own rights.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    if let Some((user, group)) = owner
        && owner != file.metadata().map(|metadata| (metadata.uid(), metadata.gid())).ok()
    {
        // Only root can give a file away; for others it becomes theirs, as with every program that renames.
        let _ = fchown(&file, Some(user), Some(group));
    }
    file.write_all(contents)?;
    file.sync_all()
}

/// `.secrets.json.lock` for `secrets.json`: hidden, in the same folder.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(suffix);
    path.with_file_name(name)
}

fn failed(action: &str, path: &Path, error: &io::Error) -> Error {
    Error::io(action, path, error).with_source(Source::File)
}
