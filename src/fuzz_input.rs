//! What the entry points of the fuzzers share. Compiled with `cfg(fuzzing)` alone.

use std::str;
use std::time::Duration;

use crate::clock::Deadline;

/// A deadline that no fuzzer reaches.
pub(crate) fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(3600))
}

/// Splits data at its first byte 0, into texts.
pub(crate) fn two_texts(data: &[u8]) -> Option<(&str, &str)> {
    let at = data.iter().position(|byte| *byte == 0)?;
    Some((str::from_utf8(&data[..at]).ok()?, str::from_utf8(&data[at + 1..]).ok()?))
}
