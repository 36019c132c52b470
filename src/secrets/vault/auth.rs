//! The settings of authentication: which method, and with what credentials.

use std::fmt;
use std::path::{Path, PathBuf};

use super::address;
use super::secret_file::{self, printable};
use super::settings_reader::SettingsReader;
use crate::error::Result;
use crate::paths;
use crate::secret_memory::SecretBytes;
#[cfg(feature = "aws")]
use crate::secrets::aws::Caller;
use crate::settings::{InvalidSetting, Setting, SettingOrigin};
use crate::share::Identity;

const METHODS: &str = "token, approle, userpass, ldap, cert, kubernetes, jwt, aws or agent";
/// Keys that have no meaning without `vault_auth`.
const LOGIN_KEYS: [&str; 11] = [
    "vault_auth_mount",
    "vault_aws_region",
    "vault_aws_server_id",
    "vault_jwt_file",
    "vault_password",
    "vault_password_file",
    "vault_role",
    "vault_role_id",
    "vault_secret_id",
    "vault_secret_id_file",
    "vault_username",
];

/// How the token is obtained.
pub(super) enum VaultAuth {
    /// A token in the settings.
    Token(SecretBytes),
    /// A token in a file, which may be replaced at any time.
    TokenFile {
        path: PathBuf,
        /// Whether it is the file where `vault login` stores the token.
        is_default: bool,
    },
    /// No token: the agent at the address adds its own.
    Agent,
    Login(VaultLogin),
}

/// A login at `auth/{mount}/login`, or below it.
pub(super) struct VaultLogin {
    pub(super) mount: String,
    pub(super) credentials: LoginCredentials,
}

/// The credentials of a login.
pub(super) enum LoginCredentials {
    AppRole {
        role_id: SecretBytes,
        /// A role may not need one.
        secret_id: Option<GivenSecret>,
        /// Whether the secret ID is given as a wrapping token.
        is_wrapped: bool,
    },
    /// Sends a JWT that is read from a file.
    Jwt { kubernetes: bool, role: Option<String>, file: PathBuf },
    /// Sends a password, and the user in the path.
    Password { method: PasswordMethod, user: String, password: GivenSecret },
    /// Sends nothing but the role: the server has seen the client certificate of the connection.
    Certificate { role: Option<String>, certificate: PathBuf, key: PathBuf },
    /// Sends a signed AWS request. The server forwards it to AWS to verify the identity of the caller.
    #[cfg(feature = "aws")]
    Aws {
        role: Option<String>,
        /// The value of the header that says which server the call is for.
        server_id: Option<String>,
        caller: Box<Caller>,
    },
}

/// A secret in the settings, or in a file.
pub(super) enum GivenSecret {
    Text(SecretBytes),
    File(PathBuf),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PasswordMethod {
    UserPass,
    Ldap,
}

impl PasswordMethod {
    fn name(self) -> &'static str {
        match self {
            PasswordMethod::UserPass => "userpass",
            PasswordMethod::Ldap => "ldap",
        }
    }
}

impl VaultAuth {
    /// Reads the settings; `None` if none of them says how to authenticate.
    pub(super) fn read(reader: &SettingsReader<'_>, is_agent: bool) -> Result<Option<VaultAuth>, InvalidSetting> {
        match reader.config.setting("vault_auth")? {
            None => {
                for key in LOGIN_KEYS {
                    if let Some(setting) = reader.config.setting(key)? {
                        return Err(setting.invalid("is set, but vault_auth, the login method, is not"));
                    }
                }
                let token = token(reader)?;
                let is_absent = token.as_ref().is_none_or(VaultAuth::is_absent);
                Ok(if is_agent && is_absent { Some(VaultAuth::Agent) } else { token })
            }
            Some(setting) => match setting.text() {
                "token" => token(reader),
                "agent" => Ok(Some(VaultAuth::Agent)),
                "approle" => app_role(reader).map(Some),
                "kubernetes" => jwt(reader, true).map(Some),
                "jwt" => jwt(reader, false).map(Some),
                "userpass" => password(reader, PasswordMethod::UserPass).map(Some),
                "ldap" => password(reader, PasswordMethod::Ldap).map(Some),
                "cert" => certificate(reader).map(Some),
                "aws" => aws(reader).map(Some),
                _ => Err(setting.invalid(format!("must be {METHODS}"))),
            },
        }
    }

