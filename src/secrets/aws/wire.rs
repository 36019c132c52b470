//! Calls of AWS: signed anew for every attempt, with the server's time where ours is wrong.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::credentials::Keys;
use super::endpoint::{Service, place};
use super::refusal::{Kind, Refusal};
use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Status};
use crate::http::retry::{Again, Failed, Retry};
use crate::http::{self, Client, Request, Response};

/// A difference of clocks that signatures bear.
const TOLERATED: Duration = Duration::from_secs(4 * 60);
/// An answer that took longer says nothing about the time.
const TOO_LONG: Duration = Duration::from_secs(15 * 60);

/// No clock is wrong by so much: such a date is nonsense, and one to sign with might not even have four digits.
const ABSURD: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// One call.
pub(super) struct Call<'a> {
    pub(super) service: Service,
    pub(super) region: &'a str,
    pub(super) method: &'static str,
    /// Absolute.
    pub(super) url: &'a str,
    pub(super) headers: &'a [(&'a str, Zeroizing<String>)],
    pub(super) body: &'a [u8],
    /// What it is signed with, `None` for calls that are not.
    pub(super) keys: Option<&'a Keys>,
    /// What else must not be in an error.
    pub(super) secrets: &'a [&'a [u8]],
}

/// A good answer, and the time by the clock of who gave it.
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) now: SystemTime,
}

/// Why there is none.
pub(super) enum Fault {
    Refused(Refusal),
    /// Nothing came, or not in time.
    Failed(Error),
}

/// The connections of one load.
pub(super) struct Wire<'a> {
    pub(super) client: Client,
    pub(super) clocks: &'a Clocks,
    pub(super) retry: &'a Retry,
    pub(super) max_attempts: u32,
    pub(super) correct_clocks: bool,
}

impl Wire<'_> {
    /// Calls until there is an answer that no further attempt would better.
    pub(super) fn call(&self, call: &Call<'_>, deadline: Deadline) -> std::result::Result<Answer, Fault> {
        let mut refused = None;
        let mut corrected = false;
        let answer = self.retry.run_up_to(self.max_attempts, deadline, |_| {
            refused = None;
            let sent = SystemTime::now();
            let start = Instant::now();
            let response = self.send(call, sent, deadline)?;
            let skew = skew(&response, sent, start.elapsed());
            if (200..300).contains(&response.status) {
                let now = SystemTime::now();
                return Ok(Answer { response, now: skew.map_or(now, |skew| skew.applied_to(now)) });
            }
            let refusal = Refusal::of(&response, &call.secrets());
            let mut again = refusal.again();
            if self.correct_clocks && !corrected && call.keys.is_some() && refusal.may_be_the_clock() {
                corrected = self.clocks.learn(call.url, skew);
                if corrected {
                    again = Again::AtOnce;
                }
            }
            let failed = Failed { error: refusal.plain_error(call), again, after: refusal.after };
            refused = Some(refusal);
            Err(failed)
        });
        answer.map_err(|error| refused.map_or(Fault::Failed(error), Fault::Refused))
    }

    fn send(&self, call: &Call<'_>, now: SystemTime, deadline: Deadline) -> std::result::Result<Response, Failed> {
        let mut headers = call.headers.to_vec();
        if let Some(keys) = call.keys {
            let now = self.clocks.skew(call.url).applied_to(now);
            headers.extend(signature(call, keys, now).map_err(Failed::finally)?);
        }
        let request =
            Request { method: call.method, url: call.url, headers: &headers, body: call.body, connect_timeout: None };
        self.client.send(&request, deadline).map_err(Failed::as_marked)
    }
}

impl Call<'_> {
    /// What must not be in an error.
    fn secrets(&self) -> Vec<&[u8]> {
        self.secrets.iter().copied().chain(self.keys.iter().flat_map(|keys| keys.all())).collect()
    }
}

fn signature(call: &Call<'_>, keys: &Keys, time: SystemTime) -> Result<Vec<(&'static str, Zeroizing<String>)>> {
    let failed = || Error::new(Status::Config, "the request to AWS cannot be signed");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| failed());
    let token = keys.token.as_ref().map(|token| text(token)).transpose()?;
    let identity = Credentials::new(text(&keys.access_key_id)?, text(&keys.secret)?, token, None, "st-secrets").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(call.region)
        .name(call.service.signing_name())
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| failed())?
        .into();
    let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let request = SignableRequest::new(call.method, call.url, headers, SignableBody::Bytes(call.body));
    let signed = request.and_then(|request| sign(request, &params)).map_err(|_| failed())?;
    let (headers, _) = signed.into_parts().0.into_parts();
    Ok(headers.iter().map(|header| (header.name(), Zeroizing::new(header.value().to_owned()))).collect())
}

impl Refusal {
    /// The refusal without knowing what was asked for.
    fn plain_error(&self, call: &Call<'_>) -> Error {
        self.error(Status::Protocol, format!("{} answers {}", place(call.url), self.words()))
    }

    /// What a refusal to give credentials is: AWS denies them, or the answer is of something else on the way.
    pub(super) fn status_without_keys(&self) -> Status {
        if self.by_aws { Status::AccessDenied } else { Status::Protocol }
    }

