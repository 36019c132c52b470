//! Runs a program without a shell and reads its output, within a deadline.
//!
//! Only this child is waited for: signal handlers and other children of the host program are left alone. The program
//! is started with `posix_spawn`, which does not copy the page tables of the host program, however large it is.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::clock::{Backoff, Deadline};
use crate::error::Error;
use crate::fork_safe::Mutex;
use crate::secret_memory::{SecretBuffer, SecretBytes};
use crate::{fork, sys};

/// How often a program that writes nothing is checked for its end: another process may keep its output open.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// How often its standard error is read after its end, 4 KiB each time: what fits into a pipe. Another process may
/// continue to write.
const MAX_ROUNDS_AFTER_END: u32 = 16;
/// How long to wait for a program that was killed. It ends at once, unless it is in an uninterruptible system call.
const END_AFTER_KILL: Duration = Duration::from_millis(500);
/// The limit of descendants that are searched for when it is killed.
const MAX_DESCENDANTS: usize = 10_000;

/// The process ids of programs that had not ended when their call did. Later calls reap them, so no zombies remain.
static NOT_ENDED: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// What a program wrote, and how it ended.
pub(crate) struct Output {
    pub(crate) stdout: SecretBytes,
    /// The beginning of its standard error.
    pub(crate) stderr: SecretBytes,
    /// The size of its whole standard error.
    pub(crate) stderr_len: usize,
    /// `None` if the host program took the status first. Then the output shows whether it succeeded.
    pub(crate) status: Option<ExitStatus>,
}

/// Why a program has no output.
pub(crate) enum RunFailure {
    Start(io::Error),
    Read(io::Error),
    /// It wrote more than the limit, and was killed.
    TooMuch,
    /// It did not end by the deadline. The text says whether it was killed.
    TimedOut(&'static str),
    OutOfMemory(Error),
}

impl From<Error> for RunFailure {
    fn from(error: Error) -> RunFailure {
        RunFailure::OutOfMemory(error)
    }
}

/// The limits of the output, in bytes.
pub(crate) struct Limits {
    /// More is a failure.
    pub(crate) stdout: usize,
    /// The rest is dropped.
    pub(crate) stderr: usize,
}

/// Runs the program `words[0]`, which is searched for in `PATH`, until it ends. At the deadline it is killed, with its
/// process group and its descendants; one that runs as another user cannot be killed, and is left running. Its standard
/// input is `/dev/null`; environment and working directory are those of the host program. What it leaves running after
/// a normal end continues to run.
pub(crate) fn run(words: &[String], limits: &Limits, deadline: Deadline) -> Result<Output, RunFailure> {
    run_with(words, &[], limits, deadline)
}

/// As [`run`], with these variables besides those of the host program.
pub(crate) fn run_with(
    words: &[String],
    variables: &[(String, String)],
    limits: &Limits,
    deadline: Deadline,
) -> Result<Output, RunFailure> {
    reap();
    fork::unprotected(|| {
        let [program, arguments @ ..] = words else {
            return Err(RunFailure::Start(io::Error::from(io::ErrorKind::InvalidInput)));
        };
        let child = Command::new(program)
            .args(arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(RunFailure::Start)?;
        let mut running = Running { child, end: None, is_killed: None };
        let output = read_output(&mut running, limits, deadline)?;
        Ok(Output { status: running.wait(deadline)?, ..output })
    })
}

/// Whether a file with this name is found in the directories that [`run`] searches.
pub(crate) fn is_found(program: &str) -> bool {
    // A name with a slash is not searched for: its own file was refused.
    program.contains('/')
        || std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).exists()))
}

