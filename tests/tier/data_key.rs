//! A data key that a key service wraps: Vault's transit engine, or KMS.

use base64::Engine;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::common::servers::{bao, moto, unique};
use crate::common::time::soon;
use crate::server::{Kind, on_each_server};
use crate::worker::{Worker, canary, merged};

on_each_server! {
    transit_key_is_generated_once_and_unwrapped_once_for_each_host,
    host_that_may_not_decrypt_is_on_its_own,
    removed_key_is_replaced_within_its_age,
    later_version_of_the_transit_key_unwraps_the_old_one,
    kms_key_is_generated_once,
    operator_sees_no_data_key,
}

/// A transit key, and the settings of hosts that may use it as `docs/tier.md` says.
struct Transit {
    mount: String,
    name: String,
}

/// The paths of the policy in `docs/tier.md`.
fn documented_policy() -> Vec<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tier.md")).unwrap();
    let paths = page.lines().filter_map(|line| line.strip_prefix("path \"transit/")?.split_once('"'));
    paths.map(|(path, _)| path.to_owned()).collect()
}

impl Transit {
    fn create() -> Transit {
        let (mount, name) = (unique("transit"), "st-secrets".to_owned());
        bao().ask("POST", &format!("sys/mounts/{mount}"), json!({"type": "transit"}));
        bao().ask("POST", &format!("{mount}/keys/{name}"), json!({}));
        Transit { mount, name }
    }

    fn token(&self, cluster: &Cluster, paths: &[String]) -> String {
        let paths: Vec<String> = paths.iter().map(|path| format!("{}/{path}", self.mount)).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let read = bao().policy(&[&format!("secret/data/{}", cluster.source.path)], &["read"]);
        bao().token(&[&read, &bao().policy(&paths, &["update"])], "1h")
    }

    /// A process of a new host, with a token of its own.
    fn host(&self, cluster: &Cluster) -> Worker {
        self.host_with(cluster, &documented_policy())
    }

    fn host_with(&self, cluster: &Cluster, paths: &[String]) -> Worker {
        Worker::start(&self.settings(cluster, paths))
    }

    fn settings(&self, cluster: &Cluster, paths: &[String]) -> Value {
        let mut settings = cluster.settings();
        settings.as_object_mut().unwrap().remove("share_key");
        let own = json!({"vault_token": self.token(cluster, paths), "share_transit": format!("{}/{}", self.mount, self.name)});
        merged(settings, own)
    }

    fn calls(&self, cluster: &Cluster, action: &str) -> usize {
        let path = format!("{}/{action}", self.mount);
        cluster.source.vault.requests().iter().filter(|request| request.path.contains(&path)).count()
    }
}

fn is_shared(host: &mut Worker) -> bool {
    let answer = host.ask("get A");
    assert_eq!(answer["value"], canary("first"), "{answer}");
    answer["shared"] == true
}

