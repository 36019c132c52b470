//! Which secrets are read: a mount and a path in it.

use std::fmt;

use super::address;
use crate::error::Result;
use crate::secrets::provider_table::invalid;
use crate::settings::{Setting, SettingOrigin};

/// A secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretPath {
    /// The mount of a KV engine; empty if `path` is that of the API, as for dynamic secrets.
    pub(super) mount: String,
    pub(super) path: String,
    /// What to do if there is no KV engine at the mount.
    pub(super) remedy: &'static str,
}

impl SecretPath {
    /// A secret of the provider `vault`.
    pub(super) fn in_mount(mount: &str, path: &str) -> SecretPath {
        let remedy = "set vault_mount to the mount of the KV engine";
        SecretPath { mount: mount.to_owned(), path: path.to_owned(), remedy }
    }

    /// A secret that an element of `providers` names: `secret/team/app`. Whether the mount is longer than its first
    /// segment is known to the server.
    pub(super) fn of_element(text: &str) -> Result<SecretPath> {
        let path = element_path(text)?;
        let (mount, rest) = path.split_once('/').ok_or_else(|| {
            invalid("\"vault_secret\" must be a mount and the path of a secret in it, such as \"secret/app\"")
        })?;
        let remedy = "begin \"vault_secret\" with the mount of the KV engine";
        Ok(SecretPath { mount: mount.to_owned(), path: rest.to_owned(), remedy })
    }

    /// The secrets, for messages: `secret "kv/app"`.
    pub(super) fn shown(secrets: &[SecretPath]) -> String {
        let paths: Vec<String> = secrets.iter().map(|secret| format!("{:?}", secret.to_string())).collect();
        format!("{} {}", if paths.len() == 1 { "secret" } else { "secrets" }, paths.join(", "))
    }

    /// A path of the API that an element of `providers` names: `database/creds/trainer`.
    pub(super) fn of_api(path: &str) -> SecretPath {
        SecretPath { mount: String::new(), path: path.to_owned(), remedy: "" }
    }
}

/// As users write it: `secret/simpletuner`.
impl fmt::Display for SecretPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.mount.is_empty() {
            write!(f, "{}/", self.mount)?;
        }
        f.write_str(&self.path)
    }
}

/// A path in an element of `providers`, without the `v1/` of a URL.
pub(super) fn element_path(text: &str) -> Result<String> {
    let given = Setting::new(SettingOrigin::Config("providers"), text);
    let path = address::path(&given).map_err(|invalid| invalid.error)?.unwrap_or_default();
    Ok(path.strip_prefix("v1/").unwrap_or(&path).to_owned())
}
