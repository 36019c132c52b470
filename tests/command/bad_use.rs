//! Bad use: one line that says what is wrong and what to write instead, exit code 2, and no value in it.

use crate::home::Home;

#[test]
fn bad_use_is_one_line_with_a_remedy() {
    let home = Home::with(r#"{"HF_TOKEN": "CANARY"}"#);
    for (arguments, expected) in [
        (&[][..], &["st-secrets --help"][..]),
        (&["--bogus"], &["--bogus", "usage: "]),
        (&["rum", "HF_TOKEN"], &["unknown command", "similar: 'run'", "see st-secrets --help"]),
        (&["run", "HF_TOKEN"], &["no command is given", "st-secrets run NAME... -- COMMAND"]),
        (&["run", "HF_TOKEN", "--"], &["no command is given"]),
        (&["run", "--", "true"], &["no secret is named", "--all"]),
        (&["run", "--al", "--", "true"], &["'--al'", "a similar argument exists: '--all'"]),
        (&["run", "HF_TOKEN", "--keep", "X", "--", "true"], &["--clean"]),
        (&["run", "--rename", "HF_TOKEN", "--", "true"], &["--rename takes NAME=VARIABLE"]),
        (&["run", "HF_TOKEN", "--timeout", "0", "--", "true"], &["--timeout", "a number of seconds above 0"]),
        (&["run", "HF_TOKEN", "--env-file", "none.env", "--", "true"], &["cannot read none.env"]),
        (&["get"], &["<NAME>", "usage: st-secrets get"]),
        (&["where"], &["<NAME>"]),
        (&["export", "HF_TOKEN"], &["--format <FORMAT>"]),
        (
            &["export", "--format", "xml", "HF_TOKEN"],
            &["'--format <FORMAT>'", "possible values: env, json, dotenv, docker, k8s"],
        ),
        (
            &["export", "--format", "k8s", "--secret-name", "A B", "HF_TOKEN"],
            &["--secret-name takes a Kubernetes name"],
        ),
        (&["help"], &["unknown command; see st-secrets --help"]),
        (&["lsit"], &["'list'"]),
        (&["audit", "list", "--limit", "0"], &["'--limit <COUNT>'", "a whole number above 0"]),
        (&["run", "A", "--env-file", "/dev/zero", "--", "true"], &["/dev/zero: it is larger than 16 MiB"]),
        (&["get", "A", "--config", "/dev/zero"], &["/dev/zero: cannot read it: it is larger than 16 MiB"]),
        (&["check", "extra"], &["one argument too many"]),
        (&["key"], &["st-secrets key --help"]),
        (&["run", "HF_TOKEN", "--timeout", "1e-300", "--", "true"], &["--timeout", "a number of seconds above 0"]),
        (&["credentials", "delete", "alice", "replicate", "x"], &["'<USER>'", "write a whole number"]),
        (&["get", "HF_TOKEN", "--color"], &["'--color <WHEN>' needs a value", "possible values: auto"]),
        (&["get", "A", "--file", "a", "--file", "b"], &["'--file <PATH>' is given more than once"]),
        (&["run", "HF_TOKEN", "--redact=both", "--", "true"], &["--redact", "possible values: all, stderr"]),
        (&["run", "A", "--watch", "--redact", "--", "true"], &["'--watch' cannot be used with '--redact"]),
        (&["run", "A", "--on-change", "HUP", "--", "true"], &["--watch"]),
        (
            &["run", "A", "--watch", "--on-change", "kill", "--", "true"],
            &["'--on-change <ACTION>'", "possible values: HUP, TERM, restart"],
        ),
        (&["run", "A", "--watch", "--grace", "0", "--", "true"], &["--grace", "a number of seconds above 0"]),
        (&["run", "--watch", "--env-file", "x", "--", "true"], &["--watch has nothing to follow"]),
        (&["run", "--tmpfs", "HF_TOKEN", "--", "true"], &["--tmpfs takes NAME=PATH", "/tmp/key.json"]),
        (&["redact", "HF_TOKEN", "extra", "--rename", "A=B"], &["'--rename'"]),
        (&["start-with-files", "--", "true", "x=y"], &["for st-secrets itself"]),
        (
            &["get", "HF_TOKEN", "--color", "blue"],
            &["invalid value for '--color <WHEN>'; possible values: auto, always, never\n"],
        ),
        (&["run", "A", "--timeout", "-1", "--", "true"], &["--timeout", "a number of seconds above 0"]),
        (&["audit", "list", "--limit", "-1"], &["'--limit <COUNT>'", "a whole number above 0"]),
    ] {
        let answer = home.run(arguments).fails(2, expected);
        assert_eq!(answer.stderr.lines().count(), 1, "{arguments:?}: {answer:?}");
        assert!(answer.stderr.starts_with("st-secrets: error: "), "{answer:?}");
    }
}

/// [`Home::run`] looks for the value in what is said.
#[test]
fn a_value_among_the_arguments_is_not_repeated() {
    let home = Home::new();
    for arguments in [
        &["set", "HF_TOKEN", "CANARY"][..],
        &["set", "HF_TOKEN=CANARY"],
        &["set", "HF_TOKEN", "--value=CANARY"],
        &["set", "HF_TOKEN", "--value", "CANARY"],
        &["set", "--value=CANARY", "HF_TOKEN"],
        &["set", "HF_TOKEN", "-CANARY"],
        &["get", "HF_TOKEN=CANARY"],
        &["delete", "HF_TOKEN=CANARY"],
        &["where", "HF_TOKEN=CANARY"],
        &["run", "HF_TOKEN=CANARY", "--", "true"],
        &["run", "--optional", "HF_TOKEN=CANARY", "--", "true"],
        &["run", "--only", "HF_TOKEN=CANARY", "--", "true"],
        &["export", "--format", "env", "HF_TOKEN=CANARY"],
        &["encrypt", "CANARY"],
        &["encrypt", "--text=CANARY"],
        &["decrypt", "CANARY"],
        &["credentials", "set", "1", "replicate", "api_token", "CANARY"],
        &["credentials", "set", "CANARY", "replicate", "api_token"],
        &["credentials", "delete", "1", "replicate", "api_token", "CANARY"],
        &["provider", "save", "replicate", "{\"api_token\":\"CANARY\"}"],
        &["get", "HF_TOKEN", "CANARY"],
        &["get", "HF_TOKEN", "-CANARY"],
        &["get", "HF_TOKEN", "--CANARY"],
        &["get", "HF_TOKEN", "--value=CANARY"],
        &["get", "HF_TOKEN", "--show=CANARY"],
        &["delete", "HF_TOKEN", "CANARY"],
        &["key", "rotate", "CANARY"],
        &["key", "CANARY"],
        &["list", "CANARY"],
        &["HF_TOKEN=CANARY"],
        &["CANARY"],
        &["run", "--clean=CANARY", "A", "--", "true"],
        &["get", "HF_TOKEN", "--timeout", "CANARY"],
        &["get", "HF_TOKEN", "--color", "CANARY"],
        &["audit", "list", "--limit", "CANARY"],
        &["run", "--only", "HF_TOKEN=CANARY*", "--", "true"],
        &["run", "--tmpfs", "HF_TOKEN=CANARY", "--", "true"],
        &["run", "A", "--redact=CANARY", "--", "true"],
        &["backup", "copy", "CANARY"],
        &["redact", "HF_TOKEN=CANARY"],
        &["redact", "--optional", "HF_TOKEN=CANARY"],
        &["run", "HF_TOKEN=CANARY", "HF_TOKEN-CANARY", "HF.TOKEN-CANARY", "--", "true"],
        &["run", "HF=CANARY", "HF_CANARY", "--", "true"],
    ] {
        home.run(arguments).fails(2, &["st-secrets: error: "]);
    }
}

#[test]
fn help_and_versions_are_answers() {
    let home = Home::new();
    for arguments in [&["--help"][..], &["-h"], &["run", "--help"], &["key", "rotate", "-h"]] {
        assert!(home.run(arguments).ok().text().contains("Usage: st-secrets"), "{arguments:?}");
    }
    assert!(home.run(&["set", "--help"]).ok().text().contains("The value is read from stdin"));
    assert!(home.run(&["--help"]).ok().text().contains("st-secrets run HF_TOKEN"));
    assert!(
        home.run(&["run", "--help"]).ok().text().contains("Examples:\n  st-secrets run HF_TOKEN -- python train.py")
    );
    assert_eq!(home.run(&["--version"]).ok().text(), format!("st-secrets {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_that_cannot_be_written_is_a_failure() {
    let home = Home::new();
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"]] {
        let mut command = home.command(arguments);
        command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let output = command.stderr(std::process::Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(4) && stderr.contains("cannot write the output"), "{stderr}");
    }
    assert!(home.run(&["--help"]).ok().text().contains("\n  130  Ctrl-C"));
}

#[test]
fn completions_and_man_pages_cover_the_commands() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.run(&["completions", shell]).ok();
        assert!(script.text().contains("st-secrets") && script.text().contains("env-file"), "{shell}");
    }
    assert!(home.run(&["man"]).ok().text().contains(".TH st-secrets 1"));
    std::fs::create_dir(home.path("man1")).unwrap();
    home.run(&["man", "man1"]).ok();
    let page = std::fs::read_to_string(home.path("man1/st-secrets-run.1")).unwrap();
    assert!(page.contains("env\\-file") && home.path("man1/st-secrets-audit-verify.1").exists(), "{page}");
    assert!(!home.path("man1/st-secrets-man.1").exists(), "a hidden command has a page");
}
