//! Variables of the environment.

use std::ffi::CStr;

/// Hands the value of a variable to `take`, which must be short.
///
/// In the C library the value is looked at where it is. There nothing of this library changes the environment, and what
/// keeps `getenv` apart from the program's `setenv` is the C library's alone. In a Rust program std has a lock for that,
/// so std makes a copy.
#[inline]
pub(crate) fn with_variable<R>(name: &CStr, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
    #[cfg(feature = "wiping-allocator")]
    {
        // SAFETY: the name ends with a NUL. The result is NULL or leads to a text that ends with one, and that stays as it
        // is while no thread changes the environment, as for every caller of `getenv`.
        let value = unsafe {
            let value = libc::getenv(name.as_ptr());
            (!value.is_null()).then(|| CStr::from_ptr(value))
        };
        value.map(|value| take(value.to_bytes()))
    }
    #[cfg(not(feature = "wiping-allocator"))]
    {
        use std::os::unix::ffi::OsStrExt;
        std::env::var_os(std::ffi::OsStr::from_bytes(name.to_bytes())).map(|value| take(value.as_bytes()))
    }
}
