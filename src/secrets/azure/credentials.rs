//! Where credentials come from, in the order of Microsoft's clients: a secret or certificate of an application in
//! variables, workload identity, managed identity, the Azure CLI.

use std::fs;
use std::path::PathBuf;

use super::cli_files::CliFiles;
use super::files::read;
use crate::config::Config;
use crate::error::{Error, Result, Status};
use crate::process;
use crate::secrets::cloud::checked;
use crate::settings::{Environment, InvalidSetting, Setting, SettingOrigin};
use crate::share::Identity;

const AUTH_KEY: &str = "azure_auth";
const DEFAULT_AUTHORITY: &str = "https://login.microsoftonline.com";
const DEFAULT_IMDS: &str = "http://169.254.169.254";
/// The file in which the firmware names the chassis, and what is there on a machine of Azure.
const CHASSIS: (&str, &str) = ("/sys/class/dmi/id/chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77");

/// A kind of credentials that the setting `azure_auth` selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AzureAuth {
    Environment,
    WorkloadIdentity,
    ManagedIdentity,
    Cli,
}

impl AzureAuth {
    /// In the order in which they are tried.
    const ALL: [AzureAuth; 4] =
        [AzureAuth::Environment, AzureAuth::WorkloadIdentity, AzureAuth::ManagedIdentity, AzureAuth::Cli];

    fn name(self) -> &'static str {
        match self {
            AzureAuth::Environment => "environment",
            AzureAuth::WorkloadIdentity => "workload_identity",
            AzureAuth::ManagedIdentity => "managed_identity",
            AzureAuth::Cli => "cli",
        }
    }

    /// Reads the setting; `None`: the first of all kinds that is there.
    pub(super) fn read(config: &Config) -> Result<Option<AzureAuth>, InvalidSetting> {
        let Some(setting) = config.setting(AUTH_KEY)? else { return Ok(None) };
        let auth = AzureAuth::ALL.into_iter().find(|auth| auth.name() == setting.text());
        auth.map(Some).ok_or_else(|| {
            setting.invalid_value("is not \"environment\", \"workload_identity\", \"managed_identity\" or \"cli\"")
        })
    }
}

/// An application that is registered in a tenant.
pub(super) struct Application {
    /// Where it logs in, without `/` at the end.
    pub(super) authority: String,
    pub(super) tenant: String,
    pub(super) client_id: String,
}

/// The credentials that are used now.
pub(super) enum AzureCredentials {
    Secret(Application, Setting),
    Certificate(Application, PathBuf),
    /// The token of another provider in a file.
    Federated(Application, PathBuf),
    AppService {
        url: String,
        header: Setting,
        client_id: Option<String>,
    },
    Imds {
        url: String,
        client_id: Option<String>,
    },
    /// The program `az`.
    Cli {
        directory: PathBuf,
        tenant: Option<String>,
    },
    /// What `az login` left in files, where there is no `az`.
    CliFiles(CliFiles),
}

