//! Roles that are assumed with other credentials or with the token of a web identity.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::context::{Context, Fetched};
use super::metadata::read_token;
use crate::error::Result;
use crate::paths;
use crate::secrets::aws::endpoint::Service;
use crate::secrets::aws::environment::Environment;
use crate::secrets::aws::errors::{config_error, excerpt};
use crate::secrets::aws::ini::Value;
use crate::secrets::aws::keys::AwsCredentials;
use crate::secrets::aws::profiles::Profile;
use crate::secrets::aws::sts::StsCall;

/// A role that is assumed with other credentials.
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct AssumedRole {
    pub(super) session: RoleSession,
    pub(super) origin: String,
}

/// A role that is assumed with a token in a file (EKS, CI).
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct WebIdentity {
    pub(super) token_file: PathBuf,
    session: RoleSession,
    pub(super) origin: String,
}

/// A role and the parameters of its session.
#[derive(Clone, PartialEq)]
pub(super) struct RoleSession {
    role_arn: String,
    /// If it is `None`, a name is generated.
    session_name: Option<String>,
    external_id: Option<String>,
    duration: Option<String>,
}

impl RoleSession {
    pub(super) fn from_profile(profile: &Profile<'_>, role: Value<'_>) -> Result<RoleSession> {
        let setting = |key: &str, value: Value<'_>| format!("{}: `{key}`", profile.location(value));
        let role_arn = checked_arn(role.text, &setting("role_arn", role))?;
        let session_name = match profile.get("role_session_name") {
            Some(name) => Some(checked_session_name(name.text, &setting("role_session_name", name))?),
            None => None,
        };
        let duration = match profile.get("duration_seconds") {
            Some(value) if !value.text.parse().is_ok_and(|seconds: u32| (900..=43_200).contains(&seconds)) => {
                let setting = setting("duration_seconds", value);
                return Err(config_error(format!("{setting} must be a whole number from 900 to 43200")));
            }
            value => value.map(|value| value.text.to_owned()),
        };
        Ok(RoleSession { role_arn, session_name, external_id: profile.text("external_id"), duration })
    }

    fn session_name(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.session_name.clone().unwrap_or_else(|| format!("st-secrets-{now}"))
    }

    /// Calls STS with this action and one parameter besides those of the session.
    fn fetch(
        &self,
        action: &'static str,
        parameter: Option<(&str, &str)>,
        credentials: Option<&AwsCredentials>,
        origin: &str,
        context: &Context<'_>,
    ) -> Result<Fetched> {
        let session_name = self.session_name();
        let mut parameters = vec![("RoleArn", self.role_arn.as_str()), ("RoleSessionName", &session_name)];
        parameters.extend(parameter);
        parameters.extend(self.duration.as_deref().map(|seconds| ("DurationSeconds", seconds)));
        let endpoint = context.settings.endpoint(Service::Sts, context.region)?;
        let call =
            StsCall { action, parameters: &parameters, region: context.region, endpoint: &endpoint, credentials };
        let origin = format!("{origin} (role {})", self.role_arn);
        let (credentials, now) = call.fetch_credentials(context.client, &origin, context.deadline)?;
        Ok(Fetched::new(credentials, now))
    }
}

fn checked_arn(text: &str, setting: &str) -> Result<String> {
    let is_role = text.starts_with("arn:aws") && text.split(':').count() >= 6 && text.contains(":role/");
    if !is_role || text.len() > 2048 || text.contains(char::is_whitespace) {
        let form = "arn:aws:iam::ACCOUNT:role/NAME";
        return Err(config_error(format!("{setting}: {:?} is not the ARN of a role, {form}", excerpt(text))));
    }
    Ok(text.to_owned())
}

fn session_name_from_variable(environment: &Environment) -> Result<Option<String>> {
    let name = environment.text("AWS_ROLE_SESSION_NAME")?;
    name.map(|name| checked_session_name(&name, "the variable AWS_ROLE_SESSION_NAME")).transpose()
}

fn checked_session_name(text: &str, setting: &str) -> Result<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_=,.@-+".contains(&byte);
    if !(2..=64).contains(&text.len()) || !text.bytes().all(allowed) {
        let form = "it has 2 to 64 letters, digits and =,.@+_-";
        return Err(config_error(format!("{setting}: {:?} is not a valid session name; {form}", excerpt(text))));
    }
    Ok(text.to_owned())
}

impl AssumedRole {
    /// Assumes the role with these credentials.
    pub(super) fn fetch(&self, source: &AwsCredentials, context: &Context<'_>) -> Result<Fetched> {
        let external_id = self.session.external_id.as_deref().map(|id| ("ExternalId", id));
        self.session.fetch("AssumeRole", external_id, Some(source), &self.origin, context)
    }
}

impl WebIdentity {
    /// Reads the variables; `None` if `AWS_WEB_IDENTITY_TOKEN_FILE` is not set.
    pub(super) fn from_variables(environment: &Environment) -> Result<Option<WebIdentity>> {
        let Some(path) = environment.text("AWS_WEB_IDENTITY_TOKEN_FILE")? else { return Ok(None) };
        let Some(role) = environment.text("AWS_ROLE_ARN")? else {
            return Err(config_error("the variable AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not"));
        };
        let session_name = session_name_from_variable(environment)?;
        let role_arn = checked_arn(&role, "the variable AWS_ROLE_ARN")?;
        let session = RoleSession { role_arn, session_name, external_id: None, duration: None };
        let origin = "the web identity of the variable AWS_WEB_IDENTITY_TOKEN_FILE".to_owned();
        Ok(Some(WebIdentity { token_file: paths::expand_home(path.as_str().as_ref()), session, origin }))
    }

    pub(super) fn from_profile(
        environment: &Environment,
        profile: &Profile<'_>,
        role: Value<'_>,
        token_file: Value<'_>,
    ) -> Result<WebIdentity> {
        let mut session = RoleSession::from_profile(profile, role)?;
        if session.session_name.is_none() {
            session.session_name = session_name_from_variable(environment)?;
        }
        let token_file = paths::expand_home(token_file.text.as_ref());
        Ok(WebIdentity { token_file, session, origin: profile.location(role) })
    }

    pub(super) fn fetch(&self, context: &Context<'_>) -> Result<Fetched> {
        let token = read_token(&self.token_file, &self.origin)?;
        let parameter = Some(("WebIdentityToken", token.as_str()));
        self.session.fetch("AssumeRoleWithWebIdentity", parameter, None, &self.origin, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_name_is_valid_for_sts() {
        for (name, good) in
            [("ab", true), ("a.b@c=d,e+f-g_h", true), ("a", false), ("a b", false), ("ä-b", false), ("a/b", false)]
        {
            assert_eq!(checked_session_name(name, "x").is_ok(), good, "{name}");
        }
        assert!(checked_session_name(&"x".repeat(65), "x").is_err());
        let session = RoleSession { role_arn: String::new(), session_name: None, external_id: None, duration: None };
        assert!(checked_session_name(&session.session_name(), "x").is_ok());
    }

    #[test]
    fn role_arn_is_checked() {
        for (arn, good) in [
            ("arn:aws:iam::123456789012:role/reader", true),
            ("arn:aws-cn:iam::123456789012:role/path/reader", true),
            ("reader", false),
            ("arn:aws:iam::123456789012:user/reader", false),
            ("arn:aws:iam::123456789012:role/a b", false),
        ] {
            assert_eq!(checked_arn(arn, "x").is_ok(), good, "{arn}");
        }
    }
}
