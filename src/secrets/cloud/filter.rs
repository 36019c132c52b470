//! Which of all secrets a provider reads: those whose names have a prefix, or that have labels.

use serde_json::{Map, Value};

use super::named::default_name;
use crate::error::Result;
use crate::secrets::json::SecretObject;
use crate::secrets::provider_table::{ProviderTable, invalid};
use crate::share::Identity;

const MAX_TEXT: usize = 512;

/// Conditions that a secret meets, all of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::secrets) struct Filter {
    /// What its name begins with; may be empty.
    pub(in crate::secrets) prefix: String,
    /// Names and values of labels that it has.
    pub(in crate::secrets) labels: Vec<(String, String)>,
    /// Whether the values of the secrets are JSON objects of keys and values.
    pub(in crate::secrets) are_objects: bool,
}

/// The words of one cloud in an element of `providers`.
pub(in crate::secrets) struct FilterWords {
    /// `google_secrets`
    pub(in crate::secrets) member: &'static str,
    /// `labels`, `tags`
    pub(in crate::secrets) labels: &'static str,
    /// `google`
    pub(in crate::secrets) provider: &'static str,
    /// Whether all secrets may be read.
    pub(in crate::secrets) may_be_empty: bool,
}

impl Filter {
    /// Reads an element of `providers`, such as `{"google_secrets": {"prefix": "prod-", "labels": {"app": "x"}}}`.
    /// Returns the filter with the name of the provider.
    pub(in crate::secrets) fn of_table(
        members: &Map<String, Value>,
        words: &FilterWords,
        others: &[&str],
    ) -> Result<(Filter, String)> {
        let FilterWords { member, labels: labels_name, provider, may_be_empty } = *words;
        let table = ProviderTable::new(members, &[&[member, "format", "name"], others].concat())?;
        let example = format!("{{\"prefix\": \"prod-\", \"{labels_name}\": {{\"app\": \"x\"}}}}");
        let conditions = table.get(member).and_then(Value::as_object);
        let conditions =
            conditions.ok_or_else(|| invalid(format!("\"{member}\" must be an object such as {example}")))?;
        let conditions = ProviderTable::new(conditions, &["prefix", labels_name])?;
        let prefix = conditions.text("prefix")?.unwrap_or_default().to_owned();
        let labels = labels(conditions.get(labels_name)).ok_or_else(|| {
            invalid(format!("\"{labels_name}\" of \"{member}\" must be an object of names and texts without quotes"))
        })?;
        if prefix.is_empty() && labels.is_empty() && !may_be_empty {
            let what = format!("\"{member}\" needs a \"prefix\" or \"{labels_name}\", which are not empty");
            return Err(invalid(what));
        }
        let are_objects = match table.text("format")? {
            None | Some("value") => false,
            Some("json") => true,
            Some(_) => return Err(invalid(format!("\"format\" of \"{member}\" must be \"value\" or \"json\""))),
        };
        let name = match (table.text("name")?, labels.first()) {
            (Some(name), _) => name.to_owned(),
            (None, Some((name, value))) if prefix.is_empty() => default_name(provider, &format!("{name}={value}")),
            (None, _) if prefix.is_empty() => default_name(provider, "all"),
            (None, _) => default_name(provider, &prefix),
        };
        Ok((Filter { prefix, labels, are_objects }, name))
    }

    /// Whether a secret with this name and these labels meets the conditions.
    pub(in crate::secrets) fn accepts(&self, name: &str, labels: Option<&SecretObject>) -> bool {
        let has = |(name, value): &(String, String)| {
            labels.is_some_and(|labels| labels.texts().any(|(other, its)| other == name && its == value))
        };
        name.starts_with(&self.prefix) && self.labels.iter().all(has)
    }

