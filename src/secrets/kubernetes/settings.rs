//! The settings: which Secrets, which API server, and with what credentials.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::config::Config;
use crate::error::{Error, Result, Source, Status};
use crate::files;
use crate::http::url::Url;
use crate::http::{self, Roots};
use crate::secret_memory::SecretBytes;
use crate::secrets::not_configured::NotConfigured;
use crate::secrets::provider_table::{ProviderTable, invalid};
use crate::settings::{Environment, InvalidSetting, Setting, SettingOrigin};

/// Where Kubernetes puts the files of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const MEMBERS: [&str; 3] = ["kubernetes_secret", "namespace", "name"];
/// A Secret has at most 1 MiB; a page of a list has several.
const MAX_BODY: usize = 64 << 20;
const MAX_FILE: usize = 64 << 10;

/// Which Secrets are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SecretSelection {
    /// These, in this order.
    Named(Vec<String>),
    /// All that this label selector matches, in alphabetical order.
    Selected(String),
}

#[derive(Clone)]
pub(super) enum Namespace {
    Given(String),
    /// The one of the pod.
    File(PathBuf),
}

pub(super) struct KubernetesSettings {
    pub(super) target: SecretSelection,
    namespace: Namespace,
    /// Without a slash at the end.
    pub(super) url: String,
    pub(super) is_cleartext: bool,
    pub(super) token_file: Option<PathBuf>,
    pub(super) transport: http::ClientSettings,
    pub(super) max_attempts: Option<u32>,
}

/// Why there are no settings.
pub(super) enum KubernetesSettingsError {
    NotConfigured(NotConfigured),
    Invalid(InvalidSetting),
}

impl From<InvalidSetting> for KubernetesSettingsError {
    fn from(invalid: InvalidSetting) -> KubernetesSettingsError {
        KubernetesSettingsError::Invalid(invalid)
    }
}

impl KubernetesSettings {
    pub(super) fn read(
        config: &Config,
        environment: &Environment,
    ) -> Result<KubernetesSettings, KubernetesSettingsError> {
        let target = target(config)?.ok_or_else(|| {
            let why = "no Secret is named; set `kubernetes_secret` or `kubernetes_selector`".to_owned();
            KubernetesSettingsError::NotConfigured(NotConfigured { why, is_wanted: false })
        })?;
        KubernetesSettings::with(target, None, config, environment)
    }