    /// Whether the user has not logged in yet: the file where `vault login` stores the token does not exist.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, VaultAuth::TokenFile { path, is_default: true } if !path.is_file())
    }

    /// The file with the token, secret ID, JWT, password or client certificate, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            VaultAuth::TokenFile { path, .. } => Some(path),
            VaultAuth::Login(login) => login.credentials.file(),
            VaultAuth::Token(_) | VaultAuth::Agent => None,
        }
    }

    /// Adds the method, and what the process logs in with, to the identity of a process.
    pub(super) fn identify(&self, identity: &mut Identity) -> Result<()> {
        identity.add("auth", self.name());
        match self {
            VaultAuth::Token(token) => identity.add_secret(token),
            VaultAuth::TokenFile { path, .. } => add_file(identity, path, "token"),
            VaultAuth::Agent => Ok(()),
            VaultAuth::Login(login) => {
                identity.add("auth mount", &login.mount);
                login.credentials.identify(identity)
            }
        }
    }

    /// The name of the method, as in `vault_auth`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            VaultAuth::Token(_) | VaultAuth::TokenFile { .. } => "token",
            VaultAuth::Agent => "agent",
            VaultAuth::Login(login) => login.credentials.name(),
        }
    }
}

impl fmt::Display for VaultLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} login at auth/{}", self.credentials.name(), self.mount)
    }
}

impl LoginCredentials {
    fn name(&self) -> &'static str {
        match self {
            LoginCredentials::AppRole { .. } => "approle",
            LoginCredentials::Jwt { kubernetes: true, .. } => "kubernetes",
            LoginCredentials::Jwt { kubernetes: false, .. } => "jwt",
            LoginCredentials::Password { method, .. } => method.name(),
            LoginCredentials::Certificate { .. } => "cert",
            #[cfg(feature = "aws")]
            LoginCredentials::Aws { .. } => "aws",
        }
    }

    /// The server's identifier of the role.
    pub(super) fn id(&self) -> &[u8] {
        match self {
            LoginCredentials::AppRole { role_id, .. } => role_id,
            LoginCredentials::Jwt { role, .. } | LoginCredentials::Certificate { role, .. } => {
                role.as_deref().unwrap_or_default().as_bytes()
            }
            LoginCredentials::Password { user, .. } => user.as_bytes(),
            #[cfg(feature = "aws")]
            LoginCredentials::Aws { role, .. } => role.as_deref().unwrap_or_default().as_bytes(),
        }
    }

    /// Whether the server locks the role or user after some failed logins.
    pub(super) fn has_lockout(&self) -> bool {
        matches!(self, LoginCredentials::AppRole { .. } | LoginCredentials::Password { .. })
    }

    fn identify(&self, identity: &mut Identity) -> Result<()> {
        identity.add_hash("role", self.id());
        match self {
            LoginCredentials::AppRole { role_id, secret_id, .. } => {
                identity.add_secret(role_id)?;
                match secret_id {
                    None => Ok(()),
                    Some(GivenSecret::Text(secret_id)) => identity.add_secret(secret_id),
                    Some(GivenSecret::File(path)) => add_file(identity, path, "secret ID"),
                }
            }
            LoginCredentials::Jwt { file, .. } => add_file(identity, file, "JWT"),
            LoginCredentials::Password { password: GivenSecret::Text(password), .. } => identity.add_secret(password),
            LoginCredentials::Password { password: GivenSecret::File(path), .. } => {
                identity.add("file", path.as_os_str().as_encoded_bytes());
                identity.add_secret(&secret_file::read_line(path, "password")?.0)
            }
            // The paths of both files are part of how the server is reached.
            LoginCredentials::Certificate { key, .. } => {
                identity.add_secret(&secret_file::read_pem(key, "client key")?.0)
            }
            #[cfg(feature = "aws")]
            LoginCredentials::Aws { server_id, caller, .. } => {
                identity.add_optional("server id", server_id.as_ref());
                caller.identify(identity)
            }
        }
    }

    fn file(&self) -> Option<&Path> {
        match self {
            LoginCredentials::AppRole { secret_id: Some(GivenSecret::File(path)), .. }
            | LoginCredentials::Jwt { file: path, .. }
            | LoginCredentials::Password { password: GivenSecret::File(path), .. }
            | LoginCredentials::Certificate { certificate: path, .. } => Some(path),
            LoginCredentials::AppRole { .. } | LoginCredentials::Password { .. } => None,
            #[cfg(feature = "aws")]
            LoginCredentials::Aws { .. } => None,
        }
    }
}

