//! The environment layer: `hf-token` is the variable `HF_TOKEN`, behind an optional prefix.

use std::ffi::CString;

use serde_json::{Map, Value, json};

use super::layer::{Finding, Held, Layer, Request, State};
use super::peek::{Known, Peeked};
use crate::bytes::SecretBytes;
use crate::clock::Tick;
use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::fork::Reading;
use crate::sys;

/// Names shorter than this need no memory of their own: every get begins here.
const SHORT: usize = 128;
const BLOCK: usize = 16;
type Place = [u8; SHORT + BLOCK];

pub(crate) struct EnvLayer {
    prefix: Option<String>,
}

impl EnvLayer {
    pub(crate) fn open(config: &Config) -> Result<EnvLayer> {
        let prefix = config.text("env_prefix").map(str::to_owned);
        if prefix.as_deref().is_some_and(|prefix| prefix.contains('=')) {
            return Err(Error::new(Status::Config, "the configuration key `env_prefix` must not contain `=`"));
        }
        Ok(EnvLayer { prefix })
    }

    /// Upper case, `-` and `.` as `_`, and `PREFIX_` in front.
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

    /// The same with a NUL at the end, put together in `place`; `None` where the key is not ASCII or too long for it.
    fn short_variable<'p>(&self, key: &str, place: &'p mut Place) -> Option<&'p [u8]> {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let start = if prefix.is_empty() { 0 } else { prefix.len() + 1 };
        let end = start + key.len();
        if end >= SHORT || !key.is_ascii() {
            return None;
        }
        if start > 0 {
            place[..start - 1].copy_from_slice(prefix.as_bytes());
            place[start - 1] = b'_';
        }
        place[start..end].copy_from_slice(key.as_bytes());
        // Whole blocks are done in a few instructions. What is behind the key is zero and stays so.
        let (blocks, _) = place[start..].as_chunks_mut::<BLOCK>();
        for block in &mut blocks[..key.len().div_ceil(BLOCK)] {
            for byte in block {
                *byte = if matches!(*byte, b'-' | b'.') { b'_' } else { byte.to_ascii_uppercase() };
            }
        }
        Some(&place[..=end])
    }

    /// Hands the value to `take`, unless it is empty.
    fn look_up<R>(&self, key: &str, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let mut place: Place = [0; SHORT + BLOCK];
        let take = |value: &[u8]| (!value.is_empty()).then(|| take(value));
        match self.short_variable(key, &mut place) {
            Some(name) => sys::with_variable(name, take),
            None => sys::with_variable(CString::new(self.variable(key)).ok()?.as_bytes_with_nul(), take),
        }
        .flatten()
    }
}

impl Layer for EnvLayer {
    fn name(&self) -> &str {
        "env"
    }

    fn source(&self) -> Source {
        Source::Env
    }

    fn find(&self, key: &str, _: &Request) -> Result<Option<Held>> {
        let value = self.look_up(key, SecretBytes::copy_from).transpose()?;
        Ok(value.map(Held::now))
    }

    fn peek(&self, key: &str, _: &Reading, _: Tick, take: &mut dyn FnMut(Peeked<'_>)) -> Known {
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

    fn check(&self, _: &Request) -> Finding {
        Finding::new(
            State::Ok,
            match &self.prefix {
                Some(prefix) => format!("variables that begin with {prefix}_"),
                None => "variables named like the key in upper case".to_owned(),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_normalised() {
        let plain = EnvLayer { prefix: None };
        assert_eq!(plain.variable("replicate-api-token"), "REPLICATE_API_TOKEN");
        assert_eq!(plain.variable("a.b-c_d"), "A_B_C_D");
        let prefixed = EnvLayer { prefix: Some("SIMPLETUNER".to_owned()) };
        assert_eq!(prefixed.variable("replicate-api-token"), "SIMPLETUNER_REPLICATE_API_TOKEN");
        for (layer, key) in [
            (&plain, "a.b-c_d"),
            (&plain, "é"),
            (&plain, &"a-".repeat(60)),
            (&prefixed, "hf-token"),
            (&prefixed, &"x".repeat(200)),
        ] {
            let mut place: Place = [0; SHORT + BLOCK];
            if let Some(name) = layer.short_variable(key, &mut place) {
                assert_eq!(name, format!("{}\0", layer.variable(key)).as_bytes());
            } else {
                assert!(!key.is_ascii() || key.len() > 100);
            }
        }
    }
}
