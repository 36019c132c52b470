//! Entry points of the fuzzers in `fuzz`: every parser of text from outside, and what must hold for each result.
//! Compiled with `cfg(fuzzing)` alone, which `cargo fuzz` sets.
//!
//! Each function takes any text. It panics if the library does what it must not do.

use std::str;

pub use crate::cache::fuzzing::function_key;
pub use crate::http::fuzzing::{http_headers, http_response, url};
pub use crate::secrets::fuzzing::{
    aws_response, credential_file, exec_output, json_file, shared_document, vault_response, yaml_file,
};
pub use crate::share::fuzzing::sealed_file;
pub use crate::store::fuzzing::stored_json;

use crate::{Config, dotenv};

/// Parses a configuration. One that is refused changes nothing, and no text of its values is in the error.
pub fn config(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut config = Config::new();
    let unchanged = format!("{config:?}");
    if config.parse(text).is_err() {
        assert_eq!(format!("{config:?}"), unchanged);
    }
}

/// Parses a dotenv file: names are not empty, and lines exist.
pub fn dotenv(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let lines = 1..=text.split('\n').count();
    match dotenv::parse(text) {
        Ok(variables) => assert!(variables.iter().all(|one| !one.name.is_empty() && lines.contains(&one.line))),
        Err((line, _)) => assert!(lines.contains(&line), "line {line}"),
    }
}
