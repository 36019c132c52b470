//! The settings of the provider: its own first, then the variables and files of the AWS tools.

use std::sync::Arc;

use super::endpoint::{Endpoint, Service, Variant, checked_url, default_url};
use super::environment::{Environment, parse_flag};
use super::errors::{config_error, excerpt};
use super::identifiers::{SecretId, checked_region};
use super::ini::Value;
use super::profiles::{Profile, Profiles};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::http;

const DEFAULT_ATTEMPTS: u32 = 3;
/// Enough for twenty secrets of 64 KiB, fully escaped.
const MAX_BODY: usize = 16 << 20;
const SECRET_VARIABLE: &str = "SIMPLETUNER_AWS_SECRET_NAME";

/// The settings of the provider itself, read when the manager is opened.
pub(super) struct ProviderSettings {
    /// Each secret once, in order of precedence.
    pub(super) secret_ids: Vec<SecretId>,
    pub(super) version_id: Option<String>,
    pub(super) version_stage: Option<String>,
    region: Option<String>,
    pub(super) profile: Option<String>,
    endpoint: Option<String>,
    max_attempts: Option<u32>,
}

/// An invalid setting.
#[derive(Debug)]
pub(super) struct InvalidSetting {
    pub(super) error: Error,
    /// Whether it is in the configuration, not in the environment.
    pub(super) in_config: bool,
}

impl From<Error> for InvalidSetting {
    fn from(error: Error) -> InvalidSetting {
        InvalidSetting { error, in_config: true }
    }
}

impl ProviderSettings {
    /// Reads the settings; `None` if no secret is named.
    pub(super) fn read(
        config: &Config,
        environment: &Environment,
    ) -> std::result::Result<Option<ProviderSettings>, InvalidSetting> {
        let in_config = config.list("aws_secret_name").is_some();
        let secret_ids = secret_ids(config, environment).map_err(|error| InvalidSetting { error, in_config })?;
        if secret_ids.is_empty() {
            return Ok(None);
        }
        let version_id = config.text("aws_version_id").map(str::to_owned);
        if version_id.as_ref().is_some_and(|id| !(32..=64).contains(&id.len()) || !id.is_ascii()) {
            return Err(config_error("`aws_version_id`: a version id has 32 to 64 characters").into());
        }
        if version_id.is_some() && secret_ids.len() > 1 {
            return Err(config_error(
                "`aws_version_id` identifies a version of one secret, but `aws_secret_name` names several",
            )
            .into());
        }
        let version_stage = config.text("aws_version_stage").map(str::to_owned);
        if version_stage.as_ref().is_some_and(|stage| stage.len() > 256) {
            return Err(
                config_error("`aws_version_stage`: a stage such as AWSCURRENT has at most 256 characters").into()
            );
        }
        let endpoint = config.text("aws_endpoint_url").map(|url| checked_url(url, "`aws_endpoint_url`")).transpose()?;
        Ok(Some(ProviderSettings {
            secret_ids,
            version_id,
            version_stage,
            region: config.text("aws_region").map(|region| checked_region(region, "`aws_region`")).transpose()?,
            profile: config.text("aws_profile").map(str::to_owned),
            endpoint,
            max_attempts: Some(config.count("max_attempts", 0)).filter(|attempts| *attempts > 0),
        }))
    }
}

