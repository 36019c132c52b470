//! One load for all processes, and what they see of each other.

use serde_json::json;

use crate::common::proxy::Fault;
use crate::common::time::soon;
use crate::worker::{Host, Worker, canary};

const PROCESSES: usize = 20;

#[test]
fn processes_that_start_at_once_make_one_request() {
    let host = Host::start();
    host.vault.always(Fault::Delay(std::time::Duration::from_millis(300)));
    let mut workers: Vec<Worker> = (0..PROCESSES).map(|_| host.worker()).collect();
    workers.iter_mut().for_each(|worker| worker.send("get A"));
    let answers: Vec<_> = workers.iter_mut().map(|worker| worker.answer().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer["value"] == canary("first")), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer["shared"] == true).count(), PROCESSES - 1, "{answers:?}");
    assert_eq!(host.loads(), 1);
}

#[test]
fn thousand_processes_make_one_request() {
    let host = Host::start();
    assert_eq!(host.worker().ask("processes 1000"), 1000);
    assert_eq!(host.loads(), 1);
}

#[test]
fn cached_only_get_uses_what_another_process_has_loaded() {
    let host = Host::start();
    let mut worker = host.worker();
    assert_eq!(worker.ask("cached A")["status"], "ST_UNAVAILABLE");
    host.worker().get("A");
    assert_eq!(worker.ask("cached A")["value"], canary("first"));
    assert_eq!(host.loads(), 1);
}

#[test]
fn no_file_of_the_share_stays_open() {
    let host = Host::start();
    let mut worker = host.worker();
    worker.get("A");
    let files = worker.ask("files").to_string();
    assert!(!files.contains(host.directory.path().to_str().unwrap()), "{files}");
}

#[test]
fn later_process_uses_the_document_with_its_age_and_version() {
    let host = Host::start();
    let first = host.worker().ask("get A");
    assert_eq!((&first["shared"], &first["cached"], &first["version"]), (&json!(false), &json!(false), &json!("1")));
    let second = host.worker().ask("get A");
    assert_eq!((&second["shared"], &second["cached"], &second["version"]), (&json!(true), &json!(true), &json!("1")));
    assert!(second["age"].as_f64() > first["age"].as_f64(), "{first} {second}");
    assert_eq!(host.loads(), 1);
    // A shorter `cache_ttl` of its own applies.
    let third = host.worker_with(json!({"cache_ttl": 100})).ask("get A");
    assert!(third["expires_in"].as_f64().unwrap() < 100.0, "{third}");
}

#[test]
fn refresh_by_one_process_reaches_the_others() {
    let host = Host::start();
    let (mut one, mut other) = (host.worker(), host.worker());
    assert_eq!((one.get("A"), other.get("A")), (canary("first"), canary("first")));
    host.put("second");
    assert_eq!(other.get("A"), canary("first"));
    assert_eq!(one.ask("refresh A")["value"], canary("second"));
    let answer = other.ask("get A");
    assert_eq!((&answer["value"], &answer["shared"]), (&json!(canary("second")), &json!(true)));
    assert_eq!(host.loads(), 2);
}

#[test]
fn clear_by_one_process_makes_all_load_again_once() {
    let host = Host::start();
    let mut workers: Vec<Worker> = (0..4).map(|_| host.worker()).collect();
    workers.iter_mut().for_each(|worker| assert_eq!(worker.get("A"), canary("first")));
    host.put("second");
    workers[0].ask("clear");
    assert!(host.files(".doc").is_empty());
    workers.iter_mut().rev().for_each(|worker| assert_eq!(worker.get("A"), canary("second")));
    assert_eq!(host.loads(), 2);
}

#[test]
fn process_that_never_loaded_clears_for_all() {
    let host = Host::start();
    let (mut one, mut other) = (host.worker(), host.worker());
    one.get("A");
    host.put("second");
    other.ask("clear");
    assert_eq!(one.get("A"), canary("second"));
}

#[test]
fn document_is_refreshed_by_one_process_while_the_others_use_it() {
    let host = Host::start();
    let mut workers: Vec<Worker> = (0..4).map(|_| host.worker()).collect();
    workers.iter_mut().for_each(|worker| assert_eq!(worker.get("A"), canary("first")));
    host.put("second");
    workers.iter_mut().for_each(|worker| drop(worker.ask("advance 29000")));
    host.vault.always(Fault::Hang);
    // One process takes the load and waits; the others have their value meanwhile.
    workers[0].send("get A");
    host.vault.wait_for_requests(2);
    for worker in &mut workers[1..] {
        let answer = worker.ask("get A");
        assert_eq!((&answer["value"], &answer["stale"]), (&json!(canary("first")), &json!(false)));
    }
    host.vault.heal();
    workers[0].answer();
    assert!(host.loads() <= 3);
}

