//! Encryption of credentials at rest, in the format of SimpleTuner.
//!
//! | what | where |
//! |---|---|
//! | the key | `SIMPLETUNER_CREDENTIAL_KEY`, else `~/.simpletuner/credential.key`, else a new one that is saved there |
//! | earlier keys | `SIMPLETUNER_CREDENTIAL_KEY_PREVIOUS`, one a line, and `~/.simpletuner/credential.key.previous` |
//!
//! The newest key encrypts, any of them decrypts. Files are looked at again at most once a second, and whenever no key
//! opens a token, so a key that another process rotates is taken up.
//!
//! ```
//! use st_secrets::{Cipher, Config};
//!
//! # fn main() -> st_secrets::Result<()> {
//! let mut config = Config::new();
//! config.set("key", "a secret of some length")?;
//! let cipher = Cipher::open(&config)?;
//! let token = cipher.encrypt(b"r8_token")?;
//! assert_eq!(&*cipher.decrypt(&token)?, b"r8_token");
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::clock::Deadline;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::log::{self, Level};
use crate::secret_memory::SecretBytes;
use crate::{fork, sys};

mod key;
mod ring;
mod rotate;
#[cfg(test)]
mod tests;
mod token;

use key::{Place, Sources};
use ring::{Loading, Opened, Ring, State};
use token::Token;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the files are taken to be as they were, in nanoseconds.
const LOOK_INTERVAL: u64 = 1_000_000_000;
/// The longest plain text, in bytes.
const MAX_PLAINTEXT: usize = 16 << 20;

/// Encrypts and decrypts credentials. It may be shared by any number of threads.
pub struct Cipher {
    sources: Sources,
    strict: bool,
    timeout: Duration,
    ring: RwLock<Arc<Ring>>,
    /// When the files were last looked at.
    looked: AtomicU64,
}

/// A token under the newest key.
#[derive(Clone, Debug)]
pub struct Reencrypted {
    /// The token, in the form in which SimpleTuner stores it.
    pub token: SecretBytes,
    /// Whether it differs from the one that was given.
    pub changed: bool,
}

static DEFAULT: RwLock<Option<Arc<Cipher>>> = RwLock::new(None);

impl Cipher {
    /// A cipher with these settings: `key` or `key_file` in place of the usual sources, `previous_keys`, `generate`,
    /// `strict_permissions`, `timeout`. It reads the keys, and makes one where there is none and `generate` allows it.
    pub fn open(config: &Config) -> Result<Cipher> {
        let _guard = fork::protect();
        let sources = Sources::find(config)?;
        let timeout = config.time("timeout", DEFAULT_TIMEOUT);
        let strict = config.flag("strict_permissions").unwrap_or(false);
        let generate = config.flag("generate").unwrap_or(true);
        let ring = Ring::load(&sources, Loading { strict, generate, deadline: Deadline::after(timeout) }, None)?;
        ring.warnings.iter().for_each(|warning| warn(warning));
        let looked = AtomicU64::new(sys::coarse_time_awake());
        Ok(Cipher { sources, strict, timeout, ring: RwLock::new(Arc::new(ring)), looked })
    }

    /// The cipher of the whole process, made on first use with no settings but the environment's.
    pub fn default_instance() -> Result<Arc<Cipher>> {
        let _guard = fork::protect();
        if let Some(cipher) = &*DEFAULT.read() {
            return Ok(cipher.clone());
        }
        let new = Arc::new(Cipher::open(&Config::new())?);
        Ok(DEFAULT.write().get_or_insert(new).clone())
    }

    /// Replaces the cipher of the whole process by one with these settings, or, with `None`, by a new one on its next
    /// use. Who holds the old one keeps it.
    pub fn reset_default(config: Option<&Config>) -> Result<()> {
        let _guard = fork::protect();
        let new = config.map(Cipher::open).transpose()?.map(Arc::new);
        let old = std::mem::replace(&mut *DEFAULT.write(), new);
        drop(old);
        Ok(())
    }

    /// A token for this plain text, under the newest key, in the form in which SimpleTuner stores it.
    pub fn encrypt(&self, plaintext: &[u8]) -> Result<SecretBytes> {
        self.encrypt_with(plaintext, SecretBytes::copy_from)?
    }

    /// As [`Cipher::encrypt`], for whoever has a place for the token: `take` gets it for the time of the call.
    pub fn encrypt_with<T>(&self, plaintext: &[u8], take: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let _guard = fork::protect();
        check_len(plaintext.len())?;
        let token = token::seal(self.current()?.newest().fernet()?, plaintext);
        Ok(take(token.as_bytes()))
    }

    /// How many bytes the token of a plain text of this length has.
    pub fn token_len(plaintext_len: usize) -> Result<usize> {
        check_len(plaintext_len)?;
        Ok(token::sealed_len(plaintext_len))
    }

    /// The plain text of a token under any of the keys, in the stored form or bare. For every token that is no good
    /// there is one answer, [`Status::BadToken`].
    pub fn decrypt(&self, token: &[u8]) -> Result<SecretBytes> {
        self.decrypt_with(token, SecretBytes::copy_from)?
    }

    /// As [`Cipher::decrypt`], for whoever has a place for the plain text: `take` gets it for the time of the call, and
    /// it is wiped afterwards.
    pub fn decrypt_with<T>(&self, token: &[u8], take: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let _guard = fork::protect();
        let token = Token::read(token).ok_or_else(|| bad_token(&self.sources))?;
        Ok(take(&self.open_token(&token)?.plaintext))
    }

    /// Whether this looks like a token, stored or bare, under whatever key, and be it damaged; not like plain text.
    pub fn is_token(text: &[u8]) -> bool {
        token::is_like(text)
    }

