//! Exit codes, and the lines that go with them.

use std::io;
use std::process::ExitCode;

use st_secrets::{Error, Status};

use crate::terminal;

/// What a command ends with.
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// The command line cannot be used.
pub(crate) const BAD_USE: u8 = 2;
/// A secret is not in any provider.
pub(crate) const MISSING: u8 = 3;
/// Something failed, or is not as it should be.
pub(crate) const FAILED: u8 = 4;
/// The command of `run` is there and cannot be started.
pub(crate) const CANNOT_RUN: u8 = 126;
/// The command of `run` does not exist.
pub(crate) const NO_COMMAND: u8 = 127;

/// Ctrl-C while a value was typed.
pub(crate) const INTERRUPTED: u8 = 130;

/// An exit code and the lines of the error message. No line contains a value.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    pub(crate) lines: Vec<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, line: impl Into<String>) -> Failure {
        Failure { code, lines: vec![line.into()] }
    }

    /// Bad use: what is wrong, and what to write instead.
    pub(crate) fn usage(line: impl Into<String>) -> Failure {
        Failure::new(BAD_USE, line)
    }

    pub(crate) fn failed(line: impl Into<String>) -> Failure {
        Failure::new(FAILED, line)
    }

    /// One failure of several. A missing secret is the code only where nothing else is wrong.
    pub(crate) fn of_all(failures: Vec<Failure>) -> Result<(), Failure> {
        let Some(code) = failures.iter().map(|failure| failure.code).max_by_key(|code| rank(*code)) else {
            return Ok(());
        };
        let mut lines: Vec<String> = Vec::new();
        for line in failures.into_iter().flat_map(|failure| failure.lines) {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        Err(Failure { code, lines })
    }

    pub(crate) fn report(&self) -> ExitCode {
        self.lines.iter().for_each(|line| terminal::error(line));
        ExitCode::from(self.code)
    }
}

/// A failure of a provider counts more than bad use, and that more than a missing secret.
fn rank(code: u8) -> u8 {
    match code {
        MISSING => 0,
        BAD_USE => 1,
        _ => 2,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let code = match error.status() {
            Status::NotFound => MISSING,
            Status::InvalidArgument | Status::Config => BAD_USE,
            _ => FAILED,
        };
        Failure::new(code, error.message())
    }
}

/// Output that cannot be written. A reader that has read enough is not a failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure { code: 0, lines: Vec::new() },
            _ => Failure::failed(format!("cannot write the output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_several_failures_is_that_of_the_worst() {
        let code = |codes: &[u8]| {
            let failures = codes.iter().map(|code| Failure::new(*code, "failed")).collect();
            Failure::of_all(failures).unwrap_err().code
        };
        assert_eq!(code(&[MISSING, BAD_USE]), BAD_USE);
        assert_eq!(code(&[BAD_USE, MISSING, FAILED, MISSING]), FAILED);
        assert_eq!(code(&[MISSING]), MISSING);
        Failure::of_all(Vec::new()).unwrap();
    }
}
