//! A home directory for the program, and what it answers there.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// No value of a test may be seen where none belongs: all begin with this.
pub(crate) const CANARY: &str = "CANARY";

pub(crate) struct Home {
    directory: tempfile::TempDir,
}

/// What the program answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Home {
        Home { directory: tempfile::tempdir().unwrap() }
    }

    /// One with this in `~/.simpletuner/secrets.json`.
    pub(crate) fn with(json: &str) -> Home {
        let home = Home::new();
        home.write(".simpletuner/secrets.json", json);
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn secrets(&self) -> PathBuf {
        self.path(".simpletuner/secrets.json")
    }

    /// A file with mode 0600.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
        path
    }

    /// The program with these arguments, in an environment without anything else.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_st-secrets"));
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.directory.path()).env("SIMPLETUNER_STATE_DIR", self.path(".simpletuner"));
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    /// The program as an argument of another one, `words`, in the same environment and directory.
    pub(crate) fn under(&self, words: &[&str], program: &Command) -> Command {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(program.get_program()).args(program.get_args());
        command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.path("")).stdin(Stdio::null());
        command
    }

    /// The program, with no signal ignored: the tests may run where some are, as under `nohup`.
    pub(crate) fn with_default_signals(&self, program: &Command) -> Command {
        self.under(&["env", "--default-signal"], program)
    }

    /// The same in process numbers of its own, which do not have that of the session; `before` is in front of it.
    pub(crate) fn in_container(&self, before: &[&str], program: &Command) -> Command {
        let unshare = ["env", "--default-signal", "unshare", "--map-root-user", "--pid", "--fork"];
        self.under(&[&unshare, before].concat(), program)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        answer(self.command(arguments))
    }

    /// The same with this on stdin.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Answer {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A program that does not read it ends earlier.
        child.stdin.take().unwrap().write_all(input).ok();
        of(child.wait_with_output().unwrap())
    }
}

pub(crate) fn answer(mut command: Command) -> Answer {
    of(command.output().unwrap())
}

fn of(output: Output) -> Answer {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains(CANARY), "a value is shown: {stderr}");
    Answer { code: output.status.code().unwrap(), stdout: output.stdout, stderr }
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Success, and nothing on stderr.
    pub(crate) fn ok(self) -> Answer {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        self
    }

    /// This exit code, nothing on stdout, and each of these texts on stderr.
    pub(crate) fn fails(self, code: i32, texts: &[&str]) -> Answer {
        assert_eq!((self.code, self.text()), (code, ""), "{self:?}");
        self.says(texts)
    }

    /// Each of these texts is on stderr.
    pub(crate) fn says(self, texts: &[&str]) -> Answer {
        for text in texts {
            assert!(self.stderr.contains(text), "expected {text:?} in: {}", self.stderr);
        }
        self
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The Python of the tests, which has what they compare with.
pub(crate) fn python() -> Command {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("build/venv/bin/python");
    assert!(python.exists(), "run first: sh tests/python-tools.sh");
    Command::new(python)
}
