//! The Security Token Service: temporary credentials, and the identity of the caller.

use std::time::SystemTime;

use zeroize::Zeroizing;

use super::call::AwsCall;
use super::client::{AwsClient, AwsResponse, CallError};
use super::endpoint::{Endpoint, Service, displayed_origin};
use super::errors::sanitize;
use super::keys::AwsCredentials;
#[cfg(any(feature = "google", feature = "vault"))]
use super::signer::signature_headers;
use super::times;
use super::xml;
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::http::url::percent_encode;

/// The longest response that is parsed. Responses of STS have a few kilobytes.
const MAX_RESPONSE: usize = 64 << 10;
const VERSION: &str = "2011-06-15";
const CALLER_IDENTITY: &str = "GetCallerIdentity";

/// One call of STS: an action with its parameters.
pub(super) struct StsCall<'a> {
    pub(super) action: &'static str,
    pub(super) parameters: &'a [(&'a str, &'a str)],
    pub(super) region: &'a str,
    pub(super) endpoint: &'a Endpoint,
    /// What the call is signed with; `None` for unsigned calls.
    pub(super) credentials: Option<&'a AwsCredentials>,
}

const CONTENT_TYPE: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

impl StsCall<'_> {
    pub(super) fn send(&self, client: &AwsClient<'_>, deadline: Deadline) -> Result<AwsResponse, CallError> {
        let token = self.parameters.iter().filter(|(name, _)| *name == "WebIdentityToken");
        client.call(
            &AwsCall {
                service: Service::Sts,
                region: self.region,
                method: "POST",
                url: &self.endpoint.url,
                headers: &[(CONTENT_TYPE.0, Zeroizing::new(CONTENT_TYPE.1.to_owned()))],
                body: self.form().as_bytes(),
                credentials: self.credentials,
                secrets: &token.map(|(_, value)| value.as_bytes()).collect::<Vec<_>>(),
                waits_if_throttled: true,
            },
            deadline,
        )
    }

    /// Sends a call that returns temporary credentials. `origin` is where they are from, for messages. The time is the
    /// server's.
    pub(super) fn fetch_credentials(
        &self,
        client: &AwsClient<'_>,
        origin: &str,
        deadline: Deadline,
    ) -> Result<(AwsCredentials, SystemTime)> {
        let sent = self.send(client, deadline).map_err(|call_error| self.failed(call_error, origin))?;
        let AwsResponse { response, server_time } = sent;
        let malformed = || self.malformed(origin, "responds without credentials");
        let document = document(&response.body).ok_or_else(malformed)?;
        let part = |name| xml::text(document, &["Credentials", name]).filter(|text| !text.trim().is_empty());
        let (Some(id), Some(secret), Some(token)) =
            (part("AccessKeyId"), part("SecretAccessKey"), part("SessionToken"))
        else {
            return Err(malformed());
        };
        let expires = part("Expiration").and_then(|text| times::parse_time(&text)).ok_or_else(malformed)?;
        Ok((AwsCredentials::new(&id, &secret, Some(&token), Some(expires), origin)?, server_time))
    }

    fn failed(&self, call_error: CallError, origin: &str) -> Error {
        match call_error {
            CallError::Transport(error) => {
                error.map_message(|message| format!("no AWS credentials from {origin}: {}: {message}", self.action))
            }
            CallError::Service(service_error) => {
                let message = self.message(origin, &format!("responds with {}", service_error.describe()));
                service_error.to_error(service_error.status_for_credentials(), message)
            }
        }
    }

    fn malformed(&self, origin: &str, what: &str) -> Error {
        Error::new(Status::Protocol, self.message(origin, what))
    }

    fn message(&self, origin: &str, what: &str) -> String {
        format!("no AWS credentials from {origin}: {} at {} {what}", self.action, displayed_origin(&self.endpoint.url))
    }

    /// Encodes the form. It is allocated at once, because it may contain a token and a buffer that grows leaves copies
    /// behind.
    fn form(&self) -> Zeroizing<String> {
        let size: usize = self.parameters.iter().map(|(name, value)| name.len() + value.len() * 3 + 2).sum();
        let mut form = Zeroizing::new(String::with_capacity(size + 64));
        let fixed = [("Action", self.action), ("Version", VERSION)];
        for (name, value) in fixed.iter().chain(self.parameters) {
            if !form.is_empty() {
                form.push('&');
            }
            form.push_str(name);
            form.push('=');
            percent_encode(value).for_each(|part| form.push_str(part));
        }
        form
    }
}

/// Returns the text of a response, unless it is too long.
fn document(body: &[u8]) -> Option<&str> {
    std::str::from_utf8(body).ok().filter(|text| text.len() <= MAX_RESPONSE)
}

/// Returns the ARN of the owner of these credentials. The call needs no permission.
pub(super) fn caller_identity(
    client: &AwsClient<'_>,
    region: &str,
    endpoint: &Endpoint,
    credentials: &AwsCredentials,
    deadline: Deadline,
) -> Result<String, CallError> {
    let credentials = Some(credentials);
    let call = StsCall { action: CALLER_IDENTITY, parameters: &[], region, endpoint, credentials };
    let AwsResponse { response, .. } = call.send(client, deadline)?;
    let arn = document(&response.body).and_then(|text| xml::text(text, &["GetCallerIdentityResult", "Arn"]));
    let malformed = || CallError::Transport(Error::new(Status::Protocol, "the response has no Arn"));
    arn.map(|arn| sanitize(&arn, &[])).ok_or_else(malformed)
}

/// Names and values.
#[cfg(any(feature = "google", feature = "vault"))]
pub(super) type SignedHeaders = Vec<(String, Zeroizing<String>)>;

/// Returns the body of a call that another server sends to find out who the caller is, and the header of its type.
#[cfg(any(feature = "google", feature = "vault"))]
pub(super) fn caller_identity_form(
    region: &str,
    endpoint: &Endpoint,
) -> (Zeroizing<String>, (&'static str, Zeroizing<String>)) {
    let call = StsCall { action: CALLER_IDENTITY, parameters: &[], region, endpoint, credentials: None };
    (call.form(), (CONTENT_TYPE.0, Zeroizing::new(CONTENT_TYPE.1.to_owned())))
}

/// Signs a call of STS that another server sends. Returns these headers, and those of the signature.
#[cfg(any(feature = "google", feature = "vault"))]
pub(super) fn signed_headers(
    region: &str,
    url: &str,
    body: &str,
    mut headers: Vec<(&str, Zeroizing<String>)>,
    credentials: &AwsCredentials,
    time: SystemTime,
) -> Result<SignedHeaders> {
    let call = AwsCall {
        service: Service::Sts,
        region,
        method: "POST",
        url,
        headers: &headers,
        body: body.as_bytes(),
        credentials: Some(credentials),
        secrets: &[],
        waits_if_throttled: true,
    };
    let signature = signature_headers(&call, credentials, time)?;
    headers.extend(signature);
    Ok(headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
