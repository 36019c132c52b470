//! `run --watch`: what the command gets when a value changed.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use serde_json::json;

use crate::common::proxy::Proxy;
use crate::common::servers::{bao, unique};
use crate::home::Home;
use crate::piped::Piped;
use crate::redact::wait_until;

/// A command that prints its value and, when it is asked to end, that it does.
const SERVER: &str = r#"trap 'echo "ended by TERM"; exit 7' TERM; trap 'echo "got HUP"' HUP; trap 'echo "got USR1"' USR1
echo "$$ $A"; while :; do sleep 0.05; done"#;

fn home() -> Home {
    Home::with(r#"{"A": "CANARY-1", "B": "CANARY-b"}"#)
}

fn start(home: &Home, options: &[&str], script: &str) -> Piped {
    let arguments = [&["run", "A", "--watch"], options, &["--", "sh", "-c", script]].concat();
    Piped::start(home.with_default_signals(&home.command(&arguments)))
}

fn set(home: &Home, name: &str, value: &str) {
    assert_eq!(home.run_with(&["set", name], value.as_bytes()).code, 0);
}

fn kill(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// The process and the value of a line of [`SERVER`].
fn started(server: &mut Piped) -> (u32, String) {
    let line = server.line();
    let (process, value) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?}"));
    (process.parse().unwrap_or_else(|_| panic!("{line:?}")), value.to_owned())
}

#[test]
fn a_command_is_restarted_with_the_new_value_and_its_exit_code_counts() {
    let home = home();
    let mut server = start(&home, &[], SERVER);
    let (first, value) = started(&mut server);
    assert_eq!(value, "CANARY-1");
    for value in ["CANARY-2", "CANARY-3"] {
        set(&home, "A", value);
        assert_eq!(server.line(), "ended by TERM");
        let (process, now) = started(&mut server);
        assert_eq!(now, value);
        assert_ne!(process, first);
    }
    kill("-TERM", server.id());
    assert_eq!(server.line(), "ended by TERM");
    assert_eq!(server.end().code(), Some(7));
}

#[test]
fn a_command_that_reads_the_values_itself_gets_a_hang_up() {
    let home = home();
    let mut server = start(&home, &["--on-change", "HUP"], SERVER);
    let (process, _) = started(&mut server);
    set(&home, "A", "CANARY-2");
    assert_eq!(server.line(), "got HUP");
    kill("-TERM", process);
    assert_eq!(server.line(), "ended by TERM");
    assert_eq!(server.end().code(), Some(7));
}

#[test]
fn a_command_that_others_restart_gets_term_once() {
    let home = home();
    let mut server = start(&home, &["--on-change", "term"], SERVER);
    started(&mut server);
    set(&home, "A", "CANARY-2");
    assert_eq!(server.line(), "ended by TERM");
    assert_eq!(server.end().code(), Some(7));
    let mut server = start(&home, &["--on-change", "TERM"], "echo \"$A\"; exec sleep 1000");
    assert_eq!(server.line(), "CANARY-2");
    set(&home, "A", "CANARY-3");
    assert_eq!(server.end().signal(), Some(15), "it ends by the signal of the command");
}

#[test]
fn what_the_command_does_not_get_changes_nothing() {
    let path = unique("watch");
    let put = |a: &str, b: &str| bao().put("secret", &path, &json!({"A": a, "B": b}));
    put("CANARY-1", "CANARY-b");
    let token = bao().token(&[&bao().policy(&[&format!("secret/data/{path}")], &["read"])], "1h");
    let (home, vault) = (Home::new(), Proxy::to(bao().address()));
    let config = home.write("c.toml", "providers = [\"vault\"]\ncache_ttl = 1\nvault_kv_version = \"2\"\n");
    let arguments = ["run", "A", "--watch", "--config", config.to_str().unwrap(), "--", "sh", "-c", SERVER];
    let mut command = home.command(&arguments);
    command.env("VAULT_ADDR", vault.url()).env("VAULT_TOKEN", &token).env("SIMPLETUNER_VAULT_PATH", &path);
    let mut server = Piped::start(home.with_default_signals(&command));
    assert_eq!(started(&mut server).1, "CANARY-1");
    put("CANARY-1", "CANARY-c");
    // It has read this document once more.
    vault.wait_for_requests(vault.requests().len() + 3);
    put("CANARY-2", "CANARY-c");
    assert_eq!(server.line(), "ended by TERM");
    assert_eq!(started(&mut server).1, "CANARY-2");
    kill("-TERM", server.id());
    assert_eq!(server.line(), "ended by TERM");
    assert_eq!(server.end().code(), Some(7));
}

#[test]
fn a_command_keeps_its_values_while_the_new_ones_cannot_be_read() {
    let home = home();
    let mut server = start(&home, &[], SERVER);
    started(&mut server);
    home.write(".simpletuner/secrets.json", r#"{"B": "CANARY-b"}"#);
    assert!(server.error_line().contains("secret \"A\" was not found"));
    home.write(".simpletuner/secrets.json", r#"{"A": "CANARY-2"}"#);
    assert_eq!(server.line(), "ended by TERM");
    assert_eq!(started(&mut server).1, "CANARY-2");
    kill("-TERM", server.id());
    assert_eq!(server.line(), "ended by TERM");
    assert_eq!(server.end().code(), Some(7));
}

#[test]
fn a_command_keeps_its_values_while_a_program_that_prints_them_fails() {
    let home = home();
    // After its first run it fails. Its output ends earlier, so that its status is awaited.
    let script = "echo >>runs; [ $(wc -l <runs) -gt 1 ] || { echo P=CANARY-1; exit; }
                  echo P=CANARY-2; exec >&- 2>&-; sleep 0.1; exit 1";
    let providers = json!([{"exec": ["sh", "-c", script]}, "file"]);
    let config = home.write("c.json", &json!({"providers": providers, "cache_ttl": 0.2}).to_string());
    let server = SERVER.replace("$A", "$P $A");
    let arguments = ["run", "P", "A", "--watch", "--config", config.to_str().unwrap(), "--", "sh", "-c", &server];
    let mut server = Piped::start(home.with_default_signals(&home.command(&arguments)));
    assert_eq!(started(&mut server).1, "CANARY-1 CANARY-1");
    wait_until(|| std::fs::read_to_string(home.path("runs")).unwrap().lines().count() > 1);
    set(&home, "A", "CANARY-3");
    assert_eq!(server.line(), "ended by TERM");
    assert_eq!(started(&mut server).1, "CANARY-1 CANARY-3");
    kill("-TERM", server.id());
    assert_eq!(server.line(), "ended by TERM");
    assert_eq!(server.end().code(), Some(7));
}

#[test]
fn a_command_that_does_not_end_is_killed_for_its_restart() {
    let home = home();
    let mut server = start(&home, &["--grace", "0.2"], "trap '' TERM; echo \"$A\"; exec sleep 1000");
    assert_eq!(server.line(), "CANARY-1");
    set(&home, "A", "CANARY-2");
    assert_eq!(server.line(), "CANARY-2");
    kill("-INT", server.id());
    assert_eq!(server.end().signal(), Some(2));
}

#[test]
fn a_command_that_is_to_end_is_not_restarted() {
    let home = home();
    // It ends when it has read a line.
    let script =
        "trap 'trap \"\" TERM; echo ending; read -r line; exit 5' TERM; echo \"$A\"; while :; do sleep 0.01; done";
    let mut server = start(&home, &[], script);
    assert_eq!(server.line(), "CANARY-1");
    set(&home, "A", "CANARY-2");
    assert_eq!(server.line(), "ending");
    kill("-TERM", server.id());
    server.write(b"\n");
    assert_eq!(server.end().code(), Some(5));
}

#[test]
fn signals_are_passed_on_and_the_end_is_that_of_the_command() {
    let home = home();
    let mut server = start(&home, &[], SERVER);
    started(&mut server);
    kill("-USR1", server.id());
    assert_eq!(server.line(), "got USR1");
    kill("-HUP", server.id());
    assert_eq!(server.line(), "got HUP");
    kill("-TERM", server.id());
    assert_eq!(server.line(), "ended by TERM");
    assert_eq!(server.end().code(), Some(7));
    assert_eq!(home.run(&["run", "A", "--watch", "--", "sh", "-c", "exit 42"]).code, 42);
    home.run(&["run", "A", "--watch", "--", "no-such-command"]).fails(127, &["cannot run no-such-command"]);
    home.run(&["run", "NO", "--watch", "--", "echo", "started"]).fails(3, &["secret \"NO\" was not found"]);
}

#[test]
fn a_command_is_restarted_with_files_of_the_new_values() {
    let home = home();
    let path = home.path("secret");
    let file = format!("B={}", path.display());
    let script = r#"trap 'echo "ended by TERM"; exit 7' TERM
        echo "$$ $A $(cat "$LINK")"; while :; do sleep 0.05; done"#;
    let script = script.replace("$LINK", path.to_str().unwrap());
    let mut server = start(&home, &["--tmpfs", &file], &script);
    assert_eq!(started(&mut server).1, "CANARY-1 CANARY-b");
    for (name, value, shown) in [("B", "CANARY-c", "CANARY-1 CANARY-c"), ("A", "CANARY-2", "CANARY-2 CANARY-c")] {
        set(&home, name, value);
        assert_eq!(server.line(), "ended by TERM");
        assert_eq!(started(&mut server).1, shown);
    }
    kill("-TERM", server.id());
    assert_eq!(server.line(), "ended by TERM");
    assert_eq!(server.end().code(), Some(7));
    assert!(std::fs::symlink_metadata(&path).is_err(), "the link is removed");
}

#[test]
fn a_command_with_files_alone_is_followed_and_a_hang_up_is_refused() {
    let home = home();
    let path = home.path("secret");
    let file = format!("A={}", path.display());
    let hang_up = ["run", "--watch", "--on-change", "HUP", "--tmpfs", &file, "--", "true"];
    home.run(&hang_up).fails(2, &["--on-change restart"]);
    let script = format!("trap 'exit 7' TERM; cat {}; echo; while :; do sleep 0.05; done", path.display());
    let arguments = ["run", "--watch", "--on-change", "TERM", "--tmpfs", &file, "--", "sh", "-c", &script];
    let mut server = Piped::start(home.with_default_signals(&home.command(&arguments)));
    assert_eq!(server.line(), "CANARY-1");
    set(&home, "A", "CANARY-2");
    assert_eq!(server.end().code(), Some(7));
}

#[test]
fn a_command_that_is_redacted_is_restarted() {
    let home = home();
    let program = home.command::<&str>(&[]).get_program().to_owned();
    let program = program.to_str().unwrap();
    let script = "trap 'exit 0' TERM; echo \"$(printf %s \"$A\" | wc -c) $A\"; while :; do sleep 0.05; done";
    let arguments = ["run", "A", "--watch", "--", program, "run", "A", "--redact", "--", "sh", "-c", script];
    let mut server = Piped::start(home.with_default_signals(&home.command(&arguments)));
    assert_eq!(server.line(), "8 ***");
    set(&home, "A", "CANARY-long");
    assert_eq!(server.line(), "11 ***");
    kill("-TERM", server.id());
    assert_eq!(server.end().code(), Some(0));
}
