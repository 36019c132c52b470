//! One load per host: processes of one user share what one of them has loaded, without a daemon.
//!
//! Each [`Slot`] has files in a directory in memory. One process loads, holding a lock that ends with it; the others
//! wait on a word of shared memory, and then read the document that it wrote. The document is encrypted with a key from
//! what the process logs in with, so a process reads only what it could have requested.
//!
//! | module | contents |
//! |---|---|
//! | `slot` | [`Slot`]: reading, locking, publishing, invalidating |
//! | `sealed` | the format of a file, and its encryption |
//! | `lock` | which process loads |
//! | `page` | the shared memory of a slot |
//! | `host` | [`HostPage`]: the memory that all slots of a directory share: changes, invalidations, processes |
//! | `mapped` | files that are mapped into memory |
//! | `directory` | opening and checking the directory, and its files |
//! | `identity` | [`Identity`]: which process would ask for what |
//! | `data_key` | [`DataKeySource`]: a key service that unwraps the key of the tier |
//! | `failure`, `fields` | what the files contain |
//! | `tier` | [`Tier`]: documents that hosts of a cluster share through a server |

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::cache::{CacheOptions, TtlCache, Value};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::fork_safe::Mutex;
use crate::http::Roots;
use crate::log::{self, Level};
use crate::secret_memory::SecretBytes;
use crate::settings::{Environment, InvalidSetting, Setting};
use crate::sys;
use data_key::TierKey;
use directory::{KEY_LEN, ShareDirectory};
use tier::{CacheTier, TlsSettings};

mod data_key;
mod directory;
mod failure;
pub(crate) mod fields;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod host;
mod identity;
mod lock;
mod mapped;
mod page;
mod sealed;
mod slot;
mod tier;

pub(crate) use data_key::{DataKey, DataKeySource, KEY_AGE, KEY_LEN as DATA_KEY_LEN, WrappedKey};
pub(crate) use failure::Failure;
pub(crate) use host::{HostPage, Membership};
pub(crate) use identity::Identity;
pub(crate) use page::Stamp;
pub(crate) use slot::{Loading, NewRecord, SharedDocument, Slot, Turn};
pub(crate) use tier::{Tier, TierDocument, TierLoad, TierTime};

/// How often a cache with a tier asks for the changes of other processes.
const CACHE_INTERVAL: Duration = Duration::from_secs(1);

/// The settings of the share of a process.
pub(crate) struct Share {
    /// An error is that of an invalid variable. Nothing is shared then.
    settings: Result<ShareSettings>,
    /// Why the last slot could not be opened, to log each reason once.
    refusal: Mutex<Option<String>>,
}

struct ShareSettings {
    directory: PathBuf,
    key: Option<SecretBytes>,
    tier: Option<Arc<Tier>>,
}

impl Share {
    /// Reads the settings; `None` if the share is off. The error is an invalid setting in the configuration.
    pub(crate) fn open(config: &Config, environment: &Environment) -> Result<Option<Arc<Share>>> {
        let settings = match ShareSettings::read(config, environment) {
            Ok(None) => return Ok(None),
            Ok(Some(settings)) => Ok(settings),
            Err(invalid) if invalid.in_config => return Err(invalid.error),
            Err(invalid) => Err(invalid.error),
        };
        Ok(Some(Arc::new(Share { settings, refusal: Mutex::new(None) })))
    }

    /// Opens the slot of this identity; `None` if it cannot be shared, which is logged.
    pub(crate) fn slot(&self, identity: Identity) -> Option<Slot> {
        let opened = match &self.settings {
            Ok(settings) => {
                let has_tier = settings.tier.is_some();
                Slot::open(settings.directory.clone(), settings.key.as_ref(), identity, has_tier)
            }
            Err(error) => Err(error.clone()),
        };
        let reason = opened.as_ref().err().map(Error::to_string);
        if *self.refusal.lock() != reason {
            self.refusal.lock().clone_from(&reason);
            if let Some(reason) = reason {
                log::emit(Level::Warn, "share", || format!("nothing is shared with other processes: {reason}"));
            }
        }
        opened.ok()
    }

    /// Opens the memory that all processes of this directory share.
    pub(crate) fn host_page(&self) -> Result<HostPage> {
        let settings = self.settings.as_ref().map_err(Error::clone)?;
        HostPage::open(&settings.directory)
    }

    /// The cluster tier, if there is one.
    pub(crate) fn tier(&self) -> Option<&Arc<Tier>> {
        self.settings.as_ref().ok()?.tier.as_ref()
    }

    /// The directory, if the settings are valid.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.settings.as_ref().ok().map(|settings| settings.directory.as_path())
    }

    /// Why nothing can be shared.
    pub(crate) fn refusal(&self) -> Option<Error> {
        match &self.settings {
            Ok(settings) => ShareDirectory::open(&settings.directory).err(),
            Err(error) => Some(error.clone()),
        }
    }
}

/// Opens a cache of bytes with the settings of [`CacheOptions`]. With the setting `tier`, processes share it through a
/// server; a server that fails is not an error.
pub fn open_cache(config: &Config) -> Result<TtlCache<Value>> {
    let options = CacheOptions::from(config);
    let setting = settings_of(config, &Environment::Process);
    let Some(url) = config.setting("tier")? else { return TtlCache::with_options(options) };
    let key = tier_key(&url, setting("share_key", "ST_SECRETS_SHARE_KEY")?)?;
    let name = config.setting("tier_name")?;
    let interval = config.time("tier_interval", CACHE_INTERVAL);
    let name = name.as_ref().map_or("", Setting::text);
    let tier = CacheTier::open(&url, tls_settings(&setting)?, &key, name, interval)?;
    TtlCache::with_remote(options, Box::new(tier))
}

