//! The environment provider. The key `hf-token` is the variable `HF_TOKEN`, with an optional prefix.

use std::ffi::CString;

use serde_json::{Map, Value, json};

use super::provider::{Health, HealthState, Known, Peeked, Request, SecretProvider};
use super::secret::{ProviderId, Secret};
use crate::clock::CoarseInstant;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::fork::ReadGuard;
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
}

impl EnvProvider {
    pub(crate) fn open(config: &Config) -> Result<EnvProvider> {
        let prefix = config.text("env_prefix").map(str::to_owned);
        if prefix.as_deref().is_some_and(|prefix| prefix.contains('=')) {
            return Err(Error::new(Status::Config, "the configuration key `env_prefix` must not contain `=`"));
        }
        Ok(EnvProvider { prefix })
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

    /// Builds the same name in `buffer`, followed by a NUL. Returns `None` if the key is not ASCII or too long.
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
        (all & HIGHEST == 0).then(|| &buffer[..=end])
    }

    /// Passes the value to `take`, unless it is empty.
    fn look_up<R>(&self, key: &str, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let mut buffer: Buffer = [0; SHORT + WORD];
        let take = |value: &[u8]| (!value.is_empty()).then(|| take(value));
        match self.short_variable(key, &mut buffer) {
            Some(name) => sys::with_variable(name, take),
            None => sys::with_variable(CString::new(self.variable(key)).ok()?.as_bytes_with_nul(), take),
        }
        .flatten()
    }
}

impl SecretProvider for EnvProvider {
    fn id(&self) -> &ProviderId {
        static ID: ProviderId = ProviderId::builtin("env", Source::Env);
        &ID
    }

    fn find(&self, key: &str, _: &Request) -> Result<Option<Secret>> {
        let value = self.look_up(key, SecretBytes::copy_from).transpose()?;
        Ok(value.map(Secret::new))
    }

    fn peek(&self, key: &str, _: &ReadGuard, _: CoarseInstant, take: &mut dyn FnMut(Peeked<'_>)) -> Known {
        match self.look_up(key, |value| take(Peeked::Foreign(value))) {
            Some(()) => Known::Found,
            None => Known::Absent,
        }
    }

    fn place(&self, key: &str) -> String {
        format!("variable {} is not set", self.variable(key))
    }

    fn describe(&self) -> Map<String, Value> {
        Map::from_iter([("prefix".to_owned(), json!(self.prefix))])
    }

    fn check(&self, _: &Request) -> Health {
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
        let provider = EnvProvider { prefix: None };
        for byte in 1..128 {
            for len in 1..20 {
                let key: String = (0..len).map(|at| char::from(if at % 3 == 0 { byte } else { b'z' })).collect();
                let mut buffer: Buffer = [0; SHORT + WORD];
                let name = provider.short_variable(&key, &mut buffer).unwrap();
                assert_eq!(name, format!("{}\0", provider.variable(&key)).as_bytes());
            }
        }
    }

    #[test]
    fn variable_normalizes_keys() {
        let plain = EnvProvider { prefix: None };
        assert_eq!(plain.variable("replicate-api-token"), "REPLICATE_API_TOKEN");
        assert_eq!(plain.variable("a.b-c_d"), "A_B_C_D");
        let prefixed = EnvProvider { prefix: Some("SIMPLETUNER".to_owned()) };
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
                assert_eq!(name, format!("{}\0", provider.variable(key)).as_bytes());
            } else {
                assert!(!key.is_ascii() || key.len() > 100);
            }
        }
    }
}
