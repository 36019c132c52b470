//! 1Password Connect, of `tests/python/clouds/onepassword_server.py`.

use std::ops::Deref;

use serde_json::Value;

use super::cloud::{CloudServer, peer};

/// The files have the tokens of `reader`, `stranger` and `revoked`.
pub struct OnePassword(CloudServer);

impl OnePassword {
    pub fn start() -> OnePassword {
        OnePassword(CloudServer::start("onepassword"))
    }

    /// What 1Password's own client reads: see `tests/python/clouds/onepassword_peer.py`.
    pub fn peer(&self, user: &str, asked: &Value) -> Value {
        peer("onepassword", &[&self.url(), &self.file(user)], asked)
    }
}

impl Deref for OnePassword {
    type Target = CloudServer;

    fn deref(&self) -> &CloudServer {
        &self.0
    }
}
