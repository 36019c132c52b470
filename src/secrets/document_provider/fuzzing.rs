//! Entry points of the fuzzers, see [`crate::fuzzing`].

/// Decodes a document as processes share it.
pub fn shared_document(data: &[u8]) {
    super::payload::fuzz(data);
}
