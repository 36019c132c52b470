//! The JSON gateway of etcd: requests to one of its members, the token of a user, and errors.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use zeroize::Zeroizing;

use crate::clock::{Deadline, Instant};
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::fork_safe::Mutex;
use crate::http::{self, Client, HttpRequest, HttpResponse, is_transient_status, parse_date};
use crate::jitter;
use crate::secret_memory::SecretBytes;
use crate::share::sealed;

/// The longest response: a document in base64, or the list of the hosts.
const MAX_BODY: usize = sealed::MAX_SIZE / 3 * 4 + (1 << 20);

/// The members of an etcd cluster.
pub(super) struct Gateway {
    name: String,
    /// `http://host:port`
    members: Vec<String>,
    settings: http::ClientSettings,
    login: Option<(Zeroizing<String>, Zeroizing<String>)>,
    /// The member that answered last.
    preferred: AtomicUsize,
    /// The token of the user, until the server rejects it.
    token: Mutex<Option<SecretBytes>>,
}

/// Why the server refused a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusalReason {
    Token,
    Size,
    Lease,
    Other,
}

/// A failed request.
pub(super) struct RefusedRequest {
    pub(super) reason: RefusalReason,
    error: Error,
}

impl From<Error> for RefusedRequest {
    fn from(error: Error) -> RefusedRequest {
        RefusedRequest { reason: RefusalReason::Other, error }
    }
}

impl From<RefusedRequest> for Error {
    fn from(refused: RefusedRequest) -> Error {
        refused.error
    }
}

impl Gateway {
    pub(super) fn new(
        name: String,
        members: Vec<String>,
        settings: http::ClientSettings,
        login: Option<(Zeroizing<String>, Zeroizing<String>)>,
    ) -> Gateway {
        // Hosts begin at different members.
        let first = (jitter::random() * members.len() as f64) as usize;
        let settings = http::ClientSettings { max_body: MAX_BODY, proxy: http::Proxy::None, ..settings };
        Gateway { name, members, settings, login, preferred: AtomicUsize::new(first), token: Mutex::new(None) }
    }

    /// The cluster, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn token(&self) -> Option<SecretBytes> {
        let _guard = fork::protect();
        self.token.lock().clone()
    }

    fn set_token(&self, token: Option<SecretBytes>) {
        let _guard = fork::protect();
        *self.token.lock() = token;
    }

    pub(super) fn malformed(&self) -> Error {
        Error::new(Status::Protocol, format!("{}: its reply is not that of etcd; check `share_url`", self.name))
    }

    /// The error for a request that the server refused. Of its message nothing is shown.
    fn refusal(&self, status: u16, body: &[u8]) -> RefusedRequest {
        let response: Option<Value> = serde_json::from_slice(body).ok();
        let denied = |why: &str| Error::new(Status::AccessDenied, format!("{} {why}", self.name));
        let down = |why: &str| Error::new(Status::Unavailable, format!("{} {why}", self.name)).with_retryable(true);
        let text = response.as_ref().and_then(|response| response["message"].as_str().or(response["error"].as_str()));
        let Some(text) = text else {
            if body.starts_with(b"CommonName ") {
                return denied("has users and so refuses a client certificate with a common name; use one without")
                    .into();
            }
            return match is_transient_status(status) {
                true => down(&format!("fails (HTTP {status}); check its log")).into(),
                false => self.malformed().into(),
            };
        };
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if has(&["invalid auth token", "auth store is old"]) {
            let error = denied("rejects the token that it issued for the user of `share_url`");
            return RefusedRequest { reason: RefusalReason::Token, error };
        }
        if has(&["lease not found"]) {
            return RefusedRequest { reason: RefusalReason::Lease, error: down("has lost the lease of an entry") };
        }
        if has(&["too large", "larger than max"]) {
            let error = down("refuses a request of this size: raise its --max-request-bytes");
            return RefusedRequest { reason: RefusalReason::Size, error };
        }
        if has(&["authentication failed", "user name is empty", "user name not found"]) {
            denied("rejects the user or the password of `share_url`")
        } else if has(&["authentication is not enabled"]) {
            denied("has no users; enable authentication there, or remove user and password from `share_url`")
        } else if has(&["permission denied"]) {
            denied("does not permit a key; docs/tier.md lists the permissions")
        } else if has(&["database space exceeded"]) {
            down("is full: compact and defragment it or raise its --quota-backend-bytes, then disarm the alarm")
        } else {
            down(&format!(
                "refuses a request (code {})",
                response.and_then(|response| response["code"].as_i64()).unwrap_or(0)
            ))
        }
        .into()
    }
}

/// The requests of one load or look, which share a connection.
pub(super) struct GatewayRequests {
    gateway: Arc<Gateway>,
    client: Client,
    deadline: Deadline,
    member: usize,
    /// How many members may be tried until one has answered; 0 afterwards.
    untried: u32,
    /// The time of the server in its last response, and when that was received.
    time: Option<(Duration, Instant)>,
}

impl GatewayRequests {
    pub(super) fn new(gateway: &Arc<Gateway>, deadline: Deadline) -> GatewayRequests {
        GatewayRequests {
            gateway: gateway.clone(),
            client: Client::new(gateway.settings.clone()),
            deadline,
            member: gateway.preferred.load(Relaxed),
            untried: gateway.members.len() as u32,
            time: None,
        }
    }

    pub(super) fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    /// The time of the server, as of its last response.
    pub(super) fn time(&self) -> Result<Duration> {
        let (time, received_at) = self.time.ok_or_else(|| self.gateway.malformed())?;
        Ok(time + received_at.elapsed())
    }

    /// Whether there was a response.
    pub(super) fn has_time(&self) -> bool {
        self.time.is_some()
    }

