//! Changes: what processes see of each other's, watches, calls that listen, invalidation.

use std::time::Duration;

use serde_json::json;

use crate::common::proxy::Fault;
use crate::common::time::soon;
use crate::worker::{Host, Worker, canary};

fn generation(worker: &mut Worker) -> u64 {
    worker.ask("generation").as_u64().unwrap()
}

#[test]
fn generation_increases_in_all_processes_when_one_loads_other_contents() {
    let host = Host::start();
    let (mut one, mut two) = (host.worker(), host.worker());
    one.get("A");
    two.get("A");
    let before = (generation(&mut one), generation(&mut two));
    one.ask("refresh A");
    assert_eq!((generation(&mut one), generation(&mut two)), before, "the contents are the same");
    host.put("second");
    one.ask("refresh A");
    // Without a get.
    assert!(generation(&mut one) > before.0 && generation(&mut two) > before.1);
    assert_eq!(two.get("A"), canary("second"));
}

#[test]
fn process_that_never_had_a_document_reports_that_it_differs_from_the_last_one() {
    let host = Host::start();
    let mut one = host.worker();
    one.get("A");
    let before = generation(&mut one);
    host.put("second");
    host.worker().ask("refresh A");
    assert!(generation(&mut one) > before);
}

#[test]
fn listen_returns_when_another_process_has_loaded_other_contents() {
    let host = Host::start();
    let (mut one, mut two) = (host.worker(), host.worker());
    one.get("A");
    two.get("A");
    two.ask("watch A");
    two.ask("watch");
    let before = generation(&mut two);
    host.put("second");
    two.send(&format!("listen {before}"));
    one.ask("refresh A");
    assert!(two.answer().unwrap().as_u64().unwrap() > before);
    let called = two.ask("called");
    assert_eq!((&called[0][0], &called[1][0]), (&json!("A"), &json!(null)), "{called}");
    assert_eq!(two.get("A"), canary("second"));
}

#[test]
fn watch_is_called_within_a_get_that_finds_the_change() {
    let host = Host::start();
    let (mut one, mut two) = (host.worker(), host.worker());
    two.get("A");
    let id = two.ask("watch A");
    assert_eq!(two.ask("called"), json!([]));
    host.put("second");
    one.ask("refresh A");
    two.get("A");
    assert_eq!(two.ask("called")[0][0], "A");
    assert_eq!(two.ask(&format!("unwatch {id}")), true);
    assert_eq!(two.ask(&format!("unwatch {id}")), false);
    host.put("third");
    one.ask("refresh A");
    assert_eq!(two.get("A"), canary("third"));
    assert_eq!(two.ask("called").as_array().unwrap().len(), 1);
}

#[test]
fn one_of_the_processes_that_listen_loads_a_document_that_is_due() {
    let host = Host::start();
    let mut workers: Vec<Worker> = (0..4).map(|_| host.worker()).collect();
    workers.iter_mut().for_each(|worker| assert_eq!(worker.get("A"), canary("first")));
    host.put("second");
    workers.iter_mut().for_each(|worker| drop(worker.ask("advance 29000")));
    for worker in &mut workers {
        let before = generation(worker);
        worker.send(&format!("listen {before}"));
    }
    workers.iter_mut().for_each(|worker| assert!(worker.answer().is_some()));
    workers.iter_mut().for_each(|worker| assert_eq!(worker.get("A"), canary("second")));
    assert_eq!(host.loads(), 2);
}

