//! [`Cipher`]: encrypts and decrypts, and reloads its keys when their files change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::key_source::{self, KeySource, KeySources};
use super::keyring::{Decrypted, FileStates, Keyring, LoadOptions};
use super::rotate;
use super::token::{self, FernetToken};
use crate::clock::Deadline;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::fork_safe::RwLock;
use crate::log::{self, Level};
use crate::process_default::ProcessDefault;
use crate::secret_memory::SecretBytes;
use crate::{fork, redact, sys};

pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the key files are assumed to be unchanged, in nanoseconds.
const RECHECK_INTERVAL: u64 = 1_000_000_000;
/// The maximum length of a plaintext, in bytes.
pub(super) const MAX_PLAINTEXT: usize = 16 << 20;

/// Encrypts and decrypts credentials. It may be shared by any number of threads.
pub struct Cipher {
    pub(super) sources: KeySources,
    strict: bool,
    timeout: Duration,
    pub(super) keyring: RwLock<Arc<Keyring>>,
    /// When the key files were last checked, on the coarse clock.
    checked_at: AtomicU64,
}

/// A token under the newest key.
#[derive(Clone, Debug)]
pub struct Reencrypted {
    /// The token, in the form in which SimpleTuner stores it.
    pub token: SecretBytes,
    /// Whether it differs from the given one.
    pub changed: bool,
}

static DEFAULT: ProcessDefault<Cipher> = ProcessDefault::new();

impl Cipher {
    /// Opens a cipher with these settings: `key` or `key_file` instead of the default sources, `previous_keys`,
    /// `generate`, `strict_permissions`, `timeout`. Reads the keys. If there is none and `generate` allows it,
    /// generates one.
    pub fn open(config: &Config) -> Result<Cipher> {
        let _guard = fork::protect();
        let sources = KeySources::find(config)?;
        let timeout = config.time("timeout", DEFAULT_TIMEOUT);
        let strict = config.flag("strict_permissions").unwrap_or(false);
        let generate = config.flag("generate").unwrap_or(true);
        let options = LoadOptions { strict, generate, deadline: Deadline::after(timeout) };
        let keyring = Keyring::load(&sources, options, None)?;
        keyring.warnings.iter().for_each(|warning| warn(warning));
        let checked_at = AtomicU64::new(sys::coarse_time_awake());
        Ok(Cipher { sources, strict, timeout, keyring: RwLock::new(Arc::new(keyring)), checked_at })
    }

    /// The cipher of the process, opened on first use with the settings of the environment.
    pub fn default_instance() -> Result<Arc<Cipher>> {
        DEFAULT.get_or_open(|| Cipher::open(&Config::new()))
    }

    /// Replaces the cipher of the process with one with these settings. With `None`, a new one is opened on the next
    /// use. References to the old one remain valid.
    pub fn reset_default(config: Option<&Config>) -> Result<()> {
        let _guard = fork::protect();
        DEFAULT.replace(config.map(Cipher::open).transpose()?.map(Arc::new));
        Ok(())
    }

    /// Encrypts a plaintext under the newest key. The token has the form in which SimpleTuner stores it.
    pub fn encrypt(&self, plaintext: &[u8]) -> Result<SecretBytes> {
        self.encrypt_with(plaintext, SecretBytes::copy_from)?
    }

    /// Like [`Cipher::encrypt`], but lends the token to `take`, so that the caller can write it to its own memory.
    pub fn encrypt_with<T>(&self, plaintext: &[u8], take: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let _guard = fork::protect();
        check_len(plaintext.len())?;
        let token = token::encrypt(self.current()?.newest().fernet()?, plaintext);
        Ok(take(token.as_bytes()))
    }

    /// The length of the token for a plaintext of this length, in bytes.
    pub fn token_len(plaintext_len: usize) -> Result<usize> {
        check_len(plaintext_len)?;
        Ok(token::encrypted_len(plaintext_len))
    }

    /// Decrypts a token made with any of the keys, in the stored form or bare. Every token that cannot be decrypted
    /// gives the same error, [`Status::BadToken`].
    pub fn decrypt(&self, token: &[u8]) -> Result<SecretBytes> {
        self.decrypt_with(token, SecretBytes::copy_from)?
    }

    /// Like [`Cipher::decrypt`], but lends the plaintext to `take`, so that the caller can write it to its own memory.
    /// The lent copy is wiped afterwards.
    pub fn decrypt_with<T>(&self, token: &[u8], take: impl FnOnce(&[u8]) -> T) -> Result<T> {
        self.with_plaintext(token, |plaintext| {
            redact::record(None, plaintext);
            take(plaintext)
        })
    }

    /// As [`Cipher::decrypt_with`], for a value that the redactor of the process gets from the caller, with its name.
    pub(crate) fn with_plaintext<T>(&self, token: &[u8], take: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let _guard = fork::protect();
        let token = FernetToken::parse(token).ok_or_else(|| bad_token(&self.sources))?;
        Ok(take(&self.decrypt_token(&token)?.plaintext))
    }

    /// Whether this looks like a token rather than plaintext: stored or bare, under any key, even a damaged one.
    pub fn is_token(text: &[u8]) -> bool {
        token::looks_like_token(text)
    }

    /// Re-encrypts a token under the newest key. Returns the same token if it is already under that key.
    pub fn reencrypt(&self, token: &[u8]) -> Result<Reencrypted> {
        let _guard = fork::protect();
        let parsed = FernetToken::parse(token).ok_or_else(|| bad_token(&self.sources))?;
        // Checks first which key is the newest.
        self.current()?;
        let decrypted = self.decrypt_token(&parsed)?;
        if decrypted.with_newest && parsed.stored {
            return Ok(Reencrypted { token: SecretBytes::copy_from(token)?, changed: false });
        }
        let new = token::encrypt(self.current()?.newest().fernet()?, &decrypted.plaintext);
        Ok(Reencrypted { token: SecretBytes::copy_from(new.as_bytes())?, changed: true })
    }

