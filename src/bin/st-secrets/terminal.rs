//! The terminal: what is said on stderr, values on stdout, tables.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Mutex;

use anstream::ColorChoice;
use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::tcgetwinsize;

use st_secrets::log::{self, Level};

use crate::arguments::Color;
use crate::failure::Failure;

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

/// Queues a warning. It is printed once, and not if the error message contains it.
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
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => printable.extend(character.escape_default()),
            false => printable.push(character),
        }
    }
    printable
}

/// Whether stdout is a terminal.
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

/// Writes bytes to stdout unchanged. On a terminal, a line break follows.
pub(crate) fn write_value(value: &[u8]) -> io::Result<()> {
    write_all(value)?;
    match stdout_is_terminal() && !value.ends_with(b"\n") {
        true => write_all(b"\n"),
        false => Ok(()),
    }
}

/// Writes to stdout without the buffer of the standard library. Waits if another program has made it non-blocking.
fn write_all(mut bytes: &[u8]) -> io::Result<()> {
    let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    while !bytes.is_empty() {
        match stdout.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], None).ok();
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
pub(crate) fn print(text: &(impl AsRef<[u8]> + ?Sized)) -> io::Result<()> {
    write_text(text)?;
    write_text("\n")
}

/// Writes text, such as a JSON document, to stdout: byte by byte as it is, except that on a terminal control characters
/// are escaped.
pub(crate) fn write_text(text: &(impl AsRef<[u8]> + ?Sized)) -> io::Result<()> {
    match stdout_is_terminal() {
        true => write_all(escaped(&String::from_utf8_lossy(text.as_ref())).as_bytes()),
        false => write_all(text.as_ref()),
    }
}

/// Text with its control characters in the form of JSON, which may have DEL and those from U+0080 on in a string. Line
/// breaks remain.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' | '\t' => escaped.push(character),
            '\r' if characters.peek() == Some(&'\n') => {}
            _ if character.is_control() => escaped.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_line_breaks_remain() {
        let text = "{\"a\": \"\u{e9}\u{7f}\u{9b}2J\u{1b}[2J\\u009b\",\r\n\t\"b\": 1}\r";
        let expected = "{\"a\": \"\u{e9}\\u007f\\u009b2J\\u001b[2J\\u009b\",\n\t\"b\": 1}\\u000d";
        assert_eq!(escaped(text), expected);
    }
}
