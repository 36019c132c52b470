//! The sources of the secrets that keys are derived from, and the generation of new secrets.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::clock::Deadline;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::files::{self, Fingerprint, LoosePermissions};
use crate::paths;
use crate::secret_memory::{SecretBuffer, SecretBytes};
use crate::settings::{Environment, Setting};

/// The variable with the newest secret.
pub(super) const KEY_VARIABLE: &str = "SIMPLETUNER_CREDENTIAL_KEY";
/// The variable with previous secrets, one per line.
pub(super) const PREVIOUS_VARIABLE: &str = "SIMPLETUNER_CREDENTIAL_KEY_PREVIOUS";
const MAX_SIZE: usize = 1 << 20;

/// Where the newest secret comes from.
pub(super) enum KeySource {
    /// The configuration.
    Config(SecretBytes),
    /// The environment.
    Env(SecretBytes),
    /// A file.
    File(PathBuf),
}

/// All sources of secrets.
pub(super) struct KeySources {
    pub(super) newest: KeySource,
    /// Previous secrets from the environment and the configuration.
    pub(super) previous: Vec<SecretBytes>,
    /// The file with previous secrets, which need not exist.
    pub(super) previous_file: Option<PathBuf>,
}

impl KeySources {
    /// The sources in the configuration. What it leaves open comes from the environment and the home directory.
    pub(super) fn find(config: &Config) -> Result<KeySources> {
        let mut previous = Vec::new();
        let (newest, previous_file) = match (config.text("key"), config.text("key_file")) {
            (Some(_), Some(_)) => {
                let message =
                    "the configuration keys `key` and `key_file` are mutually exclusive; set only one of them";
                return Err(Error::new(Status::Config, message).with_source(Source::Encryption));
            }
            (Some(key), None) => (KeySource::Config(SecretBytes::copy_from(key.as_bytes())?), None),
            (None, Some(path)) => {
                let path = paths::expand_home(Path::new(path));
                let previous_file = previous_file_of(&path);
                (KeySource::File(path), Some(previous_file))
            }
            (None, None) => {
                if let Some(text) = variable(PREVIOUS_VARIABLE)? {
                    previous = parse_lines(text.text())?;
                }
                default_source()?
            }
        };
        for secret in config.list("previous_keys").unwrap_or_default() {
            previous.push(SecretBytes::copy_from(secret.as_bytes())?);
        }
        previous.retain(|secret| !secret.is_empty());
        Ok(KeySources { newest, previous, previous_file })
    }
}

/// SimpleTuner's own lookup: the environment, then the file in the home directory.
fn default_source() -> Result<(KeySource, Option<PathBuf>)> {
    let file = paths::home().map(|home| home.join(".simpletuner/credential.key"));
    let previous = file.as_deref().map(previous_file_of);
    match (variable(KEY_VARIABLE)?, file) {
        (Some(secret), _) => Ok((KeySource::Env(SecretBytes::copy_from(secret.text().as_bytes())?), previous)),
        (None, Some(file)) => Ok((KeySource::File(file), previous)),
        (None, None) => Err(bad_key(format!(
            "no credential key is set, and there is no home directory to store one in; set {KEY_VARIABLE}, HOME, or \
             key_file in the configuration"
        ))),
    }
}

/// The file with previous secrets that belongs to a key file.
fn previous_file_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".previous");
    name.into()
}

fn variable(name: &str) -> Result<Option<Setting>> {
    Environment::Process.lines(name).map_err(|invalid| bad_key(invalid.error.message()))
}

/// The contents of a file of secrets, and its state when it was read.
pub(super) struct KeyFile {
    text: SecretBytes,
    pub(super) fingerprint: Fingerprint,
    pub(super) loose_permissions: Option<LoosePermissions>,
    /// User and group.
    pub(super) owner: (u32, u32),
    path: PathBuf,
}

