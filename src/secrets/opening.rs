//! Opens the providers that the configuration lists.

use std::sync::Arc;

use serde_json::{Map, Value};

#[cfg(feature = "aws")]
use super::aws::{self, AwsCommon, AwsSource};
#[cfg(feature = "azure")]
use super::azure;
use super::changes::Changes;
#[cfg(any(feature = "azure", feature = "google", feature = "infisical", feature = "onepassword"))]
use super::cloud;
use super::credentials::CredentialsProvider;
use super::document::DocumentSource;
use super::document_provider::DocumentProvider;
use super::env::EnvProvider;
#[cfg(feature = "exec")]
use super::exec::ExecSource;
use super::file::FileProvider;
#[cfg(feature = "google")]
use super::google;
use super::huggingface::HuggingFaceProvider;
#[cfg(feature = "infisical")]
use super::infisical;
#[cfg(feature = "kubernetes")]
use super::kubernetes::{self, KubernetesSource};
use super::lookup_cache::CacheTimes;
use super::not_configured::{NotConfigured, NotConfiguredProvider};
#[cfg(feature = "onepassword")]
use super::onepassword;
use super::provider::SecretProvider;
use super::provider_table::{self, MAX_NAME};
use super::providers::Providers;
use super::secret::ProviderId;
#[cfg(any(
    feature = "aws",
    feature = "azure",
    feature = "google",
    feature = "infisical",
    feature = "onepassword",
    feature = "vault"
))]
use super::shared_login::SharedLogins;
#[cfg(feature = "vault")]
use super::vault::{self, DynamicSource, VaultCommon, VaultSource};
use crate::config::{Config, ProviderSetting, nearest};
use crate::error::{Error, Result, Status};
use crate::features;
use crate::share::{Share, Tier};

const DEFAULT_PROVIDERS: [&str; 5] = ["env", "file", "aws", "vault", "huggingface"];
/// Built-in providers that `providers` has to list; `credentials` only if there are none.
const OTHER_PROVIDERS: [&str; 7] =
    ["aws_parameters", "azure", "credentials", "google", "infisical", "kubernetes", "onepassword"];

/// The providers of a manager, and which of them is that of the file.
pub(super) struct Opened {
    pub(super) providers: Providers,
    pub(super) file: Option<Arc<FileProvider>>,
}

/// Opens the providers of the setting `providers`, or those of the default chain. It reads no file and sends no
/// request.
pub(super) fn open_providers(
    config: &Config,
    times: CacheTimes,
    share: Option<&Arc<Share>>,
    changes: &Arc<Changes>,
) -> Result<Opened> {
    let mut opener = Opener::new(config, times, share, changes)?;
    if let Some(tier) = share.and_then(|share| share.tier()) {
        opener.open_key_service(tier)?;
    }
    let mut providers = Providers::default();
    for setting in config.providers().unwrap_or(&default_providers()) {
        check_compiled(setting)?;
        let provider = match setting {
            ProviderSetting::Table(table) => opener.table(table)?,
            ProviderSetting::Name(name) => opener.named(name)?,
        };
        if providers.iter().any(|other| other.name() == provider.name()) {
            return Err(listed_twice(&*provider, setting));
        }
        providers.push(provider);
    }
    Ok(Opened { providers, file: opener.file })
}

/// What the providers of a manager have in common.
struct Opener<'a> {
    config: &'a Config,
    changes: &'a Arc<Changes>,
    remote: Remote,
    #[cfg(feature = "aws")]
    aws: Arc<AwsCommon>,
    #[cfg(feature = "aws")]
    logins: SharedLogins,
    #[cfg(any(feature = "azure", feature = "google", feature = "infisical", feature = "onepassword"))]
    clouds: Arc<cloud::Common>,
    #[cfg(feature = "vault")]
    vaults: VaultCommon,
    /// The provider of the file, once it is open.
    file: Option<Arc<FileProvider>>,
}

