//! `credential_process`: a program that prints credentials.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use super::{Fetched, Keys, failed};
use crate::clock::{Backoff, Deadline};
use crate::error::{Error, Result, Status};
use crate::log::{self, Level};
use crate::secret_memory::{SecretBuffer, SecretBytes};
use crate::secrets::aws::fields::Fields;
use crate::secrets::aws::ini::Value;
use crate::secrets::aws::names::config;
use crate::secrets::aws::profiles::Profile;
use crate::{fork, sys};

/// The most that such a program prints.
const MAX_OUTPUT: usize = 64 << 10;
/// How many processes that it started are looked for when it is killed.
const MAX_DESCENDANTS: usize = 10_000;

/// A program with its arguments.
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct Program {
    words: Vec<String>,
    pub(super) place: String,
}

impl Program {
    /// The command line is split as a shell would, and no shell runs it.
    pub(super) fn of(profile: &Profile<'_>, command: Value<'_>) -> Result<Program> {
        let place = format!("{}: `credential_process`", profile.place(command));
        match shlex::split(&command.lines()) {
            Some(words) if !words.is_empty() => Ok(Program { words, place }),
            _ => Err(config(format!("{place}: a quotation mark is not closed"))),
        }
    }

    /// Runs it until it has printed all and ended, at most until the deadline; then it is killed with the processes
    /// that it started.
    pub(super) fn fetch(&self, deadline: Deadline) -> Result<Fetched> {
        let output = fork::unprotected(|| self.run(deadline))?;
        self.read(&output)
    }

    fn run(&self, deadline: Deadline) -> Result<SecretBytes> {
        let [program, arguments @ ..] = self.words.as_slice() else { return Err(self.error(Status::Config, "empty")) };
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| self.error(Status::Config, format!("cannot start {program}: {error}")))?;
        let mut running = Running { child, ended: false };
        let (output, complaint) = self.listen(&mut running.child, deadline)?;
        let status = running.wait(deadline).map_err(|_| self.too_slow())?;
        if complaint > 0 {
            log::emit(Level::Debug, "aws", || {
                format!("{} writes {complaint} bytes to its standard error; keys may be in them", self.place)
            });
        }
        match status {
            Some(status) if !status.success() => {
                Err(self.error(Status::Unavailable, format!("{program} ended with {status}; run it to see why")))
            }
            // Where somebody else took its status, what it printed tells.
            _ => Ok(output),
        }
    }

    /// All that it prints, and how many bytes it complains, which is not kept.
    fn listen(&self, child: &mut Child, deadline: Deadline) -> Result<(SecretBytes, usize)> {
        let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(self.error(Status::Io, "it has no pipes"));
        };
        let (mut output, mut passed_over) = (SecretBuffer::with_capacity(4096)?, SecretBuffer::with_capacity(4096)?);
        let mut complaint = 0;
        let (mut out_open, mut err_open) = (true, true);
        let broken = |error: io::Error| self.error(Status::Io, format!("its output cannot be read: {error}"));
        while out_open {
            let pipes = [out_open.then(|| stdout.as_fd()), err_open.then(|| stderr.as_fd())];
            let [out_ready, err_ready] = sys::wait_readable(pipes, deadline.remaining()).map_err(broken)?;
            if out_ready {
                out_open = read_some(&mut stdout, &mut output).map_err(broken)?;
            }
            if err_ready {
                err_open = read_some(&mut stderr, &mut passed_over).map_err(broken)?;
                complaint += passed_over.len();
                passed_over.truncate(0);
            }
            if output.len() > MAX_OUTPUT {
                return Err(self.error(Status::Protocol, format!("it prints more than {MAX_OUTPUT} bytes")));
            }
            // Also where it never stops talking.
            if out_open && deadline.has_passed() {
                return Err(self.too_slow());
            }
        }
        Ok((output.freeze(), complaint))
    }

    fn read(&self, output: &[u8]) -> Result<Fetched> {
        let refused = |why: &str| Err(self.error(Status::Protocol, why));
        let Some(fields) = Fields::parse(output) else { return refused("what it prints is no JSON object") };
        if fields.text("Version") != Some("1") {
            return refused("what it prints has no `\"Version\": 1`");
        }
        let (Some(id), Some(secret)) = (fields.text("AccessKeyId"), fields.text("SecretAccessKey")) else {
            return refused("what it prints lacks AccessKeyId or SecretAccessKey");
        };
        let expires = match fields.text("Expiration") {
            Some(_) if fields.time("Expiration").is_none() => {
                return refused("its Expiration must be a time like 2026-11-21T02:49:45Z");
            }
            _ => fields.time("Expiration"),
        };
        let fetched =
            Fetched::new(Keys::new(id, secret, fields.text("SessionToken"), expires, &self.place)?, SystemTime::now());
        match fetched.life {
            Some(Duration::ZERO) => Err(self.error(Status::AccessDenied, "what it prints has expired")),
            _ => Ok(fetched),
        }
    }

    fn too_slow(&self) -> Error {
        self.error(Status::Timeout, "it did not end in time and was killed")
    }

    fn error(&self, status: Status, what: impl AsRef<str>) -> Error {
        failed(status, &self.place, what)
    }
}

/// Reads once; `false` at the end.
fn read_some(from: &mut impl Read, into: &mut SecretBuffer) -> io::Result<bool> {
    let mut chunk = zeroize::Zeroizing::new([0_u8; 4096]);
    match from.read(&mut *chunk) {
        Ok(0) => Ok(false),
        Ok(count) => into.push(&chunk[..count]).map(|()| true).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
        Err(error) => Err(error),
    }
}

/// A program that is killed with its group and its descendants, and waited for, when nobody has done so before.
struct Running {
    child: Child,
    ended: bool,
}

impl Running {
    /// Its status; `None` where the host program took it first. It has closed its output, so this is short.
    fn wait(&mut self, deadline: Deadline) -> std::result::Result<Option<ExitStatus>, ()> {
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
            // Those that left the group for a session of their own. They are looked for first: the end of a parent hides
            // its children.
            let others = descendants(self.child.id());
            sys::kill_group(self.child.id());
            others.into_iter().for_each(sys::kill_process);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The processes that this one has started, they in turn, and so on. One whose parent has ended before is not found.
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
