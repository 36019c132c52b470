//! Encryption of credentials at rest, in SimpleTuner's format.
//!
//! | what | where |
//! |---|---|
//! | the key | `SIMPLETUNER_CREDENTIAL_KEY`, else `~/.simpletuner/credential.key`, else a new key that is saved there |
//! | previous keys | `SIMPLETUNER_CREDENTIAL_KEY_PREVIOUS`, one per line, and `~/.simpletuner/credential.key.previous` |
//!
//! The newest key encrypts; every key decrypts. Key files are checked for changes at most once a second, and whenever
//! no key decrypts a token, so that a key rotated by another process is picked up.
//!
//! ```
//! use st_secrets::{Cipher, Config};
//!
//! # fn main() -> st_secrets::Result<()> {
//! let mut config = Config::new();
//! config.set("key", "a secret of some length")?;
//! let cipher = Cipher::open(&config)?;
//! let token = cipher.encrypt(b"r8_token")?;
//! assert_eq!(&*cipher.decrypt(&token)?, b"r8_token");
//! # Ok(())
//! # }
//! ```

mod cipher;
mod key_source;
mod keyring;
mod rotate;
#[cfg(test)]
mod tests;
mod token;

pub use cipher::{Cipher, Reencrypted};
