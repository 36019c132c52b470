//! The environment provider. The key `hf-token` is the variable `HF_TOKEN`, with an optional prefix, or the file that
//! the variable `HF_TOKEN_FILE` names, as in the images of Docker.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::file::{RECHECK_INTERVAL, SecretsDirectory};
use super::provider::{Health, HealthState, Known, LookupLimits, Peeked, SecretProvider};
use super::secret::{ProviderId, Secret};
use crate::clock::CoarseInstant;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::fork::PublishedGuard;
use crate::secret_memory::SecretBytes;
use crate::sys;

/// Names shorter than this are built on the stack, because every get begins here.
const SHORT: usize = 128;
const WORD: usize = size_of::<u64>();
type Buffer = [u8; SHORT + WORD];

/// The highest bit of each byte of a word.
const HIGHEST: u64 = repeated(0x80);

const fn repeated(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; WORD])
}

/// Converts the bytes of a word, all ASCII, to upper case, and `-` and `.` to `_`.
fn in_name(word: u64) -> u64 {
    // Sets the highest bit of each byte that is at least `byte`. The sum does not overflow its byte.
    let at_least = |byte: u8| word.wrapping_add(repeated(0x80 - byte));
    let lower = (at_least(b'a') ^ at_least(b'z' + 1)) & HIGHEST;
    let joint = (at_least(b'-') ^ at_least(b'.' + 1)) & HIGHEST;
    let joint = (joint >> 7) * 0xff;
    (word ^ lower >> 2) & !joint | repeated(b'_') & joint
}

pub(crate) struct EnvProvider {
    prefix: Option<String>,
    /// The files that variables name, by their paths.
    files: SecretsDirectory,
    strict: bool,
}

/// A variable that is set.
enum SetVariable<'a> {
    Value(&'a [u8]),
    /// The path of the file with the value; `None` if it is not UTF-8.
    Path(Option<&'a str>),
}

impl EnvProvider {
    pub(crate) fn open(config: &Config) -> Result<EnvProvider> {
        let prefix = config.text("env_prefix").map(str::to_owned);
        if prefix.as_deref().is_some_and(|prefix| prefix.contains('=')) {
            return Err(Error::new(Status::Config, "the configuration key `env_prefix` must not contain `=`"));
        }
        Ok(EnvProvider::new(prefix, config.flag("strict_permissions").unwrap_or(false)))
    }

    fn new(prefix: Option<String>, strict: bool) -> EnvProvider {
        EnvProvider { prefix, files: SecretsDirectory::new(PathBuf::new()), strict }
    }

    /// Returns the name of the variable: `PREFIX_` and the key in upper case, with `-` and `.` as `_`.
    fn variable(&self, key: &str) -> String {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let mut name = String::with_capacity(prefix.len() + 1 + key.len());
        if !prefix.is_empty() {
            name.push_str(prefix);
            name.push('_');
        }
        for character in key.chars() {
            match character {
                '-' | '.' => name.push('_'),
                _ => name.extend(character.to_uppercase()),
            }
        }
        name
    }

    /// Builds the same name in `buffer`. Returns `None` if the key is not ASCII or too long.
    fn short_variable<'p>(&self, key: &str, buffer: &'p mut Buffer) -> Option<&'p [u8]> {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let start = if prefix.is_empty() { 0 } else { prefix.len() + 1 };
        let end = start + key.len();
        if end >= SHORT {
            return None;
        }
        if start > 0 {
            buffer[..start - 1].copy_from_slice(prefix.as_bytes());
            buffer[start - 1] = b'_';
        }
        let (words, rest) = key.as_bytes().as_chunks::<WORD>();
        let rest = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let words = words.iter().map(|word| u64::from_le_bytes(*word)).chain([rest]);
        let mut all = 0;
        for (to, word) in buffer[start..].as_chunks_mut::<WORD>().0.iter_mut().zip(words) {
            all |= word;
            *to = in_name(word).to_le_bytes();
        }
        (all & HIGHEST == 0).then(|| &buffer[..end])
    }

    /// Passes the variable of the key to `take`, or else that with the path of a file. An empty one counts as not set.
    fn look_up<R>(&self, key: &str, take: impl FnOnce(SetVariable<'_>) -> R) -> Option<R> {
        let mut buffer: Buffer = [0; SHORT + WORD];
        let take = |is_file: bool, value: &[u8]| match is_file {
            true => take(SetVariable::Path(std::str::from_utf8(value).ok())),
            false => take(SetVariable::Value(value)),
        };
        match self.short_variable(key, &mut buffer) {
            Some(name) => sys::with_variable_or_file(name, take),
            None => sys::with_variable_or_file(self.variable(key).as_bytes(), take),
        }
    }

    /// The value in the file that a variable names, without one final newline; `None` if the file is empty.
    fn file(&self, key: &str, path: Option<&str>, max_age: Duration) -> Result<Option<SecretBytes>> {
        let failed = |error: Error| {
            let message = format!(
                "the variable {}_FILE names a file that cannot be used: {}",
                self.variable(key),
                error.message()
            );
            Error::new(error.status(), message).with_detail(error.detail()).with_source(Source::Env)
        };
        let path = path.ok_or_else(|| failed(Error::new(Status::Io, "its path is not UTF-8; rename it")))?;
        let missing = || Error::new(Status::Io, format!("there is no file {path}; create it, or unset the variable"));
        let value =
            self.files.read(path, max_age, self.strict).and_then(|value| value.ok_or_else(missing)).map_err(failed)?;
        Ok((!value.is_empty()).then_some(value))
    }
}

