//! The client against well-behaved and misbehaving servers.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::http::{Client, ClientSettings, HttpRequest, HttpResponse, Proxy};
use crate::settings::{Setting, SettingOrigin};

mod authority;
mod peer;
mod plain;
mod proxied;
mod tls;

pub(super) const MIB: usize = 1 << 20;

/// Settings without a proxy.
fn settings() -> ClientSettings {
    ClientSettings { proxy: Proxy::None, max_body: MIB, ..ClientSettings::default() }
}

/// A setting that messages call `X`.
fn named(value: impl AsRef<OsStr>) -> Setting {
    Setting::new(SettingOrigin::Named("X".to_owned()), value.as_ref().to_str().unwrap())
}

fn client() -> Client {
    Client::new(settings())
}

/// How long a test waits for something that must happen. It ends a test that hangs; a busy machine needs a small part
/// of it.
const PATIENCE: Duration = Duration::from_secs(120);
/// The time limit of a request that gets no response.
const SHORT: Duration = Duration::from_millis(500);

fn patience() -> Deadline {
    Deadline::after(PATIENCE)
}

/// Sends a GET request.
fn get(client: &Client, url: &str) -> Result<HttpResponse> {
    get_within(client, url, patience())
}

/// Returns the error of a request that gets no response, and checks that it ends when its time, [`SHORT`], is up and
/// not by what the peer does later.
fn fails_in_time(send: impl FnOnce(Deadline) -> Result<HttpResponse>) -> Error {
    let start = Instant::now();
    let error = send(Deadline::after(SHORT)).err().unwrap();
    let taken = start.elapsed();
    assert_eq!(error.status(), Status::Timeout, "{error}");
    assert!((SHORT..PATIENCE / 2).contains(&taken), "{taken:?}: {error}");
    error
}

/// Checks the message of a timeout: the step, and how long the request took.
fn assert_timed_out(error: &Error, step: &str) {
    let rest =
        error.message().strip_prefix(&format!("timed out {step} (after ")).and_then(|rest| rest.strip_suffix(" s)"));
    assert!(rest.is_some_and(|seconds| seconds.parse::<f64>().unwrap() >= SHORT.as_secs_f64()), "{error}");
}

fn get_within(client: &Client, url: &str, deadline: Deadline) -> Result<HttpResponse> {
    let headers = [("X-Vault-Token", Zeroizing::new("hvs.SECRET".to_owned()))];
    client.send(&HttpRequest { method: "GET", url, headers: &headers, body: b"", connect_timeout: None }, deadline)
}
