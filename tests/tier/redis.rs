//! A Redis server, with the users that `docs/tier.md` describes.

use std::process::Command;

use crate::common::servers::process::{Process, free_port};
use crate::common::temp;
use crate::common::undisturbed;

pub(crate) const PASSWORD: &str = "CANARY-tier-password";

pub(crate) struct Redis {
    pub(crate) process: Option<Process>,
    pub(crate) port: u16,
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
    pub(crate) fn start() -> Redis {
        Redis::start_with(&[])
    }

    pub(crate) fn start_with(more: &[&str]) -> Redis {
        let directory = temp();
        let acl = format!("user default on >{PASSWORD}-admin ~* &* +@all\n{}\n", documented_permissions());
        std::fs::write(directory.path().join("users.acl"), acl).unwrap();
        let more = more.iter().map(|word| (*word).to_owned()).collect();
        let mut redis = Redis { process: None, port: free_port(), directory, more };
        redis.run();
        redis
    }

    /// Starts the server, again if it was stopped.
    pub(crate) fn run(&mut self) {
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

    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self) -> String {
        url(&self.address())
    }

    pub(crate) fn socket(&self) -> String {
        self.directory.path().join("redis.sock").to_str().unwrap().to_owned()
    }

    /// What the administrator gets for a command.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string(), "--no-auth-warning", "-a", &format!("{PASSWORD}-admin")]);
        let output = undisturbed(command.args(words)).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// The key that ends like this.
    pub(crate) fn key(&self, end: &str) -> String {
        let keys = self.ask(&["KEYS", &format!("*{end}")]);
        assert_eq!(keys.lines().count(), 1, "{keys}");
        keys
    }

    /// Everything that the server stores, as it writes it to its disk.
    pub(crate) fn dump(&self) -> Vec<u8> {
        self.ask(&["CONFIG", "SET", "rdbcompression", "no"]);
        self.ask(&["SAVE"]);
        std::fs::read(self.directory.path().join("dump.rdb")).unwrap()
    }
}

/// The URL of a tier at this address, for the user of the documentation.
pub(crate) fn url(address: &str) -> String {
    format!("redis://st-secrets:{PASSWORD}@{address}")
}
