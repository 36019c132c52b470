//! Keys of the peers: any bytes, short ones in place, as the library keeps them (src/cache/key.rs).

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

const SHORT: usize = 39;

/// Bytes that are looked up. They are hashed without their length, as the library does.
#[repr(transparent)]
#[derive(PartialEq, Eq)]
pub struct Name([u8]);

impl Name {
    #[inline]
    pub fn new(bytes: &[u8]) -> &Name {
        // SAFETY: `Name` is transparent.
        unsafe { &*(bytes as *const [u8] as *const Name) }
    }
}

impl Hash for Name {
    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write(&self.0);
    }
}

impl ToOwned for Name {
    type Owned = Key;
    #[inline]
    fn to_owned(&self) -> Key {
        Key::new(&self.0)
    }
}

/// A key as it is stored.
#[derive(Clone)]
pub struct Key {
    len: u8,
    bytes: [u8; SHORT],
}

impl Key {
    #[inline]
    pub fn new(key: &[u8]) -> Key {
        let mut bytes = [0; SHORT];
        bytes[..key.len()].copy_from_slice(key);
        Key { len: key.len() as u8, bytes }
    }
}

impl Deref for Key {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl PartialEq for Key {
    #[inline]
    fn eq(&self, other: &Key) -> bool {
        **self == **other
    }
}

impl Eq for Key {}

impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write(self);
    }
}

impl Borrow<Name> for Key {
    #[inline]
    fn borrow(&self) -> &Name {
        Name::new(self)
    }
}

impl Borrow<Name> for Arc<Key> {
    #[inline]
    fn borrow(&self) -> &Name {
        Name::new(self)
    }
}
