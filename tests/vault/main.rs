//! The Vault provider on a real OpenBao.

mod aws_login;
#[path = "../common/mod.rs"]
mod common;
mod dynamic;
mod faults;
mod foreign_responses;
mod lockout;
mod logins;
mod rate_limit;
mod reads;
mod renewal;
mod several;
mod sockets;
mod tls;
mod tokens;
mod writes;

use serde_json::Value;
use st_secrets::{GetOptions, Manager, Result, Secret};

use common::servers::{bao, in_clean_environment};

/// Runs the body of a test in a process of its own, isolated from the settings of the machine.
macro_rules! alone {
    ($body:expr) => {{
        fn here() {}
        crate::alone_as(std::any::type_name_of_val(&here), $body);
    }};
}
use alone;

/// `place` is the path of a function within the test.
fn alone_as(place: &str, body: impl FnOnce()) {
    let name = place.trim_start_matches("vault::").trim_end_matches("::here");
    bao();
    in_clean_environment(name, Vec::new, body);
}

/// A manager whose only provider is the server at this URL.
fn at(url: &str, settings: &[(&str, &str)]) -> Manager {
    let mut all = vec![("providers", r#"["vault"]"#), ("vault_url", url)];
    all.extend(settings);
    common::open(&all).unwrap()
}

/// The value now, whatever is cached.
fn refreshed(secrets: &Manager, key: &str) -> Result<Secret> {
    secrets.get_with(key, &GetOptions { refresh: true, ..GetOptions::default() })
}

/// The result of `check` for the provider.
fn check(secrets: &Manager) -> Value {
    let report: Value = serde_json::from_str(&secrets.check()).unwrap();
    report["providers"][0].clone()
}
