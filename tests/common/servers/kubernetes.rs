//! The Secrets of a Kubernetes API server, of `tests/python/clouds/kubernetes_server.py`.

use std::ops::Deref;

use serde_json::Value;

use super::cloud::{CloudServer, peer};

pub struct Kubernetes(CloudServer);

impl Kubernetes {
    pub fn start() -> Kubernetes {
        Kubernetes(CloudServer::start("kubernetes"))
    }

    /// The file with the token of `reader`, `stranger` or `expired`.
    pub fn token_file(&self, user: &str) -> String {
        self.file(user)
    }

    /// What the official client reads: see `tests/python/clouds/kubernetes_peer.py`.
    pub fn peer(&self, user: &str, asked: &Value) -> Value {
        peer("kubernetes", &[&self.url(), &self.token_file(user)], asked)
    }
}

impl Deref for Kubernetes {
    type Target = CloudServer;

    fn deref(&self) -> &CloudServer {
        &self.0
    }
}
