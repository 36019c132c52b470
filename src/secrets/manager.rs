//! The secrets manager: its providers and operations. The lookup itself is in `lookup.rs`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::changes::Changes;
use super::custom::CustomProvider;
use super::file::FileProvider;
use super::key::check_key;
use super::lookup_cache::{CacheTimes, LookupCache};
use super::opening::{Opened, is_valid_name, open_providers};
use super::provider::{LookupLimits, SecretProvider};
use super::provider_table::MAX_NAME;
use super::providers::Providers;
use super::remote_group::at_provider;
use super::secret::Secret;
use super::stats::ManagerCounts;
use super::watches::Watches;
use super::well_known;
use crate::clock::Deadline;
use crate::config::{Config, SetProvider};
use crate::error::{Error, Result, Source, Status};
use crate::fork;
use crate::fork_safe::{Published, RwLock};
use crate::process_default::ProcessDefault;
use crate::settings::Environment;
use crate::share::Share;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time that closing a manager takes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum length of a value that is written, in bytes.
const MAX_VALUE: usize = 1 << 20;

/// A secrets manager. Any number of threads may share it.
pub struct Manager {
    providers: RwLock<Arc<Providers>>,
    /// The same, readable without a lock. It is replaced with the lock of `providers` held.
    pub(super) current: Published<Providers>,
    file: Option<Arc<FileProvider>>,
    /// The provider that values are written to.
    set_provider: SetProvider,
    lookup_cache: LookupCache,
    timeout: Duration,
    /// `None` if nothing is shared with other processes.
    share: Option<Arc<Share>>,
    pub(super) changes: Arc<Changes>,
    pub(super) watches: Watches,
    pub(super) counts: ManagerCounts,
}

/// Options of a get.
#[derive(Clone, Copy, Debug, Default)]
pub struct GetOptions {
    /// The timeout of the whole call; `None` uses that of the configuration.
    pub timeout: Option<Duration>,
    /// Query each source now, whatever is cached.
    pub refresh: bool,
    /// Do not query remote and custom providers; use what they have cached.
    pub cached_only: bool,
}

/// The manager of the process.
pub(super) static DEFAULT: ProcessDefault<Manager> = ProcessDefault::new();

impl Manager {
    /// Opens a manager with these settings. It reads no file and sends no request yet.
    pub fn open(config: &Config) -> Result<Manager> {
        let _guard = fork::protect();
        let timeout = config.time("timeout", DEFAULT_TIMEOUT);
        let times = CacheTimes::of(config);
        let share = Share::open(config, &Environment::Process)?;
        let changes = Arc::new(Changes::new(share.clone()));
        let Opened { providers, file } = open_providers(config, times, share.as_ref(), &changes)?;
        let (lookup_cache, providers) = (LookupCache::new(times)?, Arc::new(providers));
        let current = Published::new(Some(providers.clone()));
        let set_provider = config.set_provider()?;
        Ok(Manager {
            providers: RwLock::new(providers),
            current,
            file,
            set_provider,
            lookup_cache,
            timeout,
            share,
            changes,
            watches: Watches::new(),
            counts: ManagerCounts::new(),
        })
    }

    /// Returns the manager of the process, which is opened with default settings on first use.
    pub fn default_instance() -> Result<Arc<Manager>> {
        DEFAULT.get_or_open(|| Manager::open(&Config::new()))
    }

    /// Replaces the manager of the process with one with these settings. With `None`, one with default settings is
    /// opened on next use. References to the old manager remain valid.
    pub fn reset_default(config: Option<&Config>) -> Result<()> {
        let _guard = fork::protect();
        // Another thread may have replaced the manager meanwhile; each call closes the one that it replaced.
        let old = DEFAULT.replace(config.map(Manager::open).transpose()?.map(Arc::new));
        // Calls under way complete with it.
        if let Some(manager) = old.and_then(Arc::into_inner) {
            manager.close();
        }
        Ok(())
    }

    /// Returns the value of `key` from the first provider that has it.
    pub fn get(&self, key: &str) -> Result<Secret> {
        self.get_with(key, &GetOptions::default())
    }

    /// Returns the value of `key` from the first provider that has it, with options.
    ///
    /// A provider that fails is skipped. If a later one has the value, the result is marked as degraded. If none has
    /// it, the result is the failure, never [`Status::NotFound`].
    pub fn get_with(&self, key: &str, options: &GetOptions) -> Result<Secret> {
        check_key(key)?;
        match (!options.refresh).then(|| self.peek(key)).flatten() {
            Some(secret) => secret,
            None => self.look_up(key, options),
        }
    }

