//! Where the secret comes from that keys are derived from, and how a new one is made.

use std::env;
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

/// The variable with the secret.
pub(super) const KEY_VARIABLE: &str = "SIMPLETUNER_CREDENTIAL_KEY";
/// The variable with earlier ones, one a line.
pub(super) const PREVIOUS_VARIABLE: &str = "SIMPLETUNER_CREDENTIAL_KEY_PREVIOUS";
const MAX_SIZE: usize = 1 << 20;
/// How often an empty file is read again: a writer that takes no lock leaves one for a moment.
const SETTLE_ATTEMPTS: u32 = 5;

/// Where the newest secret is.
pub(super) enum Place {
    /// In the configuration.
    Config(SecretBytes),
    /// In the environment.
    Env(SecretBytes),
    /// In a file.
    File(PathBuf),
}

/// All places that secrets come from.
pub(super) struct Sources {
    pub(super) newest: Place,
    /// Earlier secrets from the environment and the configuration.
    pub(super) previous: Vec<SecretBytes>,
    /// The file with earlier ones, which need not exist.
    pub(super) previous_file: Option<PathBuf>,
}

impl Sources {
    /// What the configuration says or, where it is silent, the environment and the home directory.
    pub(super) fn find(config: &Config) -> Result<Sources> {
        let mut previous = Vec::new();
        let (newest, previous_file) = match (config.text("key"), config.text("key_file")) {
            (Some(_), Some(_)) => {
                let message = "`key` and `key_file` are both set, and there can be one newest key";
                return Err(Error::new(Status::Config, message).with_source(Source::Credential));
            }
            (Some(key), None) => (Place::Config(SecretBytes::copy_from(key.as_bytes())?), None),
            (None, Some(path)) => {
                let path = paths::expand_home(Path::new(path));
                let beside = beside(&path);
                (Place::File(path), Some(beside))
            }
            (None, None) => {
                if let Some(text) = variable(PREVIOUS_VARIABLE)? {
                    previous = lines(&text)?;
                }
                usual()?
            }
        };
        for secret in config.list("previous_keys").unwrap_or_default() {
            previous.push(SecretBytes::copy_from(secret.as_bytes())?);
        }
        previous.retain(|secret| !secret.is_empty());
        Ok(Sources { newest, previous, previous_file })
    }
}

/// As SimpleTuner looks: the environment, then the file in the home directory.
fn usual() -> Result<(Place, Option<PathBuf>)> {
    let file = paths::home().map(|home| home.join(".simpletuner/credential.key"));
    let previous = file.as_deref().map(beside);
    match (variable(KEY_VARIABLE)?, file) {
        (Some(secret), _) => Ok((Place::Env(SecretBytes::copy_from(secret.as_bytes())?), previous)),
        (None, Some(file)) => Ok((Place::File(file), previous)),
        (None, None) => Err(bad_key(format!(
            "there is no credential key and no home directory to keep one in: set {KEY_VARIABLE}, HOME, or key_file in \
             the configuration"
        ))),
    }
}

/// The file with earlier secrets that belongs to a key file.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".previous");
    name.into()
}

/// An empty variable is not set.
fn variable(name: &str) -> Result<Option<Zeroizing<String>>> {
    match env::var_os(name).filter(|value| !value.is_empty()).map(|value| value.into_string()) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(Zeroizing::new(value))),
        Some(Err(value)) => {
            drop(Zeroizing::new(value.into_encoded_bytes()));
            Err(bad_key(format!("the variable {name} is not UTF-8")))
        }
    }
}

/// What a file of secrets holds, and how it was when it was read.
pub(super) struct Read {
    text: SecretBytes,
    pub(super) fingerprint: Fingerprint,
    pub(super) loose_permissions: Option<LoosePermissions>,
    /// User and group.
    pub(super) owner: (u32, u32),
    path: PathBuf,
}

impl Read {
    /// The text of a file, `None` if there is none.
    pub(super) fn file(path: &Path, strict: bool) -> Result<Option<Read>> {
        use std::os::unix::fs::MetadataExt;
        let contents = match files::read(path, MAX_SIZE) {
            Ok(contents) => contents,
            Err(error) if error.detail() == libc::ENOENT => return Ok(None),
            Err(error) if files::is_shortage(&error) => return Err(error),
            Err(error) => return Err(bad_key(damaged(error.message())).with_detail(error.detail())),
        };
        let loose_permissions = LoosePermissions::of(path, &contents.metadata);
        if let Some(loose_permissions) = loose_permissions.as_ref().filter(|_| strict) {
            return Err(loose_permissions.refusal().with_source(Source::Credential));
        }
        if std::str::from_utf8(&contents.bytes).is_err() {
            return Err(bad_key(damaged(&format!("{} is not UTF-8", path.display()))));
        }
        Ok(Some(Read {
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

    /// The one secret of a key file, read as Python's text files are: white space around it does not count.
    pub(super) fn secret(&self) -> Result<SecretBytes> {
        let text = strip(self.text());
        if text.is_empty() {
            return Err(bad_key(damaged(&format!("{} is empty", self.path.display()))));
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

/// The secrets of a text with one on each line.
pub(super) fn lines(text: &str) -> Result<Vec<SecretBytes>> {
    let secrets = text.split(['\n', '\r']).map(strip).filter(|line| !line.is_empty());
    secrets.map(|line| SecretBytes::copy_from(line.as_bytes())).collect()
}

/// As Python's `str.strip`, to which four control characters are white space too.
fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

/// The key file; where there is none and `generate` is set, a new one, or the one that another process has just made.
pub(super) fn read_or_create(path: &Path, strict: bool, generate: bool, deadline: Deadline) -> Result<Read> {
    for _ in 0..SETTLE_ATTEMPTS {
        match Read::file(path, strict)? {
            Some(read) if strip(read.text()).is_empty() && files::is_new(path) => {
                files::settle();
            }
            Some(read) => return Ok(read),
            None if generate => create(path, deadline)?,
            None => return Err(gone(path)),
        }
    }
    Read::file(path, strict)?.ok_or_else(|| gone(path))
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
        error.with_source(Source::Credential).map_message(|message| {
            format!("no credential key can be made: {message}; where none can be stored, set {KEY_VARIABLE}")
        })
    })
}

/// A new secret, as Python's `secrets.token_urlsafe(32)` makes them.
pub(super) fn generate() -> Result<Zeroizing<[u8; 43]>> {
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *random)
        .map_err(|error| Error::new(Status::Io, format!("the system gives no random bytes: {error}")))?;
    let mut text = Zeroizing::new([0; 43]);
    // 32 bytes are 43 characters, always.
    let _ = URL_SAFE_NO_PAD.encode_slice(*random, &mut *text);
    Ok(text)
}

pub(super) fn bad_key(message: impl Into<String>) -> Error {
    Error::new(Status::BadKey, message).with_source(Source::Credential)
}

pub(super) fn gone(path: &Path) -> Error {
    let path = path.display();
    bad_key(format!("{path} does not exist; restore it from a backup, as what it encrypted cannot be read without it"))
        .with_detail(libc::ENOENT)
}

fn damaged(what: &str) -> String {
    format!("the credential key cannot be read: {what}; mend it or restore it from a backup, it is never replaced")
}