impl KeyFile {
    /// Reads a file. `None` if it does not exist.
    pub(super) fn read(path: &Path, strict: bool) -> Result<Option<KeyFile>> {
        use std::os::unix::fs::MetadataExt;
        let contents = match files::read(path, MAX_SIZE) {
            Ok(contents) => contents,
            Err(error) if error.detail() == libc::ENOENT => return Ok(None),
            Err(error) if files::is_shortage(&error) => return Err(error),
            Err(error) => return Err(unreadable(error.message()).with_detail(error.detail())),
        };
        let loose_permissions = LoosePermissions::of(path, &contents.metadata);
        if let Some(loose_permissions) = loose_permissions.as_ref().filter(|_| strict) {
            return Err(loose_permissions.refusal().with_source(Source::Encryption));
        }
        if std::str::from_utf8(&contents.bytes).is_err() {
            return Err(unreadable(&format!("{} is not UTF-8", path.display())));
        }
        Ok(Some(KeyFile {
            text: contents.bytes.freeze(),
            fingerprint: Fingerprint::of(&contents.metadata),
            loose_permissions,
            owner: (contents.metadata.uid(), contents.metadata.gid()),
            path: path.to_owned(),
        }))
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// The single secret of a key file, read as Python reads a text file: line ends become `\n`, and surrounding white
    /// space is removed.
    pub(super) fn secret(&self) -> Result<SecretBytes> {
        let text = trim(self.text());
        if text.is_empty() {
            return Err(unreadable(&format!("{} is empty", self.path.display())));
        }
        if !text.contains('\r') {
            return SecretBytes::copy_from(text.as_bytes());
        }
        let mut secret = SecretBuffer::with_capacity(text.len())?;
        for (position, part) in text.split('\r').enumerate() {
            if position > 0 {
                secret.push(b"\n")?;
                secret.push(part.strip_prefix('\n').unwrap_or(part).as_bytes())?;
            } else {
                secret.push(part.as_bytes())?;
            }
        }
        Ok(secret.freeze())
    }
}

/// The secrets of a text with one per line.
pub(super) fn parse_lines(text: &str) -> Result<Vec<SecretBytes>> {
    let secrets = text.split(['\n', '\r']).map(trim).filter(|line| !line.is_empty());
    secrets.map(|line| SecretBytes::copy_from(line.as_bytes())).collect()
}

/// Like Python's `str.strip`, which also strips four control characters.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

/// Reads the key file. If it does not exist and `generate` is set, creates it, unless another process creates it first.
pub(super) fn read_or_create(path: &Path, strict: bool, generate: bool, deadline: Deadline) -> Result<KeyFile> {
    let read = || match KeyFile::read(path, strict)? {
        None if generate => {
            create(path, deadline)?;
            KeyFile::read(path, strict)
        }
        file => Ok(file),
    };
    // A writer that takes no lock leaves an empty file for a moment.
    let is_whole = |read: &Result<Option<KeyFile>>| !matches!(read, Ok(Some(file)) if trim(file.text()).is_empty());
    files::read_settled(|| files::is_new(path), deadline, read, is_whole)?.ok_or_else(|| missing(path))
}

fn create(path: &Path, deadline: Deadline) -> Result<()> {
    let create = || {
        let place = files::path_to_create(path)?;
        let _lock = files::lock(&place, deadline)?;
        if !place.exists() {
            files::create(&place, &*generate()?)?;
        }
        Ok(())
    };
    create().map_err(|error: Error| {
        error.with_source(Source::Encryption).map_message(|message| {
            format!("cannot create a credential key: {message}; if none can be stored here, set {KEY_VARIABLE}")
        })
    })
}

/// A new secret, in the form of Python's `secrets.token_urlsafe(32)`.
pub(super) fn generate() -> Result<Zeroizing<[u8; 43]>> {
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *random)
        .map_err(|error| Error::new(Status::Io, format!("cannot get random bytes from the system: {error}")))?;
    let mut text = Zeroizing::new([0; 43]);
    // The encoding of 32 bytes always has 43 characters.
    let _ = URL_SAFE_NO_PAD.encode_slice(*random, &mut *text);
    Ok(text)
}

pub(super) fn bad_key(message: impl Into<String>) -> Error {
    Error::new(Status::BadKey, message).with_source(Source::Encryption)
}

pub(super) fn missing(path: &Path) -> Error {
    let path = path.display();
    let message =
        format!("{path} does not exist; restore it from a backup, what it encrypted is unreadable without it");
    bad_key(message).with_detail(libc::ENOENT)
}

fn unreadable(problem: &str) -> Error {
    bad_key(format!(
        "cannot read the credential key: {problem}; correct the file or restore it from a backup, it is never replaced"
    ))
}
