//! Which secrets of an account a provider reads: those whose names have a prefix, or that have tags.

use serde_json::{Map, Value, json};

use super::selection::default_name;
use crate::error::Result;
use crate::secrets::json::SecretObject;
use crate::secrets::provider_table::{ProviderTable, invalid};
use crate::share::Identity;

const MAX_TEXT: usize = 512;

/// Conditions that a secret meets, all of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SecretFilter {
    /// What its name begins with; may be empty.
    pub(super) prefix: String,
    /// Keys and values of tags that it has.
    pub(super) tags: Vec<(String, String)>,
    /// Whether the values of the secrets are JSON objects of keys and values.
    pub(super) are_objects: bool,
}

impl SecretFilter {
    /// Reads an element of `providers`, such as `{"aws_secrets": {"prefix": "prod/", "tags": {"app": "x"}}}`. Returns
    /// the filter with the name of the provider.
    pub(super) fn of_table(members: &Map<String, Value>) -> Result<(SecretFilter, String)> {
        let table = ProviderTable::new(members, &["aws_secrets", "format", "name"])?;
        let conditions = table.get("aws_secrets").and_then(Value::as_object).ok_or_else(|| {
            invalid("\"aws_secrets\" must be an object such as {\"prefix\": \"prod/\", \"tags\": {\"app\": \"x\"}}")
        })?;
        let conditions = ProviderTable::new(conditions, &["prefix", "tags"])?;
        let prefix = conditions.text("prefix")?.unwrap_or_default().to_owned();
        let tags = tags(conditions.get("tags"))?;
        if prefix.is_empty() && tags.is_empty() {
            return Err(invalid("\"aws_secrets\" needs a \"prefix\" or \"tags\", which are not empty"));
        }
        if prefix.starts_with('!') || tags.first().is_some_and(|(key, _)| key.starts_with('!')) {
            return Err(invalid("\"aws_secrets\": a condition that begins with `!` means the opposite to AWS"));
        }
        let are_objects = match table.text("format")? {
            None | Some("value") => false,
            Some("json") => true,
            Some(_) => return Err(invalid("\"format\" of \"aws_secrets\" must be \"value\" or \"json\"")),
        };
        let name = match (table.text("name")?, tags.first()) {
            (Some(name), _) => name.to_owned(),
            (None, Some((key, value))) if prefix.is_empty() => default_name(&format!("{key}={value}")),
            (None, _) => default_name(&prefix),
        };
        Ok((SecretFilter { prefix, tags, are_objects }, name))
    }

    /// The `Filters` of ListSecrets, which select at least these secrets: tags there are prefixes.
    pub(super) fn to_request(&self) -> Value {
        let mut filters = Vec::new();
        if !self.prefix.is_empty() {
            filters.push(json!({"Key": "name", "Values": [self.prefix]}));
        }
        if let Some((key, _)) = self.tags.first() {
            filters.push(json!({"Key": "tag-key", "Values": [key]}));
        }
        json!(filters)
    }

    /// Whether an element of the response meets the conditions. Returns its name.
    pub(super) fn name_of(&self, item: &SecretObject) -> Option<String> {
        let name = item.text("Name").filter(|name| name.starts_with(&self.prefix))?;
        let tags = item.objects("Tags").unwrap_or_default();
        let has = |(key, value): &(String, String)| {
            tags.iter().any(|tag| tag.text("Key") == Some(key) && tag.text("Value").unwrap_or_default() == value)
        };
        (self.tags.iter().all(has) && item.get("DeletedDate").is_none()).then(|| name.to_owned())
    }

    /// The key of a secret with this name, if its value is one.
    pub(super) fn key<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(&self.prefix).filter(|key| !key.is_empty()).unwrap_or(name)
    }

    pub(super) fn identify(&self, identity: &mut Identity) {
        identity.add("prefix", &self.prefix);
        for (key, value) in &self.tags {
            identity.add("tag", key);
            identity.add("value of the tag", value);
        }
        identity.add("objects", if self.are_objects { "true" } else { "false" });
    }

    /// Returns `secrets "prod/*" with the tag "app"`, for messages.
    pub(super) fn describe(&self) -> String {
        let tags: Vec<String> =
            self.tags.iter().map(|(key, value)| format!("{:?}", format!("{key}={value}"))).collect();
        match (tags.as_slice(), self.prefix.as_str()) {
            ([], prefix) => format!("secrets {:?}", format!("{prefix}*")),
            (tags, "") => format!("secrets tagged {}", tags.join(", ")),
            (tags, prefix) => format!("secrets {:?} tagged {}", format!("{prefix}*"), tags.join(", ")),
        }
    }
}

