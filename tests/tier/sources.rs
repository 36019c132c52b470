//! Sources that show a call which listens what has changed: metadata of OpenBao, and events of AWS in a queue. Sources
//! whose documents have a lease.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::{Value, json};

use crate::cluster::{Cluster, KEY};
use crate::common::proxy::Proxy;
use crate::common::servers::{Key, bao, moto, unique};
use crate::common::temp_in_memory;
use crate::common::time::soon;
use crate::server::{Kind, on_each_server};
use crate::worker::{Worker, canary, merged};

on_each_server! {
    new_version_in_openbao_is_announced_to_all_hosts,
    one_host_looks_at_the_metadata_until_it_ends,
    host_looks_at_the_metadata_itself_while_the_tier_is_down,
    event_in_the_queue_is_announced_to_all_hosts,
    each_host_has_a_lease_of_its_own,
}

/// Settings with a token that may read the secret of the cluster and its metadata.
fn with_metadata(cluster: &Cluster) -> Value {
    let path = &cluster.source.path;
    let policy = bao().policy(&[&format!("secret/data/{path}"), &format!("secret/metadata/{path}")], &["read"]);
    json!({"vault_metadata_interval": 0.1, "vault_token": bao().token(&[&policy], "1h")})
}

/// Lets a worker listen from now on.
fn listen(worker: &mut Worker) -> u64 {
    let before = worker.ask("generation").as_u64().unwrap();
    worker.send(&format!("listen {before}"));
    before
}

fn new_version_in_openbao_is_announced_to_all_hosts(kind: Kind) {
    let cluster = Cluster::start(kind);
    let mut one = cluster.host_with(with_metadata(&cluster));
    let mut other = cluster.host_with(with_metadata(&cluster));
    assert_eq!((one.get("A"), other.get("A")), (canary("first"), canary("first")));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                one.ask("listen-for-a-second");
            }
        });
        for round in ["second", "third"] {
            cluster.put(round);
            // Its next look at the tier is due within a second.
            soon(|| other.get("A") == canary(round));
        }
        done.store(true, Relaxed);
    });
    assert_eq!(one.get("A"), canary("third"));
}

fn one_host_looks_at_the_metadata_until_it_ends(kind: Kind) {
    let cluster = Cluster::start(kind);
    let looks = |settings: &Value| {
        let token = settings["vault_token"].as_str().unwrap().to_owned();
        let is_look = move |request: &crate::common::proxy::Request| {
            request.path.contains("/metadata/") && request.header("X-Vault-Token") == Some(&token)
        };
        move |cluster: &Cluster| cluster.source.vault.requests().iter().filter(|request| is_look(request)).count()
    };
    let (of_one, of_other) = (with_metadata(&cluster), with_metadata(&cluster));
    let (mut one, mut other) = (cluster.host_with(of_one.clone()), cluster.host_with(of_other.clone()));
    assert_eq!((one.get("A"), other.get("A")), (canary("first"), canary("first")));
    let (of_one, of_other) = (looks(&of_one), looks(&of_other));
    listen(&mut one);
    soon(|| of_one(&cluster) > 0);
    listen(&mut other);
    let before = of_one(&cluster);
    soon(|| of_one(&cluster) > before + 5);
    assert_eq!(of_other(&cluster), 0, "the first host has the lead");
    drop(one);
    soon(|| of_other(&cluster) > 0);
    cluster.put("second");
    assert!(other.answer().is_some());
    assert_eq!(other.get("A"), canary("second"));
}

fn each_host_has_a_lease_of_its_own(kind: Kind) {
    let (cluster, mount) = (Cluster::start(kind), unique("pki"));
    bao().ask("POST", &format!("sys/mounts/{mount}"), json!({"type": "pki"}));
    let root = json!({"common_name": "root.test", "key_type": "ec"});
    bao().ask("POST", &format!("{mount}/root/generate/internal"), root);
    let role = json!({"allow_any_name": true, "key_type": "ec", "ttl": "1h", "generate_lease": true});
    bao().ask("POST", &format!("{mount}/roles/web"), role);
    let table = json!({
        "vault_dynamic": format!("{mount}/issue/web"), "parameters": {"common_name": "app.test"}, "revoke": true,
        "as": {"serial_number": "SERIAL"},
    });
    let settings = json!({"providers": [table], "vault_token": "root"});
    let mut hosts = [cluster.host_with(settings.clone()), cluster.host_with(settings)];
    let serials = hosts.each_mut().map(|host| host.get("SERIAL"));
    assert_ne!(serials[0], serials[1]);
    assert_eq!(cluster.server.count("doc"), 0);
}

