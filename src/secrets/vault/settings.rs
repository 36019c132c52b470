//! What the configuration and the environment say about Vault, checked.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

use super::address::{self, Address};
use super::auth::Auth;
use super::pace::Rate;
use super::variables::{Given, Inputs, Refused};
use crate::http::{self, Proxy, Roots};
use crate::paths;
use crate::secrets::not_configured::NotConfigured;

const DEFAULT_PATH: &str = "simpletuner";
const DEFAULT_MOUNT: &str = "secret";
const DEFAULT_ATTEMPTS: u32 = 3;
/// The longest time for one request, whatever the deadline.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_BODY: usize = 4 << 20;

/// A version of the KV secrets engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

impl Version {
    pub(super) fn number(self) -> u8 {
        match self {
            Version::V1 => 1,
            Version::V2 => 2,
        }
    }
}

pub(super) struct Settings {
    pub(super) address: Address,
    pub(super) namespace: Option<String>,
    pub(super) mount: String,
    pub(super) path: String,
    /// `None`: the server is asked.
    pub(super) version: Option<Version>,
    pub(super) auth: Auth,
    /// What to say while nobody has logged in.
    pub(super) no_login: String,
    pub(super) max_attempts: u32,
    pub(super) request_timeout: Duration,
    pub(super) rate: Option<Rate>,
    pub(super) follow_redirects: bool,
    /// Further ones, from `VAULT_HEADERS`.
    pub(super) headers: Vec<(String, Zeroizing<String>)>,
    pub(super) transport: http::Settings,
}

/// Why there are no settings.
pub(super) enum SettingsError {
    /// Nobody wants this provider, or not enough is known to ask it.
    NotConfigured(NotConfigured),
    Refused(Refused),
}

impl From<Refused> for SettingsError {
    fn from(refused: Refused) -> SettingsError {
        SettingsError::Refused(refused)
    }
}

impl Settings {
    pub(super) fn read(inputs: &Inputs<'_>) -> Result<Settings, SettingsError> {
        let (given, is_agent) = address(inputs)?;
        let auth = Auth::read(inputs, is_agent)?;
        let no_login = format!(
            "{} is set, but there is no way to log in: set VAULT_TOKEN, log in with `vault login`, or set vault_auth",
            given.origin
        );
        match (auth, Settings::read_all_but_auth(inputs, &given)) {
            (Some(auth), Ok(with)) => Ok(with(auth, no_login)),
            // What is wrong in the configuration is reported also where nobody could log in yet.
            (auth, Err(refused)) if refused.in_config || auth.as_ref().is_some_and(|auth| !auth.is_absent()) => {
                Err(refused.into())
            }
            _ => Err(SettingsError::NotConfigured(NotConfigured { why: no_login, is_wanted: true })),
        }
    }

    fn read_all_but_auth(
        inputs: &Inputs<'_>,
        given: &Given,
    ) -> Result<impl FnOnce(Auth, String) -> Settings + use<>, Refused> {
        let address = Address::parse(given)?;
        check_srv_lookup(inputs, &address)?;
        let mount = location(inputs.config("vault_mount")?)?.unwrap_or_else(|| DEFAULT_MOUNT.to_owned());
        let path = match inputs.config("vault_path")? {
            Some(given) => Some(given),
            None => inputs.variable("SIMPLETUNER_VAULT_PATH")?,
        };
        let namespace = namespace(inputs)?;
        let path = secret_path(path, &mount)?;
        let version = version(inputs)?;
        let max_attempts = attempts(inputs)?;
        let request_timeout = time(inputs, "CLIENT_TIMEOUT")?.unwrap_or(REQUEST_TIMEOUT);
        let rate = inputs.tool("RATE_LIMIT")?.map(|given| Rate::parse(&given)).transpose()?.flatten();
        let follow_redirects = !flag(inputs, "DISABLE_REDIRECTS")?;
        let headers = headers(inputs)?;
        let transport = transport(inputs)?;
        Ok(move |auth, no_login| Settings {
            namespace,
            path,
            version,
            auth,
            no_login,
            max_attempts,
            request_timeout,
            rate,
            follow_redirects,
            headers,
            transport,
            address,
            mount,
        })
    }
}

/// The address as it was given, and whether it is an agent's. The tools would fall back on 127.0.0.1.
fn address(inputs: &Inputs<'_>) -> Result<(Given, bool), SettingsError> {
    if let Some(given) = inputs.config("vault_url")? {
        return Ok((given, false));
    }
    if let Some(given) = inputs.tool("AGENT_ADDR")? {
        return Ok((given, true));
    }
    let given = inputs.tool("ADDR")?.map(|given| (given, false));
    given.ok_or_else(|| {
        let why = "neither vault_url nor VAULT_ADDR is set".to_owned();
        SettingsError::NotConfigured(NotConfigured { why, is_wanted: false })
    })
}

/// An address without a port would be looked up in the DNS, as a service.
fn check_srv_lookup(inputs: &Inputs<'_>, address: &Address) -> Result<(), Refused> {
    match inputs.tool("SRV_LOOKUP")? {
        Some(given) if given.flag()? && address.port.is_none() => {
            Err(given.origin.refuse("asks for SRV records, which this library does not look up; give the port"))
        }
        _ => Ok(()),
    }
}

fn location(given: Option<Given>) -> Result<Option<String>, Refused> {
    Ok(given.map(|given| address::path(&given)).transpose()?.flatten())
}

