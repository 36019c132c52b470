//! Logging in with an AppRole, a JWT, a password or a client certificate.

use std::path::Path;

use zeroize::Zeroizing;

use super::address;
use super::auth::{Credentials, GivenSecret, Login, PasswordMethod};
use super::client::{Call, Session};
use super::lifetime::Lifetime;
use super::lockout::LoginAttempt;
use super::response::ServerMessages;
use super::secret_file::{self, printable};
use crate::clock::Instant;
use crate::error::{Result, Status};
use crate::files::Fingerprint;
use crate::fork_safe::Mutex;
use crate::http::url::percent_encode;
use crate::secret_memory::SecretBytes;
use crate::secrets::shared_login::{LoginRequest, LoginResult, SharedLogins};
use crate::share::fields::{Reader, Writer};
use crate::share::{NewRecord, Record};

const UNWRAP: &str = "sys/wrapping/unwrap";
/// Messages of a server that could not reach the issuer of a JWT, or the LDAP server. It rejects the login as it does
/// for invalid credentials.
const ISSUER_UNREACHABLE: [&str; 6] = [
    "fetching keys",
    "dial tcp",
    "connection refused",
    "i/o timeout",
    "context deadline exceeded",
    "error connecting to host",
];

/// The secret ID from the last wrapping token. The server unwraps a token only once, so the secret ID is kept for later
/// logins.
#[derive(Default)]
pub(super) struct UnwrappedSecretId {
    last: Mutex<Option<Unwrapped>>,
}

#[derive(Clone)]
struct Unwrapped {
    wrapping_token: SecretBytes,
    secret_id: SecretBytes,
}

/// A secret ID that was in a wrapping token.
struct SharedSecretId(SecretBytes);

/// Logs in, unless the server rejected these credentials before. Returns the token.
pub(super) fn log_in(
    login: &Login,
    session: &Session<'_>,
    unwrapped: &UnwrappedSecretId,
    logins: &SharedLogins,
) -> Result<(SecretBytes, Lifetime)> {
    let mut path = format!("auth/{}/login", address::encoded(&login.mount));
    if let Credentials::Password { user, .. } = &login.credentials {
        path = format!("{path}/{}", percent_encode(user));
    }
    let body = request_body(&login.credentials, session, unwrapped, logins)?;
    let attempt = match &login.credentials {
        // The certificate is not in the body.
        Credentials::Certificate { certificate, .. } => {
            let (certificate, _) = secret_file::read_pem(certificate, "client certificate")?;
            attempt(session, &path, login.credentials.id(), &certificate, false)
        }
        credentials => attempt(session, &path, credentials.id(), &body, credentials.has_lockout()),
    };
    let token = attempt.in_turn(session.deadline(), logins, || send(login, session, &path, &body, &attempt))?;
    token.ok_or_else(|| session.errors().no_turn(login))
}

/// The attempt to send these credentials to the server, for the record of rejected ones.
fn attempt(session: &Session<'_>, path: &str, role: &[u8], credentials: &[u8], has_lockout: bool) -> LoginAttempt {
    let settings = session.settings();
    let (server, namespace) = (settings.address.to_string(), settings.namespace.as_deref().unwrap_or_default());
    let role = [server.as_bytes(), namespace.as_bytes(), path.as_bytes(), role];
    LoginAttempt::new(&role, credentials, has_lockout)
}