impl AzureCredentials {
    pub(super) fn find(auth: Option<AzureAuth>, environment: &Environment) -> Result<AzureCredentials> {
        let reader = EnvironmentReader { environment, is_wanted: auth.is_some() };
        for kind in AzureAuth::ALL.into_iter().filter(|kind| auth.is_none_or(|auth| auth == *kind)) {
            let found = match kind {
                AzureAuth::Environment => reader.application_secret()?,
                AzureAuth::WorkloadIdentity => reader.workload_identity()?,
                AzureAuth::ManagedIdentity => reader.managed_identity()?,
                AzureAuth::Cli => reader.cli()?,
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
        let message = match auth {
            Some(AzureAuth::Environment) => {
                "`azure_auth` is \"environment\": set AZURE_TENANT_ID, AZURE_CLIENT_ID, and AZURE_CLIENT_SECRET or \
                 AZURE_CLIENT_CERTIFICATE_PATH"
            }
            Some(AzureAuth::WorkloadIdentity) => {
                "`azure_auth` is \"workload_identity\": set AZURE_TENANT_ID, AZURE_CLIENT_ID and \
                 AZURE_FEDERATED_TOKEN_FILE"
            }
            _ => {
                "no credentials for Azure: set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, set \
                 `azure_auth` to \"managed_identity\", or install the Azure CLI and run `az login`"
            }
        };
        Err(Error::new(Status::Config, message))
    }

    /// What the credentials are, for messages.
    pub(super) fn origin(&self) -> String {
        match self {
            AzureCredentials::Secret(application, _) => format!("the application {}", application.client_id),
            AzureCredentials::Certificate(application, path) => {
                format!("the application {} with {}", application.client_id, path.display())
            }
            AzureCredentials::Federated(application, path) => {
                format!("the workload identity {} with {}", application.client_id, path.display())
            }
            AzureCredentials::AppService { client_id, .. } | AzureCredentials::Imds { client_id, .. } => {
                match client_id {
                    Some(id) => format!("the managed identity {id}"),
                    None => "the managed identity".to_owned(),
                }
            }
            AzureCredentials::Cli { .. } => "the Azure CLI".to_owned(),
            AzureCredentials::CliFiles(files) => format!("the user of the Azure CLI in {}", files.cache().display()),
        }
    }

    /// The tenant that the application belongs to, if that is known.
    pub(super) fn tenant(&self) -> Option<&str> {
        match self {
            AzureCredentials::Secret(application, _)
            | AzureCredentials::Certificate(application, _)
            | AzureCredentials::Federated(application, _) => Some(&application.tenant),
            _ => None,
        }
    }

    /// The file that is read at each login.
    pub(super) fn file(&self) -> Option<PathBuf> {
        match self {
            AzureCredentials::Certificate(_, path) | AzureCredentials::Federated(_, path) => Some(path.clone()),
            AzureCredentials::CliFiles(files) => Some(files.cache()),
            _ => None,
        }
    }

    /// Adds which identity requests have.
    pub(super) fn identify(&self, identity: &mut Identity) -> Result<()> {
        match self {
            AzureCredentials::Secret(application, secret) => {
                application.identify("secret", identity);
                identity.add_secret(secret.text().as_bytes())
            }
            AzureCredentials::Certificate(application, path) => {
                application.identify("certificate", identity);
                identity.add_secret(&read(path, "the certificate for Azure")?)
            }
            AzureCredentials::Federated(application, path) => {
                application.identify("federated", identity);
                identity.add_secret(&read(path, "the token for Azure")?)
            }
            AzureCredentials::AppService { url, header, client_id } => {
                identity.add("identity endpoint", url);
                identity.add_optional("client", client_id.as_ref());
                identity.add_secret(header.text().as_bytes())
            }
            AzureCredentials::Imds { url, client_id } => {
                identity.add("metadata", url);
                identity.add_optional("client", client_id.as_ref());
                Ok(())
            }
            AzureCredentials::Cli { directory, tenant } => {
                identity.add("cli of", directory.as_os_str().as_encoded_bytes());
                identity.add_optional("tenant", tenant.as_ref());
                Ok(())
            }
            AzureCredentials::CliFiles(files) => {
                let login = files.read()?;
                identity.add("user of the cli at", &login.authority);
                identity.add("tenant", &login.tenant);
                identity.add_secret(login.refresh_token.as_bytes())
            }
        }
    }
}

impl Application {
    fn identify(&self, kind: &str, identity: &mut Identity) {
        identity.add("application", kind);
        identity.add("authority", &self.authority);
        identity.add("tenant", &self.tenant);
        identity.add("client", &self.client_id);
    }
}

struct EnvironmentReader<'a> {
    environment: &'a Environment,
    /// Whether a setting selects the kind, so that it need not be detected.
    is_wanted: bool,
}

impl EnvironmentReader<'_> {
    #[inline(never)]
    fn identifier(&self, name: &str) -> Result<Option<String>> {
        let Some(setting) = self.environment.setting(name)? else { return Ok(None) };
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        match setting.text().bytes().all(is_valid) {
            true => Ok(Some(setting.text().to_owned())),
            false => Err(setting.invalid("has characters that are not allowed in an identifier").into()),
        }
    }

    #[inline(never)]
    fn application(&self) -> Result<Option<Application>> {
        let (tenant, client_id) = (self.identifier("AZURE_TENANT_ID")?, self.identifier("AZURE_CLIENT_ID")?);
        let (Some(tenant), Some(client_id)) = (tenant, client_id) else { return Ok(None) };
        let authority = self.authority()?.unwrap_or_else(|| DEFAULT_AUTHORITY.to_owned());
        Ok(Some(Application { authority, tenant, client_id }))
    }

    #[inline(never)]
    fn authority(&self) -> Result<Option<String>> {
        Ok(match self.environment.setting("AZURE_AUTHORITY_HOST")? {
            None => None,
            Some(setting) if setting.text().contains("://") => Some(checked(&setting)?),
            Some(setting) => {
                let url = format!("https://{}", setting.text());
                Some(checked(&Setting::new(SettingOrigin::Variable("AZURE_AUTHORITY_HOST".to_owned()), &url))?)
            }
        })
    }

