//! Secrets of Kubernetes, on a server that the official client checks too.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod kubeconfig;
mod reads;

use common::servers::Kubernetes;
use common::{open, remote};
use st_secrets::{Error, Manager, Source};

/// A manager that asks this URL as the reader, with more settings.
fn at(url: &str, server: &Kubernetes, more: &[(&str, &str)]) -> Manager {
    let token = server.token_file("reader");
    let given = |name: &str| more.iter().any(|(given, _)| *given == name);
    let mut settings = vec![("kubernetes_url", url), ("kubernetes_namespace", "ml")];
    settings.extend([("providers", r#"["kubernetes"]"#), ("kubernetes_token_file", &token)]);
    settings.retain(|(name, _)| !given(name));
    settings.extend(more);
    open(&settings).unwrap()
}

/// The value of a key now, or the error, which is of this provider.
fn read(secrets: &Manager, key: &str) -> Result<(Vec<u8>, Option<String>), Error> {
    remote::read(secrets, Source::Kubernetes, key)
}
