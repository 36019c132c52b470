//! The key of an entry.

use crate::error::{Error, Result, Status};
use crate::secret_memory::copy_to;

/// The length that makes the header of an entry fill exactly one cache line.
const SHORT: usize = 38;

/// The length of the key prefixes that are stored side by side, for the search by prefix.
pub(super) const PREFIX: usize = 16;

/// A stored key. Short keys are stored in their entry, so that comparing them needs no further memory access.
pub(super) enum Key {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

impl Key {
    pub(super) const EMPTY: Key = Key::Short { len: 0, bytes: [0; SHORT] };

    /// Replaces this key.
    #[inline(always)]
    pub(super) fn set(&mut self, new: NewKey<'_>) {
        if !new.copy.is_empty() {
            *self = Key::Long(new.copy.into_boxed_slice());
            return;
        }
        if let Key::Long(_) = self {
            *self = Key::EMPTY;
        }
        // Written in place: a short key that is moved there would be loaded while its stores are still in flight.
        if let Key::Short { len, bytes } = self {
            *len = new.bytes.len() as u8;
            copy_to(new.bytes, bytes);
        }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Key::Short { len, bytes } => &bytes[..usize::from(*len)],
            Key::Long(bytes) => bytes,
        }
    }

    /// Whether this is `key`, for which [`is_usual`](super::table::is_usual) holds.
    #[inline(always)]
    pub(super) fn is_usual(&self, key: &[u8]) -> bool {
        match self {
            Key::Short { len, bytes } if usize::from(*len) == key.len() => {
                let own = bytes.get(..key.len()).unwrap_or_default();
                own.first_chunk::<16>() == key.first_chunk() && own.last_chunk::<16>() == key.last_chunk()
            }
            _ => false,
        }
    }
}

/// A key to be stored, with the memory that it needs.
pub(super) struct NewKey<'a> {
    pub(super) bytes: &'a [u8],
    /// Empty if the key is short.
    copy: Vec<u8>,
}

impl<'a> NewKey<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Result<NewKey<'a>> {
        let copy = if bytes.len() <= SHORT { Vec::new() } else { copy_of(bytes)? };
        Ok(NewKey { bytes, copy })
    }

    /// Returns the first bytes, padded with zeros.
    #[inline]
    pub(super) fn prefix(&self) -> [u8; PREFIX] {
        if let Some(prefix) = self.bytes.first_chunk() {
            return *prefix;
        }
        let mut prefix = [0; PREFIX];
        prefix[..self.bytes.len()].copy_from_slice(self.bytes);
        prefix
    }
}

fn copy_of(key: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(key.len()).map_err(|_| no_memory(key.len()))?;
    copy.extend_from_slice(key);
    Ok(copy)
}

fn no_memory(len: usize) -> Error {
    Error::new(Status::NoMemory, format!("no memory for a key of {len} bytes"))
}

#[cfg(test)]
mod tests {
    use super::super::table::is_usual;
    use super::*;

    #[test]
    fn key_differs_from_others_of_its_length() {
        let mut kept = Key::EMPTY;
        // Long, then short again, in the same place.
        for len in (0..=64).chain((0..=64).rev()) {
            let key: Vec<u8> = (0..len).collect();
            kept.set(NewKey::new(&key).unwrap());
            assert_eq!(kept.bytes(), key);
            assert!(!kept.is_usual(&[7; 20]));
            if is_usual(&key) {
                assert!(kept.is_usual(&key));
                for place in 0..key.len() {
                    let mut other = key.clone();
                    other[place] ^= 1;
                    assert!(!kept.is_usual(&other), "byte {place} of {len}");
                }
            }
        }
    }
}
