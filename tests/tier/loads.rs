//! One load for all hosts, and what the operator of the tier sees.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::cluster::{Cluster, KEY};
use crate::common::proxy::Fault;
use crate::common::servers::Tls;
use crate::common::time::soon;
use crate::redis::PASSWORD;
use crate::worker::{Worker, canary};

const HOSTS: usize = 20;

#[test]
fn hosts_that_start_at_once_make_one_request() {
    let cluster = Cluster::start();
    cluster.source.vault.always(Fault::Delay(Duration::from_millis(300)));
    let mut hosts: Vec<Worker> = (0..HOSTS).map(|_| cluster.host()).collect();
    hosts.iter_mut().for_each(|host| host.send("get A"));
    let answers: Vec<_> = hosts.iter_mut().map(|host| host.answer().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer["value"] == canary("first")), "{answers:?}");
    assert_eq!(cluster.loads(), 1);
    assert_eq!(answers.iter().filter(|answer| answer["shared"] == true).count(), HOSTS - 1, "{answers:?}");
}

#[test]
fn later_host_uses_the_document_with_its_age() {
    let cluster = Cluster::start();
    let first = cluster.host().ask("get A");
    std::thread::sleep(Duration::from_millis(50));
    let mut host = cluster.host();
    let second = host.ask("get A");
    assert_eq!((&second["value"], &second["shared"]), (&first["value"], &json!(true)));
    assert!(second["expires_in"].as_f64() < first["expires_in"].as_f64(), "{first} {second}");
    assert_eq!(host.ask("get A")["version"], "1");
    assert_eq!(cluster.loads(), 1);
    let shown = host.ask("share");
    assert_eq!(shown["tier"]["url"], format!("redis://{}", cluster.redis.address()));
    assert!(shown["tier"]["revision"].is_u64() && shown["tier"]["retry_in"].is_null(), "{shown}");
}

#[test]
fn refresh_by_one_host_is_found_by_others_that_load() {
    let cluster = Cluster::start();
    let (mut one, mut other) = (cluster.host(), cluster.host());
    assert_eq!((one.get("A"), other.get("A")), (canary("first"), canary("first")));
    cluster.put("second");
    assert_eq!(one.ask("refresh A")["value"], canary("second"));
    assert_eq!(cluster.host().get("A"), canary("second"));
    other.ask("clear");
    // What was loaded before the clear does not count.
    assert_eq!(other.get("A"), canary("second"));
    assert_eq!(cluster.loads(), 3);
}

#[test]
fn expired_document_is_loaded_by_one_host() {
    let cluster = Cluster::start();
    let mut hosts: Vec<Worker> = (0..4).map(|_| cluster.host_with(json!({"cache_ttl": 2}))).collect();
    hosts.iter_mut().for_each(|host| assert_eq!(host.get("A"), canary("first")));
    cluster.put("second");
    std::thread::sleep(Duration::from_millis(2100));
    let answers: Vec<_> = hosts.iter_mut().map(|host| host.ask("get A")).collect();
    assert!(answers.iter().all(|answer| answer["value"] == canary("second")), "{answers:?}");
    assert!(cluster.loads() <= 3, "{}", cluster.loads());
}

#[test]
fn killed_loader_is_replaced_by_another_host() {
    let cluster = Cluster::start();
    cluster.source.vault.next(1, Fault::Hang);
    let mut killed = cluster.host();
    killed.send("get A");
    cluster.source.vault.wait_for_requests(1);
    let mut other = cluster.host();
    other.send("get A");
    killed.signal(libc::SIGKILL);
    assert_eq!(other.answer().unwrap()["value"], canary("first"));
}

#[test]
fn cleared_document_is_not_taken_from_the_tier() {
    let cluster = Cluster::start();
    let mut host = cluster.host();
    host.get("A");
    cluster.redis.key(":doc");
    cluster.source.vault.always(Fault::status(403));
    host.ask("clear");
    assert!(host.ask("get A")["error"].is_string());
    cluster.source.vault.heal();
}

#[test]
fn operator_sees_no_value_key_or_name() {
    let cluster = Cluster::start();
    let mut monitor = Command::new("redis-cli");
    monitor.args(["-p", &cluster.redis.port.to_string(), "--no-auth-warning", "-a", &format!("{PASSWORD}-admin")]);
    let mut monitor = monitor.arg("MONITOR").stdout(Stdio::piped()).spawn().unwrap();
    soon(|| cluster.redis.ask(&["CLIENT", "LIST"]).contains("cmd=monitor"));
    let (mut one, mut other) = (cluster.host(), cluster.host());
    assert_eq!((one.get("A"), other.get("A")), (canary("first"), canary("first")));
    one.ask("refresh A");
    one.ask("invalidate-cluster");
    let stored = cluster.redis.dump();
    monitor.kill().unwrap();
    let mut seen = Vec::new();
    monitor.stdout.take().unwrap().read_to_end(&mut seen).unwrap();
    monitor.wait().unwrap();
    let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has(&stored, "sts1:") && has(&seen, "sts1:") && has(&seen, "EVAL"));
    for secret in ["canary", &cluster.source.path, &cluster.source.token, "vault", "CANARY-key", KEY] {
        assert!(!has(&stored, secret) && !has(&seen, secret), "{secret}");
    }
}

#[test]
fn other_key_sees_and_changes_nothing() {
    let cluster = Cluster::start();
    cluster.host().get("A");
    let other = json!({"share_key": "T1RIRVItLWtleS1vZi10aGUtY2x1c3Rlci0zMmJ5dGU="});
    let mut host = cluster.host_with(other);
    assert_eq!(host.get("A"), canary("first"));
    assert_eq!(cluster.loads(), 2);
}

#[test]
fn tls_and_sockets_work() {
    let cluster = Cluster::start();
    let tls = Tls::to(&cluster.redis.address(), &["localhost"]);
    let certificate = tls.certificate("ca.pem");
    let port = tls.address().rsplit_once(':').unwrap().1.to_owned();
    let secured = json!({
        "share_url": format!("rediss://st-secrets:{PASSWORD}@localhost:{port}"), "share_ca_cert": certificate,
    });
    assert_eq!(cluster.host_with(secured.clone()).get("A"), canary("first"));
    let socket = json!({"share_url": format!("unix://st-secrets:{PASSWORD}@{}", cluster.redis.socket())});
    let answer = cluster.host_with(socket).ask("get A");
    assert_eq!((&answer["value"], &answer["shared"]), (&json!(canary("first")), &json!(true)));
    let untrusted = json!({"share_url": secured["share_url"]});
    let mut host = cluster.host_with(untrusted);
    assert_eq!(host.get("A"), canary("first"));
    assert_eq!(cluster.loads(), 2);
    let detail = host.ask("check")["share"]["detail"].to_string();
    assert!(detail.contains("is signed by an authority that is not trusted here"), "{detail}");
}
