//! The provider's [`DocumentSource`].

use std::fs;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::client::KubernetesSession;
use super::reader;
use super::server::ApiServer;
use super::settings::{KubernetesSettings, KubernetesSettingsError, SecretSelection};
use crate::clock::Deadline;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::files::Fingerprint;
use crate::fork;
use crate::fork_safe::Mutex;
use crate::http::retry::{Patience, Retry, RetryDelay};
use crate::secrets::document::{Document, DocumentSource};
use crate::secrets::entries::counted;
use crate::secrets::not_configured::NotConfigured;
use crate::secrets::provider::{Health, HealthState};
use crate::secrets::secret::ProviderId;
use crate::settings::{Environment, InvalidSetting};
use crate::share::Identity;

pub(crate) static ID: ProviderId = ProviderId::builtin("kubernetes", Source::Kubernetes);
/// How long the reading of a kubeconfig may take for messages and for the identity.
const READING: Duration = Duration::from_secs(5);

/// Reads documents from a Kubernetes API server.
pub(crate) struct KubernetesSource {
    id: ProviderId,
    /// The error is an invalid variable: it makes this provider fail, not the manager.
    settings: Result<KubernetesSettings>,
    retry: Retry,
    /// The state of the token file when the last load began.
    credentials: Mutex<Option<Fingerprint>>,
}

impl KubernetesSource {
    /// The source that configuration and environment describe. The inner error says why there is none. The outer error
    /// is an invalid setting in the configuration.
    pub(crate) fn open(config: &Config) -> Result<Result<KubernetesSource, NotConfigured>> {
        match KubernetesSettings::read(config, &Environment::Process) {
            Ok(settings) => Ok(Ok(KubernetesSource::new(ID.clone(), Ok(settings)))),
            Err(KubernetesSettingsError::NotConfigured(missing)) => Ok(Err(missing)),
            Err(KubernetesSettingsError::Invalid(InvalidSetting { error, in_config })) => {
                let error = error.with_source(Source::Kubernetes);
                if in_config { Err(error) } else { Ok(Ok(KubernetesSource::new(ID.clone(), Err(error)))) }
            }
        }
    }

    /// The source that an element of `providers` describes.
    pub(crate) fn open_table(table: &Map<String, Value>, config: &Config) -> Result<KubernetesSource> {
        let (settings, name) = KubernetesSettings::of_table(table, config, &Environment::Process)?;
        Ok(KubernetesSource::new(ProviderId::named(&name, Source::Kubernetes), Ok(settings)))
    }

    fn new(id: ProviderId, settings: Result<KubernetesSettings>) -> KubernetesSource {
        KubernetesSource { id, settings, retry: Retry::new(RetryDelay::Steady), credentials: Mutex::default() }
    }

    fn read(&self, deadline: Deadline, patience: Patience) -> Result<Document> {
        let settings = self.settings.as_ref().map_err(Error::clone)?;
        *self.credentials.lock() = fingerprint(settings);
        let session = KubernetesSession::open(settings, &self.retry, deadline, patience)?;
        reader::read(&session, &settings.target)
    }
}

impl DocumentSource for KubernetesSource {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn place(&self) -> String {
        match &self.settings {
            Ok(settings) => match settings.server(Deadline::after(READING)) {
                Ok(server) => {
                    let namespace = shown_namespace(&server);
                    format!("{} in the namespace {namespace} at {}", settings.shown_target(), server.url)
                }
                Err(_) => format!("{} in Kubernetes", settings.shown_target()),
            },
            Err(_) => "Kubernetes, whose settings are invalid".to_owned(),
        }
    }

    fn identity(&self) -> Option<Identity> {
        let _guard = fork::protect();
        // The load fails in the same way, and reports the error.
        identity(self.settings.as_ref().ok()?).ok()
    }

    fn load(&self, deadline: Deadline, patience: Patience) -> Result<Document> {
        let _guard = fork::protect();
        self.read(deadline, patience).map_err(|error| error.with_source(Source::Kubernetes))
    }

