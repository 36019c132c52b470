//! Values that a person types, or that come from stdin.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::flag;
use signal_hook::low_level::{emulate_default_handler, pipe};

use crate::failure::{Failure, INTERRUPTED};
use crate::signals::{self, Restorable};
use crate::terminal::printable;

/// Reads a value: typed at a prompt without echo if stdin is a terminal, else all of stdin without a final line break.
pub(crate) fn read_value(prompt: &str) -> Result<Vec<u8>, Failure> {
    if io::stdin().is_terminal() {
        return type_value(prompt);
    }
    let mut value = read_stdin()?;
    let end = value.strip_suffix(b"\r\n").or_else(|| value.strip_suffix(b"\n")).map_or(value.len(), <[u8]>::len);
    value.truncate(end);
    Ok(value)
}

/// All of stdin.
pub(crate) fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut value);
    read.map_err(|error| Failure::failed(format!("cannot read stdin: {error}")))?;
    Ok(value)
}

/// How long the rest of pasted text may take to come.
const PASTE: Duration = Duration::from_millis(100);

/// The signals that end or stop the program while a value is typed.
const SIGNALS: [i32; 5] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP];

/// Keeps the last signal that came while the terminal is changed, in place of what it does by default.
struct Signals {
    wake: UnixStream,
    received: Arc<AtomicUsize>,
    restorable: Restorable,
    handled: Vec<i32>,
}

impl Signals {
    fn open() -> io::Result<Signals> {
        let (wake, sender) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let handled = signals::not_ignored(&SIGNALS);
        let signals = Signals { wake, received: Arc::default(), restorable: Restorable::new(&handled)?, handled };
        for signal in &signals.handled {
            flag::register_usize(*signal, signals.received.clone(), usize::try_from(*signal).unwrap_or_default())?;
            pipe::register(*signal, sender.try_clone()?)?;
        }
        Ok(signals)
    }

    /// The last signal, which is then forgotten.
    fn take(&self) -> Option<i32> {
        while (&self.wake).read(&mut [0; 64]).is_ok_and(|length| length > 0) {}
        let signal = i32::try_from(self.received.swap(0, Ordering::SeqCst)).ok();
        signal.filter(|signal| *signal > 0)
    }

    /// Whether Ctrl-Z may stop the program. A session leader has no shell that would continue it.
    fn can_stop(&self) -> bool {
        self.handled.contains(&SIGTSTP) && !signals::is_session_leader()
    }
}

/// A terminal without echo. Dropping it restores the earlier modes.
struct Hidden {
    terminal: File,
    before: Termios,
}

impl Hidden {
    fn open() -> io::Result<Hidden> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        let mut hidden = before.clone();
        // Keys such as Ctrl-C come as bytes, so that the terminal is never left like this.
        hidden.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
        Ok(Hidden { terminal, before })
    }

    /// The next byte; `None` at the end of the input and after a signal.
    fn next(&mut self, signals: &Signals) -> io::Result<Option<u8>> {
        loop {
            let mut ready = [PollFd::new(&self.terminal, PollFlags::IN), PollFd::new(&signals.wake, PollFlags::IN)];
            match poll(&mut ready, None) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) if !ready[1].revents().is_empty() => return Ok(None),
                Ok(_) => break,
            }
        }
        let mut byte = [0];
        Ok((self.terminal.read(&mut byte)? == 1).then_some(byte[0]))
    }

    /// Reads the rest of pasted text; whether there is more than line ends.
    fn has_more_lines(&mut self) -> io::Result<bool> {
        let mut has_more = false;
        let timeout = Timespec::try_from(PASTE).ok();
        while poll(&mut [PollFd::new(&self.terminal, PollFlags::IN)], timeout.as_ref()).is_ok_and(|ready| ready > 0) {
            let mut bytes = [0; 512];
            let length = self.terminal.read(&mut bytes)?;
            if length == 0 {
                break;
            }
            has_more |= bytes[..length].iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
        }
        Ok(has_more)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        tcsetattr(&self.terminal, OptionalActions::Flush, &self.before).ok();
        self.terminal.write_all(b"\n").ok();
    }
}

fn type_value(prompt: &str) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| {
        Failure::failed(format!("cannot ask for a value: {error}; pipe it into this command instead"))
    };
    let signals = Signals::open().map_err(failed)?;
    loop {
        let mut hidden = Hidden::open().map_err(failed)?;
        write!(hidden.terminal, "{} (not shown): ", printable(prompt)).map_err(failed)?;
        let typed = read_line(&mut hidden, &signals, failed);
        drop(hidden);
        match signals.take() {
            // What was typed before the stop is forgotten.
            Some(SIGTSTP) => signals::stop(),
            signal => {
                signals.restorable.restore();
                signal.map_or(Ok(()), emulate_default_handler).map_err(failed)?;
                return typed;
            }
        }
    }
}

fn read_line(
    hidden: &mut Hidden,
    signals: &Signals,
    failed: impl Fn(io::Error) -> Failure + Copy,
) -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    loop {
        let Some(byte) = hidden.next(signals).map_err(failed)? else {
            return Err(Failure::failed("the terminal was closed; nothing was changed"));
        };
        match byte {
            b'\r' | b'\n' => {
                return match hidden.has_more_lines().map_err(failed)? {
                    true => Err(Failure::usage("several lines were pasted; pipe the value instead")),
                    false => Ok(value),
                };
            }
            // Ctrl-C and Ctrl-\.
            0x03 | 0x1c => return Err(Failure::new(INTERRUPTED, "interrupted; nothing was changed")),
            // Ctrl-Z stops the other programs of a pipeline too.
            0x1a if signals.can_stop() => {
                kill_current_process_group(Signal::TSTP).map_err(|error| failed(error.into()))?
            }
            // Ctrl-D ends the input; an empty one is nothing.
            0x04 if value.is_empty() => return Err(Failure::failed("nothing was typed; nothing was changed")),
            0x04 => return Ok(value),
            // Backspace takes a whole character back, Ctrl-U all.
            0x08 | 0x7f => while value.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            0x15 => value.clear(),
            // Such as Ctrl-W and the arrows. What comes after them is not a value either.
            byte if byte < 0x20 && byte != b'\t' => {
                hidden.has_more_lines().map_err(failed)?;
                return Err(Failure::usage(
                    "a control key that is not supported was typed; use Backspace and Ctrl-U, or pipe the value instead",
                ));
            }
            byte => value.push(byte),
        }
    }
}
