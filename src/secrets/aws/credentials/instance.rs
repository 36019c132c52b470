//! The metadata service of an EC2 instance, only version 2 (IMDSv2).

use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::context::{FetchContext, FetchedCredentials, failed, limited};
use super::metadata::{CredentialFields, MetadataClient, first_line};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::http::HttpResponse;
use crate::secrets::aws::endpoint::{checked_url, displayed_origin};
use crate::secrets::aws::errors::{config_error, sanitize};
use crate::secrets::aws::identifiers::checked_region;
use crate::secrets::aws::keys::AwsCredentials;
use crate::secrets::aws::settings::AwsSettings;
use crate::secrets::json::SecretObject;
use crate::settings::{Setting, SettingOrigin};
use crate::share::Identity;

const TOKEN_TTL: &str = "21600";
const ROLES: &str = "latest/meta-data/iam/security-credentials/";
const REGION: &str = "latest/meta-data/placement/region";
/// The smallest limit of attempts for a request.
const MIN_ATTEMPTS: f64 = 2.0;
/// The time limit for all requests of one fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The endpoint of the service, and how it is called.
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct Instance {
    url: String,
    /// The time limit of each request.
    timeout: Duration,
    attempts: u32,
    pub(super) origin: String,
}

impl Instance {
    /// Adds the endpoint to the identity of a process.
    pub(super) fn identify(&self, identity: &mut Identity) {
        identity.add("instance endpoint", &self.url);
    }

