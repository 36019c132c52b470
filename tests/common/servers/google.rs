//! Google Secret Manager with its token servers, of `tests/python/clouds/google_server.py`.

use std::ops::Deref;

use serde_json::Value;

use super::cloud::{CloudServer, peer};

pub struct Google(CloudServer);

impl Google {
    pub fn start() -> Google {
        Google(CloudServer::start("google"))
    }

    /// The path of a credentials file: `service_account`, `user`, `external_file`…
    pub fn file(&self, kind: &str) -> String {
        self.0.file(&format!("{kind}.json"))
    }

    /// The path of another file in the directory of the server.
    pub fn path(&self, name: &str) -> String {
        self.0.file(name)
    }

    /// What Google's own client reads: see `tests/python/clouds/google_peer.py`.
    pub fn peer(&self, file: &str, asked: &Value) -> Value {
        self.peer_with(&[], file, asked)
    }

    /// The same with these variables.
    pub fn peer_with(&self, variables: &[(&str, &str)], file: &str, asked: &Value) -> Value {
        let variables: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let address = self.address();
        let arguments: Vec<&str> = variables.iter().map(String::as_str).chain([address.as_str(), file]).collect();
        peer("google", &arguments, asked)
    }
}

impl Deref for Google {
    type Target = CloudServer;

    fn deref(&self) -> &CloudServer {
        &self.0
    }
}
