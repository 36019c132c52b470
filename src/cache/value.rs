//! The values of the caches of the C ABI: bytes, or objects of the program.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroize;

use super::store::Freshness;
use super::write::{WriteFunction, replace};
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
pub enum Value {
    /// Short bytes, stored inline, in an entry only: moving them would leave copies on the stack.
    Short(ShortBytes),
    /// Longer bytes, wiped when the last reference is dropped.
    Long(SharedBytes),
    /// An object of the program. It is dropped with the last reference, with no lock of the cache held.
    Object(Object),
    /// The cached absence of a value.
    Absent,
}

/// Immutable bytes of up to 70 bytes, wiped on drop.
#[derive(Clone)]
pub struct ShortBytes {
    len: u8,
    bytes: [u8; INLINE],
}

impl Drop for ShortBytes {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl ShortBytes {
    const EMPTY: ShortBytes = ShortBytes { len: 0, bytes: [0; INLINE] };

    /// Puts other bytes, at most [`INLINE`], in place of these.
    #[inline(always)]
    fn set(&mut self, bytes: &[u8]) {
        let before = usize::from(self.len);
        // Not in parts, which could leave copies on the stack.
        self.bytes[..bytes.len()].copy_from_slice(bytes);
        if before > bytes.len() {
            self.bytes[bytes.len()..before].zeroize();
        }
        self.len = bytes.len() as u8;
    }
}

impl Deref for ShortBytes {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // A check that could panic would make every caller prepare for that.
        self.bytes.get(..usize::from(self.len)).unwrap_or_else(none)
    }
}

#[cold]
fn none<'a>() -> &'a [u8] {
    &[]
}

/// Returns the same bytes for a caller that keeps them.
#[inline]
fn shared(bytes: &SharedBytes) -> Result<SharedBytes> {
    if bytes.len() > COPIED { Ok(bytes.clone()) } else { SharedBytes::copy_from(bytes) }
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

impl Clone for Value {
    fn clone(&self) -> Value {
        match self {
            // Only without memory is it inline.
            Value::Short(bytes) => Value::copy_from(bytes).unwrap_or_else(|_| Value::Short(bytes.clone())),
            Value::Long(bytes) => Value::Long(bytes.clone()),
            Value::Object(object) => Value::Object(object.clone()),
            Value::Absent => Value::Absent,
        }
    }
}

impl Value {
    /// Copies these bytes. The caller wipes the original. A cache that stores them copies short ones into the entry.
    pub fn copy_from(bytes: &[u8]) -> Result<Value> {
        SharedBytes::copy_from(bytes).map(Value::Long)
    }

    /// Whether this is a value, and not the cached absence of one.
    pub fn is_present(&self) -> bool {
        !matches!(self, Value::Absent)
    }

    /// Returns an error of status [`Status::NotFound`] if this is the cached absence of a value.
    pub fn must_be_present(&self) -> Result<()> {
        if self.is_present() { Ok(()) } else { Err(absent()) }
    }

    /// Returns the bytes if this is bytes.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Short(bytes) => Some(bytes),
            Value::Long(bytes) => Some(bytes),
            Value::Object(_) | Value::Absent => None,
        }
    }

    /// Returns the bytes, or an error if this is an object.
    pub fn into_bytes(self) -> Result<SharedBytes> {
        match self {
            Value::Short(bytes) => SharedBytes::copy_from(&bytes),
            Value::Long(bytes) => Ok(bytes),
            Value::Object(_) => Err(not_bytes()),
            Value::Absent => Err(absent()),
        }
    }

    /// Returns the object, or an error if this is bytes.
    pub fn into_object(self) -> Result<Object> {
        match self {
            Value::Object(object) => Ok(object),
            Value::Short(_) | Value::Long(_) => {
                Err(Error::new(Status::WrongType, "the value under this key is bytes, not an object"))
            }
            Value::Absent => Err(absent()),
        }
    }
}

impl From<SharedBytes> for Value {
    fn from(bytes: SharedBytes) -> Value {
        Value::Long(bytes)
    }
}

impl From<Loaded<SharedBytes>> for Loaded<Value> {
    fn from(loaded: Loaded<SharedBytes>) -> Loaded<Value> {
        Loaded { value: loaded.value.into(), ttl: loaded.ttl, soft: loaded.soft }
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
        self.store(key, (ttl, None), None, |place, displaced| write_short(place, bytes, displaced))?;
        self.set_remote(key, || SharedBytes::copy_from(bytes).map(Value::Long), ttl)
    }

    /// Returns the bytes under this key, or an error if the value is an object.
    #[inline]
    pub fn get_bytes(&self, key: &[u8]) -> Result<Option<SharedBytes>> {
        if self.has_remote() { self.get_bytes_or_fetch(key) } else { self.get_local_bytes(key) }
    }

