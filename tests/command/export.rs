//! `export`: what each reader reads back is the value, byte for byte.

use std::collections::BTreeMap;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::home::{Home, answer, python};

/// Texts in which something means something to some reader.
const VALUES: [&str; 24] = [
    "hf_plain",
    "with spaces  inside ",
    " leading",
    "it's",
    "'",
    "''",
    "say \"hi\"",
    "it's \"both\" `and` $HOME",
    "$HOME ${HOME} $(id) `id`",
    "back\\slash",
    "two\\\\slashes",
    "ends with \\",
    "\\'",
    "\\\"'",
    "line 1\nline 2\n",
    "\n",
    "tab\tand\\n \\t \\r",
    "a#b # c",
    "# comment",
    "KEY=value;export X=1",
    "ünïcode ☃ 𝕏",
    "!history ~ * ? [a] {b,c}",
    "-----BEGIN KEY-----\nabc+/=\n-----END KEY-----\n",
    "1234",
];

/// Each value under a name of its own, with the file that holds them all.
fn home() -> (Home, BTreeMap<String, String>) {
    let named: BTreeMap<String, String> =
        VALUES.iter().enumerate().map(|(number, value)| (format!("V_{number:02}"), value.to_string())).collect();
    (Home::with(&serde_json::to_string(&named).unwrap()), named)
}

/// Runs a program that prints variables as a JSON object.
fn read_back(mut command: Command) -> BTreeMap<String, String> {
    let answer = answer(std::mem::replace(&mut command, Command::new("true"))).ok();
    let all: BTreeMap<String, String> = serde_json::from_str(answer.text()).unwrap();
    all.into_iter().filter(|(name, _)| name.starts_with("V_")).collect()
}

const PRINT: &str = "import os, json; print(json.dumps(dict(os.environ)))";

#[test]
fn a_shell_reads_every_value_back() {
    let (home, named) = home();
    let text = home.run(&["export", "--format", "env", "--all"]).ok();
    home.write("out.sh", text.text());
    for shell in ["sh", "bash"] {
        let mut command = Command::new(shell);
        command
            .args(["-c", &format!("set -eu; eval \"$(cat {})\"; python3 -c '{PRINT}'", home.path("out.sh").display())]);
        assert_eq!(read_back(command), named, "{shell}");
    }
}

#[test]
fn a_json_parser_reads_every_value_back() {
    let (home, named) = home();
    let text = home.run(&["export", "--format", "json", "--all"]).ok();
    home.write("out.json", text.text());
    let mut command = Command::new("python3");
    command
        .args(["-c", "import json, sys; print(json.dumps(json.load(open(sys.argv[1]))))"])
        .arg(home.path("out.json"));
    assert_eq!(read_back(command), named);
}

/// Checks what python-dotenv and `run` read from `out.env`.
fn assert_dotenv_and_run_read(home: &Home, named: &BTreeMap<String, String>) {
    let mut command = python();
    let script = "import dotenv, json, sys; print(json.dumps(dotenv.dotenv_values(sys.argv[1], interpolate=False)))";
    command.args(["-c", script]).arg(home.path("out.env"));
    assert_eq!(read_back(command), *named);

    let arguments = ["run", "--file", "none.json", "--optional", "NO", "--env-file", "out.env", "--"];
    let command = home.command(&[&arguments[..], &["python3", "-c", PRINT]].concat());
    assert_eq!(read_back(command), *named);
}

#[test]
fn python_dotenv_and_run_read_every_value_back() {
    let (home, named) = home();
    let text = home.run(&["export", "--format", "dotenv", "--all"]);
    let text = text.says(&["warning: V_08 holds `${`, which python-dotenv replaces unless it gets interpolate=False"]);
    assert_eq!(text.stderr.lines().count(), 1, "{text:?}");
    home.write("out.env", text.text());
    assert_dotenv_and_run_read(&home, &named);
}

