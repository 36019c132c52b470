//! Elements of `providers` that are objects: providers with settings of their own.

use serde_json::{Map, Value};

use crate::config::nearest;
use crate::error::{Error, Result, Status};
use crate::features::is_compiled;
use crate::settings::excerpt;

/// The maximum length of the name of a provider, in bytes. It must fit into `st_secret_info`.
pub(super) const MAX_NAME: usize = 31;
/// The member that says what kind of provider an object describes.
const KINDS: [&str; 13] = [
    "aws_secret",
    "aws_secrets",
    "azure_secret",
    "azure_secrets",
    "exec",
    "google_secret",
    "google_secrets",
    "infisical_path",
    "infisical_secret",
    "kubernetes_secret",
    "onepassword_item",
    "vault_dynamic",
    "vault_secret",
];

/// The settings of one provider.
pub(super) struct ProviderTable<'a>(&'a Map<String, Value>);

impl<'a> ProviderTable<'a> {
    /// Checks that the object has no other members than these.
    pub(super) fn new(members: &'a Map<String, Value>, known: &[&str]) -> Result<ProviderTable<'a>> {
        if let Some(unknown) = members.keys().find(|name| !known.contains(&name.as_str())) {
            let hint = match nearest(unknown, known.iter().copied()) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("the known ones are {}", known.join(", ")),
            };
            return Err(invalid(format!("unknown member {:?} of a provider; {hint}", excerpt(unknown))));
        }
        Ok(ProviderTable(members))
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name)
    }

    /// Returns the texts of a member that is one text or several, none of them empty.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&'a str>> {
        let text = |value: &'a Value| value.as_str().filter(|text| !text.is_empty());
        let texts: Option<Vec<&str>> = match self.0.get(name) {
            Some(Value::Array(values)) => values.iter().map(text).collect(),
            value => value.and_then(text).map(|text| vec![text]),
        };
        let texts = texts.filter(|texts| !texts.is_empty());
        texts.ok_or_else(|| invalid(format!("{name:?} must be a text that is not empty, or several such texts")))
    }

    /// Returns a text that is not empty.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.as_str())),
            Some(_) => Err(invalid(format!("{name:?} must be a text that is not empty"))),
        }
    }
}

/// The kind of provider that an object describes.
pub(super) fn kind(members: &Map<String, Value>) -> Option<&'static str> {
    KINDS.into_iter().find(|kind| members.contains_key(*kind))
}

/// The error for an object that describes no provider.
pub(super) fn unknown_kind(members: &Map<String, Value>) -> Error {
    let meant = members.keys().find_map(|name| nearest(name, KINDS.into_iter()));
    let hint = meant.map_or(String::new(), |kind| format!("; did you mean {kind:?}?"));
    let kinds: Vec<String> =
        KINDS.into_iter().filter(|kind| is_compiled(kind)).map(|kind| format!("{kind:?}")).collect();
    let kinds = kinds.join(", ");
    invalid(format!("an object needs a member that says what it describes, one of {kinds}{hint}"))
}

/// The error for a setting in an element of `providers`.
pub(super) fn invalid(what: impl AsRef<str>) -> Error {
    Error::new(Status::Config, format!("the configuration key `providers`: {}", what.as_ref()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_kind_names_all_kinds() {
        let error = unknown_kind(json!({"CANARY": "CANARY"}).as_object().unwrap());
        for kind in KINDS.into_iter().filter(|kind| is_compiled(kind)) {
            assert!(error.message().contains(&format!("{kind:?}")), "{error}");
        }
        assert!(!error.message().contains("CANARY") && !error.message().contains("did you mean"), "{error}");
        let error = unknown_kind(json!({"vault_secrt": "a/b"}).as_object().unwrap());
        assert!(error.message().ends_with("; did you mean \"vault_secret\"?"), "{error}");
    }
}
