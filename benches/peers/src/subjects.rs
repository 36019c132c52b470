//! What is measured: the library, and each peer behind functions of the same form, so that all pay a call.

use std::ffi::{c_char, c_void};

use crate::library;
use crate::peers::{Foyer, Lru, MiniMoka, Moka, Peer, Quick, Value};
use crate::same::{BuiltIn, Hybrid, SameHasher, Std};

pub const VALUE_MAX: usize = 1024;
pub const TTL_DEFAULT: f64 = -1.0;
const NOT_FOUND: i32 = -1;

type Get = unsafe extern "C" fn(*const c_void, *const u8, usize, *mut u8, usize, *mut usize, *mut c_void) -> i32;
type Set = unsafe extern "C" fn(*const c_void, *const u8, usize, *const u8, usize, f64, *mut c_void) -> i32;
type Hold = unsafe extern "C" fn(*const c_void, *const u8, usize, *mut Bytes, *mut c_void) -> i32;
type LoadFn = unsafe extern "C" fn(*mut c_void, *const c_char, usize, f64, *mut c_void) -> i32;
#[rustfmt::skip]
type Load = unsafe extern "C" fn(
    *const c_void, *const u8, usize, f64, LoadFn, *mut c_void, *mut Bytes, *mut c_void,
) -> i32;

/// `st_bytes`: a counted reference to a value.
#[repr(C)]
pub struct Bytes {
    data: *const u8,
    len: usize,
    owner: *mut c_void,
}

impl Bytes {
    const NONE: Bytes = Bytes { data: std::ptr::null(), len: 0, owner: std::ptr::null_mut() };
}

/// The functions of a subject, in the form of those of the header.
#[derive(Clone, Copy)]
pub struct Calls {
    pub get: Get,
    pub set: Set,
    pub hold: Hold,
    pub load: Option<Load>,
    pub bytes_free: unsafe extern "C" fn(*mut Bytes),
    pub delete: unsafe extern "C" fn(*const c_void, *const u8, usize),
    pub clear: unsafe extern "C" fn(*const c_void),
    pub invalidate_prefix: Option<unsafe extern "C" fn(*const c_void, *const u8, usize)>,
    pub stats: unsafe extern "C" fn(*const c_void),
    pub free: unsafe extern "C" fn(*mut c_void),
}

pub struct Subject {
    handle: *mut c_void,
    calls: Calls,
}

// SAFETY: the library's caches and the peers may be used from any thread.
unsafe impl Send for Subject {}
// SAFETY: as above.
unsafe impl Sync for Subject {}

impl Subject {
    pub fn new(handle: *mut c_void, calls: Calls) -> Subject {
        Subject { handle, calls }
    }

    /// Copies the value into the buffer and returns its length.
    #[inline(always)]
    pub fn get(&self, key: &[u8], buffer: &mut [u8; VALUE_MAX]) -> Option<usize> {
        let (mut len, none) = (0, std::ptr::null_mut());
        let place = buffer.as_mut_ptr();
        // SAFETY: the arguments are those of the header, and all of them live until the call returns.
        let status =
            unsafe { (self.calls.get)(self.handle, key.as_ptr(), key.len(), place, VALUE_MAX, &mut len, none) };
        (status == 0).then_some(len)
    }

    #[inline(always)]
    pub fn set(&self, key: &[u8], value: &[u8]) {
        let (key, value) = ((key.as_ptr(), key.len()), (value.as_ptr(), value.len()));
        let none = std::ptr::null_mut();
        // SAFETY: as in `get`.
        unsafe { (self.calls.set)(self.handle, key.0, key.1, value.0, value.1, TTL_DEFAULT, none) };
    }

    /// Takes a counted reference to the value and gives it back.
    #[inline(always)]
    pub fn hold(&self, key: &[u8]) -> bool {
        let mut bytes = Bytes::NONE;
        // SAFETY: as in `get`.
        unsafe {
            let status = (self.calls.hold)(self.handle, key.as_ptr(), key.len(), &mut bytes, std::ptr::null_mut());
            std::hint::black_box((bytes.data, bytes.len));
            (self.calls.bytes_free)(&mut bytes);
            status == 0
        }
    }

    pub fn loads(&self) -> bool {
        self.calls.load.is_some()
    }

    /// As `hold`, and loads what is not there.
    #[inline(always)]
    pub fn load(&self, key: &[u8]) -> bool {
        let (mut bytes, none) = (Bytes::NONE, std::ptr::null_mut());
        let Some(load) = self.calls.load else { return false };
        // SAFETY: as in `get`.
        unsafe {
            let status = load(self.handle, key.as_ptr(), key.len(), 1.0, no_value, none, &mut bytes, none);
            std::hint::black_box((bytes.data, bytes.len));
            (self.calls.bytes_free)(&mut bytes);
            status == 0
        }
    }

