//! What is asked for, of whom, and where: own settings first, then the variables and files of the AWS tools.

use std::sync::Arc;

use super::endpoint::{Service, Variant, checked_url, default_url};
use super::environment::{Environment, flag};
use super::ini::Value;
use super::names::{self, Name, config};
use super::profiles::{Profile, Profiles};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::http;

const SECRET_VARIABLE: &str = "SIMPLETUNER_AWS_SECRET_NAME";

/// Own settings, read when the manager is opened.
pub(super) struct Own {
    /// Each secret once, in the order in which they count.
    pub(super) names: Vec<Name>,
    pub(super) version_id: Option<String>,
    pub(super) version_stage: Option<String>,
    region: Option<String>,
    pub(super) profile: Option<String>,
    endpoint: Option<String>,
    max_attempts: Option<u32>,
}

/// A setting that cannot be used.
#[derive(Debug)]
pub(super) struct Unusable {
    pub(super) error: Error,
    /// Whether the configuration has it, not the environment.
    pub(super) in_config: bool,
}

impl From<Error> for Unusable {
    fn from(error: Error) -> Unusable {
        Unusable { error, in_config: true }
    }
}

impl Own {
    /// `None` where no secret is named.
    pub(super) fn read(given: &Config, environment: &Environment) -> std::result::Result<Option<Own>, Unusable> {
        let in_config = given.list("aws_secret_name").is_some();
        let names = secret_names(given, environment).map_err(|error| Unusable { error, in_config })?;
        if names.is_empty() {
            return Ok(None);
        }
        let version_id = given.text("aws_version_id").map(str::to_owned);
        if version_id.as_ref().is_some_and(|id| !(32..=64).contains(&id.len()) || !id.is_ascii()) {
            return Err(config("`aws_version_id`: the id of a version has 32 to 64 characters").into());
        }
        if version_id.is_some() && names.len() > 1 {
            return Err(config("`aws_version_id` is of one secret, and `aws_secret_name` names several").into());
        }
        let version_stage = given.text("aws_version_stage").map(str::to_owned);
        if version_stage.as_ref().is_some_and(|stage| stage.len() > 256) {
            return Err(config("`aws_version_stage`: a stage such as AWSCURRENT has at most 256 characters").into());
        }
        let endpoint = given.text("aws_endpoint_url").map(|url| checked_url(url, "`aws_endpoint_url`")).transpose()?;
        Ok(Some(Own {
            names,
            version_id,
            version_stage,
            region: given.text("aws_region").map(|region| names::region(region, "`aws_region`")).transpose()?,
            profile: given.text("aws_profile").map(str::to_owned),
            endpoint,
            max_attempts: Some(given.count("max_attempts", 0)).filter(|attempts| *attempts > 0),
        }))
    }
}