fn host_looks_at_the_metadata_itself_while_the_tier_is_down(kind: Kind) {
    let mut cluster = Cluster::start(kind);
    let mut one = cluster.host_with(with_metadata(&cluster));
    let mut other = cluster.host();
    assert_eq!((one.get("A"), other.get("A")), (canary("first"), canary("first")));
    let revision = |host: &mut Worker| host.ask("share")["tier"]["revision"].as_u64().unwrap();
    let before = revision(&mut other);
    cluster.server.stop();
    cluster.put("second");
    let is_look = |request: &crate::common::proxy::Request| request.path.contains("/metadata/");
    let has_looked = || cluster.source.vault.requests().iter().any(is_look);
    soon(|| {
        one.ask("listen-for-a-second");
        has_looked()
    });
    soon(|| one.get("A") == canary("second"));
    cluster.server.run();
    one.ask("advance 20");
    listen(&mut one);
    soon(|| {
        assert!(["first", "second"].map(canary).contains(&other.get("A")));
        revision(&mut other) > before
    });
    assert_eq!(other.get("A"), canary("second"));
    assert!(one.answer().is_some());
}

/// A secret of moto, a queue, and a rule of EventBridge between them.
struct Aws {
    secret: String,
    queue: String,
    rule: String,
    proxy: Proxy,
}

impl Aws {
    fn start() -> Aws {
        let (secret, rule) = (unique("secret"), unique("rule"));
        moto().secret(&secret, &json!({"A": canary("first")}).to_string());
        let queue = moto().call("sqs", "create_queue", json!({"QueueName": unique("queue")}))["QueueUrl"].clone();
        let attributes = json!({"QueueUrl": queue, "AttributeNames": ["QueueArn"]});
        let arn = moto().call("sqs", "get_queue_attributes", attributes)["Attributes"]["QueueArn"].clone();
        let (kinds, detail) = (["Secret Label Updated"], json!({"name": [secret]}));
        let pattern = json!({"source": ["aws.secretsmanager"], "detail-type": kinds, "detail": detail});
        moto().call("events", "put_rule", json!({"Name": rule, "EventPattern": pattern.to_string()}));
        let targets = json!({"Rule": rule, "Targets": [{"Id": "queue", "Arn": arn}]});
        moto().call("events", "put_targets", targets);
        Aws { secret, queue: queue.as_str().unwrap().to_owned(), rule, proxy: Proxy::to(moto().address()) }
    }

    /// Rotates the secret. moto sends no event of it, AWS does.
    fn rotate(&self, value: &str) {
        let version = moto().secret(&self.secret, &json!({"A": canary(value)}).to_string());
        let detail = json!({"name": self.secret, "labelUpdated": "AWSCURRENT", "versionId": version}).to_string();
        let entry = json!({"Source": "aws.secretsmanager", "DetailType": "Secret Label Updated", "Detail": detail});
        moto().call("events", "put_events", json!({"Entries": [entry]}));
    }

    fn settings(&self) -> Value {
        json!({
            "providers": ["aws"], "aws_secret_name": self.secret, "aws_queue_url": self.queue,
            "share": "host", "timeout": 60, "cache_ttl": 30_000,
        })
    }

    /// A process of the owner of this key.
    fn worker(&self, key: &Key, settings: &Value) -> Worker {
        let mut variables = moto().variables(key);
        variables.push(("AWS_ENDPOINT_URL".to_owned(), self.proxy.url()));
        let variables: Vec<String> = variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let words: Vec<&str> = ["env"].into_iter().chain(variables.iter().map(String::as_str)).collect();
        Worker::start_under(&words, settings)
    }

    fn requests(&self, action: &str) -> usize {
        let is_wanted = |request: &&crate::common::proxy::Request| {
            request.header("x-amz-target").is_some_and(|target| target.ends_with(action))
        };
        self.proxy.requests().iter().filter(is_wanted).count()
    }

    /// How many messages are in the queue, whether they are being read or not.
    fn messages(&self) -> u64 {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let asked = json!({"QueueUrl": self.queue, "AttributeNames": names});
        let attributes = moto().call("sqs", "get_queue_attributes", asked)["Attributes"].clone();
        names.iter().map(|name| attributes[name].as_str().unwrap().parse::<u64>().unwrap()).sum()
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        let _ = moto().ask("events", "remove_targets", json!({"Rule": self.rule, "Ids": ["queue"]}));
    }
}

/// What the documentation lists.
const ACTIONS: [&str; 3] = ["secretsmanager:GetSecretValue", "sqs:ReceiveMessage", "sqs:DeleteMessage"];

fn event_in_the_queue_is_announced_to_all_hosts(kind: Kind) {
    let (aws, server, key) = (Aws::start(), kind.start(), moto().user(&ACTIONS));
    let directories = [temp_in_memory(), temp_in_memory()];
    let mut hosts = directories.each_ref().map(|directory| {
        let tier = json!({"share_dir": directory.path().join("share"), "share_url": server.url(), "share_key": KEY});
        aws.worker(&key, &merged(aws.settings(), tier))
    });
    hosts.iter_mut().for_each(|host| assert_eq!(host.get("A"), canary("first")));
    let [one, other] = &mut hosts;
    for round in ["second", "third"] {
        let before = listen(one);
        aws.rotate(round);
        assert!(one.answer().unwrap().as_u64().unwrap() > before);
        soon(|| other.get("A") == canary(round));
        assert_eq!(one.get("A"), canary(round));
        soon(|| aws.messages() == 0);
    }
    assert_eq!(aws.requests("GetSecretValue"), 3, "one load for the cluster after each change");
}

