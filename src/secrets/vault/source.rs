//! The provider's [`DocumentSource`].

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::auth::VaultAuth;
#[cfg(feature = "aws")]
use super::auth::{LoginCredentials, VaultLogin};
use super::client::{SessionState, VaultSession};
use super::element::KeyNames;
use super::errors::is_denial;
use super::health;
use super::kv::KvReader;
use super::metadata::{self, SeenVersions};
use super::secret_path::SecretPath;
use super::secret_settings::SecretSettings;
use super::settings::{VaultSettings, VaultSettingsError};
use super::settings_reader::{SettingsReader, VaultCommon};
use super::token_store::{self, TokenStore};
use super::write;
use crate::clock::Deadline;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::files::Fingerprint;
use crate::fork;
use crate::fork_safe::Mutex;
use crate::http::retry::Patience;
use crate::secrets::document::{Document, DocumentSource};
use crate::secrets::not_configured::NotConfigured;
use crate::secrets::provider::{Health, HealthState};
use crate::secrets::secret::ProviderId;
use crate::secrets::shared_login::SharedLogins;
use crate::settings::{Environment, InvalidSetting};
use crate::share::Identity;

pub(crate) static ID: ProviderId = ProviderId::builtin("vault", Source::Vault);

/// Reads secrets of KV engines of a Vault server.
pub(crate) struct VaultSource {
    id: ProviderId,
    keys: KeyNames,
    /// The error makes this provider fail, not the manager: an invalid variable, or for an element of `providers` no
    /// address.
    vault: Result<Vault>,
}

impl VaultSource {
    /// The source that configuration and environment describe. The inner error says why there is none: no address, or
    /// no way to log in. The outer error is an invalid setting in the configuration.
    pub(crate) fn open(config: &Config, common: &VaultCommon) -> Result<Result<VaultSource, NotConfigured>> {
        VaultSource::open_in(config, &Environment::Process, common)
    }

    /// As [`open`](Self::open), in another environment.
    pub(super) fn open_in(
        config: &Config,
        environment: &Environment,
        common: &VaultCommon,
    ) -> Result<Result<VaultSource, NotConfigured>> {
        let opened = Vault::open(&SettingsReader { config, environment, common }, |_| {})?;
        Ok(opened.map(|vault| VaultSource { id: ID.clone(), keys: KeyNames(None), vault }))
    }

    /// The source that an element of `providers` describes: `{"vault_secret": "kv/app", "as": {"password": "P"}}`.
    pub(crate) fn open_table(table: &Map<String, Value>, config: &Config, common: &VaultCommon) -> Result<VaultSource> {
        let SecretSettings { name, secrets, keys } = SecretSettings::read(table)?;
        let what = format!("{} cannot be read", SecretPath::shown(&secrets));
        let vault = Vault::of_element(secrets, &what, config, common)?;
        Ok(VaultSource { id: ProviderId::named(&name, Source::Vault), keys, vault })
    }
}

impl DocumentSource for VaultSource {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn serves(&self, key: &str) -> bool {
        self.keys.serves(key)
    }

    fn place(&self) -> String {
        match &self.vault {
            Ok(vault) => format!("{} at {}", SecretPath::shown(&vault.settings.secrets), vault.settings.address),
            Err(_) => "Vault, whose settings are invalid".to_owned(),
        }
    }

    fn identity(&self) -> Option<Identity> {
        let _guard = fork::protect();
        // The load fails in the same way, and reports the error.
        let mut identity = self.vault.as_ref().ok()?.identity().ok()?;
        self.keys.identify(&mut identity);
        Some(identity)
    }

    fn before_refresh(&self) {
        if let Ok(vault) = &self.vault {
            vault.is_refresh.store(true, SeqCst);
        }
    }

    fn load(&self, deadline: Deadline, patience: Patience) -> Result<Document> {
        let _guard = fork::protect();
        let vault = self.vault.as_ref().map_err(Error::clone)?;
        let document = vault.load(deadline, patience).map_err(|error| error.with_source(Source::Vault))?;
        Ok(match &self.keys {
            KeyNames(Some(keys)) => document.renamed(keys),
            KeyNames(None) => document,
        })
    }

    fn write(&self, key: &str, value: Option<&str>, deadline: Deadline) -> Result<bool> {
        let _guard = fork::protect();
        let vault = self.vault.as_ref().map_err(Error::clone)?;
        vault.write(key, value, deadline).map_err(|error| error.with_source(Source::Vault))
    }

    fn watch_interval(&self) -> Option<Duration> {
        self.vault.as_ref().ok()?.settings.metadata_interval
    }

