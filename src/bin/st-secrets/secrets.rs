//! Queries to the provider chain of the library.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use st_secrets::{Config, GetOptions, Manager, ProviderNames, Scope};

pub(crate) use st_secrets::{Secret, SecretBytes};

use crate::arguments::Common;
use crate::failure::Failure;
use crate::{config, names, terminal};

/// The provider that values are written to by default.
const FILE: &str = "file";

/// How long [`Secrets::invalidate`] waits by default.
const CONFIRMATION_TIME: Duration = Duration::from_secs(10);

/// The chain of providers, for one call of the program.
pub(crate) struct Secrets {
    config: Config,
    manager: Manager,
    deadline: Option<Instant>,
}

impl Secrets {
    pub(crate) fn open(common: &Common) -> Result<Secrets, Failure> {
        Secrets::with(config::load(common)?, common)
    }

    /// The same, which shares what it loads with other processes on this host.
    pub(crate) fn open_shared(common: &Common) -> Result<Secrets, Failure> {
        let mut config = config::load(common)?;
        config.set("share", "host")?;
        Secrets::with(config, common)
    }

    fn with(config: Config, common: &Common) -> Result<Secrets, Failure> {
        let manager = Manager::open(&config)?;
        Ok(Secrets { config, manager, deadline: common.deadline })
    }

    /// Loads what AWS and Vault have, unless it is shared.
    pub(crate) fn prefetch(&self) -> Result<(), Failure> {
        Ok(self.manager.prefetch(self.remaining())?)
    }

    /// Drops what all in this scope have cached. Returns as JSON who has confirmed it.
    pub(crate) fn invalidate(&self, scope: Scope) -> Result<String, Failure> {
        Ok(self.manager.invalidate(None, scope, self.remaining().unwrap_or(CONFIRMATION_TIME))?)
    }

    /// A number that increases when anything changed.
    pub(crate) fn generation(&self) -> u64 {
        self.manager.generation()
    }

    /// Waits until the generation is another one than `since`, or this time is over, and returns it.
    pub(crate) fn listen(&self, since: u64, time: Duration) -> Result<u64, Failure> {
        Ok(self.manager.listen(since, time)?)
    }

    /// Lets the next calls take this long in all.
    pub(crate) fn limit(&mut self, time: Option<Duration>) {
        self.deadline = time.and_then(|time| Instant::now().checked_add(time));
    }

    /// What is shared with other processes, as JSON.
    pub(crate) fn share(&self) -> String {
        self.manager.share()
    }

    /// The text of a setting of the configuration.
    pub(crate) fn setting(&self, key: &str) -> Option<&str> {
        self.config.text(key)
    }

    /// The secret, under any spelling of its name.
    pub(crate) fn get(&self, name: &str) -> Result<Secret, Failure> {
        check_name(name)?;
        Ok(self.look_up(name, false)?)
    }

    /// The same; `None` if no provider has it.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Secret>, Failure> {
        check_name(name)?;
        match self.look_up(name, false) {
            Ok(secret) => Ok(Some(secret)),
            Err(error) if error.status() == st_secrets::Status::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn look_up(&self, name: &str, cached_only: bool) -> st_secrets::Result<Secret> {
        let spellings = names::spellings(name);
        let spellings: Vec<&str> = spellings.iter().map(String::as_str).collect();
        self.manager
            .get_any(&spellings, &GetOptions { timeout: self.remaining(), cached_only, ..GetOptions::default() })
    }

    fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The names that each provider holds.
    pub(crate) fn names(&self) -> Vec<ProviderNames> {
        self.manager.names(self.remaining())
    }

    /// The environment alone.
    pub(crate) fn environment(&self) -> Result<Secrets, Failure> {
        self.alone("env")
    }

    /// Whether there is such a secret.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.look_up(name, false).is_ok()
    }

