//! What only etcd has: several members, tokens, a history, client certificates, a limit of sizes.

use serde_json::json;

use crate::cluster::Cluster;
use crate::common::proxy::{Fault, Proxy};
use crate::common::servers::process::free_port;
use crate::etcd::Etcd;
use crate::server::{Kind, Server};
use crate::worker::{canary, merged};

fn bare(proxy: &Proxy) -> String {
    proxy.url().strip_prefix("http://").unwrap().to_owned()
}

/// Two hosts with these settings share what one of them has loaded.
#[track_caller]
fn assert_shared(cluster: &Cluster, settings: &serde_json::Value) {
    cluster.host_with(settings.clone()).get("A");
    let before = cluster.loads();
    let answer = cluster.host_with(settings.clone()).ask("get A");
    assert_eq!((&answer["value"], &answer["shared"]), (&json!(canary("first")), &json!(true)), "{answer}");
    assert_eq!(cluster.loads(), before);
}

#[test]
fn members_that_fail_are_skipped() {
    let cluster = Cluster::start(Kind::Etcd);
    let address = cluster.server.address();
    let (silent, unavailable) = (Proxy::to(&address), Proxy::to(&address));
    silent.always(Fault::Hang);
    unavailable.always(Fault::status(503));
    let closed = format!("127.0.0.1:{}", free_port());
    // A host begins with a random one.
    let members = format!("{},{closed},{address},{}", bare(&silent), bare(&unavailable));
    for _ in 0..4 {
        assert_shared(&cluster, &json!({"share_url": Kind::Etcd.url(&members)}));
    }
}

#[test]
fn failure_of_all_members_is_that_of_the_tier() {
    let cluster = Cluster::start(Kind::Etcd);
    let members = format!("127.0.0.1:{},127.0.0.1:{}", free_port(), free_port());
    let mut host = cluster.host_with(json!({"share_url": Kind::Etcd.url(&members)}));
    assert_eq!(host.get("A"), canary("first"));
    let share = host.ask("check")["share"].to_string();
    assert!(share.contains("Connection refused"), "{share}");
}

#[test]
fn token_is_used_until_the_server_rejects_it() {
    let etcd = Etcd::start_with(&[]);
    let cluster = Cluster::start(Kind::Redis);
    let proxy = Proxy::to(&etcd.address());
    let logins = || proxy.requests().iter().filter(|request| request.path == "/v3/auth/authenticate").count();
    let mut host = cluster.host_with(json!({"share_url": Kind::Etcd.url(&bare(&proxy))}));
    for _ in 0..3 {
        host.ask("refresh A");
    }
    assert_eq!(logins(), 1);
    // The tokens end with it.
    etcd.ask(&["auth", "disable"]);
    etcd.enable_users();
    host.ask("refresh A");
    assert_eq!(logins(), 2);
    assert!(host.ask("share")["tier"]["retry_in"].is_null());
}

#[test]
fn all_but_the_revision_ends_by_itself() {
    let etcd = Etcd::start_with(&[]);
    let cluster = Cluster::start(Kind::Redis);
    let url = json!({"share_url": etcd.url()});
    let mut host = cluster.host_with(url.clone());
    host.get("A");
    assert_eq!((etcd.count("doc"), etcd.permanent()), (1, vec!["base".to_owned()]));
    host.ask("invalidate-cluster-briefly");
    // The document is older than the revision, so another host loads.
    let requests = cluster.source.vault.requests().len();
    cluster.source.vault.always(Fault::Hang);
    let mut loading = cluster.host_with(url);
    loading.send("get A");
    cluster.source.vault.wait_for_requests(requests + 1);
    assert_eq!((etcd.count("load"), etcd.permanent()), (1, vec!["base".to_owned(), "rev".to_owned()]));
}

#[test]
fn compacted_history_changes_nothing() {
    let etcd = Etcd::start_with(&[]);
    let cluster = Cluster::start(Kind::Redis);
    let url = json!({"share_url": etcd.url()});
    assert_shared(&cluster, &url);
    etcd.ask(&["compact", &etcd.revision()]);
    assert_shared(&cluster, &url);
    assert_eq!(cluster.loads(), 1);
}

#[test]
fn document_that_is_too_large_is_not_shared_and_costs_nothing_else() {
    let cluster = Cluster::with(Box::new(Etcd::start_with(&["--max-request-bytes", "1000"])));
    cluster.source.put(&"x".repeat(2000));
    let mut hosts = [cluster.host(), cluster.host()];
    for host in &mut hosts {
        assert!(host.get("A").len() > 2000);
        assert!(host.ask("share")["tier"]["retry_in"].is_null());
    }
    assert_eq!(cluster.loads(), 2);
}

#[test]
fn client_certificate_is_shown() {
    let etcd = Etcd::start_secured();
    let trusting = json!({"share_url": etcd.secured_url(), "share_ca_cert": etcd.certificate("ca.pem")});
    let showing = |client: &str| {
        let file = |end| etcd.certificate(&format!("{client}.{end}"));
        merged(trusting.clone(), json!({"share_client_cert": file("pem"), "share_client_key": file("key")}))
    };
    let cluster = Cluster::start(Kind::Redis);
    assert_shared(&cluster, &showing("nameless"));
    for (settings, reason) in [(trusting.clone(), "our client certificate"), (showing("client"), "a common name")] {
        let mut host = cluster.host_with(settings);
        assert_eq!(host.get("A"), canary("first"));
        let share = host.ask("check")["share"].to_string();
        assert!(share.contains(reason), "{share}");
    }
}

#[test]
fn user_without_authentication_is_reported() {
    let etcd = Etcd::start_with(&[]);
    etcd.ask(&["auth", "disable"]);
    let (url, nobody) = (etcd.url(), format!("etcd://{}", etcd.address()));
    let cluster = Cluster::with(Box::new(etcd));
    assert_shared(&cluster, &json!({"share_url": nobody}));
    let share = cluster.host_with(json!({"share_url": url})).ask("check")["share"].to_string();
    assert!(share.contains("has no users"), "{share}");
}
