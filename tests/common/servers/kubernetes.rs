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

    /// A kubeconfig whose current context logs in like this: `token`, `certificate`, `exec`…
    pub fn kubeconfig(&self, login: &str) -> String {
        self.file(&format!("kubeconfig-{login}"))
    }

    /// What the official client reads with a kubeconfig.
    pub fn peer_of(&self, kubeconfig: &str, asked: &Value) -> Value {
        peer("kubernetes", &[kubeconfig], asked)
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
