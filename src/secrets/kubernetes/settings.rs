//! The settings: which Secrets, which API server, and with what credentials.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::kubeconfig::Kubeconfig;
use super::server::{ApiServer, KubernetesLogin, Namespace, is_name, is_namespace};
use crate::clock::Deadline;
use crate::config::Config;
use crate::error::Result;
use crate::http::Roots;
use crate::paths::service_account;
use crate::secrets::not_configured::NotConfigured;
use crate::secrets::provider_table::{ProviderTable, invalid};
use crate::settings::{Environment, InvalidSetting, Setting, SettingOrigin};

const MEMBERS: [&str; 3] = ["kubernetes_secret", "namespace", "name"];

/// Which Secrets are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SecretSelection {
    /// These, in this order.
    Named(Vec<String>),
    /// All that this label selector matches, in alphabetical order.
    Selected(String),
}

pub(super) struct KubernetesSettings {
    pub(super) target: SecretSelection,
    server: ServerSetting,
    pub(super) max_attempts: Option<u32>,
}

/// Where the API server is.
enum ServerSetting {
    Given(Arc<ApiServer>),
    /// In these files, which are read for each load. The namespace may be another one than that of the context.
    Kubeconfig {
        paths: Vec<PathBuf>,
        namespace: Option<String>,
    },
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
        let token_file = config.setting("kubernetes_token_file")?.map(|setting| setting.path());
        let ca_file = config.setting("kubernetes_ca_cert")?;
        let certificate = client_certificate(config)?;
        let given = namespace_setting(config)?;
        let namespace = namespace.map(str::to_owned).or(given);
        let server = match config.setting("kubernetes_url")? {
            Some(address) if token_file.is_none() && certificate.is_none() => {
                let what = "is set, which also needs kubernetes_token_file, or kubernetes_client_cert and its key";
                return Err(address.invalid(what).into());
            }
            Some(address) => {
                let login = token_file.map_or(KubernetesLogin::None, KubernetesLogin::TokenFile);
                let namespace = Namespace::Given(namespace.unwrap_or_else(|| "default".to_owned()));
                let roots = ca_file.map_or(Roots::Platform, Roots::File);
                ServerSetting::Given(Arc::new(ApiServer::new(&address, namespace, login, roots, certificate)?))
            }
            None => match (kubeconfig(environment)?, environment.setting("KUBERNETES_SERVICE_HOST")?) {
                (Some((paths, is_named)), host) if is_named || host.is_none() => {
                    let keys = ["kubernetes_token_file", "kubernetes_ca_cert", "kubernetes_client_cert"];
                    for key in keys {
                        if let Some(setting) = config.setting(key)? {
                            let what = "is set, but kubernetes_url is not, and a kubeconfig names the API server";
                            return Err(setting.invalid(what).into());
                        }
                    }
                    ServerSetting::Kubeconfig { paths, namespace }
                }
                (_, Some(host)) => {
                    let server = of_pod(&host, environment, namespace, token_file, ca_file, certificate)?;
                    ServerSetting::Given(Arc::new(server))
                }
                (_, None) => {
                    let why = "a Secret is named, but not the API server: outside of a pod, set `kubernetes_url`, or \
                               log in with kubectl"
                        .to_owned();
                    return Err(KubernetesSettingsError::NotConfigured(NotConfigured { why, is_wanted: true }));
                }
            },
        };
        let max_attempts = Some(config.count("max_attempts", 0)).filter(|attempts| *attempts > 0);
        Ok(KubernetesSettings { target, server, max_attempts })
    }

    /// The API server now.
    pub(super) fn server(&self, deadline: Deadline) -> Result<Arc<ApiServer>> {
        match &self.server {
            ServerSetting::Given(server) => Ok(server.clone()),
            ServerSetting::Kubeconfig { paths, namespace } => {
                let mut server = Kubeconfig::read(paths, deadline)?.server()?;
                if let Some(namespace) = namespace {
                    server.namespace = Namespace::Given(namespace.clone());
                }
                Ok(Arc::new(server))
            }
        }
    }

    /// The file with the credentials, if there is one.
    pub(super) fn credentials_file(&self) -> Option<&Path> {
        match &self.server {
            ServerSetting::Given(server) => server.token_file().map(PathBuf::as_path),
            ServerSetting::Kubeconfig { paths, .. } => paths.iter().map(PathBuf::as_path).find(|path| path.exists()),
        }
    }

    /// The Secrets, for messages: `Secret "train"`.
    pub(super) fn shown_target(&self) -> String {
        match &self.target {
            SecretSelection::Named(names) => {
                let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
                let noun = if names.len() == 1 { "Secret" } else { "Secrets" };
                format!("{noun} {}", names.join(", "))
            }
            SecretSelection::Selected(selector) => format!("Secrets with {selector:?}"),
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
fn of_pod(
    host: &Setting,
    environment: &Environment,
    namespace: Option<String>,
    token_file: Option<PathBuf>,
    ca_file: Option<Setting>,
    certificate: Option<(Setting, Setting)>,
) -> Result<ApiServer, InvalidSetting> {
    let port = environment.first(&["KUBERNETES_SERVICE_PORT_HTTPS", "KUBERNETES_SERVICE_PORT"])?;
    let port = port.as_ref().map_or("443", Setting::text);
    let name = host.text();
    let name = if name.contains(':') && !name.starts_with('[') { format!("[{name}]") } else { name.to_owned() };
    let address = Setting::new(host.origin.clone(), &format!("https://{name}:{port}"));
    let login = match token_file {
        Some(path) => KubernetesLogin::TokenFile(path),
        None if certificate.is_some() => KubernetesLogin::None,
        None => KubernetesLogin::TokenFile(service_account("token")),
    };
    let origin = SettingOrigin::Named("the service account of this pod".to_owned());
    let roots = ca_file.unwrap_or_else(|| Setting::new(origin, &service_account("ca.crt").to_string_lossy()));
    let namespace = namespace.map_or_else(|| Namespace::File(service_account("namespace")), Namespace::Given);
    ApiServer::new(&address, namespace, login, Roots::File(roots), certificate)
}

/// The kubeconfig files, and whether a variable names them.
fn kubeconfig(environment: &Environment) -> Result<Option<(Vec<PathBuf>, bool)>, InvalidSetting> {
    if let Some(setting) = environment.setting("KUBECONFIG")? {
        let paths: Vec<_> = std::env::split_paths(setting.text()).filter(|path| !path.as_os_str().is_empty()).collect();
        return Ok((!paths.is_empty()).then_some((paths, true)));
    }
    let path = environment.home().map(|home| home.join(".kube/config")).filter(|path| path.exists());
    Ok(path.map(|path| (vec![path], false)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    fn server(settings: &KubernetesSettings) -> Arc<ApiServer> {
        settings.server(Deadline::after(std::time::Duration::MAX)).unwrap()
    }

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
        let server = server(&settings);
        assert_eq!(server.url, "https://[fd00::1]:6443");
        assert_eq!(server.token_file(), Some(&service_account("token")));
        assert!(matches!(&server.transport.roots, Roots::File(file) if file.text().ends_with("/ca.crt")));
        assert!(matches!(server.namespace, Namespace::File(_)));
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
        let server = server(&settings);
        assert_eq!((name.as_str(), server.namespace().unwrap().as_str()), ("kubernetes:a", "ml"));
        assert_eq!(server.url, "https://h");
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
