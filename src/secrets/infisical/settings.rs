//! The server, the project and the credentials.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::names::{SecretPlace, slug};
use crate::config::Config;
use crate::error::{Error, Result, Status};
use crate::paths;
use crate::secrets::cloud::{Credential, any_url, is_safe};
use crate::settings::{Environment, InvalidSetting, Setting, SettingOrigin};
use crate::share::Identity;

const DEFAULT_URL: &str = "https://app.infisical.com";
const URL_VARIABLE: &str = "INFISICAL_API_URL";
const PROJECT_VARIABLE: &str = "INFISICAL_PROJECT_ID";
const CLIENT_VARIABLE: &str = "INFISICAL_UNIVERSAL_AUTH_CLIENT_ID";
const IDENTITY_VARIABLE: &str = "INFISICAL_MACHINE_IDENTITY_ID";
const JWT_VARIABLE: &str = "INFISICAL_JWT";

/// The settings of the provider itself. What comes from variables is read when it is needed.
pub(super) struct Settings {
    url: Option<String>,
    project: Option<String>,
    pub(super) environment: String,
    /// The login with a JWT, if one is chosen.
    auth: Option<JwtAuth>,
    client_id: Option<Setting>,
    client_secret: Credential,
    identity_id: Option<Setting>,
    jwt: Credential,
    token: Credential,
    variables: Environment,
}

/// The logins that send a JWT, which the platform has issued to this process.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum JwtAuth {
    Kubernetes,
    Oidc,
    Jwt,
}

/// With what requests are made.
pub(super) enum InfisicalLogin {
    /// Universal auth of a machine identity.
    Universal { client_id: String, secret: Zeroizing<String> },
    /// A JWT of a machine identity.
    Jwt { auth: JwtAuth, identity_id: String, jwt: Zeroizing<String> },
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
        let auth = config.setting("infisical_auth")?.as_ref().map(JwtAuth::parse).transpose()?.flatten();
        let identity_id = config.setting("infisical_identity_id")?;
        identity_id.as_ref().map(slug).transpose()?;
        let jwt_file = config.setting("infisical_jwt_file")?;
        if let (None, Some(setting)) = (auth, identity_id.as_ref().or(jwt_file.as_ref())) {
            return Err(setting.invalid("needs `infisical_auth`: kubernetes, oidc or jwt"));
        }
        let of_pod = || {
            let path = paths::service_account("token").display().to_string();
            Setting::new(SettingOrigin::Named("the service account".to_owned()), &path)
        };
        let jwt_file = jwt_file.or_else(|| (auth == Some(JwtAuth::Kubernetes)).then(of_pod));
        let jwt = Credential::of_file(jwt_file, JWT_VARIABLE);
        let token = Credential::of_config(config, "infisical_token", "infisical_token_file", "INFISICAL_TOKEN")?;
        let Some(environment) = place.environment.or(environment) else { return Ok(None) };
        let project = place.project.or(project);
        let variables = Environment::Process;
        Ok(Some(Settings {
            url,
            project,
            environment,
            auth,
            client_id,
            client_secret,
            identity_id,
            jwt,
            token,
            variables,
        }))
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
        if let Some(auth) = self.auth {
            return self.jwt_login(auth);
        }
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

    fn jwt_login(&self, auth: JwtAuth) -> Result<InfisicalLogin> {
        let missing =
            |what: &str| Error::new(Status::Config, format!("`infisical_auth` is {}, which needs {what}", auth.name()));
        let identity_id = match &self.identity_id {
            Some(setting) => Some(setting.clone()),
            None => self.variables.setting(IDENTITY_VARIABLE)?,
        };
        let identity_id = identity_id
            .ok_or_else(|| missing(&format!("`infisical_identity_id` or the variable {IDENTITY_VARIABLE}")))?;
        let jwt = self.jwt.read(&self.variables, "the JWT for Infisical")?;
        let jwt = jwt.ok_or_else(|| missing(&format!("`infisical_jwt_file` or the variable {JWT_VARIABLE}")))?;
        Ok(InfisicalLogin::Jwt { auth, identity_id: slug(&identity_id)?, jwt })
    }

    fn access_token(&self) -> Result<Option<Zeroizing<String>>> {
        self.token.read(&self.variables, "the token of Infisical")
    }

    /// The file with the credential, if there is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.jwt.file().or(self.client_secret.file()).or(self.token.file())
    }
}

impl JwtAuth {
    /// `None` for universal auth or a token, which the other settings choose.
    fn parse(setting: &Setting) -> Result<Option<JwtAuth>, InvalidSetting> {
        match setting.text() {
            "universal" => Ok(None),
            "kubernetes" => Ok(Some(JwtAuth::Kubernetes)),
            "oidc" => Ok(Some(JwtAuth::Oidc)),
            "jwt" => Ok(Some(JwtAuth::Jwt)),
            _ => Err(setting.invalid("must be universal, kubernetes, oidc or jwt")),
        }
    }

    /// As in the setting and in the path of the login.
    pub(super) fn name(self) -> &'static str {
        match self {
            JwtAuth::Kubernetes => "kubernetes",
            JwtAuth::Oidc => "oidc",
            JwtAuth::Jwt => "jwt",
        }
    }
}

impl InfisicalLogin {
    /// What the credentials are, for messages.
    pub(super) fn origin(&self) -> String {
        match self {
            InfisicalLogin::Jwt { identity_id, .. } => format!("the identity {identity_id}"),
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
            InfisicalLogin::Jwt { auth, identity_id, jwt } => {
                identity.add(auth.name(), identity_id);
                identity.add_secret(jwt.as_bytes())
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
    fn login_with_a_jwt_is_chosen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a.b.c\n").unwrap();
        let of = |auth: &'static str| [("infisical_auth", auth), ("infisical_jwt_file", file.path().to_str().unwrap())];
        let identity = (IDENTITY_VARIABLE, "of-variable");
        let client = [(CLIENT_VARIABLE, "c"), ("INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET", "s")];
        for auth in ["kubernetes", "oidc", "jwt"] {
            assert_eq!(origin(&of(auth), &[identity, client[0], client[1]]), "the identity of-variable");
            let own = [&of(auth)[..], &[("infisical_identity_id", "own")]].concat();
            assert_eq!(origin(&own, &[identity]), "the identity own");
            assert!(origin(&of(auth), &[]).contains("needs `infisical_identity_id` or the variable INFISICAL_MACHINE"));
        }
        assert_eq!(
            origin(&[("infisical_auth", "oidc")], &[identity, (JWT_VARIABLE, "a.b.c")]),
            "the identity of-variable"
        );
        assert!(origin(&[("infisical_auth", "oidc")], &[identity]).contains("needs `infisical_jwt_file` or"));
        assert!(origin(&[("infisical_auth", "kubernetes")], &[identity]).contains("/var/run/secrets/kubernetes.io"));
        assert_eq!(origin(&[("infisical_auth", "universal")], &client), "the client ID c");
        for (name, value, word) in [
            ("infisical_auth", "aws", "must be universal, kubernetes, oidc or jwt"),
            ("infisical_jwt_file", "/x", "needs `infisical_auth`"),
            ("infisical_identity_id", "x", "needs `infisical_auth`"),
        ] {
            let mut config = Config::new();
            config.set(name, value).unwrap();
            let error = Settings::read(&config, SecretPlace::default()).err().unwrap().error;
            assert!(error.message().contains(&format!("`{name}` {word}")), "{error}");
        }
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
