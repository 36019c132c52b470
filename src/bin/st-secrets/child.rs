//! A command that this program has started: signals are passed on to it, and this process ends as it does.
//!
//! The command stays in this process group and on this terminal. So the keyboard, Ctrl-C, Ctrl-Z, `fg` and `bg` work as
//! for any command: it gets what the terminal sends to the process group. Other signals to this process are passed on.
//! When the command stops, this process stops; when it ends, this process ends in the same way.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

use crate::failure::{Failure, Outcome};
use crate::signals::{self, Restorable};

/// The signals that are passed on to the command.
const PASSED_ON: [i32; 10] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2, SIGTSTP, SIGTTIN, SIGCONT];

/// Those that end or stop this process once the command has ended.
const ENDING: [i32; 5] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP];

/// Excludes the children of other threads: the library starts programs of providers there and waits for them itself.
#[cfg(target_os = "linux")]
const OF_THIS_THREAD: WaitOptions = WaitOptions::from_bits_retain(libc::__WNOTHREAD as u32);
#[cfg(not(target_os = "linux"))]
const OF_THIS_THREAD: WaitOptions = WaitOptions::empty();

pub(crate) struct Child {
    process: Pid,
    /// A pidfd, readable once the command has ended, even if the caller has blocked SIGCHLD. `None` without kernel
    /// support.
    end: Option<OwnedFd>,
    signals: SignalDelivery<UnixStream, WithOrigin>,
    ending: Restorable,
}

impl Child {
    /// Starts the command. Its standard input is ours.
    pub(crate) fn start(command: Command) -> io::Result<Child> {
        // The handlers end with the exec of the command; what the caller ignores, the command ignores.
        let (read, write) = UnixStream::pair()?;
        let mut handled = signals::not_ignored(&PASSED_ON);
        handled.extend([SIGCHLD, SIGWINCH]);
        let signals = SignalDelivery::with_pipe(read, write, WithOrigin::default(), &handled)?;
        let ending = Restorable::new(&signals::not_ignored(&ENDING))?;
        let process = spawn(command)?;
        Ok(Child { process, end: end_of(process), signals, ending })
    }

    /// Starts another command, after the one before has ended.
    pub(crate) fn replace(&mut self, command: Command) -> io::Result<()> {
        self.process = spawn(command)?;
        self.end = end_of(self.process);
        Ok(())
    }

    /// The descriptors that become readable when a signal arrives or the command ends.
    pub(crate) fn events(&self) -> impl Iterator<Item = PollFd<'_>> {
        let end = self.end.iter().map(|end| PollFd::new(end, PollFlags::IN));
        end.chain([PollFd::new(self.signals.get_read(), PollFlags::IN)])
    }

    /// Passes on the signals that came since the last call, and returns all of them.
    pub(crate) fn pass_on(&mut self) -> Vec<i32> {
        let signals: Vec<Origin> = self.signals.pending().collect();
        signals.iter().for_each(|signal| self.pass_on_one(signal));
        signals.iter().map(|origin| origin.signal).collect()
    }

    fn pass_on_one(&self, origin: &Origin) {
        let Some(signal) = Signal::from_named_raw(origin.signal) else { return };
        // The keyboard and the terminal send signals to the whole process group, so the command has got them. Only a
        // hang-up goes to the leader of the session alone.
        let is_for_all = origin.cause == Cause::Kernel;
        let is_hang_up = signal == Signal::HUP && signals::is_session_leader();
        if PASSED_ON.contains(&origin.signal) && (!is_for_all || is_hang_up || signal == Signal::CONT) {
            self.send(signal);
        }
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill_process(self.process, signal).ok();
    }

    /// The state of the command, if it has stopped or ended. As the first process of a container, this one also
    /// collects those that have lost their parents. Called by the thread that started the command.
    pub(crate) fn changed_state(&self) -> Option<WaitStatus> {
        while let Ok(Some((process, status))) = wait(WaitOptions::NOHANG | WaitOptions::UNTRACED | OF_THIS_THREAD) {
            if process == self.process {
                return Some(status);
            }
        }
        None
    }

    /// Stops this process as the command has stopped. Returns the signals that came meanwhile.
    pub(crate) fn stop(&mut self) -> Vec<i32> {
        let signals = self.pass_on();
        // Others may have stopped both, and continued both by now.
        if !signals.contains(&SIGCONT) {
            signals::stop();
        }
        signals
    }

    /// Lets signals end this process from here on: the command has ended.
    pub(crate) fn restore_signals(&self) {
        self.ending.restore();
    }
}

fn spawn(mut command: Command) -> io::Result<Pid> {
    let child = command.spawn()?;
    // Closes our copies of what the command writes to, so that their end is seen.
    drop(command);
    Ok(Pid::from_child(&child))
}

#[cfg(target_os = "linux")]
fn end_of(process: Pid) -> Option<OwnedFd> {
    rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn end_of(_process: Pid) -> Option<OwnedFd> {
    None
}

/// Ends this process as the command ended.
pub(crate) fn end_like(status: WaitStatus) -> Outcome {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))),
        (None, Some(signal)) => signals::die_of(signal),
        (None, None) => Err(Failure::failed("the command ended in an unknown way")),
    }
}

/// Waits until one of these is ready, until this time at most.
pub(crate) fn wait_for(awaited: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<()> {
    let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
    match poll(awaited, timeout.and_then(|timeout| Timespec::try_from(timeout).ok()).as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
