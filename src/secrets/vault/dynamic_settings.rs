//! An element of `providers` for a dynamic secret:
//! `{"vault_dynamic": "database/creds/trainer", "as": {"username": "DB_USER", "password": "DB_PASSWORD"}}`.

use serde_json::{Map, Value};

use super::element::{KeyNames, default_name};
use super::secret_path::element_path;
use crate::error::Result;
use crate::secrets::provider_table::{ProviderTable, invalid};
use crate::share::Identity;

const MEMBERS: [&str; 5] = ["vault_dynamic", "as", "name", "parameters", "revoke"];

pub(super) struct DynamicSettings {
    pub(super) name: String,
    /// The path of the API, without `/v1/`.
    pub(super) path: String,
    pub(super) keys: KeyNames,
    /// The body of the request, which is a POST then.
    pub(super) parameters: Option<Map<String, Value>>,
    /// Whether the lease is revoked when the manager is closed.
    pub(super) revoke: bool,
}

impl DynamicSettings {
    pub(super) fn read(members: &Map<String, Value>) -> Result<DynamicSettings> {
        let table = ProviderTable::new(members, &MEMBERS)?;
        let text = table.text("vault_dynamic")?.unwrap_or_default();
        let path = element_path(text)?;
        if !path.contains('/') {
            return Err(invalid("\"vault_dynamic\" must be the path of a role, such as \"database/creds/trainer\""));
        }
        let parameters = match table.get("parameters") {
            None => None,
            Some(Value::Object(parameters)) => Some(parameters.clone()),
            Some(_) => {
                return Err(invalid("\"parameters\" must be an object, such as {\"common_name\": \"a.example\"}"));
            }
        };
        let revoke = match table.get("revoke") {
            None => false,
            Some(Value::Bool(revoke)) => *revoke,
            Some(_) => return Err(invalid("\"revoke\" must be true or false")),
        };
        let name = table.text("name")?.map_or_else(|| default_name(&path), str::to_owned);
        Ok(DynamicSettings { name, path, keys: KeyNames::read(&table)?, parameters, revoke })
    }

    /// Adds what decides which document is read to the identity of a process.
    pub(super) fn identify(&self, identity: &mut Identity) {
        identity.add("path", &self.path);
        // Parameters may be secret.
        let parameters = self.parameters.as_ref().map(|parameters| Value::Object(parameters.clone()).to_string());
        identity.add_hash("parameters", parameters.unwrap_or_default().as_bytes());
        self.keys.identify(identity);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Status;
    use crate::secrets::provider_table::MAX_NAME;

    fn read(setting: Value) -> Result<DynamicSettings> {
        DynamicSettings::read(setting.as_object().unwrap())
    }

    #[test]
    fn defaults_are_found_from_the_path() {
        let settings = read(json!({"vault_dynamic": "/v1/database/creds/trainer/"})).unwrap();
        assert_eq!((&*settings.path, &*settings.name), ("database/creds/trainer", "vault:database/creds/trainer"));
        assert!(!settings.revoke && settings.parameters.is_none() && settings.keys.serves("username"));
        let settings = read(json!({
            "vault_dynamic": "team/database/creds/a-very-long-name", "as": {"username": "U", "password": "P"},
            "revoke": true, "parameters": {},
        }))
        .unwrap();
        assert!(settings.revoke && settings.parameters.is_some());
        assert!(settings.keys.serves("U") && settings.keys.serves("P") && !settings.keys.serves("username"));
        assert!(settings.name.len() <= MAX_NAME && settings.name.ends_with("a-very-long-name"), "{}", settings.name);
    }

    #[test]
    fn invalid_settings_are_named_and_not_quoted() {
        for (setting, words) in [
            (json!({"vault_dynamic": ""}), "\"vault_dynamic\" must be a text"),
            (json!({"vault_dynamic": "database"}), "must be the path of a role"),
            (json!({"vault_dynamic": "a/../b"}), "contains `.` or `..`"),
            (json!({"vault_dynamic": "a/b", "as": "CANARY"}), "\"as\" must be an object"),
            (json!({"vault_dynamic": "a/b", "as": {}}), "\"as\" must be an object"),
            (json!({"vault_dynamic": "a/b", "as": {"x": 1}}), "\"as\" must be an object"),
            (json!({"vault_dynamic": "a/b", "as": {"x": ""}}), "\"as\": "),
            (json!({"vault_dynamic": "a/b", "as": {"x": "K", "y": "K"}}), "has the key \"K\" twice"),
            (json!({"vault_dynamic": "a/b", "parameters": "CANARY"}), "\"parameters\" must be an object"),
            (json!({"vault_dynamic": "a/b", "revoke": "CANARY"}), "\"revoke\" must be true or false"),
            (json!({"vault_dynamic": "a/b", "revok": true}), "did you mean \"revoke\"?"),
        ] {
            let error = read(setting).err().unwrap();
            assert_eq!(error.status(), Status::Config);
            assert!(error.message().contains(words) && !error.message().contains("CANARY"), "{error}");
        }
    }
}
