//! The settings of authentication: which method, and with what credentials.

use std::fmt;
use std::path::{Path, PathBuf};

use super::address;
use super::secret_file::{self, printable};
use super::settings_reader::SettingsReader;
use crate::error::Result;
use crate::secret_memory::SecretBytes;
use crate::settings::{InvalidSetting, Setting, SettingOrigin};
use crate::share::Identity;

/// Where Kubernetes puts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const METHODS: &str = "token, approle, kubernetes, jwt or agent";
/// Keys that have no meaning without `vault_auth`.
const LOGIN_KEYS: [&str; 6] =
    ["vault_auth_mount", "vault_jwt_file", "vault_role", "vault_role_id", "vault_secret_id", "vault_secret_id_file"];

/// How the token is obtained.
pub(super) enum Auth {
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
    Login(Login),
}

/// A login at `auth/{mount}/login`.
pub(super) struct Login {
    pub(super) mount: String,
    pub(super) role: Role,
}

/// The credentials of a login.
pub(super) enum Role {
    AppRole {
        role_id: SecretBytes,
        secret_id: SecretId,
        /// Whether the secret ID is given as a wrapping token.
        is_wrapped: bool,
    },
    /// Sends a JWT that is read from a file.
    Jwt { kubernetes: bool, role: Option<String>, file: PathBuf },
}

/// The secret ID of an AppRole. A role may not need one.
pub(super) enum SecretId {
    None,
    Given(SecretBytes),
    File(PathBuf),
}

impl Auth {
    /// Reads the settings; `None` if none of them says how to authenticate.
    pub(super) fn read(reader: &SettingsReader<'_>, is_agent: bool) -> Result<Option<Auth>, InvalidSetting> {
        match reader.config.setting("vault_auth")? {
            None => {
                for key in LOGIN_KEYS {
                    if let Some(setting) = reader.config.setting(key)? {
                        return Err(setting.invalid("is set, but vault_auth, the login method, is not"));
                    }
                }
                let token = token(reader)?;
                let is_absent = token.as_ref().is_none_or(Auth::is_absent);
                Ok(if is_agent && is_absent { Some(Auth::Agent) } else { token })
            }
            Some(setting) => match setting.text() {
                "token" => token(reader),
                "agent" => Ok(Some(Auth::Agent)),
                "approle" => app_role(reader).map(Some),
                "kubernetes" => jwt(reader, true).map(Some),
                "jwt" => jwt(reader, false).map(Some),
                _ => Err(setting.invalid(format!("must be {METHODS}"))),
            },
        }
    }

    /// Whether the user has not logged in yet: the file where `vault login` stores the token does not exist.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Auth::TokenFile { path, is_default: true } if !path.is_file())
    }

    /// The file with the token, secret ID or JWT, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Auth::TokenFile { path, .. } => Some(path),
            Auth::Login(login) => login.role.file(),
            Auth::Token(_) | Auth::Agent => None,
        }
    }

    /// Adds the method, and what the process logs in with, to the identity of a process.
    pub(super) fn identify(&self, identity: &mut Identity) -> Result<()> {
        identity.add("auth", self.name());
        match self {
            Auth::Token(token) => identity.add_secret(token),
            Auth::TokenFile { path, .. } => add_file(identity, path, "token"),
            Auth::Agent => Ok(()),
            Auth::Login(login) => {
                identity.add("auth mount", &login.mount);
                login.role.identify(identity)
            }
        }
    }

    /// The name of the method, as in `vault_auth`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Auth::Token(_) | Auth::TokenFile { .. } => "token",
            Auth::Agent => "agent",
            Auth::Login(login) => login.role.name(),
        }
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} login at auth/{}", self.role.name(), self.mount)
    }
}

