//! Caches: the keys of function results.

use std::ffi::{c_char, c_void};

use super::bytes::copy_into;
use super::{Out, guard, st_error, st_status, text};
use crate::cache;

/// Writes the key under which the result of a function call is cached to `buffer`, without a terminating NUL, and its
/// length to `len`: `prefix:function:argument:argument`, such as `mymodule:get_user:123`. The bindings use it for their
/// cached functions, so all languages have the same key for the same call. Different arguments have different keys.
/// `(NULL, 0)` as the buffer returns the length only.
///
/// `args` are the arguments, one after another, without separators. Numbers and lengths are decimal:
///
/// - `n`: null; `t` and `f`: true and false
/// - `i12;`: an integer
/// - `d1.5;`: a floating-point number, also `inf`, `-inf` and `nan`
/// - `s3:abc`: text of that many bytes
/// - `x00ff;`: bytes, as lower-case hexadecimal digits
/// - `[`, values, `]`: a list
/// - `{`, named values, `}`: a mapping
/// - `=4:name` and a value: a named value, as an argument or within a mapping
///
/// Text is UTF-8. Named values may be in any order; as arguments they follow the others in the key. An empty prefix is
/// omitted together with its `:`.
///
/// `ST_BUFFER_TOO_SMALL`: `len` is the size that is needed; the buffer is unchanged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn st_function_key(
    prefix: *const c_char,
    prefix_len: usize,
    function: *const c_char,
    function_len: usize,
    args: *const c_char,
    args_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    len: *mut usize,
    error: *mut st_error,
) -> st_status {
    guard(error, || {
        // SAFETY: the caller gives NULL or a place for a length.
        let len = unsafe { Out::new(len, "len") }?;
        // SAFETY: the caller gives readable texts of these lengths.
        let (prefix, function, args) = unsafe {
            (
                text("prefix", prefix, prefix_len)?,
                text("function", function, function_len)?,
                text("args", args, args_len)?,
            )
        };
        let key = cache::packed_function_key(prefix, function, args)?;
        // SAFETY: the caller gives NULL or a buffer of this capacity.
        unsafe { copy_into(key.as_bytes(), buffer, capacity, &len) }
    })
}
