//! Files that hold secrets. They are read into secret memory, checked for changes and for loose permissions, and
//! written by one writer at a time. At every instant a reader sees either the old file or the new one, complete.
//!
//! Errors carry no source; the caller adds it.

use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result, Status};
use crate::fork;
use crate::fork_safe::CloseOnForkFile;
use crate::secret_memory::SecretBuffer;
use crate::{shell, sys};

mod access_list;
mod lock;
mod settled;

pub(crate) use lock::{is_at, lock};
pub(crate) use settled::read_settled;

/// Distinguishes one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    pub(crate) fn of(metadata: &Metadata) -> Fingerprint {
        Fingerprint {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The bytes of a file, and its metadata at the time of reading.
pub(crate) struct Contents {
    pub(crate) bytes: SecretBuffer,
    pub(crate) metadata: Metadata,
}

/// Reads a regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Contents> {
    let failed = |action, error| Error::io(action, path, &error);
    // Opening a pipe would block until another process writes to it. Non-blocking, it is opened and then rejected.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = CloseOnForkFile::open(&options, path).map_err(|error| failed("open", error))?;
    let metadata = file.metadata().map_err(|error| failed("read the metadata of", error))?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "is a directory, not a file" } else { "is not a regular file" };
        return Err(Error::new(Status::Io, format!("{} {what}", path.display())));
    }
    let size = usize::try_from(metadata.size()).unwrap_or(usize::MAX);
    let mut bytes = SecretBuffer::with_capacity(size.min(limit) + 1)?;
    if !bytes.read_to_end(&mut &*file, limit).map_err(|error| failed("read", error))? {
        let message = format!("{} is larger than {limit} bytes", path.display());
        return Err(Error::new(Status::Protocol, message));
    }
    Ok(Contents { bytes, metadata })
}

/// Whether reading failed because memory or file descriptors ran out. That says nothing about the file.
pub(crate) fn is_shortage(error: &Error) -> bool {
    error.status() == Status::NoMemory || [libc::ENOMEM, libc::EMFILE, libc::ENFILE].contains(&error.detail())
}

/// Whether the file was changed within the last second, so that a writer that does not rename may still be writing.
pub(crate) fn is_new(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    modified.and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age < Duration::from_secs(1))
}

/// The time that a writer that does not rename may need to complete a file.
const SETTLE_TIME: Duration = Duration::from_millis(20);

/// Waits for [`SETTLE_TIME`], so that a file read in the middle of a write can be read again. The caller holds no lock.
pub(crate) fn settle() {
    fork::unprotected(|| std::thread::sleep(SETTLE_TIME));
}

/// A file that other users can read or change.
#[derive(Clone, Debug)]
pub(crate) struct LoosePermissions {
    pub(crate) detail: String,
    /// The command that fixes it.
    pub(crate) remedy: String,
}

impl LoosePermissions {
    /// Returns `None` for a file that only its owner, and the user of this process, can read and change.
    pub(crate) fn of(path: &Path, metadata: &Metadata) -> Option<LoosePermissions> {
        let mode = metadata.mode() & 0o777;
        // The group bits of a file with an access list are those of its mask, and say nothing about the group.
        let admits_others = || {
            let list = sys::access_list(path);
            list.and_then(|list| access_list::admits_others(&list, sys::effective_user())).unwrap_or(true)
        };
        (mode & 0o066 != 0 && admits_others()).then(|| LoosePermissions {
            detail: format!("{} can be read or changed by other users (mode {mode:04o})", path.display()),
            remedy: format!("chmod 600 {}", shell::quoted_path(path)),
        })
    }

    pub(crate) fn warning(&self) -> String {
        format!("{}; run: {}", self.detail, self.remedy)
    }

    /// The error under `strict_permissions`.
    pub(crate) fn refusal(&self) -> Error {
        let message = format!("rejected because strict_permissions is set: {}", self.warning());
        Error::new(Status::AccessDenied, message)
    }
}

/// The maximum number of links that are followed, that of Linux.
const MAX_LINKS: usize = 40;

/// Returns the path at which to create a file, and creates its directory.
pub(crate) fn path_to_create(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(Error::new(Status::Io, format!("{} names a directory; name a file", path.display())));
    }
    // A link, or a chain of links, to a file that does not exist yet: the file is created at the last target.
    if let Ok(target) = fs::read_link(path) {
        let mut target = directory_of(path).join(target);
        for _ in 0..MAX_LINKS {
            match fs::read_link(&target) {
                Ok(next) => target = directory_of(&target).join(next),
                Err(_) => return Ok(target),
            }
        }
        return Err(Error::io("follow the links at", path, &io::Error::from_raw_os_error(libc::ELOOP)));
    }
    let directory = directory_of(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .and_then(|()| fs::canonicalize(directory))
        .map_err(|error| Error::io("create the directory", directory, &error))
        .map(|directory| directory.join(path.file_name().unwrap_or_default()))
}

