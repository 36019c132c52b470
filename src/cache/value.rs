//! What the caches of the C ABI hold: bytes, or an object of the program's own.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Loaded, TtlCache};
use crate::bytes::SharedBytes;
use crate::error::{Error, Result, Status};

/// Up to this length bytes are copied where they lie; longer ones are held for the time of the copy, so that no writer
/// waits for it.
const SHORT: usize = 4096;

/// A cached value. Cloning it shares what it holds.
#[derive(Clone)]
pub enum Value {
    /// Bytes, wiped when the last holder lets go.
    Bytes(SharedBytes),
    /// Anything else. It is dropped by the last holder, with no lock of the cache held.
    Object(Object),
    /// The knowledge that there is none.
    Absent,
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
        SharedBytes::copy_from(bytes).map(Value::Bytes)
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
            Value::Bytes(bytes) => Ok(bytes),
            Value::Object(_) => Err(Error::new(Status::WrongType, "the value under this key is an object, not bytes")),
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
        Loaded { value: Value::Bytes(loaded.value), ttl: loaded.ttl, soft: loaded.soft }
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

    /// Copies the bytes under this key into the buffer, if they fit.
    pub fn get_into(&self, key: &[u8], buffer: &mut [u8]) -> Copied {
        let copied = self.with_bytes(key, |bytes| match buffer.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Copied::Whole(bytes.len())
            }
            None => Copied::TooLong(bytes.len()),
        });
        match copied {
            Some(Some(copied)) => copied,
            Some(None) => Copied::NotBytes,
            None => Copied::Missing,
        }
    }

    /// Hands the bytes under this key to `take`, which must be short, must not panic and must not call this cache. The
    /// answer is `None` where there is no value, `Some(None)` where it is an object.
    #[inline]
    pub(crate) fn with_bytes<R>(&self, key: &[u8], mut take: impl FnMut(&[u8]) -> R) -> Option<Option<R>> {
        let (found, _) = self.look_up(key, |value| match value {
            Value::Bytes(bytes) if bytes.len() <= SHORT => Found::Taken(take(bytes)),
            Value::Bytes(bytes) => Found::Long(bytes.clone()),
            Value::Object(_) => Found::Object,
            Value::Absent => Found::Absent,
        })?;
        match found {
            Found::Taken(taken) => Some(Some(taken)),
            Found::Long(bytes) => Some(Some(take(&bytes))),
            Found::Object => Some(None),
            Found::Absent => None,
        }
    }
}

/// What [`TtlCache::with_bytes`] finds.
enum Found<R> {
    Taken(R),
    Long(SharedBytes),
    Object,
    Absent,
}

fn absent() -> Error {
    Error::new(Status::NotFound, "the load found no value for this key")
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bytes(bytes) => bytes.fmt(f),
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
    fn an_entry_is_one_cache_line() {
        assert_eq!(size_of::<Value>(), 16);
        assert_eq!(size_of::<Entry<Value>>(), 64);
    }
}
