//! The providers of Google Secret Manager.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::aws::AwsIdentity;
use super::credentials;
use super::manager::SecretManager;
use super::names;
use super::settings::GoogleSettings;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::secrets::cloud::{CloudSource, CloudStore, Common, Filter, Named, Session, StoreLookup, Target};
use crate::secrets::not_configured::NotConfigured;
use crate::secrets::secret::ProviderId;
use crate::settings::Environment;
use crate::share::Identity;

pub(in crate::secrets) static ID: ProviderId = ProviderId::builtin(names::PROVIDER, Source::Google);

/// The provider `google`; the inner error says that no secret is named.
pub(in crate::secrets) fn open(
    config: &Config,
    common: &Arc<Common>,
    aws: AwsIdentity,
) -> Result<Result<CloudSource, NotConfigured>> {
    match names::of_config(config).map_err(|invalid| invalid.of(Source::Google))? {
        Some(target) => source(ID.clone(), target, config, common, aws).map(Ok),
        None => {
            let why = "no secret is named; set `google_secret_name`".to_owned();
            Ok(Err(NotConfigured { why, is_wanted: false }))
        }
    }
}

/// The provider that an element of `providers` describes: `{"google_secret": "db", "as": "DB_PASSWORD"}`, or
/// `{"google_secrets": {"labels": {"app": "train"}}}`.
pub(in crate::secrets) fn open_table(
    table: &Map<String, Value>,
    config: &Config,
    common: &Arc<Common>,
    aws: AwsIdentity,
) -> Result<CloudSource> {
    let (target, name) = names::of_table(table)?;
    source(ProviderId::named(&name, Source::Google), target, config, common, aws)
}

fn source(
    id: ProviderId,
    target: Target,
    config: &Config,
    common: &Arc<Common>,
    aws: AwsIdentity,
) -> Result<CloudSource> {
    let store = SecretManager {
        settings: GoogleSettings::read(config).map_err(|invalid| invalid.of(Source::Google))?,
        environment: Environment::Process,
        common: common.clone(),
        aws,
        found_project: Default::default(),
    };
    Ok(CloudSource::new(id, target, Box::new(store), common, config))
}

impl CloudStore for SecretManager {
    fn source(&self) -> Source {
        Source::Google
    }

    fn cloud(&self) -> &'static str {
        names::PROVIDER
    }

    fn place(&self) -> String {
        let project = self.project(self.source().ok().as_ref()).ok().flatten();
        let location = self.settings.location.as_ref().map_or(String::new(), |location| format!(", {location}"));
        match project {
            Some(project) => format!("project {project}{location}"),
            None => format!("Google Secret Manager{location}"),
        }
    }

    fn identify(&self, identity: &mut Identity) -> Result<()> {
        let source = self.source()?;
        identity.add_optional("project", self.project(Some(&source))?);
        identity.add_optional("location", self.settings.location.as_ref());
        identity.add("endpoint", self.settings.endpoint(self.settings.location.as_deref()));
        source.identify(&self.aws, identity)
    }

    fn describe(&self, members: &mut Map<String, Value>) {
        let source = self.source();
        let project = self.project(source.as_ref().ok()).ok().flatten();
        members.insert("project".to_owned(), json!(project));
        members.insert("location".to_owned(), json!(self.settings.location));
        let endpoint = self.settings.endpoint(self.settings.location.as_deref());
        members.insert("endpoint".to_owned(), json!(endpoint));
        match source {
            Ok(source) => members.insert("credentials".to_owned(), json!(source.origin())),
            Err(error) => members.insert("error".to_owned(), json!(error.message())),
        };
    }

    fn read(&self, session: &Session<'_>, secret: &Named) -> Result<StoreLookup> {
        self.access(session, secret)
    }

    fn list(&self, session: &Session<'_>, filter: &Filter) -> Result<Vec<String>> {
        SecretManager::list(self, session, filter)
    }

    fn credentials_file(&self) -> Option<PathBuf> {
        credentials::file(&self.settings, &self.environment).ok()?
    }

    fn advice(&self, error: &Error) -> &'static str {
        match error.status() {
            Status::Unavailable | Status::Timeout => {
                "check that the endpoint can be reached from here: curl https://secretmanager.googleapis.com"
            }
            Status::AccessDenied => "check who may read it: gcloud secrets get-iam-policy NAME",
            Status::Config => "correct the setting that the message names",
            _ => "check the endpoint, and the secret: gcloud secrets versions list NAME",
        }
    }

    fn how_to_create(&self) -> &'static str {
        "create it with: gcloud secrets create NAME --data-file=FILE; or correct its name, project or location"
    }
}
