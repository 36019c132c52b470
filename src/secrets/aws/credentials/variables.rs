//! Keys in environment variables.

use super::static_keys::StaticCredentials;
use crate::error::Result;
use crate::secrets::aws::keys::AwsCredentials;
use crate::secrets::aws::times;
use crate::settings::{Environment, Setting};

const ORIGIN: &str = "the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

/// Reads the keys; `None` if `AWS_ACCESS_KEY_ID` is not set.
pub(super) fn from_variables(environment: &Environment) -> Result<Option<StaticCredentials>> {
    let Some(id) = environment.setting("AWS_ACCESS_KEY_ID")? else { return Ok(None) };
    let Some(secret) = environment.setting("AWS_SECRET_ACCESS_KEY")? else {
        return Err(id.invalid("is set, but AWS_SECRET_ACCESS_KEY is not").into());
    };
    // The older name takes precedence, as in botocore.
    let token = environment.first(&["AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"])?;
    let expires = match environment.setting("AWS_CREDENTIAL_EXPIRATION")? {
        Some(setting) => {
            let time = times::parse_time(setting.text());
            Some(time.ok_or_else(|| setting.invalid("must be a time like 2026-11-21T02:49:45Z"))?)
        }
        None => None,
    };
    let token = token.as_ref().map(Setting::text);
    let credentials = AwsCredentials::new(id.text(), secret.text(), token, expires, ORIGIN)?;
    Ok(Some(StaticCredentials { credentials, origin: ORIGIN.to_owned() }))
}
