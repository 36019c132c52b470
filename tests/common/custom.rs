//! Custom providers.

use std::time::Duration;

use st_secrets::{Error, Manager, Secret, SecretBytes, Status};

use super::open;

/// The result of the callback of a custom provider.
pub type Answer = st_secrets::Result<Option<Secret>>;

pub fn empty() -> Manager {
    open(&[("providers", "[]")]).unwrap()
}

pub fn found(text: &str) -> Answer {
    Ok(Some(Secret::new(SecretBytes::copy_from(text.as_bytes())?)))
}

pub fn failing(_: &str, _: Duration) -> Answer {
    Err(Error::new(Status::Unavailable, "the server is down").with_retryable(true))
}
