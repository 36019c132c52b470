//! A tier that fails is never the failure of a get, and never the reason for an older value.

use std::io::Write;
use std::net::TcpListener;
use std::thread;

use serde_json::json;

use crate::cluster::Cluster;
use crate::common::servers::process::free_port;
use crate::redis::{PASSWORD, Redis, url};
use crate::worker::{Worker, canary};

/// Two hosts get the value, each with a request of its own, and report what is wrong with the tier.
#[track_caller]
fn assert_unshared(cluster: &Cluster, hosts: &mut [Worker], reason: &str) {
    let before = cluster.loads();
    hosts.iter_mut().for_each(|host| assert_eq!(host.get("A"), canary("first")));
    assert_eq!(cluster.loads() - before, hosts.len());
    for host in hosts {
        let share = host.ask("check")["share"].clone();
        let detail = share["detail"].as_str().unwrap();
        assert!(share["state"] == "warning" && detail.contains(reason), "{share}");
        assert!(!share.to_string().contains(PASSWORD), "{share}");
        assert!(host.ask("share")["tier"]["retry_in"].as_f64().unwrap() <= 15.0);
    }
}

#[test]
fn tier_that_is_down_costs_a_request_for_each_host() {
    let mut cluster = Cluster::start();
    cluster.redis.stop();
    assert_unshared(&cluster, &mut [cluster.host(), cluster.host()], "Connection refused");
}

#[test]
fn stopped_tier_costs_a_part_of_the_time_once() {
    let cluster = Cluster::start();
    cluster.redis.process.as_ref().unwrap().pause();
    let brief = || cluster.host_with(json!({"timeout": 20}));
    assert_unshared(&cluster, &mut [brief(), brief()], "timed out");
    cluster.redis.process.as_ref().unwrap().resume();
}

#[test]
fn wrong_password_is_reported() {
    let cluster = Cluster::start();
    let wrong = json!({"share_url": format!("redis://st-secrets:{PASSWORD}-wrong@{}", cluster.redis.address())});
    let mut hosts = [cluster.host_with(wrong.clone()), cluster.host_with(wrong)];
    assert_unshared(&cluster, &mut hosts, "rejects the user or the password");
    let nobody = json!({"share_url": format!("redis://{}", cluster.redis.address())});
    assert_unshared(&cluster, &mut [cluster.host_with(nobody)], "rejects the user or the password");
}

#[test]
fn missing_permission_is_reported() {
    let cluster = Cluster::start();
    cluster.redis.ask(&["ACL", "SETUSER", "st-secrets", "-eval"]);
    assert_unshared(&cluster, &mut [cluster.host()], "does not permit");
}

#[test]
fn full_tier_is_reported() {
    let cluster = Cluster::with(Redis::start_with(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]));
    assert_unshared(&cluster, &mut [cluster.host(), cluster.host()], "is full");
}

#[test]
fn garbage_is_refused() {
    let cluster = Cluster::start();
    for garbage in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[b'x'; 100_000], b"$99999999999\r\n", b"*9999999999\r\n"]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            for stream in listener.incoming() {
                // The client may be gone.
                let _ = stream.unwrap().write_all(garbage);
            }
        });
        let mut host = cluster.host_with(json!({"share_url": url(&address)}));
        assert_unshared(&cluster, std::slice::from_mut(&mut host), "is not that of Redis or Valkey");
        drop(server);
    }
}

#[test]
fn tier_that_comes_back_is_used_again() {
    let mut cluster = Cluster::start();
    cluster.redis.stop();
    let mut one = cluster.host();
    one.get("A");
    cluster.redis.run();
    one.ask("advance 20");
    one.ask("refresh A");
    let before = cluster.loads();
    assert_eq!(cluster.host().ask("get A")["shared"], true);
    assert_eq!(cluster.loads(), before);
}

#[test]
fn flushed_and_restarted_tier_loses_nothing_but_time() {
    let mut cluster = Cluster::start();
    let (mut one, mut other) = (cluster.host(), cluster.host());
    assert_eq!((one.get("A"), other.get("A")), (canary("first"), canary("first")));
    cluster.put("second");
    cluster.redis.ask(&["FLUSHALL"]);
    one.ask("advance 2");
    // Something may have been invalidated meanwhile.
    assert_eq!(one.get("A"), canary("second"));
    other.ask("advance 2");
    assert_eq!(other.get("A"), canary("second"));
    assert_eq!(cluster.loads(), 2);
    cluster.redis.stop();
    cluster.redis.run();
    cluster.put("third");
    one.ask("advance 2");
    assert_eq!(one.get("A"), canary("third"));
    other.ask("advance 2");
    assert_eq!(other.get("A"), canary("third"));
    assert_eq!(cluster.loads(), 3);
}

#[test]
fn document_that_was_put_back_is_refused() {
    let cluster = Cluster::start();
    let (mut one, mut other) = (cluster.host(), cluster.host());
    one.get("A");
    let key = cluster.redis.key(":doc");
    cluster.redis.ask(&["COPY", &key, "kept"]);
    cluster.put("second");
    assert_eq!(one.ask("refresh A")["value"], canary("second"));
    assert_eq!(other.get("A"), canary("second"));
    let put_back = || cluster.redis.ask(&["COPY", "kept", &key, "REPLACE"]);
    // A later document was used here.
    assert_eq!(put_back(), "1");
    other.ask("clear");
    assert_eq!(other.get("A"), canary("second"));
    // It has an earlier revision, also for a host that never saw a document.
    let mut third = cluster.host();
    one.ask("invalidate-cluster");
    put_back();
    assert_eq!(third.get("A"), canary("second"));
}

#[test]
fn damaged_document_is_replaced() {
    let cluster = Cluster::start();
    cluster.host().get("A");
    let key = cluster.redis.key(":doc");
    cluster.redis.ask(&["SETRANGE", &key, "130", "damage"]);
    assert_eq!(cluster.host().get("A"), canary("first"));
    assert_eq!(cluster.loads(), 2);
    assert_eq!(cluster.host().ask("get A")["shared"], true);
    assert_eq!(cluster.loads(), 2);
}

#[test]
fn nobody_listens_is_a_short_failure() {
    let cluster = Cluster::start();
    let mut host = cluster.host_with(json!({"share_url": url(&format!("127.0.0.1:{}", free_port()))}));
    assert_eq!(host.get("A"), canary("first"));
    assert!(host.ask("invalidate-cluster")["error"].as_str().unwrap().contains("Connection refused"));
}
