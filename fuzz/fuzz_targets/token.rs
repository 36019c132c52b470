//! Fernet tokens: any text is refused, and any text that is encrypted is decrypted to the same.
#![no_main]

use std::sync::OnceLock;

use ::st_secrets::{Cipher, Config};

/// Returns a cipher with a key that only this fuzzer has.
fn cipher() -> &'static Cipher {
    static CIPHER: OnceLock<Cipher> = OnceLock::new();
    CIPHER.get_or_init(|| {
        let mut config = Config::new();
        config.set("key", "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=").expect("the setting exists");
        Cipher::open(&config).expect("the key is valid")
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    assert!(cipher().decrypt(data).is_err());
    let _ = Cipher::is_token(data);
    let token = cipher().encrypt(data).expect("any text can be encrypted");
    assert_eq!(&*cipher().decrypt(&token).expect("the token is valid"), data);
});
