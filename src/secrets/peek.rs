//! The fast path of every get. Most values are in memory and are passed on in place, without a lock and without a
//! reference count, so that threads do not slow each other down.

use super::key::check_key;
use super::manager::{DEFAULT, GetOptions, Manager};
use super::provider::{Known, Peeked};
use super::secret::{ProviderId, Secret};
use crate::clock::CoarseInstant;
use crate::error::Result;
use crate::fork::{self, PublishedGuard};
use crate::log::{self, Level};
use crate::redact;
use crate::secret_memory::SecretBytes;

impl Manager {
    /// Passes the value of `key`, looked up as by [`Manager::get`], to `take`, which must be short.
    pub(crate) fn with_value<R>(&self, key: &str, mut take: impl FnMut(&[u8]) -> R) -> Result<R> {
        check_key(key)?;
        let peeked = fork::read().and_then(|reading| self.peek_at(key, &reading, |_, value| take(value.bytes())));
        match peeked {
            Some(taken) => Ok(taken),
            None => self.look_up(key, &GetOptions::default()).map(|secret| take(secret.value())),
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
            None => self.look_up(key, &GetOptions::default()).map(Secret::into_value),
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
        reading: &PublishedGuard,
        mut take: impl FnMut(&ProviderId, Peeked<'_>) -> R,
    ) -> Option<R> {
        if log::enabled(Level::Debug) {
            // Each lookup is logged, which must not happen while reading.
            return None;
        }
        if !self.changes.has_followed(reading) {
            return None;
        }
        let (mut taken, now) = (None, CoarseInstant::now());
        for (provider, counts) in self.current.get(reading)?.counted() {
            let mut pass_on = |value: Peeked<'_>| {
                redact::record(Some(key), value.bytes());
                taken = Some(take(provider.id(), value));
            };
            match provider.peek(key, reading, now, &mut pass_on) {
                Known::Found => {
                    self.counts.hits.add(counts.number, reading);
                    return taken;
                }
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
