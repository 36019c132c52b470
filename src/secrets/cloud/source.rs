//! The provider's [`DocumentSource`].

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::{Map, Value};

use super::load;
use super::session::Session;
use super::store::CloudStore;
use super::target::Target;
use super::token::TokenCache;
use crate::clock::{Deadline, Instant};
use crate::config::Config;
use crate::error::Result;
use crate::files::Fingerprint;
use crate::fork;
use crate::fork_safe::Mutex;
use crate::http::retry::{Patience, Retry, RetryDelay};
use crate::secrets::document::{Document, DocumentSource};
use crate::secrets::entries::counted;
use crate::secrets::provider::{Health, HealthState};
use crate::secrets::secret::ProviderId;
use crate::secrets::shared_login::SharedLogins;
use crate::share::Identity;

/// What the providers of clouds have in common.
pub(in crate::secrets) struct Common {
    pub(in crate::secrets) tokens: TokenCache,
    retry: Retry,
}

impl Common {
    pub(in crate::secrets) fn new(logins: SharedLogins) -> Result<Common> {
        Ok(Common { tokens: TokenCache::new(logins)?, retry: Retry::new(RetryDelay::Steady) })
    }
}

/// A provider that reads secrets of a cloud.
pub(in crate::secrets) struct CloudSource {
    id: ProviderId,
    target: Target,
    store: Box<dyn CloudStore>,
    common: Arc<Common>,
    max_attempts: Option<u32>,
    /// Whether the next load is that of a refresh.
    is_refresh: AtomicBool,
    /// The state of the file with the credentials when the last load began.
    credentials: Mutex<Option<Fingerprint>>,
}

impl CloudSource {
    pub(in crate::secrets) fn new(
        id: ProviderId,
        target: Target,
        store: Box<dyn CloudStore>,
        common: &Arc<Common>,
        config: &Config,
    ) -> CloudSource {
        CloudSource {
            id,
            target,
            store,
            common: common.clone(),
            max_attempts: Some(config.count("max_attempts", 0)).filter(|attempts| *attempts > 0),
            is_refresh: AtomicBool::new(false),
            credentials: Mutex::default(),
        }
    }

    fn read(&self, deadline: Deadline, patience: Patience, is_refresh: bool) -> Result<Document> {
        let session = Session::new(&self.common.retry, self.max_attempts, deadline, patience, is_refresh);
        load::load(&*self.store, &self.target, &session).map_err(|error| error.with_source(self.store.source()))
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        let state = |path: &Path| std::fs::metadata(path).ok().map(|metadata| Fingerprint::of(&metadata));
        state(&self.store.credentials_file()?)
    }
}

impl DocumentSource for CloudSource {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn serves(&self, key: &str) -> bool {
        self.target.only_key().is_none_or(|only| only == key)
    }

    fn place(&self) -> String {
        format!("{} in {}", self.target.place(&self.store.nouns()), self.store.place())
    }

    fn identity(&self) -> Option<Identity> {
        let _guard = fork::protect();
        let mut identity = Identity::new(self.store.cloud());
        self.target.identify(&mut identity);
        // The load fails in the same way, and reports the error.
        self.store.identify(&mut identity).ok()?;
        Some(identity)
    }

    fn before_refresh(&self) {
        self.is_refresh.store(true, Relaxed);
    }

    fn load(&self, deadline: Deadline, patience: Patience) -> Result<Document> {
        let _guard = fork::protect();
        let credentials = self.fingerprint();
        *self.credentials.lock() = credentials;
        self.read(deadline, patience, self.is_refresh.swap(false, Relaxed))
    }

    fn has_new_credentials(&self) -> bool {
        let _guard = fork::protect();
        let current = self.fingerprint();
        current.is_some() && current != *self.credentials.lock()
    }

    fn describe(&self) -> Map<String, Value> {
        let _guard = fork::protect();
        let mut members = Map::new();
        self.target.describe(&mut members);
        self.store.describe(&mut members);
        members
    }

    fn check(&self, deadline: Deadline) -> Health {
        let _guard = fork::protect();
        let start = Instant::now();
        let health = |state, what: String, advice: &str| Health::new(state, what).with_advice(advice);
        let document = match self.read(deadline, Patience::Brief, true) {
            Ok(document) => document,
            Err(error) => return health(HealthState::Failed, error.to_string(), self.store.advice(&error)),
        };
        if let Some(error) = document.incomplete() {
            let what = format!("some keys cannot be read: {error}");
            return health(HealthState::Warning, what, self.store.advice(error));
        }
        if let Some(why) = &document.missing {
            let what = format!("{}: {why}", self.place());
            return health(HealthState::Warning, what, self.store.how_to_create());
        }
        if let Some((key, error)) = document.broken().next() {
            return health(HealthState::Warning, format!("{key:?} cannot be read: {error}"), self.store.advice(error));
        }
        let keys = counted(document.len(), "key", "keys");
        if self.store.is_cleartext() {
            let what = format!("{}: {keys}; the token and all secrets go over the network unencrypted", self.place());
            return health(HealthState::Warning, what, "use an https address");
        }
        let what = format!("{} can be read: {keys}, in {:.1} s", self.place(), start.elapsed().as_secs_f64());
        Health::new(HealthState::Ok, what)
    }
}