#[test]
fn expired_document_is_loaded_by_one_process() {
    let host = Host::start();
    let mut workers: Vec<Worker> = (0..4).map(|_| host.worker()).collect();
    workers.iter_mut().for_each(|worker| assert_eq!(worker.get("A"), canary("first")));
    host.put("second");
    workers.iter_mut().for_each(|worker| drop(worker.ask("advance 40000")));
    let answers: Vec<_> = workers.iter_mut().map(|worker| worker.ask("get A")).collect();
    assert!(answers.iter().all(|answer| answer["value"] == canary("second")), "{answers:?}");
    assert_eq!(host.loads(), 2);
}

#[test]
fn prefetch_loads_once_for_all() {
    let host = Host::start();
    assert_eq!(host.worker().ask("prefetch"), json!({}));
    assert_eq!(host.worker().ask("prefetch"), json!({}));
    assert_eq!(host.loads(), 1);
    let answer = host.worker().ask("get A");
    assert_eq!((&answer["value"], &answer["shared"]), (&json!(canary("first")), &json!(true)));
    assert_eq!(host.loads(), 1);
}

#[test]
fn share_reports_the_documents_and_the_process_that_loads() {
    let host = Host::start();
    let (mut one, mut other) = (host.worker(), host.worker());
    let before = other.ask("share");
    let document = &before["documents"][0];
    assert_eq!((&before["share"], &before["refused"]), (&json!("host"), &json!(null)), "{before}");
    assert_eq!((&document["provider"], &document["age"]), (&json!("vault"), &json!(null)), "{before}");
    host.vault.always(Fault::Hang);
    one.send("get A");
    soon(|| other.ask("share")["documents"][0]["loader_pid"] == json!(one.id()));
    assert_eq!(other.ask("share")["documents"][0]["loading"], true);
    host.vault.heal();
    one.signal(libc::SIGKILL);
    other.get("A");
    let after = other.ask("share");
    let document = &after["documents"][0];
    assert_eq!((&document["loading"], &document["loader_pid"]), (&json!(false), &json!(null)), "{after}");
    assert!(document["age"].as_f64().is_some() && document["expires_in"].as_f64() <= Some(30_000.0), "{after}");
    assert!(!after.to_string().contains("canary"), "{after}");
    assert_eq!(other.ask("check")["share"]["state"], "ok");
    let off = host.worker_with(json!({"share": "off"})).ask("share");
    assert_eq!(
        off,
        json!({"share": "off", "directory": null, "owner": null, "refused": null, "tier": null, "documents": []})
    );
}

#[test]
fn processes_with_another_path_token_or_key_share_nothing() {
    let host = Host::start();
    host.worker().get("A");
    let other_token = crate::common::servers::bao()
        .token(&[&crate::common::servers::bao().policy(&[&format!("secret/data/{}", host.path)], &["read"])], "1h");
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    for (number, more) in [json!({"vault_token": other_token}), json!({"share_key": key})].into_iter().enumerate() {
        let answer = host.worker_with(more).ask("get A");
        assert_eq!((&answer["shared"], &answer["value"]), (&json!(false), &json!(canary("first"))));
        assert_eq!(host.loads(), number + 2);
    }
    // With the key, the token is not needed to read.
    let answer = host.worker_with(json!({"share_key": key, "vault_token": "another"})).ask("get A");
    assert_eq!((&answer["shared"], &answer["value"]), (&json!(true), &json!(canary("first"))));
    // A token that may not read does not get what another one has loaded.
    let answer = host.worker_with(json!({"vault_token": "s.unknown"})).ask("get A");
    assert_eq!(answer["status"], "ST_ACCESS_DENIED", "{answer}");
}

#[test]
fn process_with_other_keys_keeps_its_document() {
    let host = Host::start();
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let (mut one, mut other) = (host.worker(), host.worker_with(json!({"share_key": key})));
    for _ in 0..3 {
        one.get("A");
        other.get("A");
    }
    assert!(host.loads() <= 4, "each replaces the file of the other, and keeps its own document");
}
