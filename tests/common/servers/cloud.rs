//! The servers of `tests/python/clouds`, which are written from public API documents and checked by the vendors' own
//! clients.

use serde_json::Value;

use super::process::Process;
use super::{python, python_script_with, root};

/// A server of one of these programs.
pub struct CloudServer {
    port: String,
    directory: tempfile::TempDir,
    _server: Process,
}

impl CloudServer {
    /// Starts `tests/python/clouds/NAME_server.py`.
    pub fn start(name: &str) -> CloudServer {
        let directory = crate::common::temp();
        let mut command = python();
        command.arg(root().join(format!("tests/python/clouds/{name}_server.py"))).arg(directory.path());
        let mut server = Process::start(command, &directory.path().join("log"));
        assert!(server.wait(|log| log.contains('.')), "{}", server.log());
        let port = server.log().trim().trim_start_matches("port ").trim_end_matches('.').to_owned();
        assert!(port.parse::<u16>().is_ok(), "{}", server.log());
        CloudServer { port, directory, _server: server }
    }

    /// host:port
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The path of a file that the server wrote.
    pub fn file(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }
}

/// What the vendor's own client reads: see `tests/python/clouds/NAME_peer.py`.
pub fn peer(name: &str, arguments: &[&str], asked: &Value) -> Value {
    python_script_with(&format!("clouds/{name}_peer.py"), arguments, asked)
}
