//! Environment variables.

/// Passes the value of a variable to `take`, which must be short. `None` if it is not set. `name` ends with a NUL.
///
/// In the C library the value is read in place. This library never changes the environment there, and as for every
/// caller of `getenv`, the program must not change it at the same time. In a Rust program, std protects the environment
/// with a lock, and makes a copy.
#[inline]
pub(crate) fn with_variable<R>(name: &[u8], take: impl FnOnce(&[u8]) -> R) -> Option<R> {
    let (b'\0', before) = name.split_last()? else { return None };
    #[cfg(feature = "wiping-allocator")]
    {
        // SAFETY: the name contains a NUL, at its end at the latest. The result is NULL or points to a NUL-terminated
        // string, which is unchanged as long as no thread changes the environment.
        let value = unsafe {
            let value = libc::getenv(before.as_ptr().cast());
            (!value.is_null()).then(|| std::ffi::CStr::from_ptr(value))
        };
        value.map(|value| take(value.to_bytes()))
    }
    #[cfg(not(feature = "wiping-allocator"))]
    {
        use std::os::unix::ffi::OsStrExt;
        std::env::var_os(std::ffi::OsStr::from_bytes(before)).map(|value| take(value.as_bytes()))
    }
}
