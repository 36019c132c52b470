//! The providers of 1Password.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::connect::Connect;
use super::names;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::secrets::cloud::{CloudSource, CloudStore, Common, Named, Nouns, Session, StoreLookup, Target};
use crate::secrets::not_configured::NotConfigured;
use crate::secrets::secret::ProviderId;
use crate::share::Identity;

pub(in crate::secrets) static ID: ProviderId = ProviderId::builtin(names::PROVIDER, Source::OnePassword);

/// The provider `onepassword`; the inner error says that no item is named.
pub(in crate::secrets) fn open(config: &Config, common: &Arc<Common>) -> Result<Result<CloudSource, NotConfigured>> {
    match names::of_config(config).map_err(|invalid| invalid.of(Source::OnePassword))? {
        Some(target) => source(ID.clone(), target, None, config, common).map(Ok),
        None => {
            let why = "no item is named; set `onepassword_item`".to_owned();
            Ok(Err(NotConfigured { why, is_wanted: false }))
        }
    }
}

/// The provider that an element of `providers` describes: `{"onepassword_item": "db", "vault": "train"}`, or
/// `{"onepassword_item": "db", "field": "password", "as": "DB_PASSWORD"}`.
pub(in crate::secrets) fn open_table(
    table: &Map<String, Value>,
    config: &Config,
    common: &Arc<Common>,
) -> Result<CloudSource> {
    let (target, vault, name) = names::of_table(table)?;
    source(ProviderId::named(&name, Source::OnePassword), target, vault.as_deref(), config, common)
}

fn source(
    id: ProviderId,
    target: Target,
    vault: Option<&str>,
    config: &Config,
    common: &Arc<Common>,
) -> Result<CloudSource> {
    let store = Connect::of_config(config, vault).map_err(|invalid| invalid.of(Source::OnePassword))?;
    Ok(CloudSource::new(id, target, Box::new(store), common, config))
}

impl CloudStore for Connect {
    fn source(&self) -> Source {
        Source::OnePassword
    }

    fn cloud(&self) -> &'static str {
        names::PROVIDER
    }

    fn nouns(&self) -> Nouns {
        Nouns { value: "field", object: "item", objects: "items" }
    }

    fn place(&self) -> String {
        let url = self.url().unwrap_or_else(|_| "1Password Connect".to_owned());
        match self.vault() {
            Ok(vault) => format!("{url}, vault {vault:?}"),
            Err(_) => url,
        }
    }

    fn is_cleartext(&self) -> bool {
        Connect::is_cleartext(self)
    }

    fn identify(&self, identity: &mut Identity) -> Result<()> {
        identity.add("url", self.url()?);
        identity.add_optional("vault", self.vault().ok());
        identity.add_secret(self.token()?.as_bytes())
    }

    fn describe(&self, members: &mut Map<String, Value>) {
        members.insert("vault".to_owned(), json!(self.vault().ok()));
        members.insert("token".to_owned(), json!(self.token.origin()));
        match self.url() {
            Ok(url) => members.insert("url".to_owned(), json!(url)),
            Err(error) => members.insert("error".to_owned(), json!(error.message())),
        };
    }

    fn read(&self, session: &Session<'_>, secret: &Named) -> Result<StoreLookup> {
        self.read_item(session, secret)
    }

    fn credentials_file(&self) -> Option<PathBuf> {
        self.token.file()
    }

    fn advice(&self, error: &Error) -> &'static str {
        match error.status() {
            Status::Unavailable | Status::Timeout => "check that the Connect server can be reached: curl URL/heartbeat",
            Status::AccessDenied => "check the vaults of the token: op connect token list",
            Status::Config => "correct the setting that the message names",
            _ => "check `onepassword_url`, and the proxies between here and there",
        }
    }

    fn how_to_create(&self) -> &'static str {
        "create it with: op item create --vault VAULT --title NAME; or correct the name of the item, field or vault"
    }
}
