//! The directory of the share: in memory, and of this user only.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, Status};
use crate::fork_safe::CloseOnForkFile;
use crate::secret_memory::SecretBuffer;
use crate::sys;

/// The file with the key of slots whose identity has no secret.
const KEY_FILE: &str = "key";
pub(super) const KEY_LEN: usize = 32;

/// The open directory. Its files are opened through the descriptor, so that they are in the directory that was checked.
pub(super) struct ShareDirectory {
    file: CloseOnForkFile,
    path: PathBuf,
}

impl ShareDirectory {
    /// Opens the directory, and creates it if its parent exists. An error says why it cannot be used.
    pub(super) fn open(path: &Path) -> Result<ShareDirectory> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW);
        let file = match CloseOnForkFile::open(&options, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let created = DirBuilder::new().mode(0o700).create(path);
                let created = created.or_else(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists => Ok(()),
                    _ => Err(error),
                });
                created.map_err(|error| Error::io("create the directory", path, &error))?;
                CloseOnForkFile::open(&options, path)
            }
            opened => opened,
        };
        let file = file.map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP | libc::ENOTDIR) => refusal(path, "is not a directory; remove it, or set share_dir"),
            _ => Error::io("open the directory", path, &error),
        })?;
        check(&file, path)?;
        Ok(ShareDirectory { file, path: path.to_owned() })
    }

    /// Returns a path to a file of this name that leads through the open directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        match self.file.is_open() {
            true => PathBuf::from(format!("/proc/self/fd/{}/{name}", self.file.as_raw_fd())),
            // This is a child: a log sink has forked.
            false => self.path.join(name),
        }
    }

    /// The error of an action on a file.
    pub(super) fn error(&self, action: &str, name: &str, error: &io::Error) -> Error {
        Error::io(action, &self.path.join(name), error)
    }

    /// Opens a file that exists, if it is of this user.
    pub(super) fn open_file(&self, name: &str, options: &mut OpenOptions) -> Result<Option<CloseOnForkFile>> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match CloseOnForkFile::open(options.custom_flags(flags), &self.file(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.error("open", name, &error)),
        };
        let metadata = file.metadata().map_err(|error| self.error("read the metadata of", name, &error))?;
        match metadata.is_file() && metadata.uid() == sys::effective_user() {
            true => Ok(Some(file)),
            false => Err(refusal(&self.path.join(name), "is not a file of this user; remove it")),
        }
    }

    /// Reads a whole file; `None` if it does not exist.
    pub(super) fn read(&self, name: &str, limit: usize) -> Result<Option<SecretBuffer>> {
        let Some(file) = self.open_file(name, OpenOptions::new().read(true))? else { return Ok(None) };
        let size = file.metadata().map_or(0, |metadata| metadata.size() as usize);
        let mut bytes = SecretBuffer::with_capacity(size.min(limit) + 1)?;
        match bytes.read_to_end(&mut &*file, limit) {
            Ok(true) => Ok(Some(bytes)),
            Ok(false) => Err(refusal(&self.path.join(name), "is too large; remove it")),
            Err(error) => Err(self.error("read", name, &error)),
        }
    }

    /// Creates a file with these contents, unless there is one of this name. It is complete as soon as it has the name.
    pub(super) fn create(&self, name: &str, contents: &[u8]) -> Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).mode(0o600).custom_flags(sys::UNNAMED_FILE);
        let created = CloseOnForkFile::open(&options, &self.file(".")).and_then(|file| {
            (&*file).write_all(contents)?;
            sys::name_file(&file, &self.file(name))
        });
        match created {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(self.error("create", name, &error)),
            _ => Ok(()),
        }
    }

    /// Replaces a file. The caller holds this byte of the lock of its slot.
    pub(super) fn replace(&self, name: &str, contents: &[u8], lock_byte: u32) -> Result<()> {
        let new_name = format!("{name}.tmp{lock_byte}");
        // A process that was killed may have left one.
        self.remove(&new_name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let replaced = CloseOnForkFile::open(&options, &self.file(&new_name))
            .and_then(|file| (&*file).write_all(contents))
            .and_then(|()| fs::rename(self.file(&new_name), self.file(name)));
        replaced.map_err(|error| {
            self.remove(&new_name);
            self.error("write", name, &error)
        })
    }

    /// Removes a file if it exists.
    pub(super) fn remove(&self, name: &str) {
        // What cannot be removed is no longer valid either.
        let _ = fs::remove_file(self.file(name));
    }

    /// Returns the key in the directory, which the first process creates.
    pub(super) fn key(&self) -> Result<SecretBuffer> {
        let mut new = [0; KEY_LEN];
        for _ in 0..2 {
            match self.read(KEY_FILE, KEY_LEN)? {
                Some(key) if key.len() == KEY_LEN => return Ok(key),
                Some(_) => break,
                None => {
                    getrandom::fill(&mut new).map_err(|_| refusal(&self.path, "cannot get a key: no random bytes"))?;
                    self.create(KEY_FILE, &new)?;
                    zeroize::Zeroize::zeroize(&mut new);
                }
            }
        }
        Err(refusal(&self.path.join(KEY_FILE), "does not have 32 bytes; remove it"))
    }
}

/// Refuses a directory that other users can use, or that may be written to a disk.
fn check(file: &CloseOnForkFile, path: &Path) -> Result<()> {
    let failed = |error| Error::io("check the directory", path, &error);
    let metadata = file.metadata().map_err(failed)?;
    let (owner, user, mode) = (metadata.uid(), sys::effective_user(), metadata.mode() & 0o777);
    if owner != user {
        return Err(refusal(
            path,
            &format!("belongs to user {owner}, not to user {user}; set share_dir to another one"),
        ));
    }
    if mode & 0o077 != 0 {
        let path_text = crate::shell::quoted_path(path);
        return Err(refusal(path, &format!("is open to other users (mode {mode:04o}); run: chmod 700 {path_text}")));
    }
    if !sys::is_in_memory(file).map_err(failed)? {
        return Err(refusal(path, "is not in memory (tmpfs or ramfs); set share_dir to a directory in /dev/shm"));
    }
    Ok(())
}

fn refusal(path: &Path, why: &str) -> Error {
    Error::new(Status::AccessDenied, format!("{} {why}", path.display()))
}

#[cfg(test)]
mod tests;
