//! What the provider keeps from load to load.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Map, Value, json};

use super::agent_token;
use super::batch_calls::BatchCalls;
use super::clock_offsets::ClockOffsets;
use super::credentials::{self, CredentialCache, InstanceState};
use super::profiles::Profiles;
use super::settings::{AwsSettings, ProviderSettings};
use super::watched_files::WatchedFiles;
use crate::error::Result;
use crate::files;
use crate::fork_safe::Mutex;
use crate::http::retry::{Retry, RetryDelay};
use crate::log::{self, Level};
use crate::secrets::shared_login::SharedLogins;
use crate::settings::Environment;
use crate::share::Identity;

/// What the AWS providers of a manager have in common from load to load: credentials, and what is known of the clock
/// and the servers.
pub(crate) struct AwsCommon {
    pub(super) credentials: CredentialCache,
    pub(super) instance: InstanceState,
    pub(super) clock_offsets: ClockOffsets,
    pub(super) retry: Retry,
    /// The last profiles with credentials.
    profiles: Mutex<Option<Arc<Profiles>>>,
    /// Whether a provider has the queue of changes: the first that is opened has it for all.
    pub(super) has_queue: AtomicBool,
}

impl AwsCommon {
    pub(crate) fn new(logins: SharedLogins) -> AwsCommon {
        AwsCommon {
            credentials: CredentialCache::new(logins),
            instance: InstanceState::default(),
            clock_offsets: ClockOffsets::default(),
            retry: Retry::new(RetryDelay::Decorrelated),
            profiles: Mutex::new(None),
            has_queue: AtomicBool::new(false),
        }
    }
}

/// The settings of one provider, and what it keeps from load to load.
pub(super) struct AwsState {
    pub(super) provider_settings: ProviderSettings,
    pub(super) environment: Environment,
    pub(super) common: Arc<AwsCommon>,
    pub(super) batch_calls: BatchCalls,
    /// The region of the last load, for messages.
    pub(super) region: Mutex<Option<String>>,
    /// Whether the next load is that of a refresh.
    pub(super) is_refresh: AtomicBool,
    /// The files of the last load, if it failed.
    pub(super) files_of_failed_load: Mutex<Option<WatchedFiles>>,
}

/// Whether the settings select credentials other than those of the instance.
fn has_credentials(settings: &Result<AwsSettings<'_>>) -> bool {
    let provider = settings.as_ref().ok().and_then(|settings| credentials::source(settings).ok());
    provider.is_some_and(|provider| !provider.is_instance())
}

/// If one of the files was changed just now, waits until its writer has probably finished. Returns whether it waited.
pub(super) fn wait_for_writers(environment: &Environment) -> bool {
    let is_new = Profiles::changed_recently(environment);
    if is_new {
        files::settle();
    }
    is_new
}

impl AwsState {
    pub(super) fn new(
        provider_settings: ProviderSettings,
        environment: Environment,
        common: Arc<AwsCommon>,
    ) -> AwsState {
        AwsState {
            provider_settings,
            environment,
            common,
            batch_calls: BatchCalls::default(),
            region: Mutex::new(None),
            is_refresh: AtomicBool::new(false),
            files_of_failed_load: Mutex::new(None),
        }
    }

    /// That of the provider `aws`, with valid settings that name a secret.
    #[cfg(test)]
    pub(super) fn of_config(config: &crate::config::Config, environment: Environment) -> AwsState {
        let selection = super::selection::Selection::of_config(config, &environment).unwrap().unwrap();
        let target = super::target::AwsTarget::Secrets(selection);
        let provider_settings = ProviderSettings::read(config, target).unwrap();
        AwsState::new(provider_settings, environment, AwsCommon::new(SharedLogins::default()).into())
    }

