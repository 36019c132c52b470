//! The metadata service of an EC2 instance, version 2 alone.

use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::{Context, Fetched, Keys, at_most, failed};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::http::Response;
use crate::secrets::aws::endpoint::{checked_url, place};
use crate::secrets::aws::fields::Fields;
use crate::secrets::aws::metadata::{Metadata, Parts, line};
use crate::secrets::aws::names::{self, config, shown};
use crate::secrets::aws::refusal::tidy;
use crate::secrets::aws::settings::Settings;

const TOKEN_LIFE: &str = "21600";
const ROLES: &str = "latest/meta-data/iam/security-credentials/";
const REGION: &str = "latest/meta-data/placement/region";
/// How often each request is made at least.
const LEAST_ATTEMPTS: f64 = 2.0;
/// The longest time for all of it.
const WHOLE: Duration = Duration::from_secs(10);

/// Where and how the service is asked.
#[derive(Clone, PartialEq)]
pub(in crate::secrets::aws) struct Instance {
    url: String,
    /// For each request.
    timeout: Duration,
    attempts: u32,
    pub(super) place: String,
}

impl Instance {
    /// `None` where variables or the profile say not to ask.
    pub(super) fn from_settings(settings: &Settings<'_>) -> Result<Option<Instance>> {
        let environment = settings.environment;
        if environment.flag("AWS_EC2_METADATA_DISABLED")?.unwrap_or(false) {
            return Ok(None);
        }
        let given = |variable: &str, key: &str| -> Result<Option<(String, String)>> {
            if let Some(text) = environment.text(variable)? {
                return Ok(Some((text.to_string(), format!("the variable {variable}"))));
            }
            let profile = settings.profile();
            let value = profile.as_ref().and_then(|profile| Some((profile, profile.get(key)?)));
            Ok(value.map(|(profile, value)| (value.text.to_owned(), format!("{}: `{key}`", profile.place(value)))))
        };
        let endpoint = given("AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint")?;
        let mode = given("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode")?;
        let url = match (endpoint, mode) {
            (Some((url, setting)), _) => checked_url(&url, &setting)?,
            (None, Some((mode, _))) if mode.eq_ignore_ascii_case("ipv6") => "http://[fd00:ec2::254]/".to_owned(),
            (None, Some((mode, setting))) if !mode.eq_ignore_ascii_case("ipv4") => {
                return Err(config(format!("{setting} is {:?}; it must be ipv4 or ipv6", shown(&mode))));
            }
            _ => "http://169.254.169.254/".to_owned(),
        };
        let number = |variable, key, default: f64| -> Result<f64> {
            let Some((text, setting)) = given(variable, key)? else { return Ok(default) };
            let number = text.parse().ok().filter(|number| (0.001..=60.0).contains(number));
            number.ok_or_else(|| config(format!("{setting} must be a number above 0 and up to 60")))
        };
        let timeout = number("AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout", 1.0)?;
        let attempts =
            number("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "metadata_service_num_attempts", 1.0)?.max(LEAST_ATTEMPTS);
        let place = format!("the instance metadata at {}", place(&url));
        Ok(Some(Instance { url, timeout: Duration::from_secs_f64(timeout), attempts: attempts as u32, place }))
    }

    pub(super) fn fetch(&self, context: &Context<'_>) -> Result<Fetched> {
        self.fetch_keys(context).map_err(|error| context.settings.profiles.explain(error))
    }

    fn fetch_keys(&self, context: &Context<'_>) -> Result<Fetched> {
        let deadline = at_most(context.deadline, WHOLE);
        let token = self.token(context.metadata, deadline)?;
        let list = self.get(ROLES, &token, context.metadata, deadline)?;
        let role = match list.status {
            200 => line(&list.body),
            404 => None,
            status => return Err(self.answered(status)),
        };
        let Some(role) = role else {
            return Err(self.error(Status::Config, "the instance has no role; attach an instance profile to it"));
        };
        let response = self.get(&format!("{ROLES}{role}"), &token, context.metadata, deadline)?;
        if response.status != 200 {
            return Err(self.answered(response.status));
        }
        let fields = Fields::parse(&response.body);
        let Some(fields) = fields else { return Err(self.error(Status::Protocol, "its answer is no JSON object")) };
        if let Some(code) = fields.text("Code").filter(|code| *code != "Success") {
            let message = tidy(fields.text("Message").unwrap_or_default(), &[]);
            let what = format!("it answers {}: {message}; may the role be used by EC2?", tidy(code, &[]));
            return Err(self.error(Status::AccessDenied, what));
        }
        let Some(parts) = Parts::of(&fields) else {
            return Err(self.error(Status::Protocol, "its answer has no AccessKeyId and SecretAccessKey"));
        };
        let keys = Keys::new(parts.id, parts.secret, parts.token, parts.expires, &self.place)?;
        let fetched = Fetched::new(keys, SystemTime::now());
        // A service that cannot get new keys hands out old ones, and AWS honours them meanwhile.
        Ok(match fetched.life {
            Some(Duration::ZERO) => Fetched { life: Some(extension()), ..fetched },
            _ => fetched,
        })
    }

    fn token(&self, metadata: &Metadata<'_>, deadline: Deadline) -> Result<Zeroizing<String>> {
        if let Some(token) = &*metadata.token.borrow() {
            return Ok(token.clone());
        }
        if metadata.is_absent.get() {
            return Err(self.absent(metadata));
        }
        let headers = [("x-aws-ec2-metadata-token-ttl-seconds", Zeroizing::new(TOKEN_LIFE.to_owned()))];
        let response = match self.send("PUT", "latest/api/token", &headers, metadata, deadline) {
            Ok(response) => response,
            Err(_) if deadline.has_passed() => return Err(self.error(Status::Timeout, "it did not answer in time")),
            Err(_) => {
                metadata.is_absent.set(true);
                return Err(self.absent(metadata));
            }
        };
        metadata.machine.set_answered();
        match (response.status, line(&response.body)) {
            (200, Some(token)) => {
                let token = Zeroizing::new(token.to_owned());
                metadata.token.replace(Some(token.clone()));
                Ok(token)
            }
            (200, None) => Err(self.error(Status::Protocol, "its token is none")),
            (403, _) => Err(self.error(Status::Config, "it is switched off (HTTP status 403)")),
            (status, _) => Err(self.answered(status)),
        }
    }

    fn get(&self, path: &str, token: &str, metadata: &Metadata<'_>, deadline: Deadline) -> Result<Response> {
        let headers = [("x-aws-ec2-metadata-token", Zeroizing::new(token.to_owned()))];
        let answer = self.send("GET", path, &headers, metadata, deadline);
        answer.map_err(|error| self.error(error.status(), error.message()))
    }

    /// Asks once more where the first attempt fails: the first answer of an instance is often slow.
    fn send(
        &self,
        method: &'static str,
        path: &str,
        headers: &[(&str, Zeroizing<String>)],
        metadata: &Metadata<'_>,
        deadline: Deadline,
    ) -> Result<Response> {
        let url = format!("{}{path}", self.url);
        let mut attempt = 1;
        loop {
            let limit = at_most(deadline, self.timeout);
            let answer = metadata.send(method, &url, headers, self.timeout, limit);
            let has_failed = answer.as_ref().map_or(true, |response| response.status >= 500);
            if !has_failed || attempt >= self.attempts || deadline.has_passed() {
                return answer;
            }
            attempt += 1;
        }
    }

    fn absent(&self, metadata: &Metadata<'_>) -> Error {
        if metadata.machine.has_answered() {
            return self.error(Status::Unavailable, "it does not answer any more");
        }
        let message = "there are no AWS credentials: neither in variables (AWS_ACCESS_KEY_ID, \
            AWS_WEB_IDENTITY_TOKEN_FILE) nor in the profile nor from a container";
        let message = format!(
            "{message}, and {} does not answer ({} attempts of {:?} each; within a container it may take a hop limit of 2)",
            self.place, self.attempts, self.timeout
        );
        config(message).with_retryable(true)
    }

    fn answered(&self, status: u16) -> Error {
        let kind = if status >= 500 || status == 429 { Status::Unavailable } else { Status::AccessDenied };
        self.error(kind, format!("it answers with HTTP status {status}")).with_detail(status.into())
    }

    fn error(&self, status: Status, what: impl AsRef<str>) -> Error {
        failed(status, &self.place, what)
    }
}

/// The region of this machine, where it is an instance.
pub(in crate::secrets::aws) fn region(
    settings: &Settings<'_>,
    metadata: &Metadata<'_>,
    deadline: Deadline,
) -> Result<Option<String>> {
    let known = metadata.machine.region.lock().clone();
    if known.is_some() {
        return Ok(known);
    }
    let Some(instance) = Instance::from_settings(settings)? else { return Ok(None) };
    let Ok(token) = instance.token(metadata, deadline) else { return Ok(None) };
    let Ok(response) = instance.get(REGION, &token, metadata, deadline) else { return Ok(None) };
    let found = line(&response.body).filter(|_| response.status == 200);
    let region = found.map(|region| names::region(region, &instance.place)).transpose()?;
    metadata.machine.region.lock().clone_from(&region);
    Ok(region)
}

/// 10 to 15 minutes, so that not all instances ask again at once. Without random numbers it is the middle.
fn extension() -> Duration {
    let random = getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX));
    Duration::from_secs(600) + Duration::from_secs(300).mul_f64(random)
}
