//! Roles that are assumed with other credentials or with the token of a web identity.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use super::context::{FetchContext, FetchedCredentials};
use super::metadata::read_token;
use crate::error::Result;
use crate::secrets::aws::endpoint::Service;
use crate::secrets::aws::identifiers::{checked_role_arn, checked_session_name};
use crate::secrets::aws::ini::IniValue;
use crate::secrets::aws::keys::AwsCredentials;
use crate::secrets::aws::profiles::Profile;
use crate::secrets::aws::settings::RoleSettings;
use crate::secrets::aws::sts::StsCall;
use crate::settings::Environment;
use crate::share::Identity;

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
    /// In seconds.
    duration: Option<u32>,
}

impl RoleSession {
    pub(super) fn from_profile(profile: &Profile<'_>, role: IniValue<'_>) -> Result<RoleSession> {
        let role_arn = checked_role_arn(&profile.named("role_arn", role))?;
        let session_name = profile.setting("role_session_name");
        let session_name = session_name.map(|name| checked_session_name(&name)).transpose()?;
        let duration = profile.setting("duration_seconds");
        let duration = duration.map(|setting| setting.number(900..=43_200, "a whole number from 900 to 43200"));
        let duration = duration.transpose()?;
        Ok(RoleSession { role_arn, session_name, external_id: profile.text("external_id"), duration })
    }

    /// Adds the role to the identity of a process.
    pub(super) fn identify(&self, identity: &mut Identity) {
        identity.add("role", &self.role_arn);
        identity.add_optional("role session", self.session_name.as_deref());
        if let Some(external_id) = &self.external_id {
            identity.add_hash("external id", external_id.as_bytes());
        }
        identity.add_optional("role duration", self.duration.map(u32::to_le_bytes));
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
        context: &FetchContext<'_>,
    ) -> Result<FetchedCredentials> {
        let session_name = self.session_name();
        let duration = self.duration.map(|seconds| seconds.to_string());
        let mut parameters = vec![("RoleArn", self.role_arn.as_str()), ("RoleSessionName", &session_name)];
        parameters.extend(parameter);
        parameters.extend(duration.as_deref().map(|seconds| ("DurationSeconds", seconds)));
        let endpoint = context.settings.endpoint(Service::Sts, context.region)?;
        let call =
            StsCall { action, parameters: &parameters, region: context.region, endpoint: &endpoint, credentials };
        let origin = format!("{origin} (role {})", self.role_arn);
        let (credentials, now) = call.fetch_credentials(context.client, &origin, context.deadline)?;
        Ok(FetchedCredentials::new(credentials, now))
    }
}

fn session_name_from_variable(environment: &Environment) -> Result<Option<String>> {
    let name = environment.setting("AWS_ROLE_SESSION_NAME")?;
    Ok(name.map(|name| checked_session_name(&name)).transpose()?)
}

impl AssumedRole {
    /// The role of the provider's own settings, which is assumed with the credentials of `source`.
    pub(super) fn from_settings(role: &RoleSettings, environment: &Environment, source: &str) -> Result<AssumedRole> {
        let session_name = match &role.session_name {
            Some(name) => Some(name.clone()),
            None => session_name_from_variable(environment)?,
        };
        let (role_arn, external_id) = (role.arn.clone(), role.external_id.clone());
        let session = RoleSession { role_arn, session_name, external_id, duration: None };
        Ok(AssumedRole { session, origin: format!("`aws_role_arn`, assumed with the credentials of {source}") })
    }

    /// Assumes the role with these credentials.
    pub(super) fn fetch(&self, source: &AwsCredentials, context: &FetchContext<'_>) -> Result<FetchedCredentials> {
        let external_id = self.session.external_id.as_deref().map(|id| ("ExternalId", id));
        self.session.fetch("AssumeRole", external_id, Some(source), &self.origin, context)
    }
}

impl WebIdentity {
    /// Reads the variables; `None` if `AWS_WEB_IDENTITY_TOKEN_FILE` is not set.
    pub(super) fn from_variables(environment: &Environment) -> Result<Option<WebIdentity>> {
        let Some(token_file) = environment.setting("AWS_WEB_IDENTITY_TOKEN_FILE")? else { return Ok(None) };
        let Some(role) = environment.setting("AWS_ROLE_ARN")? else {
            return Err(token_file.invalid("is set, but AWS_ROLE_ARN is not").into());
        };
        let session_name = session_name_from_variable(environment)?;
        let session =
            RoleSession { role_arn: checked_role_arn(&role)?, session_name, external_id: None, duration: None };
        let origin = format!("the web identity of {}", token_file.origin);
        Ok(Some(WebIdentity { token_file: token_file.path(), session, origin }))
    }

    pub(super) fn from_profile(
        environment: &Environment,
        profile: &Profile<'_>,
        role: IniValue<'_>,
        token_file: IniValue<'_>,
    ) -> Result<WebIdentity> {
        let mut session = RoleSession::from_profile(profile, role)?;
        if session.session_name.is_none() {
            session.session_name = session_name_from_variable(environment)?;
        }
        let token_file = profile.named("web_identity_token_file", token_file).path();
        Ok(WebIdentity { token_file, session, origin: profile.location(role) })
    }

    /// Adds the role, and the token in the file, to the identity of a process.
    pub(super) fn identify(&self, identity: &mut Identity) -> Result<()> {
        self.session.identify(identity);
        identity.add("token file", self.token_file.as_os_str().as_encoded_bytes());
        identity.add_secret(self.token()?.as_bytes())
    }

    fn token(&self) -> Result<Zeroizing<String>> {
        read_token(&self.token_file, &self.origin)
    }

    pub(super) fn fetch(&self, context: &FetchContext<'_>) -> Result<FetchedCredentials> {
        let token = self.token()?;
        let parameter = Some(("WebIdentityToken", token.as_str()));
        self.session.fetch("AssumeRoleWithWebIdentity", parameter, None, &self.origin, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Setting, SettingOrigin};

    #[test]
    fn generated_session_name_is_valid_for_sts() {
        let session = RoleSession { role_arn: String::new(), session_name: None, external_id: None, duration: None };
        let name = Setting::new(SettingOrigin::Config("x"), &session.session_name());
        assert!(checked_session_name(&name).is_ok());
    }
}
