//! The keyring: the newest key encrypts, every key decrypts.

use std::path::Path;
use std::sync::Arc;

use fernet::Fernet;
use once_cell::sync::OnceCell;
use zeroize::Zeroizing;

use super::key_source::{self, KeyFile, KeySource, KeySources};
use super::token::{self, FernetToken};
use crate::clock::Deadline;
use crate::error::Result;
use crate::files::Fingerprint;
use crate::secret_memory::{SecretBox, SecretBytes};

/// A secret and its derived key. The key is derived once, when it is first needed.
pub(super) struct FernetKey {
    secret: SecretBytes,
    fernet: OnceCell<SecretBox<Fernet>>,
}

impl FernetKey {
    /// The caller holds the fork guard: no thread forks while another one derives the key.
    pub(super) fn fernet(&self) -> Result<&Fernet> {
        self.fernet.get_or_try_init(|| token::derive(&self.secret)).map(|fernet| &**fernet)
    }
}

/// The states of the key file and of the file of previous keys. `None` for a file that does not exist.
#[derive(PartialEq, Eq)]
pub(super) struct FileStates([Option<Fingerprint>; 2]);

impl FileStates {
    pub(super) fn now(sources: &KeySources) -> FileStates {
        let state = |path: &Path| std::fs::metadata(path).ok().map(|metadata| Fingerprint::of(&metadata));
        let newest = match &sources.newest {
            KeySource::File(path) => state(path),
            KeySource::Config(_) | KeySource::Env(_) => None,
        };
        FileStates([newest, sources.previous_file.as_deref().and_then(state)])
    }
}

/// How to load a keyring.
#[derive(Clone, Copy)]
pub(super) struct LoadOptions {
    /// Refuse files that other users can read or change.
    pub(super) strict: bool,
    /// Create the key file if it does not exist.
    pub(super) generate: bool,
    pub(super) deadline: Deadline,
}

pub(super) struct Keyring {
    newest: Arc<FernetKey>,
    previous: Vec<Arc<FernetKey>>,
    /// The files as they were read.
    pub(super) files: FileStates,
    /// Warnings about the files, for the log.
    pub(super) warnings: Vec<String>,
}

/// The plaintext of a token, and whether its key is the newest.
pub(super) struct Decrypted {
    pub(super) plaintext: Zeroizing<Vec<u8>>,
    pub(super) with_newest: bool,
}

impl Keyring {
    /// Loads the keys of these sources. Keys that `old` has are not derived again.
    pub(super) fn load(sources: &KeySources, options: LoadOptions, old: Option<&Keyring>) -> Result<Keyring> {
        let LoadOptions { strict, generate, deadline } = options;
        let mut warnings = Vec::new();
        let mut warn = |file: &KeyFile| warnings.extend(file.loose_permissions.as_ref().map(|loose| loose.warning()));
        let mut files = FileStates([None, None]);
        let newest = match &sources.newest {
            KeySource::Config(secret) | KeySource::Env(secret) => secret.clone(),
            KeySource::File(path) => {
                let file = key_source::read_or_create(path, strict, generate, deadline)?;
                warn(&file);
                files.0[0] = Some(file.fingerprint);
                file.secret()?
            }
        };
        let mut secrets = sources.previous.clone();
        if let Some(path) = &sources.previous_file
            && let Some(file) = KeyFile::read(path, strict)?
        {
            warn(&file);
            files.0[1] = Some(file.fingerprint);
            secrets.extend(key_source::parse_lines(file.text())?);
        }
        let newest = reuse_or_new(newest, old);
        let mut previous: Vec<Arc<FernetKey>> = Vec::new();
        for secret in secrets {
            let is_same = |key: &Arc<FernetKey>| *key.secret == *secret;
            if !is_same(&newest) && !previous.iter().any(is_same) {
                previous.push(reuse_or_new(secret, old));
            }
        }
        Ok(Keyring { newest, previous, files, warnings })
    }

    pub(super) fn newest(&self) -> &FernetKey {
        &self.newest
    }

    fn keys(&self) -> impl Iterator<Item = &Arc<FernetKey>> {
        std::iter::once(&self.newest).chain(&self.previous)
    }

    /// Tries every key. `None` if none of them decrypts the token.
    pub(super) fn decrypt(&self, token: &FernetToken<'_>) -> Result<Option<Decrypted>> {
        if let Some(decrypted) = self.decrypt_bare(token.bare())? {
            return Ok(Some(decrypted));
        }
        match token.without_space() {
            Some(token) => self.decrypt_bare(&token),
            None => Ok(None),
        }
    }

    fn decrypt_bare(&self, token: &str) -> Result<Option<Decrypted>> {
        for (position, key) in self.keys().enumerate() {
            if let Some(plaintext) = token::decrypt(key.fernet()?, token) {
                return Ok(Some(Decrypted { plaintext, with_newest: position == 0 }));
            }
        }
        Ok(None)
    }
}

fn reuse_or_new(secret: SecretBytes, old: Option<&Keyring>) -> Arc<FernetKey> {
    let found = old.and_then(|keyring| keyring.keys().find(|key| *key.secret == *secret));
    found.cloned().unwrap_or_else(|| Arc::new(FernetKey { secret, fernet: OnceCell::new() }))
}
