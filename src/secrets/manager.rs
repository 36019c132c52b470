//! The chain of providers, and what is asked of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use super::aws::AwsSource;
use super::custom::CustomProvider;
use super::document::DocumentSource;
use super::document_provider::DocumentProvider;
use super::env::EnvProvider;
use super::file::FileProvider;
use super::memory::{self, AtHand, Memory, Run, Times};
use super::peek::is_plain;
use super::provider::{Found, Provider, Request};
use super::secret::Secret;
use super::unconfigured::{Lack, Unconfigured};
use super::vault::VaultSource;
use crate::clock::Deadline;
use crate::config::{Config, nearest};
use crate::error::{Error, Result, Source, Status};
use crate::fork;
use crate::log::{self, Level};
use crate::sys::Published;

/// Names of the secrets that SimpleTuner itself uses.
pub mod well_known {
    /// Replicate API authentication.
    pub const REPLICATE_API_TOKEN: &str = "REPLICATE_API_TOKEN";
    /// Hugging Face Hub token.
    pub const HF_TOKEN: &str = "HF_TOKEN";
    /// The secret that webhooks are signed with.
    pub const CLOUD_WEBHOOK_SECRET: &str = "CLOUD_WEBHOOK_SECRET";
}

/// All names of [`well_known`].
pub const WELL_KNOWN: [&str; 3] =
    [well_known::REPLICATE_API_TOKEN, well_known::HF_TOKEN, well_known::CLOUD_WEBHOOK_SECRET];

const DEFAULT_PROVIDERS: [&str; 4] = ["env", "file", "aws", "vault"];
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest name of a secret, in bytes.
const MAX_KEY: usize = 2048;
/// The longest value that can be written, in bytes.
const MAX_VALUE: usize = 1 << 20;
/// The longest name of a provider, in bytes: it has to fit into `st_secret_info`.
const MAX_NAME: usize = 31;

/// Finds secrets. It may be shared by any number of threads.
pub struct Manager {
    providers: RwLock<Arc<Providers>>,
    /// The same; changed with the lock of `providers` held.
    pub(super) current: Published<Providers>,
    file: Option<Arc<FileProvider>>,
    memory: Memory,
    timeout: Duration,
}

pub(super) type Providers = Vec<Arc<dyn Provider>>;

/// How one get differs from the usual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Over everything; the `timeout` of the configuration if not given.
    pub timeout: Option<Duration>,
    /// Look at each source now, whatever is remembered.
    pub refresh: bool,
    /// Ask no provider that may take long.
    pub cached_only: bool,
}

static DEFAULT: RwLock<Option<Arc<Manager>>> = RwLock::new(None);
/// The same; changed with the lock of `DEFAULT` held.
pub(super) static CURRENT_DEFAULT: Published<Manager> = Published::empty();

impl Manager {
    /// A manager with these settings. It reads nothing yet.
    pub fn open(config: &Config) -> Result<Manager> {
        let _inside = fork::enter();
        let default: Vec<String> = DEFAULT_PROVIDERS.map(str::to_owned).to_vec();
        let names = config.list("providers").unwrap_or(&default);
        let timeout = config.time("timeout", DEFAULT_TIMEOUT);
        let times = Times::of(config);
        let mut providers = Providers::new();
        let mut file = None;
        for name in names {
            if providers.iter().any(|provider| provider.name() == name) {
                return Err(Error::new(Status::Config, format!("`providers` names {name:?} twice")));
            }
            match name.as_str() {
                "env" => providers.push(Arc::new(EnvProvider::open(config)?)),
                "file" => {
                    let provider = Arc::new(FileProvider::open(config)?);
                    file = Some(provider.clone());
                    providers.push(provider);
                }
                "aws" => {
                    let why = "no secret is named; set `aws_secret_name` or SIMPLETUNER_AWS_SECRET_NAME".to_owned();
                    let lack = Lack { why, is_wanted: false };
                    providers.push(remote("aws", Source::Aws, AwsSource::open(config)?.ok_or(lack), times)?);
                }
                "vault" => providers.push(remote("vault", Source::Vault, VaultSource::open(config)?, times)?),
                _ => return Err(unknown_provider(name)),
            }
        }
        let (memory, providers) = (Memory::new(times)?, Arc::new(providers));
        let current = Published::new(Some(providers.clone()));
        Ok(Manager { providers: RwLock::new(providers), current, file, memory, timeout })
    }