    #[inline(always)]
    fn get_local_bytes(&self, key: &[u8]) -> Result<Option<SharedBytes>> {
        let found = self.look_up(key, |value| match value {
            Value::Short(bytes) => SharedBytes::copy_from(bytes).map(Some),
            Value::Long(bytes) => shared(bytes).map(Some),
            Value::Object(_) => Err(not_bytes()),
            Value::Absent => Ok(None),
        });
        found.map_or(Ok(None), |(bytes, _)| bytes)
    }

    #[inline(never)]
    fn get_bytes_or_fetch(&self, key: &[u8]) -> Result<Option<SharedBytes>> {
        match self.get_local_bytes(key)? {
            Some(bytes) => Ok(Some(bytes)),
            None => {
                self.fetch_missing(key, Value::is_present).filter(Value::is_present).map(Value::into_bytes).transpose()
            }
        }
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
            Value::Short(bytes) => SharedBytes::copy_from(bytes),
            Value::Long(bytes) => shared(bytes),
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
        if self.has_remote() { self.copy_or_fetch(key, &mut copy) } else { self.copy_local(key, copy) }
    }

    #[inline(always)]
    fn copy_local(&self, key: &[u8], mut copy: impl FnMut(&[u8]) -> Copied) -> Copied {
        let found = self.look_up(key, |value| match value {
            Value::Short(bytes) => CopyOutcome::Copied(copy(bytes)),
            other => copy_other(other, &mut copy),
        });
        // The usual case first.
        if let Some((CopyOutcome::Copied(copied @ Copied::Whole(_)), _)) = found {
            return copied;
        }
        match found {
            Some((CopyOutcome::Copied(copied), _)) => copied,
            Some((CopyOutcome::Long(bytes), _)) => copy(&bytes),
            None => Copied::Missing,
        }
    }

    /// In a function of its own, which leaves the code of caches without a remote copy as it is.
    #[inline(never)]
    fn copy_or_fetch(&self, key: &[u8], copy: &mut dyn FnMut(&[u8]) -> Copied) -> Copied {
        match self.copy_local(key, &mut *copy) {
            Copied::Missing => match self.fetch_missing(key, Value::is_present) {
                Some(value) => value.bytes().map_or(Copied::NotBytes, copy),
                None => Copied::Missing,
            },
            copied => copied,
        }
    }
}

/// Writes short bytes in their place, so that no copy is left on the stack.
#[inline(always)]
fn write_short(place: &mut Option<Value>, bytes: &[u8], displaced: &mut Option<Value>) {
    if !matches!(place, Some(Value::Short(_))) {
        replace(place, Value::Short(ShortBytes::EMPTY), displaced);
    }
    if let Some(Value::Short(short)) = place {
        short.set(bytes);
    }
}

fn write_value(place: &mut Option<Value>, value: Value, displaced: &mut Option<Value>) {
    match &value {
        Value::Long(bytes) if bytes.len() <= INLINE => write_short(place, bytes, displaced),
        _ => replace(place, value, displaced),
    }
}

/// Returns how values of this type are written into their places.
pub(super) fn write_function<V: 'static>() -> WriteFunction<V> {
    let of_values: WriteFunction<Value> = write_value;
    (&of_values as &dyn Any).downcast_ref().copied().unwrap_or(replace)
}

/// The result of the lookup in [`TtlCache::copy_with`].
enum CopyOutcome {
    Copied(Copied),
    Long(SharedBytes),
}

#[inline(never)]
fn copy_other(value: &Value, copy: &mut impl FnMut(&[u8]) -> Copied) -> CopyOutcome {
    match value {
        Value::Short(bytes) => CopyOutcome::Copied(copy(bytes)),
        Value::Long(bytes) if bytes.len() > SHORT => CopyOutcome::Long(bytes.clone()),
        Value::Long(bytes) => CopyOutcome::Copied(copy(bytes)),
        Value::Object(_) => CopyOutcome::Copied(Copied::NotBytes),
        Value::Absent => CopyOutcome::Copied(Copied::Missing),
    }
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
            Value::Short(bytes) => write!(f, "Short({})", bytes.len()),
            Value::Long(bytes) => write!(f, "Long({})", bytes.len()),
            Value::Object(_) => f.write_str("Object"),
            Value::Absent => f.write_str("Absent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::CacheEntry;
    use super::*;

    #[test]
    fn entry_is_two_cache_lines() {
        assert_eq!(size_of::<Option<Value>>(), 72);
        assert_eq!(size_of::<CacheEntry<Value>>(), 128);
    }

    #[test]
    fn shorter_bytes_leave_nothing_of_longer_ones() {
        let mut short = ShortBytes::EMPTY;
        for len in [70, 64, 3, 0, 12, 70, 1] {
            short.set(&vec![7; len]);
            assert_eq!(usize::from(short.len), len);
            assert!(short.bytes.iter().enumerate().all(|(at, byte)| *byte == if at < len { 7 } else { 0 }));
        }
    }
}
