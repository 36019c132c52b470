//! Variables of the environment.

/// Hands the value of a variable to `take`, which must be short; `None` if it is not set. The name is what comes before
/// the NUL at its end.
///
/// In the C library the value is looked at where it is. There nothing of this library changes the environment, and what
/// keeps `getenv` apart from the program's `setenv` is the C library's alone. In a Rust program std has a lock for that,
/// so std makes a copy.
#[inline]
pub(crate) fn with_variable<R>(name: &[u8], take: impl FnOnce(&[u8]) -> R) -> Option<R> {
    let (b'\0', before) = name.split_last()? else { return None };
    #[cfg(feature = "wiping-allocator")]
    {
        // SAFETY: there is a NUL within the name, at its end at the latest. The result is NULL or leads to a text that
        // ends with one, and that stays as it is while no thread changes the environment, as for every caller of `getenv`.
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