    fn application_secret(&self) -> Result<Option<AzureCredentials>> {
        let Some(application) = self.application()? else { return Ok(None) };
        if let Some(secret) = self.environment.setting("AZURE_CLIENT_SECRET")? {
            return Ok(Some(AzureCredentials::Secret(application, secret)));
        }
        let certificate = self.environment.setting("AZURE_CLIENT_CERTIFICATE_PATH")?;
        Ok(certificate.map(|setting| AzureCredentials::Certificate(application, setting.path())))
    }

    fn workload_identity(&self) -> Result<Option<AzureCredentials>> {
        let Some(file) = self.environment.setting("AZURE_FEDERATED_TOKEN_FILE")? else { return Ok(None) };
        Ok(self.application()?.map(|application| AzureCredentials::Federated(application, file.path())))
    }

    fn managed_identity(&self) -> Result<Option<AzureCredentials>> {
        let client_id = self.identifier("AZURE_CLIENT_ID")?;
        let (endpoint, header) =
            (self.environment.setting("IDENTITY_ENDPOINT")?, self.environment.setting("IDENTITY_HEADER")?);
        if let (Some(endpoint), Some(header)) = (endpoint, header) {
            // In App Service, the endpoint is an address of the machine's own network.
            return Ok(Some(AzureCredentials::AppService { url: endpoint.text().to_owned(), header, client_id }));
        }
        let host = self.environment.setting("AZURE_POD_IDENTITY_AUTHORITY_HOST")?;
        let is_machine = || fs::read_to_string(CHASSIS.0).is_ok_and(|tag| tag.trim() == CHASSIS.1);
        let is_there = host.is_some() || self.is_wanted || is_machine();
        let url = host.map_or(DEFAULT_IMDS.to_owned(), |host| host.text().trim_end_matches('/').to_owned());
        Ok(is_there.then_some(AzureCredentials::Imds { url, client_id }))
    }

    fn cli(&self) -> Result<Option<AzureCredentials>> {
        let tenant = self.identifier("AZURE_TENANT_ID")?;
        let directory = match self.environment.setting("AZURE_CONFIG_DIR")? {
            Some(setting) => setting.path(),
            None => self.environment.home().unwrap_or_default().join(".azure"),
        };
        if process::is_found("az") {
            return Ok(Some(AzureCredentials::Cli { directory, tenant }));
        }
        if let Some(files) = CliFiles::find(directory.clone(), tenant.clone(), self.authority()?) {
            return Ok(Some(AzureCredentials::CliFiles(files)));
        }
        Ok(self.is_wanted.then_some(AzureCredentials::Cli { directory, tenant }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(auth: Option<AzureAuth>, variables: &[(&str, &str)]) -> String {
        let found = AzureCredentials::find(auth, &Environment::fixed(variables));
        found.map_or_else(|error| error.message().to_owned(), |found| found.origin())
    }

    #[test]
    fn kinds_are_tried_in_the_order_of_microsofts_clients() {
        let application = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c")];
        let with = |more: &[(&'static str, &'static str)]| [&application[..], more].concat();
        let secret = ("AZURE_CLIENT_SECRET", "CANARY");
        let certificate = ("AZURE_CLIENT_CERTIFICATE_PATH", "/pem");
        let federated = ("AZURE_FEDERATED_TOKEN_FILE", "/token");
        let service = [("IDENTITY_ENDPOINT", "http://localhost/x"), ("IDENTITY_HEADER", "CANARY")];
        for (variables, expected) in [
            (with(&[secret, certificate, federated]), "the application c"),
            (with(&[certificate, federated]), "the application c with /pem"),
            (with(&[federated, service[0], service[1]]), "the workload identity c with /token"),
            (with(&service), "the managed identity c"),
            (service.to_vec(), "the managed identity"),
        ] {
            assert_eq!(origin(None, &variables), expected);
        }
        assert_eq!(origin(Some(AzureAuth::ManagedIdentity), &with(&[secret])), "the managed identity c");
        assert_eq!(origin(Some(AzureAuth::Cli), &with(&[secret])), "the Azure CLI");
        assert!(origin(Some(AzureAuth::Environment), &application).contains("set AZURE_TENANT_ID"));
        let invalid = [("AZURE_TENANT_ID", "a/../b"), ("AZURE_CLIENT_ID", "c"), secret];
        assert!(origin(None, &invalid).contains("the variable AZURE_TENANT_ID has characters"));
    }
}
