//! Roles that are assumed: with other keys, or with the token of a web identity.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Context, Fetched, Plan};
use crate::error::Result;
use crate::paths;
use crate::secrets::aws::endpoint::Service;
use crate::secrets::aws::environment::Environment;
use crate::secrets::aws::ini::Value;
use crate::secrets::aws::metadata::token_file;
use crate::secrets::aws::names::{config, shown};
use crate::secrets::aws::profiles::Profile;
use crate::secrets::aws::sts::StsCall;

/// A role that is assumed with the keys of another plan.
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct Role {
    pub(super) base: Plan,
    pub(super) terms: Terms,
    pub(super) place: String,
}

/// A role that is assumed with a token in a file (EKS, CI).
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct WebIdentity {
    pub(super) token_file: PathBuf,
    pub(super) terms: Terms,
    pub(super) place: String,
}

/// Which role, and under which name and for how long.
#[derive(Clone, PartialEq)]
pub(super) struct Terms {
    role_arn: String,
    /// One is made up where none is given.
    session_name: Option<String>,
    external_id: Option<String>,
    duration: Option<String>,
}

impl Terms {
    pub(super) fn of(profile: &Profile<'_>, role: Value<'_>) -> Result<Terms> {
        let setting = |key: &str, value: Value<'_>| format!("{}: `{key}`", profile.place(value));
        let role_arn = checked_arn(role.text, &setting("role_arn", role))?;
        let session_name = match profile.get("role_session_name") {
            Some(name) => Some(checked_session(name.text, &setting("role_session_name", name))?),
            None => None,
        };
        let duration = match profile.get("duration_seconds") {
            Some(value) if !value.text.parse().is_ok_and(|seconds: u32| (900..=43_200).contains(&seconds)) => {
                let setting = setting("duration_seconds", value);
                return Err(config(format!("{setting} must be a whole number from 900 to 43200")));
            }
            value => value.map(|value| value.text.to_owned()),
        };
        Ok(Terms { role_arn, session_name, external_id: profile.text("external_id"), duration })
    }

    fn session_name(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.session_name.clone().unwrap_or_else(|| format!("st-secrets-{now}"))
    }
}

fn checked_arn(text: &str, setting: &str) -> Result<String> {
    let is_role = text.starts_with("arn:aws") && text.split(':').count() >= 6 && text.contains(":role/");
    if !is_role || text.len() > 2048 || text.contains(char::is_whitespace) {
        let form = "arn:aws:iam::ACCOUNT:role/NAME";
        return Err(config(format!("{setting}: {:?} is not the ARN of a role, {form}", shown(text))));
    }
    Ok(text.to_owned())
}

fn session_in(environment: &Environment) -> Result<Option<String>> {
    let name = environment.text("AWS_ROLE_SESSION_NAME")?;
    name.map(|name| checked_session(&name, "the variable AWS_ROLE_SESSION_NAME")).transpose()
}

fn checked_session(text: &str, setting: &str) -> Result<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_=,.@-+".contains(&byte);
    if !(2..=64).contains(&text.len()) || !text.bytes().all(allowed) {
        let form = "2 to 64 letters, digits and =,.@+_-";
        return Err(config(format!("{setting}: {:?} cannot name a session, which has {form}", shown(text))));
    }
    Ok(text.to_owned())
}

impl Role {
    pub(super) fn fetch(&self, context: &Context<'_>) -> Result<Fetched> {
        let base = self.base.fetch(context)?;
        let session_name = self.terms.session_name();
        let mut parameters = vec![("RoleArn", self.terms.role_arn.as_str()), ("RoleSessionName", &session_name)];
        parameters.extend(self.terms.external_id.as_deref().map(|id| ("ExternalId", id)));
        parameters.extend(self.terms.duration.as_deref().map(|seconds| ("DurationSeconds", seconds)));
        let (keys, now) = StsCall {
            action: "AssumeRole",
            parameters: &parameters,
            region: context.region,
            endpoint: &context.settings.endpoint(Service::Sts, context.region)?,
            keys: Some(&base.keys),
        }
        .keys(context.wire, &format!("{} (role {})", self.place, self.terms.role_arn), context.deadline)?;
        Ok(Fetched::new(keys, now))
    }
}

impl WebIdentity {
    pub(super) fn from_variables(environment: &Environment) -> Result<Option<WebIdentity>> {
        let Some(path) = environment.text("AWS_WEB_IDENTITY_TOKEN_FILE")? else { return Ok(None) };
        let Some(role) = environment.text("AWS_ROLE_ARN")? else {
            return Err(config("the variable AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not"));
        };
        let session_name = session_in(environment)?;
        let role_arn = checked_arn(&role, "the variable AWS_ROLE_ARN")?;
        let terms = Terms { role_arn, session_name, external_id: None, duration: None };
        let place = "the web identity of the variable AWS_WEB_IDENTITY_TOKEN_FILE".to_owned();
        Ok(Some(WebIdentity { token_file: paths::expand_home(path.as_str().as_ref()), terms, place }))
    }

    pub(super) fn of(
        environment: &Environment,
        profile: &Profile<'_>,
        role: Value<'_>,
        token_file: Value<'_>,
    ) -> Result<WebIdentity> {
        let mut terms = Terms::of(profile, role)?;
        if terms.session_name.is_none() {
            terms.session_name = session_in(environment)?;
        }
        let token_file = paths::expand_home(token_file.text.as_ref());
        Ok(WebIdentity { token_file, terms, place: profile.place(role) })
    }

    pub(super) fn fetch(&self, context: &Context<'_>) -> Result<Fetched> {
        let token = token_file(&self.token_file, &self.place)?;
        let session_name = self.terms.session_name();
        let mut parameters = vec![
            ("RoleArn", self.terms.role_arn.as_str()),
            ("RoleSessionName", &session_name),
            ("WebIdentityToken", &token),
        ];
        parameters.extend(self.terms.duration.as_deref().map(|seconds| ("DurationSeconds", seconds)));
        let (keys, now) = StsCall {
            action: "AssumeRoleWithWebIdentity",
            parameters: &parameters,
            region: context.region,
            endpoint: &context.settings.endpoint(Service::Sts, context.region)?,
            keys: None,
        }
        .keys(context.wire, &format!("{} (role {})", self.place, self.terms.role_arn), context.deadline)?;
        Ok(Fetched::new(keys, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_a_name_that_sts_takes() {
        for (name, good) in
            [("ab", true), ("a.b@c=d,e+f-g_h", true), ("a", false), ("a b", false), ("ä-b", false), ("a/b", false)]
        {
            assert_eq!(checked_session(name, "x").is_ok(), good, "{name}");
        }
        assert!(checked_session(&"x".repeat(65), "x").is_err());
        let terms = Terms { role_arn: String::new(), session_name: None, external_id: None, duration: None };
        assert!(checked_session(&terms.session_name(), "x").is_ok());
    }

    #[test]
    fn a_role_has_an_arn() {
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