fn secret_ids(config: &Config, environment: &Environment) -> Result<Vec<SecretId>> {
    let (texts, setting) = match config.list("aws_secret_name") {
        Some(texts) => (texts.to_vec(), "`aws_secret_name`".to_owned()),
        None => {
            let setting = format!("the variable {SECRET_VARIABLE}");
            let texts = match environment.text(SECRET_VARIABLE)? {
                Some(text) if text.starts_with('[') => serde_json::from_str(&text)
                    .map_err(|_| config_error(format!("{setting} must be a name, or a JSON array of names")))?,
                Some(text) => vec![text.to_string()],
                None => Vec::new(),
            };
            (texts, setting)
        }
    };
    let mut ids = Vec::new();
    for text in texts {
        let id = SecretId::parse(&text, &setting)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// All settings, as they are during one load.
pub(super) struct Settings<'a> {
    pub(super) provider_settings: &'a ProviderSettings,
    pub(super) environment: &'a Environment,
    pub(super) profiles: Arc<Profiles>,
    /// The name of the profile that is used.
    pub(super) profile_name: String,
    /// Whether a setting names the profile.
    pub(super) is_profile_named: bool,
    /// The limit of attempts for one request.
    pub(super) max_attempts: u32,
    variant: Variant,
    /// Whether endpoints in variables and files are ignored.
    ignore_endpoints: bool,
}

impl<'a> Settings<'a> {
    /// Reads the variables and files.
    pub(super) fn read(provider_settings: &'a ProviderSettings, environment: &'a Environment) -> Result<Settings<'a>> {
        Settings::with_profiles(provider_settings, environment, Profiles::read(environment)?.into())
    }

    /// Reads the variables, and uses these profiles.
    pub(super) fn with_profiles(
        provider_settings: &'a ProviderSettings,
        environment: &'a Environment,
        profiles: Arc<Profiles>,
    ) -> Result<Settings<'a>> {
        let (name, setting) = match &provider_settings.profile {
            Some(name) => (name.clone(), Some("`aws_profile`")),
            None => match (environment.text("AWS_PROFILE")?, environment.text("AWS_DEFAULT_PROFILE")?) {
                (Some(name), _) => (name.to_string(), Some("the variable AWS_PROFILE")),
                (None, Some(name)) => (name.to_string(), Some("the variable AWS_DEFAULT_PROFILE")),
                (None, None) => ("default".to_owned(), None),
            },
        };
        if let Some(setting) = setting
            && profiles.find(&name).is_none()
        {
            return Err(profiles.unknown_profile(&name, setting));
        }
        let mut settings = Settings {
            provider_settings,
            environment,
            profiles,
            profile_name: name,
            is_profile_named: setting.is_some(),
            max_attempts: DEFAULT_ATTEMPTS,
            variant: Variant::default(),
            ignore_endpoints: false,
        };
        settings.max_attempts = settings.attempts()?;
        let is_fips_region = settings.configured_region()?.is_some_and(|region| without_fips(&region) != region);
        settings.variant = Variant {
            fips: is_fips_region || settings.flag("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint")?,
            dual_stack: settings.flag("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint")?,
        };
        settings.ignore_endpoints =
            settings.flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls")?;
        Ok(settings)
    }

    pub(super) fn profile(&self) -> Option<Profile<'_>> {
        self.profiles.find(&self.profile_name)
    }

    fn in_profile(&self, key: &str) -> Option<(Value<'_>, String)> {
        let profile = self.profile()?;
        let value = profile.get(key)?;
        Some((value, format!("{}: `{key}`", profile.location(value))))
    }

    /// Returns a flag: the variable, else the value in the profile, else false.
    pub(super) fn flag(&self, variable: &str, key: &str) -> Result<bool> {
        match (self.environment.flag(variable)?, self.in_profile(key)) {
            (Some(value), _) => Ok(value),
            (None, Some((value, setting))) => parse_flag(value.text, &setting),
            (None, None) => Ok(false),
        }
    }

    /// Returns the limit of attempts: the provider's own setting, else the variable, else the value in the profile.
    fn attempts(&self) -> Result<u32> {
        if let Some(attempts) = self.provider_settings.max_attempts {
            return Ok(attempts);
        }
        let text = match self.environment.text("AWS_MAX_ATTEMPTS")? {
            Some(text) => Some((text.to_string(), "the variable AWS_MAX_ATTEMPTS".to_owned())),
            None => self.in_profile("max_attempts").map(|(value, setting)| (value.text.to_owned(), setting)),
        };
        let Some((text, setting)) = text else { return Ok(DEFAULT_ATTEMPTS) };
        let attempts = text.parse().ok().filter(|attempts| *attempts > 0);
        attempts.ok_or_else(|| config_error(format!("{setting} must be a whole number of 1 or more")))
    }

    /// Returns the region that is set, else that of the first ARN if all secrets have ARNs. If there is none, the
    /// instance may know its region.
    pub(super) fn region(&self) -> Result<Option<String>> {
        Ok(self.configured_region()?.map(|region| without_fips(&region)))
    }

    fn configured_region(&self) -> Result<Option<String>> {
        if let Some(region) = &self.provider_settings.region {
            return Ok(Some(region.clone()));
        }
        for variable in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            if let Some(region) = self.environment.text(variable)? {
                return checked_region(&region, &format!("the variable {variable}")).map(Some);
            }
        }
        if let Some((value, setting)) = self.in_profile("region") {
            return checked_region(value.text, &setting).map(Some);
        }
        let are_arns = self.provider_settings.secret_ids.iter().all(|name| name.region.is_some());
        Ok(self.provider_settings.secret_ids.first().and_then(|name| name.region.clone()).filter(|_| are_arns))
    }

    /// Returns the endpoint of a service: the configured one, else the default.
    pub(super) fn endpoint(&self, service: Service, region: &str) -> Result<Endpoint> {
        let Some((url, setting)) = self.configured_endpoint(service)? else {
            return Ok(Endpoint { url: default_url(service, region, self.variant), setting: None });
        };
        if self.variant != Variant::default() {
            return Err(config_error(format!(
                "{setting}: a custom endpoint cannot be combined with FIPS or dual-stack endpoints; unset \
                 AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT and their equivalents in the profile, and write the \
                 region without `fips`"
            )));
        }
        Ok(Endpoint { url, setting: Some(setting) })
    }

    fn configured_endpoint(&self, service: Service) -> Result<Option<(String, String)>> {
        if service == Service::SecretsManager
            && let Some(url) = &self.provider_settings.endpoint
        {
            return Ok(Some((url.clone(), "`aws_endpoint_url`".to_owned())));
        }
        if self.ignore_endpoints {
            return Ok(None);
        }
        let service_variable = format!("AWS_ENDPOINT_URL_{}", service.id().to_ascii_uppercase());
        for variable in [service_variable.as_str(), "AWS_ENDPOINT_URL"] {
            if let Some(url) = self.environment.text(variable)? {
                let setting = format!("the variable {variable}");
                return Ok(Some((checked_url(&url, &setting)?, setting)));
            }
        }
        let Some(profile) = self.profile() else { return Ok(None) };
        let key = "endpoint_url";
        let service_value = match profile.get("services") {
            Some(services) if !self.profiles.has_section("services", services.text) => {
                let location = profile.location(services);
                return Err(config_error(format!(
                    "{location}: there is no section [services {}]",
                    excerpt(services.text)
                )));
            }
            Some(services) => self.profiles.service_value(services.text, service.id(), key),
            None => None,
        };
        let Some(value) = service_value.or_else(|| profile.get(key)) else { return Ok(None) };
        let setting = format!("{}, line {}: `{key}`", value.path.display(), value.line);
        Ok(Some((checked_url(value.text, &setting)?, setting)))
    }

    /// Returns the settings of the HTTP client: the trusted certificates.
    pub(super) fn http(&self) -> Result<http::Settings> {
        let bundle = match self.environment.text("AWS_CA_BUNDLE")? {
            Some(path) => Some(path.to_string()),
            None => self.in_profile("ca_bundle").map(|(value, _)| value.text.to_owned()),
        };
        let roots = match bundle {
            Some(path) => http::Roots::File(crate::paths::expand_home(path.as_ref())),
            None => http::Roots::Platform,
        };
        Ok(http::Settings { roots, max_body: MAX_BODY, ..http::Settings::default() })
    }
}

/// Returns the region of a pseudo-region such as `fips-us-east-1` or `us-east-1-fips`, which selects FIPS endpoints.
fn without_fips(region: &str) -> String {
    let bare = region.strip_prefix("fips-").or_else(|| region.strip_suffix("-fips"));
    bare.filter(|bare| !bare.is_empty()).unwrap_or(region).to_owned()
}

#[cfg(test)]
mod tests;
