//! The settings of the provider, read from the configuration and the environment and validated.

use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

use super::address::{self, VaultAddress};
use super::auth::VaultAuth;
use super::rate_limit::RateLimit;
use super::secret_path::SecretPath;
use super::settings_reader::SettingsReader;
use crate::error::Result;
use crate::http::{self, Proxy, Roots};
use crate::secrets::not_configured::NotConfigured;
use crate::settings::{InvalidSetting, Setting};
use crate::share::Identity;

const DEFAULT_PATH: &str = "simpletuner";
const DEFAULT_MOUNT: &str = "secret";
/// The default limit of one request, whatever the deadline of the call.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_BODY: usize = 4 << 20;

/// A version of the KV secrets engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KvVersion {
    V1,
    V2,
}

impl KvVersion {
    pub(super) fn number(self) -> u8 {
        match self {
            KvVersion::V1 => 1,
            KvVersion::V2 => 2,
        }
    }
}

pub(super) struct VaultSettings {
    pub(super) address: VaultAddress,
    pub(super) namespace: Option<String>,
    /// What is read, in order of precedence; at least one.
    pub(super) secrets: Vec<SecretPath>,
    /// `None` to detect it.
    pub(super) version: Option<KvVersion>,
    /// How often a call that listens looks at the versions of the secrets; `None` if it does not.
    pub(super) metadata_interval: Option<Duration>,
    pub(super) auth: VaultAuth,
    /// The message while the user has not logged in.
    pub(super) no_login: String,
    pub(super) max_attempts: Option<u32>,
    pub(super) request_timeout: Duration,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) follow_redirects: bool,
    /// Additional headers, from `VAULT_HEADERS`.
    pub(super) headers: Vec<(String, Zeroizing<String>)>,
    pub(super) transport: http::ClientSettings,
}

/// Why the settings cannot be read.
pub(super) enum VaultSettingsError {
    /// The address or the way to log in is not set.
    NotConfigured(NotConfigured),
    Invalid(InvalidSetting),
}

impl From<InvalidSetting> for VaultSettingsError {
    fn from(invalid: InvalidSetting) -> VaultSettingsError {
        VaultSettingsError::Invalid(invalid)
    }
}

impl VaultSettings {
    /// Returns who logs in where, as an identity of this kind.
    pub(super) fn login_identity(&self, kind: &str) -> Result<Identity> {
        let mut identity = Identity::new(kind);
        identity.add("address", self.address.to_string());
        identity.add_optional("namespace", self.namespace.as_ref());
        self.headers.iter().for_each(|(name, value)| identity.add_hash(name, value.as_bytes()));
        self.transport.trust().into_iter().for_each(|(name, value)| identity.add(name, value));
        self.auth.identify(&mut identity)?;
        Ok(identity)
    }

    pub(super) fn read(reader: &SettingsReader<'_>) -> Result<VaultSettings, VaultSettingsError> {
        let (address, is_agent) = address(reader)?;
        let auth = VaultAuth::read(reader, is_agent)?;
        let no_login = format!(
            "{} is set, but there is no way to log in: set VAULT_TOKEN, log in with `vault login`, or set vault_auth",
            address.origin
        );
        match (auth, VaultSettings::read_without_auth(reader, &address)) {
            (Some(auth), Ok(with)) => Ok(with(auth, no_login)),
            // An invalid configuration is reported even if the user has not logged in yet.
            (auth, Err(invalid)) if invalid.in_config || auth.as_ref().is_some_and(|auth| !auth.is_absent()) => {
                Err(invalid.into())
            }
            _ => Err(VaultSettingsError::NotConfigured(NotConfigured { why: no_login, is_wanted: true })),
        }
    }

