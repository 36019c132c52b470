//! Hosts with a network of their own, which is cut from the server of the tier while a secret is rotated.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use serde_json::json;

use crate::cluster::{Cluster, KEY};
use crate::common::servers::{Bao, unique};
use crate::common::time::soon;
use crate::common::{temp_in_memory, undisturbed};
use crate::redis::Redis;
use crate::server::{Kind, Server};
use crate::worker::{Worker, canary};

/// A network namespace, with one connection to this machine.
struct Network {
    name: String,
    /// The first three numbers of its addresses.
    net: String,
}

fn tool(words: &str) -> bool {
    let mut words = words.split(' ');
    let mut command = Command::new(words.next().unwrap());
    undisturbed(command.args(words)).output().is_ok_and(|output| output.status.success())
}

impl Network {
    /// `None` if this user may make none.
    fn start() -> Option<Network> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Relaxed));
        let name = format!("stt{process}n{number}");
        // Each test process has its own, of those with the same last three digits one after the other.
        let net = format!("10.{}.{}", 64 + process % 64, process / 64 % 64 * 4 + u32::from(number));
        if !tool(&format!("ip netns add {name}")) {
            return None;
        }
        let network = Network { name, net };
        let Network { name, net } = &network;
        let commands = [
            format!("ip link add {name} type veth peer name eth0 netns {name}"),
            format!("ip address add {net}.1/24 dev {name}"),
            format!("ip link set {name} up"),
            format!("ip netns exec {name} ip address add {net}.2/24 dev eth0"),
            format!("ip netns exec {name} ip link set eth0 up"),
            format!("ip netns exec {name} ip link set lo up"),
        ];
        if let Some(failed) = commands.iter().find(|command| !tool(command)) {
            println!("this machine cannot connect network namespaces: {failed}");
            return None;
        }
        if !tool(&format!("tc qdisc add dev {name} root netem delay 5ms loss 1%")) {
            println!("this kernel has no netem: the network has no delay and no loss");
        }
        Some(network)
    }

    fn cut(&self) {
        assert!(tool(&format!("ip link set {} down", self.name)));
    }

    fn heal(&self) {
        assert!(tool(&format!("ip link set {} up", self.name)));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        tool(&format!("ip netns del {}", self.name));
    }
}

/// Stops the readers, whether or not the test has failed.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn number(value: &str) -> u64 {
    value.split('-').nth(1).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("a wrong value: {value}"))
}

#[test]
fn partitioned_host_is_silent_and_returns_no_wrong_value() {
    let (Some(near), Some(far)) = (Network::start(), Network::start()) else {
        println!("skipped: this user may not make network namespaces");
        return;
    };
    // The source is reached in each network, so that only the tier is cut off.
    let (bao, redis, path) = (Bao::start_socket(), Redis::start_with(&["--bind", "0.0.0.0"]), unique("partition"));
    let put = |number: u64| bao.put("secret", &path, &json!({"A": canary(&number.to_string())}));
    put(0);
    let directories = [temp_in_memory(), temp_in_memory(), temp_in_memory()];
    let settings = |at: usize, address: &str| {
        json!({
            "providers": ["vault"], "vault_url": bao.socket_url(), "vault_path": path, "vault_token": bao.root(),
            "vault_kv_version": "2", "share": "host", "share_dir": directories[at].path().join("share"),
            "share_url": Kind::Redis.url(&redis.address().replace("127.0.0.1", address)), "share_key": KEY,
            "timeout": 20, "cache_ttl": 30_000,
        })
    };
    let within = |network: &Network, at: usize| {
        let address = format!("{}.1", network.net);
        Worker::start_under(&["ip", "netns", "exec", &network.name], &settings(at, &address))
    };
    let mut operator = Worker::start(&settings(0, "127.0.0.1"));
    let (mut near_host, mut far_host) = (within(&near, 1), within(&far, 2));
    let done = AtomicBool::new(false);
    // Reads all the time: each get succeeds, and none goes back to an older value.
    let follow = |host: &mut Worker| {
        let mut last = 0;
        while !done.load(Relaxed) {
            let value = number(&host.get("A"));
            assert!(value >= last, "{value} after {last}");
            last = value;
        }
        last
    };
    let size = |report: &serde_json::Value, member: &str| report[member].as_array().unwrap().len();
    std::thread::scope(|scope| {
        let at_end = AtEnd(&done);
        let readers = [scope.spawn(|| follow(&mut near_host)), scope.spawn(|| follow(&mut far_host))];
        // All hosts are known once they have looked at the tier.
        soon(|| size(&operator.ask("invalidate-cluster"), "confirmed") == 3);
        for rotation in 1..=3 {
            put(rotation);
            let report = operator.ask("invalidate-cluster");
            assert_eq!((size(&report, "confirmed"), size(&report, "silent")), (3, 0), "{report}");
        }
        far.cut();
        for rotation in 4..=6 {
            put(rotation);
            let report = operator.ask("invalidate-cluster-briefly");
            assert_eq!((size(&report, "confirmed"), size(&report, "silent")), (2, 1), "{report}");
            assert_eq!(number(&operator.get("A")), rotation);
        }
        far.heal();
        put(7);
        soon(|| size(&operator.ask("invalidate-cluster"), "confirmed") == 3);
        drop(at_end);
        let lasts = readers.map(|reader| reader.join().unwrap());
        assert!(lasts.iter().all(|last| *last >= 6), "{lasts:?}");
    });
    assert_eq!((number(&near_host.get("A")), number(&far_host.get("A"))), (7, 7));
}

#[test]
fn check_of_a_partitioned_host_names_the_tier() {
    let Some(network) = Network::start() else {
        println!("skipped: this user may not make network namespaces");
        return;
    };
    let cluster = Cluster::with(Box::new(Redis::start_with(&["--bind", "0.0.0.0"])));
    let (directory, address) = (temp_in_memory(), format!("{}.1", network.net));
    let url = Kind::Redis.url(&cluster.server.address().replace("127.0.0.1", &address));
    let settings = json!({
        "providers": ["env"], "share": "host", "share_dir": directory.path().join("share"), "share_url": url,
        "share_key": KEY, "timeout": 10,
    });
    let mut host = Worker::start_under(&["ip", "netns", "exec", &network.name], &settings);
    assert_eq!(host.ask("check")["share"]["state"], "ok");
    network.cut();
    let share = host.ask("check")["share"].clone();
    assert_eq!(share["state"], "warning", "{share}");
    assert!(share["detail"].as_str().unwrap().contains(&address), "{share}");
    network.heal();
    soon(|| host.ask("check")["share"]["state"] == "ok");
}
