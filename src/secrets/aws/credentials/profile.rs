//! Credential providers of a profile: keys, a role, a web identity, a login, a program.

use super::container::Container;
use super::instance::Instance;
use super::login::Login;
use super::process::CredentialProcess;
use super::provider::CredentialProvider;
use super::role::{AssumedRole, RoleSession, WebIdentity};
use super::sso::SsoLogin;
use super::static_keys::StaticCredentials;
use super::variables::from_variables;
use crate::error::{Error, Result};
use crate::secrets::aws::errors::config_error;
use crate::secrets::aws::ini::IniValue;
use crate::secrets::aws::keys::AwsCredentials;
use crate::secrets::aws::profiles::Profile;
use crate::secrets::aws::settings::AwsSettings;
use crate::shell::quoted;

/// The longest chain of profiles that are sources of each other.
const MAX_CHAIN: usize = 32;

/// Whether the profile has a role that is assumed with the credentials of another source.
pub(super) fn has_role(profile: &Profile<'_>) -> bool {
    profile.get("role_arn").is_some() && profile.get("web_identity_token_file").is_none()
}

/// Returns the provider of a profile; `None` if it has no settings for credentials. `seen` are the profiles that led
/// here. The keys of such a source take precedence over its role, as in the AWS tools.
pub(super) fn resolve(
    settings: &AwsSettings<'_>,
    profile: &Profile<'_>,
    seen: &mut Vec<String>,
) -> Result<Option<CredentialProvider>> {
    let role = profile.get("role_arn");
    let has_keys = ["aws_access_key_id", "aws_secret_access_key"].iter().any(|key| profile.get(key).is_some());
    match (role, profile.get("web_identity_token_file")) {
        (Some(role), Some(token_file)) => {
            let identity = WebIdentity::from_profile(settings.environment, profile, role, token_file)?;
            return Ok(Some(CredentialProvider::WebIdentity(identity)));
        }
        (None, Some(token_file)) => {
            let location = profile.location(token_file);
            let message = format!("{location}: `web_identity_token_file` needs `role_arn`, which is missing");
            return Err(config_error(message));
        }
        (Some(role), None) if seen.is_empty() || !has_keys => {
            return resolve_role(settings, profile, role, seen).map(Some);
        }
        _ => {}
    }
    if let Some(login) = SsoLogin::from_profile(settings, profile)? {
        return Ok(Some(CredentialProvider::Sso(login)));
    }
    let keys = profile.get("aws_access_key_id");
    let program = profile.get("credential_process");
    if let Some(login) = profile.get("login_session").filter(|_| keys.is_none() && program.is_none()) {
        return Login::from_profile(settings, profile, login).map(CredentialProvider::Login).map(Some);
    }
    // Keys in the credentials file take precedence over a program, and a program over keys in the config file.
    match (keys, program) {
        (Some(keys), None) => static_keys(profile, keys).map(Some),
        (Some(keys), Some(_)) if profile.is_in_credentials(keys) => static_keys(profile, keys).map(Some),
        (_, Some(program)) => {
            CredentialProcess::from_profile(profile, program).map(CredentialProvider::Process).map(Some)
        }
        (None, None) => Ok(None),
    }
}

fn static_keys(profile: &Profile<'_>, id: IniValue<'_>) -> Result<CredentialProvider> {
    let origin = profile.location(id);
    // A secret in the other file may belong to another key.
    let Some(secret) = profile.in_same_file(id, "aws_secret_access_key") else {
        let message = format!("{origin}: `aws_secret_access_key` is missing beside `aws_access_key_id`");
        return Err(config_error(message));
    };
    // The older name takes precedence, as in botocore.
    let token = ["aws_security_token", "aws_session_token"].iter().find_map(|key| profile.in_same_file(id, key));
    let credentials = AwsCredentials::new(id.text, secret.text, token.map(|token| token.text), None, &origin)?;
    Ok(CredentialProvider::Static(StaticCredentials { credentials, origin }))
}

fn resolve_role(
    settings: &AwsSettings<'_>,
    profile: &Profile<'_>,
    role: IniValue<'_>,
    seen: &mut Vec<String>,
) -> Result<CredentialProvider> {
    let origin = profile.location(role);
    if seen.contains(&profile.name) {
        let cycle = format!("{} -> {}", seen.join(" -> "), profile.name);
        return Err(config_error(format!("{origin}: the profiles are sources of each other: {cycle}")));
    }
    if seen.len() == MAX_CHAIN {
        return Err(config_error(format!("{origin}: the chain of source profiles is longer than {MAX_CHAIN}")));
    }
    seen.push(profile.name.clone());
    if let Some(mfa) = profile.get("mfa_serial") {
        return Err(unsupported(profile, mfa, "`mfa_serial` (a code entered by a user)"));
    }
    let session = RoleSession::from_profile(profile, role)?;
    let source = match (profile.get("source_profile"), profile.get("credential_source")) {
        (Some(source), None) => source_profile(settings, profile, source, seen)?,
        (None, Some(source)) => credential_source(settings, profile, source)?,
        (given, _) => {
            let what = if given.is_some() { "both" } else { "neither" };
            let message =
                format!("{origin}: `role_arn` needs one of `source_profile` and `credential_source`; it has {what}");
            return Err(config_error(message));
        }
    };
    Ok(CredentialProvider::AssumedRole { role: AssumedRole { session, origin }, source: Box::new(source) })
}

fn source_profile(
    settings: &AwsSettings<'_>,
    profile: &Profile<'_>,
    source: IniValue<'_>,
    seen: &mut Vec<String>,
) -> Result<CredentialProvider> {
    let setting = profile.named("source_profile", source);
    let Some(named) = settings.profiles.find(source.text) else {
        return Err(settings.profiles.unknown_profile(&setting));
    };
    if named.name == profile.name && named.get("aws_access_key_id").is_none() {
        return Err(setting.invalid("names its own profile, which has no keys").into());
    }
    resolve(settings, &named, seen)?.ok_or_else(|| setting.invalid_value("is a profile without credentials").into())
}

fn credential_source(
    settings: &AwsSettings<'_>,
    profile: &Profile<'_>,
    source: IniValue<'_>,
) -> Result<CredentialProvider> {
    let environment = settings.environment;
    let setting = profile.named("credential_source", source);
    let provider = match source.text {
        "Environment" => from_variables(environment)?.map(CredentialProvider::Static),
        "EcsContainer" => Container::from_variables(environment)?.map(CredentialProvider::Container),
        "Ec2InstanceMetadata" => Instance::from_settings(settings)?.map(CredentialProvider::Instance),
        _ => {
            let why = "is not one of Environment, EcsContainer and Ec2InstanceMetadata";
            return Err(setting.invalid_value(why).into());
        }
    };
    provider.ok_or_else(|| setting.invalid_value("has no credentials here").into())
}

fn unsupported(profile: &Profile<'_>, value: IniValue<'_>, what: &str) -> Error {
    config_error(format!(
        "{}: {what} is not supported; use another profile with `credential_process = aws configure export-credentials \
         --profile {}`",
        profile.location(value),
        quoted(&profile.name)
    ))
}
