//! Secrets Manager as a source of one document.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::filter::SecretFilter;
use super::parameter_paths::ParameterPaths;
use super::queue::{self, ChangeQueue};
use super::selection::Selection;
use super::session::AwsSession;
use super::settings::ProviderSettings;
use super::state::{AwsCommon, AwsState};
use super::target::AwsTarget;
use super::watched_files::WatchedFiles;
use super::write::KeyChange;
use super::{health, load, write};
use crate::clock::Deadline;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::fork;
use crate::http::retry::Patience;
use crate::secrets::document::{Document, DocumentSource};
use crate::secrets::provider::Health;
use crate::secrets::secret::ProviderId;
use crate::settings::{Environment, InvalidSetting};
use crate::share::Identity;

pub(crate) static ID: ProviderId = ProviderId::builtin("aws", Source::Aws);
pub(crate) static PARAMETERS_ID: ProviderId = ProviderId::builtin("aws_parameters", Source::AwsParameters);

/// An AWS provider.
pub(crate) struct AwsSource {
    id: ProviderId,
    /// An error is that of an invalid variable. The provider fails, and the others work.
    state: Result<AwsState>,
    /// The queue of changes, if this provider reads it.
    queue: Option<ChangeQueue>,
}

impl AwsSource {
    /// Reads the provider's own settings, and nothing else. Returns `None` if no secret is named, and an error if the
    /// configuration is invalid.
    pub(crate) fn open(config: &Config, common: &Arc<AwsCommon>) -> Result<Option<AwsSource>> {
        let selection = match Selection::of_config(config, &Environment::Process) {
            Ok(Some(selection)) => selection,
            Ok(None) => return Ok(None),
            Err(invalid) if invalid.in_config => return Err(invalid.error.with_source(Source::Aws)),
            Err(invalid) => return Ok(Some(AwsSource { id: ID.clone(), state: Err(invalid.error), queue: None })),
        };
        AwsSource::with(ID.clone(), config, AwsTarget::Secrets(selection), common).map(Some)
    }

    /// The provider of parameters; `None` if no path is named.
    pub(crate) fn open_parameters(config: &Config, common: &Arc<AwsCommon>) -> Result<Option<AwsSource>> {
        let id = PARAMETERS_ID.clone();
        match ParameterPaths::read(config).map_err(|invalid| invalid.error.with_source(id.source()))? {
            Some(paths) => AwsSource::with(id, config, AwsTarget::Parameters(paths), common).map(Some),
            None => Ok(None),
        }
    }

    /// The provider that an element of `providers` describes: `{"aws_secret": "prod/tls", "as": "TLS_KEY"}`, or
    /// `{"aws_secrets": {"prefix": "prod/"}}`.
    pub(crate) fn open_table(
        table: &Map<String, Value>,
        config: &Config,
        common: &Arc<AwsCommon>,
    ) -> Result<AwsSource> {
        let (target, name) = if table.contains_key("aws_secrets") {
            SecretFilter::of_table(table).map(|(filter, name)| (AwsTarget::Listed(filter), name))?
        } else {
            Selection::of_table(table).map(|(selection, name)| (AwsTarget::Secrets(selection), name))?
        };
        AwsSource::with(ProviderId::named(&name, Source::Aws), config, target, common)
    }

    fn with(id: ProviderId, config: &Config, target: AwsTarget, common: &Arc<AwsCommon>) -> Result<AwsSource> {
        let invalid = |invalid: InvalidSetting| invalid.error.with_source(id.source());
        let provider_settings = ProviderSettings::read(config, target).map_err(invalid)?;
        let queue = ChangeQueue::read(config).map_err(invalid)?;
        let queue = queue.filter(|_| !common.has_queue.swap(true, Relaxed));
        Ok(AwsSource { id, state: Ok(AwsState::new(provider_settings, Environment::Process, common.clone())), queue })
    }

    fn state(&self) -> Result<&AwsState> {
        self.state.as_ref().map_err(|error| error.clone().with_source(self.id.source()))
    }
}

impl DocumentSource for AwsSource {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn serves(&self, key: &str) -> bool {
        let only = self.state.as_ref().ok().and_then(|state| state.provider_settings.target.only_key());
        only.is_none_or(|only| only == key)
    }

    fn place(&self) -> String {
        let _guard = fork::protect();
        match &self.state {
            Ok(state) => state.place(),
            Err(_) => "AWS, whose settings are invalid".to_owned(),
        }
    }

