//! What people see and type on a terminal.

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
const LONG: Duration = Duration::from_secs(60);

/// A program on a terminal of its own.
struct Session {
    child: Child,
    terminal: File,
    /// The program's side, so that the terminal outlives the program.
    inner: File,
    output: Receiver<u8>,
    seen: String,
}

impl Session {
    fn start(home: &Home, arguments: &[&str]) -> Session {
        Session::wide(home, arguments, 200)
    }

    fn wide(home: &Home, arguments: &[&str], columns: u16) -> Session {
        let terminal: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let size = Winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).unwrap();
        let path = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        let inner = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let own = |inner: &File| Stdio::from(inner.try_clone().unwrap());
        let program = home.command(arguments);
        // Makes it the controlling terminal.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(program.get_program()).args(program.get_args()).env_clear();
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm");
        command.current_dir(home.path("")).stdin(own(&inner)).stdout(own(&inner)).stderr(own(&inner));
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
    fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + LONG;
        while !self.seen.contains(text) {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(byte) => self.seen.push(char::from(byte)),
                Err(error) => panic!("{error}: expected {text:?} in {:?}", self.seen),
            }
        }
    }

    fn type_in(&mut self, keys: &[u8]) {
        self.terminal.write_all(keys).unwrap();
    }

    /// The exit code, and all that was seen.
    fn end(mut self) -> (i32, String) {
        let code = self.child.wait().unwrap().code().unwrap();
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

#[test]
fn a_value_goes_to_a_terminal_on_request_alone() {
    let home = Home::with(r#"{"HF_TOKEN": "CANARY"}"#);
    for arguments in [
        &["get", "HF_TOKEN"][..],
        &["export", "--format", "env", "HF_TOKEN"],
        &["export", "--format", "k8s", "HF_TOKEN"],
    ] {
        let (code, seen) = Session::start(&home, arguments).end();
        assert_eq!(code, 2, "{seen}");
        assert!(seen.contains("a value is not written to a terminal") && seen.contains("--show"), "{seen}");
        assert!(!seen.contains("CANARY") && !seen.contains("Q0FOQVJZ") && seen.lines().count() == 1, "{seen}");
    }
    assert_eq!(Session::start(&home, &["get", "HF_TOKEN", "--show"]).end(), (0, "CANARY\r\n".to_owned()));
    let (code, seen) = Session::start(&home, &["export", "--show", "--format", "env", "HF_TOKEN"]).end();
    assert_eq!((code, seen.as_str()), (0, "export HF_TOKEN='CANARY'\r\n"));
}

#[test]
fn a_value_is_typed_without_being_shown() {
    let home = Home::new();
    let mut session = Session::start(&home, &["set", "HF_TOKEN"]);
    session.expect("Value of HF_TOKEN (not shown): ");
    // Ctrl-U takes back all, Backspace a character.
    session.type_in("wrong\x15CANARY\u{e9}\x7f-1x\x7f\r".as_bytes());
    let (code, seen) = session.end();
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("HF_TOKEN is set in "), "{seen}");
    assert!(!seen.contains("CANARY") && !seen.contains("wrong"), "{seen}");
    assert_eq!(home.run(&["get", "HF_TOKEN"]).ok().text(), "CANARY-1");
}

#[test]
fn ctrl_c_leaves_all_as_it_was() {
    let home = Home::with(r#"{"HF_TOKEN": "before"}"#);
    for (keys, code) in [(&b"CANARY\x03"[..], 130), (b"CANARY\x1c", 130), (b"\x04", 4)] {
        let mut session = Session::start(&home, &["set", "HF_TOKEN"]);
        session.expect("(not shown): ");
        session.type_in(keys);
        let (ended, seen) = session.end();
        assert_eq!(ended, code, "{seen}");
        assert!(seen.contains("nothing was changed") && !seen.contains("CANARY"), "{seen}");
    }
    assert_eq!(home.run(&["get", "HF_TOKEN"]).ok().text(), "before");
}

#[test]
fn an_empty_line_is_not_a_value() {
    let home = Home::new();
    let mut session = Session::start(&home, &["set", "HF_TOKEN"]);
    session.expect("(not shown): ");
    session.type_in(b"\r");
    let (code, seen) = session.end();
    assert!(code == 2 && seen.contains("the value is empty"), "{seen}");
}

#[test]
fn the_command_of_run_has_the_terminal() {
    let home = Home::with(r#"{"HF_TOKEN": "CANARY"}"#);
    let script = "test -t 0 && test -t 1 && test -t 2 && read line </dev/tty && echo \"got $line $(stty size)\"";
    let mut session = Session::start(&home, &["run", "HF_TOKEN", "--", "sh", "-c", script]);
    session.type_in(b"this\n");
    session.expect("got this 40 200");
    assert_eq!(session.end().0, 0);
    let mut session = Session::start(&home, &["run", "HF_TOKEN", "--", "sh", "-c", "echo ready; sleep 100"]);
    session.expect("ready");
    session.type_in(b"\x03");
    assert_eq!(session.child.wait().unwrap().signal(), Some(2));
}

#[test]
fn states_have_colors_on_a_terminal() {
    let home = Home::with(r#"{"HF_TOKEN": "CANARY"}"#);
    let (_, seen) = Session::start(&home, &["check"]).end();
    assert!(seen.contains("\x1b[32mok\x1b[0m"), "{seen:?}");
    let (_, seen) = Session::start(&home, &["check", "--color", "never"]).end();
    assert!(seen.contains("ok") && !seen.contains('\x1b'), "{seen:?}");
    let text = String::from_utf8(home.run(&["check", "--color", "always"]).ok().stdout).unwrap();
    assert!(text.contains("\x1b[32mok\x1b[0m"), "{text:?}");
}

#[test]
fn a_table_is_as_wide_as_the_terminal() {
    let home = Home::with(r#"{"HF_TOKEN": "CANARY"}"#);
    let (_, seen) = Session::wide(&home, &["check", "--color", "never"], 70).end();
    assert!(seen.lines().all(|line| line.len() <= 70), "{seen}");
    assert!(seen.lines().count() > 6, "{seen}");
}

#[test]
fn members_that_look_like_secrets_are_hidden_on_a_terminal() {
    let home = Home::new();
    let config = br#"{"webhook_secret": "CANARY", "deep": [{"api_key": "CANARY"}], "webhook_require_signature": true, "cost": 1}"#;
    home.run_with(&["provider", "save", "replicate"], config).ok();
    let (code, seen) = Session::start(&home, &["provider", "show", "replicate"]).end();
    assert!(code == 0 && !seen.contains("CANARY") && seen.contains("\"cost\": 1"), "{seen}");
    let (_, seen) = Session::start(&home, &["provider", "show", "replicate", "--show"]).end();
    assert!(seen.contains("CANARY"), "{seen}");
}
