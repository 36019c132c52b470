//! Requests of one load: Vault's headers, what is worth another attempt, and one redirect on the same host.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::Vault;
use super::answer::{Answer, Object};
use super::place::Place;
use super::refused::Attempt;
use crate::bytes::SecretBytes;
use crate::clock::Deadline;
use crate::error::Result;
use crate::http::retry::{FailedAttempt, RetryClass};
use crate::http::{self, Client, Request, Response};

/// Vault's own is of some 150 bytes.
const MAX_INDEX: usize = 1 << 10;
/// The longest time for a request that a document does not depend on.
const HURRY: Duration = Duration::from_secs(5);

/// A request below `/v1/`.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    method: &'static str,
    /// Encoded.
    path: &'a str,
    token: Option<&'a SecretBytes>,
    body: Option<&'a [u8]>,
}

impl<'a> Call<'a> {
    pub(super) fn get(path: &'a str) -> Call<'a> {
        Call { method: "GET", path, token: None, body: None }
    }

    pub(super) fn post(path: &'a str) -> Call<'a> {
        Call { method: "POST", path, token: None, body: None }
    }

    pub(super) fn with_token(self, token: Option<&'a SecretBytes>) -> Call<'a> {
        Call { token, ..self }
    }

    pub(super) fn with_body(self, body: &'a [u8]) -> Call<'a> {
        Call { body: Some(body), ..self }
    }
}

/// One load: its connections and its deadline.
pub(super) struct Session<'a> {
    vault: &'a Vault,
    http: Client,
    deadline: Deadline,
    /// Whether what fails is tried again.
    is_patient: bool,
    /// Whether a caller asks for what there is now, so that even a login that was refused is tried again.
    pub(super) is_forced: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(vault: &'a Vault, deadline: Deadline) -> Session<'a> {
        let http = Client::new(vault.settings.transport.clone());
        Session { vault, http, deadline, is_patient: true, is_forced: false }
    }

    pub(super) fn deadline(&self) -> Deadline {
        self.deadline
    }

    pub(super) fn forced(self, is_forced: bool) -> Session<'a> {
        Session { is_forced, ..self }
    }

    /// The same with one attempt and half of the time that is left, at most some seconds, for what a document does not
    /// depend on.
    pub(super) fn hurried(self) -> Session<'a> {
        let deadline = Deadline::after((self.deadline.remaining() / 2).min(HURRY));
        Session { deadline, is_patient: false, ..self }
    }

    /// A login at `path` with these credentials; `locks` says whether the server locks the role after some failures.
    pub(super) fn attempt(&self, path: &str, role: &[u8], credentials: &[u8], locks: bool) -> Attempt {
        let settings = &self.vault.settings;
        let (server, namespace) = (settings.address.to_string(), settings.namespace.as_deref().unwrap_or_default());
        Attempt::new(&[server.as_bytes(), namespace.as_bytes(), path.as_bytes(), role], credentials, locks)
    }

    pub(super) fn place(&self) -> Place<'a> {
        self.vault.place()
    }

    /// The body of an answer as an object.
    pub(super) fn object<'b>(&self, answer: &'b Answer) -> Result<Object<'b>> {
        answer.object().ok_or_else(|| self.place().not_vault(answer.status))
    }

    /// Sends it until there is an answer that no further attempt would change. Its body is an object.
    pub(super) fn ask(&self, call: &Call<'_>) -> Result<Answer> {
        if !self.is_patient {
            return self.classified(call).map_err(|failed| failed.error);
        }
        self.vault.retry.run(self.deadline, |_| self.classified(call))
    }

    /// Sends it once, and takes whatever comes.
    pub(super) fn ask_once(&self, call: &Call<'_>) -> Result<Answer> {
        let response = self.exchange(call).map_err(|failed| failed.error)?;
        Ok(Answer { status: response.status, body: response.body })
    }

    /// What the server knows of a token.
    pub(super) fn look_up<T>(&self, token: Option<&SecretBytes>, read: impl FnOnce(&Object<'_>) -> T) -> Result<T> {
        let answer = self.ask(&Call::get("auth/token/lookup-self").with_token(token))?;
        if answer.status != 200 {
            return Err(self.place().refused(&answer, "a look at the token"));
        }
        let object = self.object(&answer)?;
        let data = object.object("data").ok_or_else(|| self.place().not_vault(answer.status))?;
        Ok(read(&data))
    }

    fn classified(&self, call: &Call<'_>) -> std::result::Result<Answer, FailedAttempt> {
        let response = self.exchange(call)?;
        let retry_after = http::retry_after(&response).filter(|_| matches!(response.status, 429 | 503));
        let answer = Answer { status: response.status, body: response.body };
        let class = match answer.status {
            429 => RetryClass::Throttled,
            472 | 501 => RetryClass::Never,
            412 | 500..=599 => RetryClass::Transient,
            400 if answer.told().says("Upgrading from non-versioned") => RetryClass::Transient,
            _ if answer.object().is_none() => {
                return Err(FailedAttempt::permanent(self.place().not_vault(answer.status)));
            }
            _ => return Ok(answer),
        };
        Err(FailedAttempt { error: self.place().unavailable(&answer), class, retry_after })
    }

    /// One request, and the one redirect that may follow.
    fn exchange(&self, call: &Call<'_>) -> std::result::Result<Response, FailedAttempt> {
        let settings = &self.vault.settings;
        let response = self.send(call, &settings.address.url(call.path))?;
        if !is_redirect(response.status) {
            return Ok(response);
        }
        let refuse = |why: &str| FailedAttempt::permanent(self.place().redirected(response.status, why));
        if !settings.follow_redirects {
            return Err(refuse("and VAULT_DISABLE_REDIRECTS is set: make the active server the address"));
        }
        let location = response.header("location").unwrap_or_default();
        let url = settings.address.redirect(location).map_err(|why| refuse(&why))?;
        if !leads_to(&url, call.path) {
            return Err(refuse("to another path, as no Vault server does: check the address"));
        }
        let response = self.send(call, &url)?;
        if is_redirect(response.status) {
            return Err(refuse("to where it redirects again, which is not followed: check the address"));
        }
        Ok(response)
    }

    fn send(&self, call: &Call<'_>, url: &str) -> std::result::Result<Response, FailedAttempt> {
        let (vault, settings) = (self.vault, &self.vault.settings);
        if let Some(pace) = &vault.pace {
            pace.wait(self.deadline).map_err(|wait| FailedAttempt::permanent(self.place().held_back(wait)))?;
        }
        let headers = self.headers(call);
        let request = Request {
            method: call.method,
            url,
            headers: &headers,
            body: call.body.unwrap_or_default(),
            connect_timeout: None,
        };
        let deadline = Deadline::after(self.deadline.remaining().min(settings.request_timeout));
        let response = self.http.send(&request, deadline);
        let response = response.map_err(|error| FailedAttempt::from_error(self.place().unreachable(error)))?;
        if let Some(index) = response.header("x-vault-index").filter(|index| can_be_sent_back(index)) {
            vault.memory.lock().index = Some(index.to_owned());
        }
        Ok(response)
    }

    fn headers(&self, call: &Call<'_>) -> Vec<(&'a str, Zeroizing<String>)> {
        let settings = &self.vault.settings;
        let text = |text: &str| Zeroizing::new(text.to_owned());
        // An agent may insist on this one, against requests that a browser was tricked into.
        let mut headers = vec![("X-Vault-Request", text("true"))];
        if let Some(token) = call.token.and_then(|token| std::str::from_utf8(token).ok()) {
            headers.push(("X-Vault-Token", text(token)));
        }
        if let Some(namespace) = &settings.namespace {
            headers.push(("X-Vault-Namespace", text(namespace)));
        }
        // What this client has seen, a server that lags behind must not contradict.
        if let Some(index) = &self.vault.memory.lock().index {
            headers.push(("X-Vault-Index", text(index)));
            headers.push(("X-Vault-Inconsistent", text("forward-active-node")));
        }
        if call.body.is_some() {
            headers.push(("Content-Type", text("application/json")));
        }
        headers.extend(settings.headers.iter().map(|(name, value)| (name.as_str(), value.clone())));
        headers
    }
}

/// Whether it is like an index, which every later request carries: another could make all of them fail.
fn can_be_sent_back(index: &str) -> bool {
    !index.is_empty() && index.len() <= MAX_INDEX && index.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a redirect is for what was asked; servers may encode it in another way.
fn leads_to(url: &str, path: &str) -> bool {
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
    fn a_redirect_is_for_what_was_asked() {
        let path = "secret/data/a%20b%252f";
        for url in ["https://v:8200/v1/secret/data/a%20b%252f", "https://v/base/v1/secret/data/%61%20b%252f?x=1"] {
            assert!(leads_to(url, path), "{url}");
        }
        for url in
            ["https://v/login", "https://v/v1/secret/data/other", "https://v/", "https://v/v1/secret/data/a%20b%252f/c"]
        {
            assert!(!leads_to(url, path), "{url}");
        }
    }
}
