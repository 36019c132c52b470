//! Google Secret Manager with its token servers, of `tests/python/clouds/google_server.py`.

use serde_json::Value;

use super::process::Process;
use super::{python, python_script_with, root};

pub struct Google {
    port: String,
    directory: tempfile::TempDir,
    _server: Process,
}

impl Google {
    pub fn start() -> Google {
        let directory = crate::common::temp();
        let mut command = python();
        command.arg(root().join("tests/python/clouds/google_server.py")).arg(directory.path());
        let mut server = Process::start(command, &directory.path().join("log"));
        assert!(server.wait(|log| log.contains('.')), "{}", server.log());
        let port = server.log().trim().trim_start_matches("port ").trim_end_matches('.').to_owned();
        assert!(port.parse::<u16>().is_ok(), "{}", server.log());
        Google { port, directory, _server: server }
    }

    /// host:port
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The path of a credentials file: `service_account`, `user`, `external_file`…
    pub fn file(&self, kind: &str) -> String {
        self.directory.path().join(format!("{kind}.json")).to_str().unwrap().to_owned()
    }

    /// What Google's own client reads: see `tests/python/clouds/google_peer.py`.
    pub fn peer(&self, file: &str, asked: &Value) -> Value {
        python_script_with("clouds/google_peer.py", &[&self.address(), file], asked)
    }
}