    /// Reads all settings but those of authentication, with which the returned function completes them.
    fn read_without_auth(
        reader: &SettingsReader<'_>,
        address: &Setting,
    ) -> Result<impl FnOnce(VaultAuth, String) -> VaultSettings + use<>, InvalidSetting> {
        let origin = &address.origin;
        let address = VaultAddress::parse(address)?;
        let method = reader.config.setting("vault_auth")?;
        if !address.https && method.is_some_and(|method| method.text() == "cert") {
            return Err(origin.invalid("must begin with https://, as vault_auth is cert, a client certificate of TLS"));
        }
        check_srv_lookup(reader, &address)?;
        let mount = location(reader.config.setting("vault_mount")?)?.unwrap_or_else(|| DEFAULT_MOUNT.to_owned());
        let secrets = secrets(reader, &mount)?;
        let namespace = namespace(reader)?;
        let version = version(reader)?;
        let metadata_interval = Some(reader.config.time("vault_metadata_interval", Duration::ZERO));
        let metadata_interval = metadata_interval.filter(|interval| !interval.is_zero());
        let max_attempts = attempts(reader)?;
        let request_timeout = match reader.duration("CLIENT_TIMEOUT")? {
            // No limit.
            Some(Duration::ZERO) => Duration::MAX,
            timeout => timeout.unwrap_or(REQUEST_TIMEOUT),
        };
        let rate_limit =
            reader.tool_variable("RATE_LIMIT")?.map(|setting| RateLimit::parse(&setting)).transpose()?.flatten();
        let follow_redirects = !reader.flag("DISABLE_REDIRECTS")?;
        let headers = headers(reader)?;
        let transport = transport(reader, &address)?;
        Ok(move |auth, no_login| VaultSettings {
            namespace,
            secrets,
            version,
            metadata_interval,
            auth,
            no_login,
            max_attempts,
            request_timeout,
            rate_limit,
            follow_redirects,
            headers,
            transport,
            address,
        })
    }
}

/// The setting of the address, and whether it is an agent's. There is no default, while the tools use 127.0.0.1.
fn address(reader: &SettingsReader<'_>) -> Result<(Setting, bool), VaultSettingsError> {
    if let Some(setting) = reader.config.setting("vault_url")? {
        return Ok((setting, false));
    }
    if let Some(setting) = reader.tool_variable("AGENT_ADDR")? {
        return Ok((setting, true));
    }
    let setting = reader.tool_variable("ADDR")?.map(|setting| (setting, false));
    setting.ok_or_else(|| {
        let why = "neither vault_url nor VAULT_ADDR is set".to_owned();
        VaultSettingsError::NotConfigured(NotConfigured { why, is_wanted: false })
    })
}

/// Refuses a lookup of SRV records, which the tools make for an address without a port.
fn check_srv_lookup(reader: &SettingsReader<'_>, address: &VaultAddress) -> Result<(), InvalidSetting> {
    match reader.tool_variable("SRV_LOOKUP")? {
        Some(setting) if reader.flag("SRV_LOOKUP")? && address.port.is_none() && address.socket.is_none() => {
            Err(setting
                .invalid("requires a lookup of SRV records, which is not supported; set the port in the address"))
        }
        _ => Ok(()),
    }
}

fn location(setting: Option<Setting>) -> Result<Option<String>, InvalidSetting> {
    Ok(setting.map(|setting| address::path(&setting)).transpose()?.flatten())
}

fn namespace(reader: &SettingsReader<'_>) -> Result<Option<String>, InvalidSetting> {
    let Some(setting) = reader.config_or_variable("vault_namespace", "NAMESPACE")? else { return Ok(None) };
    if !setting.text().is_ascii() || setting.text().contains(' ') {
        return Err(setting.invalid("must be a namespace path: ASCII without spaces"));
    }
    address::path(&setting)
}

/// The secrets of the provider `vault`, each once.
fn secrets(reader: &SettingsReader<'_>, mount: &str) -> Result<Vec<SecretPath>, InvalidSetting> {
    let mut given = reader.config.setting_list("vault_path")?;
    if given.is_empty() {
        let variable = reader.environment.setting("SIMPLETUNER_VAULT_PATH")?;
        given = variable.map_or(Ok(Vec::new()), |setting| setting.texts("path"))?;
    }
    let mut secrets = Vec::new();
    for setting in given {
        let Some(path) = address::path(&setting)? else { continue };
        let full = path.strip_prefix("v1/").unwrap_or(&path);
        if let Some(rest) = full.strip_prefix(mount).and_then(|rest| rest.strip_prefix("/data/")) {
            return Err(setting.invalid(format!("must be the path within the mount: {rest:?} instead of {path:?}")));
        }
        let secret = SecretPath::in_mount(mount, &path);
        if !secrets.contains(&secret) {
            secrets.push(secret);
        }
    }
    if secrets.is_empty() {
        secrets.push(SecretPath::in_mount(mount, DEFAULT_PATH));
    }
    Ok(secrets)
}

