//! Failures, denials and deletions are shared too.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::proxy::Fault;
use crate::common::servers::bao;
use crate::common::time::soon;
use crate::worker::{Host, Worker, canary};

/// Longer than the documents of these tests are fresh.
const EXPIRY: Duration = Duration::from_millis(1100);

#[test]
fn failed_load_of_one_process_is_that_of_all() {
    let host = Host::start();
    host.vault.always(Fault::status(503));
    let mut workers: Vec<Worker> = (0..10).map(|_| host.worker_with(json!({"max_attempts": 1}))).collect();
    let begin = Instant::now();
    let answers: Vec<_> = workers.iter_mut().map(|worker| worker.ask("get A")).collect();
    assert!(answers.iter().all(|answer| answer["status"] == "ST_UNAVAILABLE"), "{answers:?}");
    let state = workers[9].ask("share");
    assert!(state["documents"][0]["failing"].as_str().unwrap().contains("overloaded"), "{state}");
    // After each pause, the shortest of which takes a second, one process tries again.
    assert!(host.loads() <= 1 + begin.elapsed().as_secs() as usize, "{}", host.loads());
    // A refresh of one process ends the failure for all.
    host.vault.heal();
    assert_eq!(workers[3].ask("refresh A")["value"], canary("first"));
    let loads = host.loads();
    let answers: Vec<_> = workers[4..].iter_mut().map(|worker| worker.ask("get A")).collect();
    assert!(answers.iter().all(|answer| answer["value"] == canary("first")), "{answers:?}");
    assert_eq!((host.loads(), host.files(".fail").len()), (loads, 0));
}

#[test]
fn process_that_starts_in_an_outage_uses_the_last_document() {
    let host = Host::start();
    let times = json!({"cache_ttl": 1, "max_attempts": 1});
    host.worker_with(times.clone()).get("A");
    std::thread::sleep(EXPIRY);
    host.vault.always(Fault::Refuse);
    let answer = host.worker_with(times.clone()).ask("get A");
    assert_eq!((&answer["value"], &answer["stale"]), (&json!(canary("first")), &json!(true)), "{answer}");
    let none = host.worker_with(json!({"cache_ttl": 1, "max_attempts": 1, "max_stale": 0})).ask("get A");
    assert_eq!(none["status"], "ST_UNAVAILABLE", "{none}");
    host.vault.heal();
    assert_eq!(host.worker_with(times).ask("refresh A")["stale"], false);
}

#[test]
fn denial_of_one_process_ends_the_document_of_all() {
    let host = Host::start();
    let mut workers: Vec<Worker> = (0..3).map(|_| host.worker()).collect();
    workers.iter_mut().for_each(|worker| assert_eq!(worker.get("A"), canary("first")));
    bao().revoke(&host.token);
    assert_eq!(workers[0].ask("refresh A")["status"], "ST_ACCESS_DENIED");
    assert!(host.files(".doc").is_empty());
    for worker in &mut workers {
        assert_eq!(worker.ask("get A")["status"], "ST_ACCESS_DENIED");
    }
    assert_eq!(host.worker().ask("get A")["status"], "ST_ACCESS_DENIED");
}

#[test]
fn denial_does_not_end_the_document_of_a_process_with_other_keys() {
    let host = Host::start();
    let mut good = host.worker();
    good.get("A");
    let mut denied = host.worker_with(json!({"vault_token": "s.unknown"}));
    for _ in 0..3 {
        assert_eq!(denied.ask("refresh A")["status"], "ST_ACCESS_DENIED");
    }
    let loads = host.loads();
    assert_eq!((host.worker().get("A"), host.loads(), good.get("A")), (canary("first"), loads, canary("first")));
}

#[test]
fn denial_concerns_no_process_with_another_token_and_the_same_key() {
    let (host, key) = (Host::start(), "Q0FOQVJZLWtleS1vZi1hLWhvc3QtLTMyLWJ5dGVzLS0=");
    let mut good = host.worker_with(json!({"share_key": key}));
    good.get("A");
    let bad = || host.worker_with(json!({"share_key": key, "vault_token": "s.unknown"}));
    let mut denied = bad();
    assert_eq!(denied.get("A"), canary("first"), "the key is enough to read");
    for _ in 0..3 {
        assert_eq!(denied.ask("refresh A")["status"], "ST_ACCESS_DENIED");
    }
    let loads = host.loads();
    assert_eq!((good.get("A"), host.loads()), (canary("first"), loads));
    // Nor does it wait out the pause after the denial.
    good.ask("clear");
    assert_eq!(good.get("A"), canary("first"));
    // What the server says about the document itself concerns all.
    bao().delete("secret", &host.path, &[1]);
    assert_eq!(good.ask("refresh A")["status"], "ST_NOT_FOUND");
    assert_eq!(bad().ask("get A")["status"], "ST_NOT_FOUND");
}

#[test]
fn deletion_seen_by_one_process_is_seen_by_all() {
    let host = Host::start();
    let mut workers: Vec<Worker> = (0..3).map(|_| host.worker_with(json!({"miss_ttl": 600}))).collect();
    workers.iter_mut().for_each(|worker| assert_eq!(worker.get("A"), canary("first")));
    bao().delete("secret", &host.path, &[1]);
    assert_eq!(workers[0].ask("refresh A")["status"], "ST_NOT_FOUND");
    let loads = host.loads();
    for worker in &mut workers[1..] {
        assert_eq!(worker.ask("get A")["status"], "ST_NOT_FOUND");
    }
    assert_eq!(host.loads(), loads);
}

#[test]
fn source_that_hangs_is_queried_by_few_processes() {
    let host = Host::start();
    host.vault.always(Fault::Hang);
    let settings = json!({"timeout": 4, "max_attempts": 1});
    let mut workers: Vec<Worker> = (0..16).map(|_| host.worker_with(settings.clone())).collect();
    workers.iter_mut().for_each(|worker| worker.send("get A"));
    for worker in &mut workers {
        let answer = worker.answer().unwrap();
        assert!(answer["error"].is_string(), "{answer}");
    }
    assert!(host.loads() <= 8, "{}", host.loads());
}

#[test]
fn new_credentials_end_the_pause_of_a_process_that_has_not_failed_itself() {
    let host = Host::start();
    let directory = crate::common::temp();
    let file = crate::common::write(&directory.path().join("token"), "s.unknown");
    let settings = json!({"vault_token": null, "vault_token_file": file, "max_backoff": 600});
    let (mut one, mut other) = (host.worker_with(settings.clone()), host.worker_with(settings));
    assert_eq!(one.ask("get A")["status"], "ST_ACCESS_DENIED");
    assert_eq!(other.ask("get A")["status"], "ST_ACCESS_DENIED");
    crate::common::write(&file, &host.token);
    soon(|| other.ask("get A")["value"] == canary("first"));
    soon(|| one.ask("get A")["value"] == canary("first"));
}
