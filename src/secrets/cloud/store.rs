//! The interface of a cloud's store of secrets.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::filter::Filter;
use super::named::Named;
use super::session::Session;
use crate::error::{Error, Result, Source};
use crate::secret_memory::SecretBytes;
use crate::secrets::document::DocumentEntry;
use crate::share::Identity;

/// What a store returns for one secret.
pub(in crate::secrets) enum StoreLookup {
    Found(SecretBytes, Option<Arc<str>>),
    /// It has keys and values of its own. The first of several with the same key is used.
    Several(Vec<(String, Result<DocumentEntry>)>),
    /// It does not exist, or is disabled, for this reason.
    Missing(String),
}

/// What secrets are called in messages.
pub(in crate::secrets) struct Nouns {
    /// One that is one value.
    pub(in crate::secrets) value: &'static str,
    /// One that has several keys and values.
    pub(in crate::secrets) object: &'static str,
    pub(in crate::secrets) objects: &'static str,
}

/// A store of secrets, and how to log in there.
pub(in crate::secrets) trait CloudStore: Send + Sync {
    fn source(&self) -> Source;

    /// The name of the cloud in the log and in identities: `google`.
    fn cloud(&self) -> &'static str;

    /// What the secrets are called in messages.
    fn nouns(&self) -> Nouns {
        Nouns { value: "secret", object: "secret", objects: "secrets" }
    }

    /// Where the secrets are, for messages: `project "train"`.
    fn place(&self) -> String;

    /// Whether others can read on the network what is sent.
    fn is_cleartext(&self) -> bool {
        false
    }

    /// Adds where requests go and as which identity. It reads at most local files.
    fn identify(&self, identity: &mut Identity) -> Result<()>;

    /// Adds the settings that are not secret.
    fn describe(&self, members: &mut Map<String, Value>);

    /// Reads one secret. Denials are authoritative errors.
    fn read(&self, session: &Session<'_>, secret: &Named) -> Result<StoreLookup>;

    /// Returns the names of the secrets that meet the conditions, in stores whose settings have conditions.
    fn list(&self, _session: &Session<'_>, _filter: &Filter) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// The key of a listed secret.
    fn key(&self, filter: &Filter, name: &str) -> String {
        filter.key(name).to_owned()
    }

    /// The file with the credentials, if there is one. A change of it ends a backoff.
    fn credentials_file(&self) -> Option<PathBuf>;

    /// What to do about an error of a health check, if its message does not say it.
    fn advice(&self, error: &Error) -> &'static str;

    /// How to create a secret that is missing.
    fn how_to_create(&self) -> &'static str;
}