fn send(
    login: &Login,
    session: &Session<'_>,
    path: &str,
    body: &[u8],
    attempt: &LoginAttempt,
) -> Result<(SecretBytes, Lifetime)> {
    let errors = session.errors();
    if let Some(rejection) = attempt.blocked_by(session.is_refresh()) {
        return Err(errors.login_rejected(login, &rejection));
    }
    let began = Instant::now();
    let response = session.send(&Call::post(path).with_body(body))?;
    match (response.status, response.messages()) {
        (200, _) => {}
        (status, messages) if !messages.is_vault_error => return Err(errors.not_vault(status)),
        (404, messages) if messages.contain("namespace not found") => return Err(errors.no_namespace(&response)),
        (400 | 403, messages) if is_issuer_unreachable(&login.credentials, &messages) => {
            return Err(errors.issuer_unreachable(login, &response));
        }
        (status @ (400 | 403), messages) => {
            return Err(errors.login_rejected(login, &attempt.record_rejection(status, messages.quoted())));
        }
        _ => return Err(errors.rejected(&response, &login.to_string())),
    }
    attempt.record_success();
    let object = session.object(&response)?;
    let auth = object.object("auth").ok_or_else(|| errors.not_vault(response.status))?;
    let token = auth.secret("client_token").filter(|token| !token.is_empty()).ok_or_else(|| {
        let why = match auth.object("mfa_requirement") {
            Some(_) => "requires a second factor, which is not supported; use a role without one",
            None => "returned no token",
        };
        errors.error(Status::AccessDenied, format!("{login} {why}"))
    })?;
    let token = printable(token.as_bytes()).map_err(|_| errors.not_vault(response.status))?;
    Ok((SecretBytes::copy_from(token)?, Lifetime::parse(&auth, "lease_duration", began)))
}

fn is_issuer_unreachable(credentials: &Credentials, messages: &ServerMessages) -> bool {
    matches!(credentials, Credentials::Jwt { .. } | Credentials::Password { method: PasswordMethod::Ldap, .. })
        && ISSUER_UNREACHABLE.iter().any(|part| messages.contain(part))
}

/// The JSON of the request. Files are read each time.
fn request_body(
    credentials: &Credentials,
    session: &Session<'_>,
    unwrapped: &UnwrappedSecretId,
    logins: &SharedLogins,
) -> Result<Zeroizing<Vec<u8>>> {
    let settled = |path: &Path, read: &dyn Fn(&Path) -> Result<(SecretBytes, Fingerprint)>| {
        secret_file::read_settled(path, session.deadline(), read).map(|(secret, _)| secret)
    };
    match credentials {
        Credentials::AppRole { role_id, secret_id, is_wrapped } => {
            let given = match secret_id {
                None => None,
                Some(GivenSecret::Text(secret_id)) => Some(secret_id.clone()),
                Some(GivenSecret::File(path)) => {
                    Some(settled(path, &|path: &Path| secret_file::read(path, "secret ID"))?)
                }
            };
            let secret_id = match given {
                Some(given) if *is_wrapped => Some(unwrap(session, given, unwrapped, logins)?),
                given => given,
            };
            Ok(json(&[("role_id", Some(role_id)), ("secret_id", secret_id.as_deref())]))
        }
        Credentials::Jwt { role, file, .. } => {
            let jwt = settled(file, &|path: &Path| secret_file::read(path, "JWT"))?;
            Ok(json(&[("role", role.as_ref().map(String::as_bytes)), ("jwt", Some(&jwt))]))
        }
        Credentials::Password { password, .. } => {
            let password = match password {
                GivenSecret::Text(password) => password.clone(),
                GivenSecret::File(path) => settled(path, &|path: &Path| secret_file::read_line(path, "password"))?,
            };
            Ok(json(&[("password", Some(&password))]))
        }
        Credentials::Certificate { role, .. } => Ok(json(&[("name", role.as_ref().map(String::as_bytes))])),
    }
}

