//! Entry points of the fuzzers, see [`crate::fuzzing`].

use super::packed_function_key;

/// Builds the key of a call from packed arguments. It starts with what names the function.
pub fn function_key(data: &[u8]) {
    let Ok(args) = std::str::from_utf8(data) else { return };
    if let Ok(key) = packed_function_key("prefix", "function", args) {
        assert!(key.starts_with("prefix:function"), "{key}");
    }
}
