//! Secrets of Kubernetes, on a server that the official client checks too.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod reads;

use common::open;
use common::servers::Kubernetes;
use st_secrets::{Error, Manager, Options, Source};

const REFRESH: Options = Options { timeout: None, refresh: true, cached_only: false };

/// Runs the body of a test in a process of its own, without the settings of the machine.
macro_rules! alone {
    ($body:expr) => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here).trim_start_matches("kubernetes::").trim_end_matches("::here");
        crate::common::servers::in_clean_environment(name, Vec::new, $body);
    }};
}
use alone;

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

/// The value of a key now and its version, or the error, which is of this provider.
fn read(secrets: &Manager, key: &str) -> Result<(Vec<u8>, Option<String>), Error> {
    match secrets.get_with(key, &REFRESH) {
        Ok(secret) => {
            assert_eq!(secret.source(), Source::Kubernetes);
            Ok((secret.value().to_vec(), secret.version().map(str::to_owned)))
        }
        Err(error) => {
            assert!(matches!(error.source_provider(), Source::Kubernetes | Source::None), "{error:?}");
            assert!(!error.message().contains("CANARY"), "{error}");
            Err(error)
        }
    }
}