/// The secret ID in a wrapping token, which one process of the host unwraps for all.
fn unwrap(
    session: &Session<'_>,
    wrapping_token: SecretBytes,
    unwrapped: &UnwrappedSecretId,
    logins: &SharedLogins,
) -> Result<SecretBytes> {
    let last = unwrapped.last.lock().clone();
    if let Some(last) = last
        && *last.wrapping_token == *wrapping_token
    {
        return Ok(last.secret_id);
    }
    let shared = logins.open(|| {
        let mut identity = session.settings().login_identity("vault secret id").ok()?;
        identity.add_hash("wrapping token", &wrapping_token);
        Some(identity)
    });
    let request = LoginRequest {
        deadline: session.deadline(),
        forced: session.is_refresh(),
        replaces: false,
        accepts: &|_: &SharedSecretId| true,
    };
    let attempt = attempt(session, UNWRAP, &[], &wrapping_token, false);
    let SharedSecretId(secret_id) = shared.obtain(&request, || {
        let turn = attempt.in_turn(session.deadline(), logins, || send_unwrap(session, &wrapping_token, &attempt))?;
        turn.map(SharedSecretId).ok_or_else(|| session.errors().no_turn("unwrapping the secret ID"))
    })?;
    *unwrapped.last.lock() = Some(Unwrapped { wrapping_token, secret_id: secret_id.clone() });
    Ok(secret_id)
}

fn send_unwrap(session: &Session<'_>, wrapping_token: &SecretBytes, attempt: &LoginAttempt) -> Result<SecretBytes> {
    let errors = session.errors();
    if let Some(rejection) = attempt.blocked_by(session.is_refresh()) {
        return Err(errors.unwrapping_rejected(&rejection));
    }
    let response = session.send(&Call::post(UNWRAP).with_token(Some(wrapping_token)))?;
    match (response.status, response.messages()) {
        (200, _) => {}
        (status @ (400 | 403), messages) if messages.is_vault_error => {
            return Err(errors.unwrapping_rejected(&attempt.record_rejection(status, messages.quoted())));
        }
        _ => return Err(errors.rejected(&response, "unwrapping the secret ID")),
    }
    let object = session.object(&response)?;
    let secret_id = object.object("data").and_then(|data| data.secret("secret_id")).ok_or_else(|| {
        let what = "the wrapping token does not contain a secret ID; wrap the response of auth/…/role/…/secret-id";
        errors.error(Status::Config, what)
    })?;
    SecretBytes::copy_from(secret_id.as_bytes())
}

impl LoginResult for SharedSecretId {
    const NAME: &'static str = "the secret ID in a wrapping token";

    fn encode(&self) -> Result<NewRecord> {
        let mut fields = Writer::new()?;
        fields.bytes(&self.0)?;
        let payload = fields.into_buffer();
        Ok(NewRecord { requested_at: Instant::now(), ttl: None, refresh_after: None, payload })
    }

    fn decode(record: &Record) -> Option<SharedSecretId> {
        SecretBytes::copy_from(Reader::new(&record.payload).bytes()?).ok().map(SharedSecretId)
    }
}

/// A JSON object of these strings.
fn json(members: &[(&str, Option<&[u8]>)]) -> Zeroizing<Vec<u8>> {
    // One byte becomes at most six, so the buffer is never reallocated, which would leave a copy.
    let size = members.iter().map(|(name, text)| name.len() + 6 + text.map_or(0, |text| text.len() * 6)).sum::<usize>();
    let mut json = Zeroizing::new(Vec::with_capacity(size + 2));
    for (name, text) in members {
        let Some(text) = text.and_then(|text| std::str::from_utf8(text).ok()) else { continue };
        let separator = if json.is_empty() { b'{' } else { b',' };
        json.push(separator);
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut *json, name);
        json.push(b':');
        let _ = serde_json::to_writer(&mut *json, text);
    }
    if json.is_empty() {
        json.push(b'{');
    }
    json.push(b'}');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_body_is_json_whatever_the_texts_contain() {
        let body = json(&[("role_id", Some(b"a\"b")), ("secret_id", None), ("jwt", Some("é\\".as_bytes()))]);
        assert_eq!(std::str::from_utf8(&body).unwrap(), r#"{"role_id":"a\"b","jwt":"é\\"}"#);
        assert_eq!(*json(&[("name", None)]), *b"{}");
    }
}
