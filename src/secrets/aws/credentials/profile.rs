//! Credentials that a profile tells of: its own keys, a role, a web identity, a login, a program.

use super::container::Container;
use super::instance::Instance;
use super::process::Program;
use super::role::{Role, Terms, WebIdentity};
use super::sso::Login;
use super::{Keys, Plan, chain};
use crate::error::{Error, Result};
use crate::secrets::aws::ini::Value;
use crate::secrets::aws::names::{config, shown};
use crate::secrets::aws::profiles::Profile;
use crate::secrets::aws::settings::Settings;

/// The longest chain of profiles that name each other as sources.
const MAX_CHAIN: usize = 32;

/// `None` if the profile says nothing about credentials. `seen` are the profiles that led here; the keys of such a source
/// count before its role, as they do for the AWS tools.
pub(super) fn plan(settings: &Settings<'_>, profile: &Profile<'_>, seen: &mut Vec<String>) -> Result<Option<Plan>> {
    let role = profile.get("role_arn");
    let has_keys = ["aws_access_key_id", "aws_secret_access_key"].iter().any(|key| profile.get(key).is_some());
    match (role, profile.get("web_identity_token_file")) {
        (Some(role), Some(token_file)) => {
            let identity = WebIdentity::of(settings.environment, profile, role, token_file)?;
            return Ok(Some(Plan::WebIdentity(identity)));
        }
        (None, Some(token_file)) => {
            let place = profile.place(token_file);
            return Err(config(format!("{place}: `web_identity_token_file` needs `role_arn`, which is missing")));
        }
        (Some(role), None) if seen.is_empty() || !has_keys => {
            return role_plan(settings, profile, role, seen).map(Some);
        }
        _ => {}
    }
    if let Some(login) = Login::of(settings, profile)? {
        return Ok(Some(Plan::Sso(login)));
    }
    let keys = profile.get("aws_access_key_id");
    let program = profile.get("credential_process");
    if let Some(login) = profile.get("login_session").filter(|_| keys.is_none() && program.is_none()) {
        return Err(unsupported(profile, login, "`login_session` (a login with `aws login`)"));
    }
    // Keys in the credentials file go before a program, those in the config file behind it.
    match (keys, program) {
        (Some(keys), None) => own_keys(profile, keys).map(Some),
        (Some(keys), Some(_)) if profile.is_in_credentials(keys) => own_keys(profile, keys).map(Some),
        (_, Some(program)) => Program::of(profile, program).map(Plan::Process).map(Some),
        (None, None) => Ok(None),
    }
}

fn own_keys(profile: &Profile<'_>, id: Value<'_>) -> Result<Plan> {
    let place = profile.place(id);
    // What is in the other file may be of other keys.
    let Some(secret) = profile.beside(id, "aws_secret_access_key") else {
        return Err(config(format!("{place}: `aws_secret_access_key` is missing beside `aws_access_key_id`")));
    };
    // The older name goes first, as it does in botocore.
    let token = ["aws_security_token", "aws_session_token"].iter().find_map(|key| profile.beside(id, key));
    Ok(Plan::Keys(Keys::new(id.text, secret.text, token.map(|token| token.text), None, &place)?, place))
}

fn role_plan(settings: &Settings<'_>, profile: &Profile<'_>, role: Value<'_>, seen: &mut Vec<String>) -> Result<Plan> {
    if seen.contains(&profile.name) {
        let circle = format!("{} -> {}", seen.join(" -> "), profile.name);
        return Err(config(format!("{}: the profiles name each other as sources: {circle}", profile.place(role))));
    }
    if seen.len() == MAX_CHAIN {
        let place = profile.place(role);
        return Err(config(format!("{place}: more than {MAX_CHAIN} profiles name each other as sources")));
    }
    seen.push(profile.name.clone());
    if let Some(mfa) = profile.get("mfa_serial") {
        return Err(unsupported(profile, mfa, "`mfa_serial` (a code that a person types)"));
    }
    let terms = Terms::of(profile, role)?;
    let base = match (profile.get("source_profile"), profile.get("credential_source")) {
        (Some(source), None) => from_profile(settings, profile, source, seen)?,
        (None, Some(source)) => from_elsewhere(settings, profile, source)?,
        (given, _) => {
            let what = if given.is_some() { "both" } else { "neither" };
            let place = profile.place(role);
            let message =
                format!("{place}: `role_arn` needs one of `source_profile` and `credential_source`; it has {what}");
            return Err(config(message));
        }
    };
    Ok(Plan::Role(Box::new(Role { base, terms, place: profile.place(role) })))
}

fn from_profile(
    settings: &Settings<'_>,
    profile: &Profile<'_>,
    source: Value<'_>,
    seen: &mut Vec<String>,
) -> Result<Plan> {
    let place = format!("{}: `source_profile`", profile.place(source));
    let Some(named) = settings.profiles.find(source.text) else {
        return Err(settings.profiles.unknown(source.text, &place));
    };
    if named.name == profile.name && named.get("aws_access_key_id").is_none() {
        return Err(config(format!("{place}: the profile names itself and has no keys of its own")));
    }
    plan(settings, &named, seen)?
        .ok_or_else(|| config(format!("{place}: the profile {:?} has no credentials", shown(source.text))))
}

fn from_elsewhere(settings: &Settings<'_>, profile: &Profile<'_>, source: Value<'_>) -> Result<Plan> {
    let environment = settings.environment;
    let place = format!("{}: `credential_source`", profile.place(source));
    let found = match source.text {
        "Environment" => chain::from_variables(environment)?,
        "EcsContainer" => Container::from_variables(environment)?.map(Plan::Container),
        "Ec2InstanceMetadata" => Instance::from_settings(settings)?.map(Plan::Instance),
        other => {
            let message = format!("{:?} is none of Environment, EcsContainer and Ec2InstanceMetadata", shown(other));
            return Err(config(format!("{place}: {message}")));
        }
    };
    found.ok_or_else(|| config(format!("{place}: {} has no credentials here", source.text)))
}

fn unsupported(profile: &Profile<'_>, value: Value<'_>, what: &str) -> Error {
    config(format!(
        "{}: {what} is not supported; let another profile have `credential_process = aws configure export-credentials \
         --profile {}`",
        profile.place(value),
        profile.name
    ))
}
