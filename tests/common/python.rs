//! A Python program that answers one JSON object with another.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

pub struct Python {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// The interpreter with the packages that the tests need.
pub fn interpreter() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = Command::new("sh").arg(root.join("tests/python-tools.sh")).status().unwrap();
    assert!(made.success(), "run: make tools");
    root.join("build/venv/bin/python")
}

impl Python {
    /// Starts a program of tests/python.
    pub fn start(name: &str, arguments: &[&Path]) -> Python {
        let mut child = Command::new(interpreter())
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Python { child, to, from }
    }

    pub fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.to, "{request}").unwrap();
        let mut answer = String::new();
        self.from.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("no answer to {request}"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