#[test]
fn invalidation_is_followed_by_processes_with_other_documents_and_files() {
    let host = Host::start();
    let file = host.directory.path().join("secrets.json");
    std::fs::write(&file, r#"{"F": "first"}"#).unwrap();
    let settings = json!({"providers": ["file"], "file_path": file});
    let (mut one, mut other) = (host.worker(), host.worker_with(settings));
    assert_eq!((one.get("A"), other.get("F")), (canary("first"), "first".to_owned()));
    for round in 0..20 {
        let value = format!("round {round}");
        host.put(&value);
        std::fs::write(&file, json!({"F": value}).to_string()).unwrap();
        let report = one.ask("invalidate");
        assert_eq!(report["silent"], json!([]), "{report}");
        assert!(report["confirmed"].as_array().unwrap().contains(&json!(other.id())), "{report}");
        // A file is else looked at once a second.
        assert_eq!((other.get("F"), one.get("A")), (value.clone(), canary(&value)));
    }
}

#[test]
fn load_that_began_before_an_invalidation_does_not_count_after_it() {
    let host = Host::start();
    let (mut one, mut two) = (host.worker(), host.worker());
    // The request of the first is answered late, with what was there when it began.
    host.vault.always(Fault::Delay(Duration::from_secs(2)));
    two.send("get A");
    host.vault.wait_for_requests(1);
    host.vault.heal();
    one.ask("invalidate");
    two.answer().unwrap();
    let before = host.loads();
    two.get("A");
    assert!(host.loads() > before);
}

#[test]
fn stopped_process_is_named_and_ended_ones_are_not() {
    let host = Host::start();
    let (mut one, mut stopped, mut ended) = (host.worker(), host.worker(), host.worker());
    for worker in [&mut one, &mut stopped, &mut ended] {
        worker.get("A");
    }
    drop(ended);
    stopped.signal(libc::SIGSTOP);
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", stopped.id())).unwrap();
    soon(|| state().contains(") T "));
    let report = one.ask("invalidate");
    assert_eq!((&report["silent"], &report["confirmed"]), (&json!([stopped.id()]), &json!([one.id()])), "{report}");
    // It continues while another process waits for it.
    one.send("invalidate-patiently");
    stopped.signal(libc::SIGCONT);
    let report = one.answer().unwrap();
    assert_eq!(report["silent"], json!([]), "{report}");
    assert_eq!(report["complete"], true);
}

#[test]
fn forked_children_follow_invalidations() {
    let host = Host::start();
    let (mut one, mut parent) = (host.worker(), host.worker());
    one.get("A");
    // Children of a process that has the document, while it is invalidated again and again.
    parent.send("fork-readers 8");
    host.put("0");
    let mut last = 0;
    while last < 20 {
        last += 1;
        host.put(&last.to_string());
        assert_eq!(one.ask("invalidate")["silent"], json!([]));
        write_whole(&host.directory.path().join("floor"), &last.to_string());
    }
    write_whole(&host.directory.path().join("floor"), "end");
    assert_eq!(parent.answer().unwrap(), 8);
}

/// Readers see the text before or this one, never a part of each.
fn write_whole(path: &std::path::Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

#[test]
fn invalidation_needs_the_share_and_a_known_scope() {
    let host = Host::start();
    let mut alone = host.worker_with(json!({"share": "off"}));
    assert!(alone.ask("invalidate")["error"].as_str().unwrap().contains("set `share` to \"host\""));
    assert!(host.worker().ask("invalidate-cluster")["error"].as_str().unwrap().contains("share_url"));
}

#[test]
fn listen_notices_files_and_variables_without_the_share() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("secrets.json");
    std::fs::write(&file, r#"{"F": "first"}"#).unwrap();
    let mut worker = Worker::start(&json!({"providers": ["file"], "file_path": file}));
    worker.get("F");
    worker.ask("watch F");
    let before = generation(&mut worker);
    assert_eq!(worker.ask(&format!("listen-briefly {before}")), before);
    worker.send(&format!("listen {before}"));
    std::fs::write(&file, r#"{"F": "second"}"#).unwrap();
    assert!(worker.answer().unwrap().as_u64().unwrap() > before);
    assert_eq!(worker.ask("called")[0][0], "F");
    // A change by the process itself.
    let before = generation(&mut worker);
    worker.ask("set F");
    assert!(generation(&mut worker) > before);
}