fn tags(setting: Option<&Value>) -> Result<Vec<(String, String)>> {
    let none = Map::new();
    let tag = |(key, value): (&String, &Value)| {
        let value = value.as_str().filter(|value| value.len() <= MAX_TEXT)?;
        (1..=MAX_TEXT).contains(&key.len()).then(|| (key.clone(), value.to_owned()))
    };
    let tags = setting.map_or(Some(&none), Value::as_object);
    tags.and_then(|tags| tags.iter().map(tag).collect())
        .ok_or_else(|| invalid("\"tags\" of \"aws_secrets\" must be an object of keys and texts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(table: Value) -> Result<(SecretFilter, String)> {
        SecretFilter::of_table(table.as_object().unwrap())
    }

    #[test]
    fn conditions_are_sent_and_checked_again() {
        let (filter, name) =
            read(json!({"aws_secrets": {"prefix": "prod/", "tags": {"app": "x", "tier": ""}}})).unwrap();
        assert_eq!(name, "aws:prod/");
        let expected = json!([{"Key": "name", "Values": ["prod/"]}, {"Key": "tag-key", "Values": ["app"]}]);
        assert_eq!(filter.to_request(), expected);
        let item = |name: &str, tags: Value, deleted: Value| {
            let item = json!({"Name": name, "Tags": tags, "DeletedDate": deleted}).to_string();
            filter.name_of(&SecretObject::parse(item.as_bytes()).unwrap())
        };
        let both = json!([{"Key": "tier", "Value": ""}, {"Key": "app", "Value": "x"}]);
        assert_eq!(item("prod/a", both.clone(), Value::Null).as_deref(), Some("prod/a"));
        assert_eq!(item("dev/a", both.clone(), Value::Null), None);
        assert_eq!(item("prod/a", both, json!(1.5)), None, "it is marked for deletion");
        assert_eq!(item("prod/a", json!([{"Key": "app", "Value": "x"}]), Value::Null), None);
        let near = json!([{"Key": "tier", "Value": ""}, {"Key": "app", "Value": "xy"}]);
        assert_eq!(item("prod/a", near, Value::Null), None);
        assert_eq!((filter.key("prod/a/b"), filter.key("prod/")), ("a/b", "prod/"));
        assert_eq!(read(json!({"aws_secrets": {"tags": {"app": "x"}}})).unwrap().1, "aws:app=x");
    }

    #[test]
    fn invalid_conditions_are_refused_with_the_reason() {
        for (table, words) in [
            (json!({"aws_secrets": "prod/"}), "\"aws_secrets\" must be an object"),
            (json!({"aws_secrets": {}}), "needs a \"prefix\" or \"tags\""),
            (json!({"aws_secrets": {"tags": {}}}), "needs a \"prefix\" or \"tags\""),
            (json!({"aws_secrets": {"prefix": ""}}), "\"prefix\" must be a text that is not empty"),
            (json!({"aws_secrets": {"prefix": "!a"}}), "begins with `!`"),
            (json!({"aws_secrets": {"tags": ["a"]}}), "must be an object of keys and texts"),
            (json!({"aws_secrets": {"tags": {"a": 1}}}), "must be an object of keys and texts"),
            (json!({"aws_secrets": {"prefixes": "a"}}), "did you mean \"prefix\"?"),
            (json!({"aws_secrets": {"prefix": "a"}, "format": "yaml"}), "must be \"value\" or \"json\""),
            (json!({"aws_secrets": {"prefix": "a"}, "as": "A"}), "unknown member \"as\""),
        ] {
            let error = read(table).map(drop).unwrap_err();
            assert!(error.message().starts_with("the configuration key `providers`: "), "{error}");
            assert!(error.message().contains(words), "{words}: {error}");
        }
    }
}
