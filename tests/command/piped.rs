//! A program whose streams are pipes, and whose output is expected line by line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};

use crate::session::LONG;

pub(crate) struct Piped {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    error_lines: Receiver<String>,
    errors: JoinHandle<String>,
}

impl Piped {
    pub(crate) fn start(mut command: Command) -> Piped {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, error_lines) = channel();
        let errors = thread::spawn(move || {
            let (mut text, mut line) = (String::new(), Vec::new());
            while stderr.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let read = String::from_utf8_lossy(&line).into_owned();
                text.push_str(&read);
                // The test may not be interested.
                let _ = sender.send(read);
                line.clear();
            }
            text
        });
        Piped { input: child.stdin.take(), child, lines, error_lines, errors }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn write(&mut self, text: &[u8]) {
        self.input.as_mut().unwrap().write_all(text).unwrap();
    }

    /// The next line. Without one, the test fails and shows how the program ended.
    pub(crate) fn line(&mut self) -> String {
        match self.lines.recv_timeout(LONG) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => panic!("its output has ended: {}", self.ended()),
            Err(RecvTimeoutError::Timeout) => {
                self.child.kill().unwrap();
                panic!("it writes nothing, so it was killed: {}", self.ended())
            }
        }
    }

    /// The next line of its errors.
    pub(crate) fn error_line(&mut self) -> String {
        self.error_lines.recv_timeout(LONG).expect("it reports no error")
    }

    fn ended(&mut self) -> String {
        let status = self.child.wait().unwrap();
        let errors = std::mem::replace(&mut self.errors, thread::spawn(String::new)).join().unwrap();
        format!("{status}, stderr: {errors:?}")
    }

    /// Ends its input, expects no further line, and returns how it ended.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.end_input();
        match self.lines.recv_timeout(LONG) {
            Err(RecvTimeoutError::Disconnected) => self.child.wait().unwrap(),
            Ok(line) => panic!("an unexpected line: {line:?}"),
            Err(RecvTimeoutError::Timeout) => panic!("it does not end"),
        }
    }

    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }
}