    fn has_changed(&self, loaded: Option<&Document>, deadline: Deadline) -> Result<bool> {
        let _guard = fork::protect();
        let vault = self.vault.as_ref().map_err(Error::clone)?;
        vault.has_changed(loaded, deadline).map_err(|error| error.with_source(Source::Vault))
    }

    fn note_announced(&self, _: Deadline) {
        let _guard = fork::protect();
        if let Ok(vault) = &self.vault {
            vault.versions.note_announced();
        }
    }

    fn upkeep(&self, deadline: Deadline) {
        let _guard = fork::protect();
        if let Ok(vault) = &self.vault {
            vault.tokens.renew_token_if_due(&vault.session(deadline, Patience::Brief, false));
        }
    }

    fn has_new_credentials(&self) -> bool {
        let _guard = fork::protect();
        self.vault.as_ref().is_ok_and(Vault::has_new_credentials)
    }

    fn describe(&self) -> Map<String, Value> {
        let _guard = fork::protect();
        match &self.vault {
            Ok(vault) => {
                let mut fields = vault.describe();
                if self.keys.0.is_some() {
                    fields.insert("as".to_owned(), self.keys.describe());
                }
                fields
            }
            Err(error) => Map::from_iter([("error".to_owned(), Value::from(error.message()))]),
        }
    }

    fn check(&self, deadline: Deadline) -> Health {
        let _guard = fork::protect();
        match &self.vault {
            Ok(vault) => vault.check(deadline),
            Err(error) => health::invalid_settings(error),
        }
    }
}

/// A server and the secrets there. No lock is held over a request.
pub(super) struct Vault {
    pub(super) settings: VaultSettings,
    sessions: SessionState,
    pub(super) tokens: TokenStore,
    /// Unused for dynamic secrets.
    kv: KvReader,
    versions: SeenVersions,
    /// Whether the next load is that of a refresh.
    pub(super) is_refresh: AtomicBool,
    /// The state of the file with the token, secret ID or JWT when the last load began.
    credentials: Mutex<Option<Fingerprint>>,
}

impl Vault {
    /// The server that configuration and environment describe, with settings that `adapt` has changed. The first inner
    /// error says why there is none; the second one is an invalid variable.
    fn open(
        reader: &SettingsReader<'_>,
        adapt: impl FnOnce(&mut VaultSettings),
    ) -> Result<Result<Result<Vault>, NotConfigured>> {
        match VaultSettings::read(reader) {
            Ok(mut settings) => {
                adapt(&mut settings);
                Ok(Ok(Ok(Vault::new(settings, reader.common.logins.clone()))))
            }
            Err(VaultSettingsError::NotConfigured(reason)) => Ok(Err(reason)),
            Err(VaultSettingsError::Invalid(InvalidSetting { error, in_config })) => {
                let error = error.with_source(Source::Vault);
                if in_config { Err(error) } else { Ok(Ok(Err(error))) }
            }
        }
    }

    /// The server of an element of `providers`, which reads these secrets. `what` fails if there is none. The inner
    /// error makes the provider fail, not the manager.
    pub(super) fn of_element(
        secrets: Vec<SecretPath>,
        what: &str,
        config: &Config,
        common: &VaultCommon,
    ) -> Result<Result<Vault>> {
        let reader = SettingsReader { config, environment: &Environment::Process, common };
        let opened = Vault::open(&reader, |settings| {
            settings.secrets = secrets;
            // `vault_kv_version` is about the mount of the provider `vault`.
            settings.version = None;
        })?;
        let failed = |reason: NotConfigured| {
            Err(Error::new(Status::Config, format!("{what}: {}", reason.why)).with_source(Source::Vault))
        };
        Ok(opened.unwrap_or_else(failed))
    }

    fn new(settings: VaultSettings, logins: SharedLogins) -> Vault {
        Vault {
            sessions: SessionState::new(&settings),
            tokens: TokenStore::new(logins),
            kv: KvReader::default(),
            versions: SeenVersions::default(),
            is_refresh: AtomicBool::new(false),
            credentials: Mutex::default(),
            settings,
        }
    }

