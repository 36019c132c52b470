//! A program on a terminal of its own.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::home::Home;

/// Longer than anything takes; a test that waits this long has failed.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A program on a terminal of its own.
pub(crate) struct Session {
    pub(crate) child: Child,
    terminal: File,
    /// The program's side, so that the terminal outlives the program.
    inner: File,
    output: Receiver<u8>,
    pub(crate) seen: String,
}

impl Session {
    pub(crate) fn start(home: &Home, arguments: &[&str]) -> Session {
        Session::wide(home, arguments, 200)
    }

    pub(crate) fn wide(home: &Home, arguments: &[&str], columns: u16) -> Session {
        Session::of(home, &home.command(arguments), columns)
    }

    /// Any program.
    pub(crate) fn of(home: &Home, program: &Command, columns: u16) -> Session {
        let terminal: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let size = Winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).unwrap();
        let path = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        let inner = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let own = |inner: &File| Stdio::from(inner.try_clone().unwrap());
        // Makes it the controlling terminal. The tests may run where signals of the keyboard are ignored.
        let mut command = home.under(&["env", "--default-signal", "setsid", "--ctty", "--wait"], program);
        command.env("TERM", "xterm").stdin(own(&inner)).stdout(own(&inner)).stderr(own(&inner));
        let child = command.spawn().unwrap();
        let terminal = File::from(terminal);
        let (sender, output) = channel();
        let mut reader = terminal.try_clone().unwrap();
        thread::spawn(move || {
            let mut byte = [0];
            while reader.read(&mut byte).is_ok_and(|count| count == 1) && sender.send(byte[0]).is_ok() {}
        });
        Session { child, terminal, inner, output, seen: String::new() }
    }

    /// Waits until the program has written this.
    pub(crate) fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + LONG;
        while !self.seen.contains(text) {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(byte) => self.seen.push(char::from(byte)),
                Err(error) => panic!("{error}: expected {text:?} in {:?}", self.seen),
            }
        }
    }

    pub(crate) fn type_in(&mut self, keys: &[u8]) {
        self.terminal.write_all(keys).unwrap();
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.terminal, size).unwrap();
    }

    /// Whether the terminal shows what is typed.
    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(&self.inner).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// The exit code, as a shell reports it, and all that was seen.
    pub(crate) fn end(mut self) -> (i32, String) {
        let deadline = Instant::now() + LONG;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("it does not end: {:?}", self.seen),
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        let modes = tcgetattr(&self.inner).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG), "{modes:?}");
        // All that it wrote is there by now.
        self.inner.write_all(b"END").unwrap();
        while !self.seen.ends_with("END") {
            match self.output.recv_timeout(LONG) {
                Ok(byte) => self.seen.push(char::from(byte)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => panic!("{:?}", self.seen),
            }
        }
        self.seen.truncate(self.seen.len() - 3);
        (code, self.seen)
    }
}
