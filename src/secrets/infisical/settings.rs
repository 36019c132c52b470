//! The server, the project and the credentials.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::names::{SecretPlace, slug};
use crate::config::Config;
use crate::error::{Error, Result, Status};
use crate::secrets::cloud::{Credential, any_url, is_safe};
use crate::settings::{Environment, InvalidSetting, Setting};
use crate::share::Identity;

const DEFAULT_URL: &str = "https://app.infisical.com";
const URL_VARIABLE: &str = "INFISICAL_API_URL";
const PROJECT_VARIABLE: &str = "INFISICAL_PROJECT_ID";
const CLIENT_VARIABLE: &str = "INFISICAL_UNIVERSAL_AUTH_CLIENT_ID";

/// The settings of the provider itself. What comes from variables is read when it is needed.
pub(super) struct Settings {
    url: Option<String>,
    project: Option<String>,
    pub(super) environment: String,
    client_id: Option<Setting>,
    client_secret: Credential,
    token: Credential,
    variables: Environment,
}

/// With what requests are made.
pub(super) enum InfisicalLogin {
    /// Universal auth of a machine identity.
    Universal { client_id: String, secret: Zeroizing<String> },
    /// An access token.
    Token(Zeroizing<String>),
}

impl Settings {
    /// The settings, with what an element of `providers` sets besides; `None` without an environment.
    pub(super) fn read(config: &Config, place: SecretPlace) -> Result<Option<Settings>, InvalidSetting> {
        let checked_slug = |key: &'static str| config.setting(key)?.as_ref().map(slug).transpose();
        let (project, environment) = (checked_slug("infisical_project")?, checked_slug("infisical_environment")?);
        let url = config.setting("infisical_url")?.as_ref().map(any_url).transpose()?;
        let client_id = config.setting("infisical_client_id")?;
        client_id.as_ref().map(slug).transpose()?;
        let client_secret = Credential::of_config(
            config,
            "infisical_client_secret",
            "infisical_client_secret_file",
            "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET",
        )?;
        let token = Credential::of_config(config, "infisical_token", "infisical_token_file", "INFISICAL_TOKEN")?;
        let Some(environment) = place.environment.or(environment) else { return Ok(None) };
        let project = place.project.or(project);
        let variables = Environment::Process;
        Ok(Some(Settings { url, project, environment, client_id, client_secret, token, variables }))
    }

    /// The URL of the server, without `/` at its end.
    pub(super) fn url(&self) -> Result<String> {
        if let Some(url) = &self.url {
            return Ok(url.clone());
        }
        let Some(setting) = self.variables.setting(URL_VARIABLE)? else { return Ok(DEFAULT_URL.to_owned()) };
        // Infisical's own program wants the path of the API there.
        let url = any_url(&setting)?;
        Ok(url.strip_suffix("/api").unwrap_or(&url).to_owned())
    }

    pub(super) fn is_cleartext(&self) -> bool {
        self.url().is_ok_and(|url| !is_safe(&url))
    }

    pub(super) fn project(&self) -> Result<String> {
        if let Some(project) = &self.project {
            return Ok(project.clone());
        }
        match self.variables.setting(PROJECT_VARIABLE)? {
            Some(setting) => Ok(slug(&setting)?),
            None => {
                let message =
                    format!("no project of Infisical is named; set `infisical_project` or {PROJECT_VARIABLE}");
                Err(Error::new(Status::Config, message))
            }
        }
    }

