//! The processes of a program: none is left, and those of the caller are not touched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use st_secrets::{GetOptions, Status};

use crate::common::fork::{fork, said_yes};
use crate::common::time::{PATIENCE, soon};
use crate::common::{in_environment, temp, text, without_home};
use crate::{runs, with_program, with_providers};

fn within(timeout: Duration) -> GetOptions {
    GetOptions { timeout: Some(timeout), ..GetOptions::default() }
}

/// Whether a process has ended, reaped or not.
fn has_ended(pid: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.is_empty() || state.contains(") Z ")
}

fn children() -> String {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default()).collect()
}

#[test]
fn hanging_program_is_killed_with_its_descendants() {
    in_environment("processes::hanging_program_is_killed_with_its_descendants", &[], || {
        let directory = temp();
        let file = directory.path().join("pids");
        let hang = format!("trap '' TERM HUP INT\nsleep 1000 &\necho $$ $! >{}\nwait", file.display());
        let closed = format!("exec >&- 2>&-\n{hang}");
        let talks = format!("yes >&2 &\n{hang}");
        let leaves = hang.replace("sleep", "setsid sleep");
        let printed = format!("echo '{{\"A\": \"1\"}}'\n{hang}");
        for script in [hang, closed, talks, leaves, printed] {
            let secrets = with_program(directory.path(), &script);
            let open_files = fs::read_dir("/proc/self/fd").unwrap().count();
            let _ = fs::remove_file(&file);
            // On a busy machine it may time out before it has started its child.
            for limit in [1, 4, 16, 64].map(Duration::from_secs) {
                let start = Instant::now();
                let error = secrets.get_with("A", &within(limit)).unwrap_err();
                assert_eq!(error.status(), Status::Timeout, "{error}");
                assert!(error.is_retryable() && error.message().contains("was killed"), "{error}");
                assert!((limit..limit + PATIENCE).contains(&start.elapsed()), "{:?}", start.elapsed());
                if fs::read_to_string(&file).is_ok_and(|pids| pids.ends_with('\n')) {
                    break;
                }
                secrets.clear_cache();
            }
            for pid in fs::read_to_string(&file).unwrap().split_whitespace() {
                // A grandchild ends after a moment, and another process reaps it.
                soon(|| has_ended(pid));
            }
            assert_eq!(fs::read_dir("/proc/self/fd").unwrap().count(), open_files);
            assert_eq!(children(), "", "no child is left");
        }
    });
}

#[test]
fn program_that_runs_as_another_user_is_not_waited_for() {
    let (directory, name) = (temp(), "processes::program_that_runs_as_another_user_is_not_waited_for");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // A program that changes its user, as sudo does.
    let program = directory.path().join("setpriv");
    fs::copy("/usr/bin/setpriv", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    without_home(name, &[("AS_ROOT", program.to_str())], || {
        let directory = temp();
        let [wait, started] = ["wait", "started"].map(|name| directory.path().join(name));
        fs::write(&wait, "").unwrap();
        let script = format!(
            "touch {}; i=0; while [ -e {} ] && [ $i -lt 600 ]; do sleep 0.05; i=$((i + 1)); done; echo A=1",
            started.display(),
            wait.display()
        );
        let program = std::env::var("AS_ROOT").unwrap();
        let secrets = with_providers(&json!([{"exec": [program, "--reuid=0", "sh", "-c", script]}]));
        // On a busy machine it may time out before it has changed its user.
        for limit in [0.5, 4.0, 16.0].map(Duration::from_secs_f64) {
            let error = secrets.get_with("A", &within(limit)).unwrap_err();
            assert_eq!(error.status(), Status::Timeout, "{error}");
            if started.exists() {
                assert!(error.message().contains("cannot be killed, as it runs as another user"), "{error}");
                break;
            }
            secrets.clear_cache();
        }
        assert_ne!(children(), "", "it continues to run");
        fs::remove_file(wait).unwrap();
        let next = with_program(directory.path(), "echo A=1");
        soon(|| {
            next.refresh(None).unwrap();
            children().is_empty()
        });
    });
}

#[test]
fn process_that_is_left_behind_and_keeps_the_output_open_is_not_waited_for() {
    let directory = temp();
    for redirected in ["", ">/dev/null", "2>/dev/null"] {
        let file = directory.path().join("pid");
        let script = format!("sleep 1000 {redirected} &\necho $! >{}\necho A=1", file.display());
        let secrets = with_program(directory.path(), &script);
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
        let pid = fs::read_to_string(&file).unwrap();
        assert!(!has_ended(pid.trim()), "it continues to run");
        assert!(Command::new("kill").arg(pid.trim()).status().unwrap().success());
    }
}

#[test]
fn large_output_is_complete() {
    let directory = temp();
    let secrets = with_program(
        directory.path(),
        "printf 'A='; head -c 4000000 /dev/zero | tr '\\0' a; echo; yes | head -c 200000 >&2",
    );
    assert_eq!(secrets.get("A").unwrap().value().len(), 4_000_000);
}

#[test]
fn children_of_the_caller_are_not_reaped() {
    let directory = temp();
    let mut ended = Command::new("true").spawn().unwrap();
    let mut running = Command::new("sleep").arg("1000").spawn().unwrap();
    soon(|| has_ended(&ended.id().to_string()));
    let secrets = with_program(directory.path(), "echo A=1");
    assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
    assert!(ended.try_wait().unwrap().is_some_and(|status| status.success()));
    assert!(running.try_wait().unwrap().is_none());
    running.kill().unwrap();
    running.wait().unwrap();
}

#[test]
fn program_works_where_the_caller_ignores_its_children() {
    in_environment("processes::program_works_where_the_caller_ignores_its_children", &[], || {
        // SAFETY: no other thread of this process waits for children.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let directory = temp();
        let secrets = with_program(directory.path(), "echo A=1");
        assert_eq!(text(&secrets, "A").as_deref(), Some("1"));
    });
}

/// A script that waits until a file exists, and says that it was started.
fn waits_for(go: &Path, count: &Path) -> String {
    format!("echo x >>{}\nwhile [ ! -e {} ]; do sleep 0.05; done\necho A=1", count.display(), go.display())
}

#[test]
fn caller_may_fork_while_a_program_runs() {
    in_environment("processes::caller_may_fork_while_a_program_runs", &[], || {
        let directory = temp();
        let (go, count) = (directory.path().join("go"), directory.path().join("count"));
        let secrets = with_program(directory.path(), &waits_for(&go, &count));
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| sender.send(text(&secrets, "A")).unwrap());
            soon(|| runs(&count) == 1);
            let child = fork(|| {
                let value = secrets.get("A").map(|secret| secret.value().to_vec());
                value.is_ok_and(|value| value == b"1")
            });
            soon(|| runs(&count) == 2);
            fs::write(&go, "").unwrap();
            assert!(said_yes(child), "the child runs the program itself");
            assert_eq!(receiver.recv_timeout(PATIENCE).unwrap().as_deref(), Some("1"));
        });
        assert_eq!(runs(&count), 2);
    });
}
