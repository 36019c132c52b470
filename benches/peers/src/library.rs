//! The library under measurement, as a C program sees it.

use std::ffi::{CString, c_char, c_void};

use crate::subjects::{Calls, Subject, TTL_DEFAULT};

type Error = *mut c_void;

/// `st_cache_counts`.
#[repr(C)]
struct Counts {
    size: u32,
    reserved: u32,
    numbers: [u64; 11],
}

type New = unsafe extern "C" fn(f64, usize, f64, *mut *mut c_void, Error) -> i32;

/// What is called through functions of the bench, because the peers have it in another form.
struct Wrapped {
    new: New,
    delete: unsafe extern "C" fn(*const c_void, *const u8, usize, *mut bool, Error) -> i32,
    clear: unsafe extern "C" fn(*const c_void, *mut usize, Error) -> i32,
    invalidate_prefix: unsafe extern "C" fn(*const c_void, *const u8, usize, *mut usize, Error) -> i32,
    stats: unsafe extern "C" fn(*const c_void, *mut Counts, Error) -> i32,
    reply: unsafe extern "C" fn(*mut c_void, *const u8, usize, f64) -> i32,
    calls: Calls,
}

static LIBRARY: std::sync::OnceLock<Wrapped> = std::sync::OnceLock::new();

fn library() -> &'static Wrapped {
    LIBRARY.get().expect("the library is loaded")
}

/// Loads the library; the bench measures one.
// The types come from the fields that the functions are stored in.
#[allow(clippy::missing_transmute_annotations)]
pub fn open(path: &str) {
    let path = CString::new(path).unwrap();
    // SAFETY: a plain load of a library; nothing of it is used after this process ends.
    let loaded = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!loaded.is_null(), "cannot load {path:?}: run make first");
    macro_rules! find {
        ($name:literal) => {{
            // SAFETY: the types are those of include/st_secrets.h.
            unsafe {
                let found = libc::dlsym(loaded, concat!($name, "\0").as_ptr().cast());
                assert!(!found.is_null(), "{path:?} lacks {}", $name);
                std::mem::transmute(found)
            }
        }};
    }
    let calls = Calls {
        get: find!("st_cache_get_into"),
        set: find!("st_cache_set"),
        hold: find!("st_cache_get"),
        load: Some(find!("st_cache_get_or_load")),
        bytes_free: find!("st_bytes_free"),
        delete,
        clear,
        invalidate_prefix: Some(invalidate_prefix),
        stats,
        free: find!("st_cache_free"),
    };
    let wrapped = Wrapped {
        new: find!("st_cache_new"),
        delete: find!("st_cache_delete"),
        clear: find!("st_cache_clear"),
        invalidate_prefix: find!("st_cache_invalidate_prefix"),
        stats: find!("st_cache_stats"),
        reply: find!("st_reply_bytes"),
        calls,
    };
    assert!(LIBRARY.set(wrapped).is_ok(), "one library is loaded");
}

pub fn cache(capacity: usize) -> Subject {
    cache_with(capacity, 300.0, 60.0)
}

/// Times to live and until expired entries are removed are in seconds.
pub fn cache_with(capacity: usize, ttl: f64, cleanup_interval: f64) -> Subject {
    let mut handle = std::ptr::null_mut();
    // SAFETY: as the header asks for.
    let status = unsafe { (library().new)(ttl, capacity, cleanup_interval, &mut handle, std::ptr::null_mut()) };
    assert_eq!(status, 0, "st_cache_new");
    Subject::new(handle, library().calls)
}

/// A loader with a value of 64 bytes.
pub unsafe extern "C" fn value_of_64(_: *mut c_void, _: *const c_char, _: usize, _: f64, reply: *mut c_void) -> i32 {
    // SAFETY: the library passes what the loader replies to.
    unsafe { (library().reply)(reply, [7; 64].as_ptr(), 64, TTL_DEFAULT) }
}

unsafe extern "C" fn delete(cache: *const c_void, key: *const u8, len: usize) {
    // SAFETY: the caller's arguments are those of the header.
    unsafe { (library().delete)(cache, key, len, std::ptr::null_mut(), std::ptr::null_mut()) };
}

unsafe extern "C" fn clear(cache: *const c_void) {
    // SAFETY: the caller's arguments are those of the header.
    unsafe { (library().clear)(cache, std::ptr::null_mut(), std::ptr::null_mut()) };
}

unsafe extern "C" fn invalidate_prefix(cache: *const c_void, prefix: *const u8, len: usize) {
    // SAFETY: the caller's arguments are those of the header.
    unsafe { (library().invalidate_prefix)(cache, prefix, len, std::ptr::null_mut(), std::ptr::null_mut()) };
}

unsafe extern "C" fn stats(cache: *const c_void) {
    let mut counts = Counts { size: size_of::<Counts>() as u32, reserved: 0, numbers: [0; 11] };
    // SAFETY: the caller's arguments are those of the header.
    let status = unsafe { (library().stats)(cache, &mut counts, std::ptr::null_mut()) };
    assert_eq!(status, 0, "st_cache_stats");
    std::hint::black_box(counts.numbers);
}
