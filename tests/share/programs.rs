//! The output of programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{temp_in_memory, write};
use crate::worker::{Worker, canary};

/// A program that appends a line to `runs` in the directory, and prints a canary and the variable `TEST_LOGIN`.
fn program(directory: &Path) -> String {
    let script =
        format!("#!/bin/sh\necho x >>{}/runs\necho A={}-$TEST_LOGIN\n", directory.display(), canary("program"));
    let path = write(&directory.join("program"), &script);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path.display().to_string()
}

fn runs(directory: &Path) -> usize {
    fs::read_to_string(directory.join("runs")).unwrap().lines().count()
}

fn settings(directory: &Path, provider: &Value) -> Value {
    json!({"providers": [provider], "share": "host", "share_dir": directory.join("share"), "timeout": 60})
}

fn start(settings: &Value, login: &str, rank: usize) -> Worker {
    let variables = [format!("TEST_LOGIN={login}"), format!("RANK={rank}")];
    Worker::start_under(&["env", &variables[0], &variables[1]], settings)
}

#[test]
fn output_is_shared_by_processes_with_the_same_variables() {
    let directory = temp_in_memory();
    let directory = directory.path();
    let settings = settings(directory, &json!({"exec": [program(directory)], "depends_on": ["TEST_LOGIN"]}));
    let mut workers: Vec<Worker> = (0..6).map(|rank| start(&settings, "one", rank)).collect();
    workers.iter_mut().for_each(|worker| worker.send("get A"));
    for worker in &mut workers {
        assert_eq!(worker.answer().unwrap()["value"], format!("{}-one", canary("program")));
    }
    assert_eq!(runs(directory), 1, "one run serves all processes");
    let answer = start(&settings, "two", 0).ask("get A");
    assert_eq!(answer["value"], format!("{}-two", canary("program")), "another login has another output");
    assert_eq!(runs(directory), 2);
    assert_eq!(start(&settings, "one", 6).ask("get A")["shared"], true, "the first output is still there");
    for file in fs::read_dir(directory.join("share")).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let canary = canary("program");
        let is_there = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
        assert!(!is_there, "{} has a value in clear", path.display());
    }
}

#[test]
fn output_is_not_shared_without_a_list_of_variables() {
    let directory = temp_in_memory();
    let directory = directory.path();
    let settings = settings(directory, &json!({"exec": [program(directory)]}));
    for run in 1..=2 {
        assert_eq!(start(&settings, "one", run).ask("get A")["shared"], false);
        assert_eq!(runs(directory), run);
    }
}
