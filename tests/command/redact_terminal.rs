//! `run --redact` on a terminal.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use crate::home::{CANARY, Home};
use crate::session::Session;

fn home() -> Home {
    Home::with(r#"{"HF_TOKEN": "CANARY-1234567", "KEY": "CANARY a\nCANARY b\n"}"#)
}

fn start(home: &Home, script: &str) -> Session {
    Session::start(home, &["run", "HF_TOKEN", "KEY", "--redact", "--", "sh", "-c", script])
}

#[test]
fn the_command_has_terminals_of_the_same_size() {
    let home = home();
    let script =
        "test -t 0 && test -t 1 && test -t 2 && stty size <&1 && stty size <&2 && echo $HF_TOKEN $HF_TOKEN >&2";
    let (code, seen) = start(&home, script).end();
    assert_eq!((code, seen.as_str()), (0, "40 200\r\n40 200\r\n*** ***\r\n"));
    // The keyboard is that of the real terminal.
    let mut session = start(&home, "read line </dev/tty; read other; echo \"got $line $other\"");
    session.type_in(b"this\nthat\n");
    session.expect("got this that");
    assert_eq!(session.end().0, 0);
    // A secret of several short lines, to which the terminal adds carriage returns.
    let (_, seen) = start(&home, "printf %s \"$KEY\"").end();
    assert!(seen.contains("***") && !seen.contains(CANARY), "{seen}");
}

#[test]
fn one_stream_may_stay_on_the_terminal() {
    let home = home();
    let script = "test -t 1 && test -t 2 && echo out $HF_TOKEN && echo err $HF_TOKEN >&2";
    let session = Session::start(&home, &["run", "HF_TOKEN", "--redact=stderr", "--", "sh", "-c", script]);
    let (code, seen) = session.end();
    assert_eq!((code, seen.as_str()), (0, "out CANARY-1234567\r\nerr ***\r\n"));
}

#[test]
fn output_without_a_line_end_is_seen_at_once() {
    let home = home();
    let mut session = start(&home, "printf 'step 1\\r'; read x; printf 'CANARY-123'; read x; echo");
    session.expect("step 1\r");
    session.type_in(b"\n");
    // It may be the beginning of a secret.
    session.expect("CANARY-123");
    session.type_in(b"\n");
    assert_eq!(session.end().0, 0);
}

#[test]
fn a_new_size_reaches_the_command() {
    let home = home();
    let script = "trap 'stty size <&1; test \"$(stty size <&2)\" = \"50 100\" && exit 0' WINCH; echo ready; \
                  while :; do sleep 0.05; done";
    let mut session = start(&home, script);
    session.expect("ready");
    session.resize(50, 100);
    session.expect("50 100");
    assert_eq!(session.end().0, 0);
}

#[test]
fn ctrl_c_comes_once_and_ends_both() {
    let home = home();
    // What comes while it is blocked is one signal, and a second one stays pending after the first is taken.
    let script = "import os, signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, [2])\nos.write(1, b'ready\\n')\n\
                  signal.sigwait([2])\nos.write(1, b'int\\n')\nsys.stdin.readline()\n\
                  print(len(signal.sigpending()), 'more')\nsignal.signal(2, signal.SIG_DFL)\n\
                  signal.pthread_sigmask(signal.SIG_UNBLOCK, [2])\nprint('again', flush=True)\nsys.stdin.readline()";
    let mut session = Session::start(&home, &["run", "HF_TOKEN", "--redact", "--", "python3", "-c", script]);
    session.expect("ready");
    session.type_in(b"\x03");
    session.expect("int");
    session.type_in(b"\n");
    session.expect("0 more");
    session.expect("again");
    session.type_in(b"\x03");
    assert_eq!(session.child.wait().unwrap().signal(), Some(2));
}

/// A shell with job control, in which `$0` is the program.
fn in_shell(home: &Home, script: &str) -> Session {
    let program = home.command::<&str>(&[]);
    let mut shell = Command::new("bash");
    shell.args(["--norc", "-c", &format!("set -m; {script}")]).arg(program.get_program());
    shell.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Session::of(home, &shell, 200)
}

#[test]
fn ctrl_z_and_fg_work_as_without() {
    let home = home();
    let mut session = in_shell(
        &home,
        r#""$0" run HF_TOKEN --redact -- sh -c 'echo ready; read line; echo "got $line $HF_TOKEN"'
           echo "stopped $?"; read go; fg; echo "ended $?""#,
    );
    session.expect("ready");
    session.type_in(b"\x1a");
    session.expect("stopped 14");
    session.type_in(b"\n");
    session.expect("sh -c");
    session.type_in(b"this\n");
    session.expect("got this ***");
    session.expect("ended 0");
    session.end();
}

#[test]
fn ctrl_z_stops_a_pipeline_whose_reader_does_not_read() {
    let home = home();
    // More than the pipe to the reader holds, so more waits for it. The command starts no program: a shell between
    // vfork and exec would not stop. The reader is there before Ctrl-Z too.
    let mut session = in_shell(
        &home,
        r#""$0" run HF_TOKEN --redact -- python3 -c 'import os, sys; out = sys.stdout.buffer
out.write(bytes(131073)); out.flush(); os.write(2, b"ready\n"); out.write(bytes(131073))' |
           { echo reading >/dev/tty; read line </dev/tty; wc -c; }; echo "stopped $?"; read go; fg; echo "ended $?""#,
    );
    session.expect("reading");
    session.expect("ready");
    session.type_in(b"\x1a");
    session.expect("stopped 14");
    session.type_in(b"\n");
    session.expect("python3 -c");
    session.type_in(b"\n");
    session.expect("262146");
    session.expect("ended 0");
    session.end();
}

#[test]
fn a_pipeline_ends_with_ctrl_c() {
    let home = home();
    let mut session = in_shell(
        &home,
        r#""$0" run HF_TOKEN --redact -- sh -c 'trap "echo last $HF_TOKEN; exit 5" INT; echo ready; while :; do sleep 0.05; done' |
           sh -c 'trap "" INT; exec cat'; echo "codes ${PIPESTATUS[*]}""#,
    );
    session.expect("ready");
    session.type_in(b"\x03");
    session.expect("last ***");
    session.expect("codes 5 0");
    session.end();
}

#[test]
fn a_command_in_the_background_stops_as_it_reads() {
    let home = home();
    let mut session = in_shell(
        &home,
        r#""$0" run HF_TOKEN --redact -- sh -c 'echo "out $HF_TOKEN"; read line; echo "got $line"' &
           until jobs %1 | grep -q Stopped; do sleep 0.05; done; echo "it stopped"; fg; echo "ended $?""#,
    );
    session.expect("out ***");
    session.expect("it stopped");
    session.expect("sh -c");
    session.type_in(b"this\n");
    session.expect("got this");
    session.expect("ended 0");
    session.end();
}

#[test]
fn what_was_written_before_the_end_is_seen_before_the_prompt() {
    let home = home();
    let mut session = in_shell(
        &home,
        r#"for i in 1 2 3 4 5 6 7 8; do "$0" run HF_TOKEN --redact -- sh -c 'printf "last $HF_TOKEN"'; echo " prompt"; done; echo END"#,
    );
    session.expect("END");
    let (_, seen) = session.end();
    assert_eq!(seen.matches("last *** prompt").count(), 8, "{seen}");
}
