//! The fast path of every get. Most values are in memory and are passed on in place, without a lock and without a
//! reference count, so that threads do not slow each other down.

use std::sync::Arc;

use super::manager::{DEFAULT, Manager, Options, check_key};
use super::provider::SecretProvider;
use super::secret::Secret;
use crate::clock::CoarseInstant;
use crate::error::Result;
use crate::fork::{self, ReadGuard};
use crate::log::{self, Level};
use crate::redact;
use crate::secret_memory::SecretBytes;

/// What a provider can say about a key without waiting, locking, or a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It has a value, and has passed it on.
    Found,
    /// It has no value.
    Absent,
    /// [`SecretProvider::find`] has to be called.
    Unknown,
}

/// A value that is passed on in place.
pub(crate) enum Peeked<'a> {
    /// It is in memory of the program: the environment.
    Foreign(&'a [u8]),
    /// It is from a provider that is read on every get.
    Local(&'a SecretBytes),
    /// It is cached. The function returns it with its version and age.
    Cached(&'a SecretBytes, &'a dyn Fn() -> Secret),
}

impl Peeked<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Peeked::Foreign(bytes) => bytes,
            Peeked::Local(bytes) | Peeked::Cached(bytes, _) => bytes,
        }
    }

    fn to_bytes(&self) -> Result<SecretBytes> {
        match *self {
            Peeked::Foreign(bytes) => SecretBytes::copy_from(bytes),
            Peeked::Local(bytes) | Peeked::Cached(bytes, _) => Ok(bytes.clone()),
        }
    }

    fn to_secret(&self) -> Result<Secret> {
        match *self {
            Peeked::Cached(_, secret) => Ok(secret()),
            Peeked::Foreign(_) | Peeked::Local(_) => self.to_bytes().map(Secret::new),
        }
    }
}

impl Manager {
    /// Passes the value of `key`, looked up as by [`Manager::get`], to `take`, which must be short.
    pub(crate) fn with_value<R>(&self, key: &str, mut take: impl FnMut(&[u8]) -> R) -> Result<R> {
        check_key(key)?;
        let peeked = fork::read().and_then(|reading| self.peek_at(key, &reading, |_, value| take(value.bytes())));
        match peeked {
            Some(taken) => Ok(taken),
            None => self.look_up(key, &Options::default()).map(|secret| take(secret.value())),
        }
    }

    /// As [`Manager::with_value`], with the manager of the process.
    pub(crate) fn with_default_value<R>(key: &str, mut take: impl FnMut(&[u8]) -> R) -> Result<R> {
        check_key(key)?;
        match peek_at_default(key, |value| take(value.bytes())) {
            Some(taken) => Ok(taken),
            None => Manager::default_instance()?.with_value(key, take),
        }
    }

    /// Returns the value of `key`, looked up as by [`Manager::get`].
    pub(crate) fn value(&self, key: &str) -> Result<SecretBytes> {
        check_key(key)?;
        match fork::read().and_then(|reading| self.peek_at(key, &reading, |_, value| value.to_bytes())) {
            Some(value) => value,
            None => self.look_up(key, &Options::default()).map(Secret::into_value),
        }
    }

    /// As [`Manager::value`], with the manager of the process.
    pub(crate) fn default_value(key: &str) -> Result<SecretBytes> {
        check_key(key)?;
        match peek_at_default(key, |value| value.to_bytes()) {
            Some(value) => value,
            None => Manager::default_instance()?.value(key),
        }
    }

    /// Returns the secret if it is in memory; an error if the result cannot be allocated.
    pub(super) fn peek(&self, key: &str) -> Option<Result<Secret>> {
        let reading = fork::read()?;
        self.peek_at(key, &reading, |provider, value| Ok(value.to_secret()?.with_provider(provider)))
    }

    /// Passes the value of `key` to `take` if it is in memory, and no provider before it needs a query.
    fn peek_at<R>(
        &self,
        key: &str,
        reading: &ReadGuard,
        mut take: impl FnMut(&Arc<dyn SecretProvider>, Peeked<'_>) -> R,
    ) -> Option<R> {
        if log::enabled(Level::Debug) {
            // Each lookup is logged, which must not happen while reading.
            return None;
        }
        let (mut taken, now) = (None, CoarseInstant::now());
        for provider in self.current.get(reading)? {
            let mut pass_on = |value: Peeked<'_>| {
                redact::record(Some(key), value.bytes());
                taken = Some(take(provider, value));
            };
            match provider.peek(key, reading, now, &mut pass_on) {
                Known::Found => return taken,
                Known::Absent => {}
                Known::Unknown => return None,
            }
        }
        None
    }
}

fn peek_at_default<R>(key: &str, mut take: impl FnMut(Peeked<'_>) -> R) -> Option<R> {
    let reading = fork::read()?;
    DEFAULT.peek(&reading)?.peek_at(key, &reading, |_, value| take(value))
}

/// Whether all bytes are ASCII and none is NUL, as in nearly all keys.
#[inline]
pub(crate) fn is_plain(key: &[u8]) -> bool {
    /// Not 0 if a byte is not plain.
    fn marks(word: [u8; 8]) -> u64 {
        let word = u64::from_le_bytes(word);
        (word.wrapping_sub(0x0101_0101_0101_0101) | word) & 0x8080_8080_8080_8080
    }
    let (words, rest) = key.as_chunks::<8>();
    words.iter().all(|word| marks(*word) == 0) && rest.iter().all(|byte| matches!(byte, 1..=127))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_ascii_without_nul() {
        for len in 0..40 {
            let mut key = vec![b'A'; len];
            assert!(is_plain(&key));
            for at in 0..len {
                for byte in 0..=255 {
                    key[at] = byte;
                    assert_eq!(is_plain(&key), (1..=127).contains(&byte), "{byte} at {at} of {len}");
                }
                key[at] = b'z';
            }
        }
    }
}