    /// Generates a new key in the key file. The old key moves to the file of previous keys beside it, so that existing
    /// tokens remain readable. If the process is killed midway, both files are intact.
    ///
    /// [`Status::ReadOnly`]: the key comes from the environment or the configuration and cannot be changed there.
    pub fn rotate_key(&self) -> Result<()> {
        let _guard = fork::protect();
        let (path, previous) = match (&self.sources.newest, &self.sources.previous_file) {
            (KeySource::File(path), Some(previous)) => (path, previous),
            (KeySource::Env(_), _) => {
                return Err(not_rotatable(key_source::KEY_VARIABLE, key_source::PREVIOUS_VARIABLE));
            }
            _ => return Err(not_rotatable("`key` of the configuration", "`previous_keys`")),
        };
        rotate::rotate(path, previous, self.strict, Deadline::after(self.timeout))?;
        self.reload().map(drop)
    }

    /// The keys for encrypting. A missing or damaged key file is an error: what is encrypted under a key that is no
    /// longer stored cannot be read after this process ends.
    fn current(&self) -> Result<Arc<Keyring>> {
        let now = sys::coarse_time_awake();
        let checked_at = self.checked_at.load(Ordering::Relaxed);
        if now.saturating_sub(checked_at) < RECHECK_INTERVAL || !self.has_files() {
            return Ok(self.keyring.read().clone());
        }
        let keyring = match self.reload_if_changed()? {
            Some(keyring) => keyring,
            None => self.keyring.read().clone(),
        };
        self.checked_at.store(now, Ordering::Relaxed);
        Ok(keyring)
    }

    /// Checks the key files now, whenever they were last checked. What is encrypted afterwards is under the key that is
    /// the newest now.
    pub(crate) fn refresh(&self) -> Result<()> {
        let _guard = fork::protect();
        if self.has_files() {
            self.reload_if_changed()?;
            self.checked_at.store(sys::coarse_time_awake(), Ordering::Relaxed);
        }
        Ok(())
    }

    fn decrypt_token(&self, token: &FernetToken<'_>) -> Result<Decrypted> {
        let keyring = self.keyring.read().clone();
        if let Some(decrypted) = keyring.decrypt(token)? {
            return Ok(decrypted);
        }
        if self.has_files() {
            match self.reload_if_changed() {
                Ok(Some(keyring)) => return keyring.decrypt(token)?.ok_or_else(|| bad_token(&self.sources)),
                Ok(None) => {}
                // The token is bad for every loaded key. That another key cannot be read is only logged.
                Err(error) => warn(error.message()),
            }
        }
        Err(bad_token(&self.sources))
    }

    fn has_files(&self) -> bool {
        matches!(self.sources.newest, KeySource::File(_)) || self.sources.previous_file.is_some()
    }

    fn reload_if_changed(&self) -> Result<Option<Arc<Keyring>>> {
        let changed = self.keyring.read().files != FileStates::now(&self.sources);
        if changed { self.reload().map(Some) } else { Ok(None) }
    }

    fn reload(&self) -> Result<Arc<Keyring>> {
        let old = self.keyring.read().clone();
        let options = LoadOptions { strict: self.strict, generate: false, deadline: Deadline::after(self.timeout) };
        let keyring = Arc::new(Keyring::load(&self.sources, options, Some(&old))?);
        let replaced = std::mem::replace(&mut *self.keyring.write(), keyring.clone());
        drop(replaced);
        keyring.warnings.iter().for_each(|warning| warn(warning));
        log::emit(Level::Info, "encryption", || "the credential keys were reloaded".to_owned());
        Ok(keyring)
    }
}

/// Shows where the key comes from, never the key.
impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source = match &self.sources.newest {
            KeySource::Config(_) => "configuration".to_owned(),
            KeySource::Env(_) => key_source::KEY_VARIABLE.to_owned(),
            KeySource::File(path) => path.display().to_string(),
        };
        f.debug_struct("Cipher").field("key", &source).finish()
    }
}

fn warn(message: &str) {
    log::emit(Level::Warn, "encryption", || message.to_owned());
}

fn check_len(plaintext_len: usize) -> Result<()> {
    if plaintext_len > MAX_PLAINTEXT {
        let message = format!("`plaintext` has {plaintext_len} bytes; the maximum is {MAX_PLAINTEXT}");
        return Err(Error::invalid_argument(message));
    }
    Ok(())
}

pub(super) fn bad_token(sources: &KeySources) -> Error {
    let place = match (&sources.newest, &sources.previous_file) {
        (KeySource::Env(_), _) => key_source::PREVIOUS_VARIABLE.to_owned(),
        (_, Some(file)) => file.display().to_string(),
        (_, None) => "`previous_keys` of the configuration".to_owned(),
    };
    let message = format!(
        "cannot decrypt the token: it is damaged or was made with another key; if the key was changed, add the previous \
         key to {place}"
    );
    Error::new(Status::BadToken, message).with_source(Source::Encryption)
}

fn not_rotatable(place: &str, previous: &str) -> Error {
    let message = format!(
        "the key comes from {place} and cannot be rotated by this call; move the old key to {previous}, set a new one, \
         then re-encrypt"
    );
    Error::new(Status::ReadOnly, message).with_source(Source::Encryption)
}
