//! What the tests of the providers with a server of their own share: a process for each test, reading a key now, and
//! the faults between client and server.

pub mod faults;

use std::sync::{Arc, Mutex};

use serde_json::Value;
use st_secrets::redact::Redactor;
use st_secrets::{Config, Error, GetOptions, Manager, Source, Status, log};

pub const REFRESH: GetOptions = GetOptions { timeout: None, refresh: true, cached_only: false };

/// Runs the body of a test in a process of its own, without the settings of the machine.
macro_rules! alone {
    ($body:expr) => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here).trim_end_matches("::here");
        let name = name.strip_prefix(concat!(env!("CARGO_CRATE_NAME"), "::")).unwrap();
        crate::common::servers::in_clean_environment(name, Vec::new, $body);
    }};
}
pub(crate) use alone;

/// The value of a key now and its version, or the error, which is of this provider.
pub fn read(secrets: &Manager, source: Source, key: &str) -> Result<(Vec<u8>, Option<String>), Error> {
    match secrets.get_with(key, &REFRESH) {
        Ok(secret) => {
            assert_eq!(secret.source(), source);
            Ok((secret.value().to_vec(), secret.version().map(str::to_owned)))
        }
        Err(error) => {
            assert!([source, Source::None].contains(&error.source_provider()), "{error:?}");
            assert!(!error.message().contains("CANARY"), "{error}");
            Err(error)
        }
    }
}

/// Checks that a key cannot be read, with this status and words.
pub fn refused(secrets: &Manager, source: Source, key: &str, status: Status, words: &[&str]) {
    let error = read(secrets, source, key).unwrap_err();
    assert_eq!(error.status(), status, "{error}");
    for word in words {
        assert!(error.message().contains(word), "{word:?} in: {error}");
    }
}

/// The result of `check` for the only provider.
pub fn check(secrets: &Manager) -> Value {
    let report: Value = serde_json::from_str(&secrets.check()).unwrap();
    report["providers"][0].clone()
}

/// What is shown of providers from now on: in the log at the finest level, in reports, in text that is redacted.
pub struct Shown(Arc<Mutex<String>>);

impl Shown {
    /// For a test in a process of its own.
    pub fn start() -> Shown {
        Redactor::open_default(&Config::new()).unwrap();
        Shown(logged())
    }

    /// Gets keys, and checks that reports have these words, and that neither they nor errors show a value or a
    /// credential. A value that was returned is redacted.
    pub fn has_no_secret(&self, secrets: &Manager, keys: &[&str], words: &str) {
        for key in keys {
            match secrets.get(key) {
                Ok(secret) => {
                    let line = [b"value: ", &**secret.value(), b"."].concat();
                    let redacted = Redactor::default_instance().unwrap().redact(&line);
                    assert_eq!(String::from_utf8_lossy(&redacted), "value: ***.", "{key}");
                }
                Err(error) => assert!(!error.message().contains("CANARY"), "{error}"),
            }
        }
        let reports = format!("{}{}", secrets.describe(), secrets.check());
        assert!(reports.contains(words) && !reports.contains("CANARY"), "{reports}");
        assert!(!reports.contains("PRIVATE KEY"), "{reports}");
    }

    /// Checks that the log has these words, no value, and no credential.
    pub fn log_has(&self, words: &str) {
        let lines = self.0.lock().unwrap();
        assert!(lines.contains(words) && !lines.contains("CANARY") && !lines.contains("eyJ"), "{lines}");
    }
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
