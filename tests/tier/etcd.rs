//! An etcd server, with the user that `docs/tier.md` describes.

use std::any::Any;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::common::proxy::{Fault, Proxy, Reply};
use crate::common::servers::process::{Process, free_port};
use crate::common::servers::python_script;
use crate::common::{temp_in_memory, undisturbed};
use crate::server::{Kind, PASSWORD, Server};

pub(crate) struct Etcd {
    process: Option<Process>,
    port: u16,
    peer_port: u16,
    /// One for TLS, which wants a client certificate.
    secured: Option<u16>,
    directory: tempfile::TempDir,
    more: Vec<String>,
}

/// The commands of `docs/tier.md` that create the user.
fn documented_commands() -> Vec<Vec<String>> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tier.md")).unwrap();
    let commands = page.lines().filter_map(|line| line.strip_prefix("etcdctl "));
    let words = |line: &str| line.split(' ').map(|word| word.replace("PASSWORD", PASSWORD)).collect();
    let commands: Vec<Vec<String>> = commands.map(words).collect();
    assert_eq!(commands.len(), 4, "docs/tier.md has the user");
    commands
}

impl Etcd {
    fn new(more: &[&str]) -> Etcd {
        let more = more.iter().map(|word| (*word).to_owned()).collect();
        let (port, peer_port, directory) = (free_port(), free_port(), temp_in_memory());
        Etcd { process: None, port, peer_port, secured: None, directory, more }
    }

    pub(crate) fn start_with(more: &[&str]) -> Etcd {
        let mut etcd = Etcd::new(more);
        etcd.run_empty();
        etcd
    }

    /// One that is also at [`Etcd::secured_url`].
    pub(crate) fn start_secured() -> Etcd {
        let mut etcd = Etcd::new(&[]);
        python_script("certificates.py", &[etcd.directory.path().to_str().unwrap()]);
        etcd.secured = Some(free_port());
        etcd.run_empty();
        etcd
    }

    pub(crate) fn secured_url(&self) -> String {
        format!("etcds://st-secrets:{PASSWORD}@localhost:{}", self.secured.unwrap())
    }

    /// The path of a file that `tests/python/certificates.py` made.
    pub(crate) fn certificate(&self, file: &str) -> String {
        self.directory.path().join(file).to_str().unwrap().to_owned()
    }

