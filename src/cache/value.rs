//! What the caches of the C ABI hold: bytes, or an object of the program's own.

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

/// Up to this length bytes are copied while the reader is inside; longer ones are held for the time of the copy, so that
/// no writer waits for it.
const SHORT: usize = 4096;
/// Up to this length a caller that wants to keep bytes gets a copy: a count of references would be a line of memory that
/// all readers write.
const COPIED: usize = 256;
/// Up to this length bytes lie within their entry, and make it fill exactly two cache lines.
const INLINE: usize = 70;

/// A cached value. Cloning it copies short bytes and shares what else it holds.
#[derive(Clone)]
pub enum Value {
    /// Bytes, wiped when the last holder drops them.
    Bytes(Bytes),
    /// Anything else. It is dropped by the last holder, with no lock of the cache held.
    Object(Object),
    /// The knowledge that there is none.
    Absent,
}

/// Bytes that cannot be changed: short ones are held in place, and a copy of them is the holder's to keep off the stack;
/// longer ones are shared.
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
    /// A copy of these bytes. The original is the caller's to wipe.
    pub fn copy_from(bytes: &[u8]) -> Result<Bytes> {
        if bytes.len() > INLINE {
            return SharedBytes::copy_from(bytes).map(Bytes::from);
        }
        let mut inline = Inline::EMPTY;
        inline.set(bytes);
        Ok(Bytes(Kept::Inline(inline)))
    }

    /// The same bytes for a holder that keeps them.
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

/// An object that several holders share.
#[derive(Clone)]
pub struct Object(Arc<Box<dyn Any + Send + Sync>>);

/// What [`TtlCache::get_into`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The value has this length and is in the buffer.
    Whole(usize),
    /// The value has this length, which the buffer has not; nothing was copied.
    TooLong(usize),
    /// There is no value under this key.
    Missing,
    /// The value is an object.
    NotBytes,
}

impl Object {
    /// Takes an object over.
    pub fn new<T: Any + Send + Sync>(object: T) -> Object {
        // Boxed twice, so that a value takes two words within its entry and not three.
        Object(Arc::new(Box::new(object)))
    }

    /// The object, if it is one of this type.
    pub fn downcast_ref<T: Any>(&self) -> Option<&T> {
        (**self.0).downcast_ref()
    }
}

impl Value {
    /// A copy of these bytes.
    pub fn copy_from(bytes: &[u8]) -> Result<Value> {
        Bytes::copy_from(bytes).map(Value::Bytes)
    }

    /// Whether it is anything but the knowledge that there is none.
    pub fn is_present(&self) -> bool {
        !matches!(self, Value::Absent)
    }

    /// An error of status [`Status::NotFound`] where it is the knowledge that there is none.
    pub fn must_be_present(&self) -> Result<()> {
        if self.is_present() { Ok(()) } else { Err(absent()) }
    }

    /// The bytes; an error if it is an object.
    pub fn into_bytes(self) -> Result<SharedBytes> {
        match self {
            Value::Bytes(Bytes(Kept::Shared(bytes))) => Ok(bytes),
            Value::Bytes(bytes) => bytes.to_shared(),
            Value::Object(_) => Err(not_bytes()),
            Value::Absent => Err(absent()),
        }
    }

    /// The object; an error if it is bytes.
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
    /// What a load that found nothing brings: the knowledge of that, if the cache remembers it, or else a failure.
    pub fn nothing(&self) -> Result<Loaded<Value>> {
        match self.absent_ttl {
            Duration::ZERO => Err(absent()),
            // It has no old value to serve, so it is not loaded anew before its time is over.
            ttl => Ok(Loaded { value: Value::Absent, ttl: Some(ttl), soft: Some(ttl) }),
        }
    }

    /// Stores a copy of these bytes as [`TtlCache::set`] stores a value.
    pub fn set_bytes(&self, key: &[u8], bytes: &[u8], ttl: Option<Duration>) -> Result<()> {
        if bytes.len() > INLINE {
            return self.set(key, Value::copy_from(bytes)?, ttl);
        }
        // Written where they stay, so that no copy is left behind on a stack.
        self.store(key, (ttl, None), None, |place, displaced| {
            if !matches!(place, Some(Value::Bytes(Bytes(Kept::Inline(_))))) {
                replace(place, Value::Bytes(Bytes(Kept::Inline(Inline::EMPTY))), displaced);
            }
            if let Some(Value::Bytes(Bytes(Kept::Inline(inline)))) = place {
                inline.set(bytes);
            }
        })
    }

    /// The bytes under this key; an error if it is an object.
    #[inline]
    pub fn get_bytes(&self, key: &[u8]) -> Result<Option<SharedBytes>> {
        let found = self.look_up(key, |value| match value {
            Value::Bytes(bytes) => bytes.to_shared().map(Some),
            Value::Object(_) => Err(not_bytes()),
            Value::Absent => Ok(None),
        });
        found.map_or(Ok(None), |(bytes, _)| bytes)
    }

    /// [`TtlCache::get_or_load`] for bytes, with a `timeout` that is needed only where there is something to load.
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

    /// The same with a function that copies, which must be short, must not panic and must not call this cache.
    #[inline(always)]
    pub(crate) fn copy_with(&self, key: &[u8], mut copy: impl FnMut(&[u8]) -> Copied) -> Copied {
        let found = self.look_up(key, |value| {
            // The usual case first, and alone: that is one comparison.
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

/// What [`TtlCache::copy_with`] finds.
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
