//! One native core for the secrets of a training stack: the same answers from the same environment, files, AWS Secrets
//! Manager and Vault for every program that links it, in C, C++ or Rust. Blocking, without a runtime or a thread of its own.
//!
//! The C ABI is in the header `st_secrets.h`; this crate is the same library for Rust. Begin with [`Manager`].
//!
//! # Where things are
//! Calls come in at the top and data flows down; nothing imports upward.
//!
//! | part | does |
//! |---|---|
//! | `ffi` | the C ABI: checks arguments, calls one function of the core, hands back the result |
//! | [`store`] | SQLite: provider configuration, hardware prices, stored credentials, audit trail |
//! | [`secrets`] | the chain of providers |
//! | [`credential`] | encryption of credentials at rest |
//! | `http` | one HTTP client: deadline, proxies, TLS, retries |
//! | [`cache`] | one cache for all: exact, loading once, with times to live |
//! | [`Config`], [`log`], [`SecretBytes`], [`Error`] | the ground: settings, messages, secret memory, failures |

#[cfg(not(target_os = "linux"))]
compile_error!("st-secrets is built and tested on Linux with glibc; on Windows use it inside WSL");

mod bytes;
pub mod cache;
mod clock;
mod config;
pub mod credential;
mod error;
pub mod ffi;
mod files;
mod fork;
mod http;
pub mod log;
mod paths;
mod raw_json;
pub mod secrets;
pub mod store;
mod sys;

pub use bytes::{SecretBytes, SharedBytes};
pub use config::Config;
pub use credential::Cipher;
pub use error::{Error, Result, Source, Status};
pub use secrets::{Found, Manager, Options, ProviderNames, Secret, well_known};
pub use store::Store;