/// Adds the path of a file, and the secret in it.
fn add_file(identity: &mut Identity, path: &Path, what: &str) -> Result<()> {
    identity.add("file", path.as_os_str().as_encoded_bytes());
    identity.add_secret(&secret_file::read(path, what)?.0)
}

/// A token from the configuration, a variable or a file, in this order.
fn token(reader: &SettingsReader<'_>) -> Result<Option<VaultAuth>, InvalidSetting> {
    if let Some(setting) = reader.config.setting("vault_token")? {
        return secret(&setting).map(|token| Some(VaultAuth::Token(token)));
    }
    if let Some(setting) = reader.config.setting("vault_token_file")? {
        return Ok(Some(VaultAuth::TokenFile { path: setting.path(), is_default: false }));
    }
    if let Some(setting) = reader.tool_variable("TOKEN")? {
        return secret(&setting).map(|token| Some(VaultAuth::Token(token)));
    }
    if let Some(setting) = reader.tool_variable("TOKEN_PATH")? {
        return Ok(Some(VaultAuth::TokenFile { path: setting.path(), is_default: false }));
    }
    let home = reader.environment.home();
    Ok(home.map(|home| VaultAuth::TokenFile { path: home.join(".vault-token"), is_default: true }))
}

fn app_role(reader: &SettingsReader<'_>) -> Result<VaultAuth, InvalidSetting> {
    let method = SettingOrigin::Config("vault_auth");
    let Some(role_id) = reader.config.setting("vault_role_id")? else {
        return Err(method.invalid("is approle, which also needs vault_role_id"));
    };
    let secret_id = given(reader, "approle", ["vault_secret_id", "vault_secret_id_file"], secret)?;
    let is_wrapped = reader.config.flag("vault_secret_id_wrapped").unwrap_or(false);
    let credentials = LoginCredentials::AppRole { role_id: secret(&role_id)?, secret_id, is_wrapped };
    Ok(VaultAuth::Login(VaultLogin { mount: auth_mount(reader, "approle")?, credentials }))
}

fn jwt(reader: &SettingsReader<'_>, kubernetes: bool) -> Result<VaultAuth, InvalidSetting> {
    let role = reader.config.setting("vault_role")?.map(|setting| setting.text().to_owned());
    if kubernetes && role.is_none() {
        return Err(SettingOrigin::Config("vault_auth").invalid("is kubernetes, which also needs vault_role"));
    }
    let file = reader
        .config
        .setting("vault_jwt_file")?
        .map_or_else(|| paths::service_account("token"), |setting| setting.path());
    let mount = auth_mount(reader, if kubernetes { "kubernetes" } else { "jwt" })?;
    Ok(VaultAuth::Login(VaultLogin { mount, credentials: LoginCredentials::Jwt { kubernetes, role, file } }))
}

