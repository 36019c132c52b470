//! Which secrets are read: names of secrets, projects and locations.

use serde_json::{Map, Value};

use crate::config::Config;
use crate::error::Result;
use crate::secrets::cloud::{Filter, FilterWords, Named, Target, default_name, named};
use crate::secrets::provider_table::ProviderTable;
use crate::settings::{InvalidSetting, Setting, SettingOrigin};

pub(super) const PROVIDER: &str = "google";
const SECRET_KEY: &str = "google_secret_name";
const MAX_NAME: usize = 255;
const WORDS: FilterWords =
    FilterWords { member: "google_secrets", labels: "labels", provider: PROVIDER, may_be_empty: false };

/// The secrets of `google_secret_name`; `None` if there are none.
pub(super) fn of_config(config: &Config) -> Result<Option<Target>, InvalidSetting> {
    let secrets = named(config, SECRET_KEY, parse)?;
    Ok((!secrets.is_empty()).then_some(Target::Objects(secrets)))
}

/// What an element of `providers` reads, and the name of its provider.
pub(super) fn of_table(members: &Map<String, Value>) -> Result<(Target, String)> {
    if members.contains_key("google_secrets") {
        return Filter::of_table(members, &WORDS, &[]).map(|(filter, name)| (Target::Listed(filter), name));
    }
    let table = ProviderTable::new(members, &["google_secret", "as", "version", "name"])?;
    let setting = |text: &str| Setting::new(SettingOrigin::Config("providers"), text);
    let mut secret = parse(&setting(table.text("google_secret")?.unwrap_or_default()))?;
    if let Some(version) = table.text("version")? {
        secret.version = Some(checked_version(&setting(version))?);
    }
    let key = table.text("as")?.unwrap_or(&secret.name).to_owned();
    let name = table.text("name")?.map_or_else(|| default_name(PROVIDER, &key), str::to_owned);
    Ok((Target::Value(secret, key), name))
}

/// Parses `NAME`, `NAME/versions/VERSION`, or the same below `projects/PROJECT/secrets/` or
/// `projects/PROJECT/locations/LOCATION/secrets/`.
fn parse(setting: &Setting) -> Result<Named, InvalidSetting> {
    let invalid = || {
        setting.invalid_value(
            "is not the name of a secret: 1 to 255 letters, digits, `_` and `-`, or \
             projects/PROJECT/secrets/NAME, and /versions/VERSION after it",
        )
    };
    let words: Vec<&str> = setting.text().split('/').collect();
    let (parent, rest) = match words.as_slice() {
        ["projects", project, "secrets", rest @ ..] if is_project(project) => {
            (Some(format!("projects/{project}/secrets")), rest)
        }
        ["projects", project, "locations", location, "secrets", rest @ ..]
            if is_project(project) && is_location(location) =>
        {
            (Some(format!("projects/{project}/locations/{location}/secrets")), rest)
        }
        rest => (None, rest),
    };
    let (name, version) = match rest {
        [name] => (*name, None),
        [name, "versions", version] if is_name(version) => (*name, Some((*version).to_owned())),
        _ => return Err(invalid()),
    };
    if !is_name(name) {
        return Err(invalid());
    }
    Ok(Named { parent, name: name.to_owned(), version, field: None })
}

fn checked_version(setting: &Setting) -> Result<String, InvalidSetting> {
    match is_name(setting.text()) {
        true => Ok(setting.text().to_owned()),
        false => Err(setting.invalid_value("is not a version: a number, an alias, or \"latest\"")),
    }
}

/// Whether this can be the name of a secret, or a version.
pub(super) fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Whether this can be the identifier or the number of a project: `train-1`, `example.com:train`.
pub(super) fn is_project(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte))
}

/// Whether this can be a location: `europe-west3`.
pub(super) fn is_location(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
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
            (json!({"google_secret": "db", "as": "DB_PASSWORD"}), "db", "DB_PASSWORD", "google:DB_PASSWORD"),
            (json!({"google_secret": "db", "version": "7", "name": "x"}), "db/7", "db", "x"),
            (json!({"google_secret": "db/versions/prod"}), "db/prod", "db", "google:db"),
            (json!({"google_secret": "projects/p-1/secrets/db"}), "projects/p-1/secrets/db", "db", "google:db"),
            (
                json!({"google_secret": "projects/12/locations/us-east1/secrets/db/versions/2"}),
                "projects/12/locations/us-east1/secrets/db/2",
                "db",
                "google:db",
            ),
        ] {
            let (target, found) = of_table(table).unwrap();
            let Target::Value(secret, its_key) = target else { panic!("not one value") };
            assert_eq!((secret.shown().as_str(), its_key.as_str(), found.as_str()), (shown, key, name));
        }
    }

    #[test]
    fn invalid_element_is_refused_with_the_reason() {
        for (table, words) in [
            (json!({"google_secret": ""}), "\"google_secret\" must be a text that is not empty"),
            (json!({"google_secret": "a b"}), "\"a b\" is not the name of a secret"),
            (json!({"google_secret": "../a"}), "is not the name of a secret"),
            (json!({"google_secret": "projects/P/secrets/a"}), "is not the name of a secret"),
            (json!({"google_secret": "a/versions/1?x"}), "is not the name of a secret"),
            (json!({"google_secret": "a", "version": "1/x"}), "is not a version"),
            (json!({"google_secret": "a", "sa": "B"}), "unknown member \"sa\" of a provider; did you mean \"as\"?"),
            (json!({"google_secrets": {}}), "needs a \"prefix\" or \"labels\""),
        ] {
            let error = of_table(table).map(drop).unwrap_err();
            assert!(error.message().contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn setting_names_secrets_once() {
        let mut config = Config::new();
        assert!(of_config(&config).unwrap().is_none());
        config.set(SECRET_KEY, r#"["a", " b ", "a"]"#).unwrap();
        let Some(Target::Objects(secrets)) = of_config(&config).unwrap() else { panic!("no secrets") };
        assert_eq!(secrets.iter().map(Named::shown).collect::<Vec<_>>(), ["a", "b"]);
        config.set(SECRET_KEY, "a/b").unwrap();
        assert!(of_config(&config).is_err());
    }
}