    /// Stores a value, under the spelling of an existing entry if there is one. Warns if a value of another provider
    /// takes precedence.
    pub(crate) fn set(&self, name: &str, value: &[u8]) -> Result<(), Failure> {
        check_name(name)?;
        let key = self.stored_keys(name).into_iter().next().unwrap_or_else(|| name.to_owned());
        self.manager.set(&key, value)?;
        let writer = self.writer();
        let place = if writer == FILE {
            let path = self.manager.file_path()?;
            terminal::note(&format!("{key} is set in {}", path.display()));
            withdraw_mode_warning(&path);
            "the file".to_owned()
        } else {
            terminal::note(&format!("{key} is set in provider {writer}"));
            format!("provider {writer}")
        };
        match self.look_up(name, true) {
            Ok(secret) if secret.provider() != writer => {
                let provider = secret.provider();
                let message =
                    format!("{name} still comes from provider {provider}, which takes precedence over {place}");
                terminal::warn(&message);
            }
            _ => {}
        }
        Ok(())
    }

    /// The provider that values are written to.
    fn writer(&self) -> &str {
        self.config.text("set_provider").unwrap_or(FILE)
    }

    /// Removes every spelling of a secret from the provider that is written to. Warns if another provider still has it.
    /// Returns the keys that were removed.
    pub(crate) fn delete(&self, name: &str) -> Result<Vec<String>, Failure> {
        check_name(name)?;
        let mut keys = self.stored_keys(name);
        if keys.is_empty() && self.manager.delete(name)? {
            keys.push(name.to_owned());
        } else {
            for key in &keys {
                self.manager.delete(key)?;
            }
        }
        if let (false, Ok(path)) = (keys.is_empty() || self.writer() != FILE, self.manager.file_path()) {
            withdraw_mode_warning(&path);
        }
        if let (false, Ok(secret)) = (keys.is_empty(), self.look_up(name, true)) {
            terminal::warn(&format!("{name} still comes from provider {}", secret.provider()));
        }
        Ok(keys)
    }

    /// Returns the spellings of this name that exist in the provider that is written to.
    fn stored_keys(&self, name: &str) -> Vec<String> {
        let listed = self.alone(self.writer()).map(|place| place.manager.names(None)).unwrap_or_default();
        let keys: Vec<String> = listed.into_iter().filter_map(|provider| provider.names).flatten().collect();
        names::spellings(name).into_iter().filter(|spelling| keys.contains(spelling)).collect()
    }

    /// The chain with this provider alone.
    fn alone(&self, provider: &str) -> Result<Secrets, Failure> {
        let mut config = self.config.clone();
        config.set("providers", &format!("[\"{provider}\"]"))?;
        let manager = Manager::open(&config)?;
        Ok(Secrets { config, manager, deadline: self.deadline })
    }

    /// How every provider is, as JSON.
    pub(crate) fn check(&self) -> String {
        self.manager.check()
    }

    /// Where values are written to: the file or directory of the file provider, that there is none, or a provider.
    pub(crate) fn file(&self) -> String {
        if self.writer() != FILE {
            return format!("provider {}", self.writer());
        }
        match self.manager.file_path() {
            Ok(path) => path.display().to_string(),
            Err(error) => error.message().to_owned(),
        }
    }
}

/// A file that is written gets mode 0600, so the warning about its earlier mode does not apply.
fn withdraw_mode_warning(path: &Path) {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 == 0) {
        terminal::withdraw_warnings(&format!("{} can be read or changed by other users", path.display()));
    }
}

/// Warns of a value that may not be the current one.
pub(crate) fn warn_of_doubt(name: &str, secret: &Secret) {
    let provider = secret.provider();
    if secret.is_degraded() {
        terminal::warn(&format!("{name} comes from provider {provider}, but a provider before it failed"));
    }
    if secret.is_stale() {
        terminal::warn(&format!("{name} is the last value of provider {provider}, which is not responding"));
    }
}

/// A name with `=` in it is most likely followed by a value, so it is not repeated.
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    match name.contains('=') {
        true => Err(Failure::usage(
            "the name of a secret has no `=`; a value is never an argument: pipe it into st-secrets set NAME",
        )),
        false => Ok(()),
    }
}