    /// One that has an alarm because its space is exceeded.
    pub(crate) fn start_full() -> Etcd {
        let etcd = Etcd::start_with(&["--quota-backend-bytes", "2000000"]);
        let mut fill = etcd.command();
        fill.args(["put", "fill"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        // Its size is that of the last commit to the disk, so more than the quota may be stored.
        for _ in 0..100 {
            let mut filling = fill.spawn().unwrap();
            filling.stdin.take().unwrap().write_all(&[b'x'; 1_000_000]).unwrap();
            if String::from_utf8_lossy(&filling.wait_with_output().unwrap().stderr).contains("space exceeded") {
                return etcd;
            }
        }
        panic!("etcd is not full");
    }

    fn data(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    fn command_of_nobody(&self) -> Command {
        let mut command = Command::new("etcdctl");
        undisturbed(&mut command).env("ETCDCTL_API", "3").args(["--endpoints", &self.address()]);
        command.args(["--command-timeout", "60s", "--dial-timeout", "60s"]);
        command
    }

    /// A command of the administrator.
    fn command(&self) -> Command {
        let mut command = self.command_of_nobody();
        command.args(["--user", &format!("root:{PASSWORD}-admin")]);
        command
    }

    pub(crate) fn enable_users(&self) {
        self.ask_with(self.command_of_nobody(), &["auth", "enable"], b"");
    }

    /// What the administrator gets for a command with this input.
    fn ask_with(&self, mut command: Command, words: &[&str], input: &[u8]) -> String {
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("run: make tools");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    pub(crate) fn ask(&self, words: &[&str]) -> String {
        self.ask_with(self.command(), words, b"")
    }

    /// The number of its last write.
    pub(crate) fn revision(&self) -> String {
        let listed: Value = serde_json::from_str(&self.ask(&["get", "any", "-w", "json"])).unwrap();
        listed["header"]["revision"].to_string()
    }

    fn listed(&self, prefix: &str) -> Vec<Value> {
        let listed: Value = serde_json::from_str(&self.ask(&["get", "--prefix", prefix, "-w", "json"])).unwrap();
        listed["kvs"].as_array().cloned().unwrap_or_default()
    }

    /// The times of its leases in seconds, the shortest first.
    pub(crate) fn leases(&self) -> Vec<u64> {
        let listed = self.ask(&["lease", "list"]);
        let time = |lease: &str| {
            let shown = self.ask(&["lease", "timetolive", lease]);
            shown.split_once("TTL(").and_then(|(_, rest)| rest.split_once("s)")).unwrap().0.parse().unwrap()
        };
        let mut times: Vec<u64> = listed.lines().skip(1).map(time).collect();
        times.sort_unstable();
        times
    }

    /// The last parts of the keys that never end by themselves.
    pub(crate) fn permanent(&self) -> Vec<String> {
        let listed = self.listed("sts1/").into_iter().filter(|entry| entry["lease"].is_null());
        let mut ends: Vec<String> =
            listed.map(|entry| decoded_text(&entry["key"]).rsplit_once('/').unwrap().1.to_owned()).collect();
        ends.sort_unstable();
        ends
    }

    /// Keys with their values.
    fn entries(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let entry = |entry: &Value| (decoded_text(&entry["key"]), decoded(&entry["value"]));
        self.listed(prefix).iter().map(entry).collect()
    }

    fn put(&self, key: &str, value: &[u8]) {
        self.ask_with(self.command(), &["put", key], value);
    }

    fn value(&self, key: &str) -> Vec<u8> {
        self.entries(key).remove(0).1
    }
}

impl Server for Etcd {
    fn kind(&self) -> Kind {
        Kind::Etcd
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    fn stop(&mut self) {
        self.process = None;
    }

    fn run(&mut self) {
        let (client, peer) = (format!("http://{}", self.address()), format!("http://127.0.0.1:{}", self.peer_port));
        let mut command = Command::new("etcd");
        undisturbed(&mut command).arg("--data-dir").arg(self.data()).args(["--bcrypt-cost", "4"]);
        let mut listened = client.clone();
        if let Some(port) = self.secured {
            listened.push_str(&format!(",https://127.0.0.1:{port}"));
            for (option, file) in [("cert", "member.pem"), ("key", "member.key"), ("trusted-ca", "ca.pem")] {
                command.args([format!("--{option}-file"), self.certificate(file)]);
            }
            command.arg("--client-cert-auth");
        }
        command.args(["--listen-client-urls", &listened, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]).args(&self.more);
        let log = self.directory.path().join("log");
        let _ = fs::remove_file(&log);
        let mut process = Process::start(command, &log);
        assert!(process.wait(|log| log.contains("ready to serve client requests")), "{}", process.log());
        self.process = Some(process);
    }

    fn run_empty(&mut self) {
        let _ = fs::remove_dir_all(self.data());
        self.run();
        for words in documented_commands() {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            self.ask_with(self.command_of_nobody(), &words, b"");
        }
        self.ask_with(self.command_of_nobody(), &["user", "add", &format!("root:{PASSWORD}-admin")], b"");
        self.enable_users();
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn keys(&self, end: &str) -> Vec<String> {
        let end = format!("/{end}");
        self.entries("sts1/").into_iter().map(|(key, _)| key).filter(|key| key.ends_with(&end)).collect()
    }

    fn copy(&self, from: &str, to: &str) {
        self.put(to, &self.value(from));
    }

    fn damage(&self, key: &str) {
        let mut value = self.value(key);
        value[138] ^= 1;
        self.put(key, &value);
    }

    fn flush(&self) {
        self.ask(&["del", "--prefix", "sts1/"]);
    }

    fn increase_revision(&self) {
        let base = self.key("base");
        self.put(&format!("{}rev", base.strip_suffix("base").unwrap()), b"anything");
    }

    fn lower_revision(&self) {
        self.put(&self.key("base"), b"1");
    }

    fn silence_hosts(&self, seconds: u64) {
        let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - seconds;
        for (key, value) in self.entries("sts1/").into_iter().filter(|(key, _)| key.contains("/hosts/")) {
            let value = String::from_utf8(value).unwrap();
            self.put(&key, format!("{then} {}", value.split_once(' ').unwrap().1).as_bytes());
        }
    }

    fn forbid(&self) {
        self.ask(&["role", "revoke-permission", "st-secrets", "--prefix=true", "sts1/"]);
    }

    fn seen_during(&self, action: &mut dyn FnMut()) -> Vec<u8> {
        action();
        // Its log has all requests.
        let mut seen = Vec::new();
        read_all(&self.data(), &mut seen);
        seen
    }
}

fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap_or_default()).unwrap()
}

fn decoded_text(value: &Value) -> String {
    String::from_utf8(decoded(value)).unwrap()
}

fn read_all(directory: &Path, seen: &mut Vec<u8>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => read_all(&path, seen),
            false => seen.extend(fs::read(path).unwrap()),
        }
    }
}

pub(crate) fn impostors() -> Vec<(Box<dyn Any>, String)> {
    let answer = |status: u16, body: &str| Fault::from(Reply::new(status).body(body));
    let faults = [
        Fault::Garbage,
        Fault::Huge(1 << 30),
        Fault::Endless,
        Fault::status(404),
        answer(200, "<html>"),
        answer(200, "[]"),
        answer(200, "{}"),
        answer(200, r#"{"token": 1}"#),
        answer(400, "{}"),
    ];
    let impostor = |fault: Fault| {
        let proxy = Proxy::alone();
        proxy.always(fault);
        let address = proxy.url().strip_prefix("http://").unwrap().to_owned();
        (Box::new(proxy) as Box<dyn Any>, address)
    };
    faults.map(impostor).into()
}
