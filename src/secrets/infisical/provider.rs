//! The providers of Infisical.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::client::Infisical;
use super::names::{self, SecretPlace};
use super::settings::Settings;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::secrets::cloud::{CloudSource, CloudStore, Common, Named, Nouns, Session, StoreLookup};
use crate::secrets::not_configured::NotConfigured;
use crate::secrets::secret::ProviderId;
use crate::share::Identity;

pub(in crate::secrets) static ID: ProviderId = ProviderId::builtin(names::PROVIDER, Source::Infisical);

/// The provider `infisical`; the inner error says that no environment is named.
pub(in crate::secrets) fn open(config: &Config, common: &Arc<Common>) -> Result<Result<CloudSource, NotConfigured>> {
    let target = names::of_config(config).map_err(|invalid| invalid.of(Source::Infisical))?;
    Ok(match store(config, SecretPlace::default(), common)? {
        Some(store) => Ok(CloudSource::new(ID.clone(), target, Box::new(store), common, config)),
        None => {
            let why = "no environment is named; set `infisical_environment`".to_owned();
            Err(NotConfigured { why, is_wanted: false })
        }
    })
}

/// The provider that an element of `providers` describes: `{"infisical_path": "/train", "environment": "prod"}`, or
/// `{"infisical_secret": "DB_PASSWORD"}`.
pub(in crate::secrets) fn open_table(
    table: &Map<String, Value>,
    config: &Config,
    common: &Arc<Common>,
) -> Result<CloudSource> {
    let (target, place, name) = names::of_table(table)?;
    match store(config, place, common)? {
        Some(store) => {
            let id = ProviderId::named(&name, Source::Infisical);
            Ok(CloudSource::new(id, target, Box::new(store), common, config))
        }
        None => {
            let message = format!("the provider {name:?} needs an \"environment\", or `infisical_environment`");
            Err(Error::new(Status::Config, message).with_source(Source::Infisical))
        }
    }
}

fn store(config: &Config, place: SecretPlace, common: &Arc<Common>) -> Result<Option<Infisical>> {
    let settings = Settings::read(config, place).map_err(|invalid| invalid.of(Source::Infisical))?;
    Ok(settings.map(|settings| Infisical { settings, common: common.clone() }))
}

impl CloudStore for Infisical {
    fn source(&self) -> Source {
        Source::Infisical
    }

    fn cloud(&self) -> &'static str {
        names::PROVIDER
    }

    fn nouns(&self) -> Nouns {
        Nouns { value: "secret", object: "path", objects: "paths" }
    }

    fn place(&self) -> String {
        Infisical::place(self)
    }

    fn is_cleartext(&self) -> bool {
        self.settings.is_cleartext()
    }

    fn identify(&self, identity: &mut Identity) -> Result<()> {
        identity.add("url", self.settings.url()?);
        identity.add("project", self.settings.project()?);
        identity.add("environment", &self.settings.environment);
        self.settings.login()?.identify(identity)
    }

    fn describe(&self, members: &mut Map<String, Value>) {
        members.insert("url".to_owned(), json!(self.settings.url().ok()));
        members.insert("project".to_owned(), json!(self.settings.project().ok()));
        members.insert("environment".to_owned(), json!(self.settings.environment));
        match self.settings.login() {
            Ok(login) => members.insert("credentials".to_owned(), json!(login.origin())),
            Err(error) => members.insert("error".to_owned(), json!(error.message())),
        };
    }

    fn read(&self, session: &Session<'_>, secret: &Named) -> Result<StoreLookup> {
        self.read_secrets(session, secret)
    }

    fn credentials_file(&self) -> Option<PathBuf> {
        self.settings.file()
    }

    fn advice(&self, error: &Error) -> &'static str {
        match error.status() {
            Status::Unavailable | Status::Timeout => "check that the server can be reached: curl URL/api/status",
            Status::AccessDenied => "check the machine identity, and its role in the project",
            Status::Config => "correct the setting that the message names",
            _ => "check `infisical_url`, and the proxies between here and there",
        }
    }

    fn how_to_create(&self) -> &'static str {
        "create it with: infisical secrets set NAME=VALUE --env ENVIRONMENT --path PATH; or correct its name or path"
    }
}
