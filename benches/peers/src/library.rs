//! The library under measurement, as a C program sees it.

use std::ffi::{CString, c_char, c_void};

type Error = *mut c_void;
pub type Load = unsafe extern "C" fn(*mut c_void, *const c_char, usize, f64, *mut c_void) -> i32;

#[repr(C)]
pub struct Bytes {
    data: *const u8,
    len: usize,
    owner: *mut c_void,
}

pub struct Library {
    pub empty: unsafe extern "C" fn() -> u32,
    new: unsafe extern "C" fn(f64, usize, f64, *mut *mut c_void, Error) -> i32,
    free: unsafe extern "C" fn(*mut c_void),
    set: unsafe extern "C" fn(*const c_void, *const u8, usize, *const u8, usize, f64, Error) -> i32,
    get: unsafe extern "C" fn(*const c_void, *const u8, usize, *mut Bytes, Error) -> i32,
    get_into: unsafe extern "C" fn(*const c_void, *const u8, usize, *mut u8, usize, *mut usize, Error) -> i32,
    #[allow(clippy::type_complexity)]
    get_or_load:
        unsafe extern "C" fn(*const c_void, *const u8, usize, f64, Load, *mut c_void, *mut Bytes, Error) -> i32,
    bytes_free: unsafe extern "C" fn(*mut Bytes),
    invalidate: unsafe extern "C" fn(*const c_void, *const u8, usize, *mut usize, Error) -> i32,
}

impl Library {
    pub fn open(path: &str) -> &'static Library {
        let path = CString::new(path).unwrap();
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!library.is_null(), "cannot load {path:?}: run make first");
        macro_rules! find {
            ($name:literal) => {{
                let found = unsafe { libc::dlsym(library, concat!($name, "\0").as_ptr().cast()) };
                assert!(!found.is_null(), "{path:?} lacks {}", $name);
                unsafe { std::mem::transmute(found) }
            }};
        }
        Box::leak(Box::new(Library {
            empty: find!("st_abi_version"),
            new: find!("st_cache_new"),
            free: find!("st_cache_free"),
            set: find!("st_cache_set"),
            get: find!("st_cache_get"),
            get_into: find!("st_cache_get_into"),
            get_or_load: find!("st_cache_get_or_load"),
            bytes_free: find!("st_bytes_free"),
            invalidate: find!("st_cache_invalidate_prefix"),
        }))
    }
}

pub struct Ours {
    library: &'static Library,
    handle: *mut c_void,
}

unsafe impl Send for Ours {}
unsafe impl Sync for Ours {}

impl Ours {
    pub fn new(library: &'static Library, capacity: usize) -> Ours {
        let mut handle = std::ptr::null_mut();
        let status = unsafe { (library.new)(300.0, capacity, 60.0, &mut handle, std::ptr::null_mut()) };
        assert_eq!(status, 0);
        Ours { library, handle }
    }

    #[inline]
    pub fn get_into(&self, key: &[u8], buffer: &mut [u8]) -> bool {
        let (mut len, none) = (0, std::ptr::null_mut());
        let (place, capacity) = (buffer.as_mut_ptr(), buffer.len());
        unsafe { (self.library.get_into)(self.handle, key.as_ptr(), key.len(), place, capacity, &mut len, none) == 0 }
    }

    #[inline]
    pub fn set(&self, key: &[u8], value: &[u8]) {
        let (key, value) = ((key.as_ptr(), key.len()), (value.as_ptr(), value.len()));
        unsafe { (self.library.set)(self.handle, key.0, key.1, value.0, value.1, -1.0, std::ptr::null_mut()) };
    }

    /// Takes the value as counted bytes and gives them back.
    #[inline]
    pub fn get_bytes(&self, key: &[u8]) -> bool {
        let mut bytes = Bytes { data: std::ptr::null(), len: 0, owner: std::ptr::null_mut() };
        unsafe {
            let status = (self.library.get)(self.handle, key.as_ptr(), key.len(), &mut bytes, std::ptr::null_mut());
            std::hint::black_box((bytes.data, bytes.len));
            (self.library.bytes_free)(&mut bytes);
            status == 0
        }
    }

    #[inline]
    pub fn get_or_load(&self, key: &[u8]) -> bool {
        unsafe extern "C" fn none(_: *mut c_void, _: *const c_char, _: usize, _: f64, _: *mut c_void) -> i32 {
            -1
        }
        let mut bytes = Bytes { data: std::ptr::null(), len: 0, owner: std::ptr::null_mut() };
        let (key, context, error) = ((key.as_ptr(), key.len()), std::ptr::null_mut(), std::ptr::null_mut());
        unsafe {
            let status = (self.library.get_or_load)(self.handle, key.0, key.1, 1.0, none, context, &mut bytes, error);
            std::hint::black_box((bytes.data, bytes.len));
            (self.library.bytes_free)(&mut bytes);
            status == 0
        }
    }

    pub fn invalidate_prefix(&self, prefix: &[u8]) -> usize {
        let mut count = 0;
        let (start, len) = (prefix.as_ptr(), prefix.len());
        unsafe { (self.library.invalidate)(self.handle, start, len, &mut count, std::ptr::null_mut()) };
        count
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        unsafe { (self.library.free)(self.handle) };
    }
}
