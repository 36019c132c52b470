//! Infisical, on a server that Infisical's own client checks too.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod logins;
mod reads;

use common::servers::Infisical;
use common::servers::infisical::PROJECT;
use common::{open, remote};
use st_secrets::{Error, Manager, Source, Status};

/// The settings of the reader without the URL and the credentials.
const PLACE: [(&str, &str); 3] =
    [("providers", r#"["infisical"]"#), ("infisical_environment", "prod"), ("infisical_project", PROJECT)];

/// A manager that asks this URL as the reader, with more settings.
fn at(url: &str, server: &Infisical, more: &[(&str, &str)]) -> Manager {
    let secret = server.file("reader");
    let own = [
        ("infisical_url", url),
        ("infisical_client_id", "client-reader"),
        ("infisical_client_secret_file", secret.as_str()),
    ];
    let mut settings = [&PLACE[..], &own].concat();
    settings.retain(|(name, _)| !more.iter().any(|(given, _)| given == name));
    settings.extend(more);
    open(&settings).unwrap()
}

/// The value of a key now, or the error, which is of this provider.
fn read(secrets: &Manager, key: &str) -> Result<(Vec<u8>, Option<String>), Error> {
    remote::read(secrets, Source::Infisical, key)
}

/// Checks that a key cannot be read, with this status and words.
fn refused(secrets: &Manager, key: &str, status: Status, words: &[&str]) {
    remote::refused(secrets, Source::Infisical, key, status, words);
}