impl<'a> Opener<'a> {
    fn new(
        config: &'a Config,
        times: CacheTimes,
        share: Option<&Arc<Share>>,
        changes: &'a Arc<Changes>,
    ) -> Result<Opener<'a>> {
        #[cfg(any(
            feature = "aws",
            feature = "azure",
            feature = "google",
            feature = "infisical",
            feature = "onepassword",
            feature = "vault"
        ))]
        let logins = SharedLogins::new(share.cloned(), times.max_backoff);
        #[cfg(feature = "aws")]
        let aws = Arc::new(AwsCommon::new(logins.clone()));
        Ok(Opener {
            config,
            changes,
            remote: Remote { times, share: share.cloned(), changes: changes.clone() },
            #[cfg(any(feature = "azure", feature = "google", feature = "infisical", feature = "onepassword"))]
            clouds: Arc::new(cloud::Common::new(logins.clone())?),
            #[cfg(feature = "vault")]
            vaults: VaultCommon {
                logins: logins.clone(),
                #[cfg(feature = "aws")]
                aws: aws.clone(),
            },
            #[cfg(feature = "aws")]
            aws,
            #[cfg(feature = "aws")]
            logins,
            file: None,
        })
    }

    /// Opens the service that unwraps the key of the tier, if a setting names one.
    #[cfg_attr(not(any(feature = "aws", feature = "vault")), expect(unused_variables))]
    fn open_key_service(&self, tier: &Tier) -> Result<()> {
        if let Some(setting) = self.config.setting("share_kms_key")? {
            #[cfg(feature = "aws")]
            tier.set_key_source(aws::kms::open(&setting, self.config, &self.aws, self.logins.clone())?);
            #[cfg(not(feature = "aws"))]
            return Err(setting.invalid("needs a build with AWS").error);
        }
        if let Some(setting) = self.config.setting("share_transit")? {
            #[cfg(feature = "vault")]
            tier.set_key_source(vault::transit::open(&setting, self.config, &self.vaults)?);
            #[cfg(not(feature = "vault"))]
            return Err(setting.invalid("needs a build with Vault").error);
        }
        Ok(())
    }

    /// Opens the provider that an element of `providers` describes.
    fn table(&self, table: &Map<String, Value>) -> Result<Arc<dyn SecretProvider>> {
        match provider_table::kind(table) {
            #[cfg(feature = "aws")]
            Some("aws_secret" | "aws_secrets") => {
                self.remote.own(AwsSource::open_table(table, self.config, &self.aws)?)
            }
            #[cfg(feature = "azure")]
            Some("azure_secret" | "azure_secrets") => {
                self.remote.own(azure::open_table(table, self.config, &self.clouds)?)
            }
            #[cfg(feature = "google")]
            Some("google_secret" | "google_secrets") => {
                self.remote.own(google::open_table(table, self.config, &self.clouds, self.aws_for_google())?)
            }
            #[cfg(feature = "exec")]
            Some("exec") => self.remote.own(ExecSource::open(table)?),
            #[cfg(feature = "kubernetes")]
            Some("kubernetes_secret") => self.remote.own(KubernetesSource::open_table(table, self.config)?),
            #[cfg(feature = "infisical")]
            Some("infisical_path" | "infisical_secret") => {
                self.remote.own(infisical::open_table(table, self.config, &self.clouds)?)
            }
            #[cfg(feature = "onepassword")]
            Some("onepassword_item") => self.remote.own(onepassword::open_table(table, self.config, &self.clouds)?),
            #[cfg(feature = "vault")]
            Some("vault_dynamic") => self.remote.own(DynamicSource::open(table, self.config, &self.vaults)?),
            #[cfg(feature = "vault")]
            Some("vault_secret") => self.remote.own(VaultSource::open_table(table, self.config, &self.vaults)?),
            _ => Err(provider_table::unknown_kind(table)),
        }
    }

    /// The identity at AWS that Google may exchange.
    #[cfg(feature = "google")]
    fn aws_for_google(&self) -> google::AwsIdentity {
        #[cfg(feature = "aws")]
        return google::AwsIdentity::open(self.config, &self.aws);
        #[cfg(not(feature = "aws"))]
        return google::AwsIdentity;
    }

    /// Opens the built-in provider of this name.
    fn named(&mut self, name: &str) -> Result<Arc<dyn SecretProvider>> {
        match name {
            "env" => Ok(Arc::new(EnvProvider::open(self.config)?)),
            "credentials" => Ok(Arc::new(CredentialsProvider::open(self.config))),
            "file" => {
                let file = FileProvider::open(self.config, self.changes.clone())?;
                Ok(self.file.insert(Arc::new(file)).clone())
            }
            #[cfg(feature = "aws")]
            "aws" => {
                let why = "no secret is named; set `aws_secret_name` or SIMPLETUNER_AWS_SECRET_NAME".to_owned();
                let missing = NotConfigured { why, is_wanted: false };
                self.remote.provider(&aws::ID, AwsSource::open(self.config, &self.aws)?.ok_or(missing))
            }
            #[cfg(feature = "aws")]
            "aws_parameters" => {
                let why = "no path is set; set `aws_parameters_path`".to_owned();
                let missing = NotConfigured { why, is_wanted: false };
                let opened = AwsSource::open_parameters(self.config, &self.aws)?.ok_or(missing);
                self.remote.provider(&aws::PARAMETERS_ID, opened)
            }
            #[cfg(feature = "azure")]
            "azure" => self.remote.provider(&azure::ID, azure::open(self.config, &self.clouds)?),
            #[cfg(feature = "google")]
            "google" => {
                let opened = google::open(self.config, &self.clouds, self.aws_for_google())?;
                self.remote.provider(&google::ID, opened)
            }
            #[cfg(feature = "kubernetes")]
            "kubernetes" => self.remote.provider(&kubernetes::ID, KubernetesSource::open(self.config)?),
            #[cfg(feature = "infisical")]
            "infisical" => self.remote.provider(&infisical::ID, infisical::open(self.config, &self.clouds)?),
            #[cfg(feature = "onepassword")]
            "onepassword" => self.remote.provider(&onepassword::ID, onepassword::open(self.config, &self.clouds)?),
            #[cfg(feature = "vault")]
            "vault" => self.remote.provider(&vault::ID, VaultSource::open(self.config, &self.vaults)?),
            "huggingface" => Ok(Arc::new(HuggingFaceProvider::open(self.config))),
            _ => Err(unknown_provider(name)),
        }
    }
}

