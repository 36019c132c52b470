//! Tokens: the key that encrypts, the two forms of a token, and how leniently they are read.
//!
//! SimpleTuner stores the URL-safe base64 of a Fernet token, which is base64 itself. Both that and the bare token are
//! accepted. As with Python's decoders, ASCII characters outside the alphabet are passed over, `+/` stand for `-_`, and
//! a text that is not ASCII is refused. Unlike there, nothing may follow the padding, no bit may be left over, and within
//! the outer encoding white space alone is passed over: a token that was cut, extended or changed in any bit is refused,
//! also where Python would not notice. All functions that read a token read it like this.

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
/// The crate refuses tokens from a clock over 60 s ahead, Python without a time to live does not. The crate adds those
/// 60 s to this.
const NO_CLOCK: u64 = u64::MAX - 60;

/// The Fernet key of a secret: slow, as it is meant to be.
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
    fernet.unwrap_or_else(|| Err(Error::new(Status::BadKey, "the key cannot be used")))
}

/// A token in the stored form.
pub(super) fn seal(fernet: &Fernet, plaintext: &[u8]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let token = fernet.encrypt_at_time(plaintext, now);
    wipe_stack();
    URL_SAFE.encode(token)
}

/// Whether this looks like a token, stored or bare, whole or damaged: until the year 2106 all of them begin alike. What
/// [`Token::read`] passes over is passed over here too.
pub(super) fn is_like(text: &[u8]) -> bool {
    let begins = |beginning: &[u8]| {
        let kept = text.iter().filter(|byte| !byte.is_ascii() || in_alphabet(**byte).is_some());
        kept.take(beginning.len()).eq(beginning)
    };
    begins(b"gAAAAA") || begins(b"Z0FBQUFB")
}

/// How long the stored form of a plain text of this length is.
pub(super) fn sealed_len(plaintext_len: usize) -> usize {
    let blocks = (plaintext_len / 16 + 1) * 16;
    let base64 = |len: usize| len.div_ceil(3) * 4;
    base64(base64(1 + 8 + 16 + blocks + 32))
}

/// The plain text of a bare token, whatever its time.
pub(super) fn open(fernet: &Fernet, token: &str) -> Option<Zeroizing<Vec<u8>>> {
    open_at(fernet, token, None, NO_CLOCK)
}

/// The plain text of a bare token that is no older than `ttl` seconds at `now`.
pub(super) fn open_at(fernet: &Fernet, token: &str, ttl: Option<u64>, now: u64) -> Option<Zeroizing<Vec<u8>>> {
    // The crate takes any number of padding characters.
    let padding = token.bytes().rev().take_while(|byte| *byte == b'=').count();
    if padding > 2 || !token.len().is_multiple_of(4) {
        return None;
    }
    let plaintext = fernet.decrypt_at_time(token, ttl, now).ok().map(Zeroizing::new);
    wipe_stack();
    plaintext
}

/// A token as it was given, down to the bare one.
pub(super) struct Token<'a> {
    bare: Cow<'a, str>,
    /// Whether it was in the form in which SimpleTuner stores it.
    pub(super) stored: bool,
}

impl<'a> Token<'a> {
    /// `None` for what is no token at all.
    pub(super) fn read(text: &'a [u8]) -> Option<Token<'a>> {
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
        Some(Token { bare, stored })
    }

    /// The bare token as text.
    pub(super) fn bare(&self) -> &str {
        &self.bare
    }

    /// The same without white space, `None` if there is none in it.
    pub(super) fn without_space(&self) -> Option<String> {
        let is_space = |c: char| c.is_ascii_whitespace() || c == '\x0b';
        self.bare.contains(is_space).then(|| self.bare.replace(is_space, ""))
    }
}

/// The text without what is passed over; `None` if it is not ASCII.
fn cleaned(text: &[u8]) -> Option<Vec<u8>> {
    text.is_ascii().then(|| text.iter().filter_map(|byte| in_alphabet(*byte)).collect())
}

/// A character of the URL-safe alphabet, or the one that stands for it.
fn in_alphabet(byte: u8) -> Option<u8> {
    match byte {
        b'+' => Some(b'-'),
        b'/' => Some(b'_'),
        b'-' | b'_' | b'=' => Some(byte),
        _ => byte.is_ascii_alphanumeric().then_some(byte),
    }
}
