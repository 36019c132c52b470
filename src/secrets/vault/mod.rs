//! The Vault provider: HashiCorp Vault and OpenBao. One secret of a KV engine is the document with all keys.
//!
//! Each module uses only those above it:
//!
//! | module | content |
//! |---|---|
//! | `settings_reader`, `address`, `secret_file`, `auth`, `rate_limit`, `settings` | the settings |
//! | `response`, `lifetime`, `lockout`, `login_turn` | responses of the server, and what follows from them |
//! | `errors` | error messages |
//! | `client` | requests |
//! | `login`, `token`, `token_store` | obtaining and renewing the token |
//! | `kv`, `write` | reading the secret; a change of one key |
//! | `health` | the check |
//! | `source` | the provider |
//! | `dynamic_settings`, `lease`, `dynamic_check`, `dynamic` | dynamic secrets: an element of `providers`; leases; the check; the provider |

mod address;
mod auth;
mod client;
mod dynamic;
mod dynamic_check;
mod dynamic_settings;
mod errors;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod health;
mod kv;
mod lease;
mod lifetime;
mod lockout;
mod login;
mod login_turn;
mod rate_limit;
mod response;
mod secret_file;
mod settings;
mod settings_reader;
mod source;
#[cfg(test)]
mod tests;
mod token;
mod token_store;
mod write;

pub(crate) use dynamic::DynamicSource;
pub(crate) use source::{ID, VaultSource};