    /// Returns the value of the first provider that has any of these keys. If a provider has several of them, the
    /// earlier key counts. `aws`, `vault` and custom providers that follow each other count as one provider.
    ///
    /// This is for names that are spelled in several ways, such as `HF_TOKEN` and `hf-token`. Failures are those of
    /// [`Manager::get_with`]; their messages name the first key.
    pub fn get_any(&self, keys: &[&str], options: &GetOptions) -> Result<Secret> {
        keys.iter().try_for_each(|key| check_key(key))?;
        match keys {
            [] => Err(Error::invalid_argument("no key is given")),
            [key] => self.get_with(key, options),
            _ => self.look_up_any(keys, options),
        }
    }

    /// Returns the values of several keys, each with its own result, within one timeout.
    pub fn get_many(&self, keys: &[&str]) -> Vec<Result<Secret>> {
        let deadline = Deadline::after(self.timeout);
        let get = |key: &&str| {
            self.get_with(key, &GetOptions { timeout: Some(deadline.remaining()), ..GetOptions::default() })
        };
        keys.iter().map(get).collect()
    }

    /// Writes a secret to the secrets file, and creates the file if it does not exist. With the setting `set_provider`,
    /// writes it to that provider. The next get still queries the providers in order: an environment variable of the
    /// same name takes precedence over the file.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        let _guard = fork::protect();
        check_key(key)?;
        if value.len() > MAX_VALUE {
            return Err(Error::invalid_argument(format!("the value of {key:?} is longer than {MAX_VALUE} bytes")));
        }
        let value = std::str::from_utf8(value).map_err(|_| {
            Error::invalid_argument(format!("the value of {key:?} is not UTF-8, which a secrets file requires"))
        })?;
        match self.set_provider {
            SetProvider::File => self.file()?.set(key, value, Deadline::after(self.timeout)),
            other => self.write(other, key, Some(value)).map(drop),
        }
    }

    /// Removes a secret from the secrets file, or from the provider of the setting `set_provider`. Returns whether it
    /// was there.
    pub fn delete(&self, key: &str) -> Result<bool> {
        let _guard = fork::protect();
        check_key(key)?;
        match self.set_provider {
            SetProvider::File => self.file()?.delete(key, Deadline::after(self.timeout)),
            other => self.write(other, key, None),
        }
    }

    fn write(&self, to: SetProvider, key: &str, value: Option<&str>) -> Result<bool> {
        let (name, providers) = (to.name(), self.providers());
        let provider = providers.iter().find(|provider| provider.name() == name).ok_or_else(|| {
            let what = format!("`set_provider` is {name:?}, which `providers` does not list; add it there");
            Error::new(Status::Config, what)
        })?;
        let existed = provider.write(key, value, &self.request(None, false));
        let existed = existed.map_err(|error| at_provider(&**provider, error))?;
        // Last, because other calls may have cached old values meanwhile.
        self.lookup_cache.clear();
        Ok(existed)
    }

    /// Adds a custom provider at this position in the order: 0 is first, `None` is last, but before a last provider
    /// `huggingface`, whose aliases come after the secret `HF_TOKEN` of all others.
    ///
    /// `callback` is called with a key and a time limit, on the thread of the caller, with no lock held. It may use
    /// this manager. It returns `Ok(None)` if it has no value; an error is a failure of the provider.
    pub fn add_provider(
        &self,
        name: &str,
        position: Option<usize>,
        callback: impl Fn(&str, Duration) -> Result<Option<Secret>> + Send + Sync + 'static,
    ) -> Result<()> {
        let _guard = fork::protect();
        if !is_valid_name(name) {
            let message = format!("the name of a provider must have 1 to {MAX_NAME} bytes and no control characters");
            return Err(Error::invalid_argument(message));
        }
        let new: Arc<dyn SecretProvider> =
            Arc::new(CustomProvider::new(name, Box::new(callback), self.lookup_cache.times)?);
        let mut providers = self.providers.write();
        let problem = if providers.iter().any(|provider| provider.name() == name) {
            Some(format!("a provider named {name:?} already exists"))
        } else if position.is_some_and(|position| position > providers.len()) {
            Some(format!("the position is greater than the number of providers, {}", providers.len()))
        } else {
            None
        };
        if let Some(message) = problem {
            // The destructor of the callback may use this manager.
            drop(providers);
            fork::unprotected(|| drop(new));
            return Err(Error::invalid_argument(message));
        }
        let mut changed = Providers::clone(&providers);
        let aliases = changed.last().is_some_and(|last| last.source() == Source::HuggingFace);
        changed.insert(position.unwrap_or(changed.len() - usize::from(aliases)), new);
        *providers = Arc::new(changed);
        let before = self.current.replace(Some(providers.clone()));
        drop(providers);
        drop(before);
        // Cached values were found without the new provider.
        self.lookup_cache.clear();
        Ok(())
    }

    /// Refreshes all providers now. The error is that of the first provider that failed.
    pub fn refresh(&self, timeout: Option<Duration>) -> Result<()> {
        let _guard = fork::protect();
        let result = self.for_each(&self.request(timeout, true), |provider, request| provider.refresh(request));
        // Last, because other calls may have cached old values meanwhile.
        self.lookup_cache.clear();
        result
    }

    /// Loads the documents of AWS and Vault now, unless they are cached. With the setting `share`, other processes of
    /// this host then use them too. The error is that of the first provider that failed; the others are loaded even
    /// then.
    pub fn prefetch(&self, timeout: Option<Duration>) -> Result<()> {
        let _guard = fork::protect();
        self.for_each(&self.request(timeout, false), |provider, request| provider.prefetch(request))
    }

    /// Calls `action` with each provider and its share of the time. Returns the first failure.
    fn for_each(
        &self,
        request: &LookupLimits,
        action: impl Fn(&dyn SecretProvider, &LookupLimits) -> Result<()>,
    ) -> Result<()> {
        let (mut result, providers) = (Ok(()), self.providers());
        for (at, provider) in providers.iter().enumerate() {
            let share = request.share(providers[at + 1..].iter().any(|other| other.is_remote()));
            result = result.and(action(&**provider, &share).map_err(|error| at_provider(&**provider, error)));
        }
        result
    }

    /// Drops all cached values, and wipes those that no caller holds.
    pub fn clear_cache(&self) {
        let _guard = fork::protect();
        self.providers().iter().for_each(|provider| provider.clear_cache());
        self.lookup_cache.clear();
    }

    /// Closes the manager. First revokes the leases of dynamic secrets that have `revoke`, within the timeout, at most
    /// 5 s. Dropping a manager sends nothing.
    pub fn close(self) {
        let _guard = fork::protect();
        let deadline = Deadline::after(self.timeout.min(CLOSE_TIMEOUT));
        self.providers().iter().for_each(|provider| provider.close(deadline));
    }

    /// Returns the path of the file or directory that the file provider reads; if there is none, the path of the file
    /// that [`Manager::set`] would create.
    pub fn file_path(&self) -> Result<PathBuf> {
        let _guard = fork::protect();
        self.file()?.file_path()
    }

    /// Returns the Replicate API token.
    pub fn replicate_token(&self) -> Result<Secret> {
        self.get(well_known::REPLICATE_API_TOKEN)
    }

    /// Returns the Hugging Face Hub token.
    pub fn hf_token(&self) -> Result<Secret> {
        self.get(well_known::HF_TOKEN)
    }

    /// Returns the secret that signs webhooks.
    pub fn webhook_secret(&self) -> Result<Secret> {
        self.get(well_known::CLOUD_WEBHOOK_SECRET)
    }

    /// Writes the Replicate API token to the secrets file.
    pub fn set_replicate_token(&self, value: &[u8]) -> Result<()> {
        self.set(well_known::REPLICATE_API_TOKEN, value)
    }

    pub(super) fn providers(&self) -> Arc<Providers> {
        self.providers.read().clone()
    }

    pub(super) fn request(&self, timeout: Option<Duration>, refresh: bool) -> LookupLimits {
        LookupLimits::new(timeout.unwrap_or(self.timeout), refresh)
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn lookup_cache(&self) -> &LookupCache {
        &self.lookup_cache
    }

    pub(super) fn shared(&self) -> Option<&Share> {
        self.share.as_deref()
    }

    fn file(&self) -> Result<&FileProvider> {
        self.file.as_deref().ok_or_else(|| {
            Error::new(Status::Config, "there is no file provider; add \"file\" to `providers` in the configuration")
        })
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _guard = fork::protect();
        let providers = (std::mem::take(self.providers.get_mut()), self.current.replace(None));
        let watches = std::mem::take(&mut *self.watches.list.lock());
        // The destructors of custom providers and watches may use the library.
        fork::unprotected(|| drop((providers, watches)));
    }
}
