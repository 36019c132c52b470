//! The first attempt of every get: most values are in memory, and are handed out where they are, without a lock and without
//! counting, so that threads do not slow each other down.

use std::sync::Arc;

use super::manager::{CURRENT_DEFAULT, Manager, Options, check_key};
use super::provider::{Held, Provider};
use super::secret::Secret;
use crate::clock::Tick;
use crate::error::Result;
use crate::fork::{self, ReadGuard};
use crate::log::{self, Level};
use crate::secret_memory::SecretBytes;

/// What a provider knows of a key without waiting, locking, or asking anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The value was handed over.
    Found,
    /// It has none.
    Absent,
    /// [`Provider::find`] has to be called.
    Unknown,
}

/// A value that is handed over where it is.
pub(crate) enum Peeked<'a> {
    /// It is in memory of the program.
    Foreign(&'a [u8]),
    /// It is of a provider that is asked on every get.
    Local(&'a SecretBytes),
    /// It is remembered; with what else is known of it.
    Remembered(&'a SecretBytes, &'a dyn Fn() -> Held),
}

impl Peeked<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Peeked::Foreign(bytes) => bytes,
            Peeked::Local(bytes) | Peeked::Remembered(bytes, _) => bytes,
        }
    }

    fn to_bytes(&self) -> Result<SecretBytes> {
        match *self {
            Peeked::Foreign(bytes) => SecretBytes::copy_from(bytes),
            Peeked::Local(bytes) | Peeked::Remembered(bytes, _) => Ok(bytes.clone()),
        }
    }

    fn to_held(&self) -> Result<Held> {
        match *self {
            Peeked::Remembered(_, held) => Ok(held()),
            Peeked::Foreign(_) | Peeked::Local(_) => self.to_bytes().map(Held::now),
        }
    }
}

impl Manager {
    /// Hands the value of `key` to `take`, which must be short; found as by [`Manager::get`].
    pub(crate) fn with_value<R>(&self, key: &str, mut take: impl FnMut(&[u8]) -> R) -> Result<R> {
        check_key(key)?;
        let peeked = fork::read().and_then(|reading| self.peek_at(key, &reading, |_, value| take(value.bytes())));
        match peeked {
            Some(taken) => Ok(taken),
            None => self.look_up(key, &Options::default()).map(|secret| take(secret.value())),
        }
    }

    /// The same of the manager of the whole process.
    pub(crate) fn with_default_value<R>(key: &str, mut take: impl FnMut(&[u8]) -> R) -> Result<R> {
        check_key(key)?;
        match peek_at_default(key, |value| take(value.bytes())) {
            Some(taken) => Ok(taken),
            None => Manager::default_instance()?.with_value(key, take),
        }
    }

    /// The value of `key`; found as by [`Manager::get`].
    pub(crate) fn value(&self, key: &str) -> Result<SecretBytes> {
        check_key(key)?;
        match fork::read().and_then(|reading| self.peek_at(key, &reading, |_, value| value.to_bytes())) {
            Some(value) => value,
            None => self.look_up(key, &Options::default()).map(Secret::into_value),
        }
    }

    /// The same of the manager of the whole process.
    pub(crate) fn default_value(key: &str) -> Result<SecretBytes> {
        check_key(key)?;
        match peek_at_default(key, |value| value.to_bytes()) {
            Some(value) => value,
            None => Manager::default_instance()?.value(key),
        }
    }

    /// The secret, if providers know it without waiting; an error if there is no memory for it.
    pub(super) fn peek(&self, key: &str) -> Option<Result<Secret>> {
        let reading = fork::read()?;
        self.peek_at(key, &reading, |provider, value| {
            Ok(Secret { held: value.to_held()?, provider: provider.clone(), degraded: false })
        })
    }

    /// Hands the value of `key` to `take` if it is in a provider that knows that without waiting, and so do those before it.
    fn peek_at<R>(
        &self,
        key: &str,
        reading: &ReadGuard,
        mut take: impl FnMut(&Arc<dyn Provider>, Peeked<'_>) -> R,
    ) -> Option<R> {
        if log::enabled(Level::Debug) {
            // Each answer is reported, which is not done while reading.
            return None;
        }
        let (mut taken, now) = (None, Tick::now());
        for provider in self.current.get(reading)? {
            match provider.peek(key, reading, now, &mut |value| taken = Some(take(provider, value))) {
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
    CURRENT_DEFAULT.get(&reading)?.peek_at(key, &reading, |_, value| take(value))
}

/// Whether all bytes are ASCII and none is NUL, as in nearly all names.
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
