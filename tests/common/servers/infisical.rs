//! Infisical, of `tests/python/clouds/infisical_server.py`.

use std::ops::Deref;

use serde_json::Value;

use super::cloud::{CloudServer, peer};

pub const PROJECT: &str = "7e3c1f6e-0000-4000-8000-000000000001";

/// The files have the client secrets of `reader` and `stranger`, and a `token`.
pub struct Infisical(CloudServer);

impl Infisical {
    pub fn start() -> Infisical {
        Infisical(CloudServer::start("infisical"))
    }

    /// What Infisical's own client reads: see `tests/python/clouds/infisical_peer.py`.
    pub fn peer(&self, identity: &str, asked: &Value) -> Value {
        self.peer_with(&format!("client-{identity}"), &self.file(identity), asked)
    }

    /// The same with a client ID and the file with its secret, or an identity and its JWT of OIDC.
    pub fn peer_with(&self, id: &str, secret: &str, asked: &Value) -> Value {
        peer("infisical", &[&self.url(), PROJECT, id, secret], asked)
    }

    /// Changes the state of the server: `revoke`, `expire`, `lifetime?seconds=1`.
    pub fn steer(&self, change: &str) {
        let url = format!("{}/test/{change}", self.url());
        let done = std::process::Command::new("curl").args(["-sf", "-X", "POST", &url]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

impl Deref for Infisical {
    type Target = CloudServer;

    fn deref(&self) -> &CloudServer {
        &self.0
    }
}
