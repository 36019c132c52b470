//! Azure Key Vault, on a server that Microsoft's own client checks too.

#[path = "../common/mod.rs"]
mod common;
mod credentials;
mod faults;
mod reads;

use common::servers::azure::{READER, SECRET, TENANT};
use common::servers::{Azure, set_variables};
use common::{open, remote};
use st_secrets::{Error, Manager, Source, Status};

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

/// The value of a key now, which is text, or the error, which is of this provider.
fn read(secrets: &Manager, key: &str) -> Result<(String, Option<String>), Error> {
    remote::read(secrets, Source::Azure, key).map(|(value, version)| (String::from_utf8(value).unwrap(), version))
}

/// Checks that a key cannot be read, with this status and words.
fn refused(secrets: &Manager, key: &str, status: Status, words: &[&str]) {
    remote::refused(secrets, Source::Azure, key, status, words);
}
