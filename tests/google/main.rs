//! Google Secret Manager, on a server that Google's own client checks too.

#[path = "../common/mod.rs"]
mod common;
mod credentials;
mod faults;
mod reads;

use std::sync::{Arc, Mutex};

use common::open;
use common::servers::Google;
use serde_json::Value;
use st_secrets::{Error, Manager, Options, Source, Status, log};

const REFRESH: Options = Options { timeout: None, refresh: true, cached_only: false };

/// Runs the body of a test in a process of its own, without the settings of the machine.
macro_rules! alone {
    ($body:expr) => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here).trim_start_matches("google::").trim_end_matches("::here");
        crate::common::servers::in_clean_environment(name, Vec::new, $body);
    }};
}
use alone;

/// A manager with these elements of `providers`, which asks this URL with a credentials file.
fn at(url: &str, providers: &str, file: &str, more: &[(&str, &str)]) -> Manager {
    let mut settings = vec![
        ("providers", providers),
        ("google_endpoint_url", url),
        ("google_credentials_file", file),
        ("google_project", "train-1"),
    ];
    settings.extend(more);
    open(&settings).unwrap()
}

/// The value of a key now, or the error, which is of this provider.
fn read(secrets: &Manager, key: &str) -> Result<(Vec<u8>, Option<String>), Error> {
    match secrets.get_with(key, &REFRESH) {
        Ok(secret) => {
            assert_eq!(secret.source(), Source::Google);
            Ok((secret.value().to_vec(), secret.version().map(str::to_owned)))
        }
        Err(error) => {
            assert!(matches!(error.source_provider(), Source::Google | Source::None), "{error:?}");
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
