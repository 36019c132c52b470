//! The order in which credentials are looked for.

use super::container::Container;
use super::instance::Instance;
use super::role::WebIdentity;
use super::{Keys, Plan, profile};
use crate::error::Result;
use crate::secrets::aws::environment::Environment;
use crate::secrets::aws::fields;
use crate::secrets::aws::names::config;
use crate::secrets::aws::settings::Settings;

pub(super) const ENVIRONMENT: &str = "the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

/// Where credentials come from, as variables and files are now: the variables, a web identity in variables, the
/// profile, the container, the instance. A profile in own settings goes before the variables.
pub(in crate::secrets::aws) fn plan(settings: &Settings<'_>) -> Result<Plan> {
    let environment = settings.environment;
    if settings.own.profile.is_none() {
        if let Some(plan) = from_variables(environment)? {
            return Ok(plan);
        }
        if let Some(identity) = WebIdentity::from_variables(environment)? {
            return Ok(Plan::WebIdentity(identity));
        }
    }
    if let Some(profile) = settings.profile()
        && let Some(plan) = profile::plan(settings, &profile, &mut Vec::new())?
    {
        return Ok(plan);
    }
    if settings.is_profile_named && !settings.profiles.unreadable.is_empty() {
        let message =
            format!("the profile `{}` has no credentials in the files that can be read", settings.profile_name);
        return Err(settings.profiles.explain(config(message)));
    }
    if let Some(container) = Container::from_variables(environment)? {
        return Ok(Plan::Container(container));
    }
    if let Some(instance) = Instance::from_settings(settings)? {
        return Ok(Plan::Instance(instance));
    }
    let profile = &settings.profile_name;
    let error = config(format!(
        "there are no AWS credentials: neither in variables (AWS_ACCESS_KEY_ID, AWS_WEB_IDENTITY_TOKEN_FILE) nor in the \
         profile `{profile}` nor from a container, and AWS_EC2_METADATA_DISABLED says not to ask the instance"
    ));
    Err(settings.profiles.explain(error))
}

/// Keys in variables.
pub(super) fn from_variables(environment: &Environment) -> Result<Option<Plan>> {
    let Some(id) = environment.text("AWS_ACCESS_KEY_ID")? else { return Ok(None) };
    let Some(secret) = environment.text("AWS_SECRET_ACCESS_KEY")? else {
        return Err(config("the variable AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not"));
    };
    // The older name goes first, as it does in botocore.
    let token = match environment.text("AWS_SECURITY_TOKEN")? {
        Some(token) => Some(token),
        None => environment.text("AWS_SESSION_TOKEN")?,
    };
    let expires = match environment.text("AWS_CREDENTIAL_EXPIRATION")? {
        Some(text) => Some(fields::time(&text).ok_or_else(|| {
            config("the variable AWS_CREDENTIAL_EXPIRATION must be a time like 2026-11-21T02:49:45Z")
        })?),
        None => None,
    };
    let keys = Keys::new(&id, &secret, token.as_ref().map(|token| token.as_str()), expires, ENVIRONMENT)?;
    Ok(Some(Plan::Keys(keys, ENVIRONMENT.to_owned())))
}
