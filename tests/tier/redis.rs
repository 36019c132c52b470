//! A Redis server, with the user that `docs/tier.md` describes.

use std::any::Any;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

use crate::common::servers::process::{Process, free_port};
use crate::common::temp;
use crate::common::time::soon;
use crate::common::undisturbed;
use crate::server::{Kind, PASSWORD, Server};

pub(crate) struct Redis {
    process: Option<Process>,
    port: u16,
    directory: tempfile::TempDir,
    more: Vec<String>,
}

/// The line of the ACL file in `docs/tier.md`.
fn documented_permissions() -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tier.md")).unwrap();
    let line = page.lines().find(|line| line.starts_with("user st-secrets ")).expect("docs/tier.md has the user");
    line.replace("PASSWORD", PASSWORD)
}

impl Redis {
    pub(crate) fn start_with(more: &[&str]) -> Redis {
        let directory = temp();
        let acl = format!("user default on >{PASSWORD}-admin ~* &* +@all\n{}\n", documented_permissions());
        std::fs::write(directory.path().join("users.acl"), acl).unwrap();
        let more = more.iter().map(|word| (*word).to_owned()).collect();
        let mut redis = Redis { process: None, port: free_port(), directory, more };
        redis.run();
        redis
    }

    /// The number of connections of the user.
    pub(crate) fn clients(&self) -> usize {
        self.ask(&["CLIENT", "LIST"]).lines().filter(|line| line.contains("user=st-secrets")).count()
    }

    fn ask(&self, words: &[&str]) -> String {
        ask(&self.address(), words)
    }
}

/// What the administrator of the server at this address gets for a command.
pub(crate) fn ask(address: &str, words: &[&str]) -> String {
    let (_, port) = address.rsplit_once(':').unwrap();
    let mut command = Command::new("redis-cli");
    command.args(["-p", port, "--no-auth-warning", "-a", &format!("{PASSWORD}-admin")]);
    let output = undisturbed(command.args(words)).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

impl Server for Redis {
    fn kind(&self) -> Kind {
        Kind::Redis
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    fn stop(&mut self) {
        self.process = None;
    }

    fn run(&mut self) {
        let mut command = Command::new("redis-server");
        let (port, path) = (self.port.to_string(), self.directory.path());
        command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--dir", path.to_str().unwrap()]);
        command.args(["--aclfile", path.join("users.acl").to_str().unwrap()]);
        command.args(["--unixsocket", path.join("redis.sock").to_str().unwrap()]);
        command.args(&self.more);
        let log = path.join(format!("log-{}", std::process::id()));
        let _ = std::fs::remove_file(&log);
        let mut process = Process::start(command, &log);
        assert!(process.wait(|log| log.contains("eady to accept connections")), "{}", process.log());
        self.process = Some(process);
    }

    fn run_empty(&mut self) {
        // It stores nothing on the disk.
        self.run();
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn socket(&self) -> Option<String> {
        Some(format!("unix://st-secrets:{PASSWORD}@{}", self.directory.path().join("redis.sock").display()))
    }

    fn keys(&self, end: &str) -> Vec<String> {
        self.ask(&["KEYS", &format!("*:{end}")]).lines().map(str::to_owned).collect()
    }

    fn copy(&self, from: &str, to: &str) {
        assert_eq!(self.ask(&["COPY", from, to, "REPLACE"]), "1");
    }

    fn damage(&self, key: &str) {
        self.ask(&["SETRANGE", key, "130", "damage"]);
    }

    fn flush(&self) {
        self.ask(&["FLUSHALL"]);
    }

    fn increase_revision(&self) {
        self.ask(&["INCR", &self.key("rev")]);
    }

    fn lower_revision(&self) {
        self.ask(&["SET", &self.key("rev"), "1"]);
    }

    fn silence_hosts(&self, seconds: u64) {
        let (key, now) = (self.key("hosts"), self.ask(&["TIME"]));
        let then = now.lines().next().unwrap().parse::<u64>().unwrap() - seconds;
        for host in self.ask(&["HKEYS", &key]).lines() {
            let confirmed = self.ask(&["HGET", &key, host]);
            let confirmed = confirmed.split_once(' ').unwrap().1;
            self.ask(&["HSET", &key, host, &format!("{then} {confirmed}")]);
        }
    }

    fn forbid(&self) {
        self.ask(&["ACL", "SETUSER", "st-secrets", "-eval"]);
    }

    fn seen_during(&self, action: &mut dyn FnMut()) -> Vec<u8> {
        let mut monitor = Command::new("redis-cli");
        monitor.args(["-p", &self.port.to_string(), "--no-auth-warning", "-a", &format!("{PASSWORD}-admin")]);
        let mut monitor = monitor.arg("MONITOR").stdout(Stdio::piped()).spawn().unwrap();
        soon(|| self.ask(&["CLIENT", "LIST"]).contains("cmd=monitor"));
        action();
        self.ask(&["CONFIG", "SET", "rdbcompression", "no"]);
        self.ask(&["SAVE"]);
        monitor.kill().unwrap();
        let mut seen = Vec::new();
        monitor.stdout.take().unwrap().read_to_end(&mut seen).unwrap();
        monitor.wait().unwrap();
        assert!(seen.windows(4).any(|window| window == b"EVAL"));
        seen.extend(std::fs::read(self.directory.path().join("dump.rdb")).unwrap());
        seen
    }
}

pub(crate) fn impostors() -> Vec<(Box<dyn Any>, String)> {
    let impostor = |garbage: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            for stream in listener.incoming() {
                // The client may be gone.
                let _ = stream.unwrap().write_all(garbage);
            }
        });
        (Box::new(server) as Box<dyn Any>, address)
    };
    [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[b'x'; 100_000], b"$99999999999\r\n", b"*9999999999\r\n"]
        .map(impostor)
        .into()
}
