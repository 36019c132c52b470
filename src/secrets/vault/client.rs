//! Requests to the server: Vault's headers, retries, and one redirect on the same host.

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::errors::RequestErrors;
use super::rate_limit::RateLimiter;
use super::response::VaultResponse;
use super::secret_path::SecretPath;
use super::settings::VaultSettings;
use crate::clock::Deadline;
use crate::error::Result;
use crate::fork_safe::Mutex;
use crate::http::retry::{Attempts, FailedAttempt, Patience, Retry, RetryClass, RetryDelay};
use crate::http::{self, Client, HttpRequest};
use crate::secret_memory::SecretBytes;
use crate::secrets::json::JsonObject;

/// The longest index that is sent back. Vault's has about 150 bytes.
const MAX_INDEX: usize = 1 << 10;
/// The longest time for requests that reading the secret does not depend on.
const BEST_EFFORT_TIMEOUT: Duration = Duration::from_secs(5);

/// A request to a path below `/v1/`.
#[derive(Clone, Copy)]
pub(super) struct VaultCall<'a> {
    method: &'static str,
    /// Percent-encoded.
    path: &'a str,
    token: Option<&'a SecretBytes>,
    body: Option<&'a [u8]>,
}

impl<'a> VaultCall<'a> {
    pub(super) fn get(path: &'a str) -> VaultCall<'a> {
        VaultCall { method: "GET", path, token: None, body: None }
    }

    pub(super) fn post(path: &'a str) -> VaultCall<'a> {
        VaultCall { method: "POST", path, token: None, body: None }
    }

    pub(super) fn with_token(self, token: Option<&'a SecretBytes>) -> VaultCall<'a> {
        VaultCall { token, ..self }
    }

    pub(super) fn with_body(self, body: &'a [u8]) -> VaultCall<'a> {
        VaultCall { body: Some(body), ..self }
    }
}

/// What all sessions with a server share.
pub(super) struct SessionState {
    retry: Retry,
    rate_limiter: Option<RateLimiter>,
    /// The state of the server's storage at its last response.
    index: Mutex<Option<String>>,
}

impl SessionState {
    pub(super) fn new(settings: &VaultSettings) -> SessionState {
        SessionState {
            retry: Retry::new(RetryDelay::Steady),
            rate_limiter: settings.rate_limit.map(RateLimiter::new),
            index: Mutex::default(),
        }
    }
}

/// The requests of one load, which share connections and a deadline.
pub(super) struct VaultSession<'a> {
    settings: &'a VaultSettings,
    state: &'a SessionState,
    /// The secret that is read; `None` if that is one of several.
    secret: Option<&'a SecretPath>,
    http: Arc<Client>,
    deadline: Deadline,
    /// `None` if each request is sent once.
    attempts: Option<Attempts>,
    is_refresh: bool,
}

impl<'a> VaultSession<'a> {
    /// A session of a refresh also repeats logins that were rejected.
    pub(super) fn new(
        settings: &'a VaultSettings,
        state: &'a SessionState,
        deadline: Deadline,
        patience: Patience,
        is_refresh: bool,
    ) -> VaultSession<'a> {
        let http = Arc::new(Client::new(settings.transport.clone()));
        let attempts = Some(Attempts::of_setting(settings.max_attempts, patience));
        let secret = settings.secrets.first().filter(|_| settings.secrets.len() == 1);
        VaultSession { settings, state, secret, http, deadline, attempts, is_refresh }
    }

    /// The same session, for requests about this secret.
    pub(super) fn about(&self, secret: &'a SecretPath) -> VaultSession<'a> {
        VaultSession { secret: Some(secret), http: self.http.clone(), ..*self }
    }

    /// A session for requests that reading the secret does not depend on: each is sent once, and all have half of the
    /// remaining time, at most some seconds.
    pub(super) fn best_effort(&self) -> VaultSession<'a> {
        let deadline = Deadline::after((self.deadline.remaining() / 2).min(BEST_EFFORT_TIMEOUT));
        VaultSession {
            attempts: None,
            ..VaultSession::new(self.settings, self.state, deadline, Patience::Brief, false)
        }
    }

    pub(super) fn settings(&self) -> &'a VaultSettings {
        self.settings
    }

    pub(super) fn deadline(&self) -> Deadline {
        self.deadline
    }

    pub(super) fn is_refresh(&self) -> bool {
        self.is_refresh
    }

    pub(super) fn errors(&self) -> RequestErrors<'a> {
        RequestErrors { settings: self.settings, secret: self.secret }
    }

