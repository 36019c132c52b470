//! Requests for secrets: all at a path with what is imported there, or one.

use std::sync::Arc;

use super::login::{self, not_infisical, own_error, refused};
use super::settings::{InfisicalLogin, Settings};
use crate::error::{Error, Result, Status};
use crate::http::HttpResponse;
use crate::http::url::percent_encode;
use crate::secrets::cloud::{AccessToken, Call, Common, Named, Session, StoreLookup};
use crate::secrets::document::DocumentEntry;
use crate::secrets::json::SecretObject;
use crate::share::Identity;

const OPTIONS: &str = "viewSecretValue=true&expandSecretReferences=true&include_imports=true";

/// A project of a server, and how to log in there.
pub(super) struct Infisical {
    pub(super) settings: Settings,
    pub(super) common: Arc<Common>,
}

impl Infisical {
    /// The project and the environment, for messages.
    pub(super) fn place(&self) -> String {
        let url = self.settings.url().unwrap_or_else(|_| "Infisical".to_owned());
        let project = self.settings.project().map_or(String::new(), |project| format!("project {project}, "));
        format!("{project}environment {} at {url}", self.settings.environment)
    }

    /// Reads the secrets at a path, or one of them.
    pub(super) fn read_secrets(&self, session: &Session<'_>, secret: &Named) -> Result<StoreLookup> {
        let (kind, name, path) = match &secret.parent {
            Some(parent) if parent.is_empty() => ("secret", format!("/{}", percent_encode(&secret.name)), "/"),
            Some(parent) => ("secret", format!("/{}", percent_encode(&secret.name)), parent.as_str()),
            None => ("path", String::new(), secret.name.as_str()),
        };
        let what = format!("{kind} {:?} in {}", secret.shown(), self.place());
        let url = format!(
            "{}/api/v3/secrets/raw{name}?workspaceId={}&environment={}&secretPath={}&{OPTIONS}",
            self.settings.url()?,
            self.settings.project()?,
            self.settings.environment,
            percent_encode(path),
        );
        let response = self.get(session, &what, &url)?;
        match response.status {
            200 => {}
            404 if own_error(&response).is_some() => {
                let what = if kind == "path" { "the project, the environment or the path" } else { "it" };
                return Ok(StoreLookup::Missing(format!("{what} does not exist")));
            }
            _ => {
                let advice = format!(
                    "give {} a role in the project that may read the values of secrets there",
                    self.settings.login()?.origin()
                );
                return Err(refused(&what, &response, &advice));
            }
        }
        let object = SecretObject::parse(&response.body).ok_or_else(|| not_infisical(&what, 200))?;
        if kind == "path" {
            return entries(&object, &what).map(StoreLookup::Several).ok_or_else(|| not_infisical(&what, 200));
        }
        let (_, entry) = object
            .object("secret")
            .and_then(|secret| entry(&secret, &what))
            .ok_or_else(|| not_infisical(&what, 200))?;
        entry.map(|(value, version)| StoreLookup::Found(value, version))
    }

    /// Sends a request, once more with another token if the first one is rejected.
    fn get(&self, session: &Session<'_>, what: &str, url: &str) -> Result<HttpResponse> {
        let login = self.settings.login()?;
        let send = |token: &AccessToken| {
            let headers = [token.header()?];
            session.send(what, &Call { method: "GET", url, headers: &headers, body: b"", is_local: false })
        };
        let server = self.settings.url()?;
        let identify = || {
            let mut identity = Identity::new("infisical login");
            identity.add("url", &server);
            login.identify(&mut identity)?;
            Ok(identity)
        };
        let log_in = || login::log_in(&server, &login, session);
        if matches!(login, InfisicalLogin::Token(_)) {
            return send(&log_in()?);
        }
        let token = self.common.tokens.get(session, &identify, None, &log_in)?;
        let response = send(&token)?;
        if !rejects_token(&response) {
            return Ok(response);
        }
        send(&self.common.tokens.get(session, &identify, Some(&token), &log_in)?)
    }
}

/// Whether another token may help: this one was revoked, has been used too often, or has expired.
fn rejects_token(response: &HttpResponse) -> bool {
    own_error(response).is_some_and(|error| match response.status {
        401 => true,
        403 => error.code == "TokenError",
        _ => false,
    })
}

/// The secrets at a path, then those that are imported there. The last import takes precedence.
fn entries(object: &SecretObject, what: &str) -> Option<Vec<(String, Result<DocumentEntry>)>> {
    let imports = object.objects("imports").unwrap_or_default();
    let mut secrets = object.objects("secrets")?;
    for import in imports.iter().rev() {
        secrets.extend(import.objects("secrets").unwrap_or_default());
    }
    Some(secrets.iter().filter_map(|secret| entry(secret, what)).collect())
}

/// The key, value and version of a secret.
fn entry(secret: &SecretObject, what: &str) -> Option<(String, Result<DocumentEntry>)> {
    let key = secret.text("secretKey")?.to_owned();
    if secret.text("secretValueHidden") == Some("true") {
        let message = format!(
            "{what}: the server hides the value of {key:?}; give the identity the permission to read values \
             (readValue)"
        );
        return Some((key, Err(Error::new(Status::AccessDenied, message).with_detail(403).authoritative())));
    }
    let value = secret.get("secretValue")?.clone();
    Some((key, Ok((value, secret.text("version").map(Arc::from)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_secret_comes_before_the_last_import() {
        let body = br#"{"secrets": [{"secretKey": "A", "secretValue": "own", "version": 2}],
            "imports": [
                {"secrets": [{"secretKey": "A", "secretValue": "x"}, {"secretKey": "B", "secretValue": "first"}]},
                {"secrets": [{"secretKey": "B", "secretValue": "last"}, {"secretKey": "C", "secretValue": null}]}
            ]}"#;
        let entries = entries(&SecretObject::parse(body).unwrap(), "path").unwrap();
        let found: Vec<(&str, &[u8])> =
            entries.iter().map(|(key, entry)| (key.as_str(), &entry.as_ref().unwrap().0[..])).collect();
        assert_eq!(found, [("A", &b"own"[..]), ("B", b"last"), ("A", b"x"), ("B", b"first")]);
        assert!(super::entries(&SecretObject::parse(b"{}").unwrap(), "path").is_none());
    }

    #[test]
    fn hidden_value_is_a_denial() {
        let secret = br#"{"secretKey": "A", "secretValue": "<hidden-by-infisical>", "secretValueHidden": true}"#;
        let (_, entry) = entry(&SecretObject::parse(secret).unwrap(), "path").unwrap();
        assert_eq!(entry.unwrap_err().status(), Status::AccessDenied);
    }
}
