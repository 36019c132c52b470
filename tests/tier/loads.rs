//! One load for all hosts, and what the operator of the tier sees.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::{Cluster, KEY};
use crate::common::proxy::Fault;
use crate::common::servers::Tls;
use crate::common::temp;
use crate::server::{Kind, PASSWORD, on_each_server};
use crate::worker::{Worker, canary};

on_each_server! {
    hosts_that_start_at_once_make_one_request,
    later_host_uses_the_document_with_its_age,
    refresh_by_one_host_is_found_by_others_that_load,
    expired_document_is_loaded_by_one_host,
    killed_loader_is_replaced_by_another_host,
    cleared_document_is_not_taken_from_the_tier,
    older_load_does_not_replace_a_newer_document,
    denied_refresh_removes_the_document,
    operator_sees_no_value_key_or_name,
    other_key_sees_and_changes_nothing,
    tls_and_sockets_work,
    replaced_certificate_file_is_read_again,
}

const HOSTS: usize = 20;

fn hosts_that_start_at_once_make_one_request(kind: Kind) {
    let cluster = Cluster::start(kind);
    cluster.source.vault.always(Fault::Delay(Duration::from_millis(300)));
    let mut hosts: Vec<Worker> = (0..HOSTS).map(|_| cluster.host()).collect();
    hosts.iter_mut().for_each(|host| host.send("get A"));
    let answers: Vec<_> = hosts.iter_mut().map(|host| host.answer().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer["value"] == canary("first")), "{answers:?}");
    assert_eq!(cluster.loads(), 1);
    assert_eq!(answers.iter().filter(|answer| answer["shared"] == true).count(), HOSTS - 1, "{answers:?}");
}

fn later_host_uses_the_document_with_its_age(kind: Kind) {
    let cluster = Cluster::start(kind);
    let first = cluster.host().ask("get A");
    std::thread::sleep(Duration::from_millis(50));
    let mut host = cluster.host();
    let second = host.ask("get A");
    assert_eq!((&second["value"], &second["shared"]), (&first["value"], &json!(true)));
    assert!(second["expires_in"].as_f64() < first["expires_in"].as_f64(), "{first} {second}");
    assert_eq!(host.ask("get A")["version"], "1");
    assert_eq!(cluster.loads(), 1);
    let shown = host.ask("share");
    assert_eq!(shown["tier"]["url"], format!("{}://{}", kind.scheme(), cluster.server.address()));
    assert!(shown["tier"]["revision"].is_u64() && shown["tier"]["retry_in"].is_null(), "{shown}");
}

