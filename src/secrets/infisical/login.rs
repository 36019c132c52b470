//! Access tokens of machine identities, by universal auth, and the server's errors.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::clock::Instant;
use crate::error::{Error, Result, Status};
use crate::http::HttpResponse;
use crate::secrets::cloud::{AccessToken, Call, ServerError, Session, header, not_the_server};
use crate::secrets::json::SecretObject;
use crate::secrets::json::quote;

/// How long a token is used that never expires.
const UNLIMITED: Duration = Duration::from_secs(24 * 3600);

/// Returns a new access token for a client ID and its secret.
pub(super) fn log_in(url: &str, client_id: &str, secret: &str, session: &Session<'_>) -> Result<AccessToken> {
    let at = Instant::now();
    let what = format!("the login of the client ID {client_id} at {url}");
    let url = format!("{url}/api/v1/auth/universal-auth/login");
    let (client_id, secret) = (quote(client_id), quote(secret));
    let body = Zeroizing::new(format!("{{\"clientId\":{},\"clientSecret\":{}}}", *client_id, *secret));
    let headers = [header("Content-Type", "application/json")];
    let call = Call { method: "POST", url: &url, headers: &headers, body: body.as_bytes(), is_local: false };
    let response = session.send(&what, &call)?;
    if response.status != 200 {
        return Err(refused(&what, &response, "check the client ID and its secret, which may have expired"));
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