impl Role {
    fn name(&self) -> &'static str {
        match self {
            Role::AppRole { .. } => "approle",
            Role::Jwt { kubernetes: true, .. } => "kubernetes",
            Role::Jwt { kubernetes: false, .. } => "jwt",
        }
    }

    /// The server's identifier of the role.
    pub(super) fn id(&self) -> &[u8] {
        match self {
            Role::AppRole { role_id, .. } => role_id,
            Role::Jwt { role, .. } => role.as_deref().unwrap_or_default().as_bytes(),
        }
    }

    fn identify(&self, identity: &mut Identity) -> Result<()> {
        identity.add_hash("role", self.id());
        match self {
            Role::AppRole { role_id, secret_id, .. } => {
                identity.add_secret(role_id)?;
                match secret_id {
                    SecretId::None => Ok(()),
                    SecretId::Given(secret_id) => identity.add_secret(secret_id),
                    SecretId::File(path) => add_file(identity, path, "secret ID"),
                }
            }
            Role::Jwt { file, .. } => add_file(identity, file, "JWT"),
        }
    }

    fn file(&self) -> Option<&Path> {
        match self {
            Role::AppRole { secret_id: SecretId::File(path), .. } | Role::Jwt { file: path, .. } => Some(path),
            Role::AppRole { .. } => None,
        }
    }
}

/// Adds the path of a file, and the secret in it.
fn add_file(identity: &mut Identity, path: &Path, what: &str) -> Result<()> {
    identity.add("file", path.as_os_str().as_encoded_bytes());
    identity.add_secret(&secret_file::read(path, what)?.0)
}

/// A token from the configuration, a variable or a file, in this order.
fn token(reader: &SettingsReader<'_>) -> Result<Option<Auth>, InvalidSetting> {
    if let Some(setting) = reader.config.setting("vault_token")? {
        return secret(&setting).map(|token| Some(Auth::Token(token)));
    }
    if let Some(setting) = reader.config.setting("vault_token_file")? {
        return Ok(Some(Auth::TokenFile { path: setting.path(), is_default: false }));
    }
    if let Some(setting) = reader.tool_variable("TOKEN")? {
        return secret(&setting).map(|token| Some(Auth::Token(token)));
    }
    if let Some(setting) = reader.tool_variable("TOKEN_PATH")? {
        return Ok(Some(Auth::TokenFile { path: setting.path(), is_default: false }));
    }
    let home = reader.environment.home();
    Ok(home.map(|home| Auth::TokenFile { path: home.join(".vault-token"), is_default: true }))
}

fn app_role(reader: &SettingsReader<'_>) -> Result<Auth, InvalidSetting> {
    let method = SettingOrigin::Config("vault_auth");
    let Some(role_id) = reader.config.setting("vault_role_id")? else {
        return Err(method.invalid("is approle, which also needs vault_role_id"));
    };
    let secret_id = match (reader.config.setting("vault_secret_id")?, reader.config.setting("vault_secret_id_file")?) {
        (Some(_), Some(_)) => {
            return Err(method.invalid("is approle: set either vault_secret_id or vault_secret_id_file, not both"));
        }
        (Some(setting), None) => SecretId::Given(secret(&setting)?),
        (None, Some(setting)) => SecretId::File(setting.path()),
        (None, None) => SecretId::None,
    };
    let is_wrapped = reader.config.flag("vault_secret_id_wrapped").unwrap_or(false);
    let role = Role::AppRole { role_id: secret(&role_id)?, secret_id, is_wrapped };
    Ok(Auth::Login(Login { mount: auth_mount(reader, "approle")?, role }))
}

fn jwt(reader: &SettingsReader<'_>, kubernetes: bool) -> Result<Auth, InvalidSetting> {
    let role = reader.config.setting("vault_role")?.map(|setting| setting.text().to_owned());
    if kubernetes && role.is_none() {
        return Err(SettingOrigin::Config("vault_auth").invalid("is kubernetes, which also needs vault_role"));
    }
    let file = reader
        .config
        .setting("vault_jwt_file")?
        .map_or_else(|| PathBuf::from(SERVICE_ACCOUNT), |setting| setting.path());
    let mount = auth_mount(reader, if kubernetes { "kubernetes" } else { "jwt" })?;
    Ok(Auth::Login(Login { mount, role: Role::Jwt { kubernetes, role, file } }))
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
