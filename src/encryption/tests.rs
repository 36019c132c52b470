//! Tokens at a given time, damaged tokens, and key files.

use fernet::Fernet;
use serde::Deserialize;

use super::cipher::{DEFAULT_TIMEOUT, MAX_PLAINTEXT, bad_token};
use super::key_source::KeyFile;
use super::keyring::{Keyring, LoadOptions};
use super::token::{self, FernetToken};
use crate::clock::Deadline;
use crate::{Cipher, Config, Status};

#[derive(Deserialize)]
struct Vector {
    #[serde(default)]
    desc: String,
    token: String,
    now: String,
    #[serde(default)]
    iv: Vec<u8>,
    ttl_sec: Option<u64>,
    #[serde(default)]
    src: String,
    secret: String,
}

impl Vector {
    /// `now` is a time on 26 October 1985, seven hours behind UTC.
    fn now(&self) -> u64 {
        let time: Vec<u64> = self.now[11..19].split(':').map(|part| part.parse().unwrap()).collect();
        assert!(self.now.starts_with("1985-10-26T") && self.now.ends_with("-07:00"));
        499_132_800 + (time[0] + 7) * 3600 + time[1] * 60 + time[2]
    }

    fn open(&self) -> Option<Vec<u8>> {
        let fernet = Fernet::new(&self.secret).unwrap();
        token::decrypt_at(&fernet, &self.token, self.ttl_sec, self.now()).map(|plaintext| plaintext.to_vec())
    }
}

fn vectors(json: &str) -> Vec<Vector> {
    serde_json::from_str(json).unwrap()
}

fn raw(token: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE.decode(token).unwrap()
}

fn with_key(secret: &str) -> Cipher {
    let mut config = Config::new();
    config.set("key", secret).unwrap();
    Cipher::open(&config).unwrap()
}

#[test]
fn the_vectors_of_the_specification_hold() {
    for vector in vectors(include_str!("../../tests/vectors/fernet/generate.json")) {
        // Everything but the initialisation vector, which is random here, and what depends on it.
        let made = raw(&Fernet::new(&vector.secret).unwrap().encrypt_at_time(vector.src.as_bytes(), vector.now()));
        let expected = raw(&vector.token);
        assert_eq!((made.len(), &made[..9]), (expected.len(), &expected[..9]));
        assert_eq!(expected[9..25], vector.iv);
        assert_eq!(vector.open().as_deref(), Some(vector.src.as_bytes()));
    }
    for vector in vectors(include_str!("../../tests/vectors/fernet/verify.json")) {
        assert_eq!(vector.open().as_deref(), Some(vector.src.as_bytes()));
    }
    let invalid = vectors(include_str!("../../tests/vectors/fernet/invalid.json"));
    assert_eq!(invalid.len(), 8);
    for vector in invalid {
        assert_eq!(vector.open(), None, "{}", vector.desc);
    }
}

#[test]
fn decrypt_accepts_tokens_from_the_future() {
    let cipher = with_key("key");
    let keyring = cipher.keyring.read().clone();
    let fernet = keyring.newest().fernet().unwrap();
    for time in [0, 4_000_000_000, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        let bare = fernet.encrypt_at_time(b"plain", time);
        assert_eq!(&*cipher.decrypt(bare.as_bytes()).unwrap(), b"plain", "{time}");
    }
}

#[test]
fn token_len_is_the_length_of_the_token() {
    let cipher = with_key("key");
    for len in (0..100).chain([4095, 4096, 4097]) {
        let plaintext = vec![b'x'; len];
        let token = cipher.encrypt(&plaintext).unwrap();
        assert_eq!(token.len(), Cipher::token_len(len).unwrap());
        assert_eq!(&*cipher.decrypt(&token).unwrap(), &plaintext);
    }
    assert_eq!(cipher.encrypt(&vec![0; MAX_PLAINTEXT + 1]).unwrap_err().status(), Status::InvalidArgument);
}

#[test]
fn decrypt_rejects_every_damaged_token_with_the_same_error() {
    let cipher = with_key("key");
    let expected = bad_token(&cipher.sources);
    let mut rejected = 0;
    let mut reject = |token: &[u8]| {
        let error = cipher.decrypt(token).expect_err("a damaged token was accepted");
        assert_eq!((error.status(), error.message()), (expected.status(), expected.message()));
        rejected += 1;
    };
    let mut len = 0;
    for round in 0.. {
        len = (len + 13) % 90;
        let stored = cipher.encrypt(&vec![b'p'; len]).unwrap().to_vec();
        let bare = raw(std::str::from_utf8(&stored).unwrap());
        for form in [&stored, &bare] {
            for bit in 0..form.len() * 8 {
                let mut damaged = form.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                reject(&damaged);
            }
            for end in 0..form.len() {
                reject(&form[..end]);
            }
            for more in [&b"A"[..], b"AA", b"AAAA", b"=", b"==", b"====", b"gAAAAA==", form] {
                reject(&[form, more].concat());
                reject(&[more, form].concat());
            }
        }
        if round >= 35 {
            break;
        }
    }
    assert!(rejected >= 100_000, "{rejected}");
}