fn namespace(inputs: &Inputs<'_>) -> Result<Option<String>, Refused> {
    let Some(given) = inputs.either("vault_namespace", "NAMESPACE")? else { return Ok(None) };
    if !given.value.is_ascii() || given.value.contains(' ') {
        return Err(given.origin.refuse("must be the path of a namespace: ASCII without spaces"));
    }
    address::path(&given)
}

fn secret_path(given: Option<Given>, mount: &str) -> Result<String, Refused> {
    let Some(given) = given else { return Ok(DEFAULT_PATH.to_owned()) };
    let Some(path) = address::path(&given)? else { return Ok(DEFAULT_PATH.to_owned()) };
    let full = path.strip_prefix("v1/").unwrap_or(&path);
    if let Some(rest) = full.strip_prefix(mount).and_then(|rest| rest.strip_prefix("/data/")) {
        let origin = &given.origin;
        return Err(origin.refuse(format!("must be the path within the mount: {rest:?} instead of {path:?}")));
    }
    Ok(path)
}

fn version(inputs: &Inputs<'_>) -> Result<Option<Version>, Refused> {
    let Some(given) = inputs.config("vault_kv_version")? else { return Ok(None) };
    match given.value.as_str() {
        "1" => Ok(Some(Version::V1)),
        "2" => Ok(Some(Version::V2)),
        "auto" => Ok(None),
        _ => Err(given.origin.refuse("must be 1, 2 or auto")),
    }
}

fn attempts(inputs: &Inputs<'_>) -> Result<u32, Refused> {
    let retries = inputs.tool("MAX_RETRIES")?.map(|given| given.count()).transpose()?;
    Ok(inputs.config.count("max_attempts", retries.map_or(DEFAULT_ATTEMPTS, |retries| retries.saturating_add(1))))
}

/// Zero is no limit.
fn time(inputs: &Inputs<'_>, name: &str) -> Result<Option<Duration>, Refused> {
    let time = inputs.tool(name)?.map(|given| given.time()).transpose()?;
    Ok(time.map(|time| if time.is_zero() { Duration::MAX } else { time }))
}

fn flag(inputs: &Inputs<'_>, name: &str) -> Result<bool, Refused> {
    inputs.tool(name)?.map_or(Ok(false), |given| given.flag())
}

/// A JSON object of texts. Those of Vault itself cannot be set, as the tools refuse them too.
fn headers(inputs: &Inputs<'_>) -> Result<Vec<(String, Zeroizing<String>)>, Refused> {
    let Some(given) = inputs.tool_text("HEADERS")? else { return Ok(Vec::new()) };
    let refuse = |what: &str| given.origin.refuse(what);
    let Ok(Value::Object(members)) = serde_json::from_str(&given.value) else {
        return Err(refuse("must be a JSON object of names and texts"));
    };
    let mut headers = Vec::new();
    for (name, value) in members {
        let Value::String(value) = value else { return Err(refuse("must be a JSON object of names and texts")) };
        let value = Zeroizing::new(value);
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) || !value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
            return Err(refuse(
                "has a header that cannot be sent: a name is letters, digits and `-`, a value is ASCII",
            ));
        }
        if name.to_ascii_lowercase().starts_with("x-vault-") {
            return Err(refuse(&format!("sets {name:?}; headers that begin with X-Vault- are the client's own")));
        }
        headers.push((name, value));
    }
    Ok(headers)
}

fn transport(inputs: &Inputs<'_>) -> Result<http::Settings, Refused> {
    let client_certificate = match (inputs.tool("CLIENT_CERT")?, inputs.tool("CLIENT_KEY")?) {
        (Some(certificate), Some(key)) => Some((file(&certificate), file(&key))),
        (None, None) => None,
        (Some(given), None) => return Err(given.origin.refuse("is set, but VAULT_CLIENT_KEY is not; both are needed")),
        (None, Some(given)) => {
            return Err(given.origin.refuse("is set, but VAULT_CLIENT_CERT is not; both are needed"));
        }
    };
    let proxy = match inputs.tool("PROXY_ADDR")? {
        Some(given) => Some(given),
        None => inputs.tool("HTTP_PROXY")?,
    };
    Ok(http::Settings {
        roots: roots(inputs)?,
        client_certificate,
        server_name: inputs.tool("TLS_SERVER_NAME")?.map(|given| given.value.as_str().to_owned()),
        skip_verify: flag(inputs, "SKIP_VERIFY")?,
        proxy: proxy.map_or(Proxy::Environment, |given| Proxy::Always(given.value.as_str().to_owned())),
        max_body: MAX_BODY,
        secret_paths: false,
    })
}

fn roots(inputs: &Inputs<'_>) -> Result<Roots, Refused> {
    if let Some(given) = inputs.either("vault_ca_cert", "CACERT")? {
        return Ok(Roots::File(file(&given)));
    }
    if let Some(given) = inputs.tool_text("CACERT_BYTES")? {
        if !given.value.contains("-----BEGIN CERTIFICATE-----") {
            return Err(given.origin.refuse("must hold certificates in PEM form"));
        }
        return Ok(Roots::Pem(given.value.as_str().to_owned()));
    }
    Ok(inputs.tool("CAPATH")?.map_or(Roots::Platform, |given| Roots::Directory(file(&given))))
}

/// The path of a file, `~` expanded.
pub(super) fn file(given: &Given) -> std::path::PathBuf {
    paths::expand_home(Path::new(given.value.as_str()))
}