    /// The manager of the whole process, made on first use with no settings but the environment's.
    pub fn default_instance() -> Result<Arc<Manager>> {
        let _inside = fork::enter();
        if let Some(manager) = &*DEFAULT.read() {
            return Ok(manager.clone());
        }
        let new = Arc::new(Manager::open(&Config::new())?);
        let mut default = DEFAULT.write();
        let manager = default.get_or_insert(new).clone();
        // Another call may have made this very one.
        drop(CURRENT_DEFAULT.replace(Some(manager.clone())));
        Ok(manager)
    }

    /// Replaces the manager of the whole process by one with these settings, or, with `None`, by a new one on its next
    /// use. Who holds the old one keeps it.
    pub fn reset_default(config: Option<&Config>) -> Result<()> {
        let _inside = fork::enter();
        let new = config.map(Manager::open).transpose()?.map(Arc::new);
        let mut default = DEFAULT.write();
        let current = CURRENT_DEFAULT.replace(new.clone());
        let old = std::mem::replace(&mut *default, new);
        drop(default);
        drop((old, current));
        Ok(())
    }

    /// The value of `key` in the first provider that has it.
    pub fn get(&self, key: &str) -> Result<Secret> {
        self.get_with(key, &Options::default())
    }

    /// The value of `key` in the first provider that has it, found in this way.
    ///
    /// A provider that fails is passed over: if a lower one has the value, that is returned and is marked as degraded; if
    /// none has, the answer is the failure, never [`Status::NotFound`].
    pub fn get_with(&self, key: &str, options: &Options) -> Result<Secret> {
        check_key(key)?;
        match (!options.refresh).then(|| self.peek(key)).flatten() {
            Some(secret) => secret,
            None => self.look_up(key, options),
        }
    }

    /// The value that the first provider with any of these keys has; of several that it has, that of the earlier key.
    /// `aws`, `vault` and providers of the program that are next to each other in the order count as one.
    ///
    /// For names that are written in several ways, such as `HF_TOKEN` and `hf-token`. Failures are as for
    /// [`Manager::get_with`], and name the first key.
    pub fn get_any(&self, keys: &[&str], options: &Options) -> Result<Secret> {
        keys.iter().try_for_each(|key| check_key(key))?;
        match keys {
            [] => Err(Error::invalid_argument("no name of a secret is given")),
            [key] => self.get_with(key, options),
            _ => self.look_up_any(keys, options),
        }
    }

    /// The same as [`Manager::get_with`], asking each provider.
    pub(super) fn look_up(&self, key: &str, options: &Options) -> Result<Secret> {
        self.look_up_any(&[key], options)
    }

    fn look_up_any(&self, keys: &[&str], options: &Options) -> Result<Secret> {
        let _inside = fork::enter();
        let key = keys[0];
        let request = self.request(options.timeout, options.refresh);
        let providers = self.providers();
        let mut failure: Option<Error> = None;
        let mut not_asked: Vec<String> = Vec::new();
        let (mut at, mut runs) = (0, 0);
        while at < providers.len() {
            let first = at;
            let answer = match providers[first].is_remote() {
                false => {
                    at += 1;
                    first_value(keys, |key| local(&providers[first], key, &request))
                }
                true => {
                    at += providers[first..].iter().take_while(|provider| provider.is_remote()).count();
                    let others_behind = providers[at..].iter().any(|provider| provider.is_remote());
                    let run = Run { providers: &providers[first..at], number: runs, others_behind };
                    runs += 1;
                    match options.cached_only {
                        false => first_value(keys, |key| self.memory.ask(&run, key, &request)),
                        true => first_value(keys, |key| {
                            Ok(match self.memory.at_hand(&run, key) {
                                AtHand::Found(secret) => Some(secret),
                                AtHand::None => None,
                                AtHand::NotAsked(names) => {
                                    add_new(&mut not_asked, names);
                                    None
                                }
                            })
                        }),
                    }
                }
            };
            match answer {
                Ok(Some(mut secret)) => {
                    log::emit(Level::Debug, "secrets", || format!("{key:?} comes from provider {}", secret.provider()));
                    secret.degraded |= failure.is_some() || !not_asked.is_empty();
                    return Ok(secret);
                }
                Ok(None) => {}
                Err(error) => {
                    failure = Some(memory::first_of(failure, error));
                }
            }
        }
        Err(match failure {
            Some(error) => error.map_message(|message| format!("secret {key:?}: {message}")),
            None if !not_asked.is_empty() => Error::new(
                Status::Unavailable,
                format!("secret {key:?} is not at hand, and {} may not be asked by this call", not_asked.join(", ")),
            ),
            None => not_found(key, &providers),
        })
    }