    pub(super) fn malformed(&self) -> Error {
        self.gateway.malformed()
    }

    /// Sends a request, as the user if there is one.
    pub(super) fn call(&mut self, path: &str, request: &Value) -> Result<Value, RefusedRequest> {
        let body = request.to_string();
        let token = match (&self.gateway.login, self.gateway.token()) {
            (None, _) => return self.send(path, body.as_bytes(), None),
            (Some(_), Some(token)) => token,
            (Some(_), None) => self.log_in()?,
        };
        match self.send(path, body.as_bytes(), Some(&token)) {
            // It has expired, or the server was restarted.
            Err(refused) if refused.reason == RefusalReason::Token => {
                self.gateway.set_token(None);
                let token = self.log_in()?;
                self.send(path, body.as_bytes(), Some(&token))
            }
            Err(refused) => {
                // A replaced server does not respond to an old token whose number is above the last one it has issued.
                self.gateway.set_token(None);
                Err(refused)
            }
            result => result,
        }
    }

    fn log_in(&mut self) -> Result<SecretBytes, RefusedRequest> {
        let gateway = self.gateway.clone();
        let Some((user, password)) = &gateway.login else { return Err(self.malformed().into()) };
        let mut response = self.send("/v3/auth/authenticate", &login(user, password), None)?;
        let Value::String(token) = response["token"].take() else { return Err(self.malformed().into()) };
        let token = SecretBytes::copy_from(Zeroizing::new(token).as_bytes())?;
        gateway.set_token(Some(token.clone()));
        Ok(token)
    }

    /// Sends a request to the member that answered before. Until one has answered, those that fail are skipped: the
    /// first request of a session may be repeated.
    fn send(&mut self, path: &str, body: &[u8], token: Option<&SecretBytes>) -> Result<Value, RefusedRequest> {
        loop {
            let time = self.deadline.remaining() / self.untried.max(1);
            let result = self.exchange(path, body, token, Deadline::after(time));
            match result {
                Err(RefusedRequest { error, .. })
                    if self.untried > 1 && matches!(error.status(), Status::Unavailable | Status::Timeout) =>
                {
                    self.untried -= 1;
                    self.member = (self.member + 1) % self.gateway.members.len();
                }
                result => {
                    if result.is_ok() {
                        self.untried = 0;
                        self.gateway.preferred.store(self.member, Relaxed);
                    }
                    return result;
                }
            }
        }
    }

    fn exchange(
        &mut self,
        path: &str,
        body: &[u8],
        token: Option<&SecretBytes>,
        deadline: Deadline,
    ) -> Result<Value, RefusedRequest> {
        let mut headers = vec![("Content-Type", Zeroizing::new("application/json".to_owned()))];
        if let Some(token) = token {
            headers.push(("Authorization", Zeroizing::new(String::from_utf8_lossy(token).into_owned())));
        }
        let url = format!("{}{path}", self.gateway.members.get(self.member).map_or("", String::as_str));
        let request = HttpRequest { method: "POST", url: &url, headers: &headers, body, connect_timeout: None };
        let response = self.client.send(&request, deadline).map_err(|error| match error.status() {
            Status::Protocol => error.map_message(|message| format!("{message}; check `share_url`")),
            _ => error,
        })?;
        if response.status != 200 {
            return Err(self.gateway.refusal(response.status, &response.body));
        }
        let object: Option<Value> = serde_json::from_slice(&response.body).ok().filter(Value::is_object);
        let object = object.ok_or_else(|| self.malformed())?;
        self.time = time_of(&response).map(|time| (time, Instant::now()));
        Ok(object)
    }
}

/// The time of the server in seconds.
fn time_of(response: &HttpResponse) -> Option<Duration> {
    parse_date(response.header("date")?)?.duration_since(UNIX_EPOCH).ok()
}

/// The body of a request for a token.
fn login(user: &str, password: &str) -> Zeroizing<Vec<u8>> {
    // One byte becomes at most six, so the buffer is never reallocated, which would leave a copy.
    let mut body = Zeroizing::new(Vec::with_capacity((user.len() + password.len()) * 6 + 64));
    // Writing to memory cannot fail.
    let _ = body.write_all(b"{\"name\":");
    let _ = serde_json::to_writer(&mut *body, user);
    let _ = body.write_all(b",\"password\":");
    let _ = serde_json::to_writer(&mut *body, password);
    let _ = body.write_all(b"}");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_is_quoted() {
        let body: Value = serde_json::from_slice(&login("a\"b", "p\\\n")).unwrap();
        assert_eq!(body, serde_json::json!({"name": "a\"b", "password": "p\\\n"}));
    }

    #[test]
    fn refusals_name_the_remedy_and_not_the_message() {
        let gateway = Gateway::new("etcd://x".to_owned(), vec![String::new()], http::ClientSettings::default(), None);
        for (status, body, expected) in [
            (400, r#"{"message": "etcdserver: request is too large"}"#, "--max-request-bytes"),
            (429, r#"{"message": "etcdserver: mvcc: database space exceeded"}"#, "is full"),
            (403, r#"{"error": "etcdserver: permission denied"}"#, "does not permit a key"),
            (400, r#"{"error": "etcdserver: user name is empty"}"#, "rejects the user or the password"),
            (503, r#"{"message": "CANARY", "code": 14}"#, "refuses a request (code 14)"),
            (503, "CANARY", "fails (HTTP 503)"),
            (404, "CANARY", "is not that of etcd"),
        ] {
            let error = Error::from(gateway.refusal(status, body.as_bytes()));
            assert!(error.message().contains(expected) && !error.message().contains("CANARY"), "{error}");
        }
    }
}
