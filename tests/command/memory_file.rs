//! `run --tmpfs`: a secret as a file in memory.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use crate::home::{Home, answer};

fn home() -> Home {
    Home::with("{\"gcp-key\": \"{\\\"key\\\": \\\"CANARY\\\"}\\n\\u0000\", \"HF_TOKEN\": \"CANARY-1234567\"}")
}

const VALUE: &[u8] = b"{\"key\": \"CANARY\"}\n\0";

#[test]
fn a_file_holds_the_value_and_no_variable_does() {
    let home = home();
    let run = |rest: &[&str]| home.run(&[&["run", "--tmpfs", "GCP_KEY=./key.json", "--"], rest].concat()).ok();
    assert_eq!(run(&["cat", "key.json"]).stdout, VALUE);
    assert_eq!(run(&["sh", "-c", "echo ${GCP_KEY-unset}; stat -Lc %a key.json"]).text(), "unset\n400\n");
    // Also for processes that are started without the open files of the command.
    let script = "import subprocess; subprocess.run(['cat', 'key.json'], check=True, close_fds=True)";
    assert_eq!(run(&["python3", "-c", script]).stdout, VALUE);
    let both = ["run", "HF_TOKEN", "--tmpfs", "HF_TOKEN=./a", "--tmpfs", "gcp-key=./b", "--", "sh", "-c"];
    let given = home.run(&[&both[..], &["echo $HF_TOKEN $(cat a) $(wc -c < b)"]].concat()).ok();
    assert_eq!(given.text(), "CANARY-1234567 CANARY-1234567 19\n");
}