    /// The values of several keys, each with its own success or failure, under one deadline.
    pub fn get_many(&self, keys: &[&str]) -> Vec<Result<Secret>> {
        let deadline = Deadline::after(self.timeout);
        let get =
            |key: &&str| self.get_with(key, &Options { timeout: Some(deadline.remaining()), ..Options::default() });
        keys.iter().map(get).collect()
    }

    /// Writes a secret into the secrets file, creating it where it is missing. The chain still decides what the next
    /// get returns: a variable of the same name goes before the file.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        let _inside = fork::enter();
        check_key(key)?;
        if value.len() > MAX_VALUE {
            return Err(Error::invalid_argument(format!("the value of {key:?} is longer than {MAX_VALUE} bytes")));
        }
        let value = std::str::from_utf8(value)
            .map_err(|_| Error::invalid_argument(format!("the value of {key:?} is not UTF-8, as a file needs")))?;
        self.file()?.set(key, value, Deadline::after(self.timeout))
    }

    /// Removes a secret from the secrets file; `false` if it was not there.
    pub fn delete(&self, key: &str) -> Result<bool> {
        let _inside = fork::enter();
        check_key(key)?;
        self.file()?.delete(key, Deadline::after(self.timeout))
    }

    /// Adds a provider of the program's own at this place in the order, 0 being first; `None` adds it last.
    ///
    /// `ask` is called with a key and the time it may take, on the thread that asks, with no lock held; it may use this
    /// manager. `Ok(None)` is "I have none"; an error is a failure of the provider.
    pub fn add_provider(
        &self,
        name: &str,
        position: Option<usize>,
        ask: impl Fn(&str, Duration) -> Result<Option<Found>> + Send + Sync + 'static,
    ) -> Result<()> {
        let _inside = fork::enter();
        if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
            let message = format!("the name of a provider has 1 to {MAX_NAME} bytes and no control characters");
            return Err(Error::invalid_argument(message));
        }
        let new: Arc<dyn Provider> = Arc::new(CustomProvider::new(name, Box::new(ask), self.memory.times)?);
        let mut providers = self.providers.write();
        let refused = if providers.iter().any(|provider| provider.name() == name) {
            Some(format!("there is a provider named {name:?} already"))
        } else if position.is_some_and(|position| position > providers.len()) {
            Some(format!("position is beyond the {} providers that there are", providers.len()))
        } else {
            None
        };
        if let Some(message) = refused {
            // The callback's own clean-up may use this manager.
            drop(providers);
            fork::outside(|| drop(new));
            return Err(Error::invalid_argument(message));
        }
        let mut changed = providers.to_vec();
        changed.insert(position.unwrap_or(changed.len()), new);
        *providers = Arc::new(changed);
        let before = self.current.replace(Some(providers.clone()));
        drop(providers);
        drop(before);
        // What was answered was so by the providers that there were.
        self.memory.clear();
        Ok(())
    }

    /// Looks at every source now, and forgets what other providers answered; the error is that of the first provider that failed.
    pub fn refresh(&self, timeout: Option<Duration>) -> Result<()> {
        let _inside = fork::enter();
        let request = self.request(timeout, true);
        let mut result = Ok(());
        let providers = self.providers();
        for (at, provider) in providers.iter().enumerate() {
            let share = request.share(providers[at + 1..].iter().any(|other| other.is_remote()));
            let refreshed = provider.refresh(&share).map_err(|error| {
                error
                    .with_source(provider.source())
                    .map_message(|message| format!("the provider {} failed: {message}", provider.name()))
            });
            result = result.and(refreshed);
        }
        // Last: meanwhile others may have been told what was there before.
        self.memory.clear();
        result
    }

    /// Forgets, and so wipes, every value that no caller holds.
    pub fn clear_cache(&self) {
        let _inside = fork::enter();
        self.providers().iter().for_each(|provider| provider.forget());
        self.memory.clear();
    }

    /// The file or directory that the file provider reads; where there is none yet, the file that [`Manager::set`] creates.
    pub fn file_path(&self) -> Result<PathBuf> {
        let _inside = fork::enter();
        self.file()?.file_path()
    }

    /// The Replicate API token.
    pub fn replicate_token(&self) -> Result<Secret> {
        self.get(well_known::REPLICATE_API_TOKEN)
    }

    /// The Hugging Face Hub token.
    pub fn hf_token(&self) -> Result<Secret> {
        self.get(well_known::HF_TOKEN)
    }

    /// The secret that webhooks are signed with.
    pub fn webhook_secret(&self) -> Result<Secret> {
        self.get(well_known::CLOUD_WEBHOOK_SECRET)
    }

    /// Writes the Replicate API token into the secrets file.
    pub fn set_replicate_token(&self, value: &[u8]) -> Result<()> {
        self.set(well_known::REPLICATE_API_TOKEN, value)
    }

    pub(super) fn providers(&self) -> Arc<Providers> {
        self.providers.read().clone()
    }

    pub(super) fn request(&self, timeout: Option<Duration>, refresh: bool) -> Request {
        Request::new(timeout.unwrap_or(self.timeout), refresh)
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    fn file(&self) -> Result<&FileProvider> {
        self.file.as_deref().ok_or_else(|| {
            Error::new(Status::Config, "there is no file provider: `providers` in the configuration leaves it out")
        })
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let providers = (std::mem::take(self.providers.get_mut()), self.current.replace(None));
        // Providers of the program have clean-up of their own, which may use the library.
        fork::outside(|| drop(providers));
    }
}