/// What remote providers are opened with.
struct Remote {
    times: CacheTimes,
    share: Option<Arc<Share>>,
    changes: Arc<Changes>,
}

impl Remote {
    /// Returns a provider over a source with settings of its own.
    fn own(&self, source: impl DocumentSource + 'static) -> Result<Arc<dyn SecretProvider>> {
        check_own_name(source.id().name())?;
        self.over(Box::new(source))
    }

    /// Returns a provider over this source or, if it is not configured, one that says why.
    fn provider(
        &self,
        id: &'static ProviderId,
        opened: Result<impl DocumentSource + 'static, NotConfigured>,
    ) -> Result<Arc<dyn SecretProvider>> {
        match opened {
            Ok(opened) => self.over(Box::new(opened)),
            Err(missing) => Ok(Arc::new(NotConfiguredProvider { id, missing })),
        }
    }

    fn over(&self, source: Box<dyn DocumentSource>) -> Result<Arc<dyn SecretProvider>> {
        let provider = DocumentProvider::new(source, self.times, self.share.clone())?;
        Ok(Arc::new(provider.with_changes(self.changes.clone())))
    }
}

pub(super) fn is_valid_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.contains(char::is_control)
}

fn check_own_name(name: &str) -> Result<()> {
    let what = if !is_valid_name(name) {
        format!("must have 1 to {MAX_NAME} bytes and no control characters")
    } else if DEFAULT_PROVIDERS.contains(&name) || OTHER_PROVIDERS.contains(&name) {
        format!("is {name:?}, which is a built-in provider; choose another name")
    } else {
        return Ok(());
    };
    Err(provider_table::invalid(format!("the \"name\" of a provider {what}")))
}

fn listed_twice(provider: &dyn SecretProvider, setting: &ProviderSetting) -> Error {
    let kind = match setting {
        ProviderSetting::Name(_) => None,
        ProviderSetting::Table(table) => provider_table::kind(table),
    };
    let remedy = kind.map_or(String::new(), |kind| format!("; give each {kind:?} a \"name\" of its own"));
    let name = provider.name();
    Error::new(Status::Config, format!("the configuration key `providers` lists {name:?} twice{remedy}"))
}

fn check_compiled(setting: &ProviderSetting) -> Result<()> {
    let name = match setting {
        ProviderSetting::Name(name) => Some(name.as_str()),
        ProviderSetting::Table(table) => provider_table::kind(table),
    };
    name.map_or(Ok(()), features::check)
}

/// The chain without `providers`. A service with credentials has them after its variables.
fn default_providers() -> Vec<ProviderSetting> {
    let mut names: Vec<&str> = DEFAULT_PROVIDERS.into_iter().filter(|name| features::is_compiled(name)).collect();
    if CredentialsProvider::is_available() {
        names.insert(1, "credentials");
    }
    names.into_iter().map(|name| ProviderSetting::Name(name.to_owned())).collect()
}

fn unknown_provider(name: &str) -> Error {
    let shown: String = name.chars().take(64).collect();
    let known = [&DEFAULT_PROVIDERS[..], &OTHER_PROVIDERS].concat();
    let hint = match nearest(name, known.iter().copied()) {
        _ if name == "exec" => {
            "write the program and its arguments: {\"exec\": [\"program\", \"argument\"]}".to_owned()
        }
        Some(known) => format!("did you mean {known:?}?"),
        None => format!("the known ones are {}", known.join(", ")),
    };
    Error::new(Status::Config, format!("the configuration key `providers` lists an unknown provider {shown:?}; {hint}"))
}