#[test]
fn a_file_is_gone_when_the_command_ends_even_if_it_is_killed() {
    let home = home();
    let link = home.path("key.json");
    home.run(&["run", "--tmpfs", "gcp-key=./key.json", "--", "true"]).ok();
    assert!(fs::read(&link).is_err() && fs::read_link(&link).unwrap().starts_with("/proc"));
    let mut command =
        home.command(&["run", "--tmpfs", "gcp-key=./key.json", "--", "sh", "-c", "cat key.json; exec sleep 1000"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("CANARY"));
    assert_eq!(fs::read(&link).unwrap(), VALUE);
    home.run(&["run", "--tmpfs", "gcp-key=./key.json", "--", "echo", "started"]).fails(2, &["./key.json exists"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(fs::read(&link).is_err());
    assert_eq!(home.run(&["run", "--tmpfs", "gcp-key=./key.json", "--", "cat", "key.json"]).ok().stdout, VALUE);
}

#[test]
fn a_file_cannot_be_changed() {
    let home = home();
    let script = "import os, sys\nfor flags in (os.O_WRONLY, os.O_RDWR | os.O_TRUNC):\n    try:\n        \
                  os.write(os.open('key.json', flags), b'x')\n    except PermissionError:\n        continue\n    \
                  sys.exit(1)\nprint(len(open('key.json', 'rb').read()))";
    let run = home.run(&["run", "--tmpfs", "gcp-key=./key.json", "--", "python3", "-c", script]).ok();
    assert_eq!(run.text(), "19\n");
}

#[test]
fn a_redacted_command_gets_files_too() {
    let home = home();
    let script = "cat token; wc -c < token; test ! -e /proc/$$/fd/3";
    let arguments = ["run", "--redact", "--tmpfs", "HF_TOKEN=./token", "--", "sh", "-c", script];
    assert_eq!(home.run(&arguments).ok().text(), "***14\n");
    assert!(fs::symlink_metadata(home.path("token")).is_err(), "the link is removed");
    let arguments = ["run", "--redact", "--tmpfs", "HF_TOKEN=./token", "--", "no-such-command"];
    home.run(&arguments).fails(127, &["cannot run no-such-command"]);
    assert!(fs::symlink_metadata(home.path("token")).is_err(), "the link is removed");
}

#[test]
fn the_link_of_a_redacted_command_is_removed_if_a_signal_ends_it() {
    let home = home();
    for (name, number) in [("TERM", 15), ("KILL", 9)] {
        let script = format!("test -L token || exit 1; kill -{name} $$");
        let arguments = ["run", "--redact", "--tmpfs", "HF_TOKEN=./token", "--", "sh", "-c", &script];
        assert_eq!(home.command(&arguments).status().unwrap().signal(), Some(number));
        assert!(fs::symlink_metadata(home.path("token")).is_err(), "the link is removed");
    }
}

#[test]
fn only_the_command_inherits_a_file() {
    let home = home();
    let program = "sh -c 'ls -l /proc/self/fd >open-files; exit 1'";
    home.write(".aws/config", &format!("[default]\nregion = us-east-1\ncredential_process = {program}\n"));
    for redact in [&[][..], &["--redact"]] {
        let files = ["--tmpfs", "HF_TOKEN=./token", "--tmpfs", "other=./other", "--", "true"];
        let mut command = home.command(&[&["run"], redact, &files].concat());
        command.env("SIMPLETUNER_AWS_SECRET_NAME", "team/secrets");
        answer(command).fails(4, &["`credential_process`"]);
        let open = fs::read_to_string(home.path("open-files")).unwrap();
        assert!(open.contains("/open-files") && !open.contains("memfd"), "{open}");
    }
}

#[test]
fn nothing_that_exists_is_replaced_by_a_link() {
    let home = home();
    let file = home.write("key.json", "mine");
    std::os::unix::fs::symlink("/nowhere", home.path("link")).unwrap();
    for path in ["./key.json", "./link"] {
        let argument = format!("gcp-key={path}");
        let arguments = ["run", "--tmpfs", "HF_TOKEN=./first", "--tmpfs", &argument, "--", "echo", "started"];
        home.run(&arguments).fails(2, &[path, "exists, so --tmpfs cannot make a link there"]);
        assert!(fs::symlink_metadata(home.path("first")).is_err(), "no link is left");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "mine");
    assert_eq!(fs::read_link(home.path("link")).unwrap().to_str(), Some("/nowhere"));
    home.run(&["run", "--tmpfs", "gcp-key=./none/key", "--", "true"]).fails(4, &["cannot make the link ./none/key"]);
    home.run(&["run", "--tmpfs", "gcp-key=./key", "--", "no-such-command"]).fails(127, &["cannot run"]);
    assert!(fs::symlink_metadata(home.path("key")).is_err(), "no link is left");
}

#[test]
fn the_link_of_an_earlier_process_with_the_same_number_is_replaced() {
    let home = home();
    let program = home.command(&["run", "--tmpfs", "HF_TOKEN=./token", "--", "cat", "token"]);
    // As in a container that is started again: the number of the file is the same too.
    let script = r#"ln -s "/proc/$$/fd/100" token; exec "$@""#;
    assert_eq!(answer(home.under(&["sh", "-c", script, "sh"], &program)).ok().text(), "CANARY-1234567");
    let twice = ["run", "--tmpfs", "HF_TOKEN=./token", "--tmpfs", "gcp-key=./token", "--", "echo", "started"];
    home.run(&twice).fails(2, &["./token exists, so --tmpfs cannot make a link there"]);
}

#[test]
fn a_file_needs_a_name_and_a_path() {
    let home = home();
    for argument in ["HF_TOKEN", "HF_TOKEN=CANARY", "=./a", "HF_TOKEN=", "HF_TOKEN=./a/"] {
        home.run(&["run", "--tmpfs", argument, "--", "true"]).fails(2, &["--tmpfs takes NAME=PATH"]);
    }
    home.run(&["run", "--tmpfs", "NO=./a", "NO_2", "--", "true"]).fails(3, &["\"NO\" was not found", "\"NO_2\""]);
}

#[test]
fn two_commands_can_have_the_same_file_one_after_the_other() {
    let home = home();
    for _ in 0..3 {
        let run = home.run(&["run", "--tmpfs", "HF_TOKEN=./token", "--", "cat", "token"]);
        assert_eq!(run.ok().text(), "CANARY-1234567");
    }
    // A link whose process number belongs to another program by now.
    fs::remove_file(home.path("token")).unwrap();
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    std::os::unix::fs::symlink(format!("/proc/{}/fd/0", other.id()), home.path("token")).unwrap();
    let run = home.run(&["run", "--tmpfs", "HF_TOKEN=./token", "--", "cat", "token"]);
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(run.ok().text(), "CANARY-1234567");
}