    fn has_new_credentials(&self) -> bool {
        let current = self.settings.as_ref().ok().and_then(fingerprint);
        current.is_some() && current != *self.credentials.lock()
    }

    fn describe(&self) -> Map<String, Value> {
        let settings = match &self.settings {
            Ok(settings) => settings,
            Err(error) => return Map::from_iter([("error".to_owned(), json!(error.message()))]),
        };
        let (names, selector) = match &settings.target {
            SecretSelection::Named(names) => (Some(names), None),
            SecretSelection::Selected(selector) => (None, Some(selector)),
        };
        let mut members =
            Map::from_iter([("secrets".to_owned(), json!(names)), ("selector".to_owned(), json!(selector))]);
        match settings.server(Deadline::after(READING)) {
            Ok(server) => members.extend([
                ("url".to_owned(), json!(server.url)),
                ("namespace".to_owned(), json!(shown_namespace(&server))),
                ("token_file".to_owned(), json!(server.token_file().map(|path| path.to_string_lossy()))),
                ("credentials".to_owned(), json!(server.origin)),
            ]),
            Err(error) => members.extend([("error".to_owned(), json!(error.message()))]),
        }
        members
    }

    fn check(&self, deadline: Deadline) -> Health {
        let _guard = fork::protect();
        match self.read(deadline, Patience::Brief) {
            Ok(document) => {
                let server = self.settings.as_ref().ok().and_then(|settings| settings.server(deadline).ok());
                health(&self.place(), &document, server.is_some_and(|server| server.is_cleartext))
            }
            Err(error) => Health::new(HealthState::Failed, error.message()).with_advice(advice(&error)),
        }
    }
}

fn health(place: &str, document: &Document, is_cleartext: bool) -> Health {
    let keys = counted(document.len(), "key", "keys");
    match (&document.missing, document.incomplete()) {
        (Some(reason), _) => Health::new(HealthState::Warning, format!("{place}: {reason}"))
            .with_advice("create it, or correct kubernetes_secret or kubernetes_namespace"),
        (None, Some(error)) => Health::new(HealthState::Warning, error.message()).with_advice(advice(error)),
        (None, None) if is_cleartext => {
            let what = format!("{place}: {keys}; the token and all secrets go over the network unencrypted");
            Health::new(HealthState::Warning, what).with_advice("use an https address")
        }
        (None, None) => Health::new(HealthState::Ok, format!("{place}: {keys}")),
    }
}

/// What to do about a failed check, in addition to the advice in the error.
fn advice(error: &Error) -> &'static str {
    match (error.status(), error.detail()) {
        (Status::AccessDenied, 403) => "bind a Role to the account: kubectl auth can-i get secrets -n NAMESPACE",
        (Status::AccessDenied, 401) => "replace the token or the client certificate",
        (Status::AccessDenied, _) => "set kubernetes_ca_cert to the CA of the API server",
        (Status::Unavailable | Status::Timeout, _) => "check that the API server is reachable from here",
        (Status::Protocol, _) => "check kubernetes_url and the proxies between here and there",
        _ => "correct the setting or file that is named",
    }
}

fn identity(settings: &KubernetesSettings) -> Result<Identity> {
    let server = settings.server(Deadline::after(READING))?;
    let mut identity = Identity::new("kubernetes");
    identity.add("namespace", server.namespace()?);
    match &settings.target {
        SecretSelection::Named(names) => names.iter().for_each(|name| identity.add("name", name)),
        SecretSelection::Selected(selector) => identity.add("selector", selector),
    }
    server.identify(&mut identity)?;
    Ok(identity)
}

/// The namespace for messages.
fn shown_namespace(server: &ApiServer) -> String {
    server.namespace().unwrap_or_else(|_| "of this pod".to_owned())
}

fn fingerprint(settings: &KubernetesSettings) -> Option<Fingerprint> {
    fs::metadata(settings.credentials_file()?).ok().map(|metadata| Fingerprint::of(&metadata))
}
