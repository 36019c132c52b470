//! An element of `providers` for a dynamic secret:
//! `{"vault_dynamic": "database/creds/trainer", "as": {"username": "DB_USER", "password": "DB_PASSWORD"}}`.

use serde_json::{Map, Value};

use super::address;
use crate::error::Result;
use crate::secrets::key::check_key;
use crate::secrets::provider_table::{MAX_NAME, ProviderTable, invalid};
use crate::settings::{Setting, SettingOrigin};
use crate::share::Identity;

const MEMBERS: [&str; 5] = ["vault_dynamic", "as", "name", "parameters", "revoke"];
const PREFIX: &str = "vault:";

pub(super) struct DynamicSettings {
    pub(super) name: String,
    /// The path of the API, without `/v1/`.
    pub(super) path: String,
    /// Which members of the response are secrets, and their keys; `None`: all, under their own names.
    pub(super) keys: Option<Vec<(String, String)>>,
    /// The body of the request, which is a POST then.
    pub(super) parameters: Option<Map<String, Value>>,
    /// Whether the lease is revoked when the manager is closed.
    pub(super) revoke: bool,
}

impl DynamicSettings {
    pub(super) fn read(members: &Map<String, Value>) -> Result<DynamicSettings> {
        let table = ProviderTable::new(members, &MEMBERS)?;
        let text = table.text("vault_dynamic")?.unwrap_or_default();
        let given = Setting::new(SettingOrigin::Config("providers"), text);
        let path = address::path(&given).map_err(|invalid| invalid.error)?.unwrap_or_default();
        let path = path.strip_prefix("v1/").unwrap_or(&path).to_owned();
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
        Ok(DynamicSettings { name, path, keys: keys(table.get("as"))?, parameters, revoke })
    }

    /// Whether the document might have this key.
    pub(super) fn serves(&self, key: &str) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.iter().any(|(_, own)| own == key))
    }

    /// Adds what decides which document is read to the identity of a process.
    pub(super) fn identify(&self, identity: &mut Identity) {
        identity.add("path", &self.path);
        // Parameters may be secret.
        let parameters = self.parameters.as_ref().map(|parameters| Value::Object(parameters.clone()).to_string());
        identity.add_hash("parameters", parameters.unwrap_or_default().as_bytes());
        for (member, key) in self.keys.iter().flatten() {
            identity.add(member, key);
        }
    }
}

fn keys(setting: Option<&Value>) -> Result<Option<Vec<(String, String)>>> {
    let Some(setting) = setting else { return Ok(None) };
    let wrong = || {
        invalid(
            "\"as\" must be an object of members of the response and their keys, such as {\"password\": \"DB_PASSWORD\"}",
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
    Ok(Some(keys))
}

/// The name of a provider without one: as much of the end of its path as fits.
fn default_name(path: &str) -> String {
    let start = path.len().saturating_sub(MAX_NAME - PREFIX.len());
    let start = (start..=path.len()).find(|at| path.is_char_boundary(*at)).unwrap_or(path.len());
    format!("{PREFIX}{}", &path[start..])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Status;

    fn read(setting: Value) -> Result<DynamicSettings> {
        DynamicSettings::read(setting.as_object().unwrap())
    }

    #[test]
    fn defaults_are_found_from_the_path() {
        let settings = read(json!({"vault_dynamic": "/v1/database/creds/trainer/"})).unwrap();
        assert_eq!((&*settings.path, &*settings.name), ("database/creds/trainer", "vault:database/creds/trainer"));
        assert!(!settings.revoke && settings.parameters.is_none() && settings.serves("username"));
        let settings = read(json!({
            "vault_dynamic": "team/database/creds/a-very-long-name", "as": {"username": "U", "password": "P"},
            "revoke": true, "parameters": {},
        }))
        .unwrap();
        assert!(settings.revoke && settings.parameters.is_some());
        assert!(settings.serves("U") && settings.serves("P") && !settings.serves("username"));
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