/// Reads until both pipes are closed, or the program has ended and its standard output has nothing more.
fn read_output(running: &mut Running, limits: &Limits, deadline: Deadline) -> Result<Output, RunFailure> {
    let (Some(mut stdout), Some(mut stderr)) = (running.child.stdout.take(), running.child.stderr.take()) else {
        return Err(RunFailure::Read(io::Error::from(io::ErrorKind::BrokenPipe)));
    };
    let (mut output, mut errors) = (SecretBuffer::with_capacity(4096)?, SecretBuffer::with_capacity(4096)?);
    let mut stderr_len = 0;
    let (mut out_open, mut err_open) = (true, true);
    let mut rounds_after_end = 0;
    while out_open || err_open {
        // Checked before the pipes: what it wrote before its end is there then.
        let has_ended = running.has_ended();
        let pipes = [out_open.then(|| stdout.as_fd()), err_open.then(|| stderr.as_fd())];
        let pause = if has_ended { Duration::ZERO } else { CHECK_INTERVAL.min(deadline.remaining()) };
        let [out_ready, err_ready] = match sys::wait_readable(pipes, pause) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            ready => ready.map_err(RunFailure::Read)?,
        };
        if out_ready {
            out_open = read_some(&mut stdout, &mut output, limits.stdout + 1)? > 0;
        }
        if err_ready {
            let count = read_some(&mut stderr, &mut errors, limits.stderr)?;
            err_open = count > 0;
            stderr_len += count;
        }
        if output.len() > limits.stdout {
            return Err(RunFailure::TooMuch);
        }
        rounds_after_end += u32::from(has_ended);
        if has_ended && !out_ready && (!err_ready || rounds_after_end > MAX_ROUNDS_AFTER_END) {
            break;
        }
        // The pipes may be ready without end, so the deadline is checked here too.
        if deadline.has_passed() && !running.has_ended() {
            return Err(running.timed_out());
        }
    }
    Ok(Output { stdout: output.freeze(), stderr: errors.freeze(), stderr_len, status: None })
}

/// Reads once, and keeps no more than the limit in all. Returns how many bytes were read; 0 at the end of the stream.
fn read_some(from: &mut impl Read, into: &mut SecretBuffer, limit: usize) -> Result<usize, RunFailure> {
    let mut chunk = zeroize::Zeroizing::new([0_u8; 4096]);
    loop {
        match from.read(&mut *chunk) {
            Ok(count) => {
                into.push(&chunk[..count.min(limit.saturating_sub(into.len()))])?;
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(RunFailure::Read(error)),
        }
    }
}

/// A running program. If it has not ended on drop, it is killed with its process group and its descendants.
struct Running {
    child: Child,
    /// Its status once it has ended; the inner `None` if the host program took it.
    end: Option<Option<ExitStatus>>,
    /// Whether killing it was permitted; `None` if that was not attempted.
    is_killed: Option<bool>,
}

impl Running {
    fn has_ended(&mut self) -> bool {
        if self.end.is_none() {
            self.end = self.child.try_wait().map_or(Some(None), |status| status.map(Some));
        }
        self.end.is_some()
    }

    /// Waits for its status. The program has closed its output, so it ends soon.
    fn wait(&mut self, deadline: Deadline) -> Result<Option<ExitStatus>, RunFailure> {
        let mut backoff = Backoff::new(Duration::from_micros(200), Duration::from_millis(5));
        while !self.has_ended() {
            if deadline.has_passed() {
                return Err(self.timed_out());
            }
            backoff.wait(deadline.remaining());
        }
        Ok(self.end.flatten())
    }

    /// Kills it, its process group and its descendants. Returns whether that is permitted.
    fn kill(&mut self) -> bool {
        if let Some(is_killed) = self.is_killed {
            return is_killed;
        }
        // Descendants may have left the group for a session of their own. They are searched for first, because the
        // children of a process that has ended cannot be found.
        let others = descendants(self.child.id());
        sys::kill_group(self.child.id());
        others.into_iter().for_each(sys::kill_process);
        *self.is_killed.insert(self.child.kill().is_ok())
    }

    fn timed_out(&mut self) -> RunFailure {
        RunFailure::TimedOut(match self.kill() {
            true => "did not end in time, and was killed",
            false => "did not end in time, and cannot be killed, as it runs as another user",
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() && self.kill() {
            let _ = self.wait(Deadline::after(END_AFTER_KILL));
        }
        if !self.has_ended() {
            let _protected = fork::protect();
            NOT_ENDED.lock().push(self.child.id());
        }
    }
}

/// Reaps programs that have ended since their call did.
fn reap() {
    let _protected = fork::protect();
    NOT_ENDED.lock().retain(|process| sys::is_child_running(*process));
}

/// Returns the descendants of a process. One whose parent has ended is not found.
fn descendants(process: u32) -> Vec<u32> {
    let parents = parents();
    let mut found = vec![process];
    let mut next = 0;
    while next < found.len() && found.len() <= MAX_DESCENDANTS {
        let parent = found[next];
        found.extend(parents.iter().filter(|entry| entry.1 == parent).map(|entry| entry.0));
        next += 1;
    }
    found.split_off(1)
}

/// Returns each process of the system with its parent. The file `children` of a process would be faster, but not every
/// kernel has it.
fn parents() -> Vec<(u32, u32)> {
    let parent = |entry: fs::DirEntry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // "PID (NAME) STATE PARENT …", where the name may contain anything.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((process, parent))
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(parent).collect()
}
