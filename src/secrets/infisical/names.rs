//! Which paths and secrets are read.

use serde_json::{Map, Value};

use crate::config::Config;
use crate::error::Result;
use crate::secrets::cloud::{Named, Target, default_name, named};
use crate::secrets::provider_table::ProviderTable;
use crate::settings::{InvalidSetting, Setting, SettingOrigin};

pub(super) const PROVIDER: &str = "infisical";
const PATH_KEY: &str = "infisical_path";
const MAX_PATH: usize = 1000;
const MAX_NAME: usize = 255;

/// What an element of `providers` sets besides.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SecretPlace {
    pub(super) project: Option<String>,
    pub(super) environment: Option<String>,
}

/// The paths of `infisical_path`, or the topmost one.
pub(super) fn of_config(config: &Config) -> Result<Target, InvalidSetting> {
    let mut paths = named(config, PATH_KEY, |setting| Ok(Named::new(&checked_path(setting)?)))?;
    if paths.is_empty() {
        paths.push(Named::new("/"));
    }
    Ok(Target::Objects(paths))
}

/// What an element of `providers` reads and where, and the name of its provider.
pub(super) fn of_table(members: &Map<String, Value>) -> Result<(Target, SecretPlace, String)> {
    let is_secret = members.contains_key("infisical_secret");
    let own: &[&str] = if is_secret { &["infisical_secret", "path", "as"] } else { &[PATH_KEY] };
    let table = ProviderTable::new(members, &[own, &["project", "environment", "name"]].concat())?;
    let setting = |name: &str| -> Result<Option<Setting>> {
        Ok(table.text(name)?.map(|text| Setting::new(SettingOrigin::Config("providers"), text)))
    };
    let text = |name: &str, is_valid: fn(&Setting) -> Result<String, InvalidSetting>| -> Result<Option<String>> {
        Ok(setting(name)?.as_ref().map(is_valid).transpose()?)
    };
    let place = SecretPlace { project: text("project", slug)?, environment: text("environment", slug)? };
    if !is_secret {
        let path = text(PATH_KEY, checked_path)?.unwrap_or_default();
        let name = table.text("name")?.map_or_else(|| default_name(PROVIDER, &path), str::to_owned);
        return Ok((Target::Objects(vec![Named::new(&path)]), place, name));
    }
    let secret = text("infisical_secret", secret)?.unwrap_or_default();
    let parent = text("path", checked_path)?.unwrap_or_default().trim_end_matches('/').to_owned();
    let key = table.text("as")?.unwrap_or(&secret).to_owned();
    let name = table.text("name")?.map_or_else(|| default_name(PROVIDER, &key), str::to_owned);
    Ok((Target::Value(Named { parent: Some(parent), ..Named::new(&secret) }, key), place, name))
}

/// Checks a path, and returns it without `/` at its end.
fn checked_path(setting: &Setting) -> Result<String, InvalidSetting> {
    let path = setting.text();
    if !path.starts_with('/') || path.len() > MAX_PATH || path.contains("//") || path.contains(char::is_control) {
        return Err(setting.invalid_value("is not a path, such as /train"));
    }
    Ok(if path == "/" { path.to_owned() } else { path.trim_end_matches('/').to_owned() })
}

fn secret(setting: &Setting) -> Result<String, InvalidSetting> {
    let name = setting.text();
    let is_valid = (1..=MAX_NAME).contains(&name.len()) && !name.contains('/') && !name.contains(char::is_control);
    match is_valid {
        true => Ok(name.to_owned()),
        false => Err(setting.invalid_value("is not the name of a secret; set its path with \"path\"")),
    }
}

/// Checks the identifier of a project or the slug of an environment.
pub(super) fn slug(setting: &Setting) -> Result<String, InvalidSetting> {
    let text = setting.text();
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    match (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_valid) {
        true => Ok(text.to_owned()),
        false => Err(setting.invalid_value("is not an identifier: letters, digits, `_` and `-`")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_table(table: Value) -> Result<(Target, SecretPlace, String)> {
        super::of_table(table.as_object().unwrap())
    }

    #[test]
    fn element_names_a_path_or_one_secret() {
        let (target, place, name) = of_table(json!({"infisical_path": "/train/", "environment": "dev"})).unwrap();
        let Target::Objects(paths) = target else { panic!("one value") };
        assert_eq!((paths[0].shown().as_str(), name.as_str()), ("/train", "infisical:/train"));
        assert_eq!(place, SecretPlace { project: None, environment: Some("dev".to_owned()) });
        for (table, shown, key, name) in [
            (json!({"infisical_secret": "HF", "as": "HF_TOKEN"}), "/HF", "HF_TOKEN", "infisical:HF_TOKEN"),
            (json!({"infisical_secret": "HF", "path": "/"}), "/HF", "HF", "infisical:HF"),
            (json!({"infisical_secret": "HF", "path": "/a/b", "name": "x"}), "/a/b/HF", "HF", "x"),
        ] {
            let (target, _, found) = of_table(table).unwrap();
            let Target::Value(secret, its_key) = target else { panic!("not one value") };
            assert_eq!((secret.shown().as_str(), its_key.as_str(), found.as_str()), (shown, key, name));
        }
    }

    #[test]
    fn invalid_element_is_refused_with_the_reason() {
        for (table, words) in [
            (json!({"infisical_path": "train"}), "\"train\" is not a path"),
            (json!({"infisical_path": "/a//b"}), "is not a path"),
            (json!({"infisical_path": "/", "as": "A"}), "unknown member \"as\""),
            (json!({"infisical_secret": "a/b"}), "set its path with \"path\""),
            (json!({"infisical_secret": "a", "environment": "a&b"}), "is not an identifier"),
            (json!({"infisical_secret": "a", "enviroment": "b"}), "did you mean \"environment\"?"),
        ] {
            let error = of_table(table).map(drop).unwrap_err();
            assert!(error.message().contains(words), "{words}: {error}");
        }
    }
}
