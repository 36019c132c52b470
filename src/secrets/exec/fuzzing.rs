//! Entry points of the fuzzers, see [`crate::fuzzing`].

use super::output;
use super::settings::OutputFormat;
use crate::fuzz_input::deadline;
use crate::secret_memory::SecretBytes;

/// Parses the output of a program in each format.
pub fn exec_output(data: &[u8]) {
    let Ok(bytes) = SecretBytes::copy_from(data) else { return };
    for format in
        [OutputFormat::Detected, OutputFormat::Json, OutputFormat::Dotenv, OutputFormat::Value("KEY".to_owned())]
    {
        let _ = output::parse(&bytes, &format, "a program", deadline());
    }
}
