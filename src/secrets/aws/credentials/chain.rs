//! The order in which credential providers are tried.

use super::container::Container;
use super::instance::Instance;
use super::profile;
use super::provider::CredentialProvider;
use super::role::{AssumedRole, WebIdentity};
use super::variables::from_variables;
use crate::error::Result;
use crate::secrets::aws::errors::config_error;
use crate::secrets::aws::settings::AwsSettings;

/// Returns the provider that the settings select: a role in the provider's own settings, which is assumed with the
/// credentials of [`source`], or that itself.
pub(in crate::secrets::aws) fn resolve(settings: &AwsSettings<'_>) -> Result<CredentialProvider> {
    let source = source(settings)?;
    let Some(role) = &settings.provider_settings.role else { return Ok(source) };
    let role = AssumedRole::from_settings(role, settings.environment, source.origin())?;
    Ok(CredentialProvider::AssumedRole { role, source: Box::new(source) })
}

/// Returns the first provider for which variables and files have settings: variables, the role of the profile, a web
/// identity in variables, anything else in the profile, the container, the instance, as botocore does. A profile in the
/// provider's own settings takes precedence over the variables.
pub(in crate::secrets::aws) fn source(settings: &AwsSettings<'_>) -> Result<CredentialProvider> {
    let environment = settings.environment;
    if settings.provider_settings.profile.is_none() {
        if let Some(keys) = from_variables(environment)? {
            return Ok(CredentialProvider::Static(keys));
        }
        let has_role = settings.profile().is_some_and(|profile| profile::has_role(&profile));
        if !has_role && let Some(identity) = WebIdentity::from_variables(environment)? {
            return Ok(CredentialProvider::WebIdentity(identity));
        }
    }
    if let Some(profile) = settings.profile()
        && let Some(provider) = profile::resolve(settings, &profile, &mut Vec::new())?
    {
        return Ok(provider);
    }
    if settings.is_profile_named && !settings.profiles.unreadable.is_empty() {
        let message = format!("there are no credentials in the profile `{}`", settings.profile_name);
        return Err(settings.profiles.explain(config_error(message)));
    }
    if let Some(container) = Container::from_variables(environment)? {
        return Ok(CredentialProvider::Container(container));
    }
    if let Some(instance) = Instance::from_settings(settings)? {
        return Ok(CredentialProvider::Instance(instance));
    }
    let profile = &settings.profile_name;
    let error = config_error(format!(
        "there are no AWS credentials: neither in variables (AWS_ACCESS_KEY_ID, AWS_WEB_IDENTITY_TOKEN_FILE) nor in the \
         profile `{profile}` nor from a container, and AWS_EC2_METADATA_DISABLED disables the instance metadata"
    ));
    Err(settings.profiles.explain(error))
}