    /// The settings of an element of `providers`, and its name.
    pub(super) fn of_table(
        table: &Map<String, Value>,
        config: &Config,
        environment: &Environment,
    ) -> Result<(KubernetesSettings, String)> {
        let table = ProviderTable::new(table, &MEMBERS)?;
        let names: Option<Vec<String>> = match table.get("kubernetes_secret") {
            Some(Value::String(name)) => Some(vec![name.clone()]),
            Some(Value::Array(names)) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        let names = names.filter(|names| !names.is_empty() && names.iter().all(|name| is_name(name)));
        let names = names.ok_or_else(|| invalid("\"kubernetes_secret\" must be the name of a Secret, or several"))?;
        let namespace = table.text("namespace")?;
        if namespace.is_some_and(|namespace| !is_namespace(namespace)) {
            return Err(invalid("\"namespace\" must be the name of a namespace: a-z, 0-9 and `-`"));
        }
        let name = table.text("name")?.map_or_else(|| format!("kubernetes:{}", names[0]), str::to_owned);
        match KubernetesSettings::with(SecretSelection::Named(names), namespace, config, environment) {
            Ok(settings) => Ok((settings, name)),
            Err(KubernetesSettingsError::Invalid(invalid)) => Err(invalid.error),
            Err(KubernetesSettingsError::NotConfigured(missing)) => Err(invalid(missing.why)),
        }
    }

    fn with(
        target: SecretSelection,
        namespace: Option<&str>,
        config: &Config,
        environment: &Environment,
    ) -> Result<KubernetesSettings, KubernetesSettingsError> {
        let files = Path::new(SERVICE_ACCOUNT);
        let token_file = config.setting("kubernetes_token_file")?.map(|setting| setting.path());
        let ca_file = config.setting("kubernetes_ca_cert")?;
        let client_certificate = client_certificate(config)?;
        let given = namespace_setting(config)?;
        let namespace = namespace.map(str::to_owned).or(given).map(Namespace::Given);
        let (address, is_pod) = match config.setting("kubernetes_url")? {
            Some(address) => (address, false),
            None => (pod_address(environment)?, true),
        };
        if !is_pod && token_file.is_none() && client_certificate.is_none() {
            let what = "is set, which also needs kubernetes_token_file, or kubernetes_client_cert and its key";
            return Err(address.invalid(what).into());
        }
        let url = Url::parse(address.text()).map_err(|error| address.invalid(format!("is not usable: {error}")))?;
        if url.uri.query().is_some() {
            return Err(address.invalid("contains `?`; it must end with the host, port or path").into());
        }
        let pod_file = |name: &str| Some(files.join(name)).filter(|_| is_pod);
        let is_anonymous = token_file.is_none() && client_certificate.is_none();
        let token_file = token_file.or_else(|| pod_file("token").filter(|_| is_anonymous));
        let of_pod = |path: PathBuf| {
            let origin = SettingOrigin::Named("the service account of this pod".to_owned());
            Setting::new(origin, &path.to_string_lossy())
        };
        let roots = ca_file.or_else(|| pod_file("ca.crt").map(of_pod)).map_or(Roots::Platform, Roots::File);
        let namespace = namespace.or_else(|| pod_file("namespace").map(Namespace::File));
        Ok(KubernetesSettings {
            target,
            namespace: namespace.unwrap_or_else(|| Namespace::Given("default".to_owned())),
            is_cleartext: url.origin.is_cleartext(),
            url: address.text().trim_end_matches('/').to_owned(),
            token_file,
            transport: http::ClientSettings {
                roots,
                client_certificate,
                max_body: MAX_BODY,
                ..http::ClientSettings::default()
            },
            max_attempts: Some(config.count("max_attempts", 0)).filter(|attempts| *attempts > 0),
        })
    }

    /// The namespace; that of a pod is read from its file.
    pub(super) fn namespace(&self) -> Result<String> {
        match &self.namespace {
            Namespace::Given(name) => Ok(name.clone()),
            Namespace::File(path) => {
                let text = fs::read_to_string(path).map_err(|error| Error::io("read", path, &error))?;
                let name = text.trim();
                is_namespace(name).then(|| name.to_owned()).ok_or_else(|| {
                    let what = format!("{} does not contain a namespace; set kubernetes_namespace", path.display());
                    Error::new(Status::Config, what).with_source(Source::Kubernetes)
                })
            }
        }
    }

    /// The namespace for messages.
    pub(super) fn shown_namespace(&self) -> String {
        match &self.namespace {
            Namespace::Given(name) => name.clone(),
            Namespace::File(_) => self.namespace().unwrap_or_else(|_| "of this pod".to_owned()),
        }
    }

    /// The token now: Kubernetes replaces the file of a pod before its token expires.
    pub(super) fn token(&self) -> Result<Option<SecretBytes>> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let contents = files::read(path, MAX_FILE)?;
        let token = contents.bytes.trim_ascii();
        if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
            let what = format!("{} does not contain a token: one line of ASCII without spaces", path.display());
            return Err(Error::new(Status::Config, what));
        }
        SecretBytes::copy_from(token).map(Some)
    }

    /// The Secrets, for messages: `Secret "train" in the namespace ml`.
    pub(super) fn place(&self) -> String {
        let namespace = self.shown_namespace();
        match &self.target {
            SecretSelection::Named(names) => {
                let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
                let noun = if names.len() == 1 { "Secret" } else { "Secrets" };
                format!("{noun} {} in the namespace {namespace}", names.join(", "))
            }
            SecretSelection::Selected(selector) => format!("Secrets with {selector:?} in the namespace {namespace}"),
        }
    }
}

fn target(config: &Config) -> Result<Option<SecretSelection>, InvalidSetting> {
    let names = config.list("kubernetes_secret").filter(|names| !names.is_empty());
    match (names, config.setting("kubernetes_selector")?) {
        (Some(_), Some(setting)) => Err(setting.invalid("is set, and so is kubernetes_secret; set one of them")),
        (Some(names), None) if names.iter().all(|name| is_name(name)) => {
            Ok(Some(SecretSelection::Named(names.to_vec())))
        }
        (Some(_), None) => {
            let what = "must be names of Secrets: a-z, 0-9, `-` and `.`; the namespace is kubernetes_namespace";
            Err(SettingOrigin::Config("kubernetes_secret").invalid(what))
        }
        (None, selector) => Ok(selector.map(|setting| SecretSelection::Selected(setting.text().to_owned()))),
    }
}

fn namespace_setting(config: &Config) -> Result<Option<String>, InvalidSetting> {
    match config.setting("kubernetes_namespace")? {
        Some(setting) if !is_namespace(setting.text()) => {
            Err(setting.invalid("must be the name of a namespace: a-z, 0-9 and `-`"))
        }
        setting => Ok(setting.map(|setting| setting.text().to_owned())),
    }
}

fn client_certificate(config: &Config) -> Result<Option<(Setting, Setting)>, InvalidSetting> {
    match (config.setting("kubernetes_client_cert")?, config.setting("kubernetes_client_key")?) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(setting), None) => Err(setting.invalid("is set, but kubernetes_client_key is not")),
        (None, Some(setting)) => Err(setting.invalid("is set, but kubernetes_client_cert is not")),
    }
}