    /// Reads the settings; `None` if the service is disabled.
    pub(super) fn from_settings(settings: &AwsSettings<'_>) -> Result<Option<Instance>> {
        if let Some(disabled) = settings.environment.setting("AWS_EC2_METADATA_DISABLED")?
            && disabled.flag()?
        {
            return Ok(None);
        }
        let read = |variable, key| settings.variable_or_profile(&[variable], key);
        let endpoint = read("AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint")?;
        let mode = read("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode")?;
        let url = match (endpoint, mode) {
            (Some(url), _) => checked_url(&url)?,
            (None, Some(mode)) if mode.text().eq_ignore_ascii_case("ipv6") => "http://[fd00:ec2::254]/".to_owned(),
            (None, Some(mode)) if !mode.text().eq_ignore_ascii_case("ipv4") => {
                return Err(mode.invalid_value("is neither ipv4 nor ipv6").into());
            }
            _ => "http://169.254.169.254/".to_owned(),
        };
        let number = |variable, key, default: f64| -> Result<f64> {
            let Some(setting) = read(variable, key)? else { return Ok(default) };
            Ok(setting.number(0.001..=60.0, "a number above 0 and up to 60")?)
        };
        let timeout = number("AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout", 1.0)?;
        let attempts =
            number("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "metadata_service_num_attempts", 1.0)?.max(MIN_ATTEMPTS);
        let origin = format!("the instance metadata at {}", displayed_origin(&url));
        Ok(Some(Instance { url, timeout: Duration::from_secs_f64(timeout), attempts: attempts as u32, origin }))
    }

    pub(super) fn fetch(&self, context: &FetchContext<'_>) -> Result<FetchedCredentials> {
        self.fetch_keys(context).map_err(|error| context.settings.profiles.explain(error))
    }

    fn fetch_keys(&self, context: &FetchContext<'_>) -> Result<FetchedCredentials> {
        let deadline = limited(context.deadline, FETCH_TIMEOUT);
        let token = self.token(context.metadata, deadline)?;
        let list = self.get(ROLES, &token, context.metadata, deadline)?;
        let role = match list.status {
            200 => first_line(&list.body),
            404 => None,
            status => return Err(self.unexpected(status)),
        };
        let Some(role) = role else {
            return Err(self.error(Status::Config, "the instance has no role; attach an instance profile to it"));
        };
        let response = self.get(&format!("{ROLES}{role}"), &token, context.metadata, deadline)?;
        if response.status != 200 {
            return Err(self.unexpected(response.status));
        }
        let fields = SecretObject::parse(&response.body);
        let Some(fields) = fields else {
            return Err(self.error(Status::Protocol, "its response is not a JSON object"));
        };
        if let Some(code) = fields.text("Code").filter(|code| *code != "Success") {
            let message = sanitize(fields.text("Message").unwrap_or_default(), &[]);
            let what = format!("it responds with {}: {message}; check that EC2 may use the role", sanitize(code, &[]));
            return Err(self.error(Status::AccessDenied, what));
        }
        let Some(parts) = CredentialFields::of(&fields) else {
            return Err(self.error(Status::Protocol, "its response has no AccessKeyId and SecretAccessKey"));
        };
        let credentials = AwsCredentials::new(parts.id, parts.secret, parts.token, parts.expires, &self.origin)?;
        let fetched = FetchedCredentials::new(credentials, SystemTime::now());
        // A service that cannot get new credentials returns expired ones, and AWS extends their validity.
        Ok(match fetched.lifetime {
            Some(Duration::ZERO) => FetchedCredentials { lifetime: Some(extension()), ..fetched },
            _ => fetched,
        })
    }

    fn token(&self, metadata: &MetadataClient<'_>, deadline: Deadline) -> Result<Zeroizing<String>> {
        if let Some(token) = &*metadata.token.borrow() {
            return Ok(token.clone());
        }
        if metadata.is_absent.get() {
            return Err(self.absent(metadata));
        }
        let headers = [("x-aws-ec2-metadata-token-ttl-seconds", Zeroizing::new(TOKEN_TTL.to_owned()))];
        let response = match self.send("PUT", "latest/api/token", &headers, metadata, deadline) {
            Ok(response) => response,
            Err(_) if deadline.has_passed() => return Err(self.error(Status::Timeout, "it timed out")),
            Err(_) => {
                metadata.is_absent.set(true);
                return Err(self.absent(metadata));
            }
        };
        metadata.state.set_responded();
        match (response.status, first_line(&response.body)) {
            (200, Some(token)) => {
                let token = Zeroizing::new(token.to_owned());
                metadata.token.replace(Some(token.clone()));
                Ok(token)
            }
            (200, None) => Err(self.error(Status::Protocol, "its token is invalid")),
            (403, _) => Err(self.error(Status::Config, "it is disabled (HTTP status 403)")),
            (status, _) => Err(self.unexpected(status)),
        }
    }

    fn get(&self, path: &str, token: &str, metadata: &MetadataClient<'_>, deadline: Deadline) -> Result<HttpResponse> {
        let headers = [("x-aws-ec2-metadata-token", Zeroizing::new(token.to_owned()))];
        let answer = self.send("GET", path, &headers, metadata, deadline);
        answer.map_err(|error| self.error(error.status(), error.message()))
    }

    /// Sends a request, and retries it: the first response of an instance is often slow.
    fn send(
        &self,
        method: &'static str,
        path: &str,
        headers: &[(&str, Zeroizing<String>)],
        metadata: &MetadataClient<'_>,
        deadline: Deadline,
    ) -> Result<HttpResponse> {
        let url = format!("{}{path}", self.url);
        let mut attempt = 1;
        loop {
            let limit = limited(deadline, self.timeout);
            let answer = metadata.send(method, &url, headers, self.timeout, limit);
            let has_failed = answer.as_ref().map_or(true, |response| response.status >= 500);
            if !has_failed || attempt >= self.attempts || deadline.has_passed() {
                return answer;
            }
            attempt += 1;
        }
    }

    fn absent(&self, metadata: &MetadataClient<'_>) -> Error {
        if metadata.state.has_responded() {
            return self.error(Status::Unavailable, "it no longer responds");
        }
        let message = "there are no AWS credentials: neither in variables (AWS_ACCESS_KEY_ID, \
            AWS_WEB_IDENTITY_TOKEN_FILE) nor in the profile nor from a container";
        let message = format!(
            "{message}, and {} does not respond ({} attempts of {:?} each; in a container, the hop limit may have to be 2)",
            self.origin, self.attempts, self.timeout
        );
        config_error(message).with_retryable(true)
    }

    fn unexpected(&self, status: u16) -> Error {
        let kind = if status >= 500 || status == 429 { Status::Unavailable } else { Status::AccessDenied };
        self.error(kind, format!("it responds with HTTP status {status}")).with_detail(status.into())
    }

    fn error(&self, status: Status, what: impl AsRef<str>) -> Error {
        failed(status, &self.origin, what)
    }
}

/// Returns the region of this machine, if it is an instance.
pub(in crate::secrets::aws) fn region(
    settings: &AwsSettings<'_>,
    metadata: &MetadataClient<'_>,
    deadline: Deadline,
) -> Result<Option<String>> {
    let known = metadata.state.region.lock().clone();
    if known.is_some() {
        return Ok(known);
    }
    let Some(instance) = Instance::from_settings(settings)? else { return Ok(None) };
    let Ok(token) = instance.token(metadata, deadline) else { return Ok(None) };
    let Ok(response) = instance.get(REGION, &token, metadata, deadline) else { return Ok(None) };
    let found = first_line(&response.body).filter(|_| response.status == 200);
    let setting = |region| Setting::new(SettingOrigin::Named(instance.origin.clone()), region);
    let region = found.map(|region| checked_region(&setting(region))).transpose()?;
    metadata.state.region.lock().clone_from(&region);
    Ok(region)
}

/// Returns 10 to 15 minutes at random, so that instances do not all refresh at the same time. Without a random source
/// it is the middle.
fn extension() -> Duration {
    let random = getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX));
    Duration::from_secs(600) + Duration::from_secs(300).mul_f64(random)
}
