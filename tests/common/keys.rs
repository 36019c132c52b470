//! Key files of ciphers.

use std::path::{Path, PathBuf};

use st_secrets::{Cipher, Config};

/// Opens a cipher with this key file.
pub fn with_file(path: &Path) -> st_secrets::Result<Cipher> {
    let mut config = Config::new();
    config.set("key_file", path.to_str().unwrap())?;
    Cipher::open(&config)
}

/// The file of the previous keys.
pub fn previous(path: &Path) -> PathBuf {
    path.with_file_name("credential.key.previous")
}
