//! The ways to get a token, and logging in.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::address;
use super::client::{Call, Session};
use super::settings::file;
use super::token::{Life, Token};
use super::variables::{Given, Inputs, Origin, Refused};
use crate::bytes::SecretBytes;
use crate::clock::Instant;
use crate::error::{Result, Source, Status};
use crate::files::{self, Fingerprint};
use crate::paths;

/// Where Kubernetes puts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const METHODS: &str = "token, approle, kubernetes or jwt";
/// Keys that mean nothing without `vault_auth`.
const OF_LOGINS: [&str; 6] =
    ["vault_auth_mount", "vault_jwt_file", "vault_role", "vault_role_id", "vault_secret_id", "vault_secret_id_file"];
const MAX_FILE: usize = 64 << 10;

/// How a token is had.
pub(super) enum Auth {
    /// One that was given.
    Token(SecretBytes),
    /// One that stands in a file, which may be replaced.
    TokenFile(PathBuf),
    /// None: the agent at that address adds its own.
    Agent,
    Login(Login),
}

/// A login at `auth/{mount}/login`.
pub(super) struct Login {
    pub(super) mount: String,
    pub(super) role: Role,
}

/// Who logs in.
pub(super) enum Role {
    AppRole {
        role_id: SecretBytes,
        secret_id: SecretId,
    },
    /// Both show a JWT that stands in a file.
    Jwt {
        kubernetes: bool,
        role: Option<String>,
        file: PathBuf,
    },
}

/// The second half of an AppRole's credentials; a role may do without.
pub(super) enum SecretId {
    None,
    Given(SecretBytes),
    File(PathBuf),
}

impl Auth {
    /// `None` where nothing says how to log in.
    pub(super) fn read(inputs: &Inputs<'_>, at_agent: bool) -> std::result::Result<Option<Auth>, Refused> {
        match inputs.config("vault_auth")? {
            None => {
                for key in OF_LOGINS {
                    if let Some(given) = inputs.config(key)? {
                        return Err(given.origin.refuse("is set, but vault_auth, which says how to log in, is not"));
                    }
                }
                Ok(token(inputs)?.or(at_agent.then_some(Auth::Agent)))
            }
            Some(given) => match given.value.as_str() {
                "token" => token(inputs),
                "approle" => app_role(inputs).map(Some),
                "kubernetes" => jwt(inputs, true).map(Some),
                "jwt" => jwt(inputs, false).map(Some),
                _ => Err(given.origin.refuse(format!("must be {METHODS}"))),
            },
        }
    }

    /// The name of the method, as `vault_auth` takes it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Auth::Token(_) | Auth::TokenFile(_) => "token",
            Auth::Agent => "agent",
            Auth::Login(login) => login.role.name(),
        }
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
}

/// A token from the configuration, a variable or a file, in this order.
fn token(inputs: &Inputs<'_>) -> std::result::Result<Option<Auth>, Refused> {
    if let Some(given) = inputs.config("vault_token")? {
        return secret(&given).map(|token| Some(Auth::Token(token)));
    }
    if let Some(given) = inputs.config("vault_token_file")? {
        return Ok(Some(Auth::TokenFile(file(&given))));
    }
    if let Some(given) = inputs.tool("TOKEN")? {
        return secret(&given).map(|token| Some(Auth::Token(token)));
    }
    if let Some(given) = inputs.tool("TOKEN_PATH")? {
        return Ok(Some(Auth::TokenFile(file(&given))));
    }
    let home = match (inputs.variable)("HOME") {
        Some(home) if !home.is_empty() => Some(PathBuf::from(home)),
        _ => paths::home(),
    };
    let usual = home.map(|home| home.join(".vault-token"));
    Ok(usual.filter(|path| path.is_file()).map(Auth::TokenFile))
}

fn app_role(inputs: &Inputs<'_>) -> std::result::Result<Auth, Refused> {
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
    let role = Role::AppRole { role_id: secret(&role_id)?, secret_id };
    Ok(Auth::Login(Login { mount: auth_mount(inputs, "approle")?, role }))
}

fn jwt(inputs: &Inputs<'_>, kubernetes: bool) -> std::result::Result<Auth, Refused> {
    let role = inputs.config("vault_role")?.map(|given| given.value.as_str().to_owned());
    if kubernetes && role.is_none() {
        return Err(Origin::Config("vault_auth").refuse("is kubernetes, which needs vault_role too"));
    }
    let file = inputs.config("vault_jwt_file")?.map_or_else(|| PathBuf::from(SERVICE_ACCOUNT), |given| file(&given));
    let mount = auth_mount(inputs, if kubernetes { "kubernetes" } else { "jwt" })?;
    Ok(Auth::Login(Login { mount, role: Role::Jwt { kubernetes, role, file } }))
}

fn auth_mount(inputs: &Inputs<'_>, usual: &str) -> std::result::Result<String, Refused> {
    let Some(given) = inputs.config("vault_auth_mount")? else { return Ok(usual.to_owned()) };
    let path = address::path(&given)?.unwrap_or_else(|| usual.to_owned());
    Ok(path.strip_prefix("auth/").unwrap_or(&path).to_owned())
}

fn secret(given: &Given) -> std::result::Result<SecretBytes, Refused> {
    let text = printable(given.value.as_bytes()).map_err(|what| given.origin.refuse(what))?;
    SecretBytes::copy_from(text).map_err(|error| Refused { error, in_config: true })
}

