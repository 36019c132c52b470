//! Redaction: removes secret values from text that is printed or logged.
//!
//! A [`Redactor`] replaces each occurrence of a value with a mask, in the forms in which programs print values: raw,
//! escaped (JSON, Python's `repr`, shells), percent-encoded, hexadecimal, base64 and base64url at any alignment, also
//! wrapped into lines, UTF-16LE. For a value of several lines, each line that is long enough is replaced too. Where
//! occurrences overlap, all of them are replaced, by one mask.
//!
//! [`Redactor::stream`] redacts text that arrives in pieces, with the same result however the text is divided.
//! [`Redactor::copy`] redacts what it reads from a file descriptor.
//!
//! The redactor of the process, [`Redactor::default_instance`], has each value that this library returns after it was
//! opened: secrets, credentials of a store, decrypted tokens.
//!
//! Values shorter than [`RedactOptions::shortest`] are not replaced: they would match ordinary text. Values cannot be
//! removed again. All copies of them are in secret memory or wiped; the tables of the search have hashes of four and of
//! eight bytes of them.

use std::sync::Arc;

use crate::config::Config;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::fork_safe::Mutex;

mod copy;
mod default;
mod forms;
mod index;
mod recorded;
mod stream;
mod value;

pub(crate) use default::record;
pub use stream::Stream;

use index::Index;
use recorded::Recorded;
use value::Pattern;

/// The smallest [`RedactOptions::shortest`].
const MIN_SHORTEST: usize = 4;

/// The settings of a [`Redactor`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedactOptions {
    /// The length of the shortest value that is replaced, in bytes; at least 4.
    pub shortest: usize,
    /// What replaces a value. In it, `{name}` is replaced with the name of the secret, or with `secret` if it has none.
    pub mask: String,
}

/// Values of at least 8 bytes are replaced with `***`.
impl Default for RedactOptions {
    fn default() -> RedactOptions {
        RedactOptions { shortest: 8, mask: "***".to_owned() }
    }
}

impl RedactOptions {
    fn of(config: &Config) -> Result<RedactOptions> {
        let default = RedactOptions::default();
        let shortest = config.count("redact_min", default.shortest as u32) as usize;
        if shortest < MIN_SHORTEST {
            let message =
                format!("the configuration key `redact_min` is {shortest}; it must be at least {MIN_SHORTEST}");
            return Err(Error::new(Status::Config, message));
        }
        let mask = config.text("redact_with").map_or(default.mask, str::to_owned);
        Ok(RedactOptions { shortest, mask })
    }

    fn write_mask(&self, name: Option<&str>, redacted: &mut Vec<u8>) {
        let mut parts = self.mask.split("{name}");
        redacted.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            redacted.extend_from_slice(name.unwrap_or("secret").as_bytes());
            redacted.extend_from_slice(part.as_bytes());
        }
    }
}

/// Replaces secret values in text. It can be shared between threads.
pub struct Redactor {
    options: RedactOptions,
    index: Mutex<Arc<Index>>,
    recorded: Recorded,
}

impl Redactor {
    /// Creates a redactor that replaces nothing yet.
    pub fn new(options: RedactOptions) -> Result<Redactor> {
        let shortest = options.shortest;
        if shortest < MIN_SHORTEST {
            let message = format!("`shortest` is {shortest}; it must be at least {MIN_SHORTEST}");
            return Err(Error::invalid_argument(message));
        }
        Ok(Redactor { options, index: Mutex::new(Arc::new(Index::new(shortest))), recorded: Recorded::default() })
    }

    /// Creates a redactor with the settings `redact_min` and `redact_with`.
    pub fn open(config: &Config) -> Result<Redactor> {
        Redactor::new(RedactOptions::of(config)?)
    }

    /// Adds values. From now on they are replaced. Values that are too short are ignored; returns the number of others.
    ///
    /// [`Status::NoMemory`]: the values are too long, or out of memory.
    pub fn add<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> Result<usize> {
        self.add_all(values.into_iter().map(|value| (None, value)))
    }

    /// As [`Redactor::add`], for one value with its name, which masks can contain. Returns whether it is long enough.
    /// A value that is added twice has the first name.
    pub fn add_named(&self, name: &str, value: &[u8]) -> Result<bool> {
        Ok(self.add_all([(Some(name), value)])? == 1)
    }

    fn add_all<'a>(&self, values: impl IntoIterator<Item = (Option<&'a str>, &'a [u8])>) -> Result<usize> {
        let (mut added, mut new) = (0, Vec::new());
        for (name, value) in values {
            if value.len() >= self.options.shortest {
                added += 1;
                new.extend(value::patterns(name, value, self.options.shortest)?);
            }
        }
        self.add_patterns(new);
        Ok(added)
    }

    fn add_patterns(&self, new: Vec<Pattern>) {
        // An index is made without the lock, as that may take long.
        loop {
            let current = self.current_index();
            let Some(extended) = current.with(new.clone()) else { return };
            if self.replace_index(&current, extended) {
                return;
            }
        }
    }

    /// Replaces the index, unless another thread did so first.
    fn replace_index(&self, expected: &Arc<Index>, new: Index) -> bool {
        let _guard = fork::protect();
        let mut current = self.index.lock();
        let is_expected = Arc::ptr_eq(&current, expected);
        if is_expected {
            // The caller drops the old one.
            *current = Arc::new(new);
        }
        is_expected
    }

    /// Returns the text with every value replaced.
    pub fn redact(&self, text: &[u8]) -> Vec<u8> {
        let mut redacted = Vec::with_capacity(text.len());
        let mut stream = self.stream();
        stream.write(text, &mut redacted);
        stream.end(&mut redacted);
        redacted
    }

    /// Returns the index, with all values that were recorded before this call.
    fn index(&self) -> Arc<Index> {
        if self.recorded.is_pending() {
            self.add_recorded();
        }
        self.current_index()
    }

    fn current_index(&self) -> Arc<Index> {
        let _guard = fork::protect();
        self.index.lock().clone()
    }
}

#[cfg(test)]
mod tests;