fn version(reader: &SettingsReader<'_>) -> Result<Option<KvVersion>, InvalidSetting> {
    let Some(setting) = reader.config.setting("vault_kv_version")? else { return Ok(None) };
    match setting.text() {
        "1" => Ok(Some(KvVersion::V1)),
        "2" => Ok(Some(KvVersion::V2)),
        "auto" => Ok(None),
        _ => Err(setting.invalid("must be 1, 2 or auto")),
    }
}

fn attempts(reader: &SettingsReader<'_>) -> Result<Option<u32>, InvalidSetting> {
    let retries = reader.tool_variable("MAX_RETRIES")?;
    let retries = retries.map(|setting| setting.number(0u32.., "a whole number of 0 or more")).transpose()?;
    let own = Some(reader.config.count("max_attempts", 0)).filter(|attempts| *attempts > 0);
    Ok(own.or(retries.map(|retries| retries.saturating_add(1))))
}

/// Reads a JSON object of strings. Vault's own headers cannot be set, which the tools do not allow either.
fn headers(reader: &SettingsReader<'_>) -> Result<Vec<(String, Zeroizing<String>)>, InvalidSetting> {
    let Some(setting) = reader.tool_variable_lines("HEADERS")? else { return Ok(Vec::new()) };
    let invalid = |what: &str| setting.invalid(what);
    let Ok(Value::Object(members)) = serde_json::from_str(setting.text()) else {
        return Err(invalid("must be a JSON object of strings"));
    };
    let mut headers = Vec::new();
    for (name, value) in members {
        let Value::String(value) = value else { return Err(invalid("must be a JSON object of strings")) };
        let value = Zeroizing::new(value);
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) || !value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
            return Err(invalid("contains an invalid header: names are letters, digits and `-`, values are ASCII"));
        }
        if name.to_ascii_lowercase().starts_with("x-vault-") {
            return Err(invalid(&format!("sets {name:?}; the client sets all headers that begin with X-Vault-")));
        }
        headers.push((name, value));
    }
    Ok(headers)
}

fn transport(reader: &SettingsReader<'_>, address: &VaultAddress) -> Result<http::ClientSettings, InvalidSetting> {
    let proxy = match reader.tool_variable("PROXY_ADDR")? {
        Some(setting) => Some(setting),
        None => reader.tool_variable("HTTP_PROXY")?,
    };
    Ok(http::ClientSettings {
        roots: roots(reader)?,
        client_certificate: reader.client_certificate()?,
        server_name: reader.tool_variable("TLS_SERVER_NAME")?.map(|setting| setting.text().to_owned()),
        skip_verify: reader.flag("SKIP_VERIFY")?,
        proxy: proxy.map_or(Proxy::Environment, Proxy::Always),
        socket: address.socket.clone(),
        max_body: MAX_BODY,
        secret_paths: false,
    })
}

fn roots(reader: &SettingsReader<'_>) -> Result<Roots, InvalidSetting> {
    if let Some(setting) = reader.config_or_variable("vault_ca_cert", "CACERT")? {
        return Ok(Roots::File(setting));
    }
    if let Some(setting) = reader.tool_variable_lines("CACERT_BYTES")? {
        if !setting.text().contains("-----BEGIN CERTIFICATE-----") {
            return Err(setting.invalid("must contain PEM certificates"));
        }
        return Ok(Roots::Pem(setting));
    }
    Ok(reader.tool_variable("CAPATH")?.map_or(Roots::Platform, Roots::Directory))
}
