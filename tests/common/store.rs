//! Stores for the tests.

use std::path::{Path, PathBuf};

use serde_json::Value;
use st_secrets::{Cipher, Config, Result, Store};

/// Opens a store in this directory, with a timeout that is long enough for a busy machine.
pub fn open(directory: &Path) -> Store {
    open_with(directory, &[("timeout", "600")]).unwrap()
}

pub fn open_with(directory: &Path, settings: &[(&str, &str)]) -> Result<Store> {
    let mut config = Config::new();
    config.set("state_dir", directory.to_str().unwrap())?;
    settings.iter().try_for_each(|(key, value)| config.set(key, value))?;
    Store::open(&config)
}

pub fn jobs(directory: &Path) -> PathBuf {
    directory.join("cloud/jobs.db")
}

pub fn config(store: &Store, provider: &str) -> String {
    String::from_utf8(store.provider_get(provider).unwrap().to_vec()).unwrap()
}

/// Every entry of the audit trail, oldest first.
pub fn entries(store: &Store) -> Vec<Value> {
    let mut entries: Vec<Value> = serde_json::from_str(&store.audit_query(r#"{"limit": 10000}"#).unwrap()).unwrap();
    entries.reverse();
    entries
}

pub fn cipher(secret: &str, previous: &[&str]) -> Cipher {
    let mut config = Config::new();
    config.set("key", secret).unwrap();
    config.set("previous_keys", &serde_json::to_string(previous).unwrap()).unwrap();
    Cipher::open(&config).unwrap()
}
