//! 1Password, on a Connect server that 1Password's own client checks too.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod reads;

use common::servers::OnePassword;
use common::{open, remote};
use st_secrets::{Error, Manager, Source, Status};

/// The title of an item that has several fields.
const DATABASE: &str = "database (prod)";

/// A manager that asks this URL as the reader, with more settings.
fn at(url: &str, server: &OnePassword, more: &[(&str, &str)]) -> Manager {
    let token = server.file("reader");
    let mut settings = vec![("providers", r#"["onepassword"]"#), ("onepassword_token_file", &token)];
    settings.extend([("onepassword_url", url), ("onepassword_vault", "train")]);
    settings.retain(|(name, _)| !more.iter().any(|(given, _)| given == name));
    settings.extend(more);
    open(&settings).unwrap()
}

/// The value of a key now, or the error, which is of this provider.
fn read(secrets: &Manager, key: &str) -> Result<(Vec<u8>, Option<String>), Error> {
    remote::read(secrets, Source::OnePassword, key)
}

/// Checks that a key cannot be read, with this status and words.
fn refused(secrets: &Manager, key: &str, status: Status, words: &[&str]) {
    remote::refused(secrets, Source::OnePassword, key, status, words);
}
