//! An element of `providers` for secrets of KV engines: `{"vault_secret": "kv/train", "as": {"password":
//! "DB_PASSWORD"}}`, or `{"vault_secret": ["kv/train", "team/common"]}`.

use serde_json::{Map, Value};

use super::element::{KeyNames, default_name};
use super::secret_path::SecretPath;
use crate::error::Result;
use crate::secrets::provider_table::ProviderTable;

const MEMBERS: [&str; 3] = ["vault_secret", "as", "name"];

pub(super) struct SecretSettings {
    pub(super) name: String,
    /// Each one once, in order of precedence.
    pub(super) secrets: Vec<SecretPath>,
    pub(super) keys: KeyNames,
}

impl SecretSettings {
    pub(super) fn read(members: &Map<String, Value>) -> Result<SecretSettings> {
        let table = ProviderTable::new(members, &MEMBERS)?;
        let mut secrets = Vec::new();
        for text in table.texts("vault_secret")? {
            let secret = SecretPath::of_element(text)?;
            if !secrets.contains(&secret) {
                secrets.push(secret);
            }
        }
        let name = table.text("name")?.map_or_else(|| default_name(&secrets[0].to_string()), str::to_owned);
        Ok(SecretSettings { name, secrets, keys: KeyNames::read(&table)? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(setting: Value) -> Result<SecretSettings> {
        SecretSettings::read(setting.as_object().unwrap())
    }

    #[test]
    fn element_names_secrets_in_order() {
        let settings = read(json!({"vault_secret": "/kv/team/app/"})).unwrap();
        assert_eq!((&*settings.secrets[0].mount, &*settings.secrets[0].path), ("kv", "team/app"));
        assert_eq!(settings.name, "vault:kv/team/app");
        let settings =
            read(json!({"vault_secret": ["v1/a/b", "c/d", "a/b"], "as": {"x": "X"}, "name": "all"})).unwrap();
        assert_eq!(settings.secrets.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a/b", "c/d"]);
        assert!(settings.name == "all" && settings.keys.serves("X") && !settings.keys.serves("x"));
    }

    #[test]
    fn invalid_settings_are_named_and_not_quoted() {
        for (setting, words) in [
            (json!({"vault_secret": ""}), "\"vault_secret\" must be a text that is not empty, or several"),
            (json!({"vault_secret": []}), "\"vault_secret\" must be a text that is not empty, or several"),
            (json!({"vault_secret": ["a/b", 1]}), "\"vault_secret\" must be a text that is not empty, or several"),
            (json!({"vault_secret": "CANARY"}), "must be a mount and the path of a secret in it"),
            (json!({"vault_secret": "a/../b"}), "contains `.` or `..`"),
            (json!({"vault_secret": "a/b", "as": "CANARY"}), "\"as\" must be an object"),
            (json!({"vault_secret": "a/b", "sa": {}}), "did you mean \"as\"?"),
        ] {
            let error = read(setting).err().unwrap();
            assert!(error.message().contains(words) && !error.message().contains("CANARY"), "{error}");
        }
    }
}