    fn identity(&self) -> Option<Identity> {
        let _guard = fork::protect();
        // The load fails in the same way, and reports the error.
        self.state.as_ref().ok()?.identity().ok()
    }

    fn before_refresh(&self) {
        if let Ok(state) = &self.state {
            state.is_refresh.store(true, Relaxed);
        }
    }

    fn load(&self, deadline: Deadline, patience: Patience) -> Result<Document> {
        let _guard = fork::protect();
        let state = self.state()?;
        let files = WatchedFiles::default();
        let loaded = load::load(state, &files, deadline, patience);
        let loaded = loaded.map_err(|error| error.with_source(self.id.source()));
        state.is_refresh.store(false, Relaxed);
        let is_complete = loaded.as_ref().is_ok_and(|document| document.incomplete().is_none());
        *state.files_of_failed_load.lock() = (!is_complete).then_some(files);
        loaded
    }

    fn write(&self, key: &str, value: Option<&str>, deadline: Deadline) -> Result<bool> {
        let _guard = fork::protect();
        let write = |state: &AwsState| {
            let AwsTarget::Secrets(selection) = &state.provider_settings.target else {
                return Err(Error::new(Status::ReadOnly, format!("the provider {} is read-only", self.id.name())));
            };
            let files = WatchedFiles::default();
            let session = AwsSession::open(state, None, &files, deadline, Patience::UntilDeadline)?;
            write::write(&session, selection, &KeyChange { key, value })
        };
        self.state().and_then(write).map_err(|error| error.with_source(self.id.source()))
    }

    fn watch_interval(&self) -> Option<Duration> {
        self.queue.as_ref().map(|_| queue::INTERVAL)
    }

    fn answers_each_host(&self) -> bool {
        false
    }

    fn has_changed(&self, _: Option<&Document>, deadline: Deadline) -> Result<bool> {
        let _guard = fork::protect();
        let Some(queue) = &self.queue else { return Ok(false) };
        let received = self.state().and_then(|state| queue.receive(state, deadline));
        received.map_err(|error| error.with_source(self.id.source()))
    }

    fn note_announced(&self, deadline: Deadline) {
        let _guard = fork::protect();
        if let (Ok(state), Some(queue)) = (&self.state, &self.queue) {
            queue.delete(state, deadline);
        }
    }

    fn has_new_credentials(&self) -> bool {
        let _guard = fork::protect();
        let Ok(state) = &self.state else { return false };
        state.files_of_failed_load.lock().as_ref().is_some_and(WatchedFiles::have_changed)
    }

    fn describe(&self) -> Map<String, Value> {
        let _guard = fork::protect();
        let mut members = Map::new();
        if let Err(error) = self.state().and_then(|state| state.describe(&mut members)) {
            members.insert("problem".to_owned(), json!(error.message()));
        }
        members
    }

    fn check(&self, deadline: Deadline) -> Health {
        let _guard = fork::protect();
        self.before_refresh();
        match self.state() {
            Ok(state) => {
                let health = health::check(state, deadline);
                state.is_refresh.store(false, Relaxed);
                match &self.queue {
                    Some(queue) => health::with_queue(health, queue.check(state, deadline)),
                    None => health,
                }
            }
            Err(error) => health::failed(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_change_after_a_failure_are_new_credentials() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        let token = directory.path().join("token");
        std::fs::write(&token, "").unwrap();
        let common = [
            ("HOME", directory.path().to_str().unwrap()),
            ("AWS_REGION", "us-east-1"),
            ("SIMPLETUNER_AWS_SECRET_NAME", "app"),
        ];
        let identity = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
            ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r"),
        ];
        let file = [("AWS_SHARED_CREDENTIALS_FILE", path.to_str().unwrap()), ("AWS_EC2_METADATA_DISABLED", "true")];
        for (variables, path) in [(&file, &path), (&identity, &token)] {
            let environment = Environment::fixed(&[&common[..], &variables[..]].concat());
            let state = AwsState::of_config(&Config::new(), environment);
            let source = AwsSource { id: ID.clone(), state: Ok(state), queue: None };
            assert!(!source.has_new_credentials(), "no load has failed");
            assert!(source.load(Deadline::after(Duration::from_secs(30)), Patience::Brief).is_err());
            assert!(!source.has_new_credentials());
            source.describe();
            std::fs::write(path, "[default]\n").unwrap();
            source.describe();
            assert!(source.has_new_credentials(), "{path:?}");
            assert!(source.load(Deadline::after(Duration::from_secs(30)), Patience::Brief).is_err());
            assert!(!source.has_new_credentials(), "the new ones were tried");
        }
    }
}
