//! Google Secret Manager, on a server that Google's own client checks too.

#[path = "../common/mod.rs"]
mod common;
mod credentials;
mod faults;
mod reads;

use common::servers::Google;
use common::{open, remote};
use st_secrets::{Error, Manager, Source, Status};

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
    remote::read(secrets, Source::Google, key)
}

/// Checks that a key cannot be read, with this status and words.
fn refused(secrets: &Manager, key: &str, status: Status, words: &[&str]) {
    remote::refused(secrets, Source::Google, key, status, words);
}
