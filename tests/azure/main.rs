//! Azure Key Vault, on a server that Microsoft's own client checks too.

#[path = "../common/mod.rs"]
mod common;
mod credentials;
mod faults;
mod reads;

use std::sync::{Arc, Mutex};

use common::open;
use common::servers::azure::{READER, SECRET, TENANT};
use common::servers::{Azure, set_variables};
use serde_json::Value;
use st_secrets::{Error, Manager, Options, Source, Status, log};

const REFRESH: Options = Options { timeout: None, refresh: true, cached_only: false };

/// Runs the body of a test in a process of its own, without the settings of the machine.
macro_rules! alone {
    ($body:expr) => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here).trim_start_matches("azure::").trim_end_matches("::here");
        crate::common::servers::in_clean_environment(name, Vec::new, $body);
    }};
}
use alone;

/// The variables of an application with a secret, at the server itself.
fn application(azure: &Azure) -> Vec<(&'static str, String)> {
    vec![
        ("AZURE_TENANT_ID", TENANT.to_owned()),
        ("AZURE_CLIENT_ID", READER.to_owned()),
        ("AZURE_CLIENT_SECRET", SECRET.to_owned()),
        ("AZURE_AUTHORITY_HOST", azure.url()),
    ]
}

/// A manager with these elements of `providers`, which asks the vault at this URL.
fn at(url: &str, providers: &str, more: &[(&str, &str)]) -> Manager {
    open(&[&[("providers", providers), ("azure_vault_url", url)], more].concat()).unwrap()
}

/// A manager with one element of `providers`, as an application.
fn one(azure: &Azure, element: &str) -> Manager {
    set_variables(application(azure));
    at(&azure.url(), &format!("[{element}]"), &[])
}

/// The value of a key now, or the error, which is of this provider.
fn read(secrets: &Manager, key: &str) -> Result<(String, Option<String>), Error> {
    match secrets.get_with(key, &REFRESH) {
        Ok(secret) => {
            assert_eq!(secret.source(), Source::Azure);
            Ok((String::from_utf8(secret.value().to_vec()).unwrap(), secret.version().map(str::to_owned)))
        }
        Err(error) => {
            assert!(matches!(error.source_provider(), Source::Azure | Source::None), "{error:?}");
            assert!(!error.message().contains("CANARY"), "{error}");
            Err(error)
        }
    }
}

/// Checks that a key cannot be read, with this status and words.
fn refused(secrets: &Manager, key: &str, status: Status, words: &[&str]) {
    let error = read(secrets, key).unwrap_err();
    assert_eq!(error.status(), status, "{error}");
    for word in words {
        assert!(error.message().contains(word), "{word:?} in: {error}");
    }
}

/// The result of `check` for the only provider.
fn check(secrets: &Manager) -> Value {
    let report: Value = serde_json::from_str(&secrets.check()).unwrap();
    report["providers"][0].clone()
}

/// Collects what the library logs from now on, at the finest level.
fn logged() -> Arc<Mutex<String>> {
    let lines: Arc<Mutex<String>> = Arc::default();
    let kept = lines.clone();
    log::set(log::Level::Trace, move |_, _, message| {
        let mut lines = kept.lock().unwrap();
        lines.push_str(message);
        lines.push('\n');
    });
    lines
}
