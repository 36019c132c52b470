//! The settings of the provider: its own first, then the variables and files of the AWS tools.

use std::sync::Arc;

use super::agent::Agent;
use super::endpoint::{Endpoint, Service, Variant, checked_url, default_url};
use super::errors::config_error;
use super::identifiers::{checked_external_id, checked_region, checked_role_arn, checked_session_name};
use super::profiles::{Profile, Profiles};
use super::selection::Selection;
use super::target::AwsTarget;
use crate::config::Config;
use crate::error::Result;
use crate::http;
use crate::settings::{Environment, InvalidSetting, Setting, SettingOrigin, excerpt};
use crate::share::Identity;

/// Enough for twenty secrets of 64 KiB, fully escaped.
pub(super) const MAX_BODY: usize = 16 << 20;
const REGION_KEY: &str = "aws_region";
const ENDPOINT_KEY: &str = "aws_endpoint_url";
const PARAMETERS_ENDPOINT_KEY: &str = "aws_parameters_endpoint_url";

/// The settings of the provider itself, read when the manager is opened.
pub(super) struct ProviderSettings {
    pub(super) target: AwsTarget,
    /// The region, and those with replicas, in order.
    regions: Vec<String>,
    pub(super) profile: Option<Setting>,
    endpoint: Option<String>,
    parameters_endpoint: Option<String>,
    pub(super) role: Option<RoleSettings>,
    max_attempts: Option<u32>,
    agent: Option<Agent>,
}

/// A role that is assumed with the credentials that are found.
pub(super) struct RoleSettings {
    pub(super) arn: String,
    pub(super) session_name: Option<String>,
    pub(super) external_id: Option<String>,
}

impl RoleSettings {
    fn read(config: &Config) -> Result<Option<RoleSettings>, InvalidSetting> {
        let [session_name, external_id] =
            [config.setting("aws_role_session_name")?, config.setting("aws_external_id")?];
        let Some(arn) = config.setting("aws_role_arn")? else {
            return match session_name.or(external_id) {
                Some(setting) => Err(setting.invalid("needs `aws_role_arn`, the role that is assumed with it")),
                None => Ok(None),
            };
        };
        Ok(Some(RoleSettings {
            arn: checked_role_arn(&arn)?,
            session_name: session_name.as_ref().map(checked_session_name).transpose()?,
            external_id: external_id.as_ref().map(checked_external_id).transpose()?,
        }))
    }
}

impl ProviderSettings {
    /// The only source of these secrets, if it is set: an agent.
    pub(super) fn agent(&self) -> Option<(&Agent, &Selection)> {
        match &self.target {
            AwsTarget::Secrets(selection) => self.agent.as_ref().map(|agent| (agent, selection)),
            _ => None,
        }
    }

    pub(super) fn max_attempts(&self) -> Option<u32> {
        self.max_attempts
    }

    /// The regions that are queried if the first one is unavailable. An ARN is read in its own region alone.
    pub(super) fn replicas(&self) -> &[String] {
        match (self.regions.as_slice(), &self.target) {
            ([_, replicas @ ..], target) if !target.has_only_arns() => replicas,
            _ => &[],
        }
    }

    /// Reads the settings of a provider that reads this.
    pub(super) fn read(config: &Config, target: AwsTarget) -> Result<ProviderSettings, InvalidSetting> {
        Ok(ProviderSettings {
            target,
            regions: regions(config)?,
            profile: config.setting("aws_profile")?,
            endpoint: config.setting(ENDPOINT_KEY)?.as_ref().map(checked_url).transpose()?,
            parameters_endpoint: config.setting(PARAMETERS_ENDPOINT_KEY)?.as_ref().map(checked_url).transpose()?,
            role: RoleSettings::read(config)?,
            agent: Agent::read(config)?,
            max_attempts: Some(config.count("max_attempts", 0)).filter(|attempts| *attempts > 0),
        })
    }
}

fn regions(config: &Config) -> Result<Vec<String>, InvalidSetting> {
    let texts = config.list(REGION_KEY).unwrap_or_default();
    texts.iter().map(|text| checked_region(&Setting::new(SettingOrigin::Config(REGION_KEY), text.trim()))).collect()
}

/// All settings, as they are during one load.
pub(super) struct AwsSettings<'a> {
    pub(super) provider_settings: &'a ProviderSettings,
    pub(super) environment: &'a Environment,
    pub(super) profiles: Arc<Profiles>,
    /// The name of the profile that is used.
    pub(super) profile_name: String,
    /// Whether a setting names the profile.
    pub(super) is_profile_named: bool,
    /// The limit of attempts for one request, if one is set.
    pub(super) max_attempts: Option<u32>,
    variant: Variant,
    /// Whether endpoints in variables and files are ignored.
    ignore_endpoints: bool,
}