    /// Loads a key, and stores what the loader returns.
    pub fn load_new(&self, key: &[u8]) {
        let (mut bytes, none) = (Bytes::NONE, std::ptr::null_mut());
        let Some(load) = self.calls.load else { return };
        // SAFETY: as in `get`.
        unsafe {
            load(self.handle, key.as_ptr(), key.len(), 1.0, library::value_of_64, none, &mut bytes, none);
            (self.calls.bytes_free)(&mut bytes);
        }
    }

    pub fn delete(&self, key: &[u8]) {
        // SAFETY: as in `get`.
        unsafe { (self.calls.delete)(self.handle, key.as_ptr(), key.len()) };
    }

    pub fn clear(&self) {
        // SAFETY: as in `get`.
        unsafe { (self.calls.clear)(self.handle) };
    }

    pub fn invalidates_prefixes(&self) -> bool {
        self.calls.invalidate_prefix.is_some()
    }

    pub fn invalidate_prefix(&self, prefix: &[u8]) {
        let Some(call) = self.calls.invalidate_prefix else { return };
        // SAFETY: as in `get`.
        unsafe { call(self.handle, prefix.as_ptr(), prefix.len()) };
    }

    pub fn stats(&self) {
        // SAFETY: as in `get`.
        unsafe { (self.calls.stats)(self.handle) };
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // SAFETY: nothing else uses it after this.
        unsafe { (self.calls.free)(self.handle) };
    }
}

/// A subject by name. The first is the library.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub line: Line,
    make: fn(usize, bool) -> Subject,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Library,
    OwnDefaults,
    SameHasherAndClock,
}

impl Kind {
    pub fn title(&self) -> String {
        match self.line {
            Line::Library => self.name.into(),
            Line::OwnDefaults => format!("{}, own defaults", self.name),
            Line::SameHasherAndClock => format!("{}, same hasher, clock", self.name),
        }
    }

    pub fn make(&self, capacity: usize) -> Subject {
        (self.make)(capacity, false)
    }

    /// One that is prepared for `invalidate_prefix`.
    pub fn make_for_scans(&self, capacity: usize) -> Subject {
        (self.make)(capacity, true)
    }
}

pub fn kinds() -> Vec<Kind> {
    use Line::{OwnDefaults, SameHasherAndClock};
    type Sip = std::hash::RandomState;
    let peer = |name, line, make| Kind { name, line, make };
    vec![
        Kind { name: "st_cache", line: Line::Library, make: |capacity, _| library::cache(capacity) },
        peer("moka", OwnDefaults, of::<Moka<Sip, BuiltIn>>),
        peer("moka", SameHasherAndClock, of::<Moka<SameHasher, Hybrid>>),
        peer("mini-moka", OwnDefaults, of::<MiniMoka<Sip, BuiltIn>>),
        peer("mini-moka", SameHasherAndClock, of::<MiniMoka<SameHasher, Hybrid>>),
        peer("quick_cache", OwnDefaults, of::<Quick<quick_cache::DefaultHashBuilder, Std>>),
        peer("quick_cache", SameHasherAndClock, of::<Quick<SameHasher, Hybrid>>),
        peer("foyer", OwnDefaults, of::<Foyer<foyer_common::code::DefaultHasher, Std>>),
        peer("foyer", SameHasherAndClock, of::<Foyer<SameHasher, Hybrid>>),
        peer("Mutex<lru>", OwnDefaults, of::<Lru<lru::DefaultHasher, Std>>),
        peer("Mutex<lru>", SameHasherAndClock, of::<Lru<SameHasher, Hybrid>>),
    ]
}

fn of<P: Peer>(capacity: usize, scans: bool) -> Subject {
    let calls = Calls {
        get: get::<P>,
        set: set::<P>,
        hold: hold::<P>,
        load: if P::LOADS { Some(load::<P>) } else { None },
        bytes_free,
        delete: delete::<P>,
        clear: clear::<P>,
        invalidate_prefix: if P::REMOVES_PREFIXES { Some(invalidate_prefix::<P>) } else { None },
        stats: stats::<P>,
        free: free::<P>,
    };
    Subject::new(Box::into_raw(Box::new(P::new(capacity, scans))).cast(), calls)
}

/// # Safety
///
/// `data` and `len` are those of bytes that outlive `'a`.
#[inline(always)]
unsafe fn bytes<'a>(data: *const u8, len: usize) -> &'a [u8] {
    // SAFETY: the caller says so.
    unsafe { std::slice::from_raw_parts(data, len) }
}

