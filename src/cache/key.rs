//! A key as an entry keeps it.

use crate::error::{Error, Result, Status};

/// As many bytes as make an entry fill exactly one cache line.
const SHORT: usize = 38;

/// How much of every key stands beside the others, for the search by prefix.
pub(super) const PREFIX: usize = 16;

/// Short keys lie within their entry, so that comparing them costs no further access to memory.
pub(super) enum Key {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

impl Key {
    pub(super) const EMPTY: Key = Key::Short { len: 0, bytes: [0; SHORT] };

    pub(super) fn new(key: &[u8]) -> Result<Key> {
        if key.len() <= SHORT {
            let mut bytes = [0; SHORT];
            bytes[..key.len()].copy_from_slice(key);
            return Ok(Key::Short { len: key.len() as u8, bytes });
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(key.len()).map_err(|_| no_memory(key.len()))?;
        copy.extend_from_slice(key);
        Ok(Key::Long(copy.into_boxed_slice()))
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Key::Short { len, bytes } => &bytes[..usize::from(*len)],
            Key::Long(bytes) => bytes,
        }
    }

    #[inline]
    pub(super) fn is(&self, key: &[u8]) -> bool {
        let own = self.bytes();
        own.len() == key.len() && same(own, key)
    }

    /// The first bytes, followed by zeros where it is shorter.
    pub(super) fn prefix(&self) -> [u8; PREFIX] {
        let mut prefix = [0; PREFIX];
        let len = self.bytes().len().min(PREFIX);
        prefix[..len].copy_from_slice(&self.bytes()[..len]);
        prefix
    }
}

/// Whether the bytes are the same; there are as many on both sides. Of the usual lengths two halves that may overlap are
/// compared: a few instructions, where `==` would be a call.
#[inline(always)]
fn same(some: &[u8], others: &[u8]) -> bool {
    match some.len() {
        16..=32 => {
            some.first_chunk::<16>() == others.first_chunk::<16>()
                && some.last_chunk::<16>() == others.last_chunk::<16>()
        }
        8..=15 => {
            some.first_chunk::<8>() == others.first_chunk::<8>() && some.last_chunk::<8>() == others.last_chunk::<8>()
        }
        _ => some == others,
    }
}

fn no_memory(len: usize) -> Error {
    Error::new(Status::NoMemory, format!("no memory for a key of {len} bytes"))
}