    pub(super) fn session(&self, deadline: Deadline, patience: Patience, is_refresh: bool) -> VaultSession<'_> {
        VaultSession::new(&self.settings, &self.sessions, deadline, patience, is_refresh)
    }

    fn identity(&self) -> Result<Identity> {
        let settings = &self.settings;
        let mut identity = settings.login_identity("vault")?;
        for SecretPath { mount, path, .. } in &settings.secrets {
            identity.add("mount", mount);
            identity.add("path", path);
        }
        identity.add_optional("version", settings.version.map(|version| [version.number()]));
        Ok(identity)
    }

    fn load(&self, deadline: Deadline, patience: Patience) -> Result<Document> {
        if let Some(reason) = self.not_configured() {
            return Ok(Document::missing(reason));
        }
        let session = self.begin(deadline, patience, self.is_refresh.swap(false, SeqCst));
        let mut read = self.tokens.with_token(&session, |token| self.kv.read_all(&session, token, |_| {}));
        if let Ok(document) = &mut read {
            document.refresh_after = self.tokens.until_load(&self.settings);
        }
        let failure = read.as_ref().map_or_else(Some, Document::incomplete);
        // The mount may have been replaced by one of the other version, to which other policies apply.
        if failure.is_some_and(is_denial) {
            self.kv.forget_mounts();
        }
        read
    }

    /// The session of a load, with a token that does not expire meanwhile if it can be renewed.
    pub(super) fn begin(&self, deadline: Deadline, patience: Patience, is_refresh: bool) -> VaultSession<'_> {
        let credentials = self.credentials();
        *self.credentials.lock() = credentials;
        let session = self.session(deadline, patience, is_refresh);
        self.tokens.renew_if_expiring(&session);
        session
    }

    fn has_changed(&self, loaded: Option<&Document>, deadline: Deadline) -> Result<bool> {
        if self.not_configured().is_some() {
            return Ok(false);
        }
        let session = self.session(deadline, Patience::Brief, false);
        self.tokens.renew_if_expiring(&session);
        // A token that may not read the versions is right for the secrets.
        let token = self.tokens.get(&session)?;
        let now = metadata::versions(&session, &self.kv, token.value.as_ref(), |_, _| {})?;
        let loaded = loaded.and_then(|document| document.version.as_deref()?.parse().ok());
        Ok(self.versions.differ(now, loaded))
    }

    fn write(&self, key: &str, value: Option<&str>, deadline: Deadline) -> Result<bool> {
        if let Some(reason) = self.not_configured() {
            return Err(Error::new(Status::Config, format!("`set_provider` is \"vault\", which is {reason}")));
        }
        let session = self.session(deadline, Patience::UntilDeadline, false);
        self.tokens.renew_if_expiring(&session);
        self.tokens.with_token(&session, |token| write::write(&self.kv, &session, token, key, value))
    }

    /// Why no request is sent: the user has not logged in yet.
    pub(super) fn not_configured(&self) -> Option<String> {
        let is_absent = self.settings.auth.is_absent() && self.tokens.is_empty();
        is_absent.then(|| format!("not configured: {}", self.settings.no_login))
    }

    /// The current state of the file with the token, secret ID or JWT.
    fn credentials(&self) -> Option<Fingerprint> {
        token_store::fingerprint(self.settings.auth.file()?)
    }

    pub(super) fn has_new_credentials(&self) -> bool {
        #[cfg(feature = "aws")]
        if let VaultAuth::Login(VaultLogin { credentials: LoginCredentials::Aws { caller, .. }, .. }) =
            &self.settings.auth
        {
            return caller.has_new_credentials();
        }
        let current = self.credentials();
        current.is_some() && current != *self.credentials.lock()
    }

    fn describe(&self) -> Map<String, Value> {
        let settings = &self.settings;
        let first = settings.secrets.first();
        let version = settings.version.or_else(|| self.kv.detected_version(first?));
        let secrets: Vec<String> = settings.secrets.iter().map(ToString::to_string).collect();
        let mut fields = Map::from_iter([
            ("url".to_owned(), json!(settings.address.to_string())),
            ("namespace".to_owned(), json!(settings.namespace)),
            ("secrets".to_owned(), json!(secrets)),
            ("kv_version".to_owned(), json!(version.map(|version| version.number()))),
            ("auth".to_owned(), json!(settings.auth.name())),
        ]);
        if self.not_configured().is_some() {
            fields.insert("configured".to_owned(), json!(false));
        }
        match &settings.auth {
            VaultAuth::Login(login) => fields.insert("auth_mount".to_owned(), json!(login.mount)),
            VaultAuth::TokenFile { path, .. } => fields.insert("token_file".to_owned(), json!(path.to_string_lossy())),
            VaultAuth::Token(_) | VaultAuth::Agent => None,
        };
        fields
    }

    fn check(&self, deadline: Deadline) -> Health {
        match self.not_configured() {
            Some(reason) => Health::new(HealthState::Absent, reason),
            None => health::check(&self.session(deadline, Patience::Brief, true), &self.tokens, &self.kv),
        }
    }
}
