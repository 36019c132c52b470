//! A tier that fails is never the failure of a get, and never the reason for an older value.

use std::time::Duration;

use serde_json::json;

use crate::cluster::Cluster;
use crate::common::proxy::{Fault, Proxy};
use crate::common::servers::process::free_port;
use crate::common::time::soon;
use crate::server::{Kind, PASSWORD, on_each_server};
use crate::worker::{Worker, canary};

on_each_server! {
    tier_that_is_down_costs_a_request_for_each_host,
    stopped_tier_costs_a_part_of_the_time_once,
    wrong_password_is_reported,
    missing_permission_is_reported,
    full_tier_is_reported,
    garbage_is_refused,
    connection_that_is_cut_costs_a_request_for_each_host,
    distant_tier_is_used,
    tier_that_comes_back_is_used_again,
    restarted_tier_is_used_on,
    flushed_tier_loses_nothing_but_time,
    replaced_tier_is_used_after_a_failure_at_most,
    revision_that_fell_is_raised,
    document_that_was_put_back_is_refused,
    damaged_document_is_replaced,
    nobody_listens_is_a_short_failure,
    tier_that_hangs_does_not_extend_a_call,
}

/// Whether this host leaves the tier alone.
fn rests(host: &mut Worker) -> bool {
    !host.ask("share")["tier"]["retry_in"].is_null()
}

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

fn tier_that_is_down_costs_a_request_for_each_host(kind: Kind) {
    let mut cluster = Cluster::start(kind);
    cluster.server.stop();
    assert_unshared(&cluster, &mut [cluster.host(), cluster.host()], "Connection refused");
}

fn stopped_tier_costs_a_part_of_the_time_once(kind: Kind) {
    let cluster = Cluster::start(kind);
    cluster.server.process().pause();
    let brief = || cluster.host_with(json!({"timeout": 20}));
    assert_unshared(&cluster, &mut [brief(), brief()], "timed out");
    cluster.server.process().resume();
}

fn wrong_password_is_reported(kind: Kind) {
    let cluster = Cluster::start(kind);
    let wrong = json!({"share_url": cluster.server.url().replace('@', "-wrong@")});
    let mut hosts = [cluster.host_with(wrong.clone()), cluster.host_with(wrong)];
    assert_unshared(&cluster, &mut hosts, "rejects the user or the password");
    let nobody = json!({"share_url": format!("{}://{}", kind.scheme(), cluster.server.address())});
    assert_unshared(&cluster, &mut [cluster.host_with(nobody)], "rejects the user or the password");
}

fn missing_permission_is_reported(kind: Kind) {
    let cluster = Cluster::start(kind);
    cluster.server.forbid();
    assert_unshared(&cluster, &mut [cluster.host()], "does not permit");
}

fn connection_that_is_cut_costs_a_request_for_each_host(kind: Kind) {
    // Cut(20): in the middle of a reply.
    for fault in [Fault::Cut(20), Fault::Cut(0), Fault::ResetBefore] {
        let cluster = Cluster::start(kind);
        let proxy = Proxy::tcp(&cluster.server.address());
        proxy.always(fault);
        let through = || cluster.host_with(json!({"share_url": kind.url(proxy.address())}));
        assert_unshared(&cluster, &mut [through(), through()], proxy.address());
    }
}

fn distant_tier_is_used(kind: Kind) {
    let cluster = Cluster::start(kind);
    let proxy = Proxy::tcp(&cluster.server.address());
    proxy.always(Fault::Delay(Duration::from_millis(200)));
    let distant = || cluster.host_with(json!({"share_url": kind.url(proxy.address()), "timeout": 60}));
    let (mut one, mut other) = (distant(), distant());
    assert_eq!((one.get("A"), other.get("A")), (canary("first"), canary("first")));
    assert_eq!(cluster.loads(), 1);
    let share = other.ask("check")["share"].clone();
    assert_eq!(share["state"], "ok", "{share}");
}

fn full_tier_is_reported(kind: Kind) {
    let cluster = Cluster::with(kind.start_full());
    assert_unshared(&cluster, &mut [cluster.host(), cluster.host()], "is full");
}

fn garbage_is_refused(kind: Kind) {
    let cluster = Cluster::start(kind);
    for (server, address) in kind.impostors() {
        let mut host = cluster.host_with(json!({"share_url": kind.url(&address)}));
        assert_unshared(&cluster, std::slice::from_mut(&mut host), "check `share_url`");
        drop(server);
    }
}

fn tier_that_comes_back_is_used_again(kind: Kind) {
    let mut cluster = Cluster::start(kind);
    cluster.server.stop();
    let mut one = cluster.host();
    one.get("A");
    cluster.server.run();
    one.ask("advance 20");
    one.ask("refresh A");
    let before = cluster.loads();
    assert_eq!(cluster.host().ask("get A")["shared"], true);
    assert_eq!(cluster.loads(), before);
}