/// A quoted value that ends in a backslash would take the next one into itself, whichever that is.
#[test]
fn no_value_in_dotenv_changes_the_one_after_it() {
    let values =
        [r"x y\", r"C:\dir\", r"it's\", r#"say "x"\"#, "a b", "it's", r"it's $5", "two\nlines", "a\r\nb", r"\\"];
    let mut named = BTreeMap::new();
    for first in values {
        for second in values {
            named.insert(format!("V_{:03}", named.len()), first.to_owned());
            named.insert(format!("V_{:03}", named.len()), second.to_owned());
        }
    }
    let home = Home::with(&serde_json::to_string(&named).unwrap());
    home.write("out.env", home.run(&["export", "--format", "dotenv", "--all"]).ok().text());
    assert_dotenv_and_run_read(&home, &named);

    for value in ["CANARY\n\\", "CANARY \r\\", "'CANARY\\", " CANARY\\", "CANARY #\\"] {
        let home = Home::with(&serde_json::json!({ "A": value }).to_string());
        let arguments = ["export", "--format", "dotenv", "A"];
        home.run(&arguments).fails(4, &["A ends in a backslash", "use: --format json"]);
    }
}

#[test]
fn line_breaks_of_other_systems_are_kept() {
    let home = Home::with("{\"A\": \"one\\r\\ntwo\\r\\\"\\\\c\"}");
    let value = "one\r\ntwo\r\"\\c";
    let text = home.run(&["export", "--format", "dotenv", "A"]).ok();
    home.write("out.env", text.text());
    let mut command = python();
    let script = "import dotenv, sys; sys.stdout.buffer.write(dotenv.dotenv_values(sys.argv[1])['A'].encode())";
    command.args(["-c", script]).arg(home.path("out.env"));
    assert_eq!(answer(command).ok().text(), value);
    let arguments = ["run", "--optional", "NO", "--env-file", "out.env", "--", "sh", "-c", "printf %s \"$A\""];
    assert_eq!(home.run(&arguments).ok().text(), value);
}

#[test]
fn docker_takes_each_line_literally() {
    let (home, named) = home();
    let one_line: Vec<&str> =
        named.iter().filter(|(_, value)| !value.contains('\n')).map(|(name, _)| name.as_str()).collect();
    let text = home.run(&[&["export", "--format", "docker"], &one_line[..]].concat()).ok();
    let read: BTreeMap<&str, &str> = text.text().lines().filter_map(|line| line.split_once('=')).collect();
    let expected: BTreeMap<&str, &str> = one_line.iter().map(|name| (*name, named[*name].as_str())).collect();
    assert_eq!(read, expected);
    home.run(&["export", "--format", "docker", "V_14"]).fails(4, &["V_14 has several lines"]);
}

#[test]
fn kubernetes_gets_every_value_in_base64() {
    let (home, named) = home();
    let text = home.run(&["export", "--format", "k8s", "--secret-name", "training", "--all"]).ok();
    let manifest: Value = serde_yaml::from_str(text.text()).unwrap();
    assert_eq!((&manifest["apiVersion"], &manifest["kind"]), (&Value::from("v1"), &Value::from("Secret")));
    assert_eq!(manifest["metadata"]["name"], "training");
    let data = manifest["data"].as_object().unwrap();
    let decoded = |value: &Value| String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap();
    let read: BTreeMap<String, String> = data.iter().map(|(name, value)| (name.clone(), decoded(value))).collect();
    assert_eq!(read, named);
    // What YAML might take for something else than text.
    let home = Home::with(r#"{"no": "\u00d7\u008d7\u00e3", "null": "v"}"#);
    let text = home.run(&["export", "--format", "k8s", "--all"]).ok();
    assert!(text.text().contains("\n  \"NO\": \"") && text.text().contains("\n  \"NULL\": \"dg==\""), "{text:?}");
}

#[test]
fn names_are_chosen_and_renamed_as_for_run() {
    let home = Home::with(r#"{"hf-token": "1", "B": "2"}"#);
    let text = home.run(&["export", "--format", "env", "HF_TOKEN", "--rename", "b=C", "--optional", "NO"]).ok();
    assert_eq!(text.text(), "export C='2'\nexport HF_TOKEN='1'\n");
    home.run(&["export", "--format", "env", "HF_TOKEN", "NO"]).fails(3, &["\"NO\" was not found"]);
}

#[test]
fn a_value_that_a_format_cannot_hold_is_an_error() {
    let home = Home::with("{\"A\": \"CANARY\\u0000\"}");
    for format in ["env", "json", "dotenv", "docker"] {
        home.run(&["export", "--format", format, "A"]).fails(4, &["A holds a NUL byte", "--format k8s"]);
    }
    assert!(home.run(&["export", "--format", "k8s", "A"]).ok().text().contains("\"A\": \"Q0FOQVJZAA==\""));
}
