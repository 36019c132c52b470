//! Which items and fields are read.

use serde_json::{Map, Value};

use crate::config::Config;
use crate::error::Result;
use crate::secrets::cloud::{Named, Target, default_name, named};
use crate::secrets::provider_table::{ProviderTable, invalid};
use crate::settings::{InvalidSetting, Setting, SettingOrigin};

pub(super) const PROVIDER: &str = "onepassword";
const ITEM_KEY: &str = "onepassword_item";
const MAX_NAME: usize = 255;
const ID_LENGTH: usize = 26;

/// The items of `onepassword_item`; `None` if there are none.
pub(super) fn of_config(config: &Config) -> Result<Option<Target>, InvalidSetting> {
    let items = named(config, ITEM_KEY, |setting| {
        check(setting)?;
        Ok(Named::new(setting.text()))
    })?;
    Ok((!items.is_empty()).then_some(Target::Objects(items)))
}

/// What an element of `providers` reads, its vault if it has one, and the name of its provider.
pub(super) fn of_table(members: &Map<String, Value>) -> Result<(Target, Option<String>, String)> {
    let table = ProviderTable::new(members, &[ITEM_KEY, "vault", "field", "as", "name"])?;
    let text = |name: &str| -> Result<Option<String>> {
        let Some(text) = table.text(name)? else { return Ok(None) };
        check(&Setting::new(SettingOrigin::Config("providers"), text))?;
        Ok(Some(text.to_owned()))
    };
    let (item, field) = (text(ITEM_KEY)?.unwrap_or_default(), text("field")?);
    let secret = Named { parent: None, name: item.clone(), version: None, field: field.clone() };
    let target = match (&field, table.text("as")?) {
        (Some(field), key) => {
            let key = key.unwrap_or_else(|| field.rsplit('/').next().unwrap_or(field)).to_owned();
            Target::Value(secret, key)
        }
        (None, None) => Target::Objects(vec![secret]),
        (None, Some(_)) => return Err(invalid("\"as\" needs the \"field\" whose value it is")),
    };
    let key = match &target {
        Target::Value(_, key) => key,
        _ => &item,
    };
    let name = table.text("name")?.map_or_else(|| default_name(PROVIDER, key), str::to_owned);
    Ok((target, text("vault")?, name))
}

/// Checks the name or the identifier of an item, a vault or a field.
pub(super) fn check(setting: &Setting) -> Result<(), InvalidSetting> {
    let text = setting.text();
    // A filter quotes names.
    let is_valid = (1..=MAX_NAME).contains(&text.len()) && !text.contains(['"', '\\']);
    match is_valid && !text.contains(char::is_control) {
        true => Ok(()),
        false => Err(setting.invalid("must have 1 to 255 bytes, without `\"` and `\\`; use the identifier instead")),
    }
}

/// Whether this has the form of an identifier, as in 1Password's own clients.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_table(table: Value) -> Result<(Target, Option<String>, String)> {
        super::of_table(table.as_object().unwrap())
    }

    #[test]
    fn element_names_an_item_or_one_field() {
        for (table, shown, key, name) in [
            (json!({"onepassword_item": "db", "field": "password"}), "db/password", "password", "onepassword:password"),
            (
                json!({"onepassword_item": "db", "vault": "ML team", "field": "admin/password", "as": "DB"}),
                "db/admin/password",
                "DB",
                "onepassword:DB",
            ),
        ] {
            let (target, _, found) = of_table(table).unwrap();
            let Target::Value(secret, its_key) = target else { panic!("not one value") };
            assert_eq!((secret.shown().as_str(), its_key.as_str(), found.as_str()), (shown, key, name));
        }
        let (target, vault, name) = of_table(json!({"onepassword_item": "db", "vault": "v"})).unwrap();
        let Target::Objects(items) = target else { panic!("one value") };
        assert_eq!((items[0].shown().as_str(), vault.as_deref(), name.as_str()), ("db", Some("v"), "onepassword:db"));
    }

    #[test]
    fn invalid_element_is_refused_with_the_reason() {
        for (table, words) in [
            (json!({"onepassword_item": ""}), "must be a text that is not empty"),
            (json!({"onepassword_item": "a\" or title eq \"b"}), "without `\"`"),
            (json!({"onepassword_item": "a", "vault": "b\\"}), "without `\"`"),
            (json!({"onepassword_item": "a", "as": "B"}), "\"as\" needs the \"field\""),
            (json!({"onepassword_item": "a", "feild": "B"}), "did you mean \"field\"?"),
        ] {
            let error = of_table(table).map(drop).unwrap_err();
            assert!(error.message().contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn identifier_is_recognized() {
        assert!(is_id("ftz4pm2xxwmwrsd7rjqn7grzfz"));
        assert!(!is_id("ftz4pm2xxwmwrsd7rjqn7grzf") && !is_id("Ftz4pm2xxwmwrsd7rjqn7grzfz"));
    }
}
