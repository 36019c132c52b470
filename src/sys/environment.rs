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

/// What follows the name of a variable in the name of the one with the path of its file.
#[cfg(feature = "wiping-allocator")]
const FILE: &std::ffi::CStr = c"_FILE=";

/// Passes the value of the variable `name` to `take`, or else that of `name` with `_FILE` after it; the flag is whether
/// it is the latter. An empty one counts as not set. `name` holds no NUL. Apart from that as [`with_variable`], in one
/// pass through the environment.
pub(crate) fn with_variable_or_file<R>(name: &[u8], take: impl FnOnce(bool, &[u8]) -> R) -> Option<R> {
    #[cfg(feature = "wiping-allocator")]
    {
        // SAFETY: no thread changes the environment, as above.
        let (is_file, value) = unsafe { find_in_environ(name) }?;
        Some(take(is_file, value.to_bytes()))
    }
    #[cfg(not(feature = "wiping-allocator"))]
    {
        use std::os::unix::ffi::OsStrExt;
        let variable = |name: &[u8]| {
            let value = std::env::var_os(std::ffi::OsStr::from_bytes(name));
            value.filter(|value| !value.is_empty())
        };
        match variable(name) {
            Some(value) => Some(take(false, value.as_bytes())),
            None => variable(&[name, b"_FILE"].concat()).map(|path| take(true, path.as_bytes())),
        }
    }
}

/// # Safety
/// No thread changes the environment until the result is no longer used.
#[cfg(feature = "wiping-allocator")]
unsafe fn find_in_environ<'a>(name: &[u8]) -> Option<(bool, &'a std::ffi::CStr)> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let first = *name.first()? as libc::c_char;
    let mut file = None;
    // SAFETY: the environment is an array of pointers to strings that NULL ends, and does not change. A string is read
    // up to its NUL at most: `strncmp` ends at it, and what follows is read after a match of what precedes it.
    unsafe {
        let mut at = environ;
        while !at.is_null() && !(*at).is_null() {
            let entry = *at;
            at = at.add(1);
            if *entry != first || libc::strncmp(entry, name.as_ptr().cast(), name.len()) != 0 {
                continue;
            }
            let rest = entry.add(name.len());
            if *rest == b'=' as libc::c_char && *rest.add(1) != 0 {
                return Some((false, std::ffi::CStr::from_ptr(rest.add(1))));
            }
            let len = FILE.count_bytes();
            if libc::strncmp(rest, FILE.as_ptr(), len) == 0 && *rest.add(len) != 0 {
                file = file.or(Some((true, std::ffi::CStr::from_ptr(rest.add(len)))));
            }
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_variables_are_found() {
        // Variables that every test runner has: none is changed here.
        let path = std::env::var("PATH").unwrap();
        let read = |name: &str| with_variable_or_file(name.as_bytes(), |is_file, value| (is_file, value.to_owned()));
        assert_eq!(read("PATH"), Some((false, path.into_bytes())));
        for name in ["PAT", "PATHS", "", "no such variable", "PATH=", "\u{e9}"] {
            assert_eq!(read(name), None, "{name}");
        }
    }
}
