//! Keys in environment variables.

use super::static_keys::StaticCredentials;
use crate::error::Result;
use crate::secrets::aws::environment::Environment;
use crate::secrets::aws::errors::config_error;
use crate::secrets::aws::fields;
use crate::secrets::aws::keys::AwsCredentials;

const ORIGIN: &str = "the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

/// Reads the keys; `None` if `AWS_ACCESS_KEY_ID` is not set.
pub(super) fn from_variables(environment: &Environment) -> Result<Option<StaticCredentials>> {
    let Some(id) = environment.text("AWS_ACCESS_KEY_ID")? else { return Ok(None) };
    let Some(secret) = environment.text("AWS_SECRET_ACCESS_KEY")? else {
        return Err(config_error("the variable AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not"));
    };
    // The older name takes precedence, as in botocore.
    let token = match environment.text("AWS_SECURITY_TOKEN")? {
        Some(token) => Some(token),
        None => environment.text("AWS_SESSION_TOKEN")?,
    };
    let expires = match environment.text("AWS_CREDENTIAL_EXPIRATION")? {
        Some(text) => Some(fields::parse_time(&text).ok_or_else(|| {
            config_error("the variable AWS_CREDENTIAL_EXPIRATION must be a time like 2026-11-21T02:49:45Z")
        })?),
        None => None,
    };
    let credentials = AwsCredentials::new(&id, &secret, token.as_ref().map(|token| token.as_str()), expires, ORIGIN)?;
    Ok(Some(StaticCredentials { credentials, origin: ORIGIN.to_owned() }))
}
