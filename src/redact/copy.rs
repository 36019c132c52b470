//! Redaction of what is read from a file descriptor.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::Redactor;
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::sys::{self, Until};

/// How long text is held back while no more arrives.
const PAUSE: Duration = Duration::from_millis(50);
/// The time of one wait for input or room, after which it continues.
const WAIT: Duration = Duration::from_secs(5);

impl Redactor {
    /// Reads `from` until its end, and writes the redacted text to `to`. What may be the beginning of a value is
    /// written if 50 ms pass without more input. Both descriptors may be non-blocking.
    ///
    /// [`Status::Io`]: reading or writing failed, with `errno` as its detail: `EPIPE` if nothing reads `to` any longer.
    pub fn copy(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
        // It waits for other programs, so forks are allowed. No lock is held.
        fork::unprotected(|| self.copy_unprotected(from, to))
    }

    fn copy_unprotected(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
        let open = |name: &str, fd: BorrowedFd<'_>| {
            fd.try_clone_to_owned().map(File::from).map_err(|error| failure("open", name, &error))
        };
        let (mut from, mut to) = (open("from", from)?, open("to", to)?);
        let (mut stream, mut text, mut redacted) = (self.stream(), vec![0; 64 * 1024], Vec::new());
        loop {
            if stream.held() > 0 && is_paused(&from)? {
                stream.flush(&mut redacted);
            } else {
                match from.read(&mut text) {
                    Ok(0) => {
                        stream.end(&mut redacted);
                        return write_all(&mut to, &redacted);
                    }
                    Ok(len) => stream.write(&text[..len], &mut redacted),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        is_readable(&from, WAIT)?;
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // A terminal whose other side was closed.
                    Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                        stream.end(&mut redacted);
                        return write_all(&mut to, &redacted);
                    }
                    Err(error) => return Err(failure("read", "from", &error)),
                }
            }
            write_all(&mut to, &redacted)?;
            redacted.clear();
        }
    }
}

/// Whether no input arrives for the time of a pause.
fn is_paused(file: &File) -> Result<bool> {
    let end = Deadline::after(PAUSE);
    while !is_readable(file, end.remaining())? {
        // A signal may have ended the wait.
        if end.has_passed() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Waits for input, at most for this time or until a signal. Returns whether a read would not block.
fn is_readable(file: &File, timeout: Duration) -> Result<bool> {
    match sys::wait_readable([Some(file.as_fd()), None], timeout) {
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
        ready => ready.map(|ready| ready[0]).map_err(|error| failure("wait for", "from", &error)),
    }
}

fn write_all(file: &mut File, mut text: &[u8]) -> Result<()> {
    while !text.is_empty() {
        match file.write(text) {
            Ok(len) => text = &text[len..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let waited = sys::wait(file.as_fd(), Until::Writable, WAIT);
                waited.map_err(|error| failure("wait for", "to", &error))?;
            }
            Err(error) => return Err(failure("write", "to", &error)),
        }
    }
    Ok(())
}

fn failure(action: &str, name: &str, error: &std::io::Error) -> Error {
    let error_number = error.raw_os_error().unwrap_or(0);
    Error::new(Status::Io, format!("cannot {action} the file descriptor `{name}`: {error}")).with_detail(error_number)
}
