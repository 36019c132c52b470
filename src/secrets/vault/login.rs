//! Logging in with an AppRole, a JWT, a password, a client certificate or credentials of AWS.

use std::path::Path;

#[cfg(feature = "aws")]
use base64::Engine;
#[cfg(feature = "aws")]
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::address;
use super::auth::{GivenSecret, LoginCredentials, PasswordMethod, VaultLogin};
use super::client::{VaultCall, VaultSession};
use super::lifetime::Lifetime;
use super::lockout::LoginAttempt;
use super::response::ServerMessages;
use super::secret_file::{self, printable};
use crate::clock::Instant;
#[cfg(feature = "aws")]
use crate::error::Source;
use crate::error::{Result, Status};
use crate::files::Fingerprint;
use crate::fork_safe::Mutex;
use crate::http::url::percent_encode;
use crate::secret_memory::SecretBytes;
#[cfg(feature = "aws")]
use crate::secrets::aws::SignedCall;
use crate::secrets::shared_login::{LoginRequest, LoginResult, SharedLogins};
use crate::share::fields::{FieldReader, FieldWriter};
use crate::share::{NewRecord, SharedDocument};

/// The header of a signed call of AWS that says which server it is for.
#[cfg(feature = "aws")]
const SERVER_ID_HEADER: &str = "X-Vault-AWS-IAM-Server-ID";
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
    login: &VaultLogin,
    session: &VaultSession<'_>,
    unwrapped: &UnwrappedSecretId,
    logins: &SharedLogins,
) -> Result<(SecretBytes, Lifetime)> {
    let mut path = format!("auth/{}/login", address::encoded(&login.mount));
    if let LoginCredentials::Password { user, .. } = &login.credentials {
        path = format!("{path}/{}", percent_encode(user));
    }
    let LoginRequestBody { json: body, known_by } = request_body(login, session, unwrapped, logins)?;
    let known_by = known_by.as_deref().unwrap_or(&body);
    let attempt = attempt(session, &path, login.credentials.id(), known_by, login.credentials.has_lockout());
    let token = attempt.in_turn(session.deadline(), logins, || send(login, session, &path, &body, &attempt))?;
    token.ok_or_else(|| session.errors().no_turn(login))
}

/// The attempt to send these credentials to the server, for the record of rejected ones.
fn attempt(session: &VaultSession<'_>, path: &str, role: &[u8], credentials: &[u8], has_lockout: bool) -> LoginAttempt {
    let settings = session.settings();
    let (server, namespace) = (settings.address.to_string(), settings.namespace.as_deref().unwrap_or_default());
    let role = [server.as_bytes(), namespace.as_bytes(), path.as_bytes(), role];
    LoginAttempt::new(&role, credentials, has_lockout)
}

