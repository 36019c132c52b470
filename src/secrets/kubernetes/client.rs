//! Requests to the API server, and its errors.
//!
//! An error of the API server is an object of the kind `Status`. Anything else comes from a gateway or another program
//! at that address, and is an outage, whatever its status.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::server::ApiServer;
use super::settings::KubernetesSettings;
use crate::clock::Deadline;
use crate::error::{Error, Result, Source, Status};
use crate::fork;
use crate::http::retry::{Attempts, FailedAttempt, Patience, Retry, RetryClass};
use crate::http::{self, Client, ClientSettings, HttpRequest};
use crate::secret_memory::SecretBytes;
use crate::secrets::json::JsonObject;

/// The most characters of the server's own text in a message.
const MAX_QUOTE: usize = 300;
/// The shortest word that could be a token.
const MIN_SECRET: usize = 24;

/// The requests of one load, which share connections and a deadline.
pub(super) struct KubernetesSession<'a> {
    server: Arc<ApiServer>,
    target: String,
    retry: &'a Retry,
    http: Client,
    token: Option<SecretBytes>,
    pub(super) namespace: String,
    pub(super) deadline: Deadline,
    attempts: Attempts,
}

impl<'a> KubernetesSession<'a> {
    /// Reads the files that settings name, and runs the program of a kubeconfig.
    pub(super) fn open(
        settings: &'a KubernetesSettings,
        retry: &'a Retry,
        deadline: Deadline,
        patience: Patience,
    ) -> Result<KubernetesSession<'a>> {
        let server = settings.server(deadline)?;
        let credentials = server.credentials(deadline)?;
        let transport = ClientSettings { client_certificate: credentials.certificate, ..server.transport.clone() };
        Ok(KubernetesSession {
            target: settings.shown_target(),
            retry,
            http: Client::new(transport),
            token: credentials.token,
            namespace: server.namespace()?,
            server,
            deadline,
            attempts: Attempts::of_setting(settings.max_attempts, patience),
        })
    }

    /// Reads what is below `/api/v1/namespaces/NAMESPACE/`; `None` if the server reports that there is no such Secret.
    pub(super) fn get(&self, path: &str, verb: &str) -> Result<Option<SecretBytes>> {
        let url = format!("{}/api/v1/namespaces/{}/{path}", self.server.url, self.namespace);
        self.retry.run(self.attempts, self.deadline, |_| self.attempt(&url, verb))
    }

    fn attempt(&self, url: &str, verb: &str) -> Result<Option<SecretBytes>, FailedAttempt> {
        let mut headers = vec![("Accept", Zeroizing::new("application/json".to_owned()))];
        if let Some(token) = self.token.as_deref().and_then(|token| std::str::from_utf8(token).ok()) {
            headers.push(("Authorization", Zeroizing::new(format!("Bearer {token}"))));
        }
        headers.extend(self.server.impersonation.iter().map(|(name, value)| (&**name, Zeroizing::new(value.clone()))));
        let request = HttpRequest { method: "GET", url, headers: &headers, body: &[], connect_timeout: None };
        let response = self.http.send(&request, self.deadline);
        let response = response.map_err(|error| FailedAttempt::from_error(self.no_response(error)))?;
        let status = response.status;
        if status == 200 {
            return Ok(Some(response.body));
        }
        let retry_after = http::retry_after(&response).filter(|_| matches!(status, 429 | 500..=599));
        let own = fork::unprotected(|| OwnError::parse(&response.body));
        let class = match status {
            429 => RetryClass::Throttled,
            500..=599 => RetryClass::Transient,
            404 if own.as_ref().is_some_and(|own| own.is_secret) => return Ok(None),
            _ => return Err(FailedAttempt::permanent(self.rejected(status, own, verb))),
        };
        let quoted = own.map_or(String::new(), |own| own.quoted());
        let what = match status {
            429 => format!("the API server limits the rate of requests{quoted}; try again later"),
            _ => format!("the API server failed with HTTP {status}{quoted}; try again later"),
        };
        let error = self.error(Status::Unavailable, status, what).with_retryable(true);
        Err(FailedAttempt { error, class, retry_after })
    }

    fn rejected(&self, status: u16, own: Option<OwnError>, verb: &str) -> Error {
        let Some(own) = own else { return self.not_kubernetes(status) };
        let quoted = own.quoted();
        match status {
            401 => {
                let what = format!("the API server does not accept the credentials{quoted}; {}", self.credentials());
                self.error(Status::AccessDenied, status, what).authoritative()
            }
            403 => {
                let what = format!(
                    "reading was denied{quoted}; give the account a Role with apiGroups: [\"\"], resources: \
                     [\"secrets\"], verbs: [\"{verb}\"] in the namespace {}",
                    self.namespace
                );
                self.error(Status::AccessDenied, status, what).authoritative()
            }
            // The list changed while its pages were read.
            410 => {
                let what = format!("the list of Secrets has expired{quoted}; try again");
                self.error(Status::Unavailable, status, what).with_retryable(true)
            }
            _ => {
                let what = format!("the request failed with HTTP {status}{quoted}; check the settings kubernetes_…");
                self.error(Status::Protocol, status, what)
            }
        }
    }

    fn credentials(&self) -> String {
        format!("check whether {} has expired", self.server.origin)
    }

    fn no_response(&self, error: Error) -> Error {
        let advice = match error.status() {
            Status::AccessDenied => {
                "; kubernetes_ca_cert sets the trusted CA, kubernetes_client_cert and its key the client certificate"
            }
            Status::Unavailable | Status::Timeout => "; check kubernetes_url, and that the API server is reachable",
            _ => "",
        };
        error.with_source(Source::Kubernetes).map_message(|message| format!("{self}: {message}{advice}"))
    }

    /// The response does not have the form of the API server's.
    pub(super) fn not_kubernetes(&self, status: u16) -> Error {
        let what = format!(
            "the response (HTTP {status}) is not from a Kubernetes API server; check kubernetes_url and the proxies \
             between here and there"
        );
        self.error(Status::Protocol, status, what)
    }

    pub(super) fn error(&self, status: Status, http_status: u16, what: impl fmt::Display) -> Error {
        Error::new(status, format!("{self}: {what}")).with_source(Source::Kubernetes).with_detail(http_status.into())
    }
}

