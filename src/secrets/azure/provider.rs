//! The providers of Azure Key Vault.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::credentials::AzureAuth;
use super::names;
use super::vault::KeyVault;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::http::url::Url;
use crate::secrets::cloud::{CloudSource, CloudStore, Common, Filter, Named, Session, StoreLookup, checked};
use crate::secrets::not_configured::NotConfigured;
use crate::secrets::secret::ProviderId;
use crate::settings::Environment;
use crate::share::Identity;

const URL_KEY: &str = "azure_vault_url";

pub(in crate::secrets) static ID: ProviderId = ProviderId::builtin(names::PROVIDER, Source::Azure);

/// The provider `azure`; the inner error says that no vault is named.
pub(in crate::secrets) fn open(config: &Config, common: &Arc<Common>) -> Result<Result<CloudSource, NotConfigured>> {
    let target = names::of_config(config).map_err(|invalid| invalid.of(Source::Azure))?;
    match vault(config, common)? {
        Some(vault) => Ok(Ok(CloudSource::new(ID.clone(), target, Box::new(vault), common, config))),
        None => {
            let why = format!("no vault is named; set `{URL_KEY}`");
            Ok(Err(NotConfigured { why, is_wanted: false }))
        }
    }
}

/// The provider that an element of `providers` describes: `{"azure_secret": "db-password", "as": "DB_PASSWORD"}`, or
/// `{"azure_secrets": {"tags": {"app": "train"}}}`.
pub(in crate::secrets) fn open_table(
    table: &Map<String, Value>,
    config: &Config,
    common: &Arc<Common>,
) -> Result<CloudSource> {
    let (target, name) = names::of_table(table)?;
    let id = ProviderId::named(&name, Source::Azure);
    match vault(config, common)? {
        Some(vault) => Ok(CloudSource::new(id, target, Box::new(vault), common, config)),
        None => {
            let message = format!("the provider {name:?} needs `{URL_KEY}`, such as https://NAME.vault.azure.net");
            Err(Error::new(Status::Config, message).with_source(Source::Azure))
        }
    }
}

fn vault(config: &Config, common: &Arc<Common>) -> Result<Option<KeyVault>> {
    let auth = AzureAuth::read(config).map_err(|invalid| invalid.of(Source::Azure))?;
    let Some(setting) = config.setting(URL_KEY).map_err(|invalid| invalid.of(Source::Azure))? else { return Ok(None) };
    let url = checked(&setting).map_err(|invalid| invalid.of(Source::Azure))?;
    let parsed = Url::parse(&url).ok().filter(|parsed| parsed.uri.path().trim_matches('/').is_empty());
    let invalid = || setting.invalid("must be the URL of a vault without a path").of(Source::Azure);
    Ok(Some(KeyVault {
        parsed: parsed.ok_or_else(invalid)?,
        url,
        auth,
        environment: Environment::Process,
        common: common.clone(),
        challenge: Default::default(),
    }))
}

impl CloudStore for KeyVault {
    fn source(&self) -> Source {
        Source::Azure
    }

    fn cloud(&self) -> &'static str {
        names::PROVIDER
    }

    fn place(&self) -> String {
        self.url.clone()
    }

    fn identify(&self, identity: &mut Identity) -> Result<()> {
        identity.add("vault", &self.url);
        self.credentials()?.identify(identity)
    }

    fn describe(&self, members: &mut Map<String, Value>) {
        members.insert("url".to_owned(), json!(self.url));
        match self.credentials() {
            Ok(credentials) => members.insert("credentials".to_owned(), json!(credentials.origin())),
            Err(error) => members.insert("error".to_owned(), json!(error.message())),
        };
    }

    fn read(&self, session: &Session<'_>, secret: &Named) -> Result<StoreLookup> {
        self.get_secret(session, secret)
    }

    fn list(&self, session: &Session<'_>, filter: &Filter) -> Result<Vec<String>> {
        KeyVault::list(self, session, filter)
    }

    fn key(&self, filter: &Filter, name: &str) -> String {
        names::key_of(filter.key(name))
    }

    fn credentials_file(&self) -> Option<PathBuf> {
        self.credentials().ok()?.file()
    }

    fn advice(&self, error: &Error) -> &'static str {
        match error.status() {
            Status::Unavailable | Status::Timeout => {
                "check that the vault, and login.microsoftonline.com, can be reached from here"
            }
            Status::AccessDenied => "check who may read it: az role assignment list --scope ID-OF-THE-VAULT",
            Status::Config => "correct the setting that the message names",
            _ => "check the URL of the vault: az keyvault list",
        }
    }

    fn how_to_create(&self) -> &'static str {
        "create it with: az keyvault secret set --vault-name VAULT --name NAME --file FILE; or correct its name"
    }
}