fn send(
    login: &VaultLogin,
    session: &VaultSession<'_>,
    path: &str,
    body: &[u8],
    attempt: &LoginAttempt,
) -> Result<(SecretBytes, Lifetime)> {
    let errors = session.errors();
    if let Some(rejection) = attempt.blocked_by(session.is_refresh()) {
        return Err(errors.login_rejected(login, &rejection));
    }
    let began = Instant::now();
    let response = session.send(&VaultCall::post(path).with_body(body))?;
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

fn is_issuer_unreachable(credentials: &LoginCredentials, messages: &ServerMessages) -> bool {
    let has_issuer = match credentials {
        LoginCredentials::Jwt { .. } | LoginCredentials::Password { method: PasswordMethod::Ldap, .. } => true,
        #[cfg(feature = "aws")]
        LoginCredentials::Aws { .. } => true,
        _ => false,
    };
    has_issuer && ISSUER_UNREACHABLE.iter().any(|part| messages.contain(part))
}

/// What a login sends.
struct LoginRequestBody {
    json: Zeroizing<Vec<u8>>,
    /// What the credentials are known by in the record of rejected ones; `None` if that is the JSON.
    known_by: Option<SecretBytes>,
}

impl From<Zeroizing<Vec<u8>>> for LoginRequestBody {
    fn from(json: Zeroizing<Vec<u8>>) -> LoginRequestBody {
        LoginRequestBody { json, known_by: None }
    }
}

/// The JSON of the request. Files are read each time.
fn request_body(
    login: &VaultLogin,
    session: &VaultSession<'_>,
    unwrapped: &UnwrappedSecretId,
    logins: &SharedLogins,
) -> Result<LoginRequestBody> {
    let settled = |path: &Path, read: &dyn Fn(&Path) -> Result<(SecretBytes, Fingerprint)>| {
        secret_file::read_settled(path, session.deadline(), read).map(|(secret, _)| secret)
    };
    match &login.credentials {
        LoginCredentials::AppRole { role_id, secret_id, is_wrapped } => {
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
            Ok(json(&[("role_id", Some(role_id)), ("secret_id", secret_id.as_deref())]).into())
        }
        LoginCredentials::Jwt { role, file, .. } => {
            let jwt = settled(file, &|path: &Path| secret_file::read(path, "JWT"))?;
            Ok(json(&[("role", role.as_ref().map(String::as_bytes)), ("jwt", Some(&jwt))]).into())
        }
        LoginCredentials::Password { password, .. } => {
            let password = match password {
                GivenSecret::Text(password) => password.clone(),
                GivenSecret::File(path) => settled(path, &|path: &Path| secret_file::read_line(path, "password"))?,
            };
            Ok(json(&[("password", Some(&password))]).into())
        }
        LoginCredentials::Certificate { role, certificate, .. } => {
            // The certificate is not in the body.
            let (certificate, _) = secret_file::read_pem(certificate, "client certificate")?;
            let json = json(&[("name", role.as_ref().map(String::as_bytes))]);
            Ok(LoginRequestBody { json, known_by: Some(certificate) })
        }
        #[cfg(feature = "aws")]
        LoginCredentials::Aws { role, server_id, caller } => {
            let header = server_id.iter().map(|id| (SERVER_ID_HEADER, Zeroizing::new(id.clone())));
            let signed = caller.sign(&header.collect::<Vec<_>>(), session.deadline(), session.is_refresh());
            let signed = signed.map_err(|error| {
                let errors = session.errors();
                error.with_source(Source::Vault).map_message(|message| format!("{errors}: {login}: {message}"))
            })?;
            Ok(LoginRequestBody {
                json: of_signed_call(role.as_deref(), &signed),
                known_by: Some(signed.access_key_id),
            })
        }
    }
}

/// The login with a signed call of AWS. The signature changes each time.
#[cfg(feature = "aws")]
fn of_signed_call(role: Option<&str>, call: &SignedCall) -> Zeroizing<Vec<u8>> {
    let headers: Vec<_> = call.headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_bytes()))).collect();
    let [url, body, headers] = [call.url.as_bytes(), call.body.as_bytes(), &json(&headers)].map(|bytes| {
        let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(3) * 4));
        STANDARD.encode_string(bytes, &mut text);
        text
    });
    json(&[
        ("role", role.map(str::as_bytes)),
        ("iam_http_request_method", Some(b"POST")),
        ("iam_request_url", Some(url.as_bytes())),
        ("iam_request_body", Some(body.as_bytes())),
        ("iam_request_headers", Some(headers.as_bytes())),
    ])
}

/// The secret ID in a wrapping token, which one process of the host unwraps for all.
fn unwrap(
    session: &VaultSession<'_>,
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

fn send_unwrap(
    session: &VaultSession<'_>,
    wrapping_token: &SecretBytes,
    attempt: &LoginAttempt,
) -> Result<SecretBytes> {
    let errors = session.errors();
    if let Some(rejection) = attempt.blocked_by(session.is_refresh()) {
        return Err(errors.unwrapping_rejected(&rejection));
    }
    let response = session.send(&VaultCall::post(UNWRAP).with_token(Some(wrapping_token)))?;
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
        let mut fields = FieldWriter::new()?;
        fields.bytes(&self.0)?;
        let payload = fields.into_buffer();
        Ok(NewRecord { requested_at: Instant::now(), ttl: None, refresh_after: None, payload })
    }

    fn decode(record: &SharedDocument) -> Option<SharedSecretId> {
        SecretBytes::copy_from(FieldReader::new(&record.payload).bytes()?).ok().map(SharedSecretId)
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
