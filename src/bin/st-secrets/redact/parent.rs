//! The parent of a command whose output is redacted.
//!
//! The command stays in this process group and on this terminal, of which only the output is replaced. So the keyboard,
//! Ctrl-C, Ctrl-Z, `fg` and `bg` work as for any command: it gets what the terminal sends to the process group. Other
//! signals to this process are passed on. When the command stops, this process stops; when it ends, this process ends
//! in the same way.

use std::io;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use st_secrets::redact::Redactor;

use super::channel::{Channel, Screen, is_same};
use super::pump::Pump;
use super::{own, wait_for};
use crate::arguments::Streams;
use crate::failure::{Failure, Outcome};
use crate::signals::{self, Restorable};

/// The signals that are passed on to the command.
const PASSED_ON: [i32; 10] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2, SIGTSTP, SIGTTIN, SIGCONT];

/// Those that end or stop this process once the command has ended.
const ENDING: [i32; 5] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP];

pub(crate) struct Parent<'a> {
    child: Pid,
    lines: Vec<Line<'a>>,
    signals: SignalDelivery<UnixStream, WithOrigin>,
    ending: Restorable,
}

/// One stream of the command.
struct Line<'a> {
    pump: Pump<'a>,
    screen: Option<Screen>,
}

impl<'a> Parent<'a> {
    /// Starts the command. Its standard input is ours.
    pub(crate) fn start(redactor: &'a Redactor, mut command: Command, streams: Streams) -> io::Result<Parent<'a>> {
        let channels = redirect(&mut command, streams)?;
        // The handlers end with the exec of the command; what the caller ignores, the command ignores.
        let (read, write) = UnixStream::pair()?;
        let mut handled = signals::not_ignored(&PASSED_ON);
        handled.extend([SIGCHLD, SIGWINCH]);
        let signals = SignalDelivery::with_pipe(read, write, WithOrigin::default(), &handled)?;
        let ending = Restorable::new(&signals::not_ignored(&ENDING))?;
        let child = command.spawn()?;
        // Closes our copies of what the command writes to, so that their end is seen.
        drop(command);
        let lines = channels.into_iter().map(|channel| {
            let Channel { output, input, theirs: _, screen } = channel;
            Line { pump: Pump::new(input, output, redactor.stream()), screen }
        });
        Ok(Parent { child: Pid::from_child(&child), lines: lines.collect(), signals, ending })
    }

    /// Copies what the command writes until it ends, calls `at_end`, and ends as the command did.
    pub(crate) fn wait(mut self, at_end: impl FnOnce()) -> Outcome {
        let status = self.copy_until_end();
        // A signal may end this process from here on.
        at_end();
        let status = status?;
        self.ending.restore();
        // This process ends with the command, so nothing reads what processes that it left behind still write.
        self.drain();
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))),
            (None, Some(signal)) => signals::die_of(signal),
            (None, None) => Err(Failure::failed("the command ended in an unknown way")),
        }
    }

    fn copy_until_end(&mut self) -> Result<WaitStatus, Failure> {
        loop {
            self.pass_on_all();
            match self.changed_state() {
                Some(status) if status.stopped() => {
                    // What the command wrote before it stopped is seen before the shell's prompt. The reader of our
                    // output may have stopped too, so this does not wait for it.
                    self.drain_ready();
                    // Others may have stopped both, and continued both by now.
                    if !self.pass_on_all() {
                        signals::stop();
                    }
                    self.lines.iter_mut().for_each(|line| line.pump.restart_pause());
                }
                Some(status) => return Ok(status),
                None => self.copy()?,
            }
        }
    }

    /// Waits until there is something to do, and does it.
    fn copy(&mut self) -> Result<(), Failure> {
        let pumps: Vec<&Pump<'_>> = self.lines.iter().map(|line| &line.pump).collect();
        wait_for(&pumps, Some(PollFd::new(self.signals.get_read(), PollFlags::IN)))?;
        for line in &mut self.lines {
            if let (Some(screen), Some(input)) = (&mut line.screen, line.pump.input()) {
                screen.resize(input);
            }
            // If our stream is closed, the command learns of it when it writes.
            line.pump.advance().ok();
        }
        Ok(())
    }

    fn drain(&mut self) {
        for line in &mut self.lines {
            line.pump.drain().ok();
        }
    }

    fn drain_ready(&mut self) {
        for line in &mut self.lines {
            line.pump.drain_ready().ok();
        }
    }

    /// Returns whether the command was continued.
    fn pass_on_all(&mut self) -> bool {
        let signals: Vec<Origin> = self.signals.pending().collect();
        signals.iter().for_each(|signal| self.pass_on(signal));
        signals.iter().any(|signal| signal.signal == SIGCONT)
    }

    fn pass_on(&self, origin: &Origin) {
        let Some(signal) = Signal::from_named_raw(origin.signal) else { return };
        // The keyboard and the terminal send signals to the whole process group, so the command has got them. Only a
        // hang-up goes to the leader of the session alone.
        let is_for_all = origin.cause == Cause::Kernel;
        let is_hang_up = signal == Signal::HUP && signals::is_session_leader();
        if PASSED_ON.contains(&origin.signal) && (!is_for_all || is_hang_up || signal == Signal::CONT) {
            kill_process(self.child, signal).ok();
        }
    }

    /// The state of the command, if it has stopped or ended. As the first process of a container, this one also
    /// collects those that have lost their parents.
    fn changed_state(&self) -> Option<WaitStatus> {
        while let Ok(Some((process, status))) = wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            if process == self.child {
                return Some(status);
            }
        }
        None
    }
}

/// Gives the command other streams in place of ours.
fn redirect(command: &mut Command, streams: Streams) -> io::Result<Vec<Channel>> {
    let stderr = own(&io::stderr())?;
    let mut channels = Vec::new();
    if streams == Streams::All {
        let stdout = own(&io::stdout())?;
        let is_both = is_same(&stdout, &stderr);
        let channel = Channel::open(stdout)?;
        command.stdout(channel.theirs.try_clone()?);
        channels.push(channel);
        if is_both {
            command.stderr(channels[0].theirs.try_clone()?);
            return Ok(channels);
        }
    }
    let channel = Channel::open(stderr)?;
    command.stderr(channel.theirs.try_clone()?);
    channels.push(channel);
    Ok(channels)
}