/// The directory of a file; the current directory for a bare name.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

/// Replaces a file atomically: writes a new file in the same directory and renames it. The new file has mode 0600 from
/// the start. The caller holds the lock.
pub(crate) fn replace(path: &Path, contents: &[u8], owner: Option<(u32, u32)>) -> Result<()> {
    replace_unsynced(path, contents, owner)?;
    sync_directory(path)
}

/// As [`replace`], without syncing the directory: an error means that the file is unchanged.
pub(crate) fn replace_unsynced(path: &Path, contents: &[u8], owner: Option<(u32, u32)>) -> Result<()> {
    write_atomically(path, contents, owner, |new_path| {
        fs::rename(new_path, path).map_err(|error| Error::io("replace", path, &error))
    })
}

/// Creates a file atomically. Returns `false`, and changes nothing, if the file exists. A link, unlike a rename, never
/// replaces a file, so a file of a program that takes no lock is not overwritten either.
pub(crate) fn create(path: &Path, contents: &[u8]) -> Result<bool> {
    let mut created = true;
    write_atomically(path, contents, None, |new_path| {
        created = name_new(new_path, path)?;
        Ok(())
    })?;
    sync_directory(path)?;
    Ok(created)
}

/// Gives a temporary file its name. Returns `false`, and removes it, if there is a file of this name.
pub(crate) fn name_new(new_path: &Path, path: &Path) -> Result<bool> {
    let created = match fs::hard_link(new_path, path) {
        Ok(()) => true,
        // On file systems without hard links only the lock excludes other writers.
        Err(error) if !path.exists() && has_no_links(&error) => return rename(new_path, path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(Error::io("create", path, &error)),
    };
    fs::remove_file(new_path).map_err(|error| Error::io("remove", new_path, &error))?;
    Ok(created)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| Error::io("create", to, &error))
}

fn has_no_links(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS))
}

/// Writes a temporary file next to `path`, syncs it to disk, and moves it with `place`.
fn write_atomically(
    path: &Path,
    contents: &[u8],
    owner: Option<(u32, u32)>,
    place: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let new_path = sibling(path, ".tmp");
    // A writer that was killed may have left one. The lock ensures that no other writer is using it.
    match fs::remove_file(&new_path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", &new_path, &error)),
        _ => {}
    }
    let written = write_new(&new_path, contents, owner)
        .map_err(|error| Error::io("write", &new_path, &error))
        .and_then(|()| place(&new_path));
    if written.is_err() {
        let _ = fs::remove_file(&new_path);
    }
    written
}

/// Syncs the directory of a file to disk, and with it the file's name. All programs find the file under this name
/// already, so an error says that the file is written.
///
/// A directory that cannot be synced at all is accepted, as SQLite does: then the file system decides when the name is
/// on disk, and the caller could only repeat what is already done.
pub(crate) fn sync_directory(path: &Path) -> Result<()> {
    let directory = directory_of(path);
    let synced = CloseOnForkFile::open(OpenOptions::new().read(true), directory).and_then(|file| file.sync_all());
    match synced {
        Err(error) if !cannot_be_synced(&error) => Err(Error::io("sync", directory, &error).map_message(|message| {
            format!("{} is written, but a loss of power may undo that: {message}", path.display())
        })),
        _ => Ok(()),
    }
}

/// Whether the file system has no sync for directories, or this user may write to the directory and not open it.
fn cannot_be_synced(error: &io::Error) -> bool {
    let codes = [libc::EINVAL, libc::EOPNOTSUPP, libc::ENOSYS, libc::EACCES, libc::EPERM];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn write_new(path: &Path, contents: &[u8], owner: Option<(u32, u32)>) -> io::Result<()> {
    let file = CloseOnForkFile::open(OpenOptions::new().write(true).create_new(true).mode(0o600), path)?;
    // A strict umask may have removed the owner's own permissions.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    if let Some((user, group)) = owner
        && owner != file.metadata().map(|metadata| (metadata.uid(), metadata.gid())).ok()
    {
        // Only root can change the owner. For other users the new file is theirs, as with every program that renames.
        let _ = fchown(&*file, Some(user), Some(group));
    }
    (&*file).write_all(contents)?;
    file.sync_all()
}

/// The path `.secrets.json.lock` for `secrets.json`: hidden, in the same directory.
pub(crate) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_of_a_bare_name_is_the_current_one() {
        for (path, directory) in [("name", "."), ("a/name", "a"), ("/name", "/"), ("./name", ".")] {
            assert_eq!(directory_of(Path::new(path)), Path::new(directory), "{path}");
        }
    }
}