#[test]
fn decrypt_skips_characters_outside_the_alphabet() {
    let cipher = with_key("key");
    let stored = cipher.encrypt(b"plain").unwrap().to_vec();
    let bare = raw(std::str::from_utf8(&stored).unwrap());
    for form in [&stored, &bare] {
        let text = String::from_utf8(form.clone()).unwrap();
        let lines: Vec<&str> = (0..text.len()).step_by(20).map(|at| &text[at..text.len().min(at + 20)]).collect();
        for given in [lines.join("\r\n"), format!(" \n{text}\n"), text.replace('-', "+").replace('_', "/")] {
            assert_eq!(&*cipher.decrypt(given.as_bytes()).unwrap(), b"plain", "{given:?}");
        }
    }
    // The same inside the outer encoding.
    use base64::Engine;
    let inner = [b" ", &bare[..20], b"\r\n", &bare[20..], b"\n"].concat();
    let given = base64::engine::general_purpose::URL_SAFE.encode(inner);
    assert_eq!(&*cipher.decrypt(given.as_bytes()).unwrap(), b"plain");
}

/// Every function that reads a token accepts the same texts.
#[test]
fn all_functions_accept_the_same_tokens() {
    let cipher = with_key("key");
    let stored = String::from_utf8(cipher.encrypt(b"plain").unwrap().to_vec()).unwrap();
    let bare = String::from_utf8(raw(&stored)).unwrap();
    for form in [&stored, &bare] {
        let (begin, end) = form.split_at(3);
        for (given, is_valid, looks_valid) in [
            (form.clone(), true, true),
            (format!("\t\r\n {form}"), true, true),
            (format!("*{begin}.\n{end}\0"), true, true),
            (format!("{form}é"), false, true),
            (format!("é{form}"), false, false),
            (format!("{begin}\u{a0}{end}"), false, false),
            (format!("={form}"), false, false),
        ] {
            let given = given.as_bytes();
            assert_eq!(cipher.decrypt(given).is_ok(), is_valid, "{given:?}");
            assert_eq!(cipher.reencrypt(given).is_ok(), is_valid, "{given:?}");
            assert_eq!(Cipher::is_token(given), looks_valid, "{given:?}");
        }
        let damaged = [begin.as_bytes(), b"\xFF", end.as_bytes()].concat();
        assert_eq!(cipher.decrypt(&damaged).unwrap_err().status(), Status::BadToken);
        assert!(cipher.reencrypt(&damaged).is_err() && !Cipher::is_token(&damaged));
    }
}

#[test]
fn decrypt_rejects_texts_that_are_not_tokens() {
    for text in [&b""[..], b"=", b"====", b"gA", b"\xFF\xFF", b"gAAAAA=="] {
        let cipher = with_key("key");
        assert_eq!(cipher.decrypt(text).unwrap_err().status(), Status::BadToken, "{text:?}");
    }
    assert!(FernetToken::parse(b"*").is_none_or(|token| token.bare().is_empty()));
}

#[test]
fn key_files_are_read_like_in_python() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    for (text, secret) in [
        ("abc", "abc"),
        (" \t\r\nabc \n\n", "abc"),
        ("\u{1c}\u{85}\u{a0}\u{3000}abc\u{2028}\u{1f}", "abc"),
        ("a\r\nb\rc\n\nd", "a\nb\nc\n\nd"),
        ("\u{feff}abc", "\u{feff}abc"),
        ("käse ☃", "käse ☃"),
    ] {
        std::fs::write(&path, text).unwrap();
        let read = KeyFile::read(&path, false).unwrap().unwrap();
        assert_eq!(std::str::from_utf8(&read.secret().unwrap()).unwrap(), secret);
    }
}

#[test]
fn keyring_derives_each_key_once() {
    let mut config = Config::new();
    config.set("key", "newest").unwrap();
    config.set("previous_keys", r#"["earlier", "newest", "earlier", ""]"#).unwrap();
    let cipher = Cipher::open(&config).unwrap();
    let keyring = cipher.keyring.read().clone();
    let first: *const Fernet = keyring.newest().fernet().unwrap();
    let again = Keyring::load(
        &cipher.sources,
        LoadOptions { strict: false, generate: false, deadline: Deadline::after(DEFAULT_TIMEOUT) },
        Some(&keyring),
    );
    assert!(std::ptr::eq(first, again.unwrap().newest().fernet().unwrap()));
    let token = with_key("earlier").encrypt(b"plain").unwrap();
    assert_eq!(&*cipher.decrypt(&token).unwrap(), b"plain");
}
