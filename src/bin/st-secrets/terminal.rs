//! The terminal: what is said on stderr, what is asked for, tables.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anstream::ColorChoice;
use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::{emulate_default_handler, pipe};

use st_secrets::log::{self, Level};

use crate::arguments::Color;
use crate::failure::{Failure, INTERRUPTED};

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const NARROWEST: u16 = 60;

/// Warnings that are held back until the outcome is known, which may say the same.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub(crate) fn set_color(color: Color) {
    let choice = match color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    choice.write_global();
}

/// Sends the library's messages to stderr: warnings, and with `-v` what is done. `quiet`: the output has the warnings.
pub(crate) fn log(verbose: u8, quiet: bool) {
    let level = match verbose {
        0 if quiet => return,
        0 => Level::Warn,
        1 => Level::Info,
        2 => Level::Debug,
        _ => Level::Trace,
    };
    log::set(level, move |level, target, message| match level {
        Level::Error | Level::Warn => warn(message),
        _ => line(DIM, "", &format!("{target}: {message}")),
    });
}

/// A warning, which is said once, and not if it turns out to be the failure.
pub(crate) fn warn(message: &str) {
    if let Ok(mut warnings) = WARNINGS.lock() {
        warnings.push(message.to_owned());
    }
}

/// Drops the warnings that begin like this, which no longer apply.
pub(crate) fn withdraw_warnings(start: &str) {
    if let Ok(mut warnings) = WARNINGS.lock() {
        warnings.retain(|warning| !warning.starts_with(start));
    }
}

/// Says what was held back, except for what the failure says too.
pub(crate) fn flush_warnings(failure: Option<&Failure>) {
    let warnings = WARNINGS.lock().map(|mut warnings| std::mem::take(&mut *warnings)).unwrap_or_default();
    let failures = failure.map_or(&[][..], |failure| &failure.lines);
    let mut said = HashSet::new();
    for warning in &warnings {
        let what = without_retry(without_name(warning));
        if said.insert(what) && !failures.iter().any(|line| line.contains(what)) {
            line(YELLOW, "warning: ", warning);
        }
    }
}

/// A message of the library without the name of the secret in front: `"HF_TOKEN": the provider vault failed: …`.
fn without_name(message: &str) -> &str {
    match message.strip_prefix('"').and_then(|rest| rest.split_once("\": ")) {
        Some((_, what)) => what,
        None => message,
    }
}

/// The same without the time of the next attempt, which changes from one message to the next.
fn without_retry(message: &str) -> &str {
    message.split_once(" (next attempt in ").map_or(message, |(what, _)| what)
}

pub(crate) fn error(message: &str) {
    line(RED, "error: ", message);
}

pub(crate) fn note(message: &str) {
    line(DIM, "", message);
}

/// A line on stderr. Nothing can be done if it cannot be written.
fn line(style: Style, kind: &str, message: &str) {
    let message = printable(message);
    writeln!(anstream::stderr().lock(), "{BOLD}st-secrets:{BOLD:#} {style}{kind}{style:#}{message}").ok();
}

/// Text with its control characters escaped, so that a name cannot change the terminal.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => printable.extend(character.escape_default()),
            false => printable.push(character),
        }
    }
    printable
}

/// Whether what goes to stdout is seen by people.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A value may go to a terminal only on request.
pub(crate) fn refuse_to_show(show: bool, command: &str) -> Result<(), Failure> {
    match stdout_is_terminal() && !show {
        true => Err(Failure::usage(format!(
            "a value is not written to a terminal; send it to a program or a file, or write: {command} --show"
        ))),
        false => Ok(()),
    }
}

/// Writes bytes to stdout as they are, past the buffer of the standard library. On a terminal the line is ended.
pub(crate) fn write_value(value: &[u8]) -> io::Result<()> {
    let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    stdout.write_all(value)?;
    match stdout_is_terminal() && !value.ends_with(b"\n") {
        true => stdout.write_all(b"\n"),
        false => Ok(()),
    }
}

