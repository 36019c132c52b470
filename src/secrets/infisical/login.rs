//! Access tokens of machine identities, and the server's errors.

use std::time::Duration;

use zeroize::Zeroizing;

use super::settings::InfisicalLogin;
use crate::clock::Instant;
use crate::error::{Error, Result, Status};
use crate::http::HttpResponse;
use crate::secret_memory::SecretBytes;
use crate::secrets::cloud::{AccessToken, Call, ServerError, Session, header, not_the_server};
use crate::secrets::json::SecretObject;
use crate::secrets::json::quote;

/// How long a token is used that never expires.
const UNLIMITED: Duration = Duration::from_secs(24 * 3600);

/// Returns a new access token for the credentials of an identity. A token is used as it is.
pub(super) fn log_in(url: &str, login: &InfisicalLogin, session: &Session<'_>) -> Result<AccessToken> {
    let at = Instant::now();
    let (method, names, id, secret, advice) = match login {
        InfisicalLogin::Token(token) => {
            return Ok(AccessToken::lasting(SecretBytes::copy_from(token.as_bytes())?));
        }
        InfisicalLogin::Universal { client_id, secret } => {
            let advice = "check the client ID and its secret, which may have expired";
            ("universal", ["clientId", "clientSecret"], client_id, secret, advice)
        }
        InfisicalLogin::Jwt { auth, identity_id, jwt } => {
            let advice = "check the identity, and that it admits the subject and the audience of the JWT";
            (auth.name(), ["identityId", "jwt"], identity_id, jwt, advice)
        }
    };
    let what = format!("the login of {} at {url}", login.origin());
    let url = format!("{url}/api/v1/auth/{method}-auth/login");
    let (id, secret) = (quote(id), quote(secret));
    let body = Zeroizing::new(format!("{{\"{}\":{},\"{}\":{}}}", names[0], *id, names[1], *secret));
    let headers = [header("Content-Type", "application/json")];
    let call = Call { method: "POST", url: &url, headers: &headers, body: body.as_bytes(), is_local: false };
    let response = session.send(&what, &call)?;
    if response.status != 200 {
        return Err(refused(&what, &response, advice));
    }
    let token = SecretObject::parse(&response.body).and_then(|object| {
        let token =
            object.get("accessToken").filter(|token| !token.is_empty() && token.iter().all(u8::is_ascii_graphic))?;
        let lifetime = match object.number("expiresIn")? {
            0 => UNLIMITED,
            seconds => Duration::from_secs(seconds),
        };
        Some(AccessToken::new(token.clone(), at, lifetime))
    });
    token.ok_or_else(|| not_infisical(&what, 200))
}

/// What an error response says, if it is in the form of the server.
pub(super) fn own_error(response: &HttpResponse) -> Option<ServerError> {
    let object = SecretObject::parse(&response.body)?;
    object.number("statusCode").filter(|status| *status == u64::from(response.status))?;
    Some(ServerError::parse(response)).filter(ServerError::is_own)
}

/// The error for a response other than success. A denial ends with this advice.
pub(super) fn refused(what: &str, response: &HttpResponse, advice: &str) -> Error {
    let status = response.status;
    let (kind, message) = match (status, own_error(response)) {
        (300..=399, _) => (Status::Protocol, "redirects are not followed; correct `infisical_url`".to_owned()),
        (_, None) => return not_infisical(what, status),
        (401 | 403, Some(error)) => {
            let message = format!("{what}: HTTP status {status}{}; {advice}", error.quoted());
            return Error::new(Status::AccessDenied, message).with_detail(status.into()).authoritative();
        }
        (_, Some(error)) => (Status::Protocol, format!("the request failed{}", error.quoted())),
    };
    Error::new(kind, format!("{what}: HTTP status {status}: {message}")).with_detail(status.into())
}

pub(super) fn not_infisical(what: &str, status: u16) -> Error {
    not_the_server(what, status, "Infisical")
}
