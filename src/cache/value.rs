//! The values of the caches of the C ABI: bytes, or objects of the program.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroize;

use super::store::Freshness;
use super::write::replace;
use super::{Loaded, TtlCache};
use crate::error::{Error, Result, Status};
use crate::secret_memory::SharedBytes;

/// Up to this length bytes are copied while the reader holds its slot. Longer ones are referenced for the time of the
/// copy, so that no writer waits for it.
const SHORT: usize = 4096;
/// Up to this length a caller that keeps bytes gets a copy: a reference count would be a cache line that all readers
/// write.
const COPIED: usize = 256;
/// Up to this length bytes are stored in their entry, which then fills exactly two cache lines.
const INLINE: usize = 70;

/// A cached value. A clone copies short bytes and shares everything else.
#[derive(Clone)]
pub enum Value {
    /// Bytes, wiped when the last reference is dropped.
    Bytes(Bytes),
    /// An object of the program. It is dropped with the last reference, with no lock of the cache held.
    Object(Object),
    /// The cached absence of a value.
    Absent,
}

/// Immutable bytes. Short ones are stored inline: the holder must keep copies off the stack. Longer ones are shared.
#[derive(Clone)]
pub struct Bytes(Kept);

#[derive(Clone)]
enum Kept {
    Inline(Inline),
    Shared(SharedBytes),
}

/// Wiped on drop.
#[derive(Clone)]
struct Inline {
    len: u8,
    bytes: [u8; INLINE],
}

impl Drop for Inline {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl Inline {
    const EMPTY: Inline = Inline { len: 0, bytes: [0; INLINE] };

    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Puts other bytes, at most [`INLINE`], in place of these.
    #[inline]
    fn set(&mut self, bytes: &[u8]) {
        let before = usize::from(self.len);
        self.bytes[..bytes.len()].copy_from_slice(bytes);
        if before > bytes.len() {
            self.bytes[bytes.len()..before].zeroize();
        }
        self.len = bytes.len() as u8;
    }
}

impl Bytes {
    /// Copies these bytes. The caller wipes the original.
    pub fn copy_from(bytes: &[u8]) -> Result<Bytes> {
        if bytes.len() > INLINE {
            return SharedBytes::copy_from(bytes).map(Bytes::from);
        }
        let mut inline = Inline::EMPTY;
        inline.set(bytes);
        Ok(Bytes(Kept::Inline(inline)))
    }

    /// Returns the same bytes for a caller that keeps them.
    fn to_shared(&self) -> Result<SharedBytes> {
        match &self.0 {
            Kept::Shared(bytes) if bytes.len() > COPIED => Ok(bytes.clone()),
            _ => SharedBytes::copy_from(self),
        }
    }
}

impl From<SharedBytes> for Bytes {
    fn from(bytes: SharedBytes) -> Bytes {
        Bytes(Kept::Shared(bytes))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kept::Inline(inline) => inline.bytes(),
            Kept::Shared(bytes) => bytes,
        }
    }
}

/// An object with a reference count.
#[derive(Clone)]
pub struct Object(Arc<Box<dyn Any + Send + Sync>>);

/// The result of [`TtlCache::get_into`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The value has this length and is in the buffer.
    Whole(usize),
    /// The value has this length, which is more than the buffer has; nothing was copied.
    TooLong(usize),
    /// There is no value under this key.
    Missing,
    /// The value is an object.
    NotBytes,
}

impl Object {
    /// Takes ownership of an object.
    pub fn new<T: Any + Send + Sync>(object: T) -> Object {
        // Boxed twice, so that a value takes two words in its entry instead of three.
        Object(Arc::new(Box::new(object)))
    }

    /// Returns the object if it is of this type.
    pub fn downcast_ref<T: Any>(&self) -> Option<&T> {
        (**self.0).downcast_ref()
    }
}

impl Value {
    /// Copies these bytes.
    pub fn copy_from(bytes: &[u8]) -> Result<Value> {
        Bytes::copy_from(bytes).map(Value::Bytes)
    }

    /// Whether this is a value, and not the cached absence of one.
    pub fn is_present(&self) -> bool {
        !matches!(self, Value::Absent)
    }

    /// Returns an error of status [`Status::NotFound`] if this is the cached absence of a value.
    pub fn must_be_present(&self) -> Result<()> {
        if self.is_present() { Ok(()) } else { Err(absent()) }
    }

    /// Returns the bytes, or an error if this is an object.
    pub fn into_bytes(self) -> Result<SharedBytes> {
        match self {
            Value::Bytes(Bytes(Kept::Shared(bytes))) => Ok(bytes),
            Value::Bytes(bytes) => bytes.to_shared(),
            Value::Object(_) => Err(not_bytes()),
            Value::Absent => Err(absent()),
        }
    }

    /// Returns the object, or an error if this is bytes.
    pub fn into_object(self) -> Result<Object> {
        match self {
            Value::Object(object) => Ok(object),
            Value::Bytes(_) => Err(Error::new(Status::WrongType, "the value under this key is bytes, not an object")),
            Value::Absent => Err(absent()),
        }
    }
}