/// # Safety
///
/// `cache` was made by `of::<P>` and outlives `'a`.
#[inline(always)]
unsafe fn peer<'a, P: Peer>(cache: *const c_void) -> &'a P {
    // SAFETY: the caller says so.
    unsafe { &*cache.cast() }
}

#[inline(never)]
unsafe extern "C" fn get<P: Peer>(
    cache: *const c_void,
    key: *const u8,
    key_len: usize,
    buffer: *mut u8,
    capacity: usize,
    len: *mut usize,
    _: *mut c_void,
) -> i32 {
    // SAFETY: the arguments are those of `Subject::get`.
    unsafe {
        let buffer = std::slice::from_raw_parts_mut(buffer, capacity);
        match peer::<P>(cache).get(bytes(key, key_len), buffer) {
            Some(found) => {
                *len = found;
                0
            }
            None => NOT_FOUND,
        }
    }
}

#[inline(never)]
unsafe extern "C" fn set<P: Peer>(
    cache: *const c_void,
    key: *const u8,
    key_len: usize,
    value: *const u8,
    value_len: usize,
    _: f64,
    _: *mut c_void,
) -> i32 {
    // SAFETY: the arguments are those of `Subject::set`.
    unsafe { peer::<P>(cache).set(bytes(key, key_len), bytes(value, value_len)) };
    0
}

#[inline(never)]
unsafe extern "C" fn hold<P: Peer>(
    cache: *const c_void,
    key: *const u8,
    key_len: usize,
    out: *mut Bytes,
    _: *mut c_void,
) -> i32 {
    // SAFETY: the arguments are those of `Subject::hold`.
    unsafe { hand_out(peer::<P>(cache).hold(bytes(key, key_len)), out) }
}

/// A loader that is not called, as only hits are timed.
unsafe extern "C" fn no_value(_: *mut c_void, _: *const c_char, _: usize, _: f64, _: *mut c_void) -> i32 {
    NOT_FOUND
}

#[inline(never)]
unsafe extern "C" fn load<P: Peer>(
    cache: *const c_void,
    key: *const u8,
    key_len: usize,
    _: f64,
    _: LoadFn,
    _: *mut c_void,
    out: *mut Bytes,
    _: *mut c_void,
) -> i32 {
    // SAFETY: the arguments are those of `Subject::load`.
    unsafe { hand_out(peer::<P>(cache).load(bytes(key, key_len)), out) }
}

/// # Safety
///
/// `out` can be written to.
#[inline(always)]
unsafe fn hand_out(value: Option<Value>, out: *mut Bytes) -> i32 {
    let Some(value) = value else { return NOT_FOUND };
    let len = value.len();
    let data = Value::into_raw(value).cast::<u8>();
    // SAFETY: the caller says so.
    unsafe { *out = Bytes { data, len, owner: std::ptr::null_mut() } };
    0
}

#[inline(never)]
unsafe extern "C" fn bytes_free(held: *mut Bytes) {
    // SAFETY: `hand_out` made it, or there is none.
    unsafe {
        let held = std::mem::replace(&mut *held, Bytes::NONE);
        if !held.data.is_null() {
            drop(Value::from_raw(std::ptr::slice_from_raw_parts(held.data, held.len)));
        }
    }
}

unsafe extern "C" fn delete<P: Peer>(cache: *const c_void, key: *const u8, key_len: usize) {
    // SAFETY: the arguments are those of `Subject::delete`.
    unsafe { peer::<P>(cache).delete(bytes(key, key_len)) };
}

unsafe extern "C" fn clear<P: Peer>(cache: *const c_void) {
    // SAFETY: the arguments are those of `Subject::clear`.
    unsafe { peer::<P>(cache).clear() };
}

unsafe extern "C" fn invalidate_prefix<P: Peer>(cache: *const c_void, prefix: *const u8, len: usize) {
    // SAFETY: the arguments are those of `Subject::invalidate_prefix`.
    unsafe { peer::<P>(cache).remove_prefix(bytes(prefix, len)) };
}

unsafe extern "C" fn stats<P: Peer>(cache: *const c_void) {
    // SAFETY: the arguments are those of `Subject::stats`.
    std::hint::black_box(unsafe { peer::<P>(cache).stats() });
}

unsafe extern "C" fn free<P: Peer>(cache: *mut c_void) {
    // SAFETY: `of` made it, and it is freed once.
    drop(unsafe { Box::from_raw(cache.cast::<P>()) });
}
