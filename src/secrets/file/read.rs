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

/// A sentence on who else can read or change the file, with the command that mends it; `None` if nobody can.
pub(super) fn exposure(path: &Path, metadata: &Metadata) -> Option<String> {
    let mode = metadata.mode() & 0o777;
    (mode & 0o066 != 0).then(|| {
        format!("{0} can be read or changed by other users (mode {mode:04o}); run: chmod 600 {0}", path.display())
    })
}

/// The error for an exposed file under `strict_permissions`.
pub(super) fn refuse(exposure: &str) -> Error {
    Error::new(Status::AccessDenied, format!("refused, as strict_permissions is set: {exposure}"))
        .with_source(Source::File)
}
