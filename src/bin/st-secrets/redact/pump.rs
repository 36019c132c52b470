//! Copies one stream with its secrets replaced, without waiting.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use st_secrets::redact::Stream;
use zeroize::Zeroizing;

/// Text that may be the beginning of a secret is held back until the input has paused for this long, so that a progress
/// bar or a prompt is seen.
const PAUSE: Duration = Duration::from_millis(50);

const READ: usize = 64 * 1024;

/// A pipe, socket or terminal that is ready takes this much without waiting (`PIPE_BUF`).
const WRITE: usize = 4096;

/// What a terminal or a pipe may hold when its writer has ended, at most.
const LEFT: usize = 1024 * 1024;

pub(super) struct Pump<'a> {
    /// `None` after its end.
    input: Option<File>,
    output: File,
    stream: Stream<'a>,
    read: Zeroizing<Vec<u8>>,
    /// Redacted text that is not written yet, from `written` on.
    pending: Vec<u8>,
    written: usize,
    /// How much may be written at once.
    most: usize,
    last_input: Instant,
}

impl<'a> Pump<'a> {
    pub(super) fn new(input: File, output: File, stream: Stream<'a>) -> Pump<'a> {
        let kind = output.metadata().map(|metadata| metadata.file_type());
        let can_wait = kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket() || kind.is_char_device());
        Pump {
            input: Some(input),
            output,
            stream,
            read: Zeroizing::new(vec![0; READ]),
            pending: Vec::new(),
            written: 0,
            most: if can_wait { WRITE } else { usize::MAX },
            last_input: Instant::now(),
        }
    }

    pub(super) fn input(&self) -> Option<&File> {
        self.input.as_ref()
    }

    /// What has to be ready before this can advance.
    pub(super) fn awaits(&self) -> Option<PollFd<'_>> {
        match &self.input {
            _ if !self.pending.is_empty() => Some(PollFd::new(&self.output, PollFlags::OUT)),
            Some(input) => Some(PollFd::new(input, PollFlags::IN)),
            None => None,
        }
    }

    /// When this can advance in any case.
    pub(super) fn release_at(&self) -> Option<Instant> {
        let holds = self.pending.is_empty() && self.stream.held() > 0;
        holds.then(|| self.last_input + PAUSE)
    }

    /// Reads or writes what is ready, if anything is.
    pub(super) fn advance(&mut self) -> io::Result<()> {
        if self.awaits().is_some_and(is_ready) {
            match self.pending.is_empty() {
                true => self.read()?,
                false => return self.write(),
            }
        } else if self.release_at().is_some_and(|at| at <= Instant::now()) {
            self.stream.flush(&mut self.pending);
        }
        // Most output is ready at once.
        self.write_ready()
    }

    fn read(&mut self) -> io::Result<()> {
        let Some(input) = &mut self.input else { return Ok(()) };
        match input.read(&mut self.read) {
            Ok(0) => self.end_input(),
            Ok(length) => {
                self.stream.write(&self.read[..length], &mut self.pending);
                self.last_input = Instant::now();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A terminal without a program.
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => self.end_input(),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn end_input(&mut self) {
        self.input = None;
        self.stream.end(&mut self.pending);
    }

    fn write(&mut self) -> io::Result<()> {
        let end = self.pending.len().min(self.written.saturating_add(self.most));
        match self.output.write(&self.pending[self.written..end]) {
            Ok(length) => self.written += length,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                self.close();
                return Err(error);
            }
        }
        if self.written == self.pending.len() {
            self.pending.clear();
            self.written = 0;
        }
        Ok(())
    }

    /// Writes what the output takes without waiting.
    fn write_ready(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() && is_ready(PollFd::new(&self.output, PollFlags::OUT)) {
            self.write()?;
        }
        Ok(())
    }

    /// Ends both sides. The writer of the input then learns of it as it would from the output itself.
    fn close(&mut self) {
        self.input = None;
        self.pending.clear();
        self.written = 0;
    }

    /// Copies what has been written so far and releases what is held back. Waits for the output.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        let mut left = LEFT;
        while left > 0 && self.is_input_ready() {
            self.flush()?;
            self.read()?;
            left = left.saturating_sub(self.pending.len().max(1));
        }
        self.stream.flush(&mut self.pending);
        self.flush()
    }

    /// Copies what has been written so far, without waiting: what the output does not take now is written later. What
    /// may be the beginning of a secret stays held back, because the command may have stopped in the middle of a write.
    pub(super) fn drain_ready(&mut self) -> io::Result<()> {
        let mut left = LEFT;
        loop {
            self.write_ready()?;
            if !self.pending.is_empty() {
                return Ok(());
            }
            if left == 0 || !self.is_input_ready() {
                break;
            }
            self.read()?;
            left = left.saturating_sub(self.pending.len().max(1));
        }
        Ok(())
    }

    /// Starts the pause again after which held text is released, as the command continues.
    pub(super) fn restart_pause(&mut self) {
        self.last_input = Instant::now();
    }

    fn is_input_ready(&self) -> bool {
        self.input.as_ref().is_some_and(|input| is_ready(PollFd::new(input, PollFlags::IN)))
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            poll(&mut [PollFd::new(&self.output, PollFlags::OUT)], None).ok();
            self.write()?;
        }
        Ok(())
    }
}

fn is_ready(mut awaited: PollFd<'_>) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(std::slice::from_mut(&mut awaited), Some(&now)).is_ok_and(|ready| ready > 0)
}