/// The API server that Kubernetes names in the variables of each pod.
fn pod_address(environment: &Environment) -> Result<Setting, KubernetesSettingsError> {
    let Some(host) = environment.setting("KUBERNETES_SERVICE_HOST")? else {
        let why = "a Secret is named, but not the API server: outside of a pod, set `kubernetes_url`".to_owned();
        return Err(KubernetesSettingsError::NotConfigured(NotConfigured { why, is_wanted: true }));
    };
    let port = environment.first(&["KUBERNETES_SERVICE_PORT_HTTPS", "KUBERNETES_SERVICE_PORT"])?;
    let port = port.as_ref().map_or("443", Setting::text);
    let name = host.text();
    let name = if name.contains(':') && !name.starts_with('[') { format!("[{name}]") } else { name.to_owned() };
    Ok(Setting::new(host.origin, &format!("https://{name}:{port}")))
}

/// Whether this can be the name of a Secret.
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 253
        && name.split('.').all(|label| {
            let bytes = label.as_bytes();
            bytes.first().is_some_and(|byte| is_plain(*byte))
                && bytes.last().is_some_and(|byte| is_plain(*byte))
                && bytes.iter().all(|byte| is_plain(*byte) || *byte == b'-')
        })
}

fn is_namespace(name: &str) -> bool {
    is_name(name) && name.len() <= 63 && !name.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<KubernetesSettings, String> {
        let mut config = Config::new();
        settings.iter().for_each(|(name, value)| config.set(name, value).unwrap());
        KubernetesSettings::read(&config, &Environment::fixed(variables)).map_err(|error| match error {
            KubernetesSettingsError::NotConfigured(missing) => missing.why,
            KubernetesSettingsError::Invalid(invalid) => invalid.error.message().to_owned(),
        })
    }

    #[test]
    fn pod_is_found_by_its_variables() {
        let variables = [("KUBERNETES_SERVICE_HOST", "fd00::1"), ("KUBERNETES_SERVICE_PORT", "6443")];
        let settings = read(&[("kubernetes_secret", "train")], &variables).ok().unwrap();
        assert_eq!(settings.url, "https://[fd00::1]:6443");
        assert_eq!(settings.token_file, Some(Path::new(SERVICE_ACCOUNT).join("token")));
        assert!(matches!(&settings.transport.roots, Roots::File(file) if file.text().ends_with("/ca.crt")));
        assert!(matches!(settings.namespace, Namespace::File(_)));
    }

    #[test]
    fn invalid_settings_are_named_and_not_quoted() {
        let url = ("kubernetes_url", "https://127.0.0.1:6443");
        let token = ("kubernetes_token_file", "/x");
        for (settings, words) in [
            (&[url, token][..], "no Secret is named"),
            (&[("kubernetes_secret", "train")], "set `kubernetes_url`"),
            (&[("kubernetes_secret", "CANARY/x"), url, token], "must be names of Secrets"),
            (&[("kubernetes_secret", "a..b"), url, token], "must be names of Secrets"),
            (&[("kubernetes_secret", "a"), ("kubernetes_selector", "b"), url, token], "set one of them"),
            (&[("kubernetes_secret", "a"), url], "also needs kubernetes_token_file"),
            (&[("kubernetes_secret", "a"), url, ("kubernetes_client_cert", "/x")], "kubernetes_client_key is not"),
            (&[("kubernetes_secret", "a"), ("kubernetes_namespace", "A.CANARY"), url, token], "name of a namespace"),
            (&[("kubernetes_secret", "a"), ("kubernetes_url", "https://u:CANARY@h"), token], "a user name or password"),
        ] {
            let message = read(settings, &[]).err().unwrap();
            assert!(message.contains(words) && !message.contains("CANARY"), "{message}");
        }
    }

    #[test]
    fn element_has_a_namespace_and_a_name_of_its_own() {
        let mut config = Config::new();
        config.set("kubernetes_url", "https://h/").unwrap();
        config.set("kubernetes_token_file", "/x").unwrap();
        let of =
            |table: Value| KubernetesSettings::of_table(table.as_object().unwrap(), &config, &Environment::fixed(&[]));
        let (settings, name) = of(serde_json::json!({"kubernetes_secret": "a", "namespace": "ml"})).ok().unwrap();
        assert_eq!((name.as_str(), settings.namespace().unwrap().as_str()), ("kubernetes:a", "ml"));
        assert_eq!(settings.url, "https://h");
        for table in [
            serde_json::json!({"kubernetes_secret": []}),
            serde_json::json!({"kubernetes_secret": 1}),
            serde_json::json!({"kubernetes_secret": "a", "namespace": "A"}),
            serde_json::json!({"kubernetes_secret": "a", "as": "A"}),
        ] {
            assert_eq!(of(table).err().unwrap().status(), Status::Config);
        }
    }
}
