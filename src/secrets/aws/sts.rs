//! The Security Token Service: temporary keys, and who we are.

use std::time::SystemTime;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use zeroize::Zeroizing;

use super::credentials::Keys;
use super::endpoint::{Service, place};
use super::fields;
use super::settings::Endpoint;
use super::wire::{Answer, Call, Fault, Wire};
use super::xml;
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};

/// The longest answer that is parsed.
const MAX_ANSWER: usize = 64 << 10;
const VERSION: &str = "2011-06-15";
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A value as it stands in a query or a form.
pub(super) fn encoded(value: &str) -> PercentEncode<'_> {
    utf8_percent_encode(value, ENCODED)
}

/// One call of STS: an action with its parameters.
pub(super) struct StsCall<'a> {
    pub(super) action: &'static str,
    pub(super) parameters: &'a [(&'a str, &'a str)],
    pub(super) region: &'a str,
    pub(super) endpoint: &'a Endpoint,
    /// What it is signed with, `None` for calls that are not.
    pub(super) keys: Option<&'a Keys>,
}

impl StsCall<'_> {
    pub(super) fn send(&self, wire: &Wire<'_>, deadline: Deadline) -> std::result::Result<Answer, Fault> {
        let content_type = "application/x-www-form-urlencoded; charset=utf-8";
        let token = self.parameters.iter().filter(|(name, _)| *name == "WebIdentityToken");
        wire.call(
            &Call {
                service: Service::Sts,
                region: self.region,
                method: "POST",
                url: &self.endpoint.url,
                headers: &[("content-type", Zeroizing::new(content_type.to_owned()))],
                body: self.form().as_bytes(),
                keys: self.keys,
                secrets: &token.map(|(_, value)| value.as_bytes()).collect::<Vec<_>>(),
            },
            deadline,
        )
    }

    /// As [`send`](StsCall::send), for new keys. `holder` is whose keys they are, for messages.
    pub(super) fn keys(&self, wire: &Wire<'_>, holder: &str, deadline: Deadline) -> Result<(Keys, SystemTime)> {
        let Answer { response, now } = self.send(wire, deadline).map_err(|fault| self.error(fault, holder))?;
        let malformed = || self.refused(holder, Status::Protocol, "answers without credentials");
        let document = document(&response.body).ok_or_else(malformed)?;
        let part = |name| xml::text(document, &["Credentials", name]).filter(|text| !text.trim().is_empty());
        let (Some(id), Some(secret), Some(token)) =
            (part("AccessKeyId"), part("SecretAccessKey"), part("SessionToken"))
        else {
            return Err(malformed());
        };
        let expires = part("Expiration").and_then(|text| fields::time(&text)).ok_or_else(malformed)?;
        Ok((Keys::new(&id, &secret, Some(&token), Some(expires), holder)?, now))
    }

    fn error(&self, fault: Fault, holder: &str) -> Error {
        match fault {
            Fault::Failed(error) => {
                error.map_message(|message| format!("no AWS credentials from {holder}: {}: {message}", self.action))
            }
            Fault::Refused(refusal) => {
                let message = self.message(holder, &format!("answers {}", refusal.words()));
                refusal.error(refusal.status_without_keys(), message)
            }
        }
    }

    fn refused(&self, holder: &str, status: Status, what: &str) -> Error {
        Error::new(status, self.message(holder, what))
    }

    fn message(&self, holder: &str, what: &str) -> String {
        format!("no AWS credentials from {holder}: {} at {} {what}", self.action, place(&self.endpoint.url))
    }

    /// The whole form in one block, as it may hold a token.
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
            encoded(value).for_each(|part| form.push_str(part));
        }
        form
    }
}

/// The text of an answer, which has a few kilobytes at most.
fn document(body: &[u8]) -> Option<&str> {
    std::str::from_utf8(body).ok().filter(|text| text.len() <= MAX_ANSWER)
}

/// The ARN of who holds these keys. Nobody needs a permission to ask.
pub(super) fn caller(
    wire: &Wire<'_>,
    region: &str,
    endpoint: &Endpoint,
    keys: &Keys,
    deadline: Deadline,
) -> std::result::Result<String, Fault> {
    let call = StsCall { action: "GetCallerIdentity", parameters: &[], region, endpoint, keys: Some(keys) };
    let Answer { response, .. } = call.send(wire, deadline)?;
    let arn = document(&response.body).and_then(|text| xml::text(text, &["GetCallerIdentityResult", "Arn"]));
    arn.map(|arn| super::refusal::tidy(&arn, &[]))
        .ok_or_else(|| Fault::Failed(call.refused("the caller's identity", Status::Protocol, "answers without an Arn")))
}