fn password(reader: &SettingsReader<'_>, method: PasswordMethod) -> Result<VaultAuth, InvalidSetting> {
    let (name, setting) = (method.name(), SettingOrigin::Config("vault_auth"));
    let Some(user) = reader.config.setting("vault_username")? else {
        return Err(setting.invalid(format!("is {name}, which also needs vault_username")));
    };
    // The user is one segment of the path.
    if matches!(user.text(), "." | "..") || user.text().contains('/') {
        return Err(user.invalid("must be the name of a user: not `.` or `..`, and without `/`"));
    }
    let text = |setting: &Setting| {
        SecretBytes::copy_from(setting.text().as_bytes()).map_err(|error| InvalidSetting { error, in_config: true })
    };
    let Some(password) = given(reader, name, ["vault_password", "vault_password_file"], text)? else {
        return Err(setting.invalid(format!("is {name}, which also needs vault_password or vault_password_file")));
    };
    let credentials = LoginCredentials::Password { method, user: user.text().to_owned(), password };
    Ok(VaultAuth::Login(VaultLogin { mount: auth_mount(reader, name)?, credentials }))
}

fn certificate(reader: &SettingsReader<'_>) -> Result<VaultAuth, InvalidSetting> {
    let Some((certificate, key)) = reader.client_certificate()? else {
        let what = "is cert, which also needs vault_client_cert and vault_client_key (or VAULT_CLIENT_CERT and \
                    VAULT_CLIENT_KEY)";
        return Err(SettingOrigin::Config("vault_auth").invalid(what));
    };
    let role = reader.config.setting("vault_role")?.map(|setting| setting.text().to_owned());
    let credentials = LoginCredentials::Certificate { role, certificate: certificate.path(), key: key.path() };
    Ok(VaultAuth::Login(VaultLogin { mount: auth_mount(reader, "cert")?, credentials }))
}

#[cfg(feature = "aws")]
fn aws(reader: &SettingsReader<'_>) -> Result<VaultAuth, InvalidSetting> {
    let config = reader.config;
    let role = config.setting("vault_role")?.map(|setting| setting.text().to_owned());
    let server_id = config.setting("vault_aws_server_id")?;
    // It becomes the value of a header.
    let server_id = server_id.map(|setting| match printable(setting.text().as_bytes()) {
        Ok(_) => Ok(setting.text().to_owned()),
        Err(what) => Err(setting.invalid(what)),
    });
    let server_id = server_id.transpose()?;
    let region = config.setting("vault_aws_region")?;
    let caller = Box::new(Caller::open(config, &reader.common.aws, region.as_ref())?);
    let credentials = LoginCredentials::Aws { role, server_id, caller };
    Ok(VaultAuth::Login(VaultLogin { mount: auth_mount(reader, "aws")?, credentials }))
}

#[cfg(not(feature = "aws"))]
fn aws(_: &SettingsReader<'_>) -> Result<VaultAuth, InvalidSetting> {
    let what = "is aws, which needs a library that is built with the cargo feature `aws`";
    Err(SettingOrigin::Config("vault_auth").invalid(what))
}

/// The secret of a method, which one of two keys sets: the first has the secret, the second a file.
fn given(
    reader: &SettingsReader<'_>,
    method: &str,
    [text, file]: [&'static str; 2],
    secret: impl Fn(&Setting) -> Result<SecretBytes, InvalidSetting>,
) -> Result<Option<GivenSecret>, InvalidSetting> {
    match (reader.config.setting(text)?, reader.config.setting(file)?) {
        (Some(_), Some(_)) => {
            let what = format!("is {method}: set either {text} or {file}, not both");
            Err(SettingOrigin::Config("vault_auth").invalid(what))
        }
        (Some(setting), None) => Ok(Some(GivenSecret::Text(secret(&setting)?))),
        (None, Some(setting)) => Ok(Some(GivenSecret::File(setting.path()))),
        (None, None) => Ok(None),
    }
}

fn auth_mount(reader: &SettingsReader<'_>, default: &str) -> Result<String, InvalidSetting> {
    let Some(setting) = reader.config.setting("vault_auth_mount")? else { return Ok(default.to_owned()) };
    let path = address::path(&setting)?.unwrap_or_else(|| default.to_owned());
    Ok(path.strip_prefix("auth/").unwrap_or(&path).to_owned())
}

fn secret(setting: &Setting) -> Result<SecretBytes, InvalidSetting> {
    let text = printable(setting.text().as_bytes()).map_err(|what| setting.invalid(what))?;
    SecretBytes::copy_from(text).map_err(|error| InvalidSetting { error, in_config: true })
}