fn restarted_tier_is_used_on(kind: Kind) {
    let mut cluster = Cluster::start(kind);
    let mut one = cluster.host();
    one.get("A");
    cluster.server.stop();
    cluster.server.run();
    one.ask("refresh A");
    let before = cluster.loads();
    assert_eq!(cluster.host().ask("get A")["shared"], true);
    assert_eq!(cluster.loads(), before);
}

fn flushed_tier_loses_nothing_but_time(kind: Kind) {
    let cluster = Cluster::start(kind);
    let (mut one, mut other) = (cluster.host(), cluster.host());
    assert_eq!((one.get("A"), other.get("A")), (canary("first"), canary("first")));
    cluster.put("second");
    cluster.server.flush();
    one.ask("advance 2");
    // Something may have been invalidated meanwhile.
    assert_eq!(one.get("A"), canary("second"));
    other.ask("advance 2");
    assert_eq!(other.get("A"), canary("second"));
    assert_eq!(cluster.loads(), 2);
}

fn replaced_tier_is_used_after_a_failure_at_most(kind: Kind) {
    let mut cluster = Cluster::start(kind);
    let mut hosts = [cluster.host(), cluster.host()];
    hosts.iter_mut().for_each(|host| assert_eq!(host.get("A"), canary("first")));
    cluster.server.stop();
    cluster.server.run_empty();
    cluster.put("second");
    for host in &mut hosts {
        // The first look may fail: etcd does not answer a token of its predecessor.
        host.ask("advance 2");
        host.get("A");
        host.ask("advance 20");
        soon(|| host.get("A") == canary("second"));
    }
}

fn revision_that_fell_is_raised(kind: Kind) {
    let cluster = Cluster::start(kind);
    let (mut one, mut other) = (cluster.host(), cluster.host());
    one.get("A");
    other.get("A");
    cluster.server.lower_revision();
    cluster.put("second");
    one.ask("advance 2");
    // Something may have been invalidated meanwhile.
    assert_eq!(one.get("A"), canary("second"));
    other.ask("advance 2");
    assert_eq!(other.get("A"), canary("second"));
    assert_eq!(cluster.loads(), 2);
}

fn document_that_was_put_back_is_refused(kind: Kind) {
    let cluster = Cluster::start(kind);
    let (mut one, mut other) = (cluster.host(), cluster.host());
    one.get("A");
    let key = cluster.server.key("doc");
    cluster.server.copy(&key, "kept");
    cluster.put("second");
    assert_eq!(one.ask("refresh A")["value"], canary("second"));
    assert_eq!(other.get("A"), canary("second"));
    let put_back = || cluster.server.copy("kept", &key);
    // A later document was used here.
    put_back();
    other.ask("clear");
    assert_eq!(other.get("A"), canary("second"));
    // It has an earlier revision, also for a host that never saw a document.
    let mut third = cluster.host();
    one.ask("invalidate-cluster");
    put_back();
    assert_eq!(third.get("A"), canary("second"));
}

fn damaged_document_is_replaced(kind: Kind) {
    let cluster = Cluster::start(kind);
    cluster.host().get("A");
    cluster.server.damage(&cluster.server.key("doc"));
    assert_eq!(cluster.host().get("A"), canary("first"));
    assert_eq!(cluster.loads(), 2);
    assert_eq!(cluster.host().ask("get A")["shared"], true);
    assert_eq!(cluster.loads(), 2);
}

fn nobody_listens_is_a_short_failure(kind: Kind) {
    let cluster = Cluster::start(kind);
    let mut host = cluster.host_with(json!({"share_url": kind.url(&format!("127.0.0.1:{}", free_port()))}));
    assert_eq!(host.get("A"), canary("first"));
    assert!(host.ask("invalidate-cluster")["error"].as_str().unwrap().contains("Connection refused"));
}

fn tier_that_hangs_does_not_extend_a_call(kind: Kind) {
    let cluster = Cluster::start(kind);
    let mut host = cluster.host_with(json!({"timeout": 2.4}));
    host.get("A");
    // A busy machine may need longer for the first exchange than such a call has for it.
    while rests(&mut host) {
        host.ask("advance 20");
        host.ask("refresh A");
    }
    host.ask("clear");
    cluster.source.vault.always(Fault::Hang);
    let before = cluster.source.vault.requests().len();
    host.send("get A");
    cluster.source.vault.wait_for_requests(before + 1);
    cluster.server.process().pause();
    assert_eq!(host.answer().unwrap()["status"], "ST_TIMEOUT");
    assert!(!rests(&mut host), "the call waited for the tier after its source had timed out");
    host.ask("advance 2");
    host.ask("listen-briefly 0");
    assert!(!rests(&mut host), "a call of a millisecond waited for the tier until that failed");
    cluster.server.process().resume();
}
