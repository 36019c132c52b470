//! What elements of `providers` have in common: names of keys, and the name of the provider.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::error::Result;
use crate::secrets::key::check_key;
use crate::secrets::provider_table::{MAX_NAME, ProviderTable, invalid};
use crate::share::Identity;

const PREFIX: &str = "vault:";

/// The member `as`: which members of a document are secrets, each with its key; `None`: all, under their own names.
pub(super) struct KeyNames(pub(super) Option<Vec<(String, String)>>);

impl KeyNames {
    pub(super) fn read(table: &ProviderTable<'_>) -> Result<KeyNames> {
        let Some(setting) = table.get("as") else { return Ok(KeyNames(None)) };
        let wrong = || {
            invalid(
                "\"as\" must be an object of members of the secret and their keys, such as {\"password\": \"DB_PASSWORD\"}",
            )
        };
        let members = setting.as_object().filter(|members| !members.is_empty()).ok_or_else(wrong)?;
        let mut keys: Vec<(String, String)> = Vec::new();
        for (member, key) in members {
            let key = key.as_str().ok_or_else(wrong)?;
            check_key(key).map_err(|error| invalid(format!("\"as\": {error}")))?;
            if keys.iter().any(|(_, other)| other == key) {
                return Err(invalid(format!("\"as\" has the key {key:?} twice")));
            }
            keys.push((member.clone(), key.to_owned()));
        }
        Ok(KeyNames(Some(keys)))
    }

    /// Whether the document might have this key.
    pub(super) fn serves(&self, key: &str) -> bool {
        self.0.as_ref().is_none_or(|keys| keys.iter().any(|(_, own)| own == key))
    }

    /// Adds what decides which entries a document has to the identity of a process.
    pub(super) fn identify(&self, identity: &mut Identity) {
        for (member, key) in self.0.iter().flatten() {
            identity.add(member, key);
        }
    }

    pub(super) fn describe(&self) -> Value {
        let keys: Option<BTreeMap<_, _>> = self.0.as_ref().map(|keys| keys.iter().cloned().collect());
        json!(keys)
    }
}

/// The name of a provider without one: as much of the end of its path as fits.
pub(super) fn default_name(path: &str) -> String {
    let start = path.len().saturating_sub(MAX_NAME - PREFIX.len());
    let start = (start..=path.len()).find(|at| path.is_char_boundary(*at)).unwrap_or(path.len());
    format!("{PREFIX}{}", &path[start..])
}
