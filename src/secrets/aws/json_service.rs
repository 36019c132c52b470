//! A JSON service of AWS in one region: calls, and messages about its responses.

use serde_json::Value;
use zeroize::Zeroizing;

use super::call::AwsCall;
use super::client::{AwsClient, AwsResponse, CallError};
use super::endpoint::{Endpoint, Service, displayed_origin};
use super::identifiers::is_aws_region;
use super::keys::AwsCredentials;
use super::service_error::{ErrorKind, ServiceError};
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::http;
use crate::secret_memory::SecretBytes;
use crate::secrets::json::SecretObject;

/// A service in one region, with these credentials.
pub(super) struct JsonService<'a> {
    pub(super) client: &'a AwsClient<'a>,
    pub(super) service: Service,
    pub(super) region: &'a str,
    pub(super) endpoint: &'a Endpoint,
    /// `None` for the agent, which has its own.
    pub(super) credentials: Option<&'a AwsCredentials>,
    /// Where the credentials are from, for messages.
    pub(super) credentials_origin: &'a str,
    pub(super) deadline: Deadline,
}

/// Why something cannot be read.
pub(super) struct ReadError {
    pub(super) error: Error,
    /// AWS rejects the credentials, as expired or unknown, so others may work.
    pub(super) credentials_rejected: bool,
}

impl From<Error> for ReadError {
    fn from(error: Error) -> ReadError {
        ReadError { error, credentials_rejected: false }
    }
}

/// `what` is what is read, for messages: `secret "app/prod"`.
impl JsonService<'_> {
    pub(super) fn call(&self, action: &str, body: &Value, waits_if_throttled: bool) -> Result<AwsResponse, CallError> {
        self.call_with(action, body.to_string().as_bytes(), &[], waits_if_throttled)
    }

    /// As [`call`](JsonService::call), with a body that has `secrets`.
    pub(super) fn call_with(
        &self,
        action: &str,
        body: &[u8],
        secrets: &[&[u8]],
        waits_if_throttled: bool,
    ) -> Result<AwsResponse, CallError> {
        let header = |text: &str| Zeroizing::new(text.to_owned());
        self.client.call(
            &AwsCall {
                service: self.service,
                region: self.region,
                method: "POST",
                url: &self.endpoint.url,
                headers: &[
                    ("content-type", header(self.service.content_type())),
                    ("x-amz-target", header(&format!("{}.{action}", self.service.target()))),
                ],
                body,
                credentials: self.credentials,
                secrets,
                waits_if_throttled,
            },
            self.deadline,
        )
    }

    /// Makes a call, and parses its response.
    pub(super) fn ask(&self, what: &str, action: &str, body: &Value) -> Result<SecretObject, ReadError> {
        match self.call(action, body, true) {
            Ok(AwsResponse { response, .. }) => Ok(self.parse(what, &response.body)?),
            Err(CallError::Transport(error)) => Err(self.unreachable(what, error).into()),
            Err(CallError::Service(service_error)) => Err(self.refused(what, action, &service_error)),
        }
    }

    /// Parses a response while forks are allowed, because it may be large.
    pub(super) fn parse(&self, what: &str, body: &SecretBytes) -> Result<SecretObject> {
        match fork::unprotected(|| SecretObject::parse_within(body, || self.deadline.has_passed())) {
            Ok(Some(fields)) => Ok(fields),
            Ok(None) => {
                let service = self.service.name();
                let why = format!("the response is not a JSON object; check that the endpoint is {service}");
                Err(self.malformed(what, &why))
            }
            Err(()) => Err(self.parse_timeout(what)),
        }
    }

    /// The error for an error response to this action.
    pub(super) fn refused(&self, what: &str, action: &str, service_error: &ServiceError) -> ReadError {
        let (what, why) = (self.describe(what), service_error.describe());
        let remedy = self.remedy(action, service_error);
        let error = service_error.to_error(Status::Protocol, format!("{what}: {why}{remedy}"));
        // A credentials file may have been read while it was being written, so other keys may also fix a bad signature.
        let is_rejection = matches!(service_error.kind(), ErrorKind::ExpiredCredentials | ErrorKind::BadSignature);
        ReadError { error, credentials_rejected: service_error.from_aws && is_rejection }
    }

    /// What to do about an error response, as the end of the message.
    fn remedy(&self, action: &str, service_error: &ServiceError) -> String {
        let origin = self.credentials_origin;
        match service_error.kind() {
            ErrorKind::AccessDenied => {
                let service = self.service.signing_name();
                format!("; allow {service}:{action} on it to the owner of the credentials of {origin}")
            }
            ErrorKind::ExpiredCredentials => {
                format!("; the credentials of {origin} have expired, or AWS does not know them")
            }
            ErrorKind::BadSignature => {
                format!("; the secret access key of {origin} is wrong, or the clock of this machine is")
            }
            ErrorKind::Decryption => format!(
                "; KMS cannot decrypt it; allow kms:Decrypt on its key to the owner of the credentials of {origin}, and \
                 check that the key is enabled"
            ),
            ErrorKind::Redirect => "; redirects are not followed; correct the endpoint".to_owned(),
            ErrorKind::Throttled | ErrorKind::Unavailable => {
                format!("; {} is unavailable or throttling", displayed_origin(&self.endpoint.url))
            }
            ErrorKind::Other if !service_error.from_aws => {
                let setting = self.endpoint.setting.as_ref().map_or("the region".to_owned(), ToString::to_string);
                format!("; check {setting} and the proxies, firewalls and load balancers on the way")
            }
            ErrorKind::Other | ErrorKind::NotFound => String::new(),
        }
    }

    /// The error for a call without a response, with a remedy.
    pub(super) fn unreachable(&self, what: &str, error: Error) -> Error {
        let mut hint = match &self.endpoint.setting {
            Some(setting) if matches!(error.status(), Status::Unavailable | Status::Timeout) => {
                format!(" (the endpoint is set by {setting})")
            }
            None if !is_aws_region(self.region) => format!(" ({:?} does not look like an AWS region)", self.region),
            _ => String::new(),
        };
        if http::is_untrusted_certificate(&error) {
            hint = "; set AWS_CA_BUNDLE to a file with the authorities to trust".to_owned();
        } else if error.status() == Status::Timeout {
            hint.push_str("; check the network path or raise `timeout`");
        }
        error.map_message(|message| format!("{}: {message}{hint}", self.describe(what)))
    }

    pub(super) fn parse_timeout(&self, what: &str) -> Error {
        let message = format!("{}: timed out while parsing its value", self.describe(what));
        Error::new(Status::Timeout, message).with_retryable(true)
    }

    pub(super) fn malformed(&self, what: &str, why: &str) -> Error {
        Error::new(Status::Protocol, format!("{}: {why}", self.describe(what)))
    }

    pub(super) fn describe(&self, what: &str) -> String {
        format!("{what} in {}", self.region)
    }
}
