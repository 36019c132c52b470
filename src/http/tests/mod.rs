//! The client against servers that behave, and against those that do not.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::clock::Deadline;
use crate::error::{Result, Status};
use crate::http::{Client, Proxy, Request, Response, Settings};

mod authority;
mod peer;
mod plain;
mod proxied;
mod tls;

pub(super) const MIB: usize = 1 << 20;

/// Settings without a proxy.
fn settings() -> Settings {
    Settings { proxy: Proxy::None, max_body: MIB, ..Settings::default() }
}

fn client() -> Client {
    Client::new(settings())
}

fn seconds(seconds: u64) -> Deadline {
    Deadline::after(Duration::from_secs(seconds))
}

/// A GET of this URL within ten seconds.
fn get(client: &Client, url: &str) -> Result<Response> {
    get_within(client, url, seconds(10))
}

fn get_within(client: &Client, url: &str, deadline: Deadline) -> Result<Response> {
    let headers = [("X-Vault-Token", Zeroizing::new("hvs.SECRET".to_owned()))];
    client.send(&Request { method: "GET", url, headers: &headers, body: b"", connect_timeout: None }, deadline)
}
