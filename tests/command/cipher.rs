//! `encrypt`, `decrypt` and `key`.

use crate::home::{Home, answer};

#[test]
fn what_is_encrypted_is_decrypted() {
    let home = Home::new();
    let token = home.run_with(&["encrypt"], b"CANARY text\n").ok();
    assert!(!token.text().contains("CANARY") && token.text().ends_with('\n'));
    assert_eq!(home.run_with(&["decrypt"], &token.stdout).ok().stdout, b"CANARY text");
    home.run_with(&["decrypt"], b"CANARY").fails(4, &["cannot decrypt the token"]);
}

#[test]
fn a_new_key_leaves_old_tokens_readable() {
    let home = Home::new();
    let key = home.path(".simpletuner/credential.key");
    let token = home.run_with(&["encrypt"], b"CANARY").ok();
    let before = std::fs::read(&key).unwrap();
    let rotated = home.run(&["key", "rotate"]);
    assert_eq!(rotated.code, 0, "{rotated:?}");
    rotated.says(&["there is a new key"]);
    assert_ne!(std::fs::read(&key).unwrap(), before);
    assert_eq!(home.run_with(&["decrypt"], &token.stdout).ok().stdout, b"CANARY");

    let mut fixed = home.command(&["key", "rotate"]);
    fixed.env("SIMPLETUNER_CREDENTIAL_KEY", "CANARY key of the environment");
    answer(fixed).fails(4, &["SIMPLETUNER_CREDENTIAL_KEY", "cannot be rotated"]);
}
