//! Secrets as files in memory, for the command of `run`.
//!
//! The file has no name in any directory: the command inherits it open (`memfd_create`), and a symbolic link leads to
//! `/proc/PID/fd/NUMBER`, where PID is the process of the command. So the kernel frees it when the command ends,
//! however that happens. The link is then left behind, leads nowhere, and is replaced by the next run.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::io::{FdFlags, fcntl_setfd};

use crate::failure::Failure;
use crate::secrets::{SecretBytes, Secrets, check_name, warn_of_doubt};
use crate::selection::Variable;

/// The name that `/proc/PID/fd` shows.
const NAME: &str = "st-secrets";

/// What `--tmpfs` takes. What was given is not repeated, as it may be a value.
const USAGE: &str = "--tmpfs takes NAME=PATH, with a `/` in the path, such as --tmpfs gcp-key=/tmp/key.json";

/// A secret that is to be a file.
pub(crate) struct MemoryFile<'a> {
    name: &'a str,
    path: &'a Path,
}

impl<'a> MemoryFile<'a> {
    pub(crate) fn parse(argument: &'a str) -> Result<MemoryFile<'a>, Failure> {
        match argument.split_once('=') {
            Some((name, path)) if !name.is_empty() && path.contains('/') && !path.ends_with('/') => {
                check_name(name)?;
                Ok(MemoryFile { name, path: Path::new(path) })
            }
            _ => Err(Failure::usage(USAGE)),
        }
    }

    /// Gets the secret, and opens a file that holds it.
    pub(crate) fn open(&self, secrets: &Secrets) -> Result<OpenFile, Failure> {
        self.with(self.get(secrets)?.value)
    }

    /// Gets the secret.
    pub(crate) fn get(&self, secrets: &Secrets) -> Result<Variable, Failure> {
        let secret = secrets.get(self.name)?;
        warn_of_doubt(self.name, &secret);
        Ok(Variable { name: self.name.to_owned(), value: secret.into_value() })
    }

    /// Opens a file that holds this value.
    pub(crate) fn with(&self, value: SecretBytes) -> Result<OpenFile, Failure> {
        let file = create(&value)
            .map_err(|error| Failure::failed(format!("cannot create a file in memory for {}: {error}", self.name)))?;
        Ok(OpenFile { name: self.name.to_owned(), value, file, path: self.path.to_owned() })
    }

    /// Removes the link to a file.
    pub(crate) fn remove_link(&self) {
        remove(self.path);
    }
}

/// A file in memory.
pub(crate) struct OpenFile {
    pub(crate) name: String,
    pub(crate) value: SecretBytes,
    file: OwnedFd,
    path: PathBuf,
}

impl OpenFile {
    pub(crate) fn link(&self) -> Link<'_> {
        Link { number: self.file.as_raw_fd(), path: &self.path }
    }

    /// Lets programs inherit the file. Called when all secrets are there, as a provider may start programs to get them.
    pub(crate) fn inherit(&self) -> Result<(), Failure> {
        self.set_flags(FdFlags::empty())
    }

    /// Lets programs that are started from now on not inherit it.
    pub(crate) fn keep(&self) -> Result<(), Failure> {
        self.set_flags(FdFlags::CLOEXEC)
    }

    fn set_flags(&self, flags: FdFlags) -> Result<(), Failure> {
        fcntl_setfd(&self.file, flags)
            .map_err(|error| Failure::failed(format!("cannot give the command a file for {}: {error}", self.name)))
    }
}

/// No process can change the file, not even the command.
#[cfg(target_os = "linux")]
fn create(value: &[u8]) -> io::Result<OwnedFd> {
    use std::fs::{File, Permissions};
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    use rustix::io::fcntl_dupfd_cloexec;

    /// Shells and scripts use the numbers below for files of their own.
    const FIRST_NUMBER: RawFd = 100;
    let mut file = File::from(memfd_create(NAME, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.set_permissions(Permissions::from_mode(0o400))?;
    file.write_all(value)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    Ok(fcntl_dupfd_cloexec(&file, FIRST_NUMBER)?)
}

#[cfg(not(target_os = "linux"))]
fn create(_value: &[u8]) -> io::Result<OwnedFd> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has such files"))
}

/// The link to an open file of this process, and of the command that it becomes.
pub(crate) struct Link<'a> {
    number: RawFd,
    path: &'a Path,
}

impl<'a> Link<'a> {
    /// As `start-with-files` takes it.
    pub(crate) fn argument(&self) -> String {
        format!("--link={}={}", self.number, self.path.display())
    }

    pub(crate) fn parse(argument: &'a str) -> Option<Link<'a>> {
        let (number, path) = argument.split_once('=')?;
        Some(Link { number: number.parse().ok()?, path: Path::new(path) })
    }

    fn make(&self) -> Result<(), Failure> {
        let target = format!("/proc/{}/fd/{}", std::process::id(), self.number);
        let path = self.path.display();
        symlink(target, self.path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::usage(format!(
                "{path} exists, so --tmpfs cannot make a link there; remove it, or write another path"
            )),
            _ => Failure::failed(format!("cannot make the link {path}: {error}")),
        })
    }

    pub(crate) fn remove(&self) {
        remove(self.path);
    }
}

fn remove(link: &Path) {
    if fs::read_link(link).is_ok_and(|target| target.starts_with("/proc")) {
        fs::remove_file(link).ok();
    }
}

/// Whether this is a link of a command that has ended. Its process id may be that of another program by now, or of this
/// one, as in a container that is started again; this process has made no link yet.
fn is_left_over(path: &Path) -> bool {
    let Ok(target) = fs::read_link(path) else { return false };
    let parts: Vec<&str> = target.to_str().unwrap_or_default().split('/').collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_ours = matches!(parts[..], ["", "proc", process, "fd", number] if is_number(process) && is_number(number));
    let is_of_this_process = || target.starts_with(format!("/proc/{}", std::process::id()));
    let has_ended = || match fs::read_link(&target) {
        Ok(file) => !file.to_string_lossy().starts_with(&format!("/memfd:{NAME}")),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    is_ours && (is_of_this_process() || has_ended())
}

/// Makes all links, in place of those that an earlier run has left, or none. Called once in a process.
pub(crate) fn make_links(links: &[Link<'_>]) -> Result<(), Failure> {
    // Before any link is made, because two links with the same path are an error.
    for link in links.iter().filter(|link| is_left_over(link.path)) {
        fs::remove_file(link.path).ok();
    }
    for (count, link) in links.iter().enumerate() {
        if let Err(failure) = link.make() {
            links[..count].iter().for_each(Link::remove);
            return Err(failure);
        }
    }
    Ok(())
}