    /// Reads the settings from variables and files. If a file seems to be half-written (a program that does not rename
    /// empties it first), the earlier contents of the files are used.
    pub(super) fn settings(&self) -> Result<AwsSettings<'_>> {
        let read = || AwsSettings::read(&self.provider_settings, &self.environment);
        let mut settings = read();
        if has_credentials(&settings) || !wait_for_writers(&self.environment) {
            return self.remember(settings);
        }
        settings = read();
        let earlier = self.common.profiles.lock().clone();
        if let Some(earlier) = earlier.filter(|_| !has_credentials(&settings)) {
            log::emit(Level::Warn, "aws", || {
                let why = settings.as_ref().err().map_or("it contains no credentials", |error| error.message());
                format!("a file that has just been changed is not used yet: {why}")
            });
            return AwsSettings::with_profiles(&self.provider_settings, &self.environment, earlier);
        }
        self.remember(settings)
    }

    /// Stores the profiles of settings with credentials.
    fn remember<'a>(&self, settings: Result<AwsSettings<'a>>) -> Result<AwsSettings<'a>> {
        if has_credentials(&settings)
            && let Ok(settings) = &settings
        {
            *self.common.profiles.lock() = Some(settings.profiles.clone());
        }
        settings
    }

    /// Returns who would request which secrets.
    pub(super) fn identity(&self) -> Result<Identity> {
        if let Some((agent, selection)) = self.provider_settings.agent() {
            let mut identity = Identity::new("aws");
            identity.add("agent", &agent.url);
            selection.secret_ids.iter().for_each(|id| identity.add("secret", &id.text));
            selection.identify(&mut identity);
            identity.add_secret(agent_token::token(agent, &self.environment)?.0.as_bytes())?;
            return Ok(identity);
        }
        let settings = self.settings()?;
        // A process on an instance does not know its region before the first load. All processes there have the same.
        let region = settings.region()?.unwrap_or_else(|| "that of the instance".to_owned());
        let mut identity = Identity::new("aws");
        settings.identify(&region, &mut identity)?;
        let endpoint = |service, region: &str| Ok(settings.endpoint(service, region)?.url);
        self.provider_settings.replicas().iter().for_each(|region| identity.add("replica", region));
        self.provider_settings.target.identify(&region, &mut identity, &endpoint)?;
        credentials::resolve(&settings)?.identify(&settings, &mut identity)?;
        Ok(identity)
    }

    /// What is read, for messages.
    pub(super) fn place(&self) -> String {
        let region = self.region.lock();
        self.provider_settings.target.place(region.as_deref())
    }

    /// Adds the settings that are not secret.
    pub(super) fn describe(&self, members: &mut Map<String, Value>) -> Result<()> {
        self.provider_settings.target.describe(members);
        if let Some((agent, _)) = self.provider_settings.agent() {
            members.insert("agent".to_owned(), json!(agent.url));
            return Ok(());
        }
        let settings = self.settings()?;
        members.insert("profile".to_owned(), json!(settings.profile_name));
        let known = self.region.lock().clone();
        if let Some(region) = settings.region()?.or(known) {
            let endpoint = settings.endpoint(self.provider_settings.target.service(), &region)?;
            members.insert("region".to_owned(), json!(region));
            members.insert("endpoint".to_owned(), json!(endpoint.url));
        }
        if let Some(role) = &self.provider_settings.role {
            members.insert("role".to_owned(), json!(role.arn));
        }
        members.insert("credentials".to_owned(), json!(credentials::resolve(&settings)?.origin()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn half_written_file_is_not_used_yet() {
        let mut with_role = Config::new();
        with_role.set("aws_role_arn", "arn:aws:iam::123456789012:role/reader").unwrap();
        for config in [Config::new(), with_role] {
            half_written_file_is_not_used_with(&config);
        }
    }

    fn half_written_file_is_not_used_with(config: &Config) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        let environment = Environment::fixed(&[
            ("HOME", directory.path().to_str().unwrap()),
            ("AWS_REGION", "us-east-1"),
            ("SIMPLETUNER_AWS_SECRET_NAME", "app"),
            ("AWS_SHARED_CREDENTIALS_FILE", path.to_str().unwrap()),
        ]);
        let state = AwsState::of_config(config, environment);
        let origin = || state.settings().and_then(|settings| Ok(credentials::resolve(&settings)?.origin().to_owned()));
        let whole = "[default]\naws_access_key_id = AKIA\naws_secret_access_key = x\n";
        let halves = ["", "[defau", "[default]\n", "[default]\naws_access_key_id = AKIA\naws_secr"];
        std::fs::write(&path, "[default]\naws_access_key_id = AKIA\n").unwrap();
        assert!(origin().unwrap_err().message().contains("aws_secret_access_key"), "there are no earlier contents");
        std::fs::write(&path, whole).unwrap();
        let good = origin().unwrap();
        for half in halves {
            std::fs::write(&path, half).unwrap();
            assert_eq!(origin().unwrap(), good, "{half:?}");
        }
        // After a minute its writer has finished.
        let earlier = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(earlier).unwrap();
        assert!(origin().is_err());
        std::fs::write(&path, "").unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(earlier).unwrap();
        assert_ne!(origin().unwrap(), good, "the instance is used");
        std::fs::write(&path, whole).unwrap();
        assert_eq!(origin().unwrap(), good);
    }
}