impl SecretProvider for EnvProvider {
    fn id(&self) -> &ProviderId {
        static ID: ProviderId = ProviderId::builtin("env", Source::Env);
        &ID
    }

    fn find(&self, key: &str, request: &LookupLimits) -> Result<Option<Secret>> {
        let max_age = if request.refresh { Duration::ZERO } else { RECHECK_INTERVAL };
        // The file is read after the look at the environment, which is short.
        let found = self.look_up(key, |variable| match variable {
            SetVariable::Value(value) => SecretBytes::copy_from(value).map(Ok),
            SetVariable::Path(path) => Ok(Err(path.map(str::to_owned))),
        });
        let value = match found.transpose()? {
            None => None,
            Some(Ok(value)) => Some(value),
            Some(Err(path)) => self.file(key, path.as_deref(), max_age)?,
        };
        Ok(value.map(Secret::new))
    }

    fn peek(&self, key: &str, reading: &PublishedGuard, now: CoarseInstant, take: &mut dyn FnMut(Peeked<'_>)) -> Known {
        let known = self.look_up(key, |variable| match variable {
            SetVariable::Value(value) => {
                take(Peeked::Foreign(value));
                Known::Found
            }
            SetVariable::Path(path) => {
                match path.and_then(|path| self.files.peek(path, reading, now, RECHECK_INTERVAL)).flatten() {
                    Some(value) if !value.is_empty() => {
                        take(Peeked::Local(value));
                        Known::Found
                    }
                    _ => Known::Unknown,
                }
            }
        });
        known.unwrap_or(Known::Absent)
    }

    fn refresh(&self, _: &LookupLimits) -> Result<()> {
        self.files.clear_cache();
        Ok(())
    }

    fn clear_cache(&self) {
        self.files.clear_cache();
    }

    fn place(&self, key: &str) -> String {
        let variable = self.variable(key);
        let path = self.look_up(key, |variable| match variable {
            SetVariable::Path(path) => path.map(str::to_owned),
            SetVariable::Value(_) => None,
        });
        match path.flatten() {
            Some(path) => format!("variable {variable}_FILE names {path}, which is empty"),
            None => format!("variable {variable} is not set"),
        }
    }

    fn describe(&self) -> Map<String, Value> {
        Map::from_iter([("prefix".to_owned(), json!(self.prefix))])
    }

    fn check(&self, _: &LookupLimits) -> Health {
        Health::new(
            HealthState::Ok,
            match &self.prefix {
                Some(prefix) => format!("variables with the prefix {prefix}_"),
                None => "variables without a prefix".to_owned(),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_variable_agrees_with_variable() {
        let provider = EnvProvider::new(None, false);
        for byte in 1..128 {
            for len in 1..20 {
                let key: String = (0..len).map(|at| char::from(if at % 3 == 0 { byte } else { b'z' })).collect();
                let mut buffer: Buffer = [0; SHORT + WORD];
                let name = provider.short_variable(&key, &mut buffer).unwrap();
                assert_eq!(name, provider.variable(&key).as_bytes());
            }
        }
    }

    #[test]
    fn variable_normalizes_keys() {
        let plain = EnvProvider::new(None, false);
        assert_eq!(plain.variable("replicate-api-token"), "REPLICATE_API_TOKEN");
        assert_eq!(plain.variable("a.b-c_d"), "A_B_C_D");
        let prefixed = EnvProvider::new(Some("SIMPLETUNER".to_owned()), false);
        assert_eq!(prefixed.variable("replicate-api-token"), "SIMPLETUNER_REPLICATE_API_TOKEN");
        for (provider, key) in [
            (&plain, "a.b-c_d"),
            (&plain, "é"),
            (&plain, &"a-".repeat(60)),
            (&prefixed, "hf-token"),
            (&prefixed, &"x".repeat(200)),
        ] {
            let mut buffer: Buffer = [0; SHORT + WORD];
            if let Some(name) = provider.short_variable(key, &mut buffer) {
                assert_eq!(name, provider.variable(key).as_bytes());
            } else {
                assert!(!key.is_ascii() || key.len() > 100);
            }
        }
    }
}
