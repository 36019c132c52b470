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

    /// What Google's own client reads: see `tests/python/clouds/google_peer.py`.
    pub fn peer(&self, file: &str, asked: &Value) -> Value {
        peer("google", &[&self.address(), file], asked)
    }
}

impl Deref for Google {
    type Target = CloudServer;

    fn deref(&self) -> &CloudServer {
        &self.0
    }
}
