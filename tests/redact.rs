//! Redaction of what Python's encoders write.

mod common;

use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use st_secrets::redact::{Options, Redactor};

/// How many random values there are; `ST_TEST_VALUES` overrides it.
const VALUES: usize = 300;

fn decoded(text: &serde_json::Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

#[test]
fn what_python_encodes_is_replaced() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let count = std::env::var("ST_TEST_VALUES").unwrap_or_else(|_| VALUES.to_string());
    let output = Command::new(common::python::interpreter())
        .arg(root.join("tests/python/redact_forms.py"))
        .args([count.as_str(), "1"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut texts = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let redactor = Redactor::new(Options::default()).unwrap();
        redactor.add([decoded(&case["value"]).as_slice()]).unwrap();
        for pair in case["texts"].as_array().unwrap() {
            let (text, expected) = (decoded(&pair[0]), decoded(&pair[1]));
            let redacted = redactor.redact(&text);
            // By chance the surroundings of a value can extend an occurrence of it, in base64; then more is replaced.
            assert!(
                redacted == expected || is_shorter(&redacted, &expected),
                "{:?} became {:?} instead of {:?}",
                String::from_utf8_lossy(&text),
                String::from_utf8_lossy(&redacted),
                String::from_utf8_lossy(&expected)
            );
            texts += 1;
        }
    }
    assert!(texts > 10_000, "{texts}");
}

/// Whether `some` is `other` with a few bytes less beside the mask.
fn is_shorter(some: &[u8], other: &[u8]) -> bool {
    let Some(at) = some.windows(3).position(|part| part == b"***") else { return false };
    other.starts_with(&some[..at]) && other.ends_with(&some[at + 3..]) && some.len() <= other.len()
}
