//! Runs a `credential_process`, a program that prints credentials.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::context::{Fetched, failed};
use crate::clock::{Backoff, Deadline};
use crate::error::{Error, Result, Status};
use crate::log::{self, Level};
use crate::secret_memory::{SecretBuffer, SecretBytes};
use crate::secrets::aws::errors::config_error;
use crate::secrets::aws::fields::Fields;
use crate::secrets::aws::ini::Value;
use crate::secrets::aws::keys::AwsCredentials;
use crate::secrets::aws::profiles::Profile;
use crate::share::Identity;
use crate::{fork, sys};

/// The limit of its output.
const MAX_OUTPUT: usize = 64 << 10;
/// The limit of descendants that are searched for when it is killed.
const MAX_DESCENDANTS: usize = 10_000;

/// A program with its arguments.
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct CredentialProcess {
    words: Vec<String>,
    pub(super) origin: String,
}

impl CredentialProcess {
    /// Splits the command line as a shell does. It is run without a shell.
    pub(super) fn from_profile(profile: &Profile<'_>, command: Value<'_>) -> Result<CredentialProcess> {
        let origin = format!("{}: `credential_process`", profile.location(command));
        match shlex::split(&command.lines()) {
            Some(words) if !words.is_empty() => Ok(CredentialProcess { words, origin }),
            _ => Err(config_error(format!("{origin}: a quotation mark is not closed"))),
        }
    }

    /// Adds the command, and what its result may depend on, to the identity of a process: the directory, and the
    /// variables that select the program, its files and its profile. Other variables may differ.
    pub(super) fn identify(&self, identity: &mut Identity) -> Result<()> {
        self.words.iter().for_each(|word| identity.add("credential process", word));
        let directory = std::env::current_dir()
            .map_err(|error| self.error(Status::Io, format!("cannot find the current directory: {error}")))?;
        identity.add("directory", directory.as_os_str().as_encoded_bytes());
        // Containers that share may have different programs and files of the same name.
        let namespace = std::fs::read_link("/proc/self/ns/mnt").ok();
        identity.add_optional("mount namespace", namespace.as_ref().map(|name| name.as_os_str().as_encoded_bytes()));
        let mut variables: Vec<_> = std::env::vars_os()
            .map(|(name, value)| (name.into_encoded_bytes(), Zeroizing::new(value.into_encoded_bytes())))
            .filter(|(name, _)| matches!(&**name, b"PATH" | b"HOME") || name.starts_with(b"AWS_"))
            .collect();
        variables.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, value) in variables {
            identity.add_hash(&String::from_utf8_lossy(&name), &value);
        }
        Ok(())
    }

    /// Runs the program until it closes its output and ends. At the deadline it is killed, with the processes that it
    /// started.
    pub(super) fn fetch(&self, deadline: Deadline) -> Result<Fetched> {
        let output = fork::unprotected(|| self.run(deadline))?;
        self.parse(&output)
    }

    fn run(&self, deadline: Deadline) -> Result<SecretBytes> {
        let [program, arguments @ ..] = self.words.as_slice() else {
            return Err(self.error(Status::Config, "the command is empty"));
        };
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| self.error(Status::Config, format!("cannot start {program}: {error}")))?;
        let mut running = Running { child, ended: false };
        let (output, stderr_bytes) = self.read_output(&mut running.child, deadline)?;
        let status = running.wait(deadline).map_err(|_| self.timed_out())?;
        if stderr_bytes > 0 {
            log::emit(Level::Debug, "aws", || {
                format!("{} writes {stderr_bytes} bytes to its standard error, which may contain keys", self.origin)
            });
        }
        match status {
            Some(status) if !status.success() => {
                Err(self.error(Status::Unavailable, format!("{program} failed with {status}; run it to see why")))
            }
            // Without a status, the output shows whether it succeeded.
            _ => Ok(output),
        }
    }

    /// Returns the standard output, and the size of the standard error, which is dropped.
    fn read_output(&self, child: &mut Child, deadline: Deadline) -> Result<(SecretBytes, usize)> {
        let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(self.error(Status::Io, "its output is not available"));
        };
        let (mut output, mut dropped) = (SecretBuffer::with_capacity(4096)?, SecretBuffer::with_capacity(4096)?);
        let mut stderr_bytes = 0;
        let (mut out_open, mut err_open) = (true, true);
        let broken = |error: io::Error| self.error(Status::Io, format!("cannot read its output: {error}"));
        while out_open {
            let pipes = [out_open.then(|| stdout.as_fd()), err_open.then(|| stderr.as_fd())];
            let [out_ready, err_ready] = sys::wait_readable(pipes, deadline.remaining()).map_err(broken)?;
            if out_ready {
                out_open = read_some(&mut stdout, &mut output).map_err(broken)?;
            }
            if err_ready {
                err_open = read_some(&mut stderr, &mut dropped).map_err(broken)?;
                stderr_bytes += dropped.len();
                dropped.truncate(0);
            }
            if output.len() > MAX_OUTPUT {
                return Err(self.error(Status::Protocol, format!("it prints more than {MAX_OUTPUT} bytes")));
            }
            // The pipes may be ready without end, so the deadline is checked here too.
            if out_open && deadline.has_passed() {
                return Err(self.timed_out());
            }
        }
        Ok((output.freeze(), stderr_bytes))
    }

    fn parse(&self, output: &[u8]) -> Result<Fetched> {
        let invalid = |why: &str| Err(self.error(Status::Protocol, why));
        let Some(fields) = Fields::parse(output) else { return invalid("its output is not a JSON object") };
        if fields.text("Version") != Some("1") {
            return invalid("its output has no `\"Version\": 1`");
        }
        let (Some(id), Some(secret)) = (fields.text("AccessKeyId"), fields.text("SecretAccessKey")) else {
            return invalid("its output lacks AccessKeyId or SecretAccessKey");
        };
        let expires = match fields.text("Expiration") {
            Some(_) if fields.time("Expiration").is_none() => {
                return invalid("its Expiration must be a time like 2026-11-21T02:49:45Z");
            }
            _ => fields.time("Expiration"),
        };
        let fetched = Fetched::new(
            AwsCredentials::new(id, secret, fields.text("SessionToken"), expires, &self.origin)?,
            SystemTime::now(),
        );
        match fetched.lifetime {
            Some(Duration::ZERO) => Err(self.error(Status::AccessDenied, "the credentials in its output have expired")),
            _ => Ok(fetched),
        }
    }

    fn timed_out(&self) -> Error {
        self.error(Status::Timeout, "it timed out and was killed")
    }

    fn error(&self, status: Status, what: impl AsRef<str>) -> Error {
        failed(status, &self.origin, what)
    }
}