fn secret_names(given: &Config, environment: &Environment) -> Result<Vec<Name>> {
    let (texts, setting) = match given.list("aws_secret_name") {
        Some(texts) => (texts.to_vec(), "`aws_secret_name`".to_owned()),
        None => {
            let setting = format!("the variable {SECRET_VARIABLE}");
            let texts = match environment.text(SECRET_VARIABLE)? {
                Some(text) if text.starts_with('[') => serde_json::from_str(&text)
                    .map_err(|_| config(format!("{setting} must be a name, or a JSON array of names")))?,
                Some(text) => vec![text.to_string()],
                None => Vec::new(),
            };
            (texts, setting)
        }
    };
    let mut names = Vec::new();
    for text in texts {
        let name = Name::parse(&text, &setting)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// All settings, as they are for one load.
pub(super) struct Settings<'a> {
    pub(super) own: &'a Own,
    pub(super) environment: &'a Environment,
    pub(super) profiles: Arc<Profiles>,
    /// The name of the profile that counts.
    pub(super) profile_name: String,
    /// Whether a setting names it.
    pub(super) is_profile_named: bool,
    /// How often one request is sent at most.
    pub(super) max_attempts: u32,
    /// Which hosts.
    variant: Variant,
    /// Whether endpoints in variables and files are passed over.
    ignore_endpoints: bool,
}

impl<'a> Settings<'a> {
    pub(super) fn read(own: &'a Own, environment: &'a Environment) -> Result<Settings<'a>> {
        Settings::with(own, environment, Profiles::read(environment)?.into())
    }

    /// The settings with these profiles.
    pub(super) fn with(own: &'a Own, environment: &'a Environment, profiles: Arc<Profiles>) -> Result<Settings<'a>> {
        let (name, setting) = match &own.profile {
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
            return Err(profiles.unknown(&name, setting));
        }
        let mut settings = Settings {
            own,
            environment,
            profiles,
            profile_name: name,
            is_profile_named: setting.is_some(),
            max_attempts: DEFAULT_ATTEMPTS,
            variant: Variant::default(),
            ignore_endpoints: false,
        };
        settings.max_attempts = settings.attempts()?;
        let by_region = settings.region_as_given()?.is_some_and(|region| without_fips(&region) != region);
        settings.variant = Variant {
            fips: by_region || settings.flag("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint")?,
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
        Some((value, format!("{}: `{key}`", profile.place(value))))
    }

    /// A variable, else the profile's setting, else false.
    pub(super) fn flag(&self, variable: &str, key: &str) -> Result<bool> {
        match (self.environment.flag(variable)?, self.in_profile(key)) {
            (Some(value), _) => Ok(value),
            (None, Some((value, setting))) => flag(value.text, &setting),
            (None, None) => Ok(false),
        }
    }

    /// The own setting, else the variable, else the profile's setting.
    fn attempts(&self) -> Result<u32> {
        if let Some(attempts) = self.own.max_attempts {
            return Ok(attempts);
        }
        let given = match self.environment.text("AWS_MAX_ATTEMPTS")? {
            Some(text) => Some((text.to_string(), "the variable AWS_MAX_ATTEMPTS".to_owned())),
            None => self.in_profile("max_attempts").map(|(value, setting)| (value.text.to_owned(), setting)),
        };
        let Some((text, setting)) = given else { return Ok(DEFAULT_ATTEMPTS) };
        let attempts = text.parse().ok().filter(|attempts| *attempts > 0);
        attempts.ok_or_else(|| config(format!("{setting} must be a whole number of 1 or more")))
    }

    /// The region that is set, or the one that all secrets name; the machine may know one where this does not.
    pub(super) fn region(&self) -> Result<Option<String>> {
        Ok(self.region_as_given()?.map(|region| without_fips(&region)))
    }

    fn region_as_given(&self) -> Result<Option<String>> {
        if let Some(region) = &self.own.region {
            return Ok(Some(region.clone()));
        }
        for variable in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            if let Some(region) = self.environment.text(variable)? {
                return names::region(&region, &format!("the variable {variable}")).map(Some);
            }
        }
        if let Some((value, setting)) = self.in_profile("region") {
            return names::region(value.text, &setting).map(Some);
        }
        let by_arn = self.own.names.iter().all(|name| name.region.is_some());
        Ok(self.own.names.first().and_then(|name| name.region.clone()).filter(|_| by_arn))
    }

    /// Where a service is called, and whether somebody said so.
    pub(super) fn endpoint(&self, service: Service, region: &str) -> Result<Endpoint> {
        let Some((url, setting)) = self.given_endpoint(service)? else {
            return Ok(Endpoint { url: default_url(service, region, self.variant), setting: None });
        };
        if self.variant != Variant::default() {
            return Err(config(format!(
                "{setting}: an endpoint of your own goes with neither FIPS nor dual-stack hosts; unset \
                 AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT and their like in the profile, and name the region \
                 without `fips`"
            )));
        }
        Ok(Endpoint { url, setting: Some(setting) })
    }

    fn given_endpoint(&self, service: Service) -> Result<Option<(String, String)>> {
        if service == Service::SecretsManager
            && let Some(url) = &self.own.endpoint
        {
            return Ok(Some((url.clone(), "`aws_endpoint_url`".to_owned())));
        }
        if self.ignore_endpoints {
            return Ok(None);
        }
        let of_service = format!("AWS_ENDPOINT_URL_{}", service.id().to_ascii_uppercase());
        for variable in [of_service.as_str(), "AWS_ENDPOINT_URL"] {
            if let Some(url) = self.environment.text(variable)? {
                let setting = format!("the variable {variable}");
                return Ok(Some((checked_url(&url, &setting)?, setting)));
            }
        }
        let Some(profile) = self.profile() else { return Ok(None) };
        let key = "endpoint_url";
        let of_service = match profile.get("services") {
            Some(services) if !self.profiles.has("services", services.text) => {
                let place = profile.place(services);
                return Err(config(format!("{place}: there is no section [services {}]", names::shown(services.text))));
            }
            Some(services) => self.profiles.of_service(services.text, service.id(), key),
            None => None,
        };
        let Some(value) = of_service.or_else(|| profile.get(key)) else { return Ok(None) };
        let setting = format!("{}, line {}: `{key}`", value.path.display(), value.line);
        Ok(Some((checked_url(value.text, &setting)?, setting)))
    }

    /// How AWS is spoken to: the certificates that are trusted.
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

/// The region that a pseudo-region such as `fips-us-east-1` or `us-east-1-fips` means, with the FIPS hosts there.
fn without_fips(region: &str) -> String {
    let bare = region.strip_prefix("fips-").or_else(|| region.strip_suffix("-fips"));
    bare.filter(|bare| !bare.is_empty()).unwrap_or(region).to_owned()
}

const DEFAULT_ATTEMPTS: u32 = 3;

/// Twenty secrets of 64 KiB, escaped at the worst.
const MAX_BODY: usize = 16 << 20;

/// Where a service is called.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// With `/` at its end.
    pub(super) url: String,
    /// Where it was set, `None` for the service's own.
    pub(super) setting: Option<String>,
}

#[cfg(test)]
mod tests;
