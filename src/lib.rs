//! Secrets for a training stack, from environment variables, files, AWS Secrets Manager and Vault; caches, encryption
//! of credentials, and SimpleTuner's databases. The calls block; the library has no runtime and starts no thread.
//!
//! This crate is the Rust interface of the library. Start with [`Manager`]. The C interface is the header
//! `st_secrets.h`.
//!
//! # Modules
//! Each module uses only those below it.
//!
//! | module | contents |
//! |---|---|
//! | `ffi` | the C ABI: checks arguments, calls one function of the core, returns its result |
//! | [`store`] | SQLite databases: provider configuration, hardware prices, stored credentials, audit log |
//! | [`secrets`] | secrets and their providers |
//! | [`encryption`] | encryption of credentials at rest |
//! | `share` | one load for all processes of a host |
//! | `http` | the HTTP client: deadlines, proxies, TLS, retries |
//! | [`redact`] | removes secret values from text |
//! | [`cache`] | the cache: LRU, TTLs, one load per key at a time |
//! | [`Config`], [`log`], [`SecretBytes`], [`Error`] | settings, logging, secret memory, errors |

// What a provider alone uses remains without that provider; the linker leaves it out.
#![cfg_attr(
    not(all(
        feature = "aws",
        feature = "azure",
        feature = "exec",
        feature = "google",
        feature = "infisical",
        feature = "onepassword",
        feature = "tier",
        feature = "vault"
    )),
    allow(dead_code, unused_imports)
)]

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("st-secrets is built and tested on Linux; on Windows use it inside WSL");

pub mod cache;
mod clock;
mod config;
mod dotenv;
pub mod encryption;
mod error;
mod features;
pub mod ffi;
mod files;
mod fork;
mod fork_safe;
#[cfg(fuzzing)]
mod fuzz_input;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod jitter;
pub mod log;
mod paths;
mod process;
mod process_default;
mod raw_json;
pub mod redact;
mod secret_memory;
pub mod secrets;
mod settings;
mod share;
mod shell;
pub mod store;
mod sys;

pub use config::Config;
pub use encryption::Cipher;
pub use error::{Error, Result, Source, Status};
pub use secret_memory::{SecretBytes, SharedBytes};
pub use secrets::{GetOptions, Manager, ProviderNames, Scope, Secret, well_known};
pub use share::open_cache;
pub use store::Store;