/// Reads once. Returns `false` at the end of the stream.
fn read_some(from: &mut impl Read, into: &mut SecretBuffer) -> io::Result<bool> {
    let mut chunk = zeroize::Zeroizing::new([0_u8; 4096]);
    match from.read(&mut *chunk) {
        Ok(0) => Ok(false),
        Ok(count) => into.push(&chunk[..count]).map(|()| true).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
        Err(error) => Err(error),
    }
}

/// A running program. If it has not ended on drop, it is killed with its process group and its descendants.
struct Running {
    child: Child,
    ended: bool,
}

impl Running {
    /// Waits for its status; `None` if the host program took the status first. The program has closed its output, so it
    /// ends soon.
    fn wait(&mut self, deadline: Deadline) -> Result<Option<ExitStatus>, ()> {
        let mut backoff = Backoff::new(Duration::from_micros(200), Duration::from_millis(5));
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    self.ended = true;
                    return Ok(Some(status));
                }
                Ok(None) if deadline.has_passed() => return Err(()),
                Ok(None) => backoff.wait(deadline.remaining()),
                Err(_) => {
                    self.ended = true;
                    return Ok(None);
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            // Descendants may have left the group for a session of their own. They are searched for first, because the
            // children of a process that has ended cannot be found.
            let others = descendants(self.child.id());
            sys::kill_group(self.child.id());
            others.into_iter().for_each(sys::kill_process);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Returns the descendants of a process. One whose parent has ended is not found.
fn descendants(process: u32) -> Vec<u32> {
    let mut found = vec![process];
    let mut next = 0;
    while next < found.len() && found.len() <= MAX_DESCENDANTS {
        let threads = fs::read_dir(format!("/proc/{}/task", found[next]));
        for thread in threads.into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        next += 1;
    }
    found.split_off(1)
}