    /// The same credential in a token under the newest key; the same token if it is that already.
    pub fn reencrypt(&self, token: &[u8]) -> Result<Reencrypted> {
        let _guard = fork::protect();
        let read = Token::read(token).ok_or_else(|| bad_token(&self.sources))?;
        // What is the newest key is looked at first.
        self.current()?;
        let opened = self.open_token(&read)?;
        if opened.by_newest && read.stored {
            return Ok(Reencrypted { token: SecretBytes::copy_from(token)?, changed: false });
        }
        let new = token::seal(self.current()?.newest().fernet()?, &opened.plaintext);
        Ok(Reencrypted { token: SecretBytes::copy_from(new.as_bytes())?, changed: true })
    }

    /// Makes a new key in the key file, and keeps the old one in the file of earlier keys beside it, so that what it
    /// encrypted stays readable. A process that is killed on the way leaves both in order.
    ///
    /// [`Status::ReadOnly`]: the key comes from the environment or the configuration and cannot be changed there.
    pub fn rotate_key(&self) -> Result<()> {
        let _guard = fork::protect();
        let place = match (&self.sources.newest, &self.sources.previous_file) {
            (Place::File(path), Some(previous)) => (path, previous),
            (Place::Env(_), _) => return Err(not_in_place(key::KEY_VARIABLE, key::PREVIOUS_VARIABLE)),
            _ => return Err(not_in_place("`key` of the configuration", "`previous_keys`")),
        };
        rotate::rotate(place.0, place.1, self.strict, Deadline::after(self.timeout))?;
        self.load().map(drop)
    }

    /// The keys for encrypting. What is encrypted under a key that is no longer stored would be lost with the process,
    /// so a key file that is gone or damaged is an error.
    fn current(&self) -> Result<Arc<Ring>> {
        let now = sys::coarse_time_awake();
        let looked = self.looked.load(Ordering::Relaxed);
        if now.saturating_sub(looked) < LOOK_INTERVAL || !self.has_files() {
            return Ok(self.ring.read().clone());
        }
        let ring = match self.load_if_changed()? {
            Some(ring) => ring,
            None => self.ring.read().clone(),
        };
        self.looked.store(now, Ordering::Relaxed);
        Ok(ring)
    }

    /// Looks at the files at once, whenever they were last looked at: what is encrypted from here on is under the key that
    /// is the newest now.
    pub(crate) fn look_again(&self) -> Result<()> {
        let _guard = fork::protect();
        if self.has_files() {
            self.load_if_changed()?;
            self.looked.store(sys::coarse_time_awake(), Ordering::Relaxed);
        }
        Ok(())
    }

    fn open_token(&self, token: &Token<'_>) -> Result<Opened> {
        let ring = self.ring.read().clone();
        if let Some(opened) = ring.open(token)? {
            return Ok(opened);
        }
        if self.has_files() {
            match self.load_if_changed() {
                Ok(Some(ring)) => return ring.open(token)?.ok_or_else(|| bad_token(&self.sources)),
                Ok(None) => {}
                // The token is bad for every key that is known; that another cannot be read is for the log.
                Err(error) => warn(error.message()),
            }
        }
        Err(bad_token(&self.sources))
    }

    fn has_files(&self) -> bool {
        matches!(self.sources.newest, Place::File(_)) || self.sources.previous_file.is_some()
    }

    fn load_if_changed(&self) -> Result<Option<Arc<Ring>>> {
        let changed = self.ring.read().state != State::now(&self.sources);
        if changed { self.load().map(Some) } else { Ok(None) }
    }

    fn load(&self) -> Result<Arc<Ring>> {
        let known = self.ring.read().clone();
        let loading = Loading { strict: self.strict, generate: false, deadline: Deadline::after(self.timeout) };
        let ring = Arc::new(Ring::load(&self.sources, loading, Some(&known))?);
        let before = std::mem::replace(&mut *self.ring.write(), ring.clone());
        drop(before);
        ring.warnings.iter().for_each(|warning| warn(warning));
        log::emit(Level::Info, "credential", || "the credential keys were read again".to_owned());
        Ok(ring)
    }
}

/// Where the key comes from; never the key.
impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = match &self.sources.newest {
            Place::Config(_) => "configuration".to_owned(),
            Place::Env(_) => key::KEY_VARIABLE.to_owned(),
            Place::File(path) => path.display().to_string(),
        };
        f.debug_struct("Cipher").field("key", &place).finish()
    }
}

fn warn(message: &str) {
    log::emit(Level::Warn, "credential", || message.to_owned());
}

fn check_len(plaintext_len: usize) -> Result<()> {
    if plaintext_len > MAX_PLAINTEXT {
        let message = format!("`plaintext` has {plaintext_len} bytes; {MAX_PLAINTEXT} is the most");
        return Err(Error::invalid_argument(message));
    }
    Ok(())
}

fn bad_token(sources: &Sources) -> Error {
    let place = match (&sources.newest, &sources.previous_file) {
        (Place::Env(_), _) => key::PREVIOUS_VARIABLE.to_owned(),
        (_, Some(file)) => file.display().to_string(),
        (_, None) => "`previous_keys` of the configuration".to_owned(),
    };
    let message = format!(
        "the token cannot be decrypted: it is damaged, or it was made with another key; if the key was changed, add the \
         one from before to {place}"
    );
    Error::new(Status::BadToken, message).with_source(Source::Credential)
}

fn not_in_place(place: &str, previous: &str) -> Error {
    let message = format!(
        "the key comes from {place} and cannot be rotated by this call: put the old key into {previous}, set a new one, \
         then re-encrypt"
    );
    Error::new(Status::ReadOnly, message).with_source(Source::Credential)
}
