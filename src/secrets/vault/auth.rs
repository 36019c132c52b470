//! The ways to get a token, as the settings have them.

use std::path::{Path, PathBuf};

use super::address;
use super::login::{Login, Role, SecretId, Wrapping, printable};
use super::settings::file;
use super::variables::{Given, Inputs, Origin, Refused};
use crate::paths;
use crate::secret_memory::SecretBytes;

/// Where Kubernetes puts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const METHODS: &str = "token, approle, kubernetes, jwt or agent";
/// Keys that mean nothing without `vault_auth`.
const OF_LOGINS: [&str; 6] =
    ["vault_auth_mount", "vault_jwt_file", "vault_role", "vault_role_id", "vault_secret_id", "vault_secret_id_file"];

/// How a token is had.
pub(super) enum Auth {
    /// One that was given.
    Token(SecretBytes),
    /// One in a file, which may be replaced.
    TokenFile {
        path: PathBuf,
        is_usual: bool,
    },
    /// None: the agent at that address adds its own.
    Agent,
    Login(Login),
}

impl Auth {
    /// `None` where nothing says how to log in.
    pub(super) fn read(inputs: &Inputs<'_>, at_agent: bool) -> Result<Option<Auth>, Refused> {
        match inputs.config("vault_auth")? {
            None => {
                for key in OF_LOGINS {
                    if let Some(given) = inputs.config(key)? {
                        return Err(given.origin.refuse("is set, but vault_auth, which says how to log in, is not"));
                    }
                }
                let token = token(inputs)?;
                let is_absent = token.as_ref().is_none_or(Auth::is_absent);
                Ok(if at_agent && is_absent { Some(Auth::Agent) } else { token })
            }
            Some(given) => match given.value.as_str() {
                "token" => token(inputs),
                "agent" => Ok(Some(Auth::Agent)),
                "approle" => app_role(inputs).map(Some),
                "kubernetes" => jwt(inputs, true).map(Some),
                "jwt" => jwt(inputs, false).map(Some),
                _ => Err(given.origin.refuse(format!("must be {METHODS}"))),
            },
        }
    }

    /// Whether nobody has logged in yet: the file where `vault login` leaves the token does not exist.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Auth::TokenFile { path, is_usual: true } if !path.is_file())
    }

    /// The file that holds what the server is shown, if one does.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Auth::TokenFile { path, .. } => Some(path),
            Auth::Login(login) => login.role.file(),
            Auth::Token(_) | Auth::Agent => None,
        }
    }

    /// The name of the method, as `vault_auth` takes it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Auth::Token(_) | Auth::TokenFile { .. } => "token",
            Auth::Agent => "agent",
            Auth::Login(login) => login.role.name(),
        }
    }
}

/// A token from the configuration, a variable or a file, in this order.
fn token(inputs: &Inputs<'_>) -> Result<Option<Auth>, Refused> {
    if let Some(given) = inputs.config("vault_token")? {
        return secret(&given).map(|token| Some(Auth::Token(token)));
    }
    if let Some(given) = inputs.config("vault_token_file")? {
        return Ok(Some(Auth::TokenFile { path: file(&given), is_usual: false }));
    }
    if let Some(given) = inputs.tool("TOKEN")? {
        return secret(&given).map(|token| Some(Auth::Token(token)));
    }
    if let Some(given) = inputs.tool("TOKEN_PATH")? {
        return Ok(Some(Auth::TokenFile { path: file(&given), is_usual: false }));
    }
    let home = match (inputs.variable)("HOME") {
        Some(home) if !home.is_empty() => Some(PathBuf::from(home)),
        _ => paths::home(),
    };
    Ok(home.map(|home| Auth::TokenFile { path: home.join(".vault-token"), is_usual: true }))
}

fn app_role(inputs: &Inputs<'_>) -> Result<Auth, Refused> {
    let method = Origin::Config("vault_auth");
    let Some(role_id) = inputs.config("vault_role_id")? else {
        return Err(method.refuse("is approle, which needs vault_role_id too"));
    };
    let secret_id = match (inputs.config("vault_secret_id")?, inputs.config("vault_secret_id_file")?) {
        (Some(_), Some(_)) => return Err(method.refuse("is approle: set vault_secret_id or vault_secret_id_file")),
        (Some(given), None) => SecretId::Given(secret(&given)?),
        (None, Some(given)) => SecretId::File(file(&given)),
        (None, None) => SecretId::None,
    };
    let wrapped = inputs.config.flag("vault_secret_id_wrapped").unwrap_or(false);
    let role = Role::AppRole { role_id: secret(&role_id)?, secret_id, wrapping: wrapped.then(Wrapping::default) };
    Ok(Auth::Login(Login { mount: auth_mount(inputs, "approle")?, role }))
}

fn jwt(inputs: &Inputs<'_>, kubernetes: bool) -> Result<Auth, Refused> {
    let role = inputs.config("vault_role")?.map(|given| given.value.as_str().to_owned());
    if kubernetes && role.is_none() {
        return Err(Origin::Config("vault_auth").refuse("is kubernetes, which needs vault_role too"));
    }
    let file = inputs.config("vault_jwt_file")?.map_or_else(|| PathBuf::from(SERVICE_ACCOUNT), |given| file(&given));
    let mount = auth_mount(inputs, if kubernetes { "kubernetes" } else { "jwt" })?;
    Ok(Auth::Login(Login { mount, role: Role::Jwt { kubernetes, role, file } }))
}

fn auth_mount(inputs: &Inputs<'_>, usual: &str) -> Result<String, Refused> {
    let Some(given) = inputs.config("vault_auth_mount")? else { return Ok(usual.to_owned()) };
    let path = address::path(&given)?.unwrap_or_else(|| usual.to_owned());
    Ok(path.strip_prefix("auth/").unwrap_or(&path).to_owned())
}

fn secret(given: &Given) -> Result<SecretBytes, Refused> {
    let text = printable(given.value.as_bytes()).map_err(|what| given.origin.refuse(what))?;
    SecretBytes::copy_from(text).map_err(|error| Refused { error, in_config: true })
}
