//! The Vault providers: HashiCorp Vault and OpenBao. Secrets of KV engines are the document with all keys.
//!
//! Each module uses only those above it:
//!
//! | module | content |
//! |---|---|
//! | `settings_reader`, `address`, `secret_path`, `secret_file`, `auth`, `rate_limit`, `settings` | the settings |
//! | `response`, `lifetime`, `lockout`, `login_turn` | responses of the server, and what follows from them |
//! | `errors` | error messages |
//! | `client` | requests |
//! | `login`, `token`, `token_store` | obtaining and renewing the token |
//! | `kv`, `write` | reading the secret; a change of one key |
//! | `metadata` | the numbers of the current versions, to see whether a secret has changed |
//! | `health` | the check |
//! | `element`, `secret_settings` | elements of `providers`: what all have in common; those for secrets of KV engines |
//! | `source` | the provider |
//! | `dynamic_settings`, `lease`, `dynamic_check`, `dynamic` | dynamic secrets: an element of `providers`; leases; the check; the provider |

mod address;
mod auth;
mod client;
mod dynamic;
mod dynamic_check;
mod dynamic_settings;
mod element;
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
mod metadata;
mod rate_limit;
mod response;
mod secret_file;
mod secret_path;
mod secret_settings;
mod settings;
mod settings_reader;
mod source;
#[cfg(test)]
mod tests;
mod token;
mod token_store;
pub(super) mod transit;
mod write;

pub(crate) use dynamic::DynamicSource;
pub(crate) use settings_reader::VaultCommon;
pub(crate) use source::{ID, VaultSource};
