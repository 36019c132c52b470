//! Keys that are in variables or files.

use std::time::SystemTime;

use super::context::FetchedCredentials;
use crate::error::{Error, Result, Status};
use crate::secrets::aws::keys::AwsCredentials;

/// Credentials that need not be fetched.
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct StaticCredentials {
    pub(super) credentials: AwsCredentials,
    pub(super) origin: String,
}

impl StaticCredentials {
    /// Returns the credentials, unless they have expired.
    pub(super) fn fetch(&self) -> Result<FetchedCredentials> {
        let fetched = FetchedCredentials::new(self.credentials.clone(), SystemTime::now());
        if fetched.lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            let message = format!("the AWS credentials of {} have expired; replace them", self.origin);
            return Err(Error::new(Status::AccessDenied, message));
        }
        Ok(fetched)
    }
}