/// What a person types without its being shown, or else all of stdin, without a final line break.
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

/// The signals that end the program while a value is typed.
const SIGNALS: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Keeps the numbers of signals that come while the terminal is changed, in place of what they do by default.
struct Signals {
    wake: UnixStream,
    received: Arc<AtomicUsize>,
    /// Whether signals do again what they do by default.
    restored: Arc<AtomicBool>,
}

impl Signals {
    /// Signals that the caller ignores, as nohup does, stay ignored.
    fn open() -> io::Result<Signals> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
        let (wake, sender) = UnixStream::pair()?;
        let signals = Signals { wake, received: Arc::default(), restored: Arc::default() };
        for signal in SIGNALS.into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0) {
            flag::register_conditional_default(signal, signals.restored.clone())?;
            flag::register_usize(signal, signals.received.clone(), usize::try_from(signal).unwrap_or_default())?;
            pipe::register(signal, sender.try_clone()?)?;
        }
        Ok(signals)
    }

    /// Lets signals do what they do by default, also one that came before.
    fn restore(self) -> io::Result<()> {
        self.restored.store(true, Ordering::SeqCst);
        match i32::try_from(self.received.load(Ordering::SeqCst)) {
            Ok(signal) if signal > 0 => emulate_default_handler(signal),
            _ => Ok(()),
        }
    }
}

/// A terminal that shows nothing of what is typed; as it was before when dropped.
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
    let mut hidden = Hidden::open().map_err(failed)?;
    write!(hidden.terminal, "{} (not shown): ", printable(prompt)).map_err(failed)?;
    let typed = read_line(&mut hidden, &signals, failed);
    drop(hidden);
    signals.restore().map_err(failed)?;
    typed
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
            // Ctrl-D ends the input; an empty one is nothing.
            0x04 if value.is_empty() => return Err(Failure::failed("nothing was typed; nothing was changed")),
            0x04 => return Ok(value),
            // Backspace takes a whole character back, Ctrl-U all.
            0x08 | 0x7f => while value.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            0x15 => value.clear(),
            // Such as Ctrl-W, Ctrl-Z and the arrows. What comes after them is not a value either.
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

/// Rows under a header; on a terminal, lines are broken at its width. Words of the state in column `state` are colored.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>], state: Option<usize>) -> io::Result<()> {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header.iter().copied())
        .add_rows(rows.iter().map(|row| row.iter().map(|cell| printable(cell))));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let width = stdout_is_terminal().then(|| tcgetwinsize(io::stdout()).ok()).flatten().map(|size| size.ws_col);
    if let Some(width) = width.filter(|width| *width > 0) {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.max(NARROWEST));
    }
    let start: usize = state.map_or(0, |state| {
        table.column_max_content_widths().iter().take(state).map(|width| usize::from(*width) + 2).sum()
    });
    let mut stdout = anstream::stdout().lock();
    for (number, text) in table.lines().enumerate() {
        let text = text.trim_end();
        let word = text.get(start..).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
        match color_of(word).filter(|_| state.is_some() && number > 0) {
            _ if number == 0 => writeln!(stdout, "{BOLD}{text}{BOLD:#}")?,
            Some(color) => {
                let (before, rest) = text.split_at(start);
                writeln!(stdout, "{before}{color}{word}{color:#}{}", &rest[word.len()..])?;
            }
            None => writeln!(stdout, "{text}")?,
        }
    }
    Ok(())
}

fn color_of(state: &str) -> Option<Style> {
    match state {
        "ok" => Some(GREEN),
        "absent" => Some(DIM),
        "warning" => Some(YELLOW),
        "failed" => Some(RED),
        _ => None,
    }
}

/// A line of text on stdout.
pub(crate) fn print(text: &str) -> io::Result<()> {
    writeln!(anstream::stdout().lock(), "{text}")
}
