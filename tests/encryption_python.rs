//! Compatibility in both directions with Python: its `cryptography` package, and a reference implementation.

mod common;

use std::path::Path;

use serde_json::json;
use st_secrets::{Cipher, Config, Status};

struct Python(common::python::Python);

impl Python {
    fn start() -> Python {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/fernet");
        Python(common::python::Python::start("reference.py", &[&vectors]))
    }

    fn encrypt(&mut self, by: &str, secret: &str, plain: &[u8]) -> String {
        let answer = self.0.ask(&json!({"do": "encrypt", "by": by, "secret": secret, "plain": hex(plain)}));
        answer["token"].as_str().unwrap().to_owned()
    }

    fn decrypt(&mut self, by: &str, secret: &str, token: &str) -> Option<String> {
        let answer = self.0.ask(&json!({"do": "decrypt", "by": by, "secret": secret, "token": token}));
        answer["plain"].as_str().map(str::to_owned)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn with_key(secret: &str) -> Cipher {
    let mut config = Config::new();
    config.parse(&json!({"key": secret}).to_string()).unwrap();
    Cipher::open(&config).unwrap()
}

const SIDES: [&str; 2] = ["reference", "cryptography"];

#[test]
fn tokens_are_readable_on_both_sides() {
    let mut python = Python::start();
    for secret in ["a secret", "käse ☃ 🔑", "dGVzdA==", " with space "] {
        let cipher = with_key(secret);
        for len in [0, 1, 15, 16, 17, 40, 255, 4096, 100_000] {
            let plain: Vec<u8> = (0..len).map(|n: usize| (n * 7 + len) as u8).collect();
            for by in SIDES {
                let token = python.encrypt(by, secret, &plain);
                assert_eq!(&*cipher.decrypt(token.as_bytes()).unwrap(), plain);
                let ours = String::from_utf8(cipher.encrypt(&plain).unwrap().to_vec()).unwrap();
                assert_eq!(ours.len(), token.len());
                assert_eq!(python.decrypt(by, secret, &ours), Some(hex(&plain)));
                assert_eq!(python.decrypt(by, "another", &ours), None);
            }
        }
    }
}

#[test]
fn tokens_of_any_time_are_readable() {
    let mut python = Python::start();
    let cipher = with_key("secret");
    for time in [0, 1, 499_162_800, 4_102_444_800_u64, u64::MAX / 2] {
        let request = json!({"do": "encrypt", "by": "reference", "secret": "secret", "plain": "61", "time": time});
        let token = python.0.ask(&request)["token"].as_str().unwrap().to_owned();
        assert_eq!(&*cipher.decrypt(token.as_bytes()).unwrap(), b"a");
        assert_eq!(python.decrypt("cryptography", "secret", &token).as_deref(), Some("61"));
    }
}

/// Python accepts every token that is accepted here, with the same plaintext. It may accept more: it overlooks some
/// damage.
#[test]
fn decrypt_accepts_nothing_that_python_rejects() {
    let mut python = Python::start();
    let cipher = with_key("secret");
    let token = String::from_utf8(cipher.encrypt(b"some plain text").unwrap().to_vec()).unwrap();
    let mut given: Vec<String> = vec![format!(" {token}\n"), format!("{}\n{}", &token[..50], &token[50..])];
    let replacements = ['A', '=', ' ', '*', '-', '\u{e9}'];
    given.extend((0..token.len()).map(|at| format!("{}{}", &token[..at], &token[at + 1..])));
    given.extend((0..token.len()).map(|at| {
        let new = replacements[at % replacements.len()];
        format!("{}{new}{}", &token[..at], &token[at + 1..])
    }));
    given.extend((0..token.len()).map(|at| format!("{}\n*{}", &token[..at], &token[at..])));
    let (mut accepted, mut rejected) = (0, 0);
    for text in &given {
        match (cipher.decrypt(text.as_bytes()), python.decrypt("cryptography", "secret", text)) {
            (Ok(plain), theirs) => {
                assert_eq!(Some(hex(&plain)), theirs, "{text:?}");
                accepted += 1;
            }
            (Err(error), _) => {
                assert_eq!(error.status(), Status::BadToken);
                rejected += 1;
            }
        }
    }
    assert!(accepted >= token.len() && rejected >= token.len(), "{accepted} {rejected}");
}
