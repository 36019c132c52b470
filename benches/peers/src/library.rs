//! The library under measurement, as a C program sees it.

use std::ffi::{CString, c_void};

use crate::subjects::{Calls, Subject};

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
    clear: unsafe extern "C" fn(*const c_void, *mut usize, Error) -> i32,
    invalidate_prefix: unsafe extern "C" fn(*const c_void, *const u8, usize, *mut usize, Error) -> i32,
    stats: unsafe extern "C" fn(*const c_void, *mut Counts, Error) -> i32,
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
        clear,
        invalidate_prefix: Some(invalidate_prefix),
        stats,
        free: find!("st_cache_free"),
    };
    let wrapped = Wrapped {
        new: find!("st_cache_new"),
        clear: find!("st_cache_clear"),
        invalidate_prefix: find!("st_cache_invalidate_prefix"),
        stats: find!("st_cache_stats"),
        calls,
    };
    assert!(LIBRARY.set(wrapped).is_ok(), "one library is loaded");
}

pub fn cache(capacity: usize) -> Subject {
    let mut handle = std::ptr::null_mut();
    // SAFETY: as the header asks for.
    let status = unsafe { (library().new)(300.0, capacity, 60.0, &mut handle, std::ptr::null_mut()) };
    assert_eq!(status, 0, "st_cache_new");
    Subject::new(handle, library().calls)
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