    /// An error with this message, of the status that the refusal has whatever was asked for, else of this one.
    pub(super) fn error(&self, otherwise: Status, message: String) -> Error {
        let status = match self.kind() {
            Kind::Throttled | Kind::Ill => Status::Unavailable,
            Kind::Expired | Kind::BadSignature | Kind::Denied | Kind::Decryption => Status::AccessDenied,
            Kind::Missing | Kind::Redirect | Kind::Other => otherwise,
        };
        let retryable = status == Status::Unavailable;
        let error = Error::new(status, message).with_detail(self.status.into()).with_retryable(retryable);
        if self.is_denial() { error.authoritative() } else { error }
    }
}

/// How far a server's clock is ahead of ours, where that is more than signatures bear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Skew {
    ahead: Duration,
    behind: Duration,
}

impl Skew {
    fn applied_to(self, time: SystemTime) -> SystemTime {
        time.checked_add(self.ahead).and_then(|time| time.checked_sub(self.behind)).unwrap_or(time)
    }

    /// `None` where the server's time is none.
    fn found(server: SystemTime, ours: SystemTime) -> Option<Skew> {
        let skew = Skew::between(server, ours);
        (skew.ahead.max(skew.behind) <= ABSURD).then_some(skew)
    }

    fn between(server: SystemTime, ours: SystemTime) -> Skew {
        let ahead = server.duration_since(ours).unwrap_or_default();
        let behind = ours.duration_since(server).unwrap_or_default();
        if ahead.max(behind) > TOLERATED { Skew { ahead, behind } } else { Skew::default() }
    }
}

/// `None` where the answer does not tell.
fn skew(response: &Response, sent: SystemTime, took: Duration) -> Option<Skew> {
    if response.header("age").is_some() || took > TOO_LONG {
        return None;
    }
    Skew::found(http::date(response.header("date")?)?, sent + took / 2)
}

/// The clocks of the servers, by the URL that is called.
#[derive(Default)]
pub(super) struct Clocks(Mutex<HashMap<String, Skew>>);

impl Clocks {
    fn skew(&self, url: &str) -> Skew {
        self.0.lock().get(url).copied().unwrap_or_default()
    }

    /// Remembers a server's clock; `true` if signatures were made for another time.
    fn learn(&self, url: &str, found: Option<Skew>) -> bool {
        let Some(found) = found else { return false };
        let known = self.skew(url);
        let then = SystemTime::UNIX_EPOCH + TOO_LONG + known.behind + found.behind;
        if Skew::between(found.applied_to(then), known.applied_to(then)) == Skew::default() {
            return false;
        }
        self.0.lock().insert(url.to_owned(), found);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_learned_once_and_unlearned_when_it_is_set_right() {
        let clocks = Clocks::default();
        let skew = |seconds: i64| {
            let now = SystemTime::now();
            let distance = Duration::from_secs(seconds.unsigned_abs());
            Some(Skew::between(if seconds > 0 { now + distance } else { now - distance }, now))
        };
        assert!(!clocks.learn("https://a/", skew(200)), "signatures bear that");
        assert!(!clocks.learn("https://a/", None));
        assert!(clocks.learn("https://a/", skew(3600)));
        assert!(!clocks.learn("https://a/", skew(3700)), "that is known well enough");
        assert!(clocks.learn("https://a/", skew(-86_400)));
        assert!(clocks.learn("https://a/", skew(1)), "the clock was set right");
        assert_eq!(clocks.skew("https://a/"), Skew::default());
        assert_eq!(clocks.skew("https://b/"), Skew::default());
    }

    #[test]
    fn a_date_that_no_clock_shows_is_passed_over() {
        // 2024-01-01
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_067_200);
        let found = |date| Skew::found(http::date(date).unwrap(), now);
        assert_eq!(found("Fri, 31 Dec 9999 23:59:59 GMT"), None);
        assert_eq!(found("Thu, 01 Jan 1970 00:00:00 GMT"), None);
        let far = found("Sun, 01 Jan 2023 00:00:00 GMT").unwrap();
        assert_eq!(far.behind, Duration::from_secs(365 * 24 * 60 * 60));
        let endless = Skew { ahead: Duration::MAX, behind: Duration::ZERO };
        assert_eq!(endless.applied_to(now), now);
    }

    #[test]
    fn a_signature_covers_what_secrets_manager_looks_at() {
        let keys = Keys::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", Some("TOKEN"), None, "a test").unwrap();
        let call = Call {
            service: Service::SecretsManager,
            region: "us-east-1",
            method: "POST",
            url: "https://secretsmanager.us-east-1.amazonaws.com/",
            headers: &[
                ("content-type", Zeroizing::new("application/x-amz-json-1.1".to_owned())),
                ("x-amz-target", Zeroizing::new("secretsmanager.GetSecretValue".to_owned())),
            ],
            body: b"{}",
            keys: Some(&keys),
            secrets: &[],
        };
        let headers = signature(&call, &keys, SystemTime::UNIX_EPOCH).unwrap();
        let get = |name| headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str()).unwrap();
        assert_eq!(get("x-amz-date"), "19700101T000000Z");
        assert_eq!(get("x-amz-security-token"), "TOKEN");
        let signed = "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, ";
        let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/19700101/us-east-1/secretsmanager/aws4_request, ";
        assert!(get("authorization").starts_with(&format!("{scope}{signed}")), "{}", get("authorization"));
    }
}