fn refresh_by_one_host_is_found_by_others_that_load(kind: Kind) {
    let cluster = Cluster::start(kind);
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

/// On a slow machine a document may expire before the last host has it, so this is tried with longer and longer times.
fn expired_document_is_loaded_by_one_host(kind: Kind) {
    let tried = [2, 8, 32].into_iter().any(|seconds| {
        let (cluster, lifetime) = (Cluster::start(kind), Duration::from_secs(seconds));
        let mut hosts: Vec<Worker> = (0..4).map(|_| cluster.host_with(json!({"cache_ttl": seconds}))).collect();
        let start = Instant::now();
        hosts.iter_mut().for_each(|host| assert_eq!(host.get("A"), canary("first")));
        let in_time = start.elapsed() < lifetime;
        cluster.put("second");
        std::thread::sleep(lifetime + Duration::from_millis(100));
        let start = Instant::now();
        let answers: Vec<_> = hosts.iter_mut().map(|host| host.ask("get A")).collect();
        assert!(answers.iter().all(|answer| answer["value"] == canary("second")), "{answers:?}");
        let in_time = in_time && start.elapsed() < lifetime;
        assert!(!in_time || cluster.loads() <= 3, "{}", cluster.loads());
        in_time
    });
    assert!(tried, "the machine is too slow");
}

fn killed_loader_is_replaced_by_another_host(kind: Kind) {
    let cluster = Cluster::start(kind);
    cluster.source.vault.next(1, Fault::Hang);
    let mut killed = cluster.host();
    killed.send("get A");
    cluster.source.vault.wait_for_requests(1);
    let mut other = cluster.host();
    other.send("get A");
    killed.signal(libc::SIGKILL);
    assert_eq!(other.answer().unwrap()["value"], canary("first"));
}

fn cleared_document_is_not_taken_from_the_tier(kind: Kind) {
    let cluster = Cluster::start(kind);
    let mut host = cluster.host();
    host.get("A");
    cluster.server.key("doc");
    cluster.source.vault.always(Fault::vault(403, &["permission denied"]));
    host.ask("clear");
    assert!(host.ask("get A")["error"].is_string());
    assert_eq!(cluster.server.count("doc"), 0);
    cluster.source.vault.heal();
}

fn older_load_does_not_replace_a_newer_document(kind: Kind) {
    let cluster = Cluster::start(kind);
    let (mut slow, mut other) = (cluster.host(), cluster.host());
    cluster.source.vault.next(1, Fault::Hold);
    slow.send("get A");
    cluster.source.vault.wait_for_held(1);
    cluster.put("second");
    assert_eq!(other.ask("refresh A")["value"], canary("second"));
    let taken = cluster.host().ask("get A");
    assert_eq!(
        (&taken["value"], &taken["shared"]),
        (&json!(canary("second")), &json!(true)),
        "while another host leads"
    );
    cluster.source.vault.heal();
    assert_eq!(slow.answer().unwrap()["value"], canary("first"));
    assert_eq!((cluster.host().get("A"), cluster.loads()), (canary("second"), 2));
    assert_eq!(cluster.server.count("load"), 0, "the lead has ended");
}

fn denied_refresh_removes_the_document(kind: Kind) {
    let cluster = Cluster::start(kind);
    let mut host = cluster.host();
    host.get("A");
    assert_eq!(cluster.server.count("doc"), 1);
    cluster.source.vault.next(1, Fault::vault(403, &["permission denied"]));
    assert!(host.ask("refresh A")["error"].is_string());
    assert_eq!(cluster.server.count("doc"), 0);
}

fn operator_sees_no_value_key_or_name(kind: Kind) {
    let cluster = Cluster::start(kind);
    let (mut one, mut other) = (cluster.host(), cluster.host());
    let seen = cluster.server.seen_during(&mut || {
        assert_eq!((one.get("A"), other.get("A")), (canary("first"), canary("first")));
        one.ask("refresh A");
        one.ask("invalidate-cluster");
    });
    let has = |text: &str| seen.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("sts1"));
    for secret in ["canary", &cluster.source.path, &cluster.source.token, "vault", "CANARY-key", KEY] {
        assert!(!has(secret), "{secret}");
    }
}

fn other_key_sees_and_changes_nothing(kind: Kind) {
    let cluster = Cluster::start(kind);
    cluster.host().get("A");
    let other = json!({"share_key": "T1RIRVItLWtleS1vZi10aGUtY2x1c3Rlci0zMmJ5dGU="});
    let mut host = cluster.host_with(other);
    assert_eq!(host.get("A"), canary("first"));
    assert_eq!(cluster.loads(), 2);
}

fn tls_and_sockets_work(kind: Kind) {
    let cluster = Cluster::start(kind);
    let tls = Tls::to(&cluster.server.address(), &["localhost"]);
    let certificate = tls.certificate("ca.pem");
    let port = tls.address().rsplit_once(':').unwrap().1.to_owned();
    let secured = json!({
        "share_url": format!("{}s://st-secrets:{PASSWORD}@localhost:{port}", kind.scheme()), "share_ca_cert": certificate,
    });
    assert_eq!(cluster.host_with(secured.clone()).get("A"), canary("first"));
    if let Some(socket) = cluster.server.socket() {
        let answer = cluster.host_with(json!({"share_url": socket})).ask("get A");
        assert_eq!((&answer["value"], &answer["shared"]), (&json!(canary("first")), &json!(true)));
    }
    let untrusted = json!({"share_url": secured["share_url"]});
    let mut host = cluster.host_with(untrusted);
    assert_eq!(host.get("A"), canary("first"));
    assert_eq!(cluster.loads(), 2);
    let detail = host.ask("check")["share"]["detail"].to_string();
    assert!(detail.contains("is signed by an authority that is not trusted here"), "{detail}");
}

fn replaced_certificate_file_is_read_again(kind: Kind) {
    let cluster = Cluster::start(kind);
    let tls = Tls::to(&cluster.server.address(), &["localhost"]);
    let directory = temp();
    let file = directory.path().join("ca.pem");
    let port = tls.address().rsplit_once(':').unwrap().1.to_owned();
    let secured = json!({
        "share_url": format!("{}s://st-secrets:{PASSWORD}@localhost:{port}", kind.scheme()), "share_ca_cert": file,
    });
    let mut host = cluster.host_with(secured);
    for (certificate, state) in [("elsewhere.pem", "warning"), ("ca.pem", "ok"), ("elsewhere.pem", "warning")] {
        fs::copy(tls.certificate(certificate), &file).unwrap();
        let share = host.ask("check")["share"].clone();
        assert_eq!(share["state"], state, "{certificate}: {share}");
    }
}