/// A provider over this source or, where there is none, one that says why.
fn remote<S: DocumentSource + 'static>(
    name: &'static str,
    source: Source,
    opened: std::result::Result<S, Lack>,
    times: Times,
) -> Result<Arc<dyn Provider>> {
    Ok(match opened {
        Ok(opened) => Arc::new(DocumentProvider::new(opened, times)?),
        Err(lack) => Arc::new(Unconfigured { name, source, lack }),
    })
}

#[inline]
pub(super) fn check_key(key: &str) -> Result<()> {
    if matches!(key.len(), 1..=MAX_KEY) && is_plain(key.as_bytes()) { Ok(()) } else { check_key_exactly(key) }
}

#[cold]
fn check_key_exactly(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > MAX_KEY || key.contains('\0') {
        return Err(Error::invalid_argument(format!("the name of a secret has 1 to {MAX_KEY} bytes and no NUL")));
    }
    Ok(())
}

fn not_found(key: &str, providers: &[Arc<dyn Provider>]) -> Error {
    let tried: Vec<String> =
        providers.iter().map(|provider| format!("{} ({})", provider.name(), provider.place(key))).collect();
    let tried = if tried.is_empty() { "no providers".to_owned() } else { tried.join(", ") };
    Error::new(Status::NotFound, format!("secret {key:?} was not found; tried: {tried}"))
}

/// Adds the names that are not in the list yet.
fn add_new(list: &mut Vec<String>, names: Vec<String>) {
    for name in names {
        if !list.contains(&name) {
            list.push(name);
        }
    }
}

/// The value of the first of these keys that has one; if none has, the first failure.
fn first_value(keys: &[&str], mut find: impl FnMut(&str) -> Result<Option<Secret>>) -> Result<Option<Secret>> {
    let mut failure = None;
    for key in keys {
        match find(key) {
            Ok(Some(mut secret)) => {
                secret.degraded |= failure.is_some();
                return Ok(Some(secret));
            }
            Ok(None) => {}
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(None), Err)
}

fn local(provider: &Arc<dyn Provider>, key: &str, request: &Request) -> Result<Option<Secret>> {
    match provider.find(key, request) {
        Ok(held) => Ok(held.map(|held| Secret { held, provider: provider.clone(), degraded: false })),
        Err(error) => Err(memory::failed(&**provider, key, error)),
    }
}

fn unknown_provider(name: &str) -> Error {
    let shown: String = name.chars().take(64).collect();
    let known = DEFAULT_PROVIDERS;
    let hint = match nearest(name, known.into_iter()) {
        Some(known) => format!("did you mean {known:?}?"),
        None => format!("the known ones are {}", known.join(", ")),
    };
    Error::new(Status::Config, format!("`providers` names an unknown provider {shown:?}; {hint}"))
}
