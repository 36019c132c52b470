//! What a provider reads.

use serde_json::{Map, Value, json};

use super::filter::Filter;
use super::named::Named;
use super::store::Nouns;
use crate::share::Identity;

/// What a provider reads.
pub(in crate::secrets) enum Target {
    /// One secret, which is the value of this key.
    Value(Named, String),
    /// Secrets whose values are JSON objects of keys and values, in order of precedence.
    Objects(Vec<Named>),
    /// The secrets that meet conditions.
    Listed(Filter),
}

impl Target {
    /// The only key that there can be, if that is known without a request.
    pub(super) fn only_key(&self) -> Option<&str> {
        match self {
            Target::Value(_, key) => Some(key),
            Target::Objects(_) | Target::Listed(_) => None,
        }
    }

    /// Adds what is read to the identity of a process.
    pub(super) fn identify(&self, identity: &mut Identity) {
        match self {
            Target::Value(secret, key) => {
                identity.add("secret", secret.shown());
                identity.add("value of", key);
            }
            Target::Objects(secrets) => secrets.iter().for_each(|secret| identity.add("secret", secret.shown())),
            Target::Listed(filter) => filter.identify(identity),
        }
    }

    /// Returns `secret "db-password"`, for messages.
    pub(super) fn place(&self, nouns: &Nouns) -> String {
        match self {
            Target::Value(secret, _) => format!("{} {:?}", nouns.value, secret.shown()),
            Target::Objects(secrets) => {
                let names: Vec<String> = secrets.iter().map(|secret| format!("{:?}", secret.shown())).collect();
                format!("{} {}", if names.len() == 1 { nouns.object } else { nouns.objects }, names.join(", "))
            }
            Target::Listed(filter) => filter.describe(),
        }
    }

    /// Adds the settings to a description.
    pub(super) fn describe(&self, members: &mut Map<String, Value>) {
        let secrets = match self {
            Target::Value(secret, key) => {
                members.insert("as".to_owned(), json!(key));
                json!([secret.shown()])
            }
            Target::Objects(secrets) => secrets.iter().map(Named::shown).collect(),
            Target::Listed(filter) => json!(filter.describe()),
        };
        members.insert("secrets".to_owned(), secrets);
    }
}
