//! `get`, `set` and `delete` away from a terminal.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::common::servers::{moto, unique};
use crate::home::{Home, answer};
use crate::redact::wait_until;

#[test]
fn a_value_is_written_as_it_is() {
    let home = Home::with("{\"A\": \"CANARY\\nline 2\\n\\t\\u001b[31m\"}");
    assert_eq!(home.run(&["get", "A"]).ok().stdout, b"CANARY\nline 2\n\t\x1b[31m");
    assert_eq!(home.run(&["get", "A", "--show"]).ok().stdout, b"CANARY\nline 2\n\t\x1b[31m");
    home.run(&["get", "B"]).fails(3, &["secret \"B\" was not found"]);
}

#[test]
fn a_value_comes_from_stdin_without_its_final_line_break() {
    let home = Home::new();
    for (input, value) in
        [("CANARY", "CANARY"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a b\nc ", " a b\nc ")]
    {
        let answer = home.run_with(&["set", "A"], input.as_bytes());
        assert_eq!((answer.code, answer.text()), (0, ""), "{answer:?}");
        assert_eq!(home.run(&["get", "A"]).ok().text(), value);
    }
    assert_eq!(fs::metadata(home.secrets()).unwrap().permissions().mode() & 0o777, 0o600);
    for empty in ["", "\n"] {
        home.run_with(&["set", "A"], empty.as_bytes()).fails(2, &["the value is empty", "st-secrets delete NAME"]);
    }
    assert_eq!(home.run(&["get", "A"]).ok().text(), " a b\nc ");
}

#[test]
fn a_file_that_is_written_is_not_warned_of() {
    let home = Home::with(r#"{"A": "1", "B": "2"}"#);
    for arguments in [["set", "A"], ["delete", "A"]] {
        crate::home::set_mode(&home.secrets(), 0o644);
        let written = home.run_with(&arguments, b"3");
        assert_eq!((written.code, written.stderr.lines().count()), (0, 1), "{written:?}");
        assert_eq!(fs::metadata(home.secrets()).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_variable_that_hides_the_new_value_is_warned_of() {
    let home = Home::new();
    assert_eq!(home.run_with(&["set", "hf-token"], b"1").stderr.lines().count(), 1);
    let mut command = home.command(&["set", "hf-token"]);
    command.env("HF_TOKEN", "CANARY-env").stdin(fs::File::open(home.write("value", "2")).unwrap());
    answer(command).says(&["warning: hf-token still comes from provider env"]);
}

#[test]
fn what_is_not_there_cannot_be_deleted() {
    let home = Home::with(r#"{"A": "CANARY", "B": "2"}"#);
    assert_eq!(home.run(&["delete", "A"]).says(&["A is deleted from "]).code, 0);
    assert_eq!(fs::read_to_string(home.secrets()).unwrap(), r#"{"B": "2"}"#);
    home.run(&["delete", "A"]).fails(3, &["secrets.json has no secret \"A\""]);
    let env = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("B", "CANARY");
        answer(command)
    };
    env(&["delete", "B"]).says(&["B is deleted from ", "warning: B still comes from provider env"]);
    fs::create_dir(home.path("directory")).unwrap();
    home.run(&["delete", "A", "--file", "directory"]).fails(4, &["read-only", "set file_path to a file"]);
}

#[test]
fn settings_come_from_a_file_of_either_kind() {
    let home = Home::new();
    let secrets = home.write("own.yaml", "A: CANARY\n");
    let path = secrets.to_str().unwrap();
    home.write("c.toml", &format!("# settings\nfile_path = \"{path}\"\nproviders = [\"file\"]\ntimeout = 5\n"));
    home.write("c.json", &format!("{{\"file_path\": {path:?}, \"providers\": [\"file\"], \"timeout\": 5}}"));
    for config in ["c.toml", "c.json"] {
        let mut command = home.command(&["get", "A", "--config", config]);
        command.env("A", "environment");
        assert_eq!(answer(command).ok().text(), "CANARY");
    }
    home.write("wrong.toml", "file_pat = \"CANARY\"\n");
    home.run(&["get", "A", "--config", "wrong.toml"]).fails(2, &["wrong.toml: unknown", "did you mean `file_path`?"]);
    home.write("broken.toml", "timeout = 1\nvault_token = \"CANARY\n");
    home.run(&["get", "A", "--config", "broken.toml"]).fails(2, &["broken.toml: line 2: "]);
    home.run(&["get", "A", "--config", "none.toml"]).fails(2, &["none.toml: cannot read it: No such file"]);
}

#[test]
fn settings_that_others_can_change_are_warned_of() {
    let home = Home::with(r#"{"A": "CANARY"}"#);
    let config = home.write("c.toml", "timeout = 5\n");
    for (mode, text, warning) in [
        (0o644, "timeout = 5\n", None),
        (0o644, "vault_token = \"CANARY\"\n", Some("can be read by other users")),
        (0o644, "onepassword_token = \"CANARY\"\n", Some("can be read by other users")),
        (0o644, "infisical_client_secret = \"CANARY\"\n", Some("can be read by other users")),
        (0o600, "vault_token = \"CANARY\"\n", None),
        (0o666, "timeout = 5\n", Some("can be changed by other users")),
    ] {
        home.write("c.toml", text);
        crate::home::set_mode(&config, mode);
        let answer = home.run(&["get", "A", "--config", "c.toml"]);
        assert_eq!(answer.text(), "CANARY");
        match warning {
            Some(warning) => drop(answer.says(&[warning, "chmod 600 c.toml"])),
            None => assert_eq!(answer.stderr, "", "{mode:o} {text}"),
        }
    }
}

#[test]
fn the_log_goes_to_stderr() {
    let home = Home::with(r#"{"A": "CANARY"}"#);
    home.run(&["get", "A", "-v"]).says(&["file: read ", "(1 entry)"]);
    let answer = home.run(&["get", "A", "-vv"]).says(&["\"A\" comes from provider file"]);
    assert_eq!(answer.text(), "CANARY");
}

#[test]
fn settings_may_come_from_a_pipe_within_the_time_limit() {
    let home = Home::with(r#"{"A": "CANARY"}"#);
    let pipe = home.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let limited = ["--timeout", "0.2", "--config", "pipe"];
    home.run(&[&["get", "A"], &limited[..]].concat()).fails(2, &["pipe: cannot read it: timed out", "--timeout"]);
    let run = ["run", "A", "--timeout", "0.2", "--env-file", "pipe", "--", "echo", "started"];
    home.run(&run).fails(2, &["cannot read pipe: timed out"]);
    // One that is opened and says nothing.
    let silent = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    home.run(&[&["get", "A"], &limited[..]].concat()).fails(2, &["timed out"]);
    drop(silent);
    let writer = std::thread::spawn(move || fs::write(pipe, "timeout = 5\nproviders = [\"file\"]\n").unwrap());
    assert_eq!(home.run(&["get", "A", "--timeout", "60", "--config", "pipe"]).ok().text(), "CANARY");
    writer.join().unwrap();
}

#[test]
fn a_value_is_written_to_the_provider_of_the_setting() {
    let name = unique("command");
    moto().secret(&name, r#"{"hf-token": "old"}"#);
    let key = moto().user(&[
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
    ]);
    let home = Home::new();
    let settings = json!({"providers": ["env", "aws"], "set_provider": "aws", "aws_secret_name": name,
        "aws_version_stage": "AWSCURRENT", "timeout": 120});
    let config = home.write("config.json", &settings.to_string());
    let run = |arguments: &[&str], input: &str| {
        let mut command = home.command(&[arguments, &["--config", config.to_str().unwrap()]].concat());
        command.envs(moto().variables(&key)).stdin(fs::File::open(home.write("value", input)).unwrap());
        answer(command)
    };
    assert_eq!(run(&["set", "HF_TOKEN"], "CANARY-new").says(&["hf-token is set in provider aws"]).code, 0);
    let current = || {
        let asked = json!({"SecretId": name, "VersionStage": "AWSCURRENT"});
        moto().call("secretsmanager", "get_secret_value", asked)["SecretString"].as_str().unwrap().to_owned()
    };
    assert_eq!(current(), r#"{"hf-token": "CANARY-new"}"#);
    assert_eq!(run(&["delete", "hf-token"], "").says(&["hf-token is deleted from provider aws"]).code, 0);
    assert_eq!(current(), "{}");
    assert!(!home.secrets().exists());
}

#[test]
fn a_value_is_complete_where_stdout_does_not_block() {
    // More than a pipe holds.
    let value = "x".repeat(200_000);
    let home = Home::with(&json!({"BIG": value}).to_string());
    for arguments in [&["get", "BIG"][..], &["export", "BIG", "--format", "json"]] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
        let mut command = home.command(arguments);
        let mut child = command.stdout(writer).spawn().unwrap();
        drop(command);
        // Until the pipe is full.
        wait_until(|| rustix::io::ioctl_fionread(&reader).unwrap() >= 1 << 16);
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut text).unwrap();
        assert!(child.wait().unwrap().success() && text.len() >= value.len());
    }
}
