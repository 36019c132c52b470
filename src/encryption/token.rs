//! Tokens: key derivation, the two forms of a token, and which malformations are tolerated.
//!
//! SimpleTuner stores the URL-safe base64 of a Fernet token, which is itself base64. Both this stored form and the bare
//! token are accepted. Like Python's decoders, the parser skips ASCII characters outside the alphabet, accepts `+/` for
//! `-_`, and rejects text that is not ASCII. It is stricter than Python in three points: nothing may follow the
//! padding, no bits may be left over, and inside the outer encoding only white space is skipped. So a token that was
//! truncated, extended, or changed in any bit is rejected, even where Python would not notice. All functions that read
//! a token use this parser.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use fernet::Fernet;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::{Error, Result, Status};
use crate::secret_memory::{SecretBox, wipe_stack};

const SALT: &[u8] = b"simpletuner-credential-encryption-v1";
const ITERATIONS: u32 = 100_000;
/// The first byte of every Fernet token.
const VERSION: u8 = 0x80;
/// A time at which the crate accepts every token. It rejects tokens that are more than 60 s in the future; Python,
/// without a time to live, does not. The crate adds those 60 s to this number.
const ANY_TIME: u64 = u64::MAX - 60;

/// Derives the Fernet key from a secret. Slow by design.
pub(super) fn derive(secret: &[u8]) -> Result<SecretBox<Fernet>> {
    let fernet = {
        let mut key = Zeroizing::new([0; 32]);
        pbkdf2::pbkdf2_hmac::<Sha256>(secret, SALT, ITERATIONS, &mut *key);
        let mut text = Zeroizing::new([0; 44]);
        let encoded = URL_SAFE.encode_slice(*key, &mut *text).is_ok();
        let fernet = std::str::from_utf8(&*text).ok().filter(|_| encoded).and_then(Fernet::new);
        fernet.map(SecretBox::new)
    };
    wipe_stack();
    fernet.unwrap_or_else(|| Err(Error::new(Status::BadKey, "cannot derive a key from the secret")))
}

/// Encrypts a plaintext. Returns the token in the stored form.
pub(super) fn encrypt(fernet: &Fernet, plaintext: &[u8]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let token = fernet.encrypt_at_time(plaintext, now);
    wipe_stack();
    URL_SAFE.encode(token)
}

/// Whether this looks like a token, stored or bare, intact or damaged: until the year 2106 all tokens have the same
/// first characters. Skips the characters that [`FernetToken::parse`] skips.
pub(super) fn looks_like_token(text: &[u8]) -> bool {
    let starts_with = |prefix: &[u8]| {
        let kept = text.iter().filter(|byte| !byte.is_ascii() || in_alphabet(**byte).is_some());
        kept.take(prefix.len()).eq(prefix)
    };
    starts_with(b"gAAAAA") || starts_with(b"Z0FBQUFB")
}

/// The length of the stored token for a plaintext of this length.
pub(super) fn encrypted_len(plaintext_len: usize) -> usize {
    let blocks = (plaintext_len / 16 + 1) * 16;
    let base64 = |len: usize| len.div_ceil(3) * 4;
    base64(base64(1 + 8 + 16 + blocks + 32))
}

/// Decrypts a bare token, whatever its time.
pub(super) fn decrypt(fernet: &Fernet, token: &str) -> Option<Zeroizing<Vec<u8>>> {
    decrypt_at(fernet, token, None, ANY_TIME)
}

/// Decrypts a bare token that is at most `ttl` seconds old at `now`.
pub(super) fn decrypt_at(fernet: &Fernet, token: &str, ttl: Option<u64>, now: u64) -> Option<Zeroizing<Vec<u8>>> {
    // The crate accepts any number of padding characters.
    let padding = token.bytes().rev().take_while(|byte| *byte == b'=').count();
    if padding > 2 || !token.len().is_multiple_of(4) {
        return None;
    }
    let plaintext = fernet.decrypt_at_time(token, ttl, now).ok().map(Zeroizing::new);
    wipe_stack();
    plaintext
}

/// A parsed token.
pub(super) struct FernetToken<'a> {
    bare: Cow<'a, str>,
    /// Whether it had the form in which SimpleTuner stores it.
    pub(super) stored: bool,
}

impl<'a> FernetToken<'a> {
    /// `None` if the text cannot be a token.
    pub(super) fn parse(text: &'a [u8]) -> Option<FernetToken<'a>> {
        let (clean, decoded) = match URL_SAFE.decode(text) {
            Ok(decoded) => (Cow::Borrowed(text), decoded),
            Err(_) => {
                let clean = cleaned(text)?;
                let decoded = URL_SAFE.decode(&clean).ok()?;
                (Cow::Owned(clean), decoded)
            }
        };
        let stored = decoded.first() != Some(&VERSION);
        let bare = if stored { Cow::Owned(decoded) } else { clean };
        let bare = match bare {
            Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).ok()?),
        };
        Some(FernetToken { bare, stored })
    }

    /// The bare token as text.
    pub(super) fn bare(&self) -> &str {
        &self.bare
    }

    /// The bare token without white space. `None` if it contains none.
    pub(super) fn without_space(&self) -> Option<String> {
        let is_space = |c: char| c.is_ascii_whitespace() || c == '\x0b';
        self.bare.contains(is_space).then(|| self.bare.replace(is_space, ""))
    }
}

/// The text without the characters to skip. `None` if it is not ASCII.
fn cleaned(text: &[u8]) -> Option<Vec<u8>> {
    text.is_ascii().then(|| text.iter().filter_map(|byte| in_alphabet(*byte)).collect())
}

/// The character of the URL-safe alphabet that this byte stands for.
fn in_alphabet(byte: u8) -> Option<u8> {
    match byte {
        b'+' => Some(b'-'),
        b'/' => Some(b'_'),
        b'-' | b'_' | b'=' => Some(byte),
        _ => byte.is_ascii_alphanumeric().then_some(byte),
    }
}
