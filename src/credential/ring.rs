//! All keys at hand: the newest encrypts, any decrypts.

use std::path::Path;
use std::sync::Arc;

use fernet::Fernet;
use once_cell::sync::OnceCell;
use zeroize::Zeroizing;

use super::key::{self, Place, Read, Sources};
use super::token::{self, Token};
use crate::clock::Deadline;
use crate::error::Result;
use crate::files::Fingerprint;
use crate::secret_memory::{SecretBox, SecretBytes};

/// A secret and the key that is derived from it, once, when it is first needed.
pub(super) struct Key {
    secret: SecretBytes,
    fernet: OnceCell<SecretBox<Fernet>>,
}

impl Key {
    /// Called inside the gate: nobody forks while a thread derives a key and others wait for it.
    pub(super) fn fernet(&self) -> Result<&Fernet> {
        self.fernet.get_or_try_init(|| token::derive(&self.secret)).map(|fernet| &**fernet)
    }
}

/// How the files were when a ring was made of them.
#[derive(PartialEq, Eq)]
pub(super) struct State([Option<Fingerprint>; 2]);

impl State {
    pub(super) fn now(sources: &Sources) -> State {
        let look = |path: &Path| std::fs::metadata(path).ok().map(|metadata| Fingerprint::of(&metadata));
        let newest = match &sources.newest {
            Place::File(path) => look(path),
            Place::Config(_) | Place::Env(_) => None,
        };
        State([newest, sources.previous_file.as_deref().and_then(look)])
    }
}

/// How a ring may be made.
#[derive(Clone, Copy)]
pub(super) struct Loading {
    pub(super) strict: bool,
    /// Make a key file where there is none.
    pub(super) generate: bool,
    pub(super) deadline: Deadline,
}

pub(super) struct Ring {
    newest: Arc<Key>,
    previous: Vec<Arc<Key>>,
    pub(super) state: State,
    /// What the log is to be told of the files.
    pub(super) warnings: Vec<String>,
}

/// What a token held, and whether its key was the newest.
pub(super) struct Opened {
    pub(super) plaintext: Zeroizing<Vec<u8>>,
    pub(super) by_newest: bool,
}

impl Ring {
    /// The keys of these sources; those that `known` has are not derived again.
    pub(super) fn load(sources: &Sources, loading: Loading, known: Option<&Ring>) -> Result<Ring> {
        let Loading { strict, generate, deadline } = loading;
        let mut warnings = Vec::new();
        let mut warn = |read: &Read| {
            warnings.extend(read.loose_permissions.as_ref().map(|loose_permissions| loose_permissions.warning()))
        };
        let mut state = State([None, None]);
        let newest = match &sources.newest {
            Place::Config(secret) | Place::Env(secret) => secret.clone(),
            Place::File(path) => {
                let read = key::read_or_create(path, strict, generate, deadline)?;
                warn(&read);
                state.0[0] = Some(read.fingerprint);
                read.secret()?
            }
        };
        let mut secrets = sources.previous.clone();
        if let Some(path) = &sources.previous_file
            && let Some(read) = Read::file(path, strict)?
        {
            warn(&read);
            state.0[1] = Some(read.fingerprint);
            secrets.extend(key::lines(read.text())?);
        }
        let mut keys: Vec<Arc<Key>> = Vec::new();
        let newest = known_or_new(newest, known);
        for secret in secrets {
            let is_there = |key: &Arc<Key>| *key.secret == *secret;
            if !is_there(&newest) && !keys.iter().any(is_there) {
                keys.push(known_or_new(secret, known));
            }
        }
        Ok(Ring { newest, previous: keys, state, warnings })
    }

    pub(super) fn newest(&self) -> &Key {
        &self.newest
    }

    fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        std::iter::once(&self.newest).chain(&self.previous)
    }

    /// `None` if no key opens it.
    pub(super) fn open(&self, token: &Token<'_>) -> Result<Option<Opened>> {
        if let Some(opened) = self.open_bare(token.bare())? {
            return Ok(Some(opened));
        }
        match token.without_space() {
            Some(token) => self.open_bare(&token),
            None => Ok(None),
        }
    }

    fn open_bare(&self, token: &str) -> Result<Option<Opened>> {
        for (position, key) in self.keys().enumerate() {
            if let Some(plaintext) = token::open(key.fernet()?, token) {
                return Ok(Some(Opened { plaintext, by_newest: position == 0 }));
            }
        }
        Ok(None)
    }
}

fn known_or_new(secret: SecretBytes, known: Option<&Ring>) -> Arc<Key> {
    let found = known.and_then(|ring| ring.keys().find(|key| *key.secret == *secret));
    found.cloned().unwrap_or_else(|| Arc::new(Key { secret, fernet: OnceCell::new() }))
}