impl fmt::Display for KubernetesSession<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kubernetes at {}, {} in the namespace {}", self.server.url, self.target, self.namespace)
    }
}

/// An object of the kind `Status`.
struct OwnError {
    message: String,
    /// Whether it is about a Secret.
    is_secret: bool,
}

impl OwnError {
    fn parse(body: &[u8]) -> Option<OwnError> {
        let object = JsonObject::parse(body)?;
        if object.text("kind")? != "Status" || object.text("apiVersion")? != "v1" {
            return None;
        }
        let kind = object.object("details").and_then(|details| details.text("kind"));
        Some(OwnError {
            message: object.text("message").unwrap_or_default(),
            is_secret: kind.as_deref() == Some("secrets"),
        })
    }

    /// The message, in a form to append to a sentence. Words that look like a token are left out: a server, or a proxy
    /// in front of it, could echo what it was sent.
    fn quoted(&self) -> String {
        let is_secret = |word: &str| {
            let mut parts = word.split(|c: char| !c.is_ascii_alphanumeric() && !"._-+=".contains(c));
            parts.any(|part| part.len() >= MIN_SECRET && part.contains(|c: char| c.is_ascii_digit()))
        };
        let words = self.message.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        let words: Vec<&str> = words.map(|word| if is_secret(word) { "…" } else { word }).collect();
        let quote: String = words.join(" ").chars().take(MAX_QUOTE).collect();
        if quote.is_empty() { quote } else { format!(" (the server says: {quote})") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_object_is_an_error_of_the_server() {
        let status = r#"{"kind":"Status","apiVersion":"v1","message":"secrets \"a\" not found","reason":"NotFound",
            "details":{"name":"a","kind":"secrets"},"code":404}"#;
        let own = OwnError::parse(status.as_bytes()).unwrap();
        assert!(own.is_secret);
        assert_eq!(own.quoted(), " (the server says: secrets \"a\" not found)");
        let other = r#"{"kind":"Status","apiVersion":"v1","message":"the server could not find it","details":{}}"#;
        assert!(!OwnError::parse(other.as_bytes()).unwrap().is_secret);
        for body in ["", "<html>", "{}", r#"{"kind":"Secret","apiVersion":"v1"}"#, r#"{"kind":"Status"}"#, "[]"] {
            assert!(OwnError::parse(body.as_bytes()).is_none(), "{body}");
        }
        let token = OwnError { message: "token eyJhbGciOiJSUzI1NiIsImtpZCI6 is\n bad".to_owned(), is_secret: false };
        assert_eq!(token.quoted(), " (the server says: token … is bad)");
    }
}
