//! Files that hold secrets: reading them into secret memory, telling whether they changed or whether others can read
//! them, and writing them with one writer at a time and either the old file or the new one, whole, at every instant.
//!
//! Errors carry no source: whoever calls knows which provider it is.

use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result, Status};
use crate::secret_memory::SecretBuffer;
use crate::sys::own_file::OwnFile;

mod lock;
mod settled;

pub(crate) use lock::lock;
pub(crate) use settled::read_settled;

/// What distinguishes one state of a file from another.
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

/// A file's bytes with the state in which they were read.
pub(crate) struct Contents {
    pub(crate) bytes: SecretBuffer,
    pub(crate) metadata: Metadata,
}

/// Reads a regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Contents> {
    let failed = |action, error| Error::io(action, path, &error);
    // Opening a pipe would wait for somebody to write to it; without waiting it is opened, seen and refused.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = OwnFile::open(&options, path).map_err(|error| failed("open", error))?;
    let metadata = file.metadata().map_err(|error| failed("look at", error))?;
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

/// Whether reading failed for want of memory or open files: that says nothing of the file.
pub(crate) fn is_shortage(error: &Error) -> bool {
    error.status() == Status::NoMemory || [libc::ENOMEM, libc::EMFILE, libc::ENFILE].contains(&error.detail())
}

/// Whether the file was changed within the last second: a writer that does not rename may not be done with it.
pub(crate) fn is_new(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    modified.and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age < Duration::from_secs(1))
}

/// A file that other users can read or change.
#[derive(Clone, Debug)]
pub(crate) struct Exposure {
    pub(crate) detail: String,
    /// The command that mends it.
    pub(crate) remedy: String,
}

impl Exposure {
    /// `None` for a file that its owner alone can read and change.
    pub(crate) fn of(path: &Path, metadata: &Metadata) -> Option<Exposure> {
        let mode = metadata.mode() & 0o777;
        (mode & 0o066 != 0).then(|| Exposure {
            detail: format!("{} can be read or changed by other users (mode {mode:04o})", path.display()),
            remedy: format!("chmod 600 {}", path.display()),
        })
    }

    pub(crate) fn warning(&self) -> String {
        format!("{}; run: {}", self.detail, self.remedy)
    }

    /// The error under `strict_permissions`.
    pub(crate) fn refusal(&self) -> Error {
        let message = format!("refused, as strict_permissions is set: {}", self.warning());
        Error::new(Status::AccessDenied, message)
    }
}

/// The place of a file that is to be created; its directory is there afterwards.
pub(crate) fn missing(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(Error::new(Status::Io, format!("{} names a directory; name a file", path.display())));
    }
    // A link to a file that is not there yet: the file is created where it points.
    if let Ok(target) = fs::read_link(path) {
        return Ok(directory_of(path).join(target));
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

/// The directory that a file lies in: that of a bare name is the current one.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

/// Writes a new file beside the old one and moves it into place. It has mode 0600 from its first byte. The caller holds
/// the lock.
pub(crate) fn replace(path: &Path, contents: &[u8], owner: Option<(u32, u32)>) -> Result<()> {
    written(path, contents, owner, |new_path| {
        fs::rename(new_path, path).map_err(|error| Error::io("replace", path, &error))
    })
}

/// Writes a file where there is none: `false` means that there is one by now, which stays as it is. Else as
/// [`replace`]. A program that takes no lock cannot be overwritten either: a link, unlike a rename, replaces nothing.
pub(crate) fn create(path: &Path, contents: &[u8]) -> Result<bool> {
    let mut created = true;
    written(path, contents, None, |new_path| {
        let linked = match fs::hard_link(new_path, path) {
            // File systems without links: the lock alone keeps others out.
            Err(error) if !path.exists() && has_no_links(&error) => return rename(new_path, path),
            linked => linked,
        };
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => created = false,
            linked => linked.map_err(|error| Error::io("create", path, &error))?,
        }
        fs::remove_file(new_path).map_err(|error| Error::io("remove", new_path, &error))
    })?;
    Ok(created)
}

fn has_no_links(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| Error::io("create", to, &error))
}

/// Writes a temporary file beside `path`, which `place` then moves, and sees to it that both are on the disk.
fn written(
    path: &Path,
    contents: &[u8],
    owner: Option<(u32, u32)>,
    place: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let new_path = beside(path, ".tmp");
    // A writer that was killed may have left one; the lock makes sure that nobody is writing it.
    match fs::remove_file(&new_path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", &new_path, &error)),
        _ => {}
    }
    let written = write_new(&new_path, contents, owner)
        .map_err(|error| Error::io("write", &new_path, &error))
        .and_then(|()| place(&new_path));
    if written.is_err() {
        let _ = fs::remove_file(&new_path);
        return written;
    }
    let directory = directory_of(path);
    OwnFile::open(OpenOptions::new().read(true), directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| Error::io("sync", directory, &error))
}

fn write_new(path: &Path, contents: &[u8], owner: Option<(u32, u32)>) -> io::Result<()> {
    let file = OwnFile::open(OpenOptions::new().write(true).create_new(true).mode(0o600), path)?;
    // A strict umask may have taken away the owner's own rights.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    if let Some((user, group)) = owner
        && owner != file.metadata().map(|metadata| (metadata.uid(), metadata.gid())).ok()
    {
        // Only root can give a file away; for others it becomes theirs, as with every program that renames.
        let _ = fchown(&*file, Some(user), Some(group));
    }
    (&*file).write_all(contents)?;
    file.sync_all()
}

/// `.secrets.json.lock` for `secrets.json`: hidden, in the same directory.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_lies_in_the_current_directory() {
        for (path, directory) in [("name", "."), ("a/name", "a"), ("/name", "/"), ("./name", ".")] {
            assert_eq!(directory_of(Path::new(path)), Path::new(directory), "{path}");
        }
    }
}