    /// The key of a secret: its name without the prefix.
    pub(in crate::secrets) fn key<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(&*self.prefix).filter(|rest| !rest.is_empty()).unwrap_or(name)
    }

    pub(super) fn identify(&self, identity: &mut Identity) {
        identity.add("prefix", &self.prefix);
        for (name, value) in &self.labels {
            identity.add("label", name);
            identity.add("value of the label", value);
        }
        identity.add("objects", if self.are_objects { "true" } else { "false" });
    }

    /// Returns `secrets "prod-*" labelled "app=x"`, for messages.
    pub(super) fn describe(&self) -> String {
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("\"{name}={value}\"")).collect();
        match (labels.as_slice(), self.prefix.as_str()) {
            ([], "") => "all secrets".to_owned(),
            ([], prefix) => format!("secrets \"{prefix}*\""),
            (labels, "") => format!("secrets labelled {}", labels.join(", ")),
            (labels, prefix) => format!("secrets \"{prefix}*\" labelled {}", labels.join(", ")),
        }
    }
}

fn labels(setting: Option<&Value>) -> Option<Vec<(String, String)>> {
    let is_valid =
        |text: &str| text.len() <= MAX_TEXT && !text.contains(['"', '\\']) && !text.contains(char::is_control);
    let label = |(name, value): (&String, &Value)| {
        let value = value.as_str().filter(|value| is_valid(value))?;
        (!name.is_empty() && is_valid(name)).then(|| (name.clone(), value.to_owned()))
    };
    match setting {
        None => Some(Vec::new()),
        Some(setting) => setting.as_object()?.iter().map(label).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WORDS: FilterWords =
        FilterWords { member: "google_secrets", labels: "labels", provider: "google", may_be_empty: false };

    fn read(table: Value) -> Result<(Filter, String)> {
        Filter::of_table(table.as_object().unwrap(), &WORDS, &["project"])
    }

    #[test]
    fn conditions_are_checked() {
        let table = json!({"google_secrets": {"prefix": "prod-", "labels": {"app": "x", "tier": ""}}, "project": "p"});
        let (filter, name) = read(table).unwrap();
        assert_eq!(name, "google:prod-");
        let accepts = |name: &str, labels: Value| {
            filter.accepts(name, SecretObject::parse(labels.to_string().as_bytes()).as_ref())
        };
        assert!(accepts("prod-a", json!({"tier": "", "app": "x"})));
        assert!(!accepts("dev-a", json!({"tier": "", "app": "x"})));
        assert!(!accepts("prod-a", json!({"tier": "", "app": "xy"})));
        assert!(!accepts("prod-a", json!({"app": "x"})));
        assert!(!filter.accepts("prod-a", None));
        assert_eq!((filter.key("prod-a-b"), filter.key("prod-")), ("a-b", "prod-"));
        assert_eq!(read(json!({"google_secrets": {"labels": {"app": "x"}}})).unwrap().1, "google:app=x");
    }

    #[test]
    fn invalid_conditions_are_refused_with_the_reason() {
        for (table, words) in [
            (json!({"google_secrets": "prod-"}), "\"google_secrets\" must be an object"),
            (json!({"google_secrets": {}}), "needs a \"prefix\" or \"labels\""),
            (json!({"google_secrets": {"prefix": ""}}), "\"prefix\" must be a text that is not empty"),
            (json!({"google_secrets": {"labels": ["a"]}}), "must be an object of names and texts"),
            (json!({"google_secrets": {"labels": {"a": "\" OR x"}}}), "must be an object of names and texts"),
            (json!({"google_secrets": {"prefixes": "a"}}), "did you mean \"prefix\"?"),
            (json!({"google_secrets": {"prefix": "a"}, "format": "yaml"}), "must be \"value\" or \"json\""),
            (json!({"google_secrets": {"prefix": "a"}, "as": "A"}), "unknown member \"as\""),
        ] {
            let error = read(table).map(drop).unwrap_err();
            assert!(error.message().starts_with("the configuration key `providers`: "), "{error}");
            assert!(error.message().contains(words), "{words}: {error}");
        }
    }
}
