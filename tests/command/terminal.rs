//! What a terminal shows, and typed input.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use crate::home::Home;
use crate::session::Session;

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
fn a_signal_leaves_the_terminal_as_it_was() {
    let home = Home::with(r#"{"HF_TOKEN": "before"}"#);
    for (name, signal) in [("HUP", 1), ("INT", 2), ("QUIT", 3), ("TERM", 15)] {
        let mut session = Session::start(&home, &["set", "HF_TOKEN"]);
        session.expect("(not shown): ");
        session.type_in(b"CANARY");
        let id = session.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
        let (code, seen) = session.end();
        assert_eq!(code, 128 + signal, "{seen}");
        assert!(!seen.contains("CANARY"), "{seen}");
    }
    assert_eq!(home.run(&["get", "HF_TOKEN"]).ok().text(), "before");
}

#[test]
fn a_value_is_typed_in_a_container_whose_session_began_outside() {
    let home = Home::new();
    let program = home.in_container(&[], &home.command(&["set", "HF_TOKEN"]));
    let mut session = Session::of(&home, &program, 200);
    session.expect("(not shown): ");
    // No shell would continue the program, so the system does not stop it.
    session.type_in(b"wrong\x1a");
    session.seen.clear();
    session.expect("(not shown): ");
    session.type_in(b"CANARY\r");
    assert_eq!(session.end().0, 0);
    assert_eq!(home.run(&["get", "HF_TOKEN"]).ok().text(), "CANARY");
}

#[test]
fn a_stop_in_a_shell_shows_what_is_typed_until_it_is_continued() {
    let home = Home::new();
    let program = home.command::<&str>(&[]);
    let script = r#"set -m; "$0" set HF_TOKEN; echo "stopped $?"; read go; fg; echo "ended $?""#;
    for is_key in [true, false] {
        let mut shell = Command::new("bash");
        shell.args(["--norc", "-c", script]).arg(program.get_program());
        shell.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut session = Session::of(&home, &shell, 200);
        session.expect("(not shown): ");
        session.type_in(b"wrong");
        if is_key {
            session.type_in(b"\x1a");
        } else {
            let shell = session.child.id();
            let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
            assert!(Command::new("kill").args(["-TSTP", children.trim()]).status().unwrap().success());
        }
        session.expect("stopped 14");
        assert!(session.echoes());
        session.seen.clear();
        session.type_in(b"\n");
        session.expect("(not shown): ");
        assert!(!session.echoes());
        session.type_in(b"CANARY\r");
        session.expect("ended 0");
        assert!(!session.seen.contains("CANARY"), "{}", session.seen);
        session.end();
        assert_eq!(home.run(&["get", "HF_TOKEN"]).ok().text(), "CANARY");
    }
}

#[test]
fn control_keys_and_several_lines_are_not_a_value() {
    let home = Home::with(r#"{"HF_TOKEN": "before"}"#);
    for (keys, expected) in [
        (&b"CANARY\x1a\r"[..], "a control key that is not supported was typed"),
        (b"CANARY\x17", "a control key"),
        (b"CANARY\x1b[D\r", "a control key"),
        (b"CANARY\0", "a control key"),
        (b"CANARY 1\nCANARY 2\n", "several lines were pasted; pipe the value instead"),
        (b"CANARY 1\r\n\r\nCANARY 2", "several lines were pasted"),
    ] {
        let mut session = Session::start(&home, &["set", "HF_TOKEN"]);
        session.expect("(not shown): ");
        session.type_in(keys);
        let (code, seen) = session.end();
        assert!(code == 2 && seen.contains(expected) && !seen.contains("CANARY"), "{keys:?}: {seen}");
    }
    assert_eq!(home.run(&["get", "HF_TOKEN"]).ok().text(), "before");
    let mut session = Session::start(&home, &["set", "HF_TOKEN"]);
    session.expect("(not shown): ");
    session.type_in(b"a\tb\r\n\n");
    assert_eq!(session.end().0, 0);
    assert_eq!(home.run(&["get", "HF_TOKEN"]).ok().text(), "a\tb");
}

#[test]
fn names_cannot_change_the_terminal() {
    let home = Home::with("{\"A\\u001b[31m\\u009b\": \"CANARY\"}");
    let (code, seen) = Session::start(&home, &["list", "--color", "never"]).end();
    assert!(code == 0 && !seen.contains('\x1b') && seen.contains(r"A\u{1b}[31m\u{9b}"), "{seen:?}");
    let (_, seen) = Session::start(&home, &["delete", "A\x1b[31m\u{9b}", "--color", "never"]).end();
    assert!(!seen.contains('\x1b') && seen.contains(r"A\u{1b}[31m\u{9b} is deleted"), "{seen:?}");
    let mut session = Session::start(&home, &["set", "A\x1b[31m"]);
    session.expect(r"Value of A\u{1b}[31m (not shown): ");
    session.type_in(b"\x03");
    session.end();
}

#[test]
fn the_command_of_run_has_the_terminal() {
    let home = Home::with(r#"{"HF_TOKEN": "CANARY"}"#);
    let script = "test -t 0 && test -t 1 && test -t 2 && read line </dev/tty && echo \"got $line $(stty size)\"";
    let mut session = Session::start(&home, &["run", "HF_TOKEN", "--", "sh", "-c", script]);
    session.type_in(b"this\n");
    session.expect("got this 40 200");
    assert_eq!(session.end().0, 0);
    let mut session = Session::start(&home, &["run", "HF_TOKEN", "--", "sh", "-c", "echo ready; exec sleep 100"]);
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
fn the_values_of_a_configuration_are_hidden_on_a_terminal() {
    let home = Home::new();
    let config =
        br#"{"webhook_url": "https://u:CANARY@x", "deep": [{"auth": "CANARY"}, 31337], "signed": true, "pin": 31337}"#;
    home.run_with(&["provider", "save", "replicate"], config).ok();
    let (code, seen) = Session::start(&home, &["provider", "show", "replicate"]).end();
    assert!(code == 0 && !seen.contains("CANARY") && !seen.contains("31337"), "{seen}");
    for shown in ["\"signed\": true", "\"pin\": \"(number; add --show)\"", "\"webhook_url\": \"(text; add --show)\""] {
        assert!(seen.contains(shown), "{shown}: {seen}");
    }
    let (_, seen) = Session::start(&home, &["provider", "show", "replicate", "--show"]).end();
    assert!(seen.contains("CANARY"), "{seen}");
}