impl From<Loaded<SharedBytes>> for Loaded<Value> {
    fn from(loaded: Loaded<SharedBytes>) -> Loaded<Value> {
        Loaded { value: Value::Bytes(loaded.value.into()), ttl: loaded.ttl, soft: loaded.soft }
    }
}

impl TtlCache<Value> {
    /// Returns what a load that found no value stores: the absence, if the cache remembers it, or else an error.
    pub fn nothing(&self) -> Result<Loaded<Value>> {
        match self.absent_ttl {
            Duration::ZERO => Err(absent()),
            // There is no old value to serve, so it is not reloaded before it expires.
            ttl => Ok(Loaded { value: Value::Absent, ttl: Some(ttl), soft: Some(ttl) }),
        }
    }

    /// Stores a copy of these bytes as [`TtlCache::set`] stores a value.
    pub fn set_bytes(&self, key: &[u8], bytes: &[u8], ttl: Option<Duration>) -> Result<()> {
        if bytes.len() > INLINE {
            return self.set(key, Value::copy_from(bytes)?, ttl);
        }
        // Written in place, so that no copy is left on the stack.
        self.store(key, (ttl, None), None, |place, displaced| {
            if !matches!(place, Some(Value::Bytes(Bytes(Kept::Inline(_))))) {
                replace(place, Value::Bytes(Bytes(Kept::Inline(Inline::EMPTY))), displaced);
            }
            if let Some(Value::Bytes(Bytes(Kept::Inline(inline)))) = place {
                inline.set(bytes);
            }
        })
    }

    /// Returns the bytes under this key, or an error if the value is an object.
    #[inline]
    pub fn get_bytes(&self, key: &[u8]) -> Result<Option<SharedBytes>> {
        let found = self.look_up(key, |value| match value {
            Value::Bytes(bytes) => bytes.to_shared().map(Some),
            Value::Object(_) => Err(not_bytes()),
            Value::Absent => Ok(None),
        });
        found.map_or(Ok(None), |(bytes, _)| bytes)
    }

    /// [`TtlCache::get_or_load`] for bytes. `timeout` is evaluated only if the value has to be loaded.
    #[inline]
    pub(crate) fn get_bytes_or_load(
        &self,
        key: &[u8],
        timeout: impl FnOnce() -> Result<Duration>,
        load: impl FnOnce(Duration) -> Result<Loaded<Value>>,
    ) -> Result<SharedBytes> {
        let found = self.look_up(key, |value| match value {
            Value::Bytes(bytes) => bytes.to_shared(),
            Value::Object(_) => Err(not_bytes()),
            Value::Absent => Err(absent()),
        });
        match found {
            Some((bytes, Freshness::Fresh)) => bytes,
            _ => self.load_missing(key, timeout()?, load)?.into_bytes(),
        }
    }

    /// Copies the bytes under this key into the buffer, if they fit.
    pub fn get_into(&self, key: &[u8], buffer: &mut [u8]) -> Copied {
        self.copy_with(key, |bytes| match buffer.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Copied::Whole(bytes.len())
            }
            None => Copied::TooLong(bytes.len()),
        })
    }

    /// Does the same with a function that copies. It must be short, must not panic and must not use this cache.
    #[inline(always)]
    pub(crate) fn copy_with(&self, key: &[u8], mut copy: impl FnMut(&[u8]) -> Copied) -> Copied {
        let found = self.look_up(key, |value| {
            // The usual case first: one comparison.
            if let Value::Bytes(Bytes(Kept::Inline(inline))) = value {
                return Found::Copied(copy(inline.bytes()));
            }
            match value {
                Value::Bytes(Bytes(Kept::Shared(bytes))) if bytes.len() > SHORT => Found::Long(bytes.clone()),
                Value::Bytes(bytes) => Found::Copied(copy(bytes)),
                Value::Object(_) => Found::Copied(Copied::NotBytes),
                Value::Absent => Found::Copied(Copied::Missing),
            }
        });
        match found {
            Some((Found::Copied(copied), _)) => copied,
            Some((Found::Long(bytes), _)) => copy(&bytes),
            None => Copied::Missing,
        }
    }
}

/// The result of the lookup in [`TtlCache::copy_with`].
enum Found {
    Copied(Copied),
    Long(SharedBytes),
}

#[cold]
fn not_bytes() -> Error {
    Error::new(Status::WrongType, "the value under this key is an object, not bytes")
}

fn absent() -> Error {
    Error::new(Status::NotFound, "the load found no value for this key")
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Value::Object(_) => f.write_str("Object"),
            Value::Absent => f.write_str("Absent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::Entry;
    use super::*;

    #[test]
    fn entry_is_two_cache_lines() {
        assert_eq!(size_of::<Option<Value>>(), 72);
        assert_eq!(size_of::<Entry<Value>>(), 128);
    }

    #[test]
    fn shorter_bytes_leave_nothing_of_longer_ones() {
        let mut inline = Inline::EMPTY;
        for len in [70, 64, 3, 0, 12, 70, 1] {
            inline.set(&vec![7; len]);
            assert_eq!(usize::from(inline.len), len);
            assert!(inline.bytes.iter().enumerate().all(|(at, byte)| *byte == if at < len { 7 } else { 0 }));
        }
    }
}
