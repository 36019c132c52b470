//! A process that makes or rotates a key is killed at each of its calls to the system in turn: no key is ever lost.
//!
//! It has no test harness, which would run the work on a thread of its own, where strace counts calls apart.

mod common;

use std::collections::HashMap;
use std::fs;
use std::os::unix::process::{ExitStatusExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use common::keys::{previous, with_file};
use common::{mode, temp, write};

const TASK: &str = "ST_SECRETS_TEST_BODY";

fn main() {
    match std::env::var(TASK) {
        Ok(what) => work(&what),
        Err(_) => {
            interrupted_creation_leaves_no_key_or_a_complete_one();
            interrupted_rotation_loses_no_key();
        }
    }
}

/// The work of the process that is killed, between two markers.
fn work(what: &str) {
    let path = PathBuf::from(std::env::var_os("HOME").unwrap()).join(".simpletuner/credential.key");
    if what == "create" {
        let _ = parent_id();
        with_file(&path).unwrap();
    } else {
        let cipher = with_file(&path).unwrap();
        let _ = parent_id();
        cipher.rotate_key().unwrap();
    }
    let _ = parent_id();
}

/// Runs this program under strace with the task `what`.
fn worker(strace: &[&str], what: &str, home: &Path) -> ExitStatus {
    let mut command = Command::new("strace");
    command.args(strace).arg(std::env::current_exe().unwrap()).env(TASK, what).env("HOME", home);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command.status().expect("strace is needed: make tools")
}

/// The system calls between the two markers: the name of each, and its number among the calls of that name.
fn calls(trace: &str) -> Vec<(String, usize)> {
    let mut count = HashMap::new();
    let (mut markers, mut list) = (0, Vec::new());
    for line in trace.lines() {
        let Some((name, _)) = line.split_once('(') else { continue };
        let number = count.entry(name.to_owned()).or_insert(0);
        *number += 1;
        if markers == 1 {
            list.push((name.to_owned(), *number));
        }
        markers += usize::from(name == "getppid");
    }
    assert!(markers >= 2 && list.len() > 12, "{trace}");
    list
}

/// Kills the task `what` at each of its system calls in turn. `check` gets the path of the key file each time and
/// returns whether the task had taken effect.
fn kill_at_each_call(what: &str, prepare: impl Fn(&Path), check: impl Fn(&Path, &str) -> bool) {
    let whole = temp();
    prepare(whole.path());
    let trace = whole.path().join("trace");
    let traced = worker(&["-o", trace.to_str().unwrap()], what, whole.path());
    assert!(traced.success());
    let (mut before, mut after) = (0, 0);
    for (call, number) in calls(&fs::read_to_string(&trace).unwrap()) {
        let home = temp();
        prepare(home.path());
        let inject = format!("inject={call}:signal=SIGKILL:when={number}");
        let status = worker(&["-o", "/dev/null", "-e", &inject], what, home.path());
        let at = format!("{what}, killed at {call} number {number}");
        assert_eq!(status.signal(), Some(9), "{at}: {status}");
        let directory = home.path().join(".simpletuner");
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600, "{at}");
        }
        match check(&directory.join("credential.key"), &at) {
            true => after += 1,
            false => before += 1,
        }
        assert!(!directory.join(".credential.key.tmp").exists() || what == "create", "{at}");
    }
    // Both outcomes occurred, so the kills hit the intended range.
    assert!(before > 5 && after > 0, "{what}: {before} times before, {after} times after");
}

fn is_a_new_key(text: &str) -> bool {
    text.len() == 43 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn interrupted_creation_leaves_no_key_or_a_complete_one() {
    kill_at_each_call(
        "create",
        |_| {},
        |path, at| {
            let left = fs::read_to_string(path).ok();
            assert!(left.as_deref().is_none_or(is_a_new_key), "{at}");
            with_file(path).unwrap_or_else(|error| panic!("{at}: {error}"));
            let now = fs::read_to_string(path).unwrap();
            assert!(is_a_new_key(&now) && left.as_ref().is_none_or(|left| *left == now), "{at}");
            left.is_some()
        },
    );
}

fn interrupted_rotation_loses_no_key() {
    let prepare = |home: &Path| {
        fs::create_dir(home.join(".simpletuner")).unwrap();
        write(&home.join(".simpletuner/credential.key"), "newest");
        write(&home.join(".simpletuner/credential.key.previous"), "earlier\n");
    };
    kill_at_each_call("rotate", prepare, |path, at| {
        let kept =
            || -> Vec<String> { fs::read_to_string(previous(path)).unwrap().lines().map(str::to_owned).collect() };
        let (now, before) = (fs::read_to_string(path).unwrap(), kept());
        assert!(before.contains(&"earlier".to_owned()), "{at}");
        assert!(now == "newest" || is_a_new_key(&now) && before.contains(&"newest".to_owned()), "{at}: {before:?}");
        with_file(path).unwrap().rotate_key().unwrap_or_else(|error| panic!("{at}: {error}"));
        let after = kept();
        for secret in ["newest", "earlier", &now] {
            assert_eq!(after.iter().filter(|line| *line == secret).count(), 1, "{at}: {secret} in {after:?}");
        }
        now != "newest"
    });
}
