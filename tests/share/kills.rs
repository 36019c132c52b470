//! Processes that are killed, stopped, or fork.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::common::proxy::Fault;
use crate::common::temp;
use crate::common::time::soon;
use crate::worker::{Host, Worker, canary};

#[test]
fn killed_loader_costs_one_request_more() {
    let host = Host::start();
    host.vault.next(1, Fault::Hang);
    let (mut loader, mut other) = (host.worker(), host.worker());
    loader.send("get A");
    host.vault.wait_for_requests(1);
    other.send("get A");
    loader.signal(libc::SIGKILL);
    assert_eq!(other.answer().unwrap()["value"], canary("first"));
    assert_eq!(host.loads(), 2);
}

#[test]
fn stopped_loader_does_not_stop_the_others() {
    let host = Host::start();
    host.vault.next(1, Fault::Hang);
    let mut loader = host.worker();
    let mut others: Vec<Worker> = (0..3).map(|_| host.worker_with(json!({"timeout": 8}))).collect();
    loader.send("get A");
    host.vault.wait_for_requests(1);
    loader.signal(libc::SIGSTOP);
    others.iter_mut().for_each(|worker| worker.send("get A"));
    let answers: Vec<_> = others.iter_mut().map(|worker| worker.answer().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer["value"] == canary("first")), "{answers:?}");
    // One of the others loads after half of its time, and perhaps a second one, if that takes long.
    assert!((2..=3).contains(&host.loads()), "{}", host.loads());
    loader.signal(libc::SIGCONT);
}

#[test]
fn loader_that_is_stopped_for_a_moment_is_waited_for() {
    let host = Host::start();
    host.vault.next(1, Fault::Delay(std::time::Duration::from_millis(300)));
    let (mut loader, mut other) = (host.worker(), host.worker());
    loader.send("get A");
    host.vault.wait_for_requests(1);
    loader.signal(libc::SIGSTOP);
    other.send("get A");
    std::thread::sleep(std::time::Duration::from_millis(600));
    loader.signal(libc::SIGCONT);
    let answer = other.answer().unwrap();
    assert_eq!((&answer["value"], &answer["shared"]), (&json!(canary("first")), &json!(true)));
    assert_eq!((loader.answer().unwrap()["value"].clone(), host.loads()), (json!(canary("first")), 1));
}

#[test]
fn forked_children_use_the_share() {
    let host = Host::start();
    host.worker().get("A");
    let mut parent = host.worker();
    parent.get("A");
    assert_eq!(parent.ask("forks 50"), 50);
    assert_eq!(host.loads(), 1);
}

#[test]
fn forks_during_loads_harm_neither_parent_nor_children() {
    let host = Host::start();
    let (mut parent, mut other) = (host.worker(), host.worker());
    assert_eq!(parent.ask("forks-under-load 300"), 300);
    // No child keeps the lock.
    assert_eq!(other.ask("refresh A")["value"], canary("first"));
}

#[test]
fn loader_killed_at_any_system_call_harms_no_other() {
    let host = Host::start();
    // The first load also creates the directory and the page.
    let at = |number: usize| json!({"share_dir": host.directory.path().join(number.to_string())});
    let traces = temp();
    let trace = traces.path().join("whole");
    let (mut whole, mut strace) = traced(host.worker_with(at(0)), &trace, &[]);
    assert_eq!(whole.ask("get-marked A")["value"], canary("first"));
    drop(whole);
    strace.wait().unwrap();
    let calls = calls_between_marks(&fs::read_to_string(&trace).unwrap());
    assert!(["mkdir", "linkat", "rename"].iter().all(|name| calls.iter().any(|(call, _)| call == name)), "{calls:?}");
    let mut kills = 0;
    for (index, (call, number)) in calls.iter().enumerate() {
        let (settings, at) = (at(index + 1), format!("killed at {call} number {number}"));
        let inject = format!("inject={call}:signal=SIGKILL:when={number}");
        let trace = traces.path().join(index.to_string());
        let (mut killed, mut strace) = traced(host.worker_with(settings.clone()), &trace, &["-e", &inject]);
        let before = host.loads();
        // How often it waits for the server may differ, and with it the number of calls. When strace attaches, the
        // kernel may also restart the call that waits for the request, so that a process is killed before its request.
        kills += usize::from(killed.try_send("get-marked A") && killed.answer().is_none());
        drop(killed);
        strace.wait().unwrap();
        let mut other = host.worker_with(settings);
        assert_eq!(other.get("A"), canary("first"), "{at}");
        assert!(host.loads() <= before + 2, "{at}");
        assert_eq!(other.ask("refresh A")["value"], canary("first"), "{at}");
        let directory = host.directory.path().join((index + 1).to_string());
        let names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 4, "{at}: {names:?}");
    }
    assert!(kills * 4 > calls.len() * 3, "{kills} of {}", calls.len());
}

/// A process that strace is attached to. The first call in the trace is always the one that waits for the next request:
/// it counts, so the calls after it have the same numbers in each trace.
fn traced(mut worker: Worker, trace: &Path, arguments: &[&str]) -> (Worker, Child) {
    let thread = worker.ask("thread").to_string();
    let status = format!("/proc/{}/task/{thread}/status", worker.id());
    // Before it waits, it makes calls of which strace would see some.
    soon(|| fs::read_to_string(&status).unwrap().contains("State:\tS"));
    let mut strace = Command::new("strace");
    strace.arg("-o").arg(trace).args(arguments).args(["-p", &thread]).stderr(Stdio::null());
    let strace = strace.spawn().expect("strace is needed: make tools");
    soon(|| fs::read_to_string(trace).is_ok_and(|trace| trace.starts_with("read(")));
    (worker, strace)
}

/// The system calls between the two marks: the name of each, and its number among the calls of that name. Reading a
/// clock changes nothing.
fn calls_between_marks(trace: &str) -> Vec<(String, usize)> {
    let (mut counts, mut marks, mut calls) = (std::collections::HashMap::new(), 0, Vec::new());
    for line in trace.lines() {
        let Some((name, _)) = line.split_once('(') else { continue };
        let number = counts.entry(name.to_owned()).or_insert(0);
        *number += 1;
        marks += usize::from(name == "getppid");
        if marks == 1 && !["getppid", "clock_gettime"].contains(&name) {
            calls.push((name.to_owned(), *number));
        }
    }
    assert_eq!(marks, 2, "{trace}");
    calls
}
