//! What a document of secrets holds in any format, and what can be wrong with one.

use std::path::Path;

use crate::clock::Deadline;
use crate::error::{Error, Source, Status};
use crate::secret_memory::SecretBytes;

/// Names and values in the order of the file; `None` is null.
pub(super) type Entries = Vec<(String, Option<SecretBytes>)>;

/// The message of a problem that is not one of the text.
const LATE: &str = "reading it took longer than the call may take";

/// Why a text is not a document. Lines and columns count from 1; 0 is unknown.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

impl Problem {
    /// An error once the time has passed.
    pub(super) fn if_late(deadline: Deadline) -> Result<(), Problem> {
        match deadline.has_passed() {
            true => Err(Problem { line: 0, column: 0, message: LATE.to_owned() }),
            false => Ok(()),
        }
    }

    /// The problem as an error that names the file.
    pub(super) fn in_file(self, path: &Path) -> Error {
        let Problem { line, column, message } = self;
        if message == LATE {
            let error = Error::new(Status::Timeout, format!("{}: {message}", path.display()));
            return error.with_retryable(true).with_source(Source::File);
        }
        let place = if line > 0 { format!(", line {line}, column {column}") } else { String::new() };
        Error::new(Status::Protocol, format!("{}{place}: {message}", path.display())).with_source(Source::File)
    }
}

/// A text whose layout does not let one entry be changed alone.
pub(super) fn refusal(key: &str) -> Problem {
    let message = format!("the layout of this file does not allow changing {key:?} in place; edit it by hand");
    Problem { line: 0, column: 0, message }
}

/// Line and column, from 1, of the byte at `offset`.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
