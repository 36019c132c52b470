//! One native core for the secrets of a training stack.
#![warn(rustdoc::broken_intra_doc_links)]

#[cfg(not(unix))]
compile_error!("st-secrets is built and tested on Linux; on Windows use it inside WSL");

mod bytes;
pub mod cache;
mod clock;
mod error;
mod fork;
pub mod log;
mod paths;
mod sys;

pub use bytes::{SecretBytes, SharedBytes};
pub use error::{Error, Result, Source, Status};
