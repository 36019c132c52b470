//! HashiCorp Vault and OpenBao: the fourth provider. One secret of a KV engine is the document that answers every key.

mod address;
mod answer;
mod auth;
mod check;
mod client;
mod kv;
mod life;
mod login;
mod pace;
mod place;
mod refused;
mod settings;
#[cfg(test)]
mod tests;
mod token;
mod variables;

use std::env;
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use parking_lot::Mutex;
use serde_json::{Map, Value};

use self::client::Session;
use self::kv::Mounted;
use self::pace::Pace;
use self::place::Place;
use self::settings::{Settings, SettingsError};
use self::token::{Token, is_refusal};
use self::variables::Inputs;
use super::document::{Document, DocumentSource};
use super::not_configured::NotConfigured;
use super::provider::Health;
use crate::clock::Deadline;
use crate::config::Config;
use crate::error::{Error, Result, Source};
use crate::files::Fingerprint;
use crate::fork;
use crate::http::retry::{Backoff, Retry};

/// Reads documents from a Vault server.
pub(crate) struct VaultSource {
    /// The error where the environment holds a setting that cannot be used: a failure of this provider, not of the chain.
    vault: Result<Vault>,
}

impl VaultSource {
    /// The source that configuration and environment describe. The inner error says why there is none: no address, or
    /// no way to log in. The outer one is a setting of the configuration that cannot be used.
    pub(crate) fn open(config: &Config) -> Result<std::result::Result<VaultSource, NotConfigured>> {
        VaultSource::open_in(config, &|name| env::var_os(name))
    }

    /// The same in another environment.
    fn open_in(
        config: &Config,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<std::result::Result<VaultSource, NotConfigured>> {
        match Settings::read(&Inputs { config, variable }) {
            Ok(settings) => Ok(Ok(VaultSource { vault: Ok(Vault::new(settings)) })),
            Err(SettingsError::NotConfigured(lack)) => Ok(Err(lack)),
            Err(SettingsError::Refused(refused)) if refused.in_config => Err(refused.error),
            Err(SettingsError::Refused(refused)) => Ok(Ok(VaultSource { vault: Err(refused.error) })),
        }
    }

    fn vault(&self) -> Result<&Vault> {
        self.vault.as_ref().map_err(Error::clone)
    }
}

impl DocumentSource for VaultSource {
    fn name(&self) -> &'static str {
        "vault"
    }

    fn source(&self) -> Source {
        Source::Vault
    }

    fn place(&self) -> String {
        match &self.vault {
            Ok(vault) => format!("secret {:?} at {}", vault.place().secret(), vault.settings.address),
            Err(_) => "Vault, whose settings cannot be used".to_owned(),
        }
    }

    fn before_refresh(&self) {
        if let Ok(vault) = &self.vault {
            vault.is_forced.store(true, SeqCst);
        }
    }

    fn load(&self, deadline: Deadline) -> Result<Document> {
        let _guard = fork::protect();
        self.vault()?.load(deadline).map_err(|error| error.with_source(Source::Vault))
    }

    fn upkeep(&self, deadline: Deadline) {
        let _guard = fork::protect();
        if let Ok(vault) = &self.vault {
            vault.keep_token(deadline);
        }
    }

    fn has_new_credentials(&self) -> bool {
        let _guard = fork::protect();
        self.vault.as_ref().is_ok_and(Vault::has_new_credentials)
    }

    fn describe(&self) -> Map<String, Value> {
        let _guard = fork::protect();
        match &self.vault {
            Ok(vault) => vault.describe(),
            Err(error) => Map::from_iter([("error".to_owned(), Value::from(error.message()))]),
        }
    }

    fn check(&self, deadline: Deadline) -> Health {
        let _guard = fork::protect();
        match &self.vault {
            Ok(vault) => vault.check(deadline),
            Err(error) => check::refused(error),
        }
    }
}

/// A server, the secret there, and what is known of both.
struct Vault {
    settings: Settings,
    retry: Retry,
    pace: Option<Pace>,
    /// Whether a caller asks for what there is now, at the next load.
    is_forced: AtomicBool,
    memory: Mutex<Memory>,
}

/// What one load leaves for the next. Locked for moments, never over a request.
#[derive(Default)]
struct Memory {
    token: Option<Token>,
    mounted: Option<Mounted>,
    /// How far the server's storage had come when it last answered.
    index: Option<String>,
    /// The state of the file with the token, secret id or JWT when the last load began.
    credentials: Option<Fingerprint>,
}

impl Vault {
    fn new(settings: Settings) -> Vault {
        Vault {
            retry: Retry::new(settings.max_attempts, Backoff::Steady),
            pace: settings.rate.map(Pace::new),
            is_forced: AtomicBool::new(false),
            memory: Mutex::default(),
            settings,
        }
    }

    fn place(&self) -> Place<'_> {
        Place(&self.settings)
    }

    fn load(&self, deadline: Deadline) -> Result<Document> {
        if let Some(reason) = self.not_configured() {
            return Ok(Document::missing(reason));
        }
        let credentials = self.credentials();
        self.memory.lock().credentials = credentials;
        let session = Session::new(self, deadline).forced(self.is_forced.swap(false, SeqCst));
        self.rescue_token(deadline);
        let mut read = self.with_token(&session, |token| self.read(&session, token));
        match &mut read {
            Ok(document) => document.refresh_after = self.due(),
            // A mount may have become one of another version, of which the policies know.
            Err(error) if is_refusal(error) => self.memory.lock().mounted = None,
            Err(_) => {}
        }
        read
    }

    /// Why there is nothing to ask, while nobody has logged in.
    fn not_configured(&self) -> Option<String> {
        let is_absent = self.settings.auth.is_absent() && self.memory.lock().token.is_none();
        is_absent.then(|| format!("not configured: {}", self.settings.no_login))
    }

    /// The present state of the file with the token, secret id or JWT.
    fn credentials(&self) -> Option<Fingerprint> {
        let metadata = std::fs::metadata(self.settings.auth.file()?).ok()?;
        Some(Fingerprint::of(&metadata))
    }

    fn has_new_credentials(&self) -> bool {
        let now = self.credentials();
        now.is_some() && now != self.memory.lock().credentials
    }
}
