//! Entry points of the fuzzers, see [`crate::fuzzing`].

use super::failure::Failure;
use super::sealed;

/// Opens a file of the share, and reads a failure in it.
pub fn sealed_file(data: &[u8]) {
    sealed::fuzz(data);
    let _ = Failure::read(data);
}