#[test]
fn event_in_the_queue_reaches_the_processes_of_a_host_without_a_tier() {
    let (aws, key, directory) = (Aws::start(), moto().user(&ACTIONS), temp_in_memory());
    let settings = merged(aws.settings(), json!({"share_dir": directory.path().join("share")}));
    let (mut one, mut other) = (aws.worker(&key, &settings), aws.worker(&key, &settings));
    assert_eq!((one.get("A"), other.get("A")), (canary("first"), canary("first")));
    listen(&mut one);
    aws.rotate("second");
    assert!(one.answer().is_some());
    assert_eq!((other.get("A"), one.get("A")), (canary("second"), canary("second")));
    assert_eq!(aws.requests("GetSecretValue"), 2);
}

#[test]
fn change_is_noticed_by_a_process_that_shares_nothing() {
    let (aws, key) = (Aws::start(), moto().user(&ACTIONS));
    let mut alone = aws.worker(&key, &merged(aws.settings(), json!({"share": "off"})));
    assert_eq!(alone.get("A"), canary("first"));
    listen(&mut alone);
    aws.rotate("second");
    assert!(alone.answer().is_some());
    assert_eq!(alone.get("A"), canary("second"));
}

#[test]
fn message_remains_in_the_queue_until_it_was_announced() {
    let (aws, mut server, key) = (Aws::start(), Kind::Redis.start(), moto().user(&ACTIONS));
    let directory = temp_in_memory();
    let tier = json!({"share_dir": directory.path().join("share"), "share_url": server.url(), "share_key": KEY});
    let mut host = aws.worker(&key, &merged(aws.settings(), tier));
    assert_eq!(host.get("A"), canary("first"));
    // The host leads, and the tier fails before the change is announced.
    host.ask("listen-briefly 0");
    listen(&mut host);
    soon(|| aws.requests("ReceiveMessage") > 0);
    server.stop();
    aws.rotate("second");
    assert_eq!(aws.messages(), 1);
    server.run();
    assert!(host.answer().is_some());
    assert_eq!(host.get("A"), canary("second"));
    soon(|| aws.messages() == 0);
}

/// The advice of the provider in `check`.
fn provider(checked: &Value) -> &Value {
    &checked["providers"][0]
}

#[test]
fn source_of_changes_that_fails_is_reported_and_no_failure_of_a_get() {
    let (aws, key) = (Aws::start(), moto().user(&["secretsmanager:GetSecretValue"]));
    let settings = merged(aws.settings(), json!({"share": "off"}));
    let mut denied = aws.worker(&key, &settings);
    assert_eq!(denied.get("A"), canary("first"));
    listen(&mut denied);
    soon(|| aws.requests("ReceiveMessage") == 1);
    // After ten seconds of the clock, or never within this test.
    let mut allowed = aws.worker(&moto().user(&ACTIONS), &settings);
    assert_eq!(provider(&allowed.ask("check"))["state"], "ok");
    let checked = aws.worker(&key, &settings).ask("check");
    let found = provider(&checked);
    assert_eq!(found["state"], "warning", "{checked}");
    let detail = found["detail"].as_str().unwrap();
    for part in ["calls that listen do not see changes", "ReceiveMessage", aws.queue.as_str()] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
}

#[test]
fn metadata_that_is_denied_is_reported_and_no_failure_of_a_get() {
    let cluster = Cluster::start(Kind::Redis);
    let mut denied = cluster.host_with(json!({"vault_metadata_interval": 1}));
    assert_eq!(denied.get("A"), canary("first"));
    let checked = denied.ask("check");
    let found = provider(&checked);
    assert_eq!(found["state"], "warning", "{checked}");
    for part in ["calls that listen do not see changes", &format!("secret/metadata/{}", cluster.source.path)] {
        assert!(found["detail"].as_str().unwrap().contains(part), "{found}");
    }
    let mut allowed = cluster.host_with(with_metadata(&cluster));
    allowed.get("A");
    assert!(!allowed.ask("check").to_string().contains("calls that listen"));
    let before = denied.ask("generation");
    // It returns when another host invalidates, and gets continue.
    denied.send(&format!("listen {before}"));
    let is_look = |path: &str| path.contains("/metadata/");
    soon(|| cluster.source.vault.requests().iter().filter(|request| is_look(&request.path)).count() > 2);
    cluster.put("second");
    allowed.ask("invalidate-cluster");
    assert!(denied.answer().is_some());
    assert_eq!(denied.get("A"), canary("second"));
}
