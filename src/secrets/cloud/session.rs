//! The requests of one load: retries, and errors that name the server.

use zeroize::Zeroizing;

use super::server_error::ServerError;
use crate::clock::Deadline;
use crate::error::{Error, Result, Status};
use crate::http::retry::{Attempts, FailedAttempt, Patience, Retry, RetryClass};
use crate::http::url::percent_encode;
use crate::http::{self, Client, HttpRequest, HttpResponse, Proxy};

/// Enough for a page of a list, or a secret of 64 KiB in any encoding.
const MAX_BODY: usize = 16 << 20;

/// A request.
pub(in crate::secrets) struct Call<'a> {
    pub(in crate::secrets) method: &'static str,
    pub(in crate::secrets) url: &'a str,
    pub(in crate::secrets) headers: &'a [(&'a str, Zeroizing<String>)],
    pub(in crate::secrets) body: &'a [u8],
    /// Whether the server is one of this machine or its network, which no proxy reaches.
    pub(in crate::secrets) is_local: bool,
}

/// A header.
pub(in crate::secrets) fn header<'a>(name: &'a str, value: &str) -> (&'a str, Zeroizing<String>) {
    (name, Zeroizing::new(value.to_owned()))
}

/// The body of a request with these parameters.
pub(in crate::secrets) fn form(parameters: &[(&str, Zeroizing<String>)]) -> Zeroizing<String> {
    let mut body = Zeroizing::new(String::with_capacity(16 << 10));
    for (name, value) in parameters {
        let separator = if body.is_empty() { "" } else { "&" };
        body.extend([separator, name, "="]);
        body.extend(percent_encode(value));
    }
    body
}

/// The requests of one load, which share connections and a deadline.
pub(in crate::secrets) struct Session<'a> {
    remote: Client,
    local: Client,
    retry: &'a Retry,
    attempts: Attempts,
    pub(in crate::secrets) deadline: Deadline,
    /// Whether logins that failed a moment ago are tried again.
    pub(in crate::secrets) is_refresh: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        retry: &'a Retry,
        max_attempts: Option<u32>,
        deadline: Deadline,
        patience: Patience,
        is_refresh: bool,
    ) -> Session<'a> {
        let settings = http::ClientSettings { max_body: MAX_BODY, ..http::ClientSettings::default() };
        let local = http::ClientSettings { proxy: Proxy::None, ..settings.clone() };
        let attempts = Attempts::of_setting(max_attempts, patience);
        Session { remote: Client::new(settings), local: Client::new(local), retry, attempts, deadline, is_refresh }
    }

    /// Sends a request until there is a response that another attempt would not change. `what` is what fails, for
    /// messages: `secret "a" in project train`.
    pub(in crate::secrets) fn send(&self, what: &str, call: &Call<'_>) -> Result<HttpResponse> {
        self.send_with_transient(what, call, &[])
    }

    /// [`Session::send`] that also retries these statuses.
    pub(in crate::secrets) fn send_with_transient(
        &self,
        what: &str,
        call: &Call<'_>,
        transient: &[u16],
    ) -> Result<HttpResponse> {
        self.retry.run(self.attempts, self.deadline, |_| self.attempt(what, call, transient))
    }

    fn attempt(&self, what: &str, call: &Call<'_>, transient: &[u16]) -> Result<HttpResponse, FailedAttempt> {
        let Call { method, url, headers, body, is_local } = *call;
        let client = if is_local { &self.local } else { &self.remote };
        let request = HttpRequest { method, url, headers, body, connect_timeout: None };
        let response = client
            .send(&request, self.deadline)
            .map_err(|error| FailedAttempt::from_error(unreachable(what, error)))?;
        let (class, why) = match response.status {
            429 => (RetryClass::Throttled, "the server is throttling; try again later, or raise the quota"),
            408 | 500..=599 => (RetryClass::Transient, "the server fails; try again later"),
            status if transient.contains(&status) => {
                (RetryClass::Transient, "the server is not ready; try again in a minute")
            }
            _ => return Ok(response),
        };
        let quoted = ServerError::parse(&response).quoted();
        let message = format!("{what}: HTTP status {}{quoted}: {why}", response.status);
        let error = Error::new(Status::Unavailable, message).with_detail(response.status.into()).with_retryable(true);
        Err(FailedAttempt { error, class, retry_after: http::retry_after(&response) })
    }
}

/// The error for a request without a response, with a remedy.
fn unreachable(what: &str, error: Error) -> Error {
    let hint = match error.status() {
        _ if http::is_untrusted_certificate(&error) => "; set SSL_CERT_FILE to a file with the authorities to trust",
        Status::Timeout => "; check the network path, or raise \"timeout\"",
        Status::Unavailable => "; check the network path and the proxies on it",
        _ => "",
    };
    error.map_message(|message| format!("{what}: {message}{hint}"))
}

/// The error for a response that has none of the forms of the server.
pub(in crate::secrets) fn not_the_server(what: &str, status: u16, server: &str) -> Error {
    let message = format!(
        "{what}: the response (HTTP status {status}) is not from {server}; check the endpoint, and the proxies and \
         firewalls on the way"
    );
    Error::new(Status::Protocol, message).with_detail(status.into())
}
