//! Which secrets are read. Names of Key Vault have only letters, digits and `-`, so that a key has `_` for each `-`.

use serde_json::{Map, Value};

use crate::config::Config;
use crate::error::Result;
use crate::secrets::cloud::{Filter, FilterWords, Named, Target, default_name, named};
use crate::secrets::provider_table::ProviderTable;
use crate::settings::{InvalidSetting, Setting, SettingOrigin};

pub(super) const PROVIDER: &str = "azure";
const SECRET_KEY: &str = "azure_secret_name";
const MAX_NAME: usize = 127;
const WORDS: FilterWords =
    FilterWords { member: "azure_secrets", labels: "tags", provider: PROVIDER, may_be_empty: true };

/// The secrets of `azure_secret_name`, or all of the vault.
pub(super) fn of_config(config: &Config) -> Result<Target, InvalidSetting> {
    let secrets = named(config, SECRET_KEY, parse)?;
    Ok(if secrets.is_empty() { Target::Listed(Filter::default()) } else { Target::Objects(secrets) })
}

/// What an element of `providers` reads, and the name of its provider.
pub(super) fn of_table(members: &Map<String, Value>) -> Result<(Target, String)> {
    if members.contains_key("azure_secrets") {
        return Filter::of_table(members, &WORDS, &[]).map(|(filter, name)| (Target::Listed(filter), name));
    }
    let table = ProviderTable::new(members, &["azure_secret", "as", "version", "name"])?;
    let setting = |text: &str| Setting::new(SettingOrigin::Config("providers"), text);
    let mut secret = parse(&setting(table.text("azure_secret")?.unwrap_or_default()))?;
    if let Some(version) = table.text("version")? {
        let setting = setting(version);
        if !is_name(version) {
            return Err(setting.invalid_value("is not a version, which has 32 hexadecimal digits").into());
        }
        secret.version = Some(version.to_owned());
    }
    let key = table.text("as")?.map_or_else(|| key_of(&secret.name), str::to_owned);
    let name = table.text("name")?.map_or_else(|| default_name(PROVIDER, &key), str::to_owned);
    Ok((Target::Value(secret, key), name))
}

/// The key of a secret: `HF-TOKEN` is `HF_TOKEN`.
pub(super) fn key_of(name: &str) -> String {
    name.replace('-', "_")
}

/// Parses `NAME` or `NAME/VERSION`.
fn parse(setting: &Setting) -> Result<Named, InvalidSetting> {
    let (name, version) = match setting.text().split_once('/') {
        Some((name, version)) => (name, Some(version)),
        None => (setting.text(), None),
    };
    if !is_name(name) || version.is_some_and(|version| !is_name(version)) {
        return Err(setting.invalid_value(
            "is not the name of a secret of Key Vault: 1 to 127 letters, digits and `-`, and /VERSION after it",
        ));
    }
    Ok(Named { parent: None, name: name.to_owned(), version: version.map(str::to_owned), field: None })
}

/// Whether this can be the name of a secret, or a version.
pub(super) fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_table(table: Value) -> Result<(Target, String)> {
        super::of_table(table.as_object().unwrap())
    }

    #[test]
    fn element_names_one_secret_and_its_key() {
        for (table, shown, key, name) in [
            (json!({"azure_secret": "db-password", "as": "DB"}), "db-password", "DB", "azure:DB"),
            (json!({"azure_secret": "DB-PASSWORD"}), "DB-PASSWORD", "DB_PASSWORD", "azure:DB_PASSWORD"),
            (json!({"azure_secret": "db/0a1b", "name": "x"}), "db/0a1b", "db", "x"),
            (json!({"azure_secret": "db", "version": "0a1b"}), "db/0a1b", "db", "azure:db"),
        ] {
            let (target, found) = of_table(table).unwrap();
            let Target::Value(secret, its_key) = target else { panic!("not one value") };
            assert_eq!((secret.shown().as_str(), its_key.as_str(), found.as_str()), (shown, key, name));
        }
        assert_eq!(of_table(json!({"azure_secrets": {}})).unwrap().1, "azure:all");
    }

    #[test]
    fn invalid_element_is_refused_with_the_reason() {
        for (table, words) in [
            (json!({"azure_secret": ""}), "\"azure_secret\" must be a text that is not empty"),
            (json!({"azure_secret": "db_password"}), "\"db_password\" is not the name of a secret"),
            (json!({"azure_secret": "a/b/c"}), "is not the name of a secret"),
            (json!({"azure_secret": "a", "version": "1/x"}), "is not a version"),
            (json!({"azure_secret": "a", "sa": "B"}), "did you mean \"as\"?"),
            (json!({"azure_secrets": {"labels": {}}}), "unknown member \"labels\""),
        ] {
            let error = of_table(table).map(drop).unwrap_err();
            assert!(error.message().contains(words), "{words}: {error}");
        }
    }
}
