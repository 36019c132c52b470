//! Reading secrets files into secret memory, and telling whether they changed.

use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::bytes::SecretBuffer;
use crate::error::{Error, Result, Source, Status};

/// What distinguishes one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    pub(super) fn of(metadata: &Metadata) -> Fingerprint {
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
pub(super) struct Contents {
    pub(super) bytes: SecretBuffer,
    pub(super) metadata: Metadata,
}

/// Reads a regular file of at most `limit` bytes.
pub(super) fn read(path: &Path, limit: usize) -> Result<Contents> {
    let failed = |action, error| Error::io(action, path, &error).with_source(Source::File);
    // Opening a pipe would wait for somebody to write to it; without waiting it is opened, seen and refused.
    let mut file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| failed("open", error))?;
    let metadata = file.metadata().map_err(|error| failed("look at", error))?;
    if !metadata.is_file() {
        let message = format!("{} is neither a file nor a folder of files", path.display());
        return Err(Error::new(Status::Io, message).with_source(Source::File));
    }
    let size = usize::try_from(metadata.size()).unwrap_or(usize::MAX);
    let mut bytes = SecretBuffer::with_capacity(size.min(limit) + 1)?;
    if !bytes.read_to_end(&mut file, limit).map_err(|error| failed("read", error))? {
        let message = format!("{} is larger than {limit} bytes", path.display());
        return Err(Error::new(Status::Protocol, message).with_source(Source::File));
    }
    Ok(Contents { bytes, metadata })
}

/// A file that other users can read or change.
#[derive(Clone, Debug)]
pub(super) struct Exposure {
    pub(super) detail: String,
    /// The command that mends it.
    pub(super) remedy: String,
}

impl Exposure {
    /// `None` for a file that its owner alone can read and change.
    pub(super) fn of(path: &Path, metadata: &Metadata) -> Option<Exposure> {
        let mode = metadata.mode() & 0o777;
        (mode & 0o066 != 0).then(|| Exposure {
            detail: format!("{} can be read or changed by other users (mode {mode:04o})", path.display()),
            remedy: format!("chmod 600 {}", path.display()),
        })
    }

    pub(super) fn warning(&self) -> String {
        format!("{}; run: {}", self.detail, self.remedy)
    }

    /// The error under `strict_permissions`.
    pub(super) fn refusal(&self) -> Error {
        let message = format!("refused, as strict_permissions is set: {}", self.warning());
        Error::new(Status::AccessDenied, message).with_source(Source::File)
    }
}