    /// The credentials that are used now. Settings come before variables, and universal auth before a token.
    pub(super) fn login(&self) -> Result<InfisicalLogin> {
        if self.client_id.is_none()
            && self.token.is_setting()
            && let Some(token) = self.access_token()?
        {
            return Ok(InfisicalLogin::Token(token));
        }
        let client_id = match &self.client_id {
            Some(setting) => Some(setting.clone()),
            None => self.variables.setting(CLIENT_VARIABLE)?,
        };
        if let Some(setting) = client_id {
            let client_id = slug(&setting)?;
            let secret = self.client_secret.read(&self.variables, "the client secret of Infisical")?;
            let secret = secret.ok_or_else(|| {
                let needs = setting.origin.to_string();
                Error::new(
                    Status::Config,
                    format!(
                        "{needs} needs `infisical_client_secret`, `infisical_client_secret_file` or the variable \
                        INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET"
                    ),
                )
            })?;
            return Ok(InfisicalLogin::Universal { client_id, secret });
        }
        self.access_token()?.map(InfisicalLogin::Token).ok_or_else(|| {
            let message = format!(
                "no credentials for Infisical: set {CLIENT_VARIABLE} and INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET, \
                 `infisical_client_id` and its secret, or INFISICAL_TOKEN"
            );
            Error::new(Status::Config, message)
        })
    }

    fn access_token(&self) -> Result<Option<Zeroizing<String>>> {
        self.token.read(&self.variables, "the token of Infisical")
    }

    /// The file with the credential, if there is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.client_secret.file().or(self.token.file())
    }
}

impl InfisicalLogin {
    /// What the credentials are, for messages.
    pub(super) fn origin(&self) -> String {
        match self {
            InfisicalLogin::Universal { client_id, .. } => format!("the client ID {client_id}"),
            InfisicalLogin::Token(_) => "the token".to_owned(),
        }
    }

    /// Adds which identity requests have.
    pub(super) fn identify(&self, identity: &mut Identity) -> Result<()> {
        match self {
            InfisicalLogin::Universal { client_id, secret } => {
                identity.add("client", client_id);
                identity.add_secret(secret.as_bytes())
            }
            InfisicalLogin::Token(token) => {
                identity.add("token", "");
                identity.add_secret(token.as_bytes())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(settings: &[(&str, &str)], variables: &[(&str, &str)]) -> Settings {
        let mut config = Config::new();
        config.set("infisical_environment", "prod").unwrap();
        settings.iter().for_each(|(name, value)| config.set(name, value).unwrap());
        let settings = Settings::read(&config, SecretPlace::default()).ok().unwrap().unwrap();
        Settings { variables: Environment::fixed(variables), ..settings }
    }

    fn origin(given: &[(&str, &str)], variables: &[(&str, &str)]) -> String {
        settings(given, variables).login().map_or_else(|error| error.to_string(), |login| login.origin())
    }

    #[test]
    fn settings_come_before_variables() {
        let client = [(CLIENT_VARIABLE, "of-variable"), ("INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET", "s")];
        let token = ("INFISICAL_TOKEN", "t");
        let secret = ("infisical_client_secret", "s");
        assert_eq!(origin(&[], &client), "the client ID of-variable");
        assert_eq!(origin(&[], &[client[0], client[1], token]), "the client ID of-variable");
        assert_eq!(origin(&[], &[token]), "the token");
        assert_eq!(origin(&[("infisical_token", "t")], &client), "the token");
        assert_eq!(origin(&[("infisical_client_id", "own"), secret], &[client[0], token]), "the client ID own");
        let missing = origin(&[("infisical_client_id", "own")], &[token]);
        assert!(missing.contains("`infisical_client_id` needs `infisical_client_secret`"), "{missing}");
        assert!(origin(&[], &[]).contains("no credentials for Infisical"));
    }

    #[test]
    fn server_and_project_are_found() {
        assert_eq!(settings(&[], &[]).url().unwrap(), DEFAULT_URL);
        let variables = [(URL_VARIABLE, "https://own.example/api"), (PROJECT_VARIABLE, "p-1")];
        assert_eq!(settings(&[], &variables).url().unwrap(), "https://own.example");
        assert_eq!(settings(&[("infisical_url", "https://x/")], &variables).url().unwrap(), "https://x");
        assert_eq!(settings(&[], &variables).project().unwrap(), "p-1");
        assert!(settings(&[], &[]).project().unwrap_err().message().contains("INFISICAL_PROJECT_ID"));
        assert!(settings(&[], &[(URL_VARIABLE, "own.example")]).url().is_err());
        assert!(settings(&[], &[(URL_VARIABLE, "http://own.example")]).is_cleartext());
        assert!(!settings(&[], &variables).is_cleartext());
    }
}
