//! The keys that secrets are looked up with: which are valid.

use crate::error::{Error, Result};

/// The maximum length of a key, in bytes.
const MAX_KEY: usize = 2048;

#[inline]
pub(super) fn check_key(key: &str) -> Result<()> {
    if matches!(key.len(), 1..=MAX_KEY) && is_plain(key.as_bytes()) { Ok(()) } else { check_key_exactly(key) }
}

#[cold]
fn check_key_exactly(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > MAX_KEY || key.contains('\0') {
        return Err(Error::invalid_argument(format!("the name of a secret must have 1 to {MAX_KEY} bytes and no NUL")));
    }
    Ok(())
}

/// Whether all bytes are ASCII and none is NUL, as in nearly all keys.
#[inline]
pub(crate) fn is_plain(key: &[u8]) -> bool {
    /// Not 0 if a byte is not plain.
    fn marks(word: [u8; 8]) -> u64 {
        let word = u64::from_le_bytes(word);
        (word.wrapping_sub(0x0101_0101_0101_0101) | word) & 0x8080_8080_8080_8080
    }
    let (words, rest) = key.as_chunks::<8>();
    words.iter().all(|word| marks(*word) == 0) && rest.iter().all(|byte| matches!(byte, 1..=127))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_ascii_without_nul() {
        for len in 0..40 {
            let mut key = vec![b'A'; len];
            assert!(is_plain(&key));
            for at in 0..len {
                for byte in 0..=255 {
                    key[at] = byte;
                    assert_eq!(is_plain(&key), (1..=127).contains(&byte), "{byte} at {at} of {len}");
                }
                key[at] = b'z';
            }
        }
    }
}