impl<'a> AwsSettings<'a> {
    /// Reads the variables and files.
    pub(super) fn read(
        provider_settings: &'a ProviderSettings,
        environment: &'a Environment,
    ) -> Result<AwsSettings<'a>> {
        AwsSettings::with_profiles(provider_settings, environment, Profiles::read(environment)?.into())
    }

    /// Reads the variables, and uses these profiles.
    pub(super) fn with_profiles(
        provider_settings: &'a ProviderSettings,
        environment: &'a Environment,
        profiles: Arc<Profiles>,
    ) -> Result<AwsSettings<'a>> {
        let profile = match &provider_settings.profile {
            Some(profile) => Some(profile.clone()),
            None => environment.first(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])?,
        };
        if let Some(profile) = profile.as_ref().filter(|profile| profiles.find(profile.text()).is_none()) {
            return Err(profiles.unknown_profile(profile));
        }
        let mut settings = AwsSettings {
            provider_settings,
            environment,
            profiles,
            profile_name: profile.as_ref().map_or("default", Setting::text).to_owned(),
            is_profile_named: profile.is_some(),
            max_attempts: None,
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

    /// Returns the first of these variables that is set, else the value in the profile.
    pub(super) fn variable_or_profile(&self, variables: &[&str], key: &str) -> Result<Option<Setting>> {
        let variable = self.environment.first(variables)?;
        Ok(variable.or_else(|| self.profile().and_then(|profile| profile.setting(key))))
    }

    /// Returns a flag: the variable, else the value in the profile, else false.
    pub(super) fn flag(&self, variable: &str, key: &str) -> Result<bool> {
        Ok(self.variable_or_profile(&[variable], key)?.map_or(Ok(false), |setting| setting.flag())?)
    }

    /// Returns the limit of attempts: the provider's own setting, else the variable, else the value in the profile.
    fn attempts(&self) -> Result<Option<u32>> {
        if self.provider_settings.max_attempts.is_some() {
            return Ok(self.provider_settings.max_attempts);
        }
        let setting = self.variable_or_profile(&["AWS_MAX_ATTEMPTS"], "max_attempts")?;
        Ok(setting.map(|setting| setting.number(1.., "a whole number of 1 or more")).transpose()?)
    }

    /// Returns the region that is set, else that of the first ARN if all secrets have ARNs. If there is none, the
    /// instance may know its region.
    pub(super) fn region(&self) -> Result<Option<String>> {
        Ok(self.configured_region()?.map(|region| without_fips(&region)))
    }

    fn configured_region(&self) -> Result<Option<String>> {
        if let Some(region) = self.provider_settings.regions.first() {
            return Ok(Some(region.clone()));
        }
        if let Some(region) = self.variable_or_profile(&["AWS_REGION", "AWS_DEFAULT_REGION"], "region")? {
            return Ok(Some(checked_region(&region)?));
        }
        Ok(self.provider_settings.target.region().map(str::to_owned))
    }

    /// Returns the endpoint of a service: the configured one, else the default.
    pub(super) fn endpoint(&self, service: Service, region: &str) -> Result<Endpoint> {
        let (own, key) = match service {
            Service::SecretsManager => (self.provider_settings.endpoint.as_ref(), ENDPOINT_KEY),
            Service::Ssm => (self.provider_settings.parameters_endpoint.as_ref(), PARAMETERS_ENDPOINT_KEY),
            _ => (None, ENDPOINT_KEY),
        };
        let (url, setting) = match own {
            Some(url) => (url.clone(), SettingOrigin::Config(key)),
            None => match self.configured_endpoint(service)? {
                Some(setting) => (checked_url(&setting)?, setting.origin),
                None => return Ok(Endpoint { url: default_url(service, region, self.variant), setting: None }),
            },
        };
        if self.variant != Variant::default() {
            let what = "sets a custom endpoint, which cannot be combined with FIPS or dual-stack endpoints; unset \
                        AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT and their equivalents in the profile, and \
                        write the region without `fips`";
            return Err(setting.invalid(what).into());
        }
        Ok(Endpoint { url, setting: Some(setting) })
    }

    /// Returns the endpoint in a variable or in the profile.
    fn configured_endpoint(&self, service: Service) -> Result<Option<Setting>> {
        if self.ignore_endpoints {
            return Ok(None);
        }
        let service_variable = format!("AWS_ENDPOINT_URL_{}", service.id().to_ascii_uppercase());
        if let Some(url) = self.environment.first(&[&service_variable, "AWS_ENDPOINT_URL"])? {
            return Ok(Some(url));
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
        let value = service_value.or_else(|| profile.get(key));
        Ok(value.map(|value| value.setting(&value.location(), key)))
    }

    /// Adds which servers are called, and which certificates are trusted, to the identity of a process.
    pub(super) fn identify(&self, region: &str, identity: &mut Identity) -> Result<()> {
        identity.add("region", region);
        identity.add("sts", self.endpoint(Service::Sts, region)?.url);
        self.http()?.trust().into_iter().for_each(|(name, value)| identity.add(name, value));
        Ok(())
    }

    /// Returns the settings of the HTTP client: the trusted certificates.
    pub(super) fn http(&self) -> Result<http::ClientSettings> {
        let bundle = self.variable_or_profile(&["AWS_CA_BUNDLE"], "ca_bundle")?;
        let roots = bundle.map_or(http::Roots::Platform, http::Roots::File);
        Ok(http::ClientSettings { roots, max_body: MAX_BODY, ..http::ClientSettings::default() })
    }
}

/// Returns the region of a pseudo-region such as `fips-us-east-1` or `us-east-1-fips`, which selects FIPS endpoints.
fn without_fips(region: &str) -> String {
    let bare = region.strip_prefix("fips-").or_else(|| region.strip_suffix("-fips"));
    bare.filter(|bare| !bare.is_empty()).unwrap_or(region).to_owned()
}

#[cfg(test)]
mod tests;