/// Reads a setting of the configuration, or the variable.
fn settings_of(
    config: &Config,
    environment: &Environment,
) -> impl Fn(&'static str, &str) -> Result<Option<Setting>, InvalidSetting> {
    |key, variable| match config.setting(key)? {
        Some(setting) => Ok(Some(setting)),
        None => environment.setting(variable),
    }
}

/// The key of a tier at this URL.
fn tier_key(url: &Setting, setting: Option<Setting>) -> Result<SecretBytes, InvalidSetting> {
    let what = "needs `share_key` (or ST_SECRETS_SHARE_KEY), the same on all hosts; make one with: \
                openssl rand -base64 32";
    key(&setting.ok_or_else(|| url.invalid(what))?)
}

impl ShareSettings {
    fn read(config: &Config, environment: &Environment) -> Result<Option<ShareSettings>, InvalidSetting> {
        let setting = settings_of(config, environment);
        let url = setting("share_url", "ST_SECRETS_SHARE_URL")?;
        let is_on = match setting("share", "ST_SECRETS_SHARE")? {
            None => false,
            Some(setting) => match setting.text() {
                "off" => false,
                "host" => true,
                _ => return Err(setting.invalid("must be off or host")),
            },
        };
        if !is_on {
            return match url {
                Some(url) => Err(url.invalid("needs the setting `share`: set it to host, or ST_SECRETS_SHARE=host")),
                None => Ok(None),
            };
        }
        let directory = match setting("share_dir", "ST_SECRETS_SHARE_DIR")? {
            Some(setting) => checked_directory(&setting)?,
            None => default_directory(environment),
        };
        let key_setting = setting("share_key", "ST_SECRETS_SHARE_KEY")?;
        let services = data_key_settings(config)?;
        let given = key_setting.as_ref().map(key).transpose()?;
        let tier = match (url, services) {
            (None, Some(service)) => return Err(service.invalid("needs `share_url`")),
            (None, None) => None,
            (Some(_), Some(service)) if given.is_some() => {
                return Err(service.invalid("cannot be combined with `share_key` (or ST_SECRETS_SHARE_KEY)"));
            }
            (Some(url), service) => {
                let key = match service {
                    Some(service) => TierKey::wrapped(format!("{} {}", service.origin, service.text())),
                    None => TierKey::Given(tier_key(&url, key_setting)?),
                };
                Some(Arc::new(Tier::open(&url, tls_settings(&setting)?, key)?))
            }
        };
        let key = given;
        Ok(Some(ShareSettings { directory, key, tier }))
    }
}

/// The setting of the service that wraps the key of the tier.
fn data_key_settings(config: &Config) -> Result<Option<Setting>, InvalidSetting> {
    let (kms, transit) = (config.setting("share_kms_key")?, config.setting("share_transit")?);
    match (kms, transit) {
        (Some(kms), Some(_)) => Err(kms.invalid("cannot be combined with `share_transit`")),
        (kms, transit) => Ok(kms.or(transit)),
    }
}

/// The certificates of the tier.
fn tls_settings(
    setting: &impl Fn(&'static str, &str) -> Result<Option<Setting>, InvalidSetting>,
) -> Result<TlsSettings, InvalidSetting> {
    let roots = setting("share_ca_cert", "ST_SECRETS_SHARE_CA_CERT")?.map_or(Roots::Platform, Roots::File);
    let certificate = setting("share_client_cert", "ST_SECRETS_SHARE_CLIENT_CERT")?;
    let key = setting("share_client_key", "ST_SECRETS_SHARE_CLIENT_KEY")?;
    let client_certificate = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(one), None) => return Err(one.invalid("needs `share_client_key`")),
        (None, Some(one)) => return Err(one.invalid("needs `share_client_cert`")),
    };
    Ok(TlsSettings { roots, client_certificate })
}

fn checked_directory(setting: &Setting) -> Result<PathBuf, InvalidSetting> {
    let path = setting.path();
    match path.is_absolute() {
        true => Ok(path),
        false => Err(setting.invalid_value("is not an absolute path")),
    }
}

fn key(setting: &Setting) -> Result<SecretBytes, InvalidSetting> {
    let decoded = STANDARD.decode(setting.text()).map(Zeroizing::new).ok().filter(|key| key.len() == KEY_LEN);
    let key =
        decoded.ok_or_else(|| setting.invalid("must be 32 bytes in base64; make one with: openssl rand -base64 32"))?;
    SecretBytes::copy_from(&key).map_err(|error| InvalidSetting { error, in_config: true })
}

/// The user's directory for files of running programs, which is in memory, else one in `/dev/shm`.
fn default_directory(environment: &Environment) -> PathBuf {
    use std::os::unix::fs::MetadataExt;
    let user = sys::effective_user();
    // A program that changed its user may have the variable of the user before.
    let is_own = |path: &PathBuf| path.metadata().is_ok_and(|metadata| metadata.uid() == user);
    let runtime = environment.raw("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    match runtime.filter(is_own) {
        Some(directory) => directory.join("st-secrets"),
        None => PathBuf::from(format!("/dev/shm/st-secrets-{user}")),
    }
}

#[cfg(test)]
mod tests;