fn transit_key_is_generated_once_and_unwrapped_once_for_each_host(kind: Kind) {
    let (cluster, transit) = (Cluster::start(kind), Transit::create());
    let settings: Vec<Value> = (0..3).map(|_| transit.settings(&cluster, &documented_policy())).collect();
    let mut hosts: Vec<Worker> = settings.iter().map(Worker::start).collect();
    assert_eq!(hosts.iter_mut().map(is_shared).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(cluster.loads(), 1);
    assert_eq!((transit.calls(&cluster, "datakey"), transit.calls(&cluster, "decrypt")), (1, 2));
    // Another process of a host uses what the first one has unwrapped.
    let mut again = Worker::start(&settings[1]);
    again.ask("refresh A");
    assert_eq!((transit.calls(&cluster, "datakey"), transit.calls(&cluster, "decrypt")), (1, 2));
    assert_eq!(hosts[0].ask("check")["share"]["state"], "ok");
    assert_eq!(cluster.server.count("key"), 1);
}

fn host_that_may_not_decrypt_is_on_its_own(kind: Kind) {
    let (cluster, transit) = (Cluster::start(kind), Transit::create());
    assert!(!is_shared(&mut transit.host(&cluster)));
    let mut other = transit.host_with(&cluster, &["nothing".to_owned()]);
    assert!(!is_shared(&mut other));
    assert_eq!(cluster.loads(), 2);
    let share = other.ask("check")["share"].clone();
    let detail = share["detail"].as_str().unwrap();
    assert!(share["state"] == "warning" && detail.contains("decrypt/st-secrets"), "{share}");
}

fn removed_key_is_replaced_within_its_age(kind: Kind) {
    let (cluster, transit) = (Cluster::start(kind), Transit::create());
    let (mut one, mut other) = (transit.host(&cluster), transit.host(&cluster));
    assert_eq!((is_shared(&mut one), is_shared(&mut other)), (false, true));
    cluster.server.flush();
    one.ask("advance 3601");
    one.ask("refresh A");
    other.ask("advance 3601");
    assert_eq!(cluster.server.count("key"), 1);
    assert!(is_shared(&mut transit.host(&cluster)));
    assert_eq!(transit.calls(&cluster, "datakey"), 2);
}

fn later_version_of_the_transit_key_unwraps_the_old_one(kind: Kind) {
    let (cluster, transit) = (Cluster::start(kind), Transit::create());
    assert!(!is_shared(&mut transit.host(&cluster)));
    let key = format!("{}/keys/{}", transit.mount, transit.name);
    bao().ask("POST", &format!("{key}/rotate"), json!({}));
    assert!(is_shared(&mut transit.host(&cluster)));
    // Without the old version, the entry has to be removed, which the message says.
    bao().ask("POST", &format!("{key}/config"), json!({"min_decryption_version": 2}));
    let mut late = transit.host(&cluster);
    assert!(!is_shared(&mut late));
    let share = late.ask("check")["share"].to_string();
    assert!(share.contains("remove the entry"), "{share}");
}

fn kms_key_is_generated_once(kind: Kind) {
    let cluster = Cluster::start(kind);
    let key = moto().call("kms", "create_key", json!({}));
    let key = key["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
    let host = |actions: &[&str]| {
        let mut settings = cluster.settings();
        settings.as_object_mut().unwrap().remove("share_key");
        let settings = merged(settings, json!({"share_kms_key": key}));
        let variables = moto().variables(&moto().user(actions));
        let words: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let words: Vec<&str> = ["env"].into_iter().chain(words.iter().map(String::as_str)).collect();
        Worker::start_under(&words, &settings)
    };
    let permitted = ["kms:GenerateDataKey", "kms:Decrypt"];
    let (mut one, mut other, mut third) = (host(&permitted), host(&permitted), host(&["kms:DescribeKey"]));
    assert!(!is_shared(&mut one), "{}", one.ask("check"));
    assert!(is_shared(&mut other), "{}", other.ask("check"));
    assert!(!is_shared(&mut third));
    assert_eq!(cluster.loads(), 2);
    let share = third.ask("check")["share"].to_string();
    assert!(share.contains("allow kms:Decrypt"), "{share}");
    assert_eq!(one.ask("check")["share"]["state"], "ok");
}

fn operator_sees_no_data_key(kind: Kind) {
    let (cluster, transit) = (Cluster::start(kind), Transit::create());
    let seen = cluster.server.seen_during(&mut || {
        transit.host(&cluster).get("A");
    });
    let has = |text: &[u8]| seen.windows(text.len()).any(|window| window == text);
    let start = b"vault:v1:";
    let at = seen.windows(start.len()).rposition(|window| window == start).expect("the wrapped key is there");
    let is_of_base64 = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let end = seen[at + start.len()..].iter().take_while(is_of_base64).count();
    let wrapped = String::from_utf8(seen[at..at + start.len() + end].to_vec()).unwrap();
    // Its length is known; what follows it in a file may look like base64.
    let wrapped = &wrapped[..start.len() + 80];
    let path = format!("{}/decrypt/{}", transit.mount, transit.name);
    let answer = bao().ask("POST", &path, json!({"ciphertext": wrapped}));
    let encoded = answer["data"]["plaintext"].as_str().unwrap();
    let key = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
    assert!(key.len() == 32 && !has(encoded.as_bytes()) && !has(&key));
    assert!(!has(b"canary-"));
}

#[test]
fn settings_are_checked() {
    let refused = |more: Value| {
        let mut config = st_secrets::Config::new();
        let settings = merged(json!({"share": "host", "providers": ["env"]}), more);
        config.parse(&settings.to_string()).unwrap();
        st_secrets::Manager::open(&config).err().unwrap().message().to_owned()
    };
    let (url, key) = ("redis://localhost", crate::cluster::KEY);
    for (settings, expected) in [
        (json!({"share_transit": "transit/x"}), "`share_transit` needs `share_url`"),
        (json!({"share_url": url, "share_transit": "x"}), "must be MOUNT/NAME"),
        (json!({"share_url": url, "share_transit": "a/b", "share_key": key}), "cannot be combined with `share_key`"),
        (
            json!({"share_url": url, "share_transit": "a/b", "share_kms_key": "x"}),
            "cannot be combined with `share_transit`",
        ),
    ] {
        let message = refused(settings);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn data_key_in_redis_is_not_evicted_and_ends() {
    let (cluster, transit) = (Cluster::start(Kind::Redis), Transit::create());
    let ask = |words: &[&str]| crate::redis::ask(&cluster.server.address(), words);
    let mut one = transit.host(&cluster);
    assert!(!is_shared(&mut one));
    ask(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    ask(&["CONFIG", "SET", "maxmemory", "1"]);
    soon(|| cluster.server.count("doc") == 0);
    ask(&["CONFIG", "SET", "maxmemory", "0"]);
    one.ask("refresh A");
    assert!(is_shared(&mut transit.host(&cluster)));
    assert_eq!(transit.calls(&cluster, "datakey"), 1);
    let key = cluster.server.key("key");
    let stored = ask(&["GET", &key]);
    ask(&["SET", &key, &format!("1\n{}", stored.split_once('\n').unwrap().1)]);
    transit.host(&cluster).ask("get A");
    assert_eq!(transit.calls(&cluster, "datakey"), 2);
}
