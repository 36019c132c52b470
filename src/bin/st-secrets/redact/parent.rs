//! Runs a command as a child and redacts its output. Everything else works as if the command were run directly.

use std::io;
use std::process::Command;

use rustix::process::WaitStatus;
use st_secrets::redact::Redactor;

use super::channel::{Channel, Screen, is_same};
use super::pump::Pump;
use super::{own, wait_for};
use crate::arguments::Streams;
use crate::child::{self, Child};
use crate::failure::{Failure, Outcome};
use crate::terminal;

pub(crate) struct Parent<'a> {
    child: Child,
    lines: Vec<Line<'a>>,
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
        let child = Child::start(command)?;
        let lines = channels.into_iter().map(|channel| {
            let Channel { output, input, theirs: _, screen } = channel;
            Line { pump: Pump::new(input, output, redactor.stream()), screen }
        });
        Ok(Parent { child, lines: lines.collect() })
    }

    /// Copies what the command writes until it ends, calls `at_end`, and ends as the command did.
    pub(crate) fn wait(mut self, at_end: impl FnOnce()) -> Outcome {
        let status = self.copy_until_end();
        // A signal may end this process from here on.
        at_end();
        let status = status?;
        self.child.restore_signals();
        // This process ends with the command, so nothing reads what processes that it left behind still write.
        self.drain();
        child::end_like(status)
    }

    fn copy_until_end(&mut self) -> Result<WaitStatus, Failure> {
        loop {
            self.child.pass_on();
            match self.child.changed_state() {
                Some(status) if status.stopped() => {
                    // What the command wrote before it stopped is seen before the shell's prompt. The reader of our
                    // output may have stopped too, so this does not wait for it.
                    self.drain_ready();
                    self.child.stop();
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
        wait_for(&pumps, self.child.events())?;
        for line in &mut self.lines {
            if let (Some(screen), Some(input)) = (&mut line.screen, line.pump.input()) {
                screen.resize(input);
            }
            // If our stream is closed, the command learns of it when it writes.
            warn_of(line.pump.advance());
        }
        Ok(())
    }

    fn drain(&mut self) {
        for line in &mut self.lines {
            warn_of(line.pump.drain());
        }
    }

    fn drain_ready(&mut self) {
        for line in &mut self.lines {
            warn_of(line.pump.drain_ready());
        }
    }
}

/// Warns that output is lost, once for each stream. A reader that has closed its end is not a failure.
fn warn_of(copied: io::Result<()>) {
    if let Err(error) = copied
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        terminal::warn(&format!("output of the command is lost: {error}"));
        terminal::flush_warnings(None);
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
