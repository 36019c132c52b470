//! Where a command writes what is to be redacted: a terminal of its own in place of a terminal, else a pipe.

use std::fs::File;
use std::io::{self, IsTerminal, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Signal, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, unlockpt};
use rustix::termios::{
    OptionalActions, OutputModes, Winsize, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// A channel from the command to one of our output streams, or to both if they are the same file.
pub(super) struct Channel {
    /// Our stream.
    pub(super) output: File,
    /// Where the text of the command comes from.
    pub(super) input: File,
    /// What the command gets.
    pub(super) theirs: OwnedFd,
    pub(super) screen: Option<Screen>,
}

/// The real terminal, whose size the terminal of the command has.
pub(super) struct Screen {
    real: File,
    size: Option<Winsize>,
}

impl Channel {
    pub(super) fn open(output: File) -> io::Result<Channel> {
        if output.is_terminal() {
            return Channel::terminal(output);
        }
        let (input, theirs): (PipeReader, PipeWriter) = io::pipe()?;
        let input = File::from(OwnedFd::from(input));
        set_nonblocking(&input)?;
        Ok(Channel { output, input, theirs: theirs.into(), screen: None })
    }

    /// The command keeps its controlling terminal, and with it the keyboard: this one is for output only.
    fn terminal(output: File) -> io::Result<Channel> {
        let (ours, theirs) = open_terminal()?;
        let mut modes = tcgetattr(&output)?;
        // The real terminal adds carriage returns. Without these, a secret of several lines is found as it is.
        modes.output_modes -= OutputModes::OPOST;
        tcsetattr(&theirs, OptionalActions::Now, &modes)?;
        let ours = File::from(ours);
        set_nonblocking(&ours)?;
        let mut screen = Screen { real: output.try_clone()?, size: None };
        screen.resize(&ours);
        Ok(Channel { output, input: ours, theirs, screen: Some(screen) })
    }
}

/// Opens a terminal: our end, and that of the command.
#[cfg(target_os = "linux")]
fn open_terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, flags)?;
    Ok((ours, theirs))
}

/// The same where the end of the command is opened by its name.
#[cfg(not(target_os = "linux"))]
fn open_terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::fs::{Mode, open};
    use rustix::io::{FdFlags, fcntl_setfd};

    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    fcntl_setfd(&ours, FdFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = rustix::pty::ptsname(&ours, Vec::new())?;
    let theirs = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    Ok((ours, theirs))
}

impl Screen {
    /// Gives the size of the real terminal, if that has changed, to the terminal of the command.
    pub(super) fn resize(&mut self, ours: &File) {
        let Ok(size) = tcgetwinsize(&self.real) else { return };
        let before = self.size.replace(size);
        if before == Some(size) || tcsetwinsize(ours, size).is_err() || before.is_none() {
            return;
        }
        // Programs have got this signal from the real terminal already, and may have seen the earlier size.
        if let Ok(foreground) = tcgetpgrp(&self.real) {
            kill_process_group(foreground, Signal::WINCH).ok();
        }
    }
}

/// Whether two streams are one file, so that what is written to them has one order.
pub(super) fn is_same(one: &File, other: &File) -> bool {
    let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino(), metadata.rdev()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

fn set_nonblocking(file: &File) -> io::Result<()> {
    Ok(fcntl_setfl(file, fcntl_getfl(file)? | OFlags::NONBLOCK)?)
}
