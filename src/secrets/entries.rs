//! The entries of a document of secrets in any format, and why a document cannot be read or changed.

use std::borrow::Cow;
use std::path::Path;

use crate::clock::Deadline;
use crate::error::{Error, Source, Status};
use crate::secret_memory::SecretBytes;

/// Names and values in the order of the document; `None` is null.
pub(super) type Entries = Vec<(String, Option<SecretBytes>)>;

/// Returns `1 entry`, `2 entries`.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Why a document, or one of its entries, cannot be read or changed.
#[derive(Debug)]
pub(super) enum Problem {
    /// The text is invalid. No message quotes it.
    Text {
        /// `None` if it is unknown.
        position: Option<Position>,
        message: Cow<'static, str>,
    },
    /// The deadline of the call has passed.
    TimedOut,
    OutOfMemory(Error),
}

/// A position in a text. Lines and columns count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Position {
    pub(super) const START: Position = Position { line: 1, column: 1 };

    /// The position of the byte at `offset`.
    pub(super) fn of(text: &str, offset: usize) -> Position {
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

impl Problem {
    /// A problem at an unknown position.
    pub(super) fn new(message: impl Into<Cow<'static, str>>) -> Problem {
        Problem::Text { position: None, message: message.into() }
    }

    pub(super) fn at(position: Position, message: impl Into<Cow<'static, str>>) -> Problem {
        Problem::Text { position: Some(position), message: message.into() }
    }

    /// The layout of the text does not allow changing this entry alone.
    pub(super) fn layout(key: &str) -> Problem {
        Problem::new(format!("the layout of this file does not allow changing {key:?} in place; edit it by hand"))
    }

    /// An error once the deadline has passed.
    pub(super) fn check_deadline(deadline: Deadline) -> Result<(), Problem> {
        if deadline.has_passed() { Err(Problem::TimedOut) } else { Ok(()) }
    }

    /// The problem as an error that names the file.
    pub(super) fn in_file(self, path: &Path) -> Error {
        let path = path.display();
        let error = match self {
            Problem::Text { position: None, message } => Error::new(Status::Protocol, format!("{path}: {message}")),
            Problem::Text { position: Some(Position { line, column }), message } => {
                Error::new(Status::Protocol, format!("{path}, line {line}, column {column}: {message}"))
            }
            Problem::TimedOut => {
                let message = format!("{path}: timed out while parsing the file; raise \"timeout\"");
                Error::new(Status::Timeout, message).with_retryable(true)
            }
            Problem::OutOfMemory(error) => error.map_message(|message| format!("{path}: {message}")),
        };
        error.with_source(Source::File)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn problem_becomes_an_error_with_the_status_of_its_kind() {
        let error = |problem: Problem| {
            let error = problem.in_file(Path::new("s.json"));
            assert_eq!(error.source_provider(), Source::File);
            (error.status(), error.is_retryable(), error.message().to_owned())
        };
        let text = error(Problem::at(Position::of("a\nb", 2), "this is wrong"));
        assert_eq!(text, (Status::Protocol, false, "s.json, line 2, column 1: this is wrong".to_owned()));
        assert_eq!(error(Problem::new("this is wrong")).2, "s.json: this is wrong");
        let late = Problem::check_deadline(Deadline::after(Duration::ZERO)).unwrap_err();
        let (status, is_retryable, message) = error(late);
        assert_eq!((status, is_retryable), (Status::Timeout, true), "{message}");
        // A text that has the words of another problem is still a text.
        let same_words = message.trim_start_matches("s.json: ").to_owned();
        assert_eq!(error(Problem::new(same_words)).0, Status::Protocol);
        let memory = Problem::OutOfMemory(Error::new(Status::NoMemory, "out of memory"));
        assert_eq!(error(memory).0, Status::NoMemory);
        assert!(Problem::check_deadline(Deadline::after(Duration::MAX)).is_ok());
    }
}