    /// The body of a response as an object.
    pub(super) fn object<'b>(&self, response: &'b VaultResponse) -> Result<JsonObject<'b>> {
        response.object().ok_or_else(|| self.errors().not_vault(response.status))
    }

    /// Sends a request until there is a response that another attempt would not change. Its body is an object, or with
    /// status 204 empty.
    pub(super) fn send(&self, call: &VaultCall<'_>) -> Result<VaultResponse> {
        match self.attempts {
            Some(attempts) => self.state.retry.run(attempts, self.deadline, |_| self.attempt(call)),
            None => self.attempt(call).map_err(|failed| failed.error),
        }
    }

    /// Sends a request once, and returns any response.
    pub(super) fn send_once(&self, call: &VaultCall<'_>) -> Result<VaultResponse> {
        let response = self.send_and_redirect(call).map_err(|failed| failed.error)?;
        Ok(VaultResponse { status: response.status, body: response.body })
    }

    /// Looks a token up, and reads the server's data about it.
    pub(super) fn look_up_token<T>(
        &self,
        token: Option<&SecretBytes>,
        read: impl FnOnce(&JsonObject<'_>) -> T,
    ) -> Result<T> {
        let response = self.send(&VaultCall::get("auth/token/lookup-self").with_token(token))?;
        if response.status != 200 {
            return Err(self.errors().rejected(&response, "looking up the token"));
        }
        let object = self.object(&response)?;
        let data = object.object("data").ok_or_else(|| self.errors().not_vault(response.status))?;
        Ok(read(&data))
    }

    /// Sends a request once. Responses that another attempt may change are errors.
    fn attempt(&self, call: &VaultCall<'_>) -> Result<VaultResponse, FailedAttempt> {
        let response = self.send_and_redirect(call)?;
        let retry_after = http::retry_after(&response).filter(|_| matches!(response.status, 429 | 503));
        let response = VaultResponse { status: response.status, body: response.body };
        let class = match response.status {
            429 => RetryClass::Throttled,
            472 | 501 => RetryClass::Never,
            412 | 500..=599 => RetryClass::Transient,
            400 if response.messages().contain("Upgrading from non-versioned") => RetryClass::Transient,
            // The response to a write may be empty.
            _ if response.status != 204 && response.object().is_none() => {
                return Err(FailedAttempt::permanent(self.errors().not_vault(response.status)));
            }
            _ => return Ok(response),
        };
        Err(FailedAttempt { error: self.errors().unavailable(&response), class, retry_after })
    }

    /// Sends a request and follows at most one redirect.
    fn send_and_redirect(&self, call: &VaultCall<'_>) -> Result<http::HttpResponse, FailedAttempt> {
        let response = self.send_to(&self.settings.address.url(call.path), call)?;
        if !is_redirect(response.status) {
            return Ok(response);
        }
        let not_followed = |why: &str| FailedAttempt::permanent(self.errors().redirected(response.status, why));
        if !self.settings.follow_redirects {
            return Err(not_followed("and VAULT_DISABLE_REDIRECTS is set; set the address of the active server"));
        }
        let location = response.header("location").unwrap_or_default();
        let url = self.settings.address.redirect(location).map_err(|why| not_followed(&why))?;
        if !has_api_path(&url, call.path) {
            return Err(not_followed("to another path, which Vault never does; check the address"));
        }
        let response = self.send_to(&url, call)?;
        if is_redirect(response.status) {
            return Err(not_followed("to a server that redirects again; check the address"));
        }
        Ok(response)
    }

    fn send_to(&self, url: &str, call: &VaultCall<'_>) -> Result<http::HttpResponse, FailedAttempt> {
        if let Some(rate_limiter) = &self.state.rate_limiter {
            rate_limiter
                .wait(self.deadline)
                .map_err(|wait| FailedAttempt::permanent(self.errors().rate_limited(wait)))?;
        }
        let headers = self.headers(call);
        let request = HttpRequest {
            method: call.method,
            url,
            headers: &headers,
            body: call.body.unwrap_or_default(),
            connect_timeout: None,
        };
        let deadline = Deadline::after(self.deadline.remaining().min(self.settings.request_timeout));
        let response = self.http.send(&request, deadline);
        let response = response.map_err(|error| FailedAttempt::from_error(self.errors().no_response(error)))?;
        if let Some(index) = response.header("x-vault-index").filter(|index| is_valid_index(index)) {
            *self.state.index.lock() = Some(index.to_owned());
        }
        Ok(response)
    }

    fn headers(&self, call: &VaultCall<'_>) -> Vec<(&'a str, Zeroizing<String>)> {
        let text = |text: &str| Zeroizing::new(text.to_owned());
        // An agent may require this one, as a protection against server-side request forgery.
        let mut headers = vec![("X-Vault-Request", text("true"))];
        if let Some(token) = call.token.and_then(|token| std::str::from_utf8(token).ok()) {
            headers.push(("X-Vault-Token", text(token)));
        }
        if let Some(namespace) = &self.settings.namespace {
            headers.push(("X-Vault-Namespace", text(namespace)));
        }
        // A server whose storage is older than the last response forwards the request to the active node.
        if let Some(index) = &*self.state.index.lock() {
            headers.push(("X-Vault-Index", text(index)));
            headers.push(("X-Vault-Inconsistent", text("forward-active-node")));
        }
        if call.body.is_some() {
            headers.push(("Content-Type", text("application/json")));
        }
        headers.extend(self.settings.headers.iter().map(|(name, value)| (name.as_str(), value.clone())));
        headers
    }
}

/// Whether this can be an index. Every later request carries it, so anything else could make all of them fail.
fn is_valid_index(index: &str) -> bool {
    !index.is_empty() && index.len() <= MAX_INDEX && index.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a redirect target has this API path, however it is encoded.
fn has_api_path(url: &str, path: &str) -> bool {
    let plain = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let url = url.split('?').next().unwrap_or(url);
    plain(url).ends_with(&plain(&format!("/v1/{path}")))
}

fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 307 | 308)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_target_has_the_same_api_path() {
        let path = "secret/data/a%20b%252f";
        for url in ["https://v:8200/v1/secret/data/a%20b%252f", "https://v/base/v1/secret/data/%61%20b%252f?x=1"] {
            assert!(has_api_path(url, path), "{url}");
        }
        for url in
            ["https://v/login", "https://v/v1/secret/data/other", "https://v/", "https://v/v1/secret/data/a%20b%252f/c"]
        {
            assert!(!has_api_path(url, path), "{url}");
        }
    }
}
