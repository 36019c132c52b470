//! The Secrets of a Kubernetes API server, of `tests/python/clouds/kubernetes_server.py`.

use serde_json::Value;

use super::process::Process;
use super::{python, python_script_with, root};

pub struct Kubernetes {
    port: String,
    directory: tempfile::TempDir,
    _server: Process,
}

impl Kubernetes {
    pub fn start() -> Kubernetes {
        let directory = crate::common::temp();
        let mut command = python();
        command.arg(root().join("tests/python/clouds/kubernetes_server.py")).arg(directory.path());
        let mut server = Process::start(command, &directory.path().join("log"));
        assert!(server.wait(|log| log.contains('.')), "{}", server.log());
        let port = server.log().trim().trim_start_matches("port ").trim_end_matches('.').to_owned();
        assert!(port.parse::<u16>().is_ok(), "{}", server.log());
        Kubernetes { port, directory, _server: server }
    }

    /// host:port
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The file with the token of `reader`, `stranger` or `expired`.
    pub fn token_file(&self, user: &str) -> String {
        self.directory.path().join(user).to_str().unwrap().to_owned()
    }

    /// What the official client reads: see `tests/python/clouds/kubernetes_peer.py`.
    pub fn peer(&self, user: &str, asked: &Value) -> Value {
        python_script_with("clouds/kubernetes_peer.py", &[&self.url(), &self.token_file(user)], asked)
    }
}