/// The text without white space around it, if it is one that can be sent.
fn printable(text: &[u8]) -> std::result::Result<&[u8], &'static str> {
    let text = text.trim_ascii();
    match text {
        [] => Err("is empty"),
        text if text.iter().all(u8::is_ascii_graphic) => Ok(text),
        _ => Err("has spaces, line breaks or other characters in it that cannot be part of it"),
    }
}

/// A secret that stands alone in a file, and the state of that file. `what` it is, for the error.
pub(super) fn secret_in(path: &Path, what: &str) -> Result<(SecretBytes, Fingerprint)> {
    let told = |message: &str| format!("the {what} for Vault cannot be read: {message}");
    let contents = files::read(path, MAX_FILE).map_err(|error| error.with_source(Source::Vault).map_message(told))?;
    let text =
        printable(&contents.bytes).map_err(|what| Origin::File(path.display().to_string()).refuse(what).error)?;
    Ok((SecretBytes::copy_from(text)?, Fingerprint::of(&contents.metadata)))
}

impl Login {
    /// Logs in now.
    pub(super) fn run(&self, session: &Session<'_>) -> Result<Token> {
        let path = format!("auth/{}/login", address::encoded(&self.mount));
        let body = self.role.body()?;
        let began = Instant::now();
        let answer = session.ask(&Call::post(&path).with_body(&body))?;
        if answer.status != 200 {
            return Err(session.place().login_refused(self, &answer));
        }
        let object = session.object(&answer)?;
        let auth = object.object("auth").ok_or_else(|| session.place().not_vault(answer.status))?;
        let token = auth.secret("client_token").filter(|token| !token.is_empty()).ok_or_else(|| {
            let why = match auth.object("mfa_requirement") {
                Some(_) => "asks for a second factor, which this library cannot give; use a role without one",
                None => "brought no token",
            };
            session.place().error(Status::AccessDenied, format!("{self} {why}"))
        })?;
        let value = printable(token.as_bytes()).map_err(|_| session.place().not_vault(answer.status))?;
        Ok(Token::new(SecretBytes::copy_from(value)?, Some(Life::of(&auth, "lease_duration", began)), None))
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} login at auth/{}", self.role.name(), self.mount)
    }
}

impl Role {
    /// The request's JSON. Files are read anew each time.
    fn body(&self) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Role::AppRole { role_id, secret_id } => {
                let secret_id = match secret_id {
                    SecretId::None => None,
                    SecretId::Given(secret_id) => Some(secret_id.clone()),
                    SecretId::File(path) => Some(secret_in(path, "secret id")?.0),
                };
                Ok(json(&[("role_id", Some(role_id)), ("secret_id", secret_id.as_deref())]))
            }
            Role::Jwt { role, file, .. } => {
                let (jwt, _) = secret_in(file, "token of the service account")?;
                Ok(json(&[("role", role.as_ref().map(String::as_bytes)), ("jwt", Some(&jwt))]))
            }
        }
    }

    /// What to look at where the login is refused.
    pub(super) fn advice(&self) -> String {
        match self {
            Role::AppRole { secret_id: SecretId::None, .. } => {
                "check vault_role_id, and whether the role wants a secret id (vault_secret_id)".to_owned()
            }
            Role::AppRole { secret_id: SecretId::Given(_), .. } => {
                "check vault_role_id and vault_secret_id: a secret id can expire and be used up".to_owned()
            }
            Role::AppRole { secret_id: SecretId::File(path), .. } => {
                format!("check vault_role_id and {}: a secret id can expire and be used up", path.display())
            }
            Role::Jwt { file, .. } => {
                format!("check vault_role and the token in {}: who issued it, for whom, until when", file.display())
            }
        }
    }
}

/// A JSON object of these texts.
fn json(members: &[(&str, Option<&[u8]>)]) -> Zeroizing<Vec<u8>> {
    // Six bytes are the most that one byte becomes, so the text never moves to a larger place.
    let size = members.iter().map(|(name, text)| name.len() + 6 + text.map_or(0, |text| text.len() * 6)).sum::<usize>();
    let mut json = Zeroizing::new(Vec::with_capacity(size + 2));
    for (name, text) in members {
        let Some(text) = text.and_then(|text| std::str::from_utf8(text).ok()) else { continue };
        let separator = if json.is_empty() { b'{' } else { b',' };
        json.push(separator);
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut *json, name);
        json.push(b':');
        let _ = serde_json::to_writer(&mut *json, text);
    }
    json.push(b'}');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_whatever_stands_in_it() {
        let body = json(&[("role_id", Some(b"a\"b")), ("secret_id", None), ("jwt", Some("é\\".as_bytes()))]);
        assert_eq!(std::str::from_utf8(&body).unwrap(), r#"{"role_id":"a\"b","jwt":"é\\"}"#);
    }

    #[test]
    fn a_secret_in_a_file_loses_the_white_space_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, " s.token\r\n").unwrap();
        assert_eq!(&*secret_in(&path, "token").unwrap().0, b"s.token");
        for text in ["", " \n", "CANARY one", "CANARY\nX-Other: 1", "CANARY\u{7f}", "CANARYé"] {
            std::fs::write(&path, text).unwrap();
            let error = secret_in(&path, "token").unwrap_err();
            assert_eq!((error.status(), error.source_layer()), (Status::Config, Source::Vault));
            assert!(error.message().contains("token") && !error.message().contains("CANARY"), "{error}");
        }
    }
}
